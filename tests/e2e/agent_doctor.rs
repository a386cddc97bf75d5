//! `agent-lite doctor` on every leg that can fail: each says what to change, and the others are walked all the same.

use end_to_end::config::Config;
use end_to_end::pki::Pki;
use end_to_end::workspace::Shown;

use crate::agent_gateways::open;
use crate::agent_gateways::secure;
use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::free_address;
use crate::agent_stage::gateway;

const WAYS: [By; 3] = [By::Certificate, By::Key, By::Secret];

/// Runs the doctor, and asserts that these legs fail, each with these words, and no others.
async fn assert_findings(stage: &AgentStage, what: &str, expected: &[(&str, &str)]) {
    let outcome = stage.home.command(&["doctor"]).await;
    let failed: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert_eq!(failed.len(), expected.len(), "{what}: {}", outcome.stdout);
    for (leg, change) in expected {
        let found = failed.iter().any(|line| line.contains(leg) && line.contains(change));
        assert!(found, "{what}: no {leg:?} with {change:?} in {}", outcome.stdout);
    }
    let last = match expected.len() {
        0 => "every leg serves".to_owned(),
        count => format!("legs that fail: {count}"),
    };
    assert_eq!(outcome.stdout.lines().last(), Some(last.as_str()), "{what}");
    assert_eq!(outcome.exit, i32::from(!expected.is_empty()), "{what}");
    assert!(!outcome.stdout.contains("hunter2"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_leg_of_the_gateway_that_fails_names_what_to_change() {
    let (front, stranger) = (Pki::new(), Pki::new());
    let stage = AgentStage::with(1, open("address = \"127.0.0.1:0\"")).await;
    let by_tls = gateway(&stage.fake, open(&secure(&front))).await;
    let narrow = format!(
        "[role.narrow]\nanonymous_from = [\"127.0.0.0/8\"]\nhosts = [\"{}\"]\n",
        stage.workspace(0).login()
    );
    let narrow = gateway(&stage.fake, Config::new(&narrow)).await;
    let (clear, secure) = (stage.gateway.proxy(), by_tls.proxy());
    let endpoint = format!("{}:443", stage.workspace(0).endpoint);
    let login = format!("{}:443", stage.workspace(0).login());
    let both =
        |change: &'static str| vec![(login.as_str(), change), (endpoint.as_str(), change), ("token", change)];
    let (gone, unknown) = (free_address(), stranger.authority_file());
    let cases = [
        (format!("http://{clear}"), &front.authority_file(), vec![]),
        (format!("http://{gone}"), &front.authority_file(), both("start the gateway there")),
        (format!("https://{secure}"), &unknown, both("set the gateway's `ca` to a file")),
        (format!("http://edge7:hunter2@{clear}"), &unknown, both("mend user and password")),
        (format!("https://{clear}"), &unknown, both("write http:// instead of https://")),
        (
            format!("http://{}", narrow.proxy()),
            &unknown,
            vec![(endpoint.as_str(), "for this agent at the gateway")],
        ),
    ];
    for (value, ca, expected) in cases {
        stage.configure_through(std::slice::from_ref(&value), &format!("ca = {ca:?}"), &[By::Secret], "");
        assert_findings(&stage, &value, &expected).await;
    }
    // Of two gateways each is walked; one that serves is enough for the rest.
    stage.configure_through(&[format!("http://{gone}"), format!("http://{clear}")], "", &[By::Secret], "");
    let change = "start the gateway there";
    assert_findings(&stage, "two gateways", &[(&login, change), (&endpoint, change)]).await;
    assert!(stage.fake.rows(stage.id(0), "Syslog").is_empty(), "the doctor sends no rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_leg_of_the_services_that_fails_names_what_to_change() {
    let stage = AgentStage::new(WAYS.len()).await;
    stage.configure(&WAYS, "");
    let onboard = format!("agent-lite onboard -w {}", stage.id(0));
    let unknown = [("w0: certificate", onboard.as_str())];
    assert_findings(&stage, "not onboarded", &unknown).await;
    stage.onboard(0).await;
    assert_findings(&stage, "all is well", &[]).await;
    // A tunnel that is opened for a look only is no incident at the gateway.
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    let metrics = stage.gateway.metrics().await;
    assert!(metrics.value("la_gateway_connects_total", &[("verdict", "carried")]) > 0.0);
    for reason in ["not_tls", "hello_timeout"] {
        assert_eq!(metrics.value("la_gateway_tunnel_endings_total", &[("reason", reason)]), 0.0, "{reason}");
    }
    let endpoint = stage.workspace(2).endpoint.clone();
    let shown = [
        (Shown::UnknownIssuer, "exempt this host from TLS inspection"),
        (Shown::Expired, "set this machine's clock"),
        (Shown::WrongName, "lead this name elsewhere"),
    ];
    for (shown, change) in shown {
        stage.fake.show(&stage.pki, &endpoint, shown);
        assert_findings(&stage, &format!("{shown:?}"), &[(&endpoint, change)]).await;
    }
    stage.fake.show(&stage.pki, &endpoint, Shown::Proper);
    stage.fake.forget_agents(stage.id(0));
    assert_findings(&stage, "forgotten", &[("w0: certificate", "onboard this workspace again")]).await;
    stage.onboard(0).await;
    stage.secret("w1.key", "no key!");
    stage.secret("w2.secret", "another");
    let expected = [
        ("w1: key", "`key_file`: the workspace key is not base64"),
        ("w2: token", "the client secret's value"),
    ];
    assert_findings(&stage, "wrong secrets", &expected).await;
    stage.configure(&WAYS, "");
    stage.fake.shift_clock(21);
    let off = "this machine's clock is 20m behind; set it";
    let hosts = [stage.workspace(0).oms(), stage.workspace(0).ods(), stage.workspace(1).ods()];
    let hosts = [hosts.as_slice(), &[stage.workspace(2).login(), endpoint]].concat();
    let expected: Vec<(&str, &str)> = hosts.iter().map(|host| (host.as_str(), off)).collect();
    assert_findings(&stage, "the clock", &expected).await;
}
