//! Every leg of the way to every workspace, one after the other, and what to change where one fails.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use common::host_port::HostPort;

use super::facts;
use super::inherited;
use super::seal;
use super::seal::Look;
use crate::collect::machine::Machine;
use crate::config::settings::Config;
use crate::config::settings::TransportSettings;
use crate::config::settings::Workspace;
use crate::counters::Counters;
use crate::parse::fingerprint;
use crate::transport::ClientCertificate;
use crate::transport::LARGEST_ANSWER;
use crate::transport::Outgoing;
use crate::transport::WorkspaceEndpoints;
use crate::transport::WorkspaceKey;
use crate::upload::gateways::Gateways;
use crate::upload::https;
use crate::upload::https::Channels;
use crate::upload::https::skew;
use crate::upload::identity::IdentityFolder;
use crate::upload::roots::Roots;
use crate::upload::token::Token;
use crate::upload::topology::Topology;
use crate::upload::topology::TopologyParts;

/// How long one leg may take.
const LONGEST_LEG: Duration = Duration::from_secs(30);
/// How long the end of a tunnel may take that was opened for a look only.
const LONGEST_PARTING: Duration = Duration::from_secs(5);

/// What a leg came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It serves.
    Good(String),
    /// It does not; the text says what to change.
    Bad(String),
    /// It was not walked; the text says why.
    Skipped(String),
}

/// Walks all legs and tells each as it is known.
pub async fn walk(config: &Config, machine: &Machine, mut tell: impl FnMut(&str, Finding)) {
    tell("this machine", this_machine(config));
    for one in inherited::list(&config.state) {
        let text = format!(
            "{} records of agent {} are not sent, this machine is a clone of its: `agent-lite inherited`",
            one.records,
            one.agent_id.as_deref().unwrap_or("?")
        );
        tell("inherited queue", Finding::Skipped(text));
    }
    let gateways = match Gateways::new(&config.gateway, Counters::new()) {
        Ok(gateways) => gateways,
        Err(error) => return tell("gateways", Finding::Bad(error.to_string())),
    };
    let roots = match Roots::load(config.azure_ca.as_deref()) {
        Ok(roots) => roots,
        Err(error) => return tell("roots for Azure", Finding::Bad(error.to_string())),
    };
    for workspace in &config.workspaces {
        let mut walk = Walk { config, machine, gateways: &gateways, roots: &roots, workspace };
        walk.workspace(&mut tell).await;
    }
}

/// Says whether the identity is this machine's.
fn this_machine(config: &Config) -> Finding {
    match seal::look(config) {
        Err(error) => Finding::Bad(error.to_string()),
        Ok(Look::NotWatched) => {
            Finding::Skipped("clones are not noticed: a container, or `[agent] clones`".to_owned())
        }
        Ok(Look::NotSealed) => Finding::Skipped("it is sealed at the first start".to_owned()),
        Ok(Look::Unreadable(reason)) => {
            Finding::Bad(format!("its seal cannot be read and is made anew at the next start: {reason}"))
        }
        Ok(Look::Sealed(judgement)) => match judgement.machine {
            fingerprint::Machine::TheSame => {
                Finding::Good(format!("it is the one that was sealed: {}", seal::names(&judgement.same)))
            }
            fingerprint::Machine::Another => Finding::Bad(format!(
                "it is a clone, other {} than those that were sealed; restart the agent, which takes a new identity",
                seal::names(&judgement.different)
            )),
        },
    }
}

struct Walk<'a> {
    config: &'a Config,
    machine: &'a Machine,
    gateways: &'a Gateways,
    roots: &'a Roots,
    workspace: &'a Workspace,
}

