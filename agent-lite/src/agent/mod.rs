//! The running agent: one task a source, one courier a workspace, and what watches over them.
//!
//! [`run`] starts everything, takes reloads, and stops in order: sources first, so that what they have goes to
//! the queues, then the queues are sealed and synced, then the couriers end what is on its way.

pub mod adopt;
pub mod control;
pub mod doctor;
mod enrol;
pub mod facts;
pub mod generalize;
pub mod inherited;
mod metrics;
mod operations;
mod rule;
pub mod seal;
mod sources;
pub mod start;
pub mod status;
mod tasks;
mod workspaces;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp as Time;
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use self::control::Desk;
use self::operations::LastEnd;
use self::operations::Operations;
use self::operations::Told;
use self::rule::Board;
use self::rule::Rule;
use self::seal::Inheritance;
use self::sources::Sources;
use self::sources::WorkspaceNames;
pub use self::start::StartError;
use self::status::InheritedStatus;
use self::status::Status;
use self::tasks::Tasks;
use self::workspaces::Workspaces;
use crate::collect::inlet::Inlet;
use crate::collect::inlet::Tap;
use crate::collect::machine::Machine;
use crate::config::settings::Config;
use crate::counters::Counters;
use crate::events::Event;
use crate::events::say;
use crate::spool::Queue;
use crate::system;
use crate::system::control::Listener;

/// The version in every heartbeat and request.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The name under which the agent's own records are collected.
const OWN_SOURCE: &str = "agent";

/// What happens to the agent from outside.
#[derive(Debug)]
pub enum Command {
    /// Another configuration, already checked.
    Reload(Box<Config>),
    /// The end.
    Stop,
}

/// What is shared by everything that runs, and outlives a reload.
#[derive(Clone)]
struct Shared {
    counters: Counters,
    told: Told,
    tap: Tap,
    machine: Machine,
    agent_id: uuid::Uuid,
    started: Time,
    /// What this start has found to be another machine's.
    cloned: Option<Inheritance>,
    /// All that lies here of other machines.
    inherited: Vec<Inheritance>,
}

/// What one configuration runs.
struct Running {
    config: Config,
    workspaces: Workspaces,
    sources: Sources,
    others: Tasks,
}

/// Runs until it is told to stop. `ready` is called when the sources have been started, and after each reload.
pub async fn run(
    config: Config,
    machine: Machine,
    mut commands: mpsc::Receiver<Command>,
    ready: impl Fn(),
) -> Result<(), StartError> {
    start::make_folders(&config)?;
    let _lock = start::lock(&config.state)?;
    let (shared, last) = begin(&config, machine)?;
    let listener = Listener::bind(&config.state)
        .map_err(|error| StartError::of(&system::control::place(&config.state), error))?;
    let state = config.state.clone();
    let mut rule = Rule::open(config, last, shared.counters.clone());
    let mut running = Running::start(rule.config(), &shared, last)?;
    let view = Arc::new(Mutex::new(View::of(&running, &rule)));
    tell(&mut rule, &running, &shared);
    rule.look(&running.workspaces);
    let stop = CancellationToken::new();
    let mut desk = Tasks::new();
    desk.spawn("control socket", control::serve(listener, desk_of(&shared, &view), stop.clone()));
    say(Event::Started, OWN_SOURCE, format_args!("agent-lite {VERSION} on {}", running.config.computer));
    ready();
    // One wait for all turns: what can be changed while it runs has no part in it.
    let watched = running.config.clone();
    let another = seal::becomes_another(&watched);
    tokio::pin!(another);
    let end = loop {
        let turn = tokio::select! {
            command = commands.recv() => Turn::Command(command),
            happening = rule.next() => Turn::Rule(happening),
            () = &mut another => break Err(StartError::BecameClone),
        };
        match turn {
            Turn::Command(None | Some(Command::Stop)) => break Ok(()),
            Turn::Command(Some(Command::Reload(config))) => {
                let joined = rule.config_for(&config);
                running = running.reload(joined.clone(), &shared).await?;
                if running.config == joined {
                    rule.adopt(*config);
                }
                rule.look(&running.workspaces);
                ready();
            }
            Turn::Rule(happening) => {
                if let Some(config) = rule.judge(happening, running.workspaces.reports()) {
                    running = running.reload(config, &shared).await?;
                }
            }
        }
        tell(&mut rule, &running, &shared);
        if let Ok(mut view) = view.lock() {
            *view = View::of(&running, &rule);
        }
    };
    say(Event::Stopping, OWN_SOURCE, "sources first, then the queues, then what is on its way");
    running.stop().await;
    stop.cancel();
    desk.end(Duration::from_secs(1)).await;
    start::note_end(&state);
    end
}

