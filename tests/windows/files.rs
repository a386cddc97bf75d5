//! Onboarding, and custom logs over rotation, over a kill and over a time without a gateway.

use std::fs;
use std::io::Write;

use end_to_end::agent::Agent;
use end_to_end::workspace::Fault;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::files_below;
use crate::by_drive;
use crate::stage;

/// A source of every log in the agent's folder.
fn source(stage: &AgentStage) -> String {
    let pattern = format!("{}\\*.log", by_drive(stage.home.path()).replace('/', "\\"));
    format!(
        "[source.files.app]\npaths = ['{pattern}']\ntable = \"App_CL\"\nfrom = \"beginning\"\n[source.heartbeat.one]\n"
    )
}

fn append(stage: &AgentStage, name: &str, lines: &[&str]) {
    let path = stage.home.path().join(name);
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}\r").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn an_onboarded_agent_delivers_every_line_of_a_log_once_over_its_rotation() {
    let stage = stage().await;
    stage.configure(&[], &source(&stage));
    stage.onboard(0).await;
    let keys: Vec<_> =
        files_below(stage.home.path()).into_iter().filter(|path| path.ends_with("agent.key")).collect();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let key = fs::read_to_string(key).unwrap();
    assert!(key.contains("sealed") && !key.contains("PRIVATE KEY"), "the key lies open");

    append(&stage, "a.log", &["one", "two"]);
    let agent = Agent::start(&stage.home).await;
    stage.wait_for_messages(0, "App_CL", &["one", "two"]).await;
    append(&stage, "a.log", &["three"]);
    fs::rename(stage.home.path().join("a.log"), stage.home.path().join("a.log.1")).unwrap();
    append(&stage, "a.log", &["four"]);
    let rows = stage.wait_for_messages(0, "App_CL", &["one", "two", "three", "four"]).await;
    assert!(
        rows.iter().all(|row| row.columns["FilePath"].as_str().is_some_and(|path| path.starts_with("Z:\\")))
    );
    let beats = stage.fake.wait_for_rows(stage.id(0), "Heartbeat", 1).await;
    assert_eq!(beats[0].columns["OSType"], "Windows");
    stage.assert_all_is_well().await;
    drop(agent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn what_a_killed_agent_had_in_its_queue_the_next_one_sends() {
    let stage = stage().await;
    stage.configure(&[By::Key], &source(&stage));
    let outcome = stage.home.command(&["protect", "w0.key"]).await;
    assert_eq!(outcome.exit, 0, "{outcome:?}");
    let key = fs::read_to_string(stage.home.path().join("w0.key")).unwrap();
    assert!(key.contains("sealed") && !key.contains(&stage.workspace(0).key_text()), "the key lies open");
    let broken = stage.fake.fault(Fault::status(503));
    append(&stage, "a.log", &["one", "two"]);
    let mut agent = Agent::start(&stage.home).await;
    stage
        .wait_for_status("both lines are queued", |status| {
            (status["workspaces"][0]["queue_records"].as_u64()? >= 2).then_some(())
        })
        .await;
    agent.kill9().await;
    append(&stage, "a.log", &["three"]);
    stage.fake.clear(broken);
    let agent = Agent::start(&stage.home).await;
    stage.wait_for_messages(0, "App_CL", &["one", "two", "three"]).await;
    stage.assert_nothing_doubled();
    drop(agent);
}
