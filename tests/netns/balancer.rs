//! A balancer's host: the HAProxy of `deploy/`, run in a namespace.

use std::path::Path;
use std::time::Duration;

use end_to_end::installed;
use end_to_end::patience::patiently;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::process::Command;

use end_to_end::network::Network;

/// The HAProxy of `deploy/`, at its host.
pub(crate) struct Balancer {
    folder: tempfile::TempDir,
    child: Child,
}

impl Balancer {
    /// Starts it.
    pub(crate) fn start(network: &Network, host: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy/haproxy.cfg");
        let text = std::fs::read_to_string(sample).expect("the sample");
        let place = "/run/haproxy/admin.sock";
        assert!(text.contains(place), "the sample has its socket elsewhere");
        let socket = folder.path().join("admin.sock");
        let file = folder.path().join("haproxy.cfg");
        // A test's machine may allow fewer files.
        let text =
            text.replace(place, &socket.display().to_string()).replace("maxconn 20000", "maxconn 4000");
        std::fs::write(&file, text).expect("a file of our own");
        let mut words = network.starter(host);
        words.extend(["haproxy", "-db", "-f"].map(str::to_owned));
        let mut command = Command::new(&words[0]);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).args(&words[1..]).arg(file);
        let child = installed::start(&mut command).expect("it was looked for before");
        Self { folder, child }
    }

    /// Waits until a server is seen as this: `UP`, `DOWN`.
    pub(crate) async fn sees(&self, server: &str, state: &str) {
        patiently(&format!("{server} is {state}"), async {
            while self.state(server).await.is_none_or(|found| !found.starts_with(state)) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    async fn state(&self, server: &str) -> Option<String> {
        let mut socket = UnixStream::connect(self.folder.path().join("admin.sock")).await.ok()?;
        socket.write_all(b"show stat\n").await.ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.ok()?;
        let line = text.lines().find(|line| line.starts_with(&format!("la-gateway,{server},")))?;
        let fields: Vec<&str> = line.split(',').collect();
        // Up by a check that has passed, not by the benefit of the doubt.
        (fields[17] != "UP" || fields[36].contains("L7OK")).then(|| fields[17].to_owned())
    }

    /// Kills it, as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("our own process");
    }
}
