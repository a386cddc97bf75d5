//! The way out: gateways of every kind, what is said of wrong ones, and that there is no other way.

use std::os::unix::net::UnixDatagram;

use end_to_end::agent::Agent;
use end_to_end::config::Config;
use end_to_end::origin::RawOrigin;
use end_to_end::pki::Pki;
use end_to_end::users::users_file;

use crate::agent_stage::AgentStage;
use crate::agent_stage::BUNDLES;
use crate::agent_stage::By;
use crate::agent_stage::SYSLOG;
use crate::agent_stage::free_address;
use crate::agent_stage::gateway;
use crate::agent_stage::list;
use crate::relays::assert_silent;

const PASSWORD: &str = "p@ss:w/%ä";
const ENCODED: &str = "p%40ss%3Aw%2F%25%C3%A4";
/// Event: the configuration was read anew.
const RELOADED: u64 = 502;
/// Event: a gateway serves again.
const GATEWAY_UP: u64 = 520;
/// Event: a gateway does not serve.
const GATEWAY_DOWN: u64 = 521;

/// A gateway's configuration: this listener, user `edge7` and everybody else.
pub(crate) fn open(listener: &str) -> Config {
    let text = format!(
        "[[listener]]\n{listener}\n[passwords]\npercent_encoded = \"refused\"\n\
         [role.known]\nusers_file = \"known.users\"\n{BUNDLES}\
         [role.anyone]\nanonymous_from = [\"127.0.0.0/8\", \"::1/128\"]\n{BUNDLES}"
    );
    Config::new(&text).file("known.users", &users_file(&[("edge7", PASSWORD)]))
}

/// The lines of a listener that speaks nothing but TLS, under 127.0.0.1.
pub(crate) fn secure(front: &Pki) -> String {
    let files = front.pem_files("front", &["127.0.0.1"]);
    format!(
        "address = \"127.0.0.1:0\"\nplain = false\ntls = {{ certificate = {:?}, key = {:?} }}",
        files.certificate, files.key
    )
}

/// Sends one message, and returns its text.
fn send(agent: &Agent, text: &str) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(format!("<13>app: {text}").as_bytes(), agent.unix()).expect("a datagram sent");
}

