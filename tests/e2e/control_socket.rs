//! The control socket: who may speak, and what becomes of those who speak nonsense, too much or too slowly.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::patience::patiently;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::stage::ANYONE;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_what_runs_as_text_and_as_json() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let status = stage.gateway.status().await;
    assert_eq!(status["pid"], stage.gateway.pid());
    assert_eq!(status["state"], "serving");
    assert_eq!(status["ready"], true);
    assert_eq!(status["listeners"][0]["address"], stage.gateway.proxy().to_string());
    assert_eq!(status["admin"], stage.gateway.admin().to_string());
    let control = stage.gateway.control();
    let output = stage.gateway.command(&["status", "--socket", control.to_str().expect("UTF-8")]).await;
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for says in [stage.gateway.proxy().to_string(), "role agents".to_owned(), "serving; ready".to_owned()] {
        assert!(text.contains(&says), "{says}: {text}");
    }
    let mode = std::fs::metadata(&control).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_killed_leaves_a_socket_that_the_next_one_replaces() {
    let mut stage = Stage::good(Config::new(ANYONE)).await;
    let second = stage.gateway.command(&["run"]).await;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("--take-over"), "{second:?}");
    stage.gateway.signal("KILL");
    stage.gateway.exit_status().await;
    let status = stage.gateway.command(&["status"]).await;
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    assert!(String::from_utf8_lossy(&status.stderr).contains("no gateway answers"), "{status:?}");
    let next = stage.gateway.another(&["run"]).await;
    assert_eq!(next.status().await["pid"], next.pid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_too_much_and_too_slow_are_answered_with_an_error_and_end() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let mut slow = UnixStream::connect(stage.gateway.control()).await.expect("a control socket");
    slow.write_all(b"{\"version\":1").await.expect("sent");
    let too_long = [vec![b'x'; 5000], vec![b'\n']].concat();
    let cases: [(&[u8], &str); 5] = [
        (b"GET /metrics HTTP/1.1\r\n\r\n", "one line like"),
        (b"\x00\xff\xfe\n", "one line like"),
        (b"{\"version\":9,\"order\":\"status\"}\n", "version 1"),
        (b"{\"version\":1,\"order\":\"stop\"}\n", "no such order"),
        (&too_long, "4096 bytes"),
    ];
    for (request, says) in cases {
        let error = error_of(&stage, request).await;
        assert!(error.contains(says), "{error}");
    }
    assert!(read_error(&mut slow).await.contains("no request within"));
    assert_eq!(stage.gateway.status().await["state"], "serving");
}

async fn connect(place: PathBuf) -> UnixStream {
    loop {
        match UnixStream::connect(&place).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::task::yield_now().await,
            connected => return connected.expect("a control socket"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peers_on_every_place_only_delay_an_operator() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        // More come than the socket's queue holds before the gateway has accepted the first.
        silent.push(patiently("a place", connect(stage.gateway.control())).await);
    }
    assert_eq!(stage.gateway.status().await["state"], "serving");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_says_what_became_of_it_and_a13_a_removed_role_holds_at_once() {
    let stage = Stage::good(Config::new(&format!("[reload]\nwatch = false\n{ANYONE}"))).await;
    let unchanged = stage.gateway.command(&["reload"]).await;
    assert!(unchanged.status.success(), "{unchanged:?}");
    assert_eq!(String::from_utf8_lossy(&unchanged.stdout).trim(), "unchanged");
    let file = stage.gateway.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace("127.0.0.0/8\"]\ncloud", "127.9.0.0/16\"]\ncloud")).expect("written");
    let applied = stage.gateway.command(&["reload", "--json"]).await;
    let outcome: Value = serde_json::from_slice(&applied.stdout).expect("JSON");
    assert_eq!(outcome["outcome"], "applied", "{applied:?}");
    let (answer, _) = refused(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    assert_eq!(answer.head.status, 403);
    let policy = stage.gateway.status().await["policy"].as_str().expect("a policy").to_owned();
    assert!(policy.contains("127.9.0.0/16"), "{policy}");
    std::fs::write(&file, format!("{text}[nonsense]\n")).expect("written");
    let wrong = stage.gateway.command(&["reload"]).await;
    assert_eq!(wrong.status.code(), Some(78), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("nonsense"), "{wrong:?}");
    assert!(stage.gateway.status().await["reload"]["problems"][0].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_is_refused_even_where_the_files_let_him_in() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own file");
    };
    open(stage.gateway.folder(), 0o755);
    open(&stage.gateway.control(), 0o666);
    // A copy that everybody may run, wherever the program was built.
    let program = stage.gateway.folder().join("la-gateway");
    std::fs::copy(end_to_end::gateway::program(), &program).expect("a copy");
    open(&program, 0o755);
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["drain", "--socket"]);
    let output = match command.arg(stage.gateway.control()).output() {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("setpriv:") => output,
        _ => return println!("skipped: not root, or no setpriv"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("user 65534 may not control this gateway"), "{output:?}");
    let record = stage.gateway.wait_for_record("the refusal", |record| record.event_id() == Some(135)).await;
    assert_eq!(record.number("uid"), 65534);
    assert_eq!(stage.gateway.status().await["state"], "serving");
}

async fn error_of(stage: &Stage, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(stage.gateway.control()).await.expect("a control socket");
    // Refused before all of it is read.
    let _ = stream.write_all(request).await;
    read_error(&mut stream).await
}

async fn read_error(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    patiently("an answer", async {
        while let Ok(1) = stream.read(&mut byte).await {
            text.push(byte[0]);
        }
    })
    .await;
    let answer: Value = serde_json::from_slice(&text).expect("one line of JSON");
    answer["error"].as_str().expect("an error").to_owned()
}
