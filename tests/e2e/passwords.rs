//! Users files as `htpasswd` writes them, and passwords as agents send them: plain and percent-encoded.

use std::ffi::OsStr;

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::curl::curl;
use end_to_end::gateway::run_to_end;
use end_to_end::patience::LOOK_AGAIN;
use end_to_end::patience::patiently;
use end_to_end::users::basic;
use end_to_end::users::htpasswd;
use end_to_end::users::users_file;

use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::table;
use crate::table::Row;

const BCRYPT: &str = "-nbBC 4";
const PATIENT: &str = "[limits]\nfailed_logins_per_minute = 1000\n";
const ROLES: &str = r#"
[role.old]
users_file = "old.users"
[role.new]
users_file = "new.users"
"#;
/// Users with bcrypt lines, all of the role `old`.
const OLD: [(&str, &str); 4] =
    [("at", "p@ss"), ("percent", "p%40ss"), ("per cent@", "100%"), ("umlaut", "pässwörd+ß")];
/// Users with argon2id lines, all of the role `new`.
const NEW: [(&str, &str); 2] = [("at-2", "p@ss:word"), ("percent-2", "p%40ss:word")];

/// Returns a configuration with both kinds of users, or `None` where there is no `htpasswd`.
async fn with_users(passwords: &str) -> Option<Config> {
    let mut old = users_file(&[("beside", "another secret")]);
    for (name, password) in OLD {
        old.push_str(&htpasswd(BCRYPT, name, password).await?);
    }
    let config = Config::new(&format!("{ROLES}{PATIENT}{passwords}"));
    Some(config.file("old.users", &old).file("new.users", &users_file(&NEW)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_htpasswd_stand_beside_argon2id_and_are_remembered_alike() {
    let Some(config) = with_users("").await else { return };
    let stage = Stage::good(config).await;
    let before = stage.gateway.metrics().await;
    let users: Vec<_> = OLD.iter().chain(&[("beside", "another secret")]).map(|user| (user, "old")).collect();
    let users: Vec<_> = users.into_iter().chain(NEW.iter().map(|user| (user, "new"))).collect();
    for ((name, password), role) in &users {
        let (right, wrong) = (basic(name, password), basic(name, &format!("{password}!")));
        for _ in 0..2 {
            stage.serve_a_good_client(&[("Proxy-Authorization", &right)]).await;
        }
        let record = stage.gateway.wait_for_record(name, |record| record.is("user", name)).await;
        record.assert_texts(&[("role", role), ("verdict", "carried")]);
        let (answer, address) =
            refused(stage.gateway.proxy(), GOOD_TARGET, &[("Proxy-Authorization", &wrong)]).await;
        assert_refusal(&answer, 407);
        let record = stage.gateway.only_record_of(address).await;
        record.assert_texts(&[("reason", "credentials_rejected"), ("role", "")]);
    }
    assert_eq!(stage.azure.connections(), 2 * users.len() as u64);
    let after = stage.gateway.metrics().await;
    for result in ["right", "cached", "wrong"] {
        let checks = after.value("la_gateway_password_checks_total", &[("result", result)]);
        assert_eq!(checks, users.len() as f64, "{result}");
    }
    assert_eq!(after.series(), before.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_of_bcrypt_is_never_cut() {
    let longest = "x".repeat(72);
    let Some(line) = htpasswd(BCRYPT, "longest", &longest).await else { return };
    // htpasswd itself cuts: this line is that of the first 72 bytes.
    let Some(cut) = htpasswd(BCRYPT, "cut", &"x".repeat(80)).await else { return };
    let config = Config::new(&format!("{ROLES}{PATIENT}"))
        .file("old.users", &format!("{line}{cut}"))
        .file("new.users", &users_file(&NEW));
    let stage = Stage::good(config).await;
    let rows = [
        sent("longest", &longest, &[200]),
        sent("longest", &"x".repeat(73), &[407]),
        sent("longest", &"x".repeat(71), &[407]),
        sent("cut", &"x".repeat(80), &[407]),
    ];
    let good = basic("longest", &longest);
    table::run(&stage, &[("Proxy-Authorization", &good)], &rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percent_encoded_passwords_are_accepted_by_default_in_both_forms() {
    for setting in ["", "[passwords]\npercent_encoded = \"accepted\"\n"] {
        let Some(config) = with_users(setting).await else { return };
        let rows = [
            sent("at", "p@ss", &[200]),
            sent("at", "p%40ss", &[200]),
            sent("at", "%70%40%73%73", &[200]),
            sent("at", "p%2540ss", &[407]),
            sent("at", "p%40s", &[407]),
            sent("percent", "p%40ss", &[200]),
            sent("percent", "p%2540ss", &[200]),
            sent("percent", "p@ss", &[407]),
            sent("per cent@", "100%", &[200]),
            sent("per%20cent%40", "100%25", &[200]),
            sent("per%20cent%40", "100%", &[200]),
            sent("per+cent@", "100%", &[407]),
            sent("umlaut", "pässwörd+ß", &[200]),
            sent("umlaut", "p%C3%A4ssw%C3%B6rd%2B%C3%9F", &[200]),
            sent("umlaut", "p%c3%a4ssw%c3%b6rd+%c3%9f", &[200]),
            sent("umlaut", "p%E4ssw%F6rd+%DF", &[407]),
            sent("umlaut", "pässwörd ß", &[407]),
            sent("at-2", "p%40ss%3Aword", &[200]),
            sent("at-2", "p%40ss:word", &[200]),
            sent("percent-2", "p%40ss:word", &[200]),
            sent("at%3Ap@ss", "x", &[407]),
            sent("at", "p%40ss%00", &[407]),
        ];
        run(config, &rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percent_encoded_passwords_can_be_refused() {
    let Some(config) = with_users("[passwords]\npercent_encoded = \"refused\"\n").await else { return };
    let rows = [
        sent("at", "p@ss", &[200]),
        sent("at", "p%40ss", &[407]),
        sent("percent", "p%40ss", &[200]),
        sent("percent", "p%2540ss", &[407]),
        sent("percent", "p@ss", &[407]),
        sent("per%20cent%40", "100%25", &[407]),
        sent("umlaut", "p%C3%A4ssw%C3%B6rd%2B%C3%9F", &[407]),
        sent("at-2", "p@ss:word", &[200]),
        sent("at-2", "p%40ss:word", &[407]),
        sent("percent-2", "p%40ss:word", &[200]),
    ];
    run(config, &rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_sends_both_forms() {
    for (setting, encoded) in [("accepted", (0, 200)), ("refused", (56, 407))] {
        let setting = format!("[passwords]\npercent_encoded = \"{setting}\"\n");
        let Some(config) = with_users(&setting).await else { return };
        let stage = Stage::good(config).await;
        let in_url = |user: &str| format!("http://{user}@{}", stage.gateway.proxy());
        let plain = stage.gateway.proxy_url();
        // curl decodes once, what stands in the URL and what follows `-U`.
        let cases: [(&[&str], _); 6] = [
            (&["-x", &in_url("at:p%40ss")], (0, 200)),
            (&["-x", &in_url("percent:p%2540ss")], (0, 200)),
            (&["-x", &in_url("at:p%2540ss")], encoded),
            (&["-x", &plain, "-U", "at:p%40ss"], (0, 200)),
            (&["-x", &plain, "-U", "at:p%2540ss"], encoded),
            (&["-x", &in_url("at:wrong")], (56, 407)),
        ];
        let authority = stage.pki.authority_file();
        let authority = authority.to_str().expect("UTF-8");
        for (arguments, expected) in cases {
            let url = format!("https://{GOOD}/bytes/1000");
            let arguments = [arguments, &["--cacert", authority, &url]].concat();
            let Some(outcome) = curl(&arguments).await else { return };
            assert_eq!(
                (outcome.exit, outcome.connect_status),
                expected,
                "{setting} {arguments:?} {}",
                outcome.stderr
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_htpasswd_that_are_not_bcrypt_are_problems_of_their_line() {
    let mut lines = String::from("# weak\n");
    for (options, name) in [("-nbm", "md5"), ("-nbs", "sha"), ("-nbd", "crypt"), (BCRYPT, "bcrypt")] {
        let Some(line) = htpasswd(options, name, "secret").await else { return };
        lines.push_str(&line);
    }
    // What is slow for the operator's machine is slow for the gateway, too.
    lines.push_str(&lines.lines().last().unwrap_or_default().replace("bcrypt:$2y$04$", "dear:$2y$13$"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config::new(ROLES).file("old.users", &lines).file("new.users", &users_file(&NEW));
    let path = config.write(folder.path());
    let check: [&OsStr; 3] = ["--config".as_ref(), path.as_ref(), "check".as_ref()];
    let output = run_to_end(&check, folder.path()).await;
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(78), "{said}");
    let places: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once("old.users:"))
        .filter_map(|(_, rest)| rest.split(':').next())
        .collect();
    assert_eq!(places, ["2", "3", "4", "6"], "{said}");
    assert!(!said.contains("$apr1$") && !said.contains("{SHA}"), "a hash is shown: {said}");
}

/// A CONNECT as the legacy agent's Ruby sends it: Host, Proxy-Authorization, and nothing else.
fn sent(name: &str, password: &str, statuses: &'static [u16]) -> Row {
    let line = format!("Proxy-Authorization: {}\r\n", basic(name, password));
    Row::fields(if statuses == [200] { "right" } else { "wrong" }, GOOD_TARGET, line.as_bytes(), statuses)
}

async fn run(config: Config, rows: &[Row]) {
    let stage = Stage::good(config).await;
    let good = basic("at", "p@ss");
    table::run(&stage, &[("Proxy-Authorization", &good)], rows).await;
    let wrong = rows.iter().filter(|row| row.statuses == [407]).count();
    let checks = stage.gateway.metric("la_gateway_password_checks_total", &[("result", "wrong")]).await;
    assert_eq!(checks, wrong as f64, "each wrong row is one wrong password");
    let said = stage.gateway.everything_said();
    for (_, password) in OLD.iter().chain(&NEW).filter(|(_, password)| password.len() > 4) {
        assert!(!said.contains(password), "the password {password:?} stands in the log");
    }
}

/// Returns the scheduling policies of a process's threads of this name (proc(5), field 41 of `stat`).
fn policies(pid: u32, name: &str) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads of a running process");
    let stat = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("stat")).ok();
    let named = |stat: String| {
        let (comm, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
        (comm == name).then(|| fields.split(' ').nth(38).expect("a field").parse().expect("a number"))
    };
    threads.filter_map(|thread| named(stat(thread.ok()?)?)).collect()
}

#[tokio::test]
async fn passwords_are_hashed_when_nobody_else_wants_the_processor_by_threads_that_come_with_the_first() {
    const SCHED_OTHER: i32 = 0;
    const SCHED_IDLE: i32 = 5;
    let config = Config::new(&format!("[role.new]\nusers_file = \"new.users\"\n{PATIENT}"));
    let stage = Stage::good(config.file("new.users", &users_file(&NEW))).await;
    let pid = stage.gateway.pid();
    assert_eq!(policies(pid, "hasher"), [0; 0], "nobody has offered a password yet");
    let (name, password) = NEW[0];
    stage.serve_a_good_client(&[("Proxy-Authorization", &basic(name, password))]).await;
    let processors = std::thread::available_parallelism().expect("a number of processors").get();
    patiently("the threads have begun", async {
        while policies(pid, "hasher") != vec![SCHED_IDLE; processors] {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert_eq!(policies(pid, "hasher-reserve"), [SCHED_OTHER], "it steps in where nothing is left over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_a_client_that_went_away_before_its_turn_is_not_hashed() {
    const GUESSES: usize = 40;
    // The dearest hash that is taken: the first turns last while the others wait.
    let Some(dear) = htpasswd("-nbBC 12", "dear", "the right one").await else { return };
    let config = Config::new(&format!("[role.new]\nusers_file = \"new.users\"\n{PATIENT}"));
    let stage = Stage::good(config.file("new.users", &dear)).await;
    let mut guessers = Vec::new();
    for number in 0..GUESSES {
        let wrong = basic("dear", &format!("guess {number}"));
        let head = connect_request(GOOD_TARGET, &[("Proxy-Authorization", &wrong)]);
        let mut guesser = RawClient::connect(stage.gateway.proxy()).await;
        guesser.send(&head).await;
        guessers.push(guesser);
    }
    drop(guessers);
    let counts = async |result| {
        stage.gateway.metric("la_gateway_password_checks_total", &[("result", result)]).await as usize
    };
    patiently("nothing waits any more", async {
        while counts("wrong").await + counts("abandoned").await < GUESSES {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert!(counts("abandoned").await > 0, "every guess was hashed, with nobody there to be told");
    stage.serve_a_good_client(&[("Proxy-Authorization", &basic("dear", "the right one"))]).await;
}