impl Walk<'_> {
    async fn workspace(&mut self, tell: &mut impl FnMut(&str, Finding)) {
        let name = &self.workspace.name;
        let hosts = match hosts(&self.workspace.transport) {
            Ok(hosts) => hosts,
            Err(error) => return tell(&format!("workspace {name}"), Finding::Bad(error)),
        };
        for host in &hosts {
            let mut reached = false;
            for (at, proxy) in self.config.gateway.proxies.iter().enumerate() {
                let leg = format!("workspace {name}: gateway {proxy}: CONNECT {host}");
                let tunnel = self.gateways.tunnel_through(at, host, LONGEST_LEG).await;
                reached |= tunnel.is_ok();
                let finding = match tunnel {
                    Ok(tunnel) => {
                        https::part(tunnel, host, self.roots, LONGEST_PARTING).await;
                        Finding::Good("TCP, TLS where it is asked for, and the tunnel".to_owned())
                    }
                    Err(error) => Finding::Bad(format!("{error}; {}", error.what_to_change())),
                };
                tell(&leg, finding);
            }
            let leg = format!("workspace {name}: {}", host.name());
            match reached {
                true => self.origin(host, &leg, tell).await,
                false => tell(&leg, Finding::Skipped("no gateway leads there".to_owned())),
            }
        }
        self.credentials(tell).await;
    }

    /// TLS with the origin, and what its clock says.
    async fn origin(&self, host: &HostPort, leg: &str, tell: &mut impl FnMut(&str, Finding)) {
        let mut channels = Channels::new(self.gateways.clone(), self.roots.clone(), None);
        let request = http::Request::get("/").body(Bytes::new()).unwrap_or_default();
        let outgoing = Outgoing {
            host: host.clone(),
            request,
            certificate: ClientCertificate::NotShown,
            largest_answer: LARGEST_ANSWER,
        };
        match channels.send(&outgoing, LONGEST_LEG).await {
            Err(error) => tell(leg, Finding::Bad(format!("{error}; {}", error.what_to_change()))),
            Ok(answer) => {
                let status = answer.status.as_u16();
                tell(
                    leg,
                    Finding::Good(format!(
                        "TLS with the right certificate; it answers {status}, as it does to everybody"
                    )),
                );
                let now = SystemTime::now();
                let clock = format!("{leg}: clock");
                tell(
                    &clock,
                    match answer.date.map(|date| skew(now, date)) {
                        None => Finding::Skipped("it does not tell its time".to_owned()),
                        Some(Some(off)) => Finding::Bad(format!(
                            "this machine's clock is {off}; set it, up to 15 minutes are let pass"
                        )),
                        Some(None) => Finding::Good("within 15 minutes of this machine's".to_owned()),
                    },
                );
            }
        }
    }

    async fn credentials(&self, tell: &mut impl FnMut(&str, Finding)) {
        let name = &self.workspace.name;
        match &self.workspace.transport {
            TransportSettings::LogAnalyticsAgent { workspace, domain, .. } => {
                let leg = format!("workspace {name}: certificate");
                tell(&leg, self.certificate(workspace, domain).await);
            }
            TransportSettings::DataCollector { key, .. } => {
                let leg = format!("workspace {name}: key");
                tell(
                    &leg,
                    match WorkspaceKey::parse(key) {
                        Err(error) => Finding::Bad(format!("`key_file`: {error}")),
                        Ok(_) => Finding::Skipped(
                            "it has the right form; only a row can tell whether it is this workspace's"
                                .to_owned(),
                        ),
                    },
                );
            }
            TransportSettings::LogsIngestion(settings) => {
                let leg = format!("workspace {name}: token");
                let finding = match Token::new(settings, self.gateways.clone(), self.roots) {
                    Err(error) => Finding::Bad(error.to_string()),
                    Ok(mut token) => match token.token().await {
                        Ok(_) => Finding::Good("the tenant gives this application one".to_owned()),
                        Err(failure) => {
                            Finding::Bad(format!("{failure}; {}", failure.reason.what_to_change()))
                        }
                    },
                };
                tell(&leg, finding);
            }
        }
    }

    /// One topology request with the agent's certificate: the service does the same with every one of them.
    async fn certificate(&self, workspace: &str, domain: &str) -> Finding {
        let endpoints = match WorkspaceEndpoints::new(workspace, domain) {
            Ok(endpoints) => endpoints,
            Err(error) => return Finding::Bad(error.to_string()),
        };
        let folder = IdentityFolder::new(&self.config.state, endpoints.id());
        let stored = match folder.load() {
            Err(error) => return Finding::Bad(error.to_string()),
            Ok(None) => {
                return Finding::Bad(format!(
                    "this agent is not onboarded: agent-lite onboard -w {workspace} -k KEY_FILE"
                ));
            }
            Ok(Some(stored)) => stored,
        };
        let agent = facts::agent(self.machine, &self.config.computer, stored.identity.agent_id);
        let parts = TopologyParts {
            name: Arc::from(self.workspace.name.as_str()),
            workspace: endpoints,
            machine: facts::machine(self.machine, agent),
            folder,
            gateways: self.gateways.clone(),
            roots: self.roots.clone(),
        };
        match Topology::new(parts, stored).0.ask().await {
            Ok(()) => Finding::Good("the service knows this agent by it".to_owned()),
            Err(trouble) => Finding::Bad(format!("{trouble}; {}", trouble.what_to_change())),
        }
    }
}

fn hosts(transport: &TransportSettings) -> Result<Vec<HostPort>, String> {
    let endpoints =
        |id: &str, domain: &str| WorkspaceEndpoints::new(id, domain).map_err(|error| error.to_string());
    Ok(match transport {
        TransportSettings::LogAnalyticsAgent { workspace, domain, .. } => {
            let endpoints = endpoints(workspace, domain)?;
            vec![endpoints.oms().clone(), endpoints.ods().clone()]
        }
        TransportSettings::DataCollector { workspace, domain, .. } => {
            vec![endpoints(workspace, domain)?.ods().clone()]
        }
        TransportSettings::LogsIngestion(settings) => {
            vec![settings.token_host.clone(), settings.endpoint.clone()]
        }
    })
}