/// Sends one message and waits until there are so many rows.
async fn deliver(stage: &AgentStage, agent: &Agent, count: usize) {
    send(agent, &format!("message {count}"));
    stage.fake.wait_for_rows(stage.id(0), "Syslog", count as u64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_of_any_kind_is_used_as_its_value_says_and_the_environments_proxies_never_are() {
    let (front, trap) = (Pki::new(), RawOrigin::bind().await);
    let mut stage = AgentStage::with(1, open("address = \"127.0.0.1:0\"")).await;
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        stage.home.set_variable(name, &format!("http://{}", trap.address()));
    }
    let by_tls = gateway(&stage.fake, open(&secure(&front))).await;
    let ca = format!("ca = {:?}", front.authority_file());
    let (clear, secure) = (stage.gateway.proxy(), by_tls.proxy());
    let mut kinds = vec![
        (format!("http://{clear}"), "", &stage.gateway, ""),
        (clear.to_string(), "", &stage.gateway, ""),
        (format!("http://edge7:{ENCODED}@{clear}"), "", &stage.gateway, "edge7"),
        (format!("https://{secure}/"), ca.as_str(), &by_tls, ""),
        (format!("https://edge7:{ENCODED}@{secure}"), ca.as_str(), &by_tls, "edge7"),
    ];
    let by_ipv6 = match RawOrigin::bind_at("[::1]:0".parse().expect("an address")).await {
        Ok(_) => Some(gateway(&stage.fake, open("address = \"[::1]:0\"")).await),
        Err(error) => {
            println!("skipped: ::1 cannot be bound ({error})");
            None
        }
    };
    kinds.extend(by_ipv6.iter().map(|by_ipv6| (format!("http://{}", by_ipv6.proxy()), "", by_ipv6, "")));
    let mut count = 0;
    for (value, more, gateway, user) in &kinds {
        for legacy in [false, true] {
            stage.home.write("proxy.conf", format!("{value}\n"));
            stage.configure_through(std::slice::from_ref(value), more, &[By::Secret], SYSLOG);
            if legacy {
                let text = std::fs::read_to_string(stage.home.config()).expect("our own file");
                let line = format!("proxies = [{value:?}]");
                assert!(text.contains(&line), "{text}");
                stage.home.reconfigure(&text.replace(&line, "proxy_conf = \"proxy.conf\""));
            }
            let before = gateway.access_records().len();
            let mut agent = Agent::start(&stage.home).await;
            count += 1;
            deliver(&stage, &agent, count).await;
            stage.assert_all_is_well().await;
            agent.terminate().await;
            assert!(agent.exit_status().await.success());
            // One for the token, one for the data.
            let records = gateway.log().wait_for("both tunnels' records", |_| {
                let records = gateway.access_records().split_off(before);
                (records.len() >= 2).then_some(records)
            });
            assert!(records.await.iter().all(|record| record.text("user") == *user), "{value}");
            let said = agent.log().lines().join("\n");
            assert_silent(&said, &[PASSWORD, ENCODED]);
        }
    }
    assert!(!trap.is_called().await, "a proxy of the environment was used");
    assert_eq!(stage.fake.connections().len(), 2 * count, "a tunnel for the token and one for the data each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_gateway_is_said_and_nothing_is_lost_until_it_is_mended() {
    let (front, stranger) = (Pki::new(), Pki::new());
    let stage = AgentStage::with(1, open("address = \"127.0.0.1:0\"")).await;
    let by_tls = gateway(&stage.fake, open(&secure(&front))).await;
    let nobody = "[role.nobody]\nanonymous_from = [\"127.0.0.0/8\"]\nhosts = [\"packages.example\"]\n";
    let narrow = gateway(&stage.fake, Config::new(nobody)).await;
    let (clear, secure) = (stage.gateway.proxy(), by_tls.proxy());
    let (right, wrong) = (front.authority_file(), stranger.authority_file());
    let cases = [
        (format!("http://edge7:wrong@{clear}"), &right, "407", "mend user and password in the proxy value"),
        (format!("https://{secure}"), &wrong, "127.0.0.1", "set the gateway's `ca` to a file"),
        (format!("http://{secure}"), &right, "not_http", "write https:// instead of http://"),
        (format!("https://{clear}"), &right, "TLS", "write http:// instead of https://"),
        (format!("http://{}", narrow.proxy()), &right, "403", "for this agent at the gateway"),
        (format!("http://{}", free_address()), &right, "refuses connections", "start the gateway there"),
    ];
    let good = format!("https://edge7:{ENCODED}@{secure}");
    let configure = |value: &str, ca: &std::path::Path| {
        stage.configure_through(&[value.to_owned()], &format!("ca = {ca:?}"), &[By::Secret], SYSLOG);
    };
    configure(&good, &right);
    let agent = Agent::start(&stage.home).await;
    deliver(&stage, &agent, 1).await;
    for (number, (value, ca, what, change)) in cases.iter().enumerate() {
        configure(value, ca);
        agent.hang_up().await;
        agent.wait_for_events(RELOADED, 2 * number + 1).await;
        send(&agent, &format!("message {}", number + 2));
        let trouble = stage.wait_for_status("a trouble", |status| {
            list(status, "workspaces")[0]["trouble"].as_str().map(str::to_owned)
        });
        let trouble = trouble.await;
        assert!(trouble.contains(what) && trouble.contains(change), "{value}: {trouble}");
        let shown = stage.home.command(&["status"]).await;
        assert!(shown.exit == 1 && shown.stdout.contains(change), "{shown:?}");
        configure(&good, &right);
        agent.hang_up().await;
        agent.wait_for_events(RELOADED, 2 * number + 2).await;
        stage.fake.wait_for_rows(stage.id(0), "Syslog", number as u64 + 2).await;
    }
    stage.assert_all_is_well().await;
    let expected: Vec<String> = (1..=cases.len() + 1).map(|number| format!("message {number}")).collect();
    stage.wait_for_messages(0, "Syslog", &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_silent(&agent.log().lines().join("\n"), &["wrong@", PASSWORD, ENCODED]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_gateway_takes_over_and_the_first_is_used_again_when_it_is_back() {
    let first = free_address();
    let stage = AgentStage::with(1, open("address = \"127.0.0.1:0\"")).await;
    let start_first = || gateway(&stage.fake, open(&format!("address = \"{first}\"")));
    let preferred = start_first().await;
    let proxies = [format!("http://{first}"), stage.gateway.proxy_url()];
    stage.configure_through(&proxies, "return_after = \"1s\"", &[By::Secret], SYSLOG);
    let agent = Agent::start(&stage.home).await;
    deliver(&stage, &agent, 1).await;
    assert_eq!(stage.gateway.access_records().len(), 0);
    // Answers that are on their way are not cut off.
    stage.assert_all_is_well().await;
    drop(preferred);
    deliver(&stage, &agent, 2).await;
    agent.wait_for_event(GATEWAY_DOWN).await;
    let gateway_in_use = |status: &serde_json::Value| status["gateway"].as_str().map(str::to_owned);
    let in_use = gateway_in_use(&stage.status().await).expect("a gateway");
    assert!(in_use.contains(&stage.gateway.proxy().to_string()), "{in_use}");
    let preferred = start_first().await;
    let mut count = 2;
    while agent.events(GATEWAY_UP).is_empty() {
        // Only a new tunnel looks whether the first serves again.
        stage.assert_all_is_well().await;
        stage.fake.close_connections();
        count += 1;
        deliver(&stage, &agent, count).await;
    }
    let in_use = gateway_in_use(&stage.status().await).expect("a gateway");
    assert!(in_use.contains(&first.to_string()), "{in_use}");
    stage.assert_all_is_well().await;
    stage.fake.close_connections();
    deliver(&stage, &agent, count + 1).await;
    assert_eq!(agent.events(GATEWAY_DOWN).len(), 1);
    stage.assert_all_is_well().await;
    assert_eq!(stage.fake.count(stage.id(0), "Syslog"), count as u64 + 1);
    drop(agent);
    preferred.wait_for_record("a tunnel through the first", |record| record.is_access()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_parse_stops_the_start_and_is_never_a_direct_way() {
    let trap = RawOrigin::bind().await;
    let mut stage = AgentStage::new(1).await;
    stage.home.set_variable("https_proxy", &format!("http://{}", trap.address()));
    let values = [
        "proxies = [\"ftp://gateway\"]",
        "proxies = [\"http://edge7:hunter2@gateway:99999\"]",
        "proxies = [\"http://gateway:8080/path\"]",
        "proxies = [\"http://edge7:%zz@gateway\"]",
        "proxies = [\"\"]",
        "proxies = []",
        "",
        "proxy_conf = \"nowhere.conf\"",
        "proxy_conf = \"two.conf\"",
    ];
    stage.home.write("two.conf", "http://one\nhttp://two\n");
    let way = stage.way(0, By::Secret);
    for value in values {
        stage
            .home
            .reconfigure(&format!("[gateway]\n{value}\n{}[workspace.w0]\n{way}\n{SYSLOG}", stage.frame()));
        let outcome = stage.home.command(&["run"]).await;
        assert_eq!(outcome.exit, 78, "{value}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("nothing was started"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("agent.toml:") || value.contains(".conf"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
        for left in ["state", "log.sock"] {
            assert!(!stage.home.path().join(left).exists(), "{value}: {left} is there");
        }
    }
    assert!(!trap.is_called().await && stage.fake.connections().is_empty());
}
