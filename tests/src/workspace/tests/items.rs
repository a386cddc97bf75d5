use serde_json::Value;
use serde_json::json;

use super::caller::AGENT;
use super::caller::Identity;
use super::caller::Stage;
use super::caller::WORKSPACE;
use super::caller::deflated;
use super::caller::request_id;
use crate::workspace::Place;
use crate::workspace::Way;

const ITEMS: &str = "POST /OperationalData.svc/PostJsonDataItems";

fn syslog() -> Value {
    json!({
        "ident": "myapp", "Timestamp": "2026-11-22T11:16:15.227Z", "EventTime": "2026-11-22T11:16:15.000Z",
        "Host": "vm", "HostIP": "Unknown IP", "Message": "hello via udp", "ProcessId": "77",
        "Facility": "local0", "Severity": "err"
    })
}

fn envelope(data_type: &str, items: &[Value]) -> Vec<u8> {
    json!({ "DataType": data_type, "IPName": "LOGMANAGEMENT", "DataItems": items }).to_string().into_bytes()
}

async fn post(stage: &Stage, identity: &Identity, body: &[u8]) -> u16 {
    let id = request_id();
    let headers = [
        ("Content-Type", "application/json"),
        ("Content-Encoding", "deflate"),
        ("X-Request-ID", id.as_str()),
    ];
    let host = stage.workspace().ods();
    stage.send(&host, Some(identity), ITEMS, &headers, &deflated(body)).await.head.status
}

#[tokio::test]
async fn items_become_rows_by_the_names_of_the_columns() {
    let stage = Stage::new().await;
    let identity = Identity::new(WORKSPACE, AGENT);
    stage.onboard(&identity).await;
    let counters = json!([{"CounterName": "% Used Memory", "Value": "72"}, {"CounterName": "Pages/sec", "Value": "0.5"}]);
    let time = "2026-01-02T03:04:05.678Z";
    let perf = json!({"Timestamp": time, "Host": "vm", "ObjectName": "Memory", "InstanceName": "Memory", "Collections": counters});
    let beat = json!({"Timestamp": time, "Computer": "vm", "OSType": "Linux", "Category": "Agent",
        "SCAgentChannel": "Direct", "ComputerPrivateIps": "[\"10.0.0.4\"]"});
    let operation = json!({"Timestamp": time, "OperationStatus": "Warning", "Computer": "vm", "Detail": "lost 3",
        "Category": "Data Collection Status", "Solution": "Log Management"});
    for (kind, item) in [
        ("LINUX_SYSLOGS_BLOB", syslog()),
        ("LINUX_PERF_BLOB", perf),
        ("HEALTH_ASSESSMENT_BLOB", beat),
        ("OPERATION_BLOB", operation),
    ] {
        assert_eq!(post(&stage, &identity, &envelope(kind, &[item])).await, 200, "{kind}");
    }
    stage.fake.assert_no_problems();
    assert_eq!(stage.fake.tables(WORKSPACE), ["Heartbeat", "Operation", "Perf", "Syslog"]);
    let row = &stage.fake.wait_for_rows(WORKSPACE, "Syslog", 1).await[0];
    let expected = json!({"TimeGenerated": "2026-11-22T11:16:15.227Z", "EventTime": "2026-11-22T11:16:15.000Z",
        "Computer": "vm", "HostName": "vm", "HostIP": "Unknown IP", "SyslogMessage": "hello via udp", "ProcessID": 77,
        "Facility": "local0", "SeverityLevel": "err", "ProcessName": "myapp", "SourceSystem": "Linux"});
    assert_eq!(Value::Object(row.columns.clone()), expected);
    assert_eq!((row.way, row.agent.as_deref(), &row.wire), (Way::Items, Some(AGENT), &syslog()));
    let perf = stage.fake.rows(WORKSPACE, "Perf");
    let values: Vec<_> =
        perf.iter().map(|row| (row.text("CounterName"), row.columns["CounterValue"].as_f64())).collect();
    assert_eq!(values, [("% Used Memory", Some(72.0)), ("Pages/sec", Some(0.5))]);
    let beat = &stage.fake.rows(WORKSPACE, "Heartbeat")[0];
    assert_eq!(
        (&beat.columns["ComputerPrivateIPs"], beat.text("SourceComputerId")),
        (&json!(["10.0.0.4"]), AGENT)
    );
    assert_eq!(
        stage.fake.rows(WORKSPACE, "Operation")[0].text("OperationCategory"),
        "Data Collection Status"
    );
    let traffic = stage.fake.traffic(WORKSPACE);
    assert_eq!((traffic.requests, traffic.rows), (4, 5));
    assert!(traffic.body_bytes < traffic.content_bytes);
}

