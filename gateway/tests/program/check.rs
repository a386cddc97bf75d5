//! `la-gateway check`, and what a wrong configuration does to every command.

use std::net::TcpListener;

use crate::cast::Folder;

const CHECK: [&str; 3] = ["--config", "gateway.toml", "check"];
const EX_CONFIG: i32 = 78;

#[test]
fn a_right_configuration_is_right_although_its_ports_are_taken_for_nothing_is_bound() {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [proxy, admin] = taken.each_ref().map(|listener| listener.local_addr().unwrap());
    let folder = Folder::with(&format!(
        "[[listener]]\naddress = \"{proxy}\"\n[admin]\naddress = \"{admin}\"\n\
         [role.agents]\nanonymous_from = [\"10.20.0.0/16\"]\nhosts = [\"packages.example.com\"]\n"
    ));
    let done = folder.run(&CHECK);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{}", done.out);
    assert!(done.out.contains("the configuration is right"), "{}", done.out);
    let policy = "role agents (10.20.0.0/16) may reach log-analytics in public";
    assert!(done.out.contains(policy) && done.out.contains("port 443 only (gateway.toml)"), "{}", done.out);
}

#[test]
fn every_problem_stands_on_a_line_of_its_own_with_its_place_and_nothing_is_started() {
    let folder = Folder::with(
        "[[listener]]\naddress = \"localhost:8080\"\n\n[tunnel]\nidle = \"soon\"\nidel = \"1h\"\n\n\
         [role.agents]\nusers_file = \"agents.users\"\nhosts = [\"*.com\", \"ok.example.com\"]\n",
    );
    folder.write("agents.users", "# agents\nann:secret-in-the-clear\n");
    let places = [
        "gateway.toml:2:11: ",
        "gateway.toml:5:8: ",
        "gateway.toml:6:1: ",
        "gateway.toml:10:10: ",
        "agents.users:2:1: ",
    ];
    for command in ["check", "run", "explain"] {
        let mut arguments = vec!["--config", "gateway.toml", command];
        if command == "explain" {
            arguments.push("a.example.com");
        }
        let done = folder.run(&arguments);
        assert_eq!((done.code, done.out.as_str()), (EX_CONFIG, ""), "{command}: {}", done.err);
        let lines: Vec<&str> = done.err.lines().collect();
        for place in places {
            let with_place = lines.iter().filter(|line| line.starts_with(place)).count();
            assert_eq!(with_place, 1, "{place} in\n{}", done.err);
        }
        let begun = if command == "run" { "started" } else { "done" };
        let last = format!("la-gateway: 5 problems in the configuration; nothing was {begun}");
        assert_eq!(lines.last(), Some(&last.as_str()));
        assert_eq!(lines.len(), places.len() + 1, "{}", done.err);
        assert!(!done.err.contains("secret-in-the-clear"), "{}", done.err);
    }
}

#[test]
fn a_role_that_may_reach_any_storage_account_is_warned_of_until_accounts_are_named() {
    let warning = "warning: role agents may reach any storage account: set storage_accounts\n";
    let role = "[role.agents]\nanonymous_from = [\"10.20.0.0/16\"]\n";
    for (more, warned) in [
        ("", true),
        ("storage_accounts = [\"examplelogs\"]\n", false),
        ("bundles = []\nhosts = [\"a.example\"]\n", false),
    ] {
        let done = Folder::with(&format!("{role}{more}")).run(&CHECK);
        assert_eq!((done.code, done.out.contains(warning)), (0, warned), "{more}: {}{}", done.out, done.err);
    }
}

#[test]
fn a_users_file_that_cannot_be_read_comes_with_the_mend_of_its_cause() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::with("[role.agents]\nusers_file = \"agents.users\"\n");
    let done = folder.run(&CHECK);
    assert!(done.err.contains("; `la-gateway users add` makes it\n"), "{}", done.err);
    folder.write("agents.users", "# nobody\n");
    std::fs::set_permissions(folder.path("agents.users"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(folder.path("agents.users")).is_ok() {
        return println!("the superuser may read everything, so there is nothing to see");
    }
    let done = folder.run(&CHECK);
    assert!(done.err.contains("chown root:la-gateway, chmod 0640\n"), "{}", done.err);
}

#[test]
fn a_configuration_that_is_not_there_or_is_no_text_is_a_wrong_one_and_never_the_built_in_default() {
    let folder = Folder::new();
    std::fs::write(folder.path("binary.toml"), b"\xff\xfe\0").unwrap();
    folder.write("empty.toml", "");
    let cases = [
        ("missing.toml", "missing.toml: cannot be read"),
        ("binary.toml", "binary.toml: cannot be read"),
        (".", ".: cannot be read"),
        ("empty.toml", "empty.toml: there is no role"),
    ];
    for (file, words) in cases {
        for command in ["check", "run"] {
            let done = folder.run(&["--config", file, command]);
            assert_eq!(done.code, EX_CONFIG, "{file}: {}", done.err);
            assert!(done.err.starts_with(words), "{file}: {}", done.err);
        }
    }
}

#[test]
fn a_tls_identity_that_cannot_be_used_is_a_problem_of_the_configuration_with_its_file_and_mend() {
    let folder = Folder::with(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"gw.crt\", key = \"gw.key\" }\n\
         [admin]\naddress = \"off\"\n[role.a]\nanonymous_from = [\"127.0.0.0/8\"]\n",
    );
    let [ours, other] =
        [(); 2].map(|()| rcgen::generate_simple_self_signed(["gw.example".to_owned()]).unwrap());
    let (certificate, key, other) =
        (ours.cert.pem(), ours.signing_key.serialize_pem(), other.signing_key.serialize_pem());
    let cases = [
        (Some(&certificate), None, "gw.key: ", "a PEM file with an unencrypted private key"),
        (None, Some(&key), "gw.crt: ", "a PEM file with the certificate chain"),
        (Some(&certificate), Some(&certificate), "gw.key: ", "a PEM file with an unencrypted private key"),
        (Some(&key), Some(&key), "gw.crt: ", "there is no certificate in it"),
        (Some(&certificate), Some(&other), "gw.crt: ", "must belong together"),
    ];
    for (certificate, key, file, words) in cases {
        for (name, text) in [("gw.crt", certificate), ("gw.key", key)] {
            match text {
                Some(text) => folder.write(name, text),
                None => drop(std::fs::remove_file(folder.path(name))),
            }
        }
        for command in ["check", "run"] {
            let done = folder.run(&["--config", "gateway.toml", command]);
            assert_eq!(done.code, EX_CONFIG, "{command}, {words}: {}", done.err);
            assert!(done.err.contains(file) && done.err.contains(words), "{command}, {words}: {}", done.err);
            assert!(!done.err.contains("BEGIN") && !done.out.contains("listening"), "{command}: {done:?}");
        }
    }
    folder.write("gw.crt", &certificate);
    folder.write("gw.key", &key);
    let done = folder.run(&CHECK);
    assert_eq!(done.code, 0, "{}", done.err);
}
