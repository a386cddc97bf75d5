//! Machines made from one folder: which one is the agent, and what becomes of the queue that both have.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use end_to_end::agent::Agent;
use end_to_end::agent::AgentHome;
use end_to_end::workspace::Fault;
use end_to_end::workspace::Place;
use serde_json::Value;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::SYSLOG;
use crate::agent_stage::files_below;

/// Event: the agent has made itself known to the workspace.
const ONBOARDED: u64 = 510;
/// Event: the queue waits.
const UPLOAD_FAILED: u64 = 530;
/// Event: this machine is a clone.
const CLONED: u64 = 560;
/// Event: a part of the machine is another one.
const RESEALED: u64 = 561;
/// The parts of a machine, as the system shows them.
const PARTS: [&str; 4] = [
    "machine/sys/class/dmi/id/product_uuid",
    "machine/sys/class/net/eth0/address",
    "machine/sys/block/sda/serial",
    "machine/etc/machine-id",
];

/// Writes the parts of a machine: an image brings its machine-id along.
fn become_machine(home: &AgentHome, name: &str) {
    PARTS.iter().for_each(|part| set_part(home, part, if part.contains("etc") { "image" } else { name }));
    std::fs::create_dir_all(home.path().join("machine/sys/class/net/eth0/device")).expect("a folder");
}

fn set_part(home: &AgentHome, part: &str, name: &str) {
    let file = home.path().join(part);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(file, format!("number-of-{name}\n")).expect("a file");
}

/// Returns the configuration of the stage with more keys for the agent and the workspace.
fn configure(stage: &AgentStage, key_file: &str) -> String {
    stage.configure(&[By::Certificate], SYSLOG);
    let text = std::fs::read_to_string(stage.home.config()).expect("a configuration");
    let text = text
        .replace("state = \"state\"\n", "state = \"state\"\nclones = \"notice\"\nhost_root = \"machine\"\n")
        .replace(
            "transport = \"log-analytics-agent\"\n",
            &format!("transport = \"log-analytics-agent\"\n{key_file}"),
        );
    stage.home.reconfigure(&text);
    text
}

