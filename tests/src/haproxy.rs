//! The real HAProxy in TCP mode, in front of the gateway.

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::process::Command;

use crate::installed;
use crate::patience::LOOK_AGAIN;
use crate::patience::patiently;

/// A running HAProxy, which is killed when it is dropped.
pub struct Haproxy {
    address: SocketAddr,
    folder: TempDir,
    _child: Child,
}

impl Haproxy {
    /// Starts it at `address` before `server`, with health checks and this way of telling the client's
    /// address (`send-proxy`, `send-proxy-v2`), or says `skipped: …` where it is not installed.
    pub async fn start(address: SocketAddr, server: SocketAddr, tells: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("haproxy.cfg");
        let socket = folder.path().join("stats");
        let text = format!(
            "global\n  maxconn 100\n  stats socket {}\ndefaults\n  mode tcp\n  timeout connect 30s\n  \
             timeout client 60s\n  timeout server 60s\nlisten gateway\n  bind {address}\n  \
             server one {server} {tells} check inter 100ms\n",
            socket.display()
        );
        std::fs::write(&file, text).expect("a configuration file");
        let mut command = Command::new("haproxy");
        // Debian keeps it where only root looks.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).args(["-db", "-f"]).arg(&file);
        let child = installed::start(command.stdin(Stdio::null()))?;
        let haproxy = Self { address, folder, _child: child };
        patiently("HAProxy listens", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        Some(haproxy)
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a health check of the server has passed.
    pub async fn wait_for_check(&self) {
        patiently("a health check passes", async {
            while !self.statistics().await.contains(",L4OK,") {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    async fn statistics(&self) -> String {
        let path = self.folder.path().join("stats");
        let mut socket = UnixStream::connect(path).await.expect("a statistics socket");
        socket.write_all(b"show stat\n").await.expect("a question sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).await.expect("statistics");
        text
    }
}
