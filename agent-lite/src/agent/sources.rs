//! The sources: one task each, started anew when it breaks.

use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::Shared;
use super::facts::own_address;
use super::inlet;
use super::status::SourceStatus;
use super::tasks::Tasks;
use super::workspaces::Workspaces;
use super::workspaces::losses;
use crate::collect::evtx;
use crate::collect::files;
use crate::collect::heartbeat;
use crate::collect::performance;
use crate::collect::syslog;
use crate::collect::syslog::Handover;
#[cfg(windows)]
use crate::collect::windows_events;
use crate::config::settings::Config;
use crate::config::settings::Source;
use crate::config::settings::SourceKind;
use crate::counters::Counters;

/// How long a source may take to hand over what it has.
const LONGEST_END: Duration = Duration::from_secs(5);

/// The sources that run.
#[derive(Default)]
pub(super) struct Sources(Vec<(Source, Tasks)>, Handover);

/// Whether another configuration has the same workspaces: a source without a list goes to all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkspaceNames {
    Same,
    Others,
}

impl WorkspaceNames {
    pub(super) fn compare(before: &Config, after: &Config) -> Self {
        let names = |config: &Config| -> Vec<String> {
            config.workspaces.iter().map(|workspace| workspace.name.clone()).collect()
        };
        if names(before) == names(after) { Self::Same } else { Self::Others }
    }
}

impl Sources {
    /// Starts those of a configuration that do not run.
    pub(super) fn start(&mut self, config: &Config, workspaces: &Workspaces, shared: &Shared) {
        for source in &config.sources {
            if self.0.iter().any(|(running, _)| running == source) {
                continue;
            }
            let mut tasks = Tasks::new();
            spawn(&mut tasks, source, config, workspaces, shared, &self.1);
            self.0.push((source.clone(), tasks));
        }
    }

    /// Ends those that another configuration does not have, or has otherwise, or with other queues.
    pub(super) async fn keep_only(&mut self, config: &Config, names: WorkspaceNames) {
        let stays = |running: &Source| {
            let same_queues = names == WorkspaceNames::Same || !running.workspaces.is_empty();
            same_queues && config.sources.contains(running)
        };
        let syslog = config.sources.iter().filter_map(|source| match &source.kind {
            SourceKind::Syslog(settings) => Some(settings),
            _ => None,
        });
        self.1.expect(syslog);
        let (kept, gone): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|(running, _)| stays(running));
        self.0 = kept;
        for (_, mut tasks) in gone {
            tasks.end(LONGEST_END).await;
        }
    }

    /// Ends all.
    pub(super) async fn end(&mut self) {
        self.1.expect(std::iter::empty());
        self.0.iter().for_each(|(_, tasks)| tasks.stop_token().cancel());
        for (_, tasks) in &mut self.0 {
            tasks.end(LONGEST_END).await;
        }
    }
}

pub(super) fn status(config: &Config, counters: &Counters) -> Vec<SourceStatus> {
    let of = |source: &Source| {
        let tally = counters.source(&source.name);
        SourceStatus {
            name: source.name.clone(),
            collected: tally.collected.get(),
            losses: losses(|loss| tally.losses.count(loss)),
            notes: tally.notes.all(),
        }
    };
    config.sources.iter().map(of).collect()
}

fn spawn(
    tasks: &mut Tasks,
    source: &Source,
    config: &Config,
    workspaces: &Workspaces,
    shared: &Shared,
    handover: &Handover,
) {
    let inlet = inlet(&workspaces.queues_of(&source.workspaces), shared, &source.name);
    let stop = tasks.stop_token();
    let name = source.name.clone();
    match source.kind.clone() {
        SourceKind::Syslog(settings) => {
            let context = syslog::Context {
                name: name.clone(),
                computer: config.computer.clone(),
                address: own_address(),
                zone: TimeZone::system(),
                bound: watch::Sender::default(),
                handover: handover.clone(),
            };
            tasks.spawn(&name, syslog::run(settings, context, inlet, stop));
        }
        SourceKind::Files(settings) | SourceKind::Iis(settings) => {
            let context = files::Context { state: config.state.clone(), source: name.clone() };
            tasks.spawn(&name, files::run(settings, context, inlet, stop));
        }
        SourceKind::Evtx(settings) => {
            let context = evtx::Context { state: config.state.clone(), source: name.clone() };
            tasks.spawn(&name, evtx::run(settings, context, inlet, stop));
        }
        #[cfg(windows)]
        SourceKind::WindowsEvents(settings) => {
            let context = windows_events::Context { state: config.state.clone(), source: name.clone() };
            tasks.spawn(&name, windows_events::run(settings, context, inlet, stop));
        }
        // The configuration refuses it elsewhere.
        #[cfg(not(windows))]
        SourceKind::WindowsEvents(_) => {}
        SourceKind::Performance(settings) => {
            let caption = shared.machine.release.caption.clone();
            tasks.spawn(&name, performance::run(settings, caption, inlet, stop));
        }
        SourceKind::Heartbeat(settings) => {
            tasks.spawn(&name, heartbeat::run(settings, shared.machine.clone(), inlet, stop));
        }
    }
}
