//! Files that are wrong, empty, half-written or swapped while the gateway runs (S12): what was in force stays so.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use end_to_end::client::Tunnel;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::run_to_end;
use end_to_end::pki::Pki;
use end_to_end::record::Record;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::stage::assert_refusal;

/// Nobody may go anywhere but here.
const ELSEWHERE: &str =
    "[role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\nbundles = []\nhosts = [\"packages.example\"]\n";

fn config(stage: &Stage, text: &str) -> Config {
    Config::new(text).hosts(&[GOOD], stage.azure.address())
}

async fn assert_elsewhere_only(stage: &Stage) {
    assert_refusal(&refused(stage.gateway.proxy(), GOOD_TARGET, &[]).await.0, 403);
}

/// Returns why reloads were refused so far, in order.
fn refusals(stage: &Stage) -> Vec<Record> {
    let records = stage.gateway.log().records();
    records.into_iter().filter(|record| record.event_id() == Some(131)).collect()
}

/// Waits for a refused reload whose record has these words.
async fn said(stage: &Stage, words: &str) -> Record {
    let has = |record: &Record| record.event_id() == Some(131) && record.text("message").contains(words);
    stage.gateway.wait_for_record(words, has).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_wrong_file_keeps_what_is_in_force_says_why_once_and_sets_the_metric() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let series = stage.gateway.metrics().await;
    let wrong = config(&stage, &format!("{ANYONE}colour = \"blue\"\n"));
    for _ in 0..3 {
        stage.gateway.reload(&wrong, "refused").await;
    }
    assert_eq!(stage.gateway.metric("la_gateway_reload_success", &[]).await, 0.0);
    stage.serve_a_good_client(&[]).await;
    let told = said(&stage, "unknown field `colour`").await;
    assert!(told.text("message").contains("gateway.toml:6:1: "), "{told:?}");
    assert_eq!(refusals(&stage).len(), 1, "the same problem is said once");
    stage.gateway.reload(&config(&stage, "[role.agents]\nbundles = [\"nothing\"]\n"), "refused").await;
    said(&stage, "there is no such bundle").await;
    let before = stage.gateway.reloads("unchanged").await;
    config(&stage, ANYONE).write(stage.gateway.folder());
    stage.gateway.hang_up();
    stage.gateway.wait_for_metric("la_gateway_reload_success", &[], 1.0).await;
    assert_eq!(stage.gateway.reloads("applied").await, 0.0);
    assert!(stage.gateway.reloads("unchanged").await > before);
    let again = |record: &Record| record.event_id() == Some(130);
    assert!(
        stage.gateway.wait_for_record("right again", again).await.text("message").contains("right again")
    );
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_an_empty_configuration_and_an_emptied_users_file_change_nothing() {
    let users = format!("{ANYONE}[role.users]\nusers_file = \"users\"\n");
    let stage = Stage::good(Config::new(&users).file("users", &users_file(&[("ann", "one")]))).await;
    let folder = stage.gateway.folder();
    let text = fs::read_to_string(folder.join("gateway.toml")).expect("a configuration");
    for blank in ["", "\n \n"] {
        let before = stage.gateway.reloads("refused").await;
        fs::write(folder.join("gateway.toml"), blank).expect("written");
        stage.gateway.hang_up();
        stage.gateway.wait_for_reload("refused", before).await;
        said(&stage, "there is no role").await;
    }
    fs::write(folder.join("gateway.toml"), &text).expect("written");
    fs::write(folder.join("users"), "").expect("written");
    stage.gateway.hang_up();
    said(&stage, "users: it is empty and was not").await;
    let ann = basic("ann", "one");
    stage.serve_a_good_client(&[("Proxy-Authorization", &ann)]).await;
    fs::write(folder.join("users"), "# nobody\n").expect("written");
    stage.gateway.hang_up();
    stage.gateway.wait_for_metric("la_gateway_reload_success", &[], 1.0).await;
    stage.serve_a_good_client(&[]).await;
    // Nobody is a user any more.
    let of_network = |record: &Record| record.is_access() && record.is("user", "");
    stage.gateway.wait_for_record("a client without a user", of_network).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_half_written_file_is_not_taken_and_the_whole_one_is_without_being_asked_for() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let file = stage.gateway.folder().join("gateway.toml");
    let whole = config(&stage, ELSEWHERE).text();
    // In the middle of a string, as a writer that is slow or was stopped leaves it.
    let (half, _) = whole.split_at(whole.find("packages").expect("a host") + 3);
    fs::write(&file, half).expect("written");
    said(&stage, "gateway.toml:4:").await;
    stage.serve_a_good_client(&[]).await;
    fs::write(&file, &whole).expect("written");
    stage.gateway.wait_for_metric("la_gateway_reloads_total", &[("outcome", "applied")], 1.0).await;
    assert_elsewhere_only(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_links_that_are_swapped_as_kubernetes_swaps_them_are_followed() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let folder = stage.gateway.folder();
    let swap = |version: &str, text: &str| {
        fs::create_dir(folder.join(version)).expect("a folder");
        config(&stage, text).write(&folder.join(version));
        symlink(version, folder.join("..data_tmp")).expect("a link");
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("swapped");
    };
    swap("..2026_01", ELSEWHERE);
    symlink(Path::new("..data/gateway.toml"), folder.join("link")).expect("a link");
    fs::rename(folder.join("link"), folder.join("gateway.toml")).expect("a mounted file");
    stage.gateway.wait_for_metric("la_gateway_reloads_total", &[("outcome", "applied")], 1.0).await;
    assert_elsewhere_only(&stage).await;
    swap("..2026_02", ANYONE);
    fs::remove_dir_all(folder.join("..2026_01")).expect("removed, as the old one is");
    stage.gateway.wait_for_metric("la_gateway_reloads_total", &[("outcome", "applied")], 2.0).await;
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_users_file_that_is_lost_unreadable_or_replaced_by_a_folder_changes_nothing() {
    let text = "[role.users]\nusers_file = \"users\"\n";
    let stage = Stage::good(Config::new(text).file("users", &users_file(&[("ann", "one")]))).await;
    let (users, ann) = (stage.gateway.folder().join("users"), basic("ann", "one"));
    fs::remove_file(&users).expect("removed");
    stage.gateway.hang_up();
    said(&stage, "No such file").await;
    fs::create_dir(&users).expect("a folder");
    stage.gateway.hang_up();
    said(&stage, "Is a directory").await;
    stage.serve_a_good_client(&[("Proxy-Authorization", &ann)]).await;
    fs::remove_dir(&users).expect("removed");
    // To open one would wait for a writer, for ever.
    let made = std::process::Command::new("mkfifo").arg(&users).status().expect("mkfifo runs");
    assert!(made.success(), "no pipe could be made");
    stage.gateway.hang_up();
    said(&stage, "users: is no regular file").await;
    fs::remove_file(&users).expect("removed");
    fs::write(&users, users_file(&[("bob", "two")])).expect("written");
    // Nobody asks: the file that was missed is watched.
    stage.gateway.wait_for_metric("la_gateway_reload_success", &[], 1.0).await;
    assert_refusal(
        &refused(stage.gateway.proxy(), GOOD_TARGET, &[("Proxy-Authorization", &ann)]).await.0,
        407,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_not_watched_where_configured_and_sighup_takes_them() {
    let quiet = "[reload]\nwatch = false\n";
    let stage = Stage::good(Config::new(&format!("{quiet}{ANYONE}"))).await;
    config(&stage, &format!("{quiet}{ELSEWHERE}")).write(stage.gateway.folder());
    // As long as a watched change takes at the most.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    stage.serve_a_good_client(&[]).await;
    stage.gateway.hang_up();
    stage.gateway.wait_for_metric("la_gateway_reloads_total", &[("outcome", "applied")], 1.0).await;
    assert_elsewhere_only(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_breaks_what_must_be_allowed_or_denied_is_refused() {
    let expects = format!(
        "[reload]\nmust_allow = [\"{GOOD}\", \"ann@{GOOD}\"]\nmust_deny = [\"evil.example\", \"from:192.0.2.1@{GOOD}\"]\n\
         [role.users]\nusers_file = \"users\"\n"
    );
    let users = users_file(&[("ann", "one")]);
    let stage = Stage::good(Config::new(&format!("{expects}{ANYONE}")).file("users", &users)).await;
    let broken = [
        (ELSEWHERE.to_owned(), "must_allow: "),
        (
            format!("{ANYONE}[role.evil]\nanonymous_from = [\"192.0.2.9/32\"]\nhosts = [\"evil.example\"]\n"),
            "role evil may reach it by the rule evil.example",
        ),
        (
            format!("{ANYONE}[role.more]\nanonymous_from = [\"192.0.2.0/24\"]\n"),
            "a client at 192.0.2.1 (role more) may reach it",
        ),
    ];
    for (roles, words) in broken {
        let changed = config(&stage, &format!("{expects}{roles}"));
        stage.gateway.reload(&changed, "refused").await;
        assert!(said(&stage, words).await.text("message").contains("gateway.toml:"), "no place");
        stage.serve_a_good_client(&[]).await;
        let file = stage.gateway.folder().join("gateway.toml");
        let arguments = ["--config".as_ref(), file.as_os_str(), "check".as_ref()];
        let output = run_to_end(&arguments, stage.gateway.folder()).await;
        assert_eq!(output.status.code(), Some(78));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
    let without_ann = config(&stage, &format!("{expects}{ANYONE}")).file("users", "# nobody\n");
    stage.gateway.reload(&without_ann, "refused").await;
    said(&stage, "user ann is refused").await;
    stage.serve_a_good_client(&[("Proxy-Authorization", &basic("ann", "one"))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_tls_files_that_are_missing_or_of_another_key_change_nothing_until_they_are_right() {
    let (front, foreign) = (Pki::new(), Pki::new());
    let files = front.pem_files("gateway", &["gateway.example"]);
    let other = foreign.pem_files("other", &["gateway.example"]);
    let stage = Stage::good(Config::new(ANYONE)).await;
    let folder = stage.gateway.folder();
    let tls =
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"gw.crt\", key = \"gw.key\" }\n";
    let with_tls = config(&stage, &format!("{tls}{ANYONE}"));
    fs::copy(&files.certificate, folder.join("gw.crt")).expect("copied");
    stage.gateway.reload(&with_tls, "refused").await;
    said(&stage, "gw.key").await;
    fs::copy(&other.key, folder.join("gw.key")).expect("copied");
    stage.gateway.hang_up();
    said(&stage, "gw.crt").await;
    stage.serve_a_good_client(&[]).await;
    fs::copy(&files.key, folder.join("gw.key")).expect("copied");
    // Nobody asks: the file that was wrong is watched.
    stage.gateway.wait_for_metric("la_gateway_reloads_total", &[("outcome", "applied")], 1.0).await;
    let socket = TcpStream::connect(stage.gateway.proxy()).await.expect("a connection");
    let name = "gateway.example".try_into().expect("a name");
    TlsConnector::from(front.client_config()).connect(name, socket).await.expect("TLS at the same port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_trusted_by_the_authorities_that_are_written_now() {
    let (first, second) = (Pki::new(), Pki::new());
    let front = second.pem_files("relay", &["127.0.0.1"]);
    let tls = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n{ANYONE}",
        front.certificate.display(),
        front.key.display()
    );
    let far = Stage::good(Config::new(&tls)).await;
    let authority = |pki: &Pki| fs::read_to_string(pki.authority_file()).expect("an authority");
    let text = format!("{ANYONE}[relay]\nproxies = [\"https://{}\"]\nca = \"ca.pem\"\n", far.gateway.proxy());
    let near = Gateway::start(&Config::new(&text).file("ca.pem", &authority(&first))).await;
    assert_refusal(&refused(near.proxy(), GOOD_TARGET, &[]).await.0, 502);
    near.reload(&Config::new(&text).file("ca.pem", &authority(&second)), "applied").await;
    drop(Tunnel::open(near.proxy(), GOOD_TARGET, &[]).await);
}
