//! The real rsyslog before the agent, with the snippet that operators copy.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use end_to_end::agent::Agent;
use end_to_end::installed;
use end_to_end::patience::patiently;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::LOOK_AGAIN;
use crate::agent_stage::SYSLOG;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_rsyslog_hands_over_all_it_has_with_the_snippet_of_deploy() {
    const MESSAGES: u64 = 300;
    let stage = AgentStage::new(1).await;
    stage.configure(&[By::Secret], SYSLOG);
    let agent = Agent::start(&stage.home).await;
    let folder = stage.home.path().join("rsyslog");
    std::fs::create_dir(&folder).expect("a folder for rsyslog");
    let snippet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agent-lite/rsyslog.conf");
    let snippet = std::fs::read_to_string(snippet).expect("the snippet");
    let here = format!("port=\"{}\"", agent.tcp().port());
    let config = format!(
        "global(workDirectory=\"{0}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{0}/in.sock\")\n{1}",
        folder.display(),
        snippet.replacen("port=\"25224\"", &here, 1)
    );
    let file = stage.home.write("rsyslog.conf", config);
    let mut command = tokio::process::Command::new("rsyslogd");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin")).args(["-n", "-i", "NONE", "-f"]).arg(&file);
    let Some(_rsyslog) = installed::start(&mut command) else { return };
    let socket = UnixDatagram::unbound().expect("a socket");
    patiently("rsyslog listens", async {
        while socket.connect(folder.join("in.sock")).is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    for number in 0..MESSAGES {
        socket.send(format!("<30>{} app[9]: seq={number}", now()).as_bytes()).expect("a datagram sent");
    }
    let several = "two lines:\n\tboth \"here\" ä€";
    socket.send(format!("<11>{} app: {several}", now()).as_bytes()).expect("a datagram sent");
    let rows = stage.fake.wait_for_rows(stage.id(0), "Syslog", MESSAGES + 1).await;
    let sequence = stage.fake.sequence(stage.id(0), "Syslog", "");
    assert_eq!((sequence.missing(MESSAGES), sequence.doubled()), (vec![], 0));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    for row in rows.iter().filter(|row| row.message().starts_with("seq=")) {
        let texts = ["Facility", "SeverityLevel", "ProcessName"].map(|column| row.text(column));
        assert_eq!((texts, row.columns["ProcessID"].as_i64()), (["daemon", "info", "app"], Some(9)));
        assert!(host.trim().starts_with(row.text("HostName")), "{row:?}");
    }
    assert!(rows.iter().any(|row| row.message().contains("both \"here\" ä€")), "{rows:?}");
    stage.assert_all_is_well().await;
}

fn now() -> String {
    jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string()
}
