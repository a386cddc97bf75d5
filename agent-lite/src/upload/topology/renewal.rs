//! A new certificate, crash-safe at every step.

use std::sync::Arc;

use http::StatusCode;

use crate::events::Event;
use crate::events::say;
use crate::transport::log_analytics_agent::RenewalEndpoint;
use crate::transport::log_analytics_agent::renew;
use crate::transport::reason;
use crate::upload::https::SendError;
use crate::upload::identity::Identity;
use crate::upload::identity::IdentityError;
use crate::upload::identity::IdentityFolder;
use crate::upload::identity::make_pair;
use crate::upload::topology::Topology;
use crate::upload::topology::TopologyTrouble;

/// What became of a newer pair.
pub(super) enum Decision {
    /// There was none.
    NonePending,
    /// It is the one that works now.
    Taken,
    /// The service does not know it: it is gone.
    Refused(TopologyTrouble),
    /// Nobody said.
    Unknown(TopologyTrouble),
}

impl Topology {
    /// Finds out whether the service knows a newer pair that is there.
    pub(super) async fn try_pending(&mut self) -> Result<Decision, TopologyTrouble> {
        let Some(pair) = self.pending.clone() else { return Ok(Decision::NonePending) };
        match self.ask_topology(&pair).await {
            Ok(_) => {
                self.on_disk(IdentityFolder::commit).await?;
                self.pending = None;
                self.identity.send_modify(|identity| {
                    *identity = Arc::new(Identity { pair, ..identity.as_ref().clone() });
                });
                Ok(Decision::Taken)
            }
            Err(trouble) if trouble.is_refusal() => {
                self.withdraw().await?;
                Ok(Decision::Refused(trouble))
            }
            Err(trouble) => Ok(Decision::Unknown(trouble)),
        }
    }

    /// Renews the certificate; a failure leaves the old pair in use.
    pub(super) async fn renew(&mut self) -> Result<(), TopologyTrouble> {
        let (old, endpoint) = {
            let identity = self.identity.borrow();
            (identity.pair.clone(), identity.update_endpoint.clone())
        };
        let endpoint = endpoint.ok_or(TopologyTrouble::NoEndpoint)?;
        let endpoint = RenewalEndpoint::parse(&endpoint, &self.workspace)?;
        let new = make_pair(self.workspace.id(), self.agent.agent_id).await?;
        let proposed = new.clone();
        self.on_disk(move |folder| folder.propose(&proposed)).await?;
        let request = renew(&endpoint, &self.agent, &new.certificate);
        self.pending = Some(new);
        match self.send(&old, &request).await {
            Ok(answer) if answer.status == StatusCode::OK => {}
            Ok(answer) => {
                self.withdraw().await?;
                let (status, said) = (answer.status.as_u16(), reason(&answer.body));
                return Err(TopologyTrouble::Status { status, said });
            }
            // The service may know the new pair: the next round finds out.
            Err(error) if error.request_sent() => return Err(error.into()),
            Err(error) => return Err(self.withdrawn(error).await),
        }
        match self.try_pending().await? {
            Decision::Taken | Decision::NonePending => Ok(()),
            Decision::Refused(trouble) | Decision::Unknown(trouble) => Err(trouble),
        }
    }

    /// Says whether the certificate was renewed, when that is news.
    pub(super) fn tell_renewal(&mut self, renewed: Result<(), TopologyTrouble>) {
        match renewed {
            Ok(()) => {
                self.not_renewed = false;
                say(Event::Renewed, &self.name, "requests show the new one from now on");
            }
            Err(trouble) if !std::mem::replace(&mut self.not_renewed, true) => {
                let change = trouble.what_to_change();
                say(
                    Event::NotRenewed,
                    &self.name,
                    format_args!("{trouble}; the old one stays in use; {change}"),
                );
            }
            Err(_) => {}
        }
    }

    async fn withdrawn(&mut self, error: SendError) -> TopologyTrouble {
        match self.withdraw().await {
            Ok(()) => error.into(),
            Err(disk) => disk.into(),
        }
    }

    pub(super) async fn withdraw(&mut self) -> Result<(), IdentityError> {
        self.pending = None;
        self.on_disk(IdentityFolder::withdraw).await
    }
}
