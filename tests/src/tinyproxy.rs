//! The real tinyproxy, with a password, in front of another proxy.

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;

use crate::installed;
use crate::patience::LOOK_AGAIN;
use crate::patience::patiently;

/// A running tinyproxy, which is killed when it is dropped.
pub struct Tinyproxy {
    address: SocketAddr,
    _folder: TempDir,
    _child: Child,
}

impl Tinyproxy {
    /// Starts it at `address` for one user, with all requests going on to `upstream`, or says
    /// `skipped: …` where it is not installed.
    pub async fn start(address: SocketAddr, upstream: SocketAddr, user: (&str, &str)) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tinyproxy.conf");
        let (ip, port, (name, password)) = (address.ip(), address.port(), user);
        let text = format!(
            "Listen {ip}\nPort {port}\nTimeout 60\nMaxClients 50\nBasicAuth {name} {password}\n\
             ConnectPort 443\nUpstream http {upstream}\n"
        );
        std::fs::write(&file, text).expect("a configuration file");
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = installed::start(&mut command)?;
        patiently("tinyproxy listens", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        Some(Self { address, _folder: folder, _child: child })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