/// Finds out whose the state folder is, and how its agent ended; whoever calls it holds the folder's lock.
fn begin(config: &Config, machine: Machine) -> Result<(Shared, LastEnd), StartError> {
    let cloned = seal::keep(config)?;
    let agent_id = start::agent_id(&config.state)?;
    let last = start::note_start(&config.state);
    let shared = Shared {
        counters: Counters::new(),
        told: Told::default(),
        tap: Tap::new(),
        machine,
        agent_id,
        started: Time::now(),
        cloned,
        inherited: inherited::list(&config.state),
    };
    let sum = |of: fn(&Inheritance) -> u64| shared.inherited.iter().map(of).sum();
    shared.counters.inherited(sum(|one| one.records), sum(|one| one.bytes));
    Ok((shared, last))
}

/// What the loop turns for.
enum Turn {
    Command(Option<Command>),
    Rule(rule::Happening),
}

/// Tells the workspaces what became of the data collection rule.
fn tell(rule: &mut Rule, running: &Running, shared: &Shared) {
    for (status, key, detail) in rule.news() {
        let inlet = inlet(&running.workspaces.queues(), shared, OWN_SOURCE);
        Operations::new(inlet, shared.counters.clone(), shared.told.clone()).rule(status, key, detail);
    }
}

impl Running {
    fn start(config: Config, shared: &Shared, last: LastEnd) -> Result<Self, StartError> {
        let queues = Workspaces::queues_for(&config, &[], shared)?;
        let workspaces = Workspaces::start(&config, queues, shared)?;
        let mut sources = Sources::default();
        sources.start(&config, &workspaces, shared);
        let others = others(&config, &workspaces, shared, Some(last));
        Ok(Self { config, workspaces, sources, others })
    }

    /// Takes another configuration. What cannot start is found before anything is stopped. Sources that stay as
    /// they were go on untouched; where more than sources differs, the couriers are started anew at the same queues.
    async fn reload(mut self, config: Config, shared: &Shared) -> Result<Self, StartError> {
        let fixed = config.state != self.config.state
            || config.spool != self.config.spool
            || config.computer != self.config.computer
            || config.clones != self.config.clones
            || config.host_root != self.config.host_root;
        if fixed {
            say(
                Event::NotReloaded,
                OWN_SOURCE,
                "[agent] and [spool] are read at a start only: restart for them",
            );
            return Ok(self);
        }
        let only_sources = config.gateway == self.config.gateway
            && config.azure_ca == self.config.azure_ca
            && config.workspaces == self.config.workspaces
            && config.metrics == self.config.metrics;
        // Where the rule comes from is looked at by whoever has it.
        if only_sources {
            self.sources.keep_only(&config, WorkspaceNames::Same).await;
            self.sources.start(&config, &self.workspaces, shared);
            self.config = config;
            say(Event::Reloaded, OWN_SOURCE, "the sources that changed were started anew");
            return Ok(self);
        }
        let Some(queues) = self.queues_for(&config, shared) else { return Ok(self) };
        let names = WorkspaceNames::compare(&self.config, &config);
        self.sources.keep_only(&config, names).await;
        self.others.end(Duration::from_secs(5)).await;
        self.workspaces.end().await;
        let workspaces = Workspaces::start(&config, queues, shared)?;
        self.sources.start(&config, &workspaces, shared);
        let others = others(&config, &workspaces, shared, None);
        say(Event::Reloaded, OWN_SOURCE, "the couriers and the sources that changed were started anew");
        Ok(Self { config, workspaces, sources: self.sources, others })
    }

