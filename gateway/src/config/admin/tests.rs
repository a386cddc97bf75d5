use super::super::Config;
use super::super::load;
use super::*;

const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
const TLS: &str = "tls = { certificate = \"c\", key = \"k\" }\n";
const TLS_CA: &str =
    "tls = { certificate = \"c\", key = \"k\", client_ca = \"a\", client_certificate = \"optional\" }\n";
const FROM: &str = "from = [\"10.0.9.0/24\"]\n";
const INNER: &str = "address = \"10.0.0.5:9180\"\n";
const USERS: &str = "users_file = \"admin.users\"\n";
const CERTIFICATES: &str = "certificates = [\"CN=operator\"]\n";

fn read(keys: &[&str]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("admin.users"), format!("ann:{HASH}\n")).expect("written");
    let file = folder.path().join("gateway.toml");
    let text = format!("[admin]\n{}[role.a]\nanonymous_from = [\"10.0.0.1\"]\n", keys.concat());
    std::fs::write(&file, text).expect("written");
    load(Some(&file)).map_err(|problems| problems.to_string())
}

#[test]
fn beyond_loopback_page_and_api_need_tls_and_somebody_who_is_known() {
    let right: [&[&str]; 8] = [
        &[],
        &[FROM],
        &[USERS],
        &["address = \"[::1]:9180\"\n"],
        &[INNER, FROM, TLS, USERS],
        &[INNER, FROM, TLS_CA, CERTIFICATES],
        &[INNER, FROM, "open = [\"metrics\", \"health\"]\n"],
        &["address = \"0.0.0.0:9180\"\n", FROM, TLS, "open = [\"metrics\"]\n"],
    ];
    for keys in right {
        assert!(read(keys).is_ok(), "{keys:?}: {:?}", read(keys).err());
    }
    let wrong: [(&[&str], &str); 8] = [
        (&[INNER], "is open to the network; list who may read it in `from`"),
        (&[INNER, TLS, USERS], "list who may read it in `from`"),
        (&[INNER, FROM], "as before, write `open = [\"metrics\", \"health\"]`"),
        (&["address = \"0.0.0.0:9180\"\n", FROM], "has no TLS and no password"),
        (&[INNER, FROM, USERS, "open = [\"metrics\"]\n"], "passwords in the clear"),
        (&[INNER, FROM, TLS], "say who may read them in `users_file` or `certificates`"),
        (&[CERTIFICATES], "needs `tls` with a `client_ca`"),
        (&[TLS_CA], "list them in `certificates`"),
    ];
    for (keys, words) in wrong {
        let problems = read(keys).expect_err(words);
        assert!(problems.contains(words), "{keys:?}: {problems}");
    }
}

#[test]
fn a_users_file_that_is_wrong_or_missing_is_a_problem_with_its_place() {
    let problems = read(&["users_file = \"nobody.users\"\n"]).expect_err("is missing");
    assert!(problems.contains("gateway.toml:2:14: users_file"), "{problems}");
}

#[test]
fn who_is_known_here_is_of_no_role_of_the_proxy_and_may_go_nowhere() {
    let config = read(&[USERS]).expect("is right");
    let verified = Arc::new(Verified::new([0; 32]));
    let admin = config.admin.as_ref().expect("an admin listener");
    let ann = admin.accounts(Arc::clone(&verified)).expect("accounts").client_named("ann").expect("a user");
    let target = "a.ods.opinsights.azure.com:443".parse().expect("a target");
    assert!(ann.role().destinations.authorize(&target).is_err());
    assert!(config.roles.accounts(Arc::clone(&verified)).client_named("ann").is_none());
    assert!(read(&[]).expect("is right").admin.expect("an admin listener").accounts(verified).is_none());
}
