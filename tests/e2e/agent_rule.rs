//! Configuration from afar: a data collection rule from a blob, through the gateway, taken, refused and rolled back.

use end_to_end::agent::Agent;
use end_to_end::patience::patiently;
use end_to_end::workspace::Fault;
use end_to_end::workspace::Place;
use end_to_end::workspace::SeenRequest;
use serde_json::Value;

use crate::agent_gateways::open;
use crate::agent_rule_stage::Afar;
use crate::agent_rule_stage::rule;
use crate::agent_service::metrics_of;
use crate::agent_stage::By;
use crate::agent_stage::LOOK_AGAIN;
use crate::agent_stage::free_address;
use crate::agent_stage::gateway;
use crate::agent_stage::list;

/// Events of a reload and of a data collection rule.
const RELOADED: u64 = 502;
const TAKEN: u64 = 580;
const PROVEN: u64 = 581;
const REFUSED: u64 = 582;
const ROLLED_BACK: u64 = 583;
const UNREACHABLE: u64 = 584;
const REACHABLE: u64 = 585;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_blob_takes_effect_within_one_look_and_the_same_blob_is_not_sent_again() {
    let afar = Afar::new("{}").await;
    afar.put(&rule(&afar.logs("a*.log"), "App_CL", false));
    let agent = Agent::start(&afar.stage.home).await;
    agent.wait_for_event(TAKEN).await;
    afar.arrives("a", "one").await;
    agent.wait_for_event(PROVEN).await;
    let first = afar.rule_status().await;
    assert!(first["probation"].is_null() && first["refused"].is_null(), "{first}");
    afar.wait_for_looks(304, 2).await;
    assert_eq!(agent.events(TAKEN).len(), 1);

    let before = afar.looks().len();
    afar.put(&rule(&afar.logs("b*.log"), "App_CL", true));
    agent.wait_for_events(TAKEN, 2).await;
    let fresh: Vec<SeenRequest> = afar.looks().split_off(before);
    assert!(
        fresh.iter().filter(|look| look.status == Some(304)).count() <= 1,
        "it was taken with the first look"
    );
    afar.log("a", "not read any more");
    afar.arrives("b", "two").await;
    afar.send("seq=3").await;
    let rows = afar.stage.fake.rows(afar.stage.id(0), "App_CL");
    assert!(!rows.iter().any(|row| row.message().starts_with("not read")), "{rows:?}");
    afar.stage.fake.wait_for_rows(afar.stage.id(0), "Syslog", 1).await;
    let told = afar.stage.fake.wait_for_rows(afar.stage.id(0), "AgentLiteOperation_CL", 3).await;
    let keys: Vec<&str> = told.iter().map(|row| row.text("OperationKey")).collect();
    assert_eq!(keys, ["started", "taken", "taken"]);
    let looks = afar.looks();
    assert!(looks[0].header("if-none-match").is_none() && looks[1].header("if-none-match").is_some());
    let sources = afar.stage.status().await;
    let names: Vec<&str> =
        list(&sources, "sources").iter().filter_map(|source| source["name"].as_str()).collect();
    assert_eq!(names, ["heartbeat.default", "syslog.dcr", "files.dcr-App_CL"]);
    afar.assert_no_signature(&agent).await;
    afar.stage.assert_all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_rule_is_refused_and_reported_once_and_the_one_before_goes_on() {
    let afar = Afar::new("{}").await;
    let good = rule(&afar.logs("*.log"), "App_CL", false);
    afar.put(&good);
    let agent = Agent::start(&afar.stage.home).await;
    agent.wait_for_event(PROVEN).await;
    let broken = [
        "{ \"properties\": ".to_owned(),
        good.replace("\"transformKql\":\"source\"", "\"transformKql\":\"source | take 1\""),
        rule("/etc/*", "App_CL", false),
        rule(&format!("{}/../../*", afar.logs("")), "App_CL", false),
        good.replace("la-plant", "la-elsewhere"),
    ];
    let said =
        ["is no JSON", "transformations", "log_directories", "log_directories", "no workspace here is meant"];
    let mut before = Value::Null;
    for (number, (text, said)) in broken.iter().zip(said).enumerate() {
        afar.put(text);
        let find = |rule: &Value| {
            let reasons = rule["refused"]["reasons"].as_array().cloned().unwrap_or_default();
            let says =
                reasons.iter().any(|reason| reason.as_str().is_some_and(|reason| reason.contains(said)));
            says && rule["refused"]["version"] != before
        };
        let status = afar.wait_for_version(&format!("{said} is refused"), find).await;
        assert!(
            status["version"].is_string() && status["version"] != status["refused"]["version"],
            "{status}"
        );
        before = status["refused"]["version"].clone();
        afar.arrives("a", &format!("number {number}")).await;
    }
    let refused = agent.events(REFUSED).len();
    afar.wait_for_looks(304, 2).await;
    assert_eq!(agent.events(REFUSED).len(), refused, "it was said once");
    let metrics = metrics_of(&agent).await;
    assert_eq!(metrics.value("agent_lite_data_collection_rule_refused", &[]), 1.0);
    assert_eq!(metrics.value("agent_lite_data_collection_rule_total", &[("outcome", "refused")]), 5.0);
    let shown = afar.stage.home.command(&["status"]).await.stdout;
    assert!(shown.contains(" is refused since ") && shown.contains("no workspace here is meant"), "{shown}");
    let told = afar.stage.fake.wait_for_rows(afar.stage.id(0), "AgentLiteOperation_CL", 7).await;
    let refusals = told.iter().filter(|row| row.text("OperationKey") == "refused");
    assert!(refusals.clone().all(|row| row.text("OperationStatus") == "Error") && refusals.count() == 5);
    // What is taken back is no longer refused.
    afar.put(&rule(&afar.logs("*.log"), "App_CL", true));
    afar.wait_for_version("the next one", |rule| rule["refused"].is_null()).await;
    afar.assert_no_signature(&agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_with_which_sending_stops_is_rolled_back_and_not_tried_again() {
    let afar = Afar::new("{}").await;
    afar.put(&rule(&afar.logs("*.log"), "App_CL", false));
    let mut agent = Agent::start(&afar.stage.home).await;
    agent.wait_for_event(PROVEN).await;
    afar.arrives("a", "one").await;

    // The rule in Azure has no such stream, so the service answers 404. The probation is long enough to see it.
    let reloads = agent.events(RELOADED).len();
    afar.configure("8s");
    agent.hang_up().await;
    agent.wait_for_events(RELOADED, reloads + 1).await;
    afar.put(&rule(&afar.logs("*.log"), "Nowhere_CL", false));
    agent.wait_for_events(TAKEN, 2).await;
    patiently("it is rolled back", async {
        while agent.events(ROLLED_BACK).is_empty() {
            afar.log("a", "two");
            tokio::time::sleep(10 * LOOK_AGAIN).await;
        }
    })
    .await;
    let back = agent.wait_for_event(ROLLED_BACK).await;
    assert!(back.text("detail").contains("workspace w0, table Nowhere_CL:"), "{}", back.text("detail"));
    let status = afar.wait_for_version("the first is back", |rule| rule["refused"].is_object()).await;
    assert_ne!(status["version"], status["refused"]["version"], "{status}");
    afar.arrives("b", "three").await;
    afar.wait_for_looks(304, 2).await;
    assert_eq!(agent.events(TAKEN).len(), 2, "it is not tried again");

    // Not even after a start.
    agent.terminate().await;
    assert!(agent.exit_status().await.success());
    let agent = Agent::start(&afar.stage.home).await;
    afar.wait_for_looks(304, 2).await;
    let status = afar.rule_status().await;
    assert!(
        agent.events(TAKEN).is_empty() && status["version"].is_string() && status["refused"].is_object(),
        "{status}"
    );
    afar.put(&rule(&afar.logs("*.log"), "App_CL", true));
    agent.wait_for_event(PROVEN).await;
    afar.assert_no_signature(&agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_the_blob_runs_the_last_good_rule() {
    let afar = Afar::new("{}").await;
    afar.put(&rule(&afar.logs("*.log"), "App_CL", false));
    let mut agent = Agent::start(&afar.stage.home).await;
    agent.wait_for_event(PROVEN).await;
    let version = afar.rule_status().await["version"].clone();
    agent.kill9().await;

    let fault = afar.stage.fake.fault(Fault::status(403).at(Place::Download));
    let agent = Agent::start(&afar.stage.home).await;
    let failed = agent.wait_for_event(UNREACHABLE).await;
    assert!(failed.text("detail").contains("403") && failed.text("detail").contains("blob_sas_url_file"));
    afar.arrives("a", "one").await;
    let status = afar.rule_status().await;
    assert_eq!((&status["version"], status["trouble"].is_string()), (&version, true), "{status}");
    assert_eq!(afar.stage.home.command(&["status"]).await.exit, 0, "every workspace takes records");
    afar.stage.fake.clear(fault);
    agent.wait_for_event(REACHABLE).await;
    assert!(agent.events(TAKEN).is_empty(), "it is the same rule");
    afar.assert_no_signature(&agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_gateway_rolls_nothing_back() {
    let afar = Afar::new("{}").await;
    let address = free_address();
    let listener = format!("address = \"{address}\"");
    let first = gateway(&afar.stage.fake, open(&listener)).await;
    afar.configure_through(&format!("http://{address}"), "1s");
    afar.put(&rule(&afar.logs("*.log"), "App_CL", false));
    let agent = Agent::start(&afar.stage.home).await;
    agent.wait_for_event(TAKEN).await;
    drop(first);
    agent.wait_for_event(UNREACHABLE).await;
    // Longer than the probation: as long as the agent needs to look three times in vain.
    let failed = |status: &Value| {
        let waiting = list(status, "workspaces")[0]["queue_records"].as_u64() > Some(2);
        (waiting && status["rule"]["trouble"].is_string()).then_some(())
    };
    afar.stage.wait_for_status("records wait", failed).await;
    assert!(agent.events(ROLLED_BACK).is_empty());
    let _back = gateway(&afar.stage.fake, open(&listener)).await;
    afar.arrives("a", "one").await;
    agent.wait_for_event(PROVEN).await;
    assert!(agent.events(ROLLED_BACK).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_in_a_file_is_taken_too_and_a_narrower_local_configuration_ends_it() {
    let afar = Afar::new("{}").await;
    let file = afar.stage.home.write("rule.json", rule(&afar.logs("*.log"), "App_CL", false));
    let section = |more: &str| {
        let text = format!(
            "[data_collection_rule]\nfile = \"rule.json\"\npoll = \"1s\"\nprobation = \"1s\"\n\
             destinations = {{ \"la-plant\" = \"w0\" }}\n{more}\n[source.heartbeat.default]\nevery = \"1s\"\n"
        );
        afar.stage.configure(&[By::Secret], &text);
    };
    section(&format!("log_directories = [{:?}]", afar.logs("")));
    let agent = Agent::start(&afar.stage.home).await;
    agent.wait_for_event(PROVEN).await;
    afar.arrives("a", "one").await;
    std::fs::write(&file, rule(&afar.logs("b*.log"), "App_CL", false)).expect("a file");
    agent.wait_for_events(PROVEN, 2).await;
    section("log_directories = [\"/var/log/elsewhere\"]");
    agent.hang_up().await;
    agent.wait_for_event(REFUSED).await;
    let status = afar.wait_for_version("no rule", |rule| rule["version"].is_null()).await;
    assert!(status["refused"].is_object(), "{status}");
    let sources = afar.stage.status().await;
    assert_eq!(list(&sources, "sources").len(), 1, "{sources}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_dcr_prints_what_the_agent_would_do_and_lists_what_is_left_out() {
    let afar = Afar::new("{}").await;
    let home = &afar.stage.home;
    home.write("rule.json", rule("/var/log/app/*.log", "App_CL", true));
    let whole = home.command(&["import-dcr", "rule.json"]).await;
    assert_eq!((whole.exit, whole.stderr.as_str()), (0, ""), "{}", whole.stdout);
    for part in [
        "[source.syslog.dcr]",
        "[source.files.dcr-App_CL]",
        "table = \"App_CL\"",
        "workspaces = [\"la-plant\"]",
    ] {
        assert!(whole.stdout.contains(part), "{part} is missing in\n{}", whole.stdout);
    }
    // It is our own configuration.
    let config = whole.stdout.replace("la-plant", "w0");
    afar.stage.configure(&[By::Secret], &config);
    let checked = home.command(&["check"]).await;
    assert_eq!(checked.exit, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("source     files.dcr-App_CL to w0"), "{}", checked.stdout);

    let filtered = rule("/var/log/app/*.log", "App_CL", true)
        .replace("\"transformKql\":\"source\"", "\"transformKql\":\"source | take 1\"");
    let part = home.command_with(&["import-dcr", "-"], filtered.as_bytes()).await;
    assert_eq!(part.exit, 1, "{part:?}");
    assert!(
        part.stderr.contains("not carried over: $.properties.dataFlows[0].transformKql:"),
        "{}",
        part.stderr
    );
    assert!(part.stdout.contains("# NOT carried over:"), "{}", part.stdout);
    let wrong = home.command_with(&["import-dcr", "-"], b"{ \"surprise\": 1 }").await;
    assert_eq!((wrong.exit, wrong.stdout.as_str()), (78, ""), "{wrong:?}");
    assert!(wrong.stderr.contains("-: $.surprise: is no member"), "{}", wrong.stderr);
    assert_eq!(home.command(&["import-dcr", "nowhere.json"]).await.exit, 1);
}