#[tokio::test]
async fn every_field_that_is_not_as_it_should_be_is_a_problem() {
    let stage = Stage::new().await;
    let identity = Identity::new(WORKSPACE, AGENT);
    stage.onboard(&identity).await;
    let cases = [
        ("Colour", json!("red"), "has no field Colour"),
        ("ProcessId", json!(77), "ProcessId is 77"),
        ("ProcessId", json!("x"), "ProcessId is \"x\""),
        ("Severity", json!("warning"), "Severity is"),
        ("Facility", json!("16"), "Facility is"),
        ("EventTime", json!("2026-11-22 11:16:15"), "EventTime is"),
        ("Message", Value::Null, "Message is null"),
    ];
    for (field, value, says) in cases {
        let mut item = syslog();
        item[field] = value;
        assert_eq!(post(&stage, &identity, &envelope("LINUX_SYSLOGS_BLOB", &[item])).await, 200);
        assert!(stage.last_problem().contains(says), "{says}: {}", stage.last_problem());
    }
    let mut item = syslog();
    item.as_object_mut().expect("an object").remove("HostIP");
    post(&stage, &identity, &envelope("LINUX_SYSLOGS_BLOB", &[item])).await;
    assert!(stage.last_problem().contains("lacks HostIP"));
    post(&stage, &identity, &envelope("LINUX_OTHER_BLOB", &[syslog()])).await;
    assert!(stage.last_problem().contains("nobody knows the DataType"));
    assert_eq!(stage.fake.doubled(WORKSPACE, "Syslog"), 6);
}

#[tokio::test]
async fn what_is_no_envelope_or_comes_from_a_stranger_is_refused() {
    let stage = Stage::new().await;
    let identity = Identity::new(WORKSPACE, AGENT);
    assert_eq!(post(&stage, &identity, &envelope("LINUX_SYSLOGS_BLOB", &[syslog()])).await, 403);
    stage.onboard(&identity).await;
    let bodies: [&[u8]; 5] =
        [b"", b"[]", b"{}", b"{\"DataType\":1,\"IPName\":\"\",\"DataItems\":[]}", b"{\"DataType\""];
    for body in bodies {
        assert_eq!(post(&stage, &identity, body).await, 400, "{}", String::from_utf8_lossy(body));
    }
    let host = stage.workspace().ods();
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "deflate")];
    let answer = stage.send(&host, Some(&identity), ITEMS, &headers, b"not deflated").await;
    assert_eq!((answer.head.status, stage.last_problem().contains("does not inflate")), (400, true));
    let id = request_id();
    let headers = [("Content-Type", "application/json"), ("X-Request-ID", id.as_str())];
    for _ in 0..2 {
        stage
            .send(&host, Some(&identity), ITEMS, &headers, &envelope("LINUX_SYSLOGS_BLOB", &[syslog()]))
            .await;
    }
    assert_eq!(stage.last_problem(), "the X-Request-ID came before");
    stage.fake.forget_agents(WORKSPACE);
    assert_eq!(post(&stage, &identity, &envelope("LINUX_SYSLOGS_BLOB", &[syslog()])).await, 403);
    assert_eq!(stage.fake.requests_at(WORKSPACE, Place::Items).len(), 10);
}
