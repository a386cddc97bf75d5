//! The real curl, bounded in time.

use std::process::Stdio;

use tokio::process::Command;

use crate::installed;

/// What one run of curl gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// curl's exit code: 0, 56 for a refused CONNECT, ...
    pub exit: i32,
    /// Status of the proxy's last answer to the CONNECT; 0 when there was none.
    pub connect_status: u16,
    /// Status of the answer inside the tunnel; 0 when there was none.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// curl's own words.
    pub stderr: String,
}

/// Runs curl with these arguments, or says `skipped: …` and returns `None` where it is not installed.
///
/// The environment's proxy settings and the user's configuration file do not count.
pub async fn curl(arguments: &[&str]) -> Option<Outcome> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let body = folder.path().join("body");
    let mut command = Command::new("curl");
    command
        .args(["-q", "-sS", "--max-time", "50", "--noproxy", "", "-w", "%{http_connect} %{http_code}", "-o"])
        .arg(&body)
        .args(arguments)
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| !name.to_ascii_lowercase().ends_with("_proxy")))
        .stdin(Stdio::null());
    let output = installed::output(&mut command).await?;
    let codes = String::from_utf8(output.stdout).expect("numbers");
    let (connect_status, status) = codes.split_once(' ').expect("two numbers");
    Some(Outcome {
        exit: output.status.code().expect("an exit code"),
        connect_status: connect_status.parse().expect("a status"),
        status: status.parse().expect("a status"),
        body: std::fs::read(&body).unwrap_or_default(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
