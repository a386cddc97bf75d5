//! systemd holds the sockets: the gateway takes them, and a restart refuses nobody.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::Stdio;

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::program;
use end_to_end::patience::patiently;
use end_to_end::wire;
use tokio::process::Command;

use crate::stage::ANYONE;

/// Starts the program by systemd's own tool at the first connection to one of these addresses.
fn activated(listens: &[SocketAddr], config: &std::path::Path) -> Option<Command> {
    if std::process::Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        println!("skipped: systemd-socket-activate is not installed");
        return None;
    }
    let mut command = Command::new("systemd-socket-activate");
    command.args(listens.iter().map(|address| format!("--listen={address}")));
    command.arg(program()).arg("--config").arg(config).arg("run");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
    Some(command)
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activated_gateway_serves_the_connection_that_woke_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (proxy, admin) = (free_address(), free_address());
    let text = format!("[[listener]]\naddress = \"{proxy}\"\n[admin]\naddress = \"{admin}\"\n{ANYONE}");
    let config = Config::new(&text).write(folder.path());
    let Some(mut command) = activated(&[proxy, admin], &config) else { return };
    let child = command.spawn().expect("starts");
    let mut client = patiently("systemd listens", connected(proxy)).await;
    client.send(&connect_request("evil.example:443", &[])).await;
    assert_eq!(client.refusal().await.expect("an answer").head.status, 403);
    let ready = RawClient::connect(admin).await;
    let mut stream = ready.into_stream();
    wire::send_head(&mut stream, "GET /readyz", &[("Host", "a"), ("Connection", "close")], 0).await;
    assert_eq!(wire::read_answer_until_close(&mut stream).await.expect("an answer").head.status, 200);
    drop(child);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activated_socket_that_nothing_is_configured_for_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (proxy, other) = (free_address(), free_address());
    let config = Config::new(&format!("[[listener]]\naddress = \"{proxy}\"\n{ANYONE}")).write(folder.path());
    let Some(mut command) = activated(&[proxy, other], &config) else { return };
    let child = command.spawn().expect("starts");
    let _waker = patiently("systemd listens", connected(proxy)).await;
    let output = patiently("it ends", child.wait_with_output()).await.expect("output");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("systemd passes a socket at {other}")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_sockets_that_stay_refuses_nobody() {
    use std::os::fd::AsFd;
    let folder = tempfile::tempdir().expect("a folder");
    // The test is the service manager: it holds the socket on standard input and the program gets it as 3.
    let held = TcpListener::bind("127.0.0.1:0").expect("bound");
    let proxy = held.local_addr().expect("an address");
    let text = format!("[[listener]]\naddress = \"{proxy}\"\n[admin]\naddress = \"off\"\n{ANYONE}");
    let config = Config::new(&text).write(folder.path());
    let start = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"", "sh"]);
        shell.arg(program()).arg("--config").arg(&config).arg("run").stdout(Stdio::null()).kill_on_drop(true);
        shell.stdin(held.as_fd().try_clone_to_owned().expect("a copy"));
        shell.spawn().expect("starts")
    };
    let clients = (0..3).map(|_| {
        tokio::spawn(async move {
            for _ in 0..60 {
                let mut client = RawClient::connect(proxy).await;
                client.send(&connect_request("evil.example:443", &[])).await;
                assert_eq!(client.refusal().await.expect("an answer").head.status, 403);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        let mut running = start();
        patiently("a client is served", async {
            let mut client = RawClient::connect(proxy).await;
            client.send(&connect_request("evil.example:443", &[])).await;
            assert_eq!(client.refusal().await.expect("an answer").head.status, 403);
        })
        .await;
        let pid = running.id().expect("it runs");
        end_to_end::gateway::send("TERM", pid);
        assert_eq!(patiently("it ends", running.wait()).await.expect("a status").code(), Some(0));
    }
    for client in clients {
        client.await.expect("no connection was refused");
    }
}

async fn connected(to: SocketAddr) -> RawClient {
    loop {
        if tokio::net::TcpStream::connect(to).await.is_ok() {
            return RawClient::connect(to).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
