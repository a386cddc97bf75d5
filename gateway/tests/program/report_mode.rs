//! Report mode as it is configured, checked and explained.

use crate::cast::Folder;

const CONFIG: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
    [dns]\nhosts = { \"inside.example\" = [\"10.1.2.3\"], \"outside.example\" = [\"20.42.65.90\"] }\n\
    [role.trial]\nanonymous_from = [\"127.0.0.0/8\"]\nmode = \"report\"\nbundles = []\n\
    [role.agents]\nanonymous_from = [\"10.20.0.0/16\"]\n";

#[test]
fn check_and_the_start_name_each_role_in_report_mode_and_no_other() {
    let folder = Folder::with(CONFIG);
    let done = folder.run(&["--config", "gateway.toml", "check"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let warnings: Vec<&str> = done
        .out
        .lines()
        .filter(|line| line.starts_with("warning: ") && line.contains("report mode"))
        .collect();
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("warning: role trial is in report mode"),
        "{warnings:?}"
    );
    let mut running = folder.start();
    let line = running.wait_for_line("report mode: this role may go to any host");
    assert!(
        line.contains("event_id=140") && line.contains("role=\"trial\"") && line.contains("WARN"),
        "{line}"
    );
    let metrics = running.ask(
        running.address("admin"),
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(metrics.contains("\nla_gateway_roles_in_report_mode 1\n"), "{metrics}");
    assert!(
        metrics.contains("\nla_gateway_would_refuse_total{reason=\"host_denied\",role=\"trial\"} 0\n"),
        "{metrics}"
    );
    assert!(!metrics.contains("reason=\"host_denied\",role=\"agents\""), "{metrics}");
}

#[test]
fn explain_says_what_enforcing_would_refuse_and_still_refuses_port_and_address() {
    let folder = Folder::with(CONFIG);
    let explain =
        |arguments: &[&str]| folder.run(&[&["--config", "gateway.toml", "explain"], arguments].concat());
    let done = explain(&["outside.example"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let rule =
        "rule       would be refused: no rule allows this host; 0 looked at; role trial is in report mode\n";
    assert!(done.out.contains(rule) && done.out.contains("answer     200"), "{}", done.out);
    for (target, words) in [
        ("inside.example", "403 address_forbidden"),
        ("outside.example:8443", "403 port_denied"),
        ("20.42.65.90", "403 address_literal"),
    ] {
        let done = explain(&[target]);
        assert!(done.code == 1 && done.out.contains(words), "{target}: {}", done.out);
    }
    let done = explain(&["outside.example", "--from", "10.20.0.1"]);
    assert!(done.code == 1 && done.out.contains("403 host_denied"), "another role: {}", done.out);
}

#[test]
fn explain_tells_a_script_the_same_in_json() {
    let folder = Folder::with(CONFIG);
    let explain = |target: &str| {
        let done = folder.run(&["--config", "gateway.toml", "explain", target, "--json"]);
        (done.code, serde_json::from_str::<serde_json::Value>(&done.out).unwrap())
    };
    let (code, told) = explain("outside.example");
    assert_eq!(
        (code, &told["would_refuse"], &told["answer"]["status"]),
        (0, &"host_denied".into(), &200.into())
    );
    assert_eq!(told["addresses"][0]["allowed"], true, "{told}");
    let (code, told) = explain("inside.example");
    assert_eq!((code, &told["answer"]["reason"]), (1, &"address_forbidden".into()), "{told}");
    assert_eq!(told["addresses"][0]["allowed"], false, "{told}");
}

#[test]
fn any_other_word_for_the_mode_is_refused_and_an_enforced_role_needs_a_destination() {
    for (mode, words) in [
        ("\"reprot\"", "`enforce` or `report`"),
        ("\"enforce\"", "may go nowhere"),
        ("true", "wanted string"),
    ] {
        let folder = Folder::with(&CONFIG.replace("\"report\"", mode));
        let done = folder.run(&["--config", "gateway.toml", "check"]);
        assert!(done.code == 78 && done.err.contains(words), "{mode}: {}", done.err);
    }
}
