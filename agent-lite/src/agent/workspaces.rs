//! The workspaces: a queue, a courier and, where it is onboarded, an identity each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use common::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::StartError;
use super::control::rfc3339;
use super::enrol::ByKey;
use super::facts;
use super::pause;
use super::status::WorkspaceStatus;
use super::tasks::Tasks;
use crate::config::settings::Config;
use crate::config::settings::TransportSettings;
use crate::config::settings::Workspace;
use crate::counters::Counters;
use crate::counters::Loss;
use crate::counters::WorkspaceTally;
use crate::record::Timestamp;
use crate::spool::Queue;
use crate::spool::QueueSettings;
use crate::transport::Agent;
use crate::transport::WorkspaceEndpoints;
use crate::transport::WorkspaceKey;
use crate::upload::courier::Courier;
use crate::upload::courier::Report;
use crate::upload::courier::Route;
use crate::upload::courier::Uplink;
use crate::upload::gateways::Gateways;
use crate::upload::https::Channels;
use crate::upload::identity::Identity;
use crate::upload::identity::IdentityFolder;
use crate::upload::identity::Stored;
use crate::upload::roots::Roots;
use crate::upload::token::Token;
use crate::upload::topology::Topology;
use crate::upload::topology::TopologyParts;

/// How often an agent that is not onboarded looks whether it is by now.
const LOOK_FOR_IDENTITY: Duration = Duration::from_secs(5);
/// How long couriers may end what is on its way.
const LONGEST_END: Duration = Duration::from_secs(7);
/// How long the disk may take for the last sync.
const LAST_SYNC: Duration = Duration::from_secs(10);

/// All workspaces of a configuration.
pub(super) struct Workspaces {
    all: Vec<One>,
    gateways: Gateways,
    couriers: Tasks,
    tenders: Tasks,
}

#[derive(Clone)]
struct One {
    name: String,
    transport: &'static str,
    cap: u64,
    queue: Queue,
    report: Report,
}

/// What can be said of them at any time.
#[derive(Clone)]
pub(super) struct View {
    all: Vec<One>,
    gateways: Gateways,
}

/// What every courier is made of.
#[derive(Clone)]
pub(super) struct Kit {
    pub(super) gateways: Gateways,
    pub(super) roots: Roots,
    pub(super) agent: Agent,
    pub(super) state: std::path::PathBuf,
    pub(super) shared: Shared,
}

impl Workspaces {
    /// Returns a queue for each workspace of a configuration, in its order: those that are open already, by their
    /// names, with the cap that they have there, and new ones.
    pub(super) fn queues_for(
        config: &Config,
        open: &[(String, Queue)],
        shared: &Shared,
    ) -> Result<Vec<Queue>, StartError> {
        let of = |workspace: &Workspace| match open.iter().find(|(name, _)| *name == workspace.name) {
            Some((_, queue)) => Ok(queue.clone()),
            None => open_queue(config, workspace, shared),
        };
        config.workspaces.iter().map(of).collect()
    }

    /// Starts a courier for each queue; there is one for each workspace.
    pub(super) fn start(config: &Config, queues: Vec<Queue>, shared: &Shared) -> Result<Self, StartError> {
        let wrong = |error: &dyn std::fmt::Display| StartError::Config(error.to_string());
        let gateways =
            Gateways::new(&config.gateway, shared.counters.clone()).map_err(|error| wrong(&error))?;
        let roots = Roots::load(config.azure_ca.as_deref()).map_err(|error| wrong(&error))?;
        let agent = facts::agent(&shared.machine, &config.computer, shared.agent_id);
        let kit = Kit {
            gateways: gateways.clone(),
            roots,
            agent,
            state: config.state.clone(),
            shared: shared.clone(),
        };
        let mut workspaces =
            Self { all: Vec::new(), gateways, couriers: Tasks::new(), tenders: Tasks::new() };
        for (workspace, queue) in config.workspaces.iter().zip(queues) {
            workspaces.add(workspace, queue, &kit)?;
        }
        Ok(workspaces)
    }

