//! Onboarding: by workspace ID and key, once; from then on the agent's certificate says who it is.
//!
//! Nothing is written before the service has said yes: a failure leaves what was there as it was. The key is
//! used for one signature and stored nowhere.

mod error;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

use common::secret::Secret;
use http::StatusCode;
use tokio::task::spawn_blocking;
use uuid::Uuid;

pub use self::error::OnboardError;
use crate::transport::Agent;
use crate::transport::WorkspaceEndpoints;
use crate::transport::WorkspaceKey;
use crate::transport::log_analytics_agent::TopologyReply;
use crate::transport::log_analytics_agent::onboarding;
use crate::transport::reason;
use crate::upload::gateways::Gateways;
use crate::upload::https::Answer;
use crate::upload::https::Channel;
use crate::upload::https::SendError;
use crate::upload::https::skew;
use crate::upload::identity::Identity;
use crate::upload::identity::IdentityError;
use crate::upload::identity::IdentityFolder;
use crate::upload::identity::Pair;
use crate::upload::identity::Stored;
use crate::upload::identity::make_pair;
use crate::upload::identity::timestamp;
use crate::upload::roots::Roots;
use crate::upload::topology::MachineFacts;

/// What onboarding needs.
#[derive(Clone, Copy)]
pub struct Onboarding<'a> {
    /// The workspace ID, as the operator wrote it.
    pub workspace: &'a str,
    /// `opinsights.azure.com` and its like.
    pub domain: &'a str,
    /// The workspace's primary or secondary key.
    pub key: &'a Secret,
    /// What is said of this machine.
    pub machine: &'a MachineFacts,
    /// The state folder of the configuration.
    pub state: &'a Path,
    /// The way out.
    pub gateways: &'a Gateways,
    /// The roots that vouch for Azure.
    pub roots: &'a Roots,
    /// How long the one request may take.
    pub limit: Duration,
}

/// A workspace that knows this agent now.
#[derive(Debug)]
pub struct Onboarded {
    /// What is on the disk now.
    pub identity: Identity,
    /// Whether the agent was known by this GUID before.
    pub known: Known,
    /// What the operator should know although all is well.
    pub warning: Option<String>,
}

/// Whether an agent keeps the GUID it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It has a new one.
    New,
    /// It is the one it had in this workspace.
    Again,
}

/// Makes this agent known to a workspace; an earlier identity on this machine keeps its GUID.
pub async fn onboard(request: &Onboarding<'_>) -> Result<Onboarded, OnboardError> {
    let workspace = endpoints(request)?;
    let key = WorkspaceKey::parse(request.key).map_err(|_| OnboardError::Key)?;
    let folder = IdentityFolder::new(request.state, workspace.id());
    let before = earlier(&folder).await?;
    let (known, agent_id) = match &before {
        Some(before) => (Known::Again, before.agent_id),
        None => (Known::New, Uuid::new_v4()),
    };
    let pair = match before.map(|before| before.pair).filter(|pair| !pair.is_old(SystemTime::now())) {
        Some(pair) => pair,
        None => make_pair(workspace.id(), agent_id).await?,
    };
    let answer = ask(request, &workspace, &key, agent_id, &pair).await?;
    judge(&answer)?;
    let (update_endpoint, warning) = match TopologyReply::parse(&answer.body, &workspace) {
        Ok(reply) => (reply.renewal.map(|endpoint| endpoint.to_string()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let domain = request.domain.to_ascii_lowercase();
    let workspace = workspace.id().to_owned();
    let identity = Identity { agent_id, workspace, domain, update_endpoint, pair };
    let written = identity.clone();
    spawn_blocking(move || folder.save(&written)).await.map_err(|_| OnboardError::Stopped)??;
    Ok(Onboarded { identity, known, warning })
}

fn endpoints(request: &Onboarding<'_>) -> Result<WorkspaceEndpoints, OnboardError> {
    let id = request.workspace;
    let guid = id.len() == 36 && id.parse::<Uuid>().is_ok();
    if !guid {
        return Err(OnboardError::Workspace(id.chars().filter(|c| !c.is_control()).take(64).collect()));
    }
    WorkspaceEndpoints::new(&id.to_ascii_lowercase(), request.domain)
        .map_err(|error| OnboardError::Domain(error.to_string()))
}

/// Reads the identity that is there; one that cannot be read counts as none, but a disk that says no does not.
async fn earlier(folder: &IdentityFolder) -> Result<Option<Identity>, OnboardError> {
    let folder = folder.clone();
    let loaded = spawn_blocking(move || folder.load()).await.map_err(|_| OnboardError::Stopped)?;
    match loaded {
        Ok(Some(Stored { identity, .. })) => Ok(Some(identity)),
        Ok(None) | Err(IdentityError::Unreadable { .. } | IdentityError::NoPair(_)) => Ok(None),
        Err(error @ (IdentityError::Disk { .. } | IdentityError::Stopped)) => Err(error.into()),
    }
}

async fn ask(
    request: &Onboarding<'_>,
    workspace: &WorkspaceEndpoints,
    key: &WorkspaceKey,
    agent_id: Uuid,
    pair: &Pair,
) -> Result<Answer, OnboardError> {
    let agent = Agent { agent_id, ..request.machine.agent.clone() };
    let machine = request.machine.machine();
    let now = timestamp(SystemTime::now());
    let outgoing = onboarding(workspace, key, &agent, &machine, &pair.certificate, now);
    let unusable = |error: tokio_rustls::rustls::Error| SendError::Certificate(error.to_string());
    let tls = pair.client_pair().and_then(|pair| request.roots.client(Some(pair))).map_err(unusable)?;
    let mut channel = Channel::new(request.gateways.clone(), workspace.oms().clone(), tls);
    Ok(channel.send(&outgoing, request.limit).await?)
}

fn judge(answer: &Answer) -> Result<(), OnboardError> {
    if answer.status == StatusCode::OK {
        return Ok(());
    }
    let said = reason(&answer.body);
    let skew = answer.date.and_then(|theirs| skew(SystemTime::now(), theirs));
    match answer.status {
        StatusCode::FORBIDDEN => Err(OnboardError::Forbidden { said, skew }),
        status => Err(OnboardError::Status { status: status.as_u16(), said }),
    }
}