    /// Returns the queues for another configuration, or says why it cannot be run.
    fn queues_for(&self, config: &Config, shared: &Shared) -> Option<Vec<Queue>> {
        let obstacles = start::obstacles(config);
        match Workspaces::queues_for(config, &self.workspaces.view().queues(), shared) {
            Ok(queues) if obstacles.is_empty() => Some(queues),
            outcome => {
                let disk = outcome.err().map(|error| error.to_string());
                let all = obstacles.iter().chain(&disk);
                all.for_each(|obstacle| say(Event::NotReloaded, OWN_SOURCE, obstacle));
                None
            }
        }
    }

    async fn stop(mut self) {
        self.sources.end().await;
        self.others.end(Duration::from_secs(5)).await;
        self.workspaces.end().await;
    }
}

/// Starts what is neither a source nor a courier.
fn others(config: &Config, workspaces: &Workspaces, shared: &Shared, last: Option<LastEnd>) -> Tasks {
    let mut others = Tasks::new();
    let inlet = inlet(&workspaces.queues(), shared, OWN_SOURCE);
    let operations = Operations::new(inlet, shared.counters.clone(), shared.told.clone());
    if let Some(last) = last {
        operations.started(last);
        if let Some(cloned) = &shared.cloned {
            operations.cloned(seal::sentence(cloned, config));
        }
    }
    let stop = others.stop_token();
    others.spawn("operations", operations.run(stop.clone()));
    if let Some(address) = config.metrics {
        others.spawn("metrics", metrics::serve(address, shared.counters.clone(), stop));
    }
    others
}

/// Returns an inlet into these queues under a source's name.
fn inlet(queues: &[Queue], shared: &Shared, source: &str) -> Inlet {
    Inlet::new(queues.to_vec(), shared.counters.source(source)).seen_by(shared.tap.clone(), source)
}

/// What the control socket looks at; a reload replaces it.
struct View {
    config: Config,
    workspaces: workspaces::View,
    rule: Option<Board>,
}

impl View {
    fn of(running: &Running, rule: &Rule) -> Self {
        Self { config: running.config.clone(), workspaces: running.workspaces.view(), rule: rule.board() }
    }
}

fn desk_of(shared: &Shared, view: &Arc<Mutex<View>>) -> Desk {
    let (counters, started) = (shared.counters.clone(), shared.started);
    let (of_status, of_queues) = (Arc::clone(view), Arc::clone(view));
    let inherited: Vec<InheritedStatus> = shared.inherited.iter().map(InheritedStatus::of).collect();
    Desk {
        status: Arc::new(move || {
            let view = of_status.lock().expect("no panic under the lock");
            Status {
                version: VERSION.to_owned(),
                computer: view.config.computer.clone(),
                started: time_text(started),
                gateway: view.workspaces.gateway(),
                workspaces: view.workspaces.status(&counters),
                sources: sources::status(&view.config, &counters),
                inherited: inherited.clone(),
                rule: view.rule.as_ref().map(Board::status),
            }
        }),
        queues: Arc::new(move || of_queues.lock().expect("no panic under the lock").workspaces.queues()),
        tap: shared.tap.clone(),
    }
}

fn time_text(time: Time) -> String {
    control::rfc3339(time.as_microsecond())
}

/// Waits a moment, unless it is to stop. Returns whether to go on.
async fn pause(stop: &CancellationToken, moment: Duration) -> bool {
    stop.run_until_cancelled(time::sleep(moment)).await.is_some()
}