    fn add(&mut self, workspace: &Workspace, queue: Queue, kit: &Kit) -> Result<(), StartError> {
        let tally = kit.shared.counters.workspace(&workspace.name);
        queue.limit(workspace.cap, workspace.when_full);
        let report = Report::default();
        let tended = queue.clone();
        self.tenders.spawn(&workspace.name, async move { tended.tend().await });
        let one = One {
            name: workspace.name.clone(),
            transport: name_of(&workspace.transport),
            cap: workspace.cap,
            queue,
            report,
        };
        self.courier(workspace, &one, tally, kit)?;
        self.all.push(one);
        Ok(())
    }

    fn courier(
        &mut self,
        workspace: &Workspace,
        one: &One,
        tally: WorkspaceTally,
        kit: &Kit,
    ) -> Result<(), StartError> {
        let wrong = |text: String| StartError::Config(format!("[workspace.{}] {text}", workspace.name));
        let endpoints = |id: &str, domain: &str| {
            WorkspaceEndpoints::new(id, domain).map_err(|error| wrong(error.to_string()))
        };
        let stop = self.couriers.stop_token();
        let make = Maker { one: one.clone(), tally, kit: kit.clone(), stop };
        match &workspace.transport {
            TransportSettings::LogAnalyticsAgent { workspace: id, domain, key_file } => {
                let endpoints = endpoints(id, domain)?;
                let by_key = key_file.clone().map(|file| ByKey::new(file, domain.clone()));
                self.couriers.spawn(&workspace.name, make.onboarded(endpoints, by_key));
            }
            TransportSettings::DataCollector { workspace: id, domain, key } => {
                let key = key_of(key).map_err(wrong)?;
                let route = Route::DataCollector(endpoints(id, domain)?, key);
                self.couriers.spawn(&workspace.name, make.run(route, kit.agent.clone(), None));
            }
            TransportSettings::LogsIngestion(settings) => {
                let token = Token::new(settings, kit.gateways.clone(), &kit.roots)
                    .map_err(|error| wrong(error.to_string()))?;
                let route = Route::LogsIngestion(settings.clone(), Box::new(token));
                self.couriers.spawn(&workspace.name, make.run(route, kit.agent.clone(), None));
            }
        }
        Ok(())
    }

    /// Returns all queues.
    pub(super) fn queues(&self) -> Vec<Queue> {
        self.all.iter().map(|one| one.queue.clone()).collect()
    }

    /// Returns the queues of these workspaces; of all, if none is named.
    pub(super) fn queues_of(&self, names: &[String]) -> Vec<Queue> {
        let wanted = |one: &&One| names.is_empty() || names.contains(&one.name);
        self.all.iter().filter(wanted).map(|one| one.queue.clone()).collect()
    }

    pub(super) fn view(&self) -> View {
        View { all: self.all.clone(), gateways: self.gateways.clone() }
    }

    /// Seals and syncs the queues and ends the couriers.
    pub(super) async fn end(mut self) {
        for one in &self.all {
            if tokio::time::timeout(LAST_SYNC, one.queue.flush()).await.is_err() {
                let text = "the disk does not end its last sync; what is there is kept if the power stays on";
                crate::events::say(crate::events::Event::DiskTrouble, &one.name, text);
            }
        }
        self.couriers.end(LONGEST_END).await;
        self.tenders.end(Duration::ZERO).await;
    }
}

fn open_queue(config: &Config, workspace: &Workspace, shared: &Shared) -> Result<Queue, StartError> {
    let settings = QueueSettings {
        folder: config.spool.folder.join(&workspace.name),
        cap: workspace.cap,
        when_full: workspace.when_full,
        sync: config.spool.sync,
        seal_after: config.spool.seal_after,
        segment: config.spool.segment,
    };
    Ok(Queue::open(settings, shared.counters.workspace(&workspace.name))?)
}

/// What one courier's task needs.
struct Maker {
    one: One,
    tally: WorkspaceTally,
    kit: Kit,
    stop: CancellationToken,
}

impl Maker {
    async fn run(
        self,
        route: Route,
        agent: Agent,
        identity: Option<tokio::sync::watch::Receiver<Arc<Identity>>>,
    ) {
        let channels = Channels::new(self.kit.gateways, self.kit.roots, identity);
        let uplink = Uplink::new(agent, route, channels);
        let courier = Courier::new(self.one.name, self.one.queue, uplink, self.tally, self.one.report);
        courier.run(self.stop).await;
    }

