use serde_json::json;

use super::caller::Stage;
use super::caller::WORKSPACE;
use crate::wire::Answer;
use crate::workspace::CutField;
use crate::workspace::Workspace;
use crate::workspace::encoding;

const LOGS: &str = "POST /api/logs?api-version=2016-04-01";

fn authorization(workspace: &Workspace, length: usize, kind: &str, date: &str) -> String {
    let text = format!("POST\n{length}\n{kind}\nx-ms-date:{date}\n/api/logs");
    format!("SharedKey {}:{}", workspace.id, encoding::signature(&workspace.key, &text))
}

fn now(minutes: i64) -> String {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    httpdate::fmt_http_date(time.into())
}

async fn post(stage: &Stage, line: &str, log_type: &str, kind: &str, minutes: i64, body: &[u8]) -> Answer {
    let date = now(minutes);
    let authorization = authorization(stage.workspace(), body.len(), kind, &date);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", kind),
        ("Log-Type", log_type),
        ("x-ms-date", &date),
        ("time-generated-field", "When"),
    ];
    stage.send(&stage.workspace().ods(), None, line, &headers, body).await
}

#[test]
fn the_signature_is_that_of_the_vector() {
    let mut workspace = Workspace::new(WORKSPACE);
    workspace.key = (0..64).collect();
    let signed = authorization(&workspace, 9, "application/json", "Mon, 05 Jan 2026 08:00:00 GMT");
    assert_eq!(signed, format!("SharedKey {WORKSPACE}:e3V1OEJHXB0mc4MuDf3ULMF8K/j7d+iHqyGNc6yqXzo="));
}

#[tokio::test]
async fn objects_become_rows_with_suffixes_and_long_texts_lose_their_ends() {
    let stage = Stage::new().await;
    let fresh = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let items = json!([
        {"Text": "a seq=5", "Count": 2.5, "On": true, "Agent": WORKSPACE, "When": fresh},
        {"Text": "x".repeat(40_000), "When": "2020-01-01T00:00:00Z"},
    ]);
    let answer = post(&stage, LOGS, "App", "application/json", 0, items.to_string().as_bytes()).await;
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    stage.fake.assert_no_problems();
    let rows = stage.fake.rows(WORKSPACE, "App_CL");
    let mut names: Vec<_> = rows[0].columns.keys().map(String::as_str).collect();
    // A member of the workspace may have JSON keep the order of what came.
    names.sort_unstable();
    assert_eq!(names, ["Agent_g", "Count_d", "On_b", "Text_s", "TimeGenerated", "When_t"]);
    assert_eq!((rows[0].text("TimeGenerated"), rows[0].time_replaced), (fresh.as_str(), false));
    assert_eq!((rows[1].text("Text_s").len(), rows[1].time_replaced), (32 * 1024, true));
    let cut = CutField {
        workspace: WORKSPACE.to_owned(),
        table: "App_CL".to_owned(),
        column: "Text_s".to_owned(),
        bytes: 40_000,
    };
    assert_eq!(stage.fake.cut_fields(), [cut]);
    assert!(stage.fake.sequence(WORKSPACE, "App_CL", "").has(5));
}

#[tokio::test]
async fn every_check_can_fail() {
    let stage = Stage::new().await;
    let json = "application/json";
    let long = "a".repeat(101);
    let column = format!("[{{\"{}\":1}}]", "a".repeat(46));
    type Case<'a> = (&'a str, &'a str, &'a str, i64, &'a [u8], u16, &'a str);
    let cases: [Case<'_>; 13] = [
        (LOGS, "App", json, 16, b"[]", 403, "InvalidAuthorization"),
        (LOGS, "App", json, -16, b"[]", 403, "InvalidAuthorization"),
        ("POST /api/logs", "App", json, 0, b"[]", 400, "MissingApiVersion"),
        ("POST /api/logs?api-version=2020-01-01", "App", json, 0, b"[]", 400, "InvalidApiVersion"),
        (LOGS, "App-1", json, 0, b"[]", 400, "InvalidLogType"),
        (LOGS, &long, json, 0, b"[]", 400, "InvalidLogType"),
        (LOGS, "App", "text/json", 0, b"[]", 400, "UnsupportedContentType"),
        (LOGS, "App", json, 0, b"{}", 400, "InvalidDataFormat"),
        (LOGS, "App", json, 0, b"[1]", 400, "InvalidDataFormat"),
        (LOGS, "App", json, 0, b"[{\"a\":[1]}]", 400, "InvalidDataFormat"),
        (LOGS, "App", json, 0, b"[{\"RawData\":\"x\"}]", 400, "InvalidDataFormat"),
        (LOGS, "App", json, 0, b"[{\"a b\":1}]", 400, "InvalidDataFormat"),
        (LOGS, "App", json, 0, column.as_bytes(), 400, "InvalidDataFormat"),
    ];
    for (line, log_type, kind, minutes, body, status, code) in cases {
        let answer = post(&stage, line, log_type, kind, minutes, body).await;
        assert_eq!((answer.head.status, answer.text().contains(code)), (status, true), "{}", answer.text());
    }
    let date = now(0);
    let signed = authorization(stage.workspace(), 3, json, &date);
    let headers = [
        ("Authorization", signed.as_str()),
        ("Content-Type", json),
        ("Log-Type", "App"),
        ("x-ms-date", date.as_str()),
    ];
    let answer = stage.send(&stage.workspace().ods(), None, LOGS, &headers, b"[]").await;
    assert_eq!(answer.head.status, 403, "another length is signed");
    let large = vec![b' '; 30 * 1024 * 1024 + 1];
    assert_eq!(post(&stage, LOGS, "App", json, 0, &large).await.head.status, 404);
    assert_eq!(stage.fake.problems().len(), 15);
}
