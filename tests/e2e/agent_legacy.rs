//! A machine of the legacy agent goes on with this one: its configuration, its identity and its sources.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;

use end_to_end::agent::Agent;
use end_to_end::workspace::Place;

use crate::agent_onboarding::old_certificate;
use crate::agent_stage::AgentStage;
use crate::agent_stage::application;

/// The legacy agent's GUID.
const GUID: &str = "5a8c4200-04e3-4d96-97d8-6ac82cda4783";

/// Writes a file of the legacy agent.
fn plant(stage: &AgentStage, name: &str, text: &str) {
    let file = stage.home.path().join("machine/etc/opt/microsoft/omsagent").join(name);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(file, text).expect("a file");
}

/// Writes what the legacy agent has after its onboarding, and makes the service know it.
fn set_up(stage: &AgentStage) {
    let id = stage.id(0);
    let logs = stage.home.path().join("logs");
    std::fs::create_dir(&logs).expect("a folder");
    plant(stage, "proxy.conf", &format!("{}\n", stage.gateway.proxy_url()));
    plant(
        stage,
        &format!("{id}/conf/omsadmin.conf"),
        &format!("WORKSPACE_ID={id}\nAGENT_GUID={GUID}\nURL_TLD=opinsights.azure.com\n"),
    );
    plant(
        stage,
        &format!("{id}/conf/omsagent.d/all.conf"),
        &format!(
            "<source>\n  type syslog\n  port 0\n  bind 127.0.0.1\n  protocol_type udp\n  tag oms.syslog\n</source>\n\
             <source>\n  type sudo_tail\n  path {}/*.log\n  read_from_head true\n  tag oms.blob.CustomLog.CUSTOM_LOG_BLOB.Plant_CL_{id}.*\n  format none\n</source>\n",
            logs.display()
        ),
    );
    let (certificate, der) = old_certificate(id, GUID);
    plant(stage, &format!("{id}/certs/oms.crt"), &certificate);
    plant(stage, &format!("{id}/certs/oms.key"), &application().1);
    stage.fake.know(id, GUID, &der);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_of_the_legacy_agent_goes_on_with_its_identity_and_sources_and_needs_no_key() {
    let stage = AgentStage::new(1).await;
    set_up(&stage);
    let authority = stage.pki.authority_file().display().to_string();
    let arguments = [
        "import-omsagent",
        "machine",
        "--write",
        "imported.toml",
        "--identity",
        "--state",
        "state",
        "--azure-ca",
        &authority,
    ];
    let outcome = stage.home.command(&arguments).await;
    assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains(&format!("this agent is {GUID} here, too")), "{}", outcome.stdout);
    let folder = stage.home.path().join("state/identity").join(stage.id(0));
    for file in ["agent.key", "agent.crt", "identity.json"] {
        let mode = std::fs::metadata(folder.join(file)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // What the journey needs to see and to wait little.
    let imported = std::fs::read_to_string(stage.home.path().join("imported.toml")).expect("a configuration");
    stage.home.reconfigure(&format!(
        "{imported}\n[log]\nformat = \"json\"\n[spool]\nseal_after = \"100ms\"\nsync = \"50ms\"\n"
    ));
    let agent = Agent::start(&stage.home).await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(b"<13>Nov 22 11:16:15 edge7 app: handed over", agent.udp()).expect("a datagram sent");
    std::fs::write(stage.home.path().join("logs/plant.log"), "a line of the plant\n").expect("a log");
    let rows = stage.fake.wait_for_rows(stage.id(0), "Syslog", 1).await;
    assert_eq!(rows[0].message(), "handed over");
    let rows = stage.fake.wait_for_rows(stage.id(0), "Plant_CL", 1).await;
    assert_eq!(rows[0].text("RawData"), "a line of the plant");
    let agents = stage.fake.agents(stage.id(0));
    assert!(agents.len() == 1 && agents[0].guid == GUID, "{agents:?}");
    let asked = stage.fake.requests_at(stage.id(0), Place::Topology);
    assert!(asked.iter().all(|request| request.header("authorization").is_none()), "the key was used");
    stage.assert_all_is_well().await;
}
