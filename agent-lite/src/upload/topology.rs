//! What an onboarded agent owes its workspace: a topology request every so often, and a new certificate in time.
//!
//! ```text
//! a round   pending pair?  topology with it: 200 -> commit, 4xx -> withdraw, else undecided
//!           topology with the pair that works: 200 -> an undecided pair is withdrawn, else kept for the next round
//! renewal   make -> propose (on the disk) -> POST with the old one -> topology with the new one -> commit
//! ```
//!
//! A pair that the service may know is kept beside the old one until one topology request has decided (oms-protocol,
//! section 2.2). Who shows the certificate watches for the one that works.

mod error;
mod machine;
mod renewal;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use http::StatusCode;
use tokio::sync::watch;
use tokio::time::sleep;

pub use self::error::TopologyTrouble;
pub use self::machine::MachineFacts;
use crate::events::Event;
use crate::events::say;
use crate::transport::Agent;
use crate::transport::Outgoing;
use crate::transport::WorkspaceEndpoints;
use crate::transport::log_analytics_agent::RenewalEndpoint;
use crate::transport::log_analytics_agent::TopologyReply;
use crate::transport::log_analytics_agent::topology;
use crate::transport::reason;
use crate::upload::gateways::Gateways;
use crate::upload::https::Answer;
use crate::upload::https::Channel;
use crate::upload::https::SendError;
use crate::upload::identity::Identity;
use crate::upload::identity::IdentityError;
use crate::upload::identity::IdentityFolder;
use crate::upload::identity::Pair;
use crate::upload::identity::Stored;
use crate::upload::identity::timestamp;
use crate::upload::roots::Roots;
use crate::upload::topology::renewal::Decision;

/// How often, until the service says it (oms-protocol, section 2).
pub const QUERY_INTERVAL: Duration = Duration::from_secs(20 * 60);
/// How soon after a first failure.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(90);

/// The care for one onboarded workspace.
pub struct Topology {
    name: Arc<str>,
    workspace: WorkspaceEndpoints,
    agent: Agent,
    machine: MachineFacts,
    folder: IdentityFolder,
    gateways: Gateways,
    roots: Roots,
    identity: watch::Sender<Arc<Identity>>,
    pending: Option<Pair>,
    interval: Duration,
    failures: u32,
    not_renewed: bool,
}

/// What [`Topology`] needs beside the identity.
pub struct TopologyParts {
    /// The workspace's name here, for the log.
    pub name: Arc<str>,
    /// Its hosts.
    pub workspace: WorkspaceEndpoints,
    /// What is said of this machine.
    pub machine: MachineFacts,
    /// Where the identity is.
    pub folder: IdentityFolder,
    /// The way out.
    pub gateways: Gateways,
    /// The roots that vouch for Azure.
    pub roots: Roots,
}

impl Topology {
    /// Begins with an identity that was read; whoever shows the certificate gets it from the receiver.
    pub fn new(parts: TopologyParts, stored: Stored) -> (Self, watch::Receiver<Arc<Identity>>) {
        let TopologyParts { name, workspace, machine, folder, gateways, roots } = parts;
        let agent = Agent { agent_id: stored.identity.agent_id, ..machine.agent.clone() };
        let (identity, receiver) = watch::channel(Arc::new(stored.identity));
        let topology = Self {
            name,
            workspace,
            agent,
            machine,
            folder,
            gateways,
            roots,
            identity,
            pending: stored.pending,
            interval: QUERY_INTERVAL,
            failures: 0,
            not_renewed: false,
        };
        (topology, receiver)
    }

    /// Cares for ever. Dropping it at any point leaves an identity that works.
    pub async fn run(mut self) {
        loop {
            let wait = self.turn().await;
            sleep(wait).await;
        }
    }

    /// Asks the service once with the pair that works, and changes nothing.
    pub async fn ask(&self) -> Result<(), TopologyTrouble> {
        let pair = self.identity.borrow().pair.clone();
        self.ask_topology(&pair).await.map(drop)
    }

