//! What is between the agent and the tables is gone for a while: nothing is lost, and nobody else waits.

use std::time::Duration;

use end_to_end::dns::FakeDns;
use end_to_end::dns::Reply;
use end_to_end::patience::patiently;
use end_to_end::workspace::Fault;
use end_to_end::workspace::Place;
use hickory_proto::op::ResponseCode;

use crate::agent_load::Load;
use crate::agent_load::send_series;
use crate::agent_trial::By;
use crate::agent_trial::QUICK;
use crate::agent_trial::Trial;
use crate::agent_trial::UPLOAD_FAILED;
use crate::stage::bind_443;
use crate::stage::lonely_address;

const SOURCES: &str = "[source.syslog.local]\ntcp = [\"127.0.0.1:0\"]\n[source.files.app]\npaths = [\"{logs}/*.log\"]\n\
    table = \"App_CL\"\nlook = \"200ms\"\nfrom = \"beginning\"\n";
const RATE: u64 = 500;
const LENGTH: usize = 200;
/// Records that come while something is gone.
const BACKLOG: u64 = 500;

async fn until_sent(load: &Load, count: u64) {
    patiently("records are sent", async {
        while load.sent() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_gateway_arrives_whole_and_in_order_when_it_is_back() {
    const TABLES: [(&str, &str); 3] =
        [("Syslog", "App_CL"), ("AgentLiteSyslog_CL", "App_CL"), ("Syslog", "App_CL")];
    let mut trial = Trial::new(3).await;
    let ways = [(By::Token, ""), (By::Key, ""), (By::Certificate, "")];
    trial.configure(&ways, &format!("{QUICK}{SOURCES}"));
    trial.onboard(2).await;
    let agent = trial.start().await;
    let tcp = Load::tcp(agent.tcp(), "t", RATE, LENGTH);
    let file = Load::file(trial.log("app.log"), "f", RATE, LENGTH);
    trial.wait_for_series(0, "Syslog", "t", 100).await;
    // Nothing is on its way when the gateway ends, so nothing may come twice.
    let held = (tcp.hold().await, file.hold().await);
    trial.wait_for_series(0, "App_CL", "f", file.sent()).await;
    trial.drain().await;
    trial.kill_gateway();
    drop(held);
    until_sent(&tcp, tcp.sent() + BACKLOG).await;
    until_sent(&file, file.sent() + BACKLOG).await;
    agent.wait_for_event(UPLOAD_FAILED).await;
    trial.start_gateway().await;
    let (tcp, file) = (tcp.stop().await, file.stop().await);
    for (number, (syslog, app)) in TABLES.into_iter().enumerate() {
        trial.wait_for_series(number, syslog, "t", tcp).await;
        trial.wait_for_series(number, app, "f", file).await;
        trial.assert_whole(number, syslog, "t", tcp);
        trial.assert_whole(number, app, "f", file);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_that_is_gone_in_whichever_way_holds_up_no_other() {
    const GONE: usize = 6;
    let trial = Trial::new(GONE).await;
    trial.configure(&[(By::Token, ""); GONE], &format!("{QUICK}{SOURCES}"));
    let agent = trial.start().await;
    // The token host's own name belongs to the first workspace, so that one stays.
    trial.fake.fault(Fault::refuse().of(trial.id(1)));
    trial.fake.fault(Fault::delay(Duration::from_secs(300)).of(trial.id(2)).at(Place::Ingestion));
    trial.fake.fault(Fault::reset_reading(0).of(trial.id(3)).at(Place::Ingestion));
    trial.fake.fault(Fault::status(503).of(trial.id(4)).at(Place::Token));
    trial.fake.fault(Fault::reset_reading(0).of(trial.id(5)).at(Place::Token));
    let tcp = Load::tcp(agent.tcp(), "t", RATE, LENGTH);
    let file = Load::file(trial.log("app.log"), "f", RATE, LENGTH);
    trial.wait_for_series(0, "Syslog", "t", 2 * BACKLOG).await;
    trial.wait_for_series(0, "App_CL", "f", 2 * BACKLOG).await;
    for number in 1..GONE {
        assert_eq!(trial.fake.tables(trial.id(number)), Vec::<String>::new(), "workspace {number}");
    }
    let (tcp, file) = (tcp.stop().await, file.stop().await);
    trial.wait_for_series(0, "Syslog", "t", tcp).await;
    trial.wait_for_series(0, "App_CL", "f", file).await;
    let idle = |status: &crate::agent_trial::Status| {
        (status.workspace(0)["queue_records"] == 0 && status.workspace(1)["queue_records"] != 0).then_some(())
    };
    trial.wait_for_status("the first workspace has all", idle).await;
    trial.fake.clear_faults();
    trial.fake.close_connections();
    for number in 0..GONE {
        trial.wait_for_series(number, "Syslog", "t", tcp).await;
        trial.wait_for_series(number, "App_CL", "f", file).await;
        trial.assert_whole(number, "Syslog", "t", tcp);
        trial.assert_whole(number, "App_CL", "f", file);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_name_servers_of_the_gateway_arrives_when_they_are_back() {
    let address = lonely_address();
    let Some(free) = bind_443(address).await else { return };
    drop(free);
    let dns = FakeDns::start().await;
    let settings = format!("[dns]\nservers = [\"{}\"]\ntimeout = \"1s\"\n", dns.address());
    let trial = Trial::at((address, 443).into(), 2, Some(&settings)).await;
    for name in trial.fake.names() {
        dns.script(&name, [Reply::Failure(ResponseCode::ServFail)]);
    }
    trial.configure(&[(By::Token, ""), (By::Key, "")], &format!("{QUICK}{SOURCES}"));
    let agent = trial.start().await;
    send_series(agent.tcp(), "t", 0..BACKLOG, LENGTH).await;
    let said = agent.wait_for_events(UPLOAD_FAILED, 2).await;
    assert!(said.iter().all(|record| record.text("detail").contains("name servers")), "{said:?}");
    for name in trial.fake.names() {
        dns.script(&name, [Reply::Addresses(vec![address.into()])]);
    }
    for (number, table) in [(0, "Syslog"), (1, "AgentLiteSyslog_CL")] {
        trial.wait_for_series(number, table, "t", BACKLOG).await;
        trial.assert_whole(number, table, "t", BACKLOG);
    }
}
