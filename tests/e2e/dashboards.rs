//! Rules, alerts and the dashboard in `deploy/`: right by themselves, and about series that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use end_to_end::agent::Agent;
use end_to_end::config::Config;
use end_to_end::installed;
use end_to_end::metrics::Metrics;
use end_to_end::patience::LOOK_AGAIN;
use end_to_end::patience::patiently;
use end_to_end::prometheus::Prometheus;
use serde_json::Value;
use serde_json::json;
use tokio::process::Command;

use crate::agent_service::metrics_of;
use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::stage::ANYONE;
use crate::stage::Stage;

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(deployed(path)).expect("a file")
}

const RULES: &str = "deploy/prometheus/la-gateway.rules.yml";

/// Returns what stands behind `key:` in the rules.
fn all(key: &str) -> Vec<String> {
    let rules = read(RULES);
    let found = rules.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
    found.map(|value| value.trim().to_owned()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana/la-gateway.json")).expect("JSON")
}

/// Returns every expression of the dashboard, as Prometheus is asked for it.
fn expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(ToOwned::to_owned));
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    collect(&dashboard(), &mut found);
    found.iter().map(|text| text.replace("$__rate_interval", "5m").replace("$instance", ".*")).collect()
}

/// Runs promtool, which must find nothing wrong.
async fn promtool(arguments: &[&str], file: &Path) {
    let Some(done) = installed::output(Command::new("promtool").args(arguments).arg(file)).await else {
        return;
    };
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_is_quiet_while_all_is_well_and_fires_when_its_cause_lasts() {
    promtool(&["check", "rules"], &deployed(RULES)).await;
    promtool(&["check", "config"], &deployed("deploy/prometheus/prometheus.yml")).await;
    let mut tests = String::new();
    for file in ["deploy/prometheus/la-gateway.rules.test.yml", "deploy/prometheus/la-gateway.days.test.yml"]
    {
        promtool(&["test", "rules"], &deployed(file)).await;
        tests += &read(file);
    }
    // promtool does not ask whether an alert has a test at all.
    for alert in all("alert:") {
        assert!(
            tests.contains(&format!("alertname: {alert}, exp_alerts: []")),
            "{alert} is never seen quiet"
        );
        assert!(
            tests.contains(&format!("alertname: {alert}\n        exp_alerts:\n")),
            "{alert} is never seen"
        );
    }
}

#[test]
fn every_alert_has_a_paragraph_that_says_what_to_look_at_and_what_to_do() {
    let (alerts, book) = (all("alert:"), read("docs/alerts.md"));
    let paragraphs: Vec<(&str, &str)> = book
        .split("\n## ")
        .skip(1)
        .map(|text| text.split_once('\n').expect("a heading and what is under it"))
        .collect();
    assert_eq!(paragraphs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), alerts);
    let links: Vec<String> =
        alerts.iter().map(|name| format!("docs/alerts.md#{}", name.to_lowercase())).collect();
    assert_eq!(all("runbook:"), links);
    for (name, text) in paragraphs {
        assert!(text.contains("**Look**: ") && text.contains("**Do**: "), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_of_the_dashboard_is_right_and_no_panel_is_left_empty_or_twice() {
    let rules: Vec<Value> = expressions()
        .iter()
        .enumerate()
        .map(|(number, expression)| json!({ "record": format!("panel:expression:{number}"), "expr": expression }))
        .collect();
    assert!(rules.len() > 20, "{rules:?}");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    // JSON is YAML.
    fs::write(&file, json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string())
        .expect("written");
    promtool(&["check", "rules"], file.path()).await;
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(!panel["targets"].as_array().expect("targets").is_empty(), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }
}

/// Returns the names of series in a text; those of recording rules, which have colons, are none.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = text.split(|letter| !is_part(letter)).filter(|word| !word.contains(':'));
    words.filter(|word| word.starts_with("la_gateway_") || word.starts_with("agent_lite_")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_of_rules_and_dashboard_is_shown_by_a_running_gateway_or_agent() {
    let reported = "[role.trial]\nmode = \"report\"\nanonymous_from = [\"127.0.0.0/8\"]\n";
    let stage = Stage::good(Config::new(reported)).await;
    let pair = AgentStage::new(1).await;
    pair.configure(&[By::Secret], "[metrics]\naddress = \"127.0.0.1:0\"\n[source.heartbeat.default]\n");
    let agent = Agent::start(&pair.home).await;
    pair.fake.wait_for_rows(pair.id(0), "AgentLiteOperation_CL", 1).await;
    let metrics = [stage.gateway.metrics().await, metrics_of(&agent).await];
    let shown: BTreeSet<&str> = metrics
        .iter()
        .flat_map(Metrics::series)
        .map(|series| series.split('{').next().unwrap_or(series))
        .collect();
    let texts = [read(RULES), read("deploy/grafana/la-gateway.json"), expressions().join("\n")];
    let used: BTreeSet<&str> = texts.iter().flat_map(|text| names(text)).collect();
    assert!(used.len() > 25, "{used:?}");
    let unknown: Vec<&&str> = used.difference(&shown).collect();
    assert!(unknown.is_empty(), "nobody shows {unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_a_gateway_and_finds_by_the_rules_that_traffic_flows() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("prometheus.yml");
    let sample = read("deploy/prometheus/prometheus.yml");
    let admin = stage.gateway.admin().to_string();
    assert!(
        sample.contains("127.0.0.1:9180")
            && sample.contains(": 30s")
            && sample.contains("- la-gateway.rules")
    );
    let here = sample.replace("127.0.0.1:9180", &admin).replace(": 30s", ": 1s");
    let rules = deployed("deploy/prometheus");
    let here = here.replace("- la-gateway.rules", &format!("- {}/la-gateway.rules", rules.display()));
    fs::write(&file, here).expect("written");
    let Some(prometheus) = Prometheus::start(&file).await else { return };
    let carried = format!("instance:la_gateway_carried:rate5m{{instance=\"{admin}\"}} > 0");
    patiently("Prometheus sees tunnels", async {
        while prometheus.query(&carried).await.is_empty() {
            stage.serve_a_good_client(&[]).await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert_eq!(prometheus.query("up{job=\"la-gateway\"}").await, [1.0]);
    let groups = prometheus.api("rules").await.expect("an answer")["groups"].clone();
    let rules =
        groups.as_array().expect("groups").iter().flat_map(|group| group["rules"].as_array().cloned());
    for rule in rules.flatten() {
        assert_ne!(rule["health"], "err", "{rule}");
    }
}
