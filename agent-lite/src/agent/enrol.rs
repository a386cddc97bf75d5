//! An agent that onboards itself: in an image, or as a clone, with the workspace's key in a file.

use std::path::PathBuf;
use std::time::Duration;

use common::document::read_file;
use common::secret::Secret;
use tokio::time::Instant;

use super::facts;
use super::workspaces::Kit;
use crate::events::Event;
use crate::events::say;
use crate::upload::onboarding::Onboarding;
use crate::upload::onboarding::onboard;

/// How soon after a first failure it is tried again, and how late after many.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(5 * 60);
/// How long the one request may take.
const LIMIT: Duration = Duration::from_secs(90);

/// What it takes beside the workspace's ID.
pub(super) struct ByKey {
    file: PathBuf,
    domain: String,
    retry: Duration,
    not_before: Option<Instant>,
    trouble: String,
}

impl ByKey {
    /// Begins; the file is read when the key is needed.
    pub(super) fn new(file: PathBuf, domain: String) -> Self {
        Self { file, domain, retry: FIRST_RETRY, not_before: None, trouble: String::new() }
    }

    /// Onboards once, unless it is too early to try again. Returns what stands in the way.
    pub(super) async fn onboard(&mut self, workspace: &str, name: &str, kit: &Kit) -> Option<String> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return Some(self.trouble.clone());
        }
        match self.ask(workspace, kit).await {
            Ok(done) => {
                say(Event::Onboarded, name, done);
                None
            }
            Err(trouble) => {
                self.not_before = Some(Instant::now() + self.retry);
                self.retry = (self.retry * 2).min(LAST_RETRY);
                self.trouble = format!("this agent cannot onboard itself: {trouble}");
                Some(self.trouble.clone())
            }
        }
    }

    async fn ask(&self, workspace: &str, kit: &Kit) -> Result<String, String> {
        let text = read_file(&self.file).map_err(|problem| format!("`key_file`: {problem}"))?;
        let key = Secret::new(text.lines().next().unwrap_or_default().trim().to_owned());
        let facts = facts::machine(&kit.shared.machine, kit.agent.clone());
        let request = Onboarding {
            workspace,
            domain: &self.domain,
            key: &key,
            machine: &facts,
            state: &kit.state,
            gateways: &kit.gateways,
            roots: &kit.roots,
            limit: LIMIT,
        };
        let done = onboard(&request).await.map_err(|error| error.to_string())?;
        let note = done.warning.map(|warning| format!("; {warning}")).unwrap_or_default();
        Ok(format!("as {}{note}", done.identity.agent_id))
    }
}
