//! A real Prometheus, as Debian ships it.

use std::path::Path;
use std::process::Stdio;

use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::process::Command;

use crate::curl::curl;
use crate::installed;
use crate::record::Log;

/// A running Prometheus, which is killed when it is dropped.
pub struct Prometheus {
    address: String,
    _folder: TempDir,
    _child: Child,
}

impl Prometheus {
    /// Starts it with this configuration, or says `skipped: …` where it is not installed.
    pub async fn start(configuration: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = installed::start(&mut command)?;
        let log = Log::default();
        tokio::spawn(log.clone().follow(child.stderr.take().expect("a pipe")));
        let listens = |log: &Log| {
            let said = log.lines().into_iter().find(|line| line.contains("Listening on"))?;
            Some(said.rsplit_once("address=")?.1.trim().to_owned())
        };
        let address = log.wait_for("Prometheus listens", listens).await;
        Some(Self { address, _folder: folder, _child: child })
    }

    /// Asks its API, and returns `data` of the answer; `None` while it is not ready.
    pub async fn api(&self, path: &str) -> Option<Value> {
        let answer = curl(&[&format!("http://{}/api/v1/{path}", self.address)]).await?;
        let mut value: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(value["data"].take())
    }

    /// Returns the values of an expression as it is now.
    pub async fn query(&self, expression: &str) -> Vec<f64> {
        let expression = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let Some(data) = self.api(&format!("query?query={expression}")).await else { return Vec::new() };
        let found = data["result"].as_array().cloned().unwrap_or_default();
        found.iter().filter_map(|sample| sample["value"][1].as_str()?.parse().ok()).collect()
    }
}