    /// Waits until the agent is onboarded, then runs the courier and the topology beside it.
    async fn onboarded(self, endpoints: WorkspaceEndpoints, by_key: Option<ByKey>) {
        let Some(stored) = self.identity(endpoints.id(), by_key).await else { return };
        let agent = Agent { agent_id: stored.identity.agent_id, ..self.kit.agent.clone() };
        let parts = TopologyParts {
            name: self.one.name.as_str().into(),
            workspace: endpoints.clone(),
            machine: facts::machine(&self.kit.shared.machine, agent.clone()),
            folder: IdentityFolder::new(&self.kit.state, endpoints.id()),
            gateways: self.kit.gateways.clone(),
            roots: self.kit.roots.clone(),
        };
        let (topology, identity) = Topology::new(parts, stored);
        let stop = self.stop.clone();
        tokio::join!(
            stop.run_until_cancelled_owned(topology.run()),
            self.run(Route::LogAnalyticsAgent(endpoints), agent, Some(identity))
        );
    }

    /// Waits for an identity, and asks for one where the key is at hand.
    async fn identity(&self, workspace: &str, mut by_key: Option<ByKey>) -> Option<Stored> {
        loop {
            let trouble = match (IdentityFolder::new(&self.kit.state, workspace).load(), &mut by_key) {
                (Ok(Some(stored)), _) => return Some(stored),
                (Ok(None), Some(by_key)) => {
                    match self
                        .stop
                        .run_until_cancelled(by_key.onboard(workspace, &self.one.name, &self.kit))
                        .await?
                    {
                        None => continue,
                        Some(trouble) => trouble,
                    }
                }
                (Ok(None), None) => {
                    format!("this agent is not onboarded: agent-lite onboard -w {workspace} -k KEY_FILE")
                }
                (Err(error), _) => error.to_string(),
            };
            if self.one.report.trouble(&trouble) {
                crate::events::say(crate::events::Event::UploadFailed, &self.one.name, &trouble);
            }
            if !pause(&self.stop, LOOK_FOR_IDENTITY).await {
                return None;
            }
        }
    }
}

impl View {
    pub(super) fn gateway(&self) -> String {
        self.gateways.current()
    }

    pub(super) fn queues(&self) -> Vec<(String, Queue)> {
        self.all.iter().map(|one| (one.name.clone(), one.queue.clone())).collect()
    }

    pub(super) fn status(&self, counters: &Counters) -> Vec<WorkspaceStatus> {
        self.all.iter().map(|one| one.status(counters)).collect()
    }
}

impl One {
    fn status(&self, counters: &Counters) -> WorkspaceStatus {
        let (state, tally) = (self.queue.state(), counters.workspace(&self.name));
        WorkspaceStatus {
            name: self.name.clone(),
            transport: self.transport.to_owned(),
            queue_bytes: state.bytes,
            queue_cap: self.cap,
            queue_records: state.records,
            queue_oldest: state.oldest.map(|Timestamp(time)| rfc3339(time)),
            delivered: tally.delivered.get(),
            last_delivery: self.report.last_delivery().map(system_time),
            trouble: self
                .report
                .current_trouble()
                .map(|trouble| format!("since {}: {}", system_time(trouble.since), trouble.detail)),
            losses: losses(|loss| tally.losses.count(loss)),
        }
    }
}

/// Returns the losses that happened, by their labels.
pub(super) fn losses(count: impl Fn(Loss) -> u64) -> BTreeMap<String, u64> {
    let counted = Loss::ALL.iter().map(|&loss| (loss.label().to_owned(), count(loss)));
    counted.filter(|(_, count)| *count > 0).collect()
}

fn system_time(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "?".to_owned(), |time| rfc3339(time.as_microsecond()))
}

fn key_of(key: &Secret) -> Result<WorkspaceKey, String> {
    WorkspaceKey::parse(key).map_err(|error| format!("`key_file`: {error}"))
}

fn name_of(transport: &TransportSettings) -> &'static str {
    match transport {
        TransportSettings::LogAnalyticsAgent { .. } => "log-analytics-agent",
        TransportSettings::DataCollector { .. } => "data-collector",
        TransportSettings::LogsIngestion(_) => "logs-ingestion",
    }
}
