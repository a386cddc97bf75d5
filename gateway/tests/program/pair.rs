//! `la-gateway pair`: a user, and a small file for the machine that agent-lite runs on.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::proxy_url::ProxyUrl;

use crate::cast::Folder;

const CONFIG: &str =
    "[[listener]]\naddress = \"10.0.0.5:8080\"\n[role.agents]\nusers_file = \"agents.users\"\n";

fn folder(config: &str) -> Folder {
    let folder = Folder::with(config);
    folder.write("agents.users", "");
    folder
}

fn pair(folder: &Folder, more: &[&str]) -> crate::cast::Done {
    folder.run(&[&["--config", "gateway.toml", "pair", "edge7"], more].concat())
}

#[test]
fn the_file_holds_a_proxy_value_with_the_password_of_the_new_user_and_nobody_else_can_read_it() {
    let folder = folder(CONFIG);
    let done = pair(&folder, &[]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    let text = folder.read("edge7.toml");
    let value = text.split('"').nth(1).unwrap();
    let proxy: ProxyUrl = value.parse().unwrap();
    assert_eq!(proxy.to_string(), "http://edge7@10.0.0.5:8080");
    assert!(folder.read("agents.users").starts_with("edge7:$argon2id$"));
    assert_eq!(fs::metadata(folder.path("edge7.toml")).unwrap().permissions().mode() & 0o777, 0o600);
    let password = value.split([':', '@']).nth(2).unwrap();
    assert!(password.len() > 24 && !done.err.contains(password), "{done:?}");
}

#[test]
fn a_file_that_is_there_is_not_overwritten_and_the_user_keeps_the_password() {
    let folder = folder(CONFIG);
    assert_eq!(pair(&folder, &[]).code, 0);
    let (file, users) = (folder.read("edge7.toml"), folder.read("agents.users"));
    let done = pair(&folder, &[]);
    assert!(done.code == 1 && done.err.contains("edge7.toml"), "{done:?}");
    assert_eq!((folder.read("edge7.toml"), folder.read("agents.users")), (file, users));
}

#[test]
fn an_address_that_no_machine_can_connect_to_and_an_ambiguous_role_are_asked_for() {
    let everywhere = folder(&CONFIG.replace("10.0.0.5", "0.0.0.0"));
    let done = pair(&everywhere, &[]);
    assert!(done.code == 1 && done.err.contains("--address"), "{done:?}");
    assert_eq!(pair(&everywhere, &["--address", "gw.example:8080"]).code, 0);
    assert!(everywhere.read("edge7.toml").contains("@gw.example:8080"));
    let second = folder(&format!("{CONFIG}[role.others]\nusers_file = \"others.users\"\n"));
    second.write("others.users", "");
    let done = pair(&second, &[]);
    assert!(done.code == 1 && done.err.contains("--role"), "{done:?}");
    assert_eq!(pair(&second, &["--role", "others"]).code, 0);
    assert!(second.read("others.users").starts_with("edge7:"));
}

#[test]
fn with_tls_the_file_holds_the_certificates_that_vouch_for_the_gateway() {
    let listener = "address = \"10.0.0.5:8443\"\ntls = { certificate = \"gw.crt\", key = \"gw.key\" }";
    let folder = folder(&CONFIG.replace("address = \"10.0.0.5:8080\"", listener));
    let key = rcgen::KeyPair::generate().unwrap();
    let own =
        rcgen::CertificateParams::new(vec!["gw.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    folder.write("gw.crt", &own.pem());
    folder.write("gw.key", &key.serialize_pem());
    assert_eq!(pair(&folder, &[]).code, 0);
    let text = folder.read("edge7.toml");
    assert!(text.contains("https://edge7:") && text.contains(own.pem().lines().nth(1).unwrap()), "{text}");
    folder.write("gw.crt", "nothing");
    let done = pair(&folder, &["--output", "again.toml"]);
    assert!(done.code == 1 && done.err.contains("gw.crt"), "{done:?}");
}

#[test]
fn a_key_that_stands_beside_the_certificate_is_not_given_to_the_machine() {
    let listener = "address = \"10.0.0.5:8443\"\ntls = { certificate = \"gw.pem\", key = \"gw.pem\" }";
    let folder = folder(&CONFIG.replace("address = \"10.0.0.5:8080\"", listener));
    let key = rcgen::KeyPair::generate().unwrap();
    let own =
        rcgen::CertificateParams::new(vec!["gw.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    folder.write("gw.pem", &format!("{}# \"\"\" \u{1}\n{}", key.serialize_pem(), own.pem()));
    assert_eq!(pair(&folder, &[]).code, 0);
    let text = folder.read("edge7.toml");
    assert!(
        !text.contains("PRIVATE KEY") && !text.contains(key.serialize_pem().lines().nth(1).unwrap()),
        "{text}"
    );
    let read: toml::Table = toml::from_str(&text).unwrap();
    assert!(
        read["gateway"]["ca_pem"].as_str().unwrap().contains(own.pem().lines().nth(1).unwrap()),
        "{text}"
    );
}
