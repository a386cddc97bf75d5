//! `la-gateway explain`: each station's verdict, without a packet to the destination.

use std::net::UdpSocket;
use std::path::Path;

use crate::cast::Done;
use crate::cast::Folder;

const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
const OTHER_GUID: &str = "00000000-aa1a-123a-aaa1-a1a345aa6789";
const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

/// Two roles: agents by password or network, pinned; and laboratories with a host of their own.
fn folder() -> Folder {
    let folder = Folder::with(&format!(
        "[dns]\nhosts = {{ \"public.example.com\" = [\"20.42.65.90\"], \"inside.example.com\" = [\"10.1.2.3\"], \
         \"both.example.com\" = [\"20.42.65.90\", \"169.254.169.254\"], \"allowed.example.com\" = [\"10.9.0.1\"] }}\n\
         [addresses]\nallow = [\"10.9.0.0/16\"]\n\
         [role.agents]\nusers_file = \"agents.users\"\nanonymous_from = [\"10.20.0.0/16\"]\n\
         workspaces = [\"{GUID}\"]\nstorage_accounts = [\"listed\"]\nhosts = [\"*.example.com\"]\n\
         [role.laboratory]\nanonymous_from = [\"10.20.7.0/24\"]\nbundles = []\nhosts = [\"lab.example.com\"]\n"
    ));
    folder.write("agents.users", &format!("ann:{HASH}\n"));
    folder
}

fn explain(folder: &Folder, arguments: &[&str]) -> Done {
    folder.run(&[&["--config", "gateway.toml", "explain"], arguments].concat())
}

#[test]
fn an_allowed_target_is_answered_with_200_and_every_station_says_why() {
    let folder = folder();
    let ods = format!("{GUID}.ods.opinsights.azure.com");
    let from = ["--from", "10.20.0.1"];
    let cases: [(&[&str], &[&str]); 6] = [
        (
            &[&ods, from[0], from[1], "--no-dns"],
            &[
                "target     ",
                ":443\n",
                "anonymous from 10.20.0.1, role agents",
                "(bundle log-analytics)",
                "not looked up",
            ],
        ),
        (&[&format!("{}:443", ods.to_uppercase()), from[0], from[1], "--no-dns"], &[&ods]),
        (
            &["public.example.com", "--user", "ann"],
            &["user ann, role agents", "*.example.com (gateway.toml:", "20.42.65.90:443 may be dialled"],
        ),
        (&["allowed.example.com", "--user", "ann"], &["10.9.0.1:443 may be dialled"]),
        (&["lab.example.com", "--from", "10.20.7.9", "--no-dns"], &["role laboratory"]),
        (&["public.example.com", "--from", "::ffff:10.20.0.1", "--no-dns"], &["role agents"]),
    ];
    for (arguments, words) in cases {
        let done = explain(&folder, arguments);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{arguments:?}: {}", done.out);
        assert!(done.out.contains("answer     200"), "{arguments:?}: {}", done.out);
        for word in words {
            assert!(done.out.contains(word), "{arguments:?}: `{word}` is missing in\n{}", done.out);
        }
    }
}

#[test]
fn each_kind_of_refusal_is_told_with_the_answer_the_client_would_get() {
    let folder = folder();
    let other = format!("{OTHER_GUID}.ods.opinsights.azure.com");
    let cases: [(&[&str], &str); 17] = [
        (&["a_b.example.com"], "400 malformed_target"),
        (&["public.example.com."], "400 malformed_target"),
        (&["public.example.com:0443"], "400 malformed_target"),
        (&["public.example.com:"], "400 malformed_target"),
        (&[""], "400 malformed_target"),
        (&["20.42.65.90"], "403 address_literal"),
        (&["20.42.65.90:443"], "403 address_literal"),
        (&["[::1]:443"], "403 address_literal"),
        (&["public.example.com:8443", "--user", "ann"], "403 port_denied"),
        (&["evil.example", "--user", "ann"], "403 host_denied"),
        (&["x.public.example.com", "--user", "ann"], "403 host_denied"),
        (&["public.example.com", "--from", "10.20.7.9"], "403 host_denied"),
        (&[&other, "--user", "ann"], "403 workspace_denied"),
        (&["other.blob.core.windows.net", "--user", "ann"], "403 storage_account_denied"),
        (&["public.example.com", "--from", "10.21.0.1"], "407 credentials_missing"),
        (&["public.example.com", "--user", "eve"], "407 credentials_rejected"),
        (&["inside.example.com", "--user", "ann"], "403 address_forbidden"),
    ];
    for (arguments, words) in cases {
        let done = explain(&folder, arguments);
        assert_eq!((done.code, done.err.as_str()), (1, ""), "{arguments:?}: {}", done.out);
        assert!(done.out.contains(&format!("answer     {words} (event ")), "{arguments:?}: {}", done.out);
        assert!(!done.out.contains("argon2id"), "{arguments:?}: {}", done.out);
    }
}

#[test]
fn a_user_that_no_role_has_is_called_so() {
    let done = explain(&folder(), &["public.example.com", "--user", "eve"]);
    let words = "client     refused: no role has a user 'eve' (credentials_rejected)\n";
    assert!(done.out.contains(words), "{}", done.out);
}

