//! From a workspace ID and its key to a certificate, and to the next one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use end_to_end::agent::Agent;
use end_to_end::agent::Outcome;
use end_to_end::agent::program;
use end_to_end::config::Config;
use end_to_end::gateway::run_to_end;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::workspace::Fault;
use end_to_end::workspace::Place;
use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;

use crate::agent_stage::AgentStage;
use crate::agent_stage::BUNDLES;
use crate::agent_stage::By;
use crate::agent_stage::SYSLOG;
use crate::agent_stage::application;
use crate::agent_stage::files_below;
use crate::agent_stage::free_address;
use crate::agent_stage::rsa_pair;

/// Event: the agent's certificate was renewed.
const RENEWED: u64 = 511;

/// Returns every file of the agent with its content.
fn everything(stage: &AgentStage) -> BTreeMap<PathBuf, Vec<u8>> {
    let content = |path: PathBuf| std::fs::read(&path).ok().map(|content| (path, content));
    files_below(stage.home.path()).into_iter().filter_map(content).collect()
}

/// Asserts that a workspace's key stands in no file of the agent, as text or decoded.
fn assert_forgotten(stage: &AgentStage) {
    let (text, key) = (stage.workspace(0).key_text(), &stage.workspace(0).key);
    for (path, content) in everything(stage) {
        let holds = |what: &[u8]| memchr::memmem::find(&content, what).is_some();
        assert!(!holds(text.as_bytes()) && !holds(key), "the key is in {}", path.display());
    }
}

/// Sends one message and waits for its row.
async fn deliver(stage: &AgentStage, agent: &Agent, text: &str) {
    let before = stage.fake.count(stage.id(0), "Syslog");
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(format!("<13>app: {text}").as_bytes(), agent.unix()).expect("a datagram sent");
    let rows = stage.fake.wait_for_rows(stage.id(0), "Syslog", before + 1).await;
    assert_eq!(rows.last().expect("a row").message(), text);
}

/// Onboards with the key on standard input.
async fn onboard(stage: &AgentStage, more: &[&str]) -> Outcome {
    let arguments = [&["onboard", "-w", stage.id(0), "-k", "-"], more].concat();
    stage.home.command_with(&arguments, format!("{}\n", stage.workspace(0).key_text()).as_bytes()).await
}

fn assert_good(outcome: &Outcome) {
    assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
}

