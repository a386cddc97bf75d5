//! `la-gateway run`: what it says at the start, signals, ports that are taken.

use std::net::TcpListener;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cast::Folder;

const ROLE: &str = "[role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\n";

fn anywhere() -> Folder {
    Folder::with(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n{ROLE}"
    ))
}

#[test]
fn the_start_tells_each_listener_the_value_for_the_agents_and_the_policy() {
    let folder = anywhere();
    let mut running = folder.start();
    let (proxy, admin) = (running.address("proxy"), running.address("admin"));
    assert_ne!((proxy.port(), admin.port()), (0, 0));
    running.wait_for_line(&format!("proxy=\"http://{proxy}\""));
    running.wait_for_line(&format!("metrics=\"http://{admin}/metrics\""));
    let policy = running.wait_for_line("policy: ");
    assert!(policy.contains("role agents (127.0.0.0/8) may reach log-analytics in public"), "{policy}");
    let ready = running.ask(admin, "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("\r\n\r\nready\n"), "{ready}");
}

#[test]
fn sigterm_and_sigint_end_it_with_0_and_free_the_port() {
    for signal in ["TERM", "INT"] {
        let folder = anywhere();
        let running = folder.start();
        let proxy = running.address("proxy");
        running.signal(signal);
        let done = running.done();
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{signal}: {}", done.out);
        assert!(done.out.lines().last().unwrap().contains("stopped"), "{signal}: {}", done.out);
        TcpListener::bind(proxy).unwrap();
    }
}

#[test]
fn a_second_gateway_on_the_same_port_says_so_and_the_first_goes_on() {
    let folder = anywhere();
    let first = folder.start();
    for kind in ["proxy", "admin"] {
        let taken = first.address(kind);
        let other = if kind == "proxy" { "admin" } else { "listener" };
        let table = |name: &str, address: &str| match name {
            "listener" | "proxy" => format!("[[listener]]\naddress = \"{address}\"\n"),
            _ => format!("[admin]\naddress = \"{address}\"\n"),
        };
        let second = Folder::with(
            &[&table(kind, &taken.to_string())[..], &table(other, "127.0.0.1:0"), ROLE].concat(),
        );
        let done = second.run(&["--config", "gateway.toml", "run"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.err.starts_with(&format!("la-gateway: cannot listen on {taken}: ")), "{}", done.err);
        assert!(!done.out.contains("listening"), "{}", done.out);
    }
    let answer = first.ask(first.address("proxy"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn with_json_every_line_is_one_object_with_time_level_event_and_message() {
    let folder = Folder::with(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[log]\nformat = \"json\"\n{ROLE}"
    ));
    let running = folder.start();
    running.ask(running.address("proxy"), "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    running.signal("TERM");
    let done = running.done();
    let mut events = Vec::new();
    for line in done.out.lines() {
        let record: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        for field in ["timestamp", "level", "message"] {
            assert!(record[field].is_string(), "{field}: {line}");
        }
        events.push(record["event_id"].as_u64().unwrap_or_else(|| panic!("event_id: {line}")));
    }
    for event in [101, 118, 104, 105, 102] {
        assert!(events.contains(&event), "{event} is not in {events:?}");
    }
    assert_eq!(events.iter().filter(|event| **event == 101).count(), 1, "the admin listener is off");
}

#[test]
fn a_tls_listener_tells_a_proxy_value_with_https_and_a_mixed_one_both() {
    let own = rcgen::generate_simple_self_signed(["gw.example".to_owned()]).unwrap();
    let folder = Folder::with(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"gw.crt\", key = \"gw.key\" }}\n\
         [admin]\naddress = \"off\"\n{ROLE}"
    ));
    folder.write("gw.crt", &own.cert.pem());
    folder.write("gw.key", &own.signing_key.serialize_pem());
    let mut running = folder.start();
    let proxy = running.address("proxy");
    running.wait_for_line(&format!("proxy=\"http://{proxy}\""));
    running.wait_for_line(&format!("proxy=\"https://{proxy}\""));
}

#[test]
fn a_user_made_by_the_program_gets_in_with_that_password_and_no_other() {
    let folder = Folder::with(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[role.agents]\nusers_file = \"agents.users\"\n",
    );
    let password = "p@ss:w\u{f6}rd 100%";
    let add = ["users", "add", "ann", "--file", "agents.users"];
    let added = folder.run_with_input(&add, &format!("{password}\r\nsecond line\n"));
    assert_eq!(added.code, 0, "{added:?}");
    let running = folder.start();
    for (credentials, status) in
        [(format!("ann:{password}"), 403), (format!("ann:{password} "), 407), ("ann:".into(), 407)]
    {
        let answer = running.ask(
            running.address("proxy"),
            &format!(
                "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\nProxy-Authorization: Basic {}\r\n\r\n",
                STANDARD.encode(&credentials)
            ),
        );
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{credentials}: {answer}");
    }
    running.signal("TERM");
    let done = running.done();
    assert!(!done.out.contains("p@ss") && !done.out.contains("argon2id"), "{}", done.out);
}

#[test]
fn with_no_configuration_it_serves_this_machine_on_8080_and_tells_so() {
    let in_the_way = Path::new("/etc/la-gateway/gateway.toml").exists()
        || ["127.0.0.1:8080", "127.0.0.1:9180"].iter().any(|port| TcpListener::bind(port).is_err());
    if in_the_way {
        println!("skipped: a configuration is in the usual place, or port 8080 or 9180 is taken");
        return;
    }
    let mut running = Folder::new().start_with(&[]);
    running.wait_for_line("proxy=\"http://127.0.0.1:8080\"");
    running.wait_for_line("metrics=\"http://127.0.0.1:9180/metrics\"");
    let policy = running.wait_for_line("policy: ");
    assert!(policy.contains("role default (127.0.0.0/8, ::1/128) may reach log-analytics"), "{policy}");
    assert!(policy.contains("(built-in default)"), "{policy}");
    assert!(!running.seen().iter().any(|line| line.contains("0.0.0.0")), "{:?}", running.seen());
}