#[test]
fn one_forbidden_address_refuses_the_whole_answer_and_each_address_is_judged_aloud() {
    let done = explain(&folder(), &["both.example.com", "--user", "ann"]);
    assert_eq!(done.code, 1, "{}", done.out);
    assert!(done.out.contains("20.42.65.90:443 may be dialled"), "{}", done.out);
    assert!(done.out.contains("169.254.169.254:443 is forbidden"), "{}", done.out);
    assert!(done.out.contains("answer     403 address_forbidden"), "{}", done.out);
}

#[test]
fn without_users_a_network_that_no_role_has_is_denied_and_not_asked_for_a_password() {
    let folder = Folder::with("[role.a]\nanonymous_from = [\"10.20.0.0/16\"]\nhosts = [\"a.example.com\"]\n");
    let done = explain(&folder, &["a.example.com", "--from", "10.21.0.1"]);
    assert_eq!(done.code, 1, "{}", done.out);
    assert!(done.out.contains("answer     403 client_network_denied"), "{}", done.out);
}

#[test]
fn without_users_a_named_user_is_ignored_as_the_gateway_ignores_credentials() {
    let folder = Folder::with("[role.sites]\nanonymous_from = [\"10.20.0.0/16\"]\n");
    let host = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
    let done = explain(&folder, &[host, "--user", "ann", "--from", "10.20.0.9", "--no-dns"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("role sites"), "{}", done.out);
}

#[test]
fn an_address_in_any_spelling_is_told_as_an_address_and_a_url_as_a_url() {
    let folder = Folder::with("[role.sites]\nanonymous_from = [\"127.0.0.1\"]\n");
    for literal in ["20.1.2.3", "20.1.2.3:443", "::1", "[::1]", "[::1]:443"] {
        let done = explain(&folder, &[literal]);
        assert!(done.code == 1 && done.out.contains("403 address_literal"), "{literal}: {done:?}");
    }
    let done = explain(&folder, &["https://example.com/"]);
    assert!(done.code == 1 && done.err.contains("write the host alone"), "{done:?}");
}

#[test]
fn a_name_server_that_is_silent_is_told_and_with_no_dns_it_is_not_asked() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let folder = Folder::with(&format!(
        "[dns]\nservers = [\"{}\"]\ntimeout = \"200ms\"\n\
         [role.a]\nanonymous_from = [\"127.0.0.0/8\"]\nhosts = [\"a.example.com\"]\n",
        silent.local_addr().unwrap()
    ));
    silent.set_nonblocking(true).unwrap();
    let done = explain(&folder, &["a.example.com", "--no-dns"]);
    assert_eq!(done.code, 0, "{}", done.out);
    assert!(silent.recv(&mut [0; 512]).is_err(), "a question was asked");
    let done = explain(&folder, &["a.example.com"]);
    assert_eq!(done.code, 1, "{}", done.out);
    assert!(done.out.contains("answer     504 name_timeout"), "{}", done.out);
    assert!(silent.recv(&mut [0; 512]).is_ok(), "no question was asked");
}

#[test]
fn with_no_configuration_at_all_this_machine_and_no_other_may_reach_log_analytics() {
    if Path::new("/etc/la-gateway/gateway.toml").exists() {
        println!("skipped: this machine has a configuration in the usual place");
        return;
    }
    let host = format!("{GUID}.ods.opinsights.azure.com");
    let cases = [
        (&host[..], "127.0.0.1", "200"),
        (&host, "::1", "200"),
        (&host, "10.0.0.1", "403 client_network_denied"),
        ("example.com", "127.0.0.1", "403 host_denied"),
    ];
    for (host, from, answer) in cases {
        let done = Folder::new().run(&["explain", host, "--from", from, "--no-dns"]);
        assert!(done.out.contains(&format!("answer     {answer}")), "{host} from {from}: {}", done.out);
    }
}

#[test]
fn the_sample_for_operations_manager_lets_servers_agents_and_console_where_each_must_go() {
    let folder = Folder::with(include_str!("../../../deploy/config/operations-manager.toml"));
    let hosts = [
        format!("{GUID}.ods.opinsights.azure.com"),
        format!("{GUID}.oms.opinsights.azure.com"),
        "scadvisor01.blob.core.windows.net".to_owned(),
        "we-jobruntimedata-prod-su1.azure-automation.net".to_owned(),
        "ef.service.opinsights.azure.com".to_owned(),
        "login.microsoftonline.com".to_owned(),
        format!("{OTHER_GUID}.ods.opinsights.azure.com"),
        "www.microsoft.com".to_owned(),
    ];
    let cases = [
        ("managed-agents", "10.20.7.1", [true, true, true, true, false, false, false, false]),
        ("management-servers", "10.20.1.3", [true, true, true, true, true, false, false, false]),
        ("operations-console", "10.20.1.20", [false, false, false, false, true, true, false, false]),
    ];
    for (role, from, right) in cases {
        for (host, right) in hosts.iter().zip(right) {
            let done = explain(&folder, &[host, "--from", from, "--no-dns"]);
            let answer = if right { "answer     200" } else { "403" };
            assert!(done.out.contains(&format!("role {role}")), "{host} from {from}: {}", done.out);
            assert!(done.out.contains(answer), "{host} from {from}: {}", done.out);
        }
    }
}
