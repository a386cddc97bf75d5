//! The legacy agent's certificates: whoever has them is that agent.

use std::time::SystemTime;

use agent_lite::agent::adopt::adopt;
use agent_lite::config::settings::Config;
use agent_lite::upload::identity::Identity;
use agent_lite::upload::identity::Pair;
use common::secret::Secret;

use super::tree::Legacy;
use super::tree::SetUp;
use crate::cli::onboard::files;

/// A workspace's ID, and its identity or why there is none.
pub(super) type Outcome = (String, Result<Identity, String>);

/// Reads all that can be taken over.
pub(super) fn all(set_up: &SetUp) -> Vec<Outcome> {
    set_up.workspaces.iter().map(|workspace| (workspace.id.clone(), one(workspace))).collect()
}

/// Writes them into the state folder, for its owner alone.
pub(super) fn take_over(config: &Config, all: &[Outcome]) -> anyhow::Result<()> {
    let identities: Vec<Identity> = all.iter().filter_map(|(_, outcome)| outcome.clone().ok()).collect();
    if !identities.is_empty() {
        adopt(config, &identities)?;
    }
    Ok(())
}

/// Says whether there is anything left to do for a workspace.
pub(super) fn sentence(id: &str, all: &[Outcome]) -> String {
    match all.iter().find(|(known, _)| known == id).map(|(_, outcome)| outcome) {
        Some(Ok(identity)) => {
            format!("this agent is {} here, too; no onboarding is needed", identity.agent_id)
        }
        Some(Err(why)) => {
            format!("its certificate is not taken over, {why}: agent-lite onboard -w {id} -k KEY_FILE")
        }
        None => format!("onboard: agent-lite onboard -w {id} -k KEY_FILE"),
    }
}

fn one(workspace: &Legacy) -> Result<Identity, String> {
    let agent_id = workspace.agent_id.ok_or("omsadmin.conf has no AGENT_GUID")?;
    let read =
        |name: &str| files::read(&workspace.certificates.join(name)).map_err(|error| format!("{error:#}"));
    let pair = Pair { certificate: read("oms.crt")?, key: Secret::new(read("oms.key")?) };
    pair.client_pair().map_err(|_| "oms.crt and oms.key do not belong together".to_owned())?;
    let subject = pair.subject().unwrap_or_default().to_ascii_lowercase();
    if ![workspace.id.clone(), agent_id.to_string()].iter().all(|name| subject.contains(name)) {
        return Err("oms.crt is another agent's or workspace's".to_owned());
    }
    let (_, ends) = pair.validity().ok_or("oms.crt says no dates")?;
    if ends <= SystemTime::now() {
        return Err("oms.crt is no longer valid".to_owned());
    }
    Ok(Identity {
        agent_id,
        workspace: workspace.id.clone(),
        domain: workspace.domain.clone().unwrap_or_else(|| "opinsights.azure.com".to_owned()),
        update_endpoint: workspace.update_endpoint.clone(),
        pair,
    })
}
