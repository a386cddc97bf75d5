//! The agent's installer, from a machine without the agent to one without it again.

use std::fs;

use crate::ONE_SERVICE;
use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::by_drive;
use crate::machine::Machine;
use crate::stage;

const HEARTBEAT: &str = "[source.heartbeat.often]\nevery = \"1s\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn the_installer_installs_upgrades_and_removes_the_service_and_leaves_configuration_and_state() {
    let _alone = ONE_SERVICE.lock().await;
    let stage = stage().await;
    let machine = Machine::bare("agent-lite");

    assert!(machine.install("agent-lite.msi").await);
    assert_eq!(machine.run(&["service", "state"]).await.trim(), "Stopped", "there is nothing to start with");
    let said = machine.run(&["service", "start", "--if-configured"]).await;
    assert!(said.contains("not started") && said.contains("onboard"), "{said}");
    assert_eq!(
        fs::read_dir(&machine.home).unwrap().count(),
        0,
        "nothing is laid where the configuration belongs"
    );
    assert!(machine.installed("agent.sample.toml").exists() && machine.installed("LICENSE.txt").exists());

    configure(&machine, &stage, HEARTBEAT);
    machine.run(&["service", "start"]).await;
    let delivered = heartbeats(&stage, 0).await;
    let (configuration, agent) = kept(&machine);

    assert!(machine.install("agent-lite-next.msi").await);
    assert_eq!(machine.run(&["service", "state"]).await.trim(), "Running", "it ran, and runs again");
    heartbeats(&stage, delivered + 1).await;
    assert_eq!(kept(&machine), (configuration.clone(), agent.clone()), "an upgrade changes neither");
    assert!(!machine.install("agent-lite.msi").await, "an older version");
    assert_eq!(
        machine.run(&["service", "state"]).await.trim(),
        "Running",
        "an older version changes nothing"
    );

    assert!(machine.msiexec("/x", "agent-lite-next.msi").await);
    assert!(!machine.installed("").exists(), "the program's folder is gone");
    assert_ne!(stage.home.command(&["service", "state"]).await.exit, 0, "and so is the service");
    assert_eq!(kept(&machine), (configuration, agent), "configuration and state are the machine's");
    assert!(!machine.home.join("state/running").exists(), "it ended in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn an_installation_whose_service_cannot_start_fails_and_leaves_no_service() {
    let _alone = ONE_SERVICE.lock().await;
    let stage = stage().await;
    let machine = Machine::bare("agent-lite");
    configure(&machine, &stage, "[source.heartbeat.often]\nevry = \"1s\"\n");
    assert!(!machine.install("agent-lite.msi").await);
    assert_ne!(stage.home.command(&["service", "state"]).await.exit, 0, "no service is left behind");
    assert!(!machine.installed("agent-lite.exe").exists(), "and no program");
    let log = fs::read_to_string(machine.home.join("agent.log")).unwrap();
    assert!(log.contains("evry"), "the log names what is wrong: {log}");
}

/// Waits for more heartbeats than so many, and returns how many there are.
async fn heartbeats(stage: &AgentStage, more_than: u64) -> u64 {
    let table = By::Key.table("Heartbeat");
    stage.fake.wait_for_rows(stage.id(0), &table, more_than + 2).await.len() as u64
}

/// Lays the stage's configuration where the service looks for it.
fn configure(machine: &Machine, stage: &AgentStage, text: &str) {
    stage.configure(&[By::Key], text);
    fs::create_dir_all(&machine.home).unwrap();
    let own = fs::read_to_string(stage.home.config()).unwrap();
    let authority = stage.pki.authority_file();
    let own = own.replace(&format!("{authority:?}"), &format!("{:?}", by_drive(&authority)));
    fs::write(machine.home.join("agent.toml"), own).unwrap();
    fs::copy(stage.home.path().join("w0.key"), machine.home.join("w0.key")).unwrap();
}

/// Returns what must stay: the configuration, and who the agent is.
fn kept(machine: &Machine) -> (Vec<u8>, Vec<u8>) {
    let read = |name| fs::read(machine.home.join(name)).unwrap();
    (read("agent.toml"), read("state/agent-id"))
}
