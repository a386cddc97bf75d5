//! The API of the admin listener: every answer is as its own description says.

use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::patience::patiently;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::Stage;

/// Most listeners at once.
const LISTENERS: usize = 16;

async fn get(stage: &Stage, path: &str) -> Value {
    let answer = stage.gateway.get(path).await;
    assert_eq!(
        (answer.head.status, answer.head.header("content-type")),
        (200, Some("application/json")),
        "{path}"
    );
    serde_json::from_str(answer.text()).expect("JSON")
}

/// Says what of a value is not as a schema of the description says.
fn differences(api: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    whole["components"] = api["components"].clone();
    let validator = jsonschema::validator_for(&whole).expect("a schema");
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// A gateway that carried something, refused something, and has a canary that is down.
async fn busy() -> Stage {
    let readiness =
        "[readiness]\ncanaries = [\"login.microsoftonline.com\"]\ninterval = \"1s\"\nfailures = 1\n";
    let role = "[role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\nbundles = [\"log-analytics\", \"logs-ingestion\"]\n";
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    let config = Config::new(&format!("{readiness}{role}")).hosts(&["login.microsoftonline.com"], nowhere);
    let stage = Stage::new(config, &[GOOD]).await;
    stage.serve_a_good_client(&[]).await;
    end_to_end::client::refused(stage.gateway.proxy(), "evil.example:443", &[]).await;
    let refused = [("reason", "host_denied")];
    stage.gateway.wait_for_metric("la_gateway_refusals_total", &refused, 1.0).await;
    let down = [("state", "down"), ("class", "token")];
    stage.gateway.wait_for_metric("la_gateway_canaries", &down, 1.0).await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_the_description_says() {
    let stage = busy().await;
    let api = get(&stage, "/api/openapi.json").await;
    assert_eq!(api["openapi"], "3.1.0");
    let paths = api["paths"].as_object().expect("paths");
    let queries = ["/api/clients?sort=bytes&refused=true&search=127.0&limit=1", "/api/clients?state=silent"];
    let looked = paths.keys().map(String::as_str).filter(|path| *path != "/api/events").chain(queries);
    for path in looked {
        let bare = path.split('?').next().expect("a path");
        let schema = &paths[bare]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let wrong = differences(&api, schema, &get(&stage, path).await);
        assert!(wrong.is_empty(), "{path}: {wrong:#?}");
    }
    let status = get(&stage, "/api/status").await;
    assert_eq!(
        (&status["state"], &status["version"]),
        (&json!("serving"), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(status["refusals"][0]["reason"], "host_denied");
    let command = status["refusals"][0]["example"]["command"].as_str().expect("a command");
    assert!(command.contains(" explain evil.example:443 --from 127.0.0.1"), "{command}");
    let missing = differences(&api, &api["components"]["schemas"]["Status"], &json!({ "state": "gone" }));
    assert!(missing.len() > 5, "the test would find nothing: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_by_themselves_to_a_bounded_number_and_end_with_the_gateway() {
    let mut stage = Stage::good(Config::new(ANYONE)).await;
    let api = get(&stage, "/api/openapi.json").await;
    let host = stage.gateway.admin().to_string();
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        let mut stream = TcpStream::connect(stage.gateway.admin()).await.expect("a connection");
        wire::send_head(&mut stream, "GET /api/events", &[("Host", &host)], 0).await;
        let mut lines = BufReader::new(stream).lines();
        // The first event is there at once: this one is among the listeners.
        next(&mut lines, "event: status").await.expect("an event");
        listeners.push(lines);
    }
    assert_eq!(stage.gateway.get("/api/events").await.head.status, 503);
    let first = &mut listeners[0];
    for (event, schema) in [("status", "Status"), ("sample", "Sample"), ("status", "Status")] {
        let data = next(first, &format!("event: {event}")).await.expect("an event");
        let data = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        let wrong = differences(&api, &api["components"]["schemas"][schema], &data);
        assert!(wrong.is_empty(), "{event}: {wrong:#?}");
    }
    stage.gateway.terminate();
    for lines in &mut listeners {
        while next(lines, "event: status").await.is_some() {}
    }
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_end_with_a_reload_and_who_comes_back_is_judged_by_the_new_configuration() {
    let gateway = Gateway::start(&Config::new(ANYONE)).await;
    let (host, right) = (gateway.admin().to_string(), basic("ann", "secret"));
    let listen = async |headers: &[(&str, &str)]| {
        let mut stream = TcpStream::connect(gateway.admin()).await.expect("a connection");
        let headers = [&[("Host", host.as_str())], headers].concat();
        wire::send_head(&mut stream, "GET /api/events", &headers, 0).await;
        stream
    };
    let mut lines = BufReader::new(listen(&[]).await).lines();
    next(&mut lines, "event: status").await.expect("an event");
    Config::new(&format!("[admin]\naddress = \"127.0.0.1:0\"\nusers_file = \"admin.users\"\n{ANYONE}"))
        .file("admin.users", &users_file(&[("ann", "secret")]))
        .write(gateway.folder());
    gateway.hang_up();
    gateway.wait_for_record("a reload", |record| record.event_id() == Some(130)).await;
    while next(&mut lines, "event: status").await.is_some() {}
    let refused = wire::read_head(&mut listen(&[]).await).await.expect("an answer");
    assert_eq!(refused.status, 401);
    let mut known = BufReader::new(listen(&[("Authorization", &right)]).await).lines();
    for _ in 0..2 {
        next(&mut known, "event: status").await.expect("an event");
    }
}

/// Returns the line behind the next one like this, or `None` at the end.
async fn next(lines: &mut tokio::io::Lines<BufReader<TcpStream>>, wanted: &str) -> Option<String> {
    patiently(wanted, async {
        loop {
            let line = lines.next_line().await.ok()??;
            if line == wanted {
                return lines.next_line().await.ok()?;
            }
        }
    })
    .await
}
