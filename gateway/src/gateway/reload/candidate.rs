//! A configuration that was read and found right, but is not in force yet.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::Reloader;
use super::files;
use super::files::Contents;
use super::files::Stamps;
use super::files::irregular;
use crate::config;
use crate::config::Config;
use crate::config::Problems;
use crate::connect::Live;
use crate::connection::Speaks;
use crate::gateway::build::Parts;
use crate::gateway::own_addresses;
use crate::sandbox::Openings;

/// How often the files are read when they change while they are.
const MOST_READS: u32 = 5;
/// Pause between two readings.
const PAUSE: Duration = Duration::from_millis(100);

/// Everything that is needed to put it in force, so that nothing can fail any more.
pub(super) struct Candidate {
    pub(super) config: Config,
    pub(super) contents: Contents,
    pub(super) parts: Parts,
    /// For each listener that goes on, what it speaks.
    pub(super) speaks: Vec<Option<Arc<Speaks>>>,
    pub(super) own: Vec<SocketAddr>,
}

impl Candidate {
    /// Reads it and everything it names, and tries what can be tried. Also returns what a look at the files
    /// showed before they were read, so that a later change is one. Blocks.
    pub(super) fn read(reloader: &Reloader, before: &Contents) -> (Result<Self, Vec<String>>, Stamps) {
        let mut seen = reloader.seen();
        let candidate = Self::seeing(reloader, before, &mut seen);
        (candidate, seen)
    }

    fn seeing(reloader: &Reloader, before: &Contents, seen: &mut Stamps) -> Result<Self, Vec<String>> {
        let file = reloader.state().file;
        let (mut problems, mut read) = (Vec::new(), None);
        for turn in 0..MOST_READS {
            if turn > 0 {
                sleep(PAUSE);
            }
            let files = files(file.as_deref());
            *seen = Stamps::of(files.all());
            let irregular = irregular(&files.read);
            if !irregular.is_empty() {
                return Err(irregular);
            }
            let contents = Contents::of(&files.read);
            let config = config::load(file.as_deref());
            if Contents::of(&files.read) == contents {
                read = Some((config, contents, files));
                break;
            }
        }
        let Some((config, contents, files)) = read else {
            return Err(vec![format!(
                "the files of the configuration change while they are read, {MOST_READS} times in a row"
            )]);
        };
        if let Some((openings, sandbox)) = reloader.sandbox.get() {
            let wanted = config.as_ref().map_or_else(|_| openings.clone(), Openings::of);
            problems.extend(openings.shut(&wanted, &files, *sandbox));
        }
        match config {
            Err(Problems(found)) => {
                problems.extend(found.iter().map(ToString::to_string));
                Err(problems)
            }
            Ok(config) => Self::of(reloader, config, contents, before, problems),
        }
    }

    fn of(
        reloader: &Reloader,
        config: Config,
        contents: Contents,
        before: &Contents,
        mut problems: Vec<String>,
    ) -> Result<Self, Vec<String>> {
        let emptied = config.roles.users_files.iter().filter(|file| contents.is_emptied(before, file));
        problems.extend(emptied.map(|file| {
            format!(
                "{}: it is empty and was not; where nobody is meant, write a comment line (`# nobody`) into it",
                file.display()
            )
        }));
        let live = reloader.stations.live.load();
        let authorities: Option<&PathBuf> = config.relay.ca.as_ref();
        let same = authorities.is_none_or(|file| contents.same(before, file));
        let parts = Parts::renewed(&config, &live, same, reloader.stations.via.clone());
        let speaks = reloader.settled.speaks(&config);
        let own = own_addresses(&reloader.settled.bound);
        match (parts, speaks, own) {
            (Ok(parts), Ok(speaks), Ok(own)) if problems.is_empty() => {
                Ok(Self { config, contents, parts, speaks, own })
            }
            (parts, speaks, own) => {
                problems.extend(parts.err().map(|error| error.to_string()));
                problems.extend(speaks.err().map(|error| error.to_string()));
                problems.extend(own.err().map(|error| format!("this machine's network addresses: {error}")));
                Err(problems)
            }
        }
    }

    /// Says whether it differs from what is in force: in a file, in the system's name servers, or in this
    /// machine's addresses.
    pub(super) fn is_other(&self, live: &Live, before: &Contents) -> bool {
        self.contents != *before
            || !Arc::ptr_eq(&self.parts.resolver, &live.resolver)
            || !live.policy.addresses.is_with_own(&self.own)
    }

    /// Says in a few numbers who may do what.
    pub(super) fn summary(&self) -> String {
        let roles = &self.config.roles.all;
        let users: usize = roles.iter().map(|role| role.users).sum();
        let rules: usize = roles.iter().map(|role| role.role.destinations.rules()).sum();
        let mode = match self.config.roles.reporting().count() {
            0 => String::new(),
            reporting => format!("; {reporting} in report mode"),
        };
        let (roles, users) = (count(roles.len(), "role"), count(users, "user"));
        format!("{roles}, {users}, {}{mode}", count(rules, "host rule"))
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