/// A gateway's configuration with TLS of its own and a users file, and what `la-gateway pair` wrote for it.
async fn paired(front: &Pki, address: SocketAddr) -> (Config, String) {
    let files = front.pem_files("front", &[&address.ip().to_string()]);
    let text = format!(
        "[[listener]]\naddress = \"{address}\"\ntls = {{ certificate = {:?}, key = {:?} }}\n\
         [role.agents]\nusers_file = \"agents.users\"\n{BUNDLES}",
        files.certificate, files.key
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config::new(&text).file("agents.users", "").write(folder.path());
    let authority = front.authority_file();
    let arguments = ["--config".as_ref(), config.as_os_str(), "pair".as_ref(), "edge7".as_ref()];
    let arguments: Vec<&OsStr> =
        arguments.into_iter().chain(["--ca".as_ref(), authority.as_os_str()]).collect();
    let output = run_to_end(&arguments, folder.path()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file of the pairing");
    (Config::new(&text).file("agents.users", &read("agents.users")), read("edge7.toml"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pairings_file_and_the_workspaces_id_and_key_are_all_that_is_needed() {
    let front = Pki::new();
    let (config, pairing) = paired(&front, free_address()).await;
    let stage = AgentStage::with(1, config).await;
    stage.home.reconfigure(&format!("{}{SYSLOG}", stage.frame()));
    let file = stage.home.write("edge7.toml", pairing);
    assert_good(&onboard(&stage, &["--pairing", "edge7.toml"]).await);
    std::fs::remove_file(file).expect("our own file");
    let agent = Agent::start(&stage.home).await;
    deliver(&stage, &agent, "through the paired gateway").await;
    assert_forgotten(&stage);
    stage.assert_all_is_well().await;
    drop(agent);
    let users: Vec<String> =
        stage.gateway.access_records().iter().map(|record| record.text("user").to_owned()).collect();
    assert!(!users.is_empty() && users.iter().all(|user| user == "edge7"), "{users:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_below_the_working_folder_finds_the_paired_gateways_roots() {
    let front = Pki::new();
    let (config, pairing) = paired(&front, free_address()).await;
    let stage = AgentStage::with(1, config).await;
    stage.home.write("edge7.toml", pairing);
    let key = stage.secret("workspace.key", &stage.workspace(0).key_text());
    std::fs::create_dir(stage.home.path().join("etc")).expect("a folder");
    stage.home.write("etc/agent.toml", stage.frame());
    let words = ["onboard", "--pairing", "edge7.toml", "-w", stage.id(0), "-k", &key.to_string_lossy()];
    for arguments in [&words[..], &["check"]] {
        let mut command = tokio::process::Command::new(program());
        command.args(["--config", "etc/agent.toml"]).args(arguments).current_dir(stage.home.path());
        let output = patiently("a command ends", command.output()).await.expect("an agent");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_legacy_agents_onboarding_file_is_enough_and_onboarding_again_keeps_the_guid() {
    let stage = AgentStage::new(1).await;
    stage.home.reconfigure(&format!("{}{SYSLOG}", stage.frame()));
    let text = format!(
        "WORKSPACE_ID={}\nSHARED_KEY={}\nPROXY={}\nURL_TLD=opinsights.azure.com\n",
        stage.id(0).to_uppercase(),
        stage.workspace(0).key_text(),
        stage.gateway.proxy_url()
    );
    let file = stage.secret("omsadmin.conf", &text);
    assert_good(&stage.home.command(&["onboard", "--onboarding-file", "omsadmin.conf"]).await);
    std::fs::remove_file(file).expect("our own file");
    let agents = stage.fake.agents(stage.id(0));
    let [agent] = agents.as_slice() else { panic!("{agents:?}") };
    assert_eq!(agent.name, crate::agent_stage::COMPUTER);
    let again = onboard(&stage, &[]).await;
    assert_good(&again);
    assert!(again.stdout.contains(&format!("is known again as {}", agent.guid)), "{}", again.stdout);
    assert!(stage.fake.agents(stage.id(0)).iter().all(|known| known.guid == agent.guid));
    assert_forgotten(&stage);
    let running = Agent::start(&stage.home).await;
    deliver(&stage, &running, "after the legacy agent").await;
    stage.assert_all_is_well().await;
}

/// A way to fail: arguments, exit code, what is said.
type Case<'a> = (Vec<&'a str>, i32, &'a str);

/// Asserts that onboarding fails so and touches nothing.
async fn assert_fails(stage: &AgentStage, (arguments, exit, said): Case<'_>) {
    let before = everything(stage);
    let outcome = stage.home.command(&[&["onboard"], arguments.as_slice()].concat()).await;
    assert_eq!(outcome.exit, exit, "{arguments:?}: {}", outcome.stderr);
    assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.stderr);
    assert_eq!(everything(stage), before, "{arguments:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_onboarding_says_why_with_the_legacy_exit_codes_and_touches_nothing() {
    let stage = AgentStage::new(1).await;
    stage.home.reconfigure(&format!(
        "[gateway]\nproxies = [{:?}]\n{}",
        stage.gateway.proxy_url(),
        stage.frame()
    ));
    let front = Pki::new();
    let (_, pairing) = paired(&front, free_address()).await;
    stage.home.write("edge7.toml", pairing);
    stage.secret("right.key", &stage.workspace(0).key_text());
    stage.secret("other.key", "b3RoZXI=");
    stage.secret("no.key", "no base64!");
    let (id, nobody) = (stage.id(0).to_owned(), format!("http://{}", free_address()));
    let with = |key: &'static str, more: &[&'static str]| [&["-k", key], more].concat();
    let w = |rest: Vec<&'static str>| [vec!["-w", id.as_str()], rest].concat();
    let before_a_key_is_made: [Case<'_>; 5] = [
        (vec!["-w", "00000000-1111", "-k", "right.key"], 3, "`00000000-1111` is no workspace ID"),
        (w(vec![]), 3, "which key?"),
        (w(with("no.key", &[])), 3, "the workspace key is no base64"),
        (w(with("right.key", &["-d", "no domain"])), 2, "`no domain`: the host name"),
        (w(with("right.key", &["-p", "gateway:99999"])), 2, "port"),
    ];
    for case in before_a_key_is_made {
        assert_fails(&stage, case).await;
    }
    assert_fails(&stage, (w(with("other.key", &[])), 5, "(403): the signature is wrong")).await;
    assert_fails(&stage, (w(with("right.key", &["--pairing", "edge7.toml"])), 4, "refuses connections"))
        .await;
    assert_eq!(stage.fake.agents(&id), []);
    assert_good(&onboard(&stage, &[]).await);
    assert_fails(&stage, (w(with("other.key", &[])), 5, "the signature is wrong")).await;
    let gone = [w(with("right.key", &["-p"])), vec![nobody.as_str()]].concat();
    assert_fails(&stage, (gone, 4, "start the gateway there")).await;
    // A minute more than is looked for: whole ones are said.
    for (minutes, said) in [(21, "clock is 20m behind: set it"), (-21, "clock is 21m ahead: set it")] {
        stage.fake.shift_clock(minutes);
        assert_fails(&stage, (w(with("right.key", &[])), 5, said)).await;
    }
    stage.fake.shift_clock(0);
    let fault = stage.fake.fault(Fault::status(503).at(Place::Topology));
    assert_fails(&stage, (w(with("right.key", &[])), 6, "status 503")).await;
    stage.fake.clear(fault);
    assert_good(&onboard(&stage, &[]).await);
    assert_eq!(stage.fake.agents(&id).len(), 1, "the identity is still the first one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_when_the_service_asks_and_when_it_is_old_and_data_flows_on() {
    let stage = AgentStage::new(1).await;
    stage.configure(&[By::Certificate], SYSLOG);
    assert_good(&onboard(&stage, &[]).await);
    let folder = stage.home.path().join("state/identity").join(stage.id(0));
    let certificate = || std::fs::read_to_string(folder.join("agent.crt")).expect("a certificate");
    let guid = stage.fake.agents(stage.id(0))[0].guid.clone();
    let mut known = vec![certificate()];
    stage.fake.ask_for_renewal(stage.id(0));
    for round in ["the service asks", "it is old"] {
        let mut agent = Agent::start(&stage.home).await;
        agent.wait_for_event(RENEWED).await;
        deliver(&stage, &agent, round).await;
        assert!(!known.contains(&certificate()), "{round}: the certificate is the same");
        let agents = stage.fake.agents(stage.id(0));
        assert!(agents.len() == 1 && agents[0].guid == guid, "{round}: {agents:?}");
        assert_eq!(files_below(&folder).len(), 3, "{round}: key, certificate and identity");
        known.push(certificate());
        stage.assert_all_is_well().await;
        agent.terminate().await;
        assert!(agent.exit_status().await.success());
        // What the next round begins with: a certificate of 300 days, which the service knows.
        let (pem, der) = old_certificate(stage.id(0), &guid);
        stage.home.write(&format!("state/identity/{}/agent.crt", stage.id(0)), &pem);
        stage.home.write(&format!("state/identity/{}/agent.key", stage.id(0)), &application().1);
        stage.fake.forget_agents(stage.id(0));
        stage.fake.know(stage.id(0), &guid, &der);
        known.push(pem);
    }
}

/// Returns a certificate of an agent, of 300 days before and 65 days behind today, in PEM and DER.
pub(crate) fn old_certificate(workspace: &str, guid: &str) -> (String, Vec<u8>) {
    let day = |days: i64| {
        let date = jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(days));
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().try_into().unwrap(),
            date.day().try_into().unwrap(),
        )
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, workspace);
    // The second of a kind would take the place of the first.
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), guid);
    params.distinguished_name.push(DnType::OrganizationalUnitName, "Linux Monitoring Agent");
    params.distinguished_name.push(DnType::OrganizationName, "Microsoft");
    (params.not_before, params.not_after) = (day(-300), day(65));
    let certificate = params.self_signed(&rsa_pair()).expect("a certificate");
    (certificate.pem(), certificate.der().to_vec())
}
