//! What systemd is told: ready, alive, reloading, another main process, stopping.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::send;
use end_to_end::patience::patiently;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::stage::ANYONE;

/// Half of it is the time between two signs of life.
const WATCHDOG: u64 = 200_000;

/// The service manager's end: every message so far.
struct Heard {
    folder: TempDir,
    messages: Arc<Mutex<Vec<String>>>,
    arrived: watch::Receiver<usize>,
}

impl Heard {
    fn listen() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify.sock")).expect("bound");
        socket.set_nonblocking(true).expect("a socket option");
        let socket = tokio::net::UnixDatagram::from_std(socket).expect("a runtime");
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        let (tell, arrived) = watch::channel(0);
        let kept = Arc::clone(&messages);
        tokio::spawn(async move {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message).await {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                kept.lock().expect("no panic under the lock").push(text);
                tell.send_modify(|number| *number += 1);
            }
        });
        Self { folder, messages, arrived }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("notify.sock")
    }

    /// Waits for the next message after the first `after` that holds this line, and returns its number.
    async fn next(&mut self, after: usize, line: &str) -> usize {
        patiently(line, async {
            loop {
                let found = {
                    let messages = self.messages.lock().expect("no panic under the lock");
                    let holds = |message: &String| message.lines().any(|one| one.starts_with(line));
                    messages.iter().skip(after).position(holds)
                };
                match found {
                    Some(at) => return after + at + 1,
                    None => self.arrived.changed().await.expect("the manager listens"),
                }
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_hears_of_every_turn_and_of_the_next_main_process() {
    let mut heard = Heard::listen();
    let mut gateway = Gateway::start_by_systemd(&heard.socket(), WATCHDOG, &Config::new(ANYONE)).await;
    let at = heard.next(0, "READY=1").await;
    let at = heard.next(at, "WATCHDOG=1").await;
    gateway.signal("HUP");
    let at = heard.next(at, "RELOADING=1").await;
    assert!(heard.messages.lock().expect("no panic under the lock")[at - 1].contains("MONOTONIC_USEC="));
    let at = heard.next(at, "READY=1").await;
    gateway.signal("USR2");
    // It is the old one that says so, before it ends; the new one says that it is ready after that.
    let named = heard.next(at, "MAINPID=").await;
    let ready = heard.next(named, "READY=1").await;
    assert_eq!(gateway.exit_status().await.code(), Some(0));
    let successor = *gateway.successors().last().expect("a successor");
    heard.next(named - 1, &format!("MAINPID={successor}")).await;
    let gone = heard.messages.lock().expect("no panic under the lock").len().max(ready);
    // The watchdog is the new one's now.
    let at = heard.next(gone, "WATCHDOG=1").await;
    send("TERM", successor);
    heard.next(at, "STOPPING=1").await;
}