/// Makes another folder with the same state, as a clone of the machine has it.
fn image_of(home: &AgentHome, config: &str) -> AgentHome {
    let copy = AgentHome::new(config);
    for file in files_below(&home.path().join("state")) {
        let to = copy.path().join(file.strip_prefix(home.path()).expect("a path below"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        // A socket is no part of an image.
        let _ = std::fs::copy(&file, &to);
    }
    copy
}

fn send(agent: &Agent, text: &str) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(format!("<13>app: {text}").as_bytes(), agent.unix()).expect("a datagram sent");
}

fn read(home: &AgentHome, name: &str) -> String {
    let file = home.path().join("state").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The certificate and GUID of an agent.
fn identity(stage: &AgentStage, home: &AgentHome) -> (String, String) {
    let folder = Path::new("identity").join(stage.id(0));
    let page: Value =
        serde_json::from_str(&read(home, &folder.join("identity.json").to_string_lossy())).expect("JSON");
    (
        read(home, &folder.join("agent.crt").to_string_lossy()),
        page["agent_id"].as_str().expect("a GUID").to_owned(),
    )
}

async fn status(home: &AgentHome) -> Value {
    serde_json::from_str(&home.command(&["status", "--json"]).await.stdout).expect("a status")
}

/// An onboarded agent with one record in its queue that the service did not take, killed at this moment.
async fn with_a_queue(stage: &AgentStage) {
    become_machine(&stage.home, "first");
    stage.onboard(0).await;
    let fault = stage.fake.fault(Fault::status(503).at(Place::Items));
    let mut agent = Agent::start(&stage.home).await;
    send(&agent, "inherited");
    agent.wait_for_event(UPLOAD_FAILED).await;
    stage
        .wait_for_status("the message waits", |status| {
            (status["workspaces"][0]["queue_records"].as_u64()? >= 2).then_some(())
        })
        .await;
    agent.kill9().await;
    stage.fake.clear(fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_machines_made_from_one_folder_one_goes_on_and_the_clone_is_a_new_agent_that_sends_nothing_inherited()
 {
    let stage = AgentStage::new(1).await;
    let config = configure(&stage, "key_file = \"w0.key\"\n");
    with_a_queue(&stage).await;
    let clone = image_of(&stage.home, &config);
    clone.write("w0.key", stage.workspace(0).key_text());
    become_machine(&clone, "second");
    let before = identity(&stage, &stage.home);

    let cloned = Agent::start(&clone).await;
    let said = cloned.wait_for_event(CLONED).await;
    assert!(said.text("detail").contains(&before.1), "{said:?}");
    cloned.wait_for_event(ONBOARDED).await;
    send(&cloned, "of the clone");
    stage.wait_for_messages(0, "Syslog", &["of the clone"]).await;
    let after = identity(&stage, &clone);
    assert!(after.0 != before.0 && after.1 != before.1, "{after:?}");
    let status = status(&clone).await;
    assert_eq!(status["inherited"][0]["agent_id"], before.1, "{status}");
    assert!(status["inherited"][0]["records"].as_u64() >= Some(2), "{status}");
    let operations = stage.fake.rows(stage.id(0), "Operation");
    assert!(
        operations.iter().any(|row| row.text("Detail").contains("this is a clone of agent")),
        "{operations:?}"
    );
    let doctor = clone.command(&["doctor"]).await;
    assert!(doctor.stdout.contains("ok    this machine: it is the one that was sealed"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("-     inherited queue: "), "{}", doctor.stdout);

    let original = Agent::start(&stage.home).await;
    stage.wait_for_messages(0, "Syslog", &["of the clone", "inherited"]).await;
    send(&original, "of the original");
    stage.wait_for_messages(0, "Syslog", &["of the clone", "inherited", "of the original"]).await;
    assert_eq!(identity(&stage, &stage.home), before);
    assert!(original.events(CLONED).is_empty() && original.events(RESEALED).is_empty());
    let mut guids: Vec<String> = stage.fake.agents(stage.id(0)).into_iter().map(|agent| agent.guid).collect();
    guids.sort();
    let mut expected = [before.1, after.1];
    expected.sort();
    assert_eq!(guids, expected);
    stage.assert_all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_without_the_key_says_what_to_run_and_what_it_inherited_can_be_taken_back() {
    let stage = AgentStage::new(1).await;
    configure(&stage, "");
    with_a_queue(&stage).await;
    let before = identity(&stage, &stage.home);
    become_machine(&stage.home, "second");
    let doctor = stage.home.command(&["doctor"]).await;
    assert!(doctor.stdout.contains("FAIL  this machine: it is a clone"), "{}", doctor.stdout);
    let mut agent = Agent::start(&stage.home).await;
    let said = agent.wait_for_event(CLONED).await;
    let command = format!("agent-lite onboard -w {} -k KEY_FILE", stage.id(0));
    assert!(said.text("detail").contains(&command), "{said:?}");
    stage.onboard(0).await;
    send(&agent, "of the clone");
    stage.wait_for_messages(0, "Syslog", &["of the clone"]).await;
    assert_ne!(identity(&stage, &stage.home).1, before.1);
    let refused = stage.home.command(&["inherited", "take-back"]).await;
    assert!(refused.exit != 0 && refused.stderr.contains("another agent-lite runs"), "{}", refused.stderr);
    agent.terminate().await;
    agent.exit_status().await;
    let shown = stage.home.command(&["inherited"]).await;
    assert!(
        shown.stdout.contains(&before.1) && shown.stdout.contains("other parts: firmware"),
        "{}",
        shown.stdout
    );
    let taken = stage.home.command(&["inherited", "take-back"]).await;
    assert_eq!(taken.exit, 0, "{}", taken.stderr);
    let _agent = Agent::start(&stage.home).await;
    stage.wait_for_messages(0, "Syslog", &["of the clone", "inherited"]).await;
    let shown = stage.home.command(&["inherited"]).await;
    assert_eq!(shown.stdout, "nothing is inherited here\n");
    stage.assert_all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_disk_alone_and_a_changed_card_alone_keep_the_identity_and_the_queue() {
    let stage = AgentStage::new(1).await;
    configure(&stage, "");
    with_a_queue(&stage).await;
    let before = identity(&stage, &stage.home);
    let mut messages = vec!["inherited"];
    for (part, message) in [(PARTS[2], "after the disk"), (PARTS[1], "after the card")] {
        set_part(&stage.home, part, "another");
        let mut agent = Agent::start(&stage.home).await;
        agent.wait_for_event(RESEALED).await;
        send(&agent, message);
        messages.push(message);
        stage.wait_for_messages(0, "Syslog", &messages).await;
        assert!(agent.events(CLONED).is_empty());
        assert_eq!(identity(&stage, &stage.home), before, "{message}");
        stage.assert_all_is_well().await;
        agent.terminate().await;
        agent.exit_status().await;
    }
    assert_eq!(stage.fake.agents(stage.id(0)).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generalized_image_keeps_its_configuration_and_its_machines_onboard_themselves() {
    let stage = AgentStage::new(1).await;
    let config = configure(&stage, "key_file = \"w0.key\"\n");
    stage.secret("w0.key", &stage.workspace(0).key_text());
    become_machine(&stage.home, "first");
    let mut agent = Agent::start(&stage.home).await;
    agent.wait_for_event(ONBOARDED).await;
    let first = identity(&stage, &stage.home);
    let refused = stage.home.command(&["generalize"]).await;
    assert!(refused.exit != 0 && refused.stderr.contains("another agent-lite runs"), "{}", refused.stderr);
    let drained = stage.home.command(&["drain", "--within", "50s"]).await;
    assert_eq!(drained.exit, 0, "{}", drained.stderr);
    agent.kill9().await;
    let done = stage.home.command(&["generalize"]).await;
    assert_eq!(done.exit, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(
        files_below(&stage.home.path().join("state")),
        Vec::<std::path::PathBuf>::new(),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("onboard themselves with"), "{}", done.stdout);
    let mut identities = vec![first];
    for name in ["second", "third"] {
        let home = image_of(&stage.home, &config);
        home.write("w0.key", stage.workspace(0).key_text());
        become_machine(&home, name);
        let agent = Agent::start(&home).await;
        agent.wait_for_event(ONBOARDED).await;
        assert!(agent.events(CLONED).is_empty());
        let own = identity(&stage, &home);
        assert!(identities.iter().all(|known| known.0 != own.0 && known.1 != own.1), "{own:?}");
        identities.push(own);
    }
    assert_eq!(stage.fake.agents(stage.id(0)).len(), 3);
    stage.fake.assert_no_problems();
}