    /// Does one round, says what is news, and returns how long to wait for the next.
    pub async fn turn(&mut self) -> Duration {
        match self.round().await {
            Ok(()) => {
                if std::mem::take(&mut self.failures) > 0 {
                    say(Event::TopologyResumed, &self.name, "it knows this agent");
                }
                jittered(self.interval)
            }
            Err(trouble) => {
                if self.failures == 0 {
                    say(
                        Event::TopologyFailed,
                        &self.name,
                        format_args!("{trouble}; {}", trouble.what_to_change()),
                    );
                }
                self.failures = self.failures.saturating_add(1);
                let wait = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(16));
                jittered(wait.min(self.interval))
            }
        }
    }

    async fn round(&mut self) -> Result<(), TopologyTrouble> {
        let decision = self.try_pending().await?;
        let pair = self.identity.borrow().pair.clone();
        let reply = self.ask_topology(&pair).await?;
        if let Decision::Unknown(_) = decision {
            // The service answers to the old pair at the same time, so it does not need the new one.
            self.withdraw().await?;
        }
        if let Some(interval) = reply.query_interval {
            self.interval = interval;
        }
        self.note_endpoint(reply.renewal.as_ref()).await?;
        if reply.update_certificate || pair.is_old(SystemTime::now()) {
            let renewed = self.renew().await;
            self.tell_renewal(renewed);
        }
        Ok(())
    }

    async fn ask_topology(&self, pair: &Pair) -> Result<TopologyReply, TopologyTrouble> {
        let now = timestamp(SystemTime::now());
        let request = topology(&self.workspace, &self.agent, &self.machine.machine(), &pair.certificate, now);
        let answer = self.send(pair, &request).await?;
        match answer.status {
            StatusCode::OK => Ok(TopologyReply::parse(&answer.body, &self.workspace)?),
            status => Err(TopologyTrouble::Status { status: status.as_u16(), said: reason(&answer.body) }),
        }
    }

    /// Sends a request on a connection of its own: there is one in many minutes.
    async fn send(&self, pair: &Pair, outgoing: &Outgoing) -> Result<Answer, SendError> {
        let unusable = |error: tokio_rustls::rustls::Error| SendError::Certificate(error.to_string());
        let tls = pair.client_pair().and_then(|pair| self.roots.client(Some(pair))).map_err(unusable)?;
        Channel::new(self.gateways.clone(), outgoing.host.clone(), tls).send(outgoing, LIMIT).await
    }

    async fn note_endpoint(&mut self, endpoint: Option<&RenewalEndpoint>) -> Result<(), IdentityError> {
        let Some(endpoint) = endpoint.map(RenewalEndpoint::to_string) else { return Ok(()) };
        if self.identity.borrow().update_endpoint.as_ref() == Some(&endpoint) {
            return Ok(());
        }
        let identity =
            Identity { update_endpoint: Some(endpoint), ..self.identity.borrow().as_ref().clone() };
        let written = identity.clone();
        self.on_disk(move |folder| folder.note(&written)).await?;
        // The pair is the same: nobody need open connections anew.
        self.identity.send_if_modified(|current| {
            *current = Arc::new(identity);
            false
        });
        Ok(())
    }

    async fn on_disk(
        &self,
        work: impl FnOnce(&IdentityFolder) -> Result<(), IdentityError> + Send + 'static,
    ) -> Result<(), IdentityError> {
        let folder = self.folder.clone();
        let stopped = |_| IdentityError::Stopped;
        tokio::task::spawn_blocking(move || work(&folder)).await.map_err(stopped)?
    }
}

/// Returns a time within a tenth of this one, so that many agents do not ask at once.
fn jittered(wait: Duration) -> Duration {
    let tenth = wait / 10;
    let part = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    wait - tenth + tenth.mul_f64(2.0 * part)
}
