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
use crate::config::Files;
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
        let mut problems = Vec::new();
        let list = || files(file.as_deref());
        let (config, contents, files) = read_alike(list, || config::load(file.as_deref()), seen)?;
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
        let admin_users = config.admin.as_ref().and_then(|admin| admin.users_file.as_ref());
        let emptied = config
            .roles
            .users_files
            .iter()
            .chain(admin_users)
            .filter(|file| contents.is_emptied(before, file));
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

/// Loads while nothing changes: which files are named and what they hold must be the same before and after,
/// else what was loaded is of no one time, and a file that only the newer text names would not be held
/// against what it was.
fn read_alike<T>(
    list: impl Fn() -> Files,
    load: impl Fn() -> T,
    seen: &mut Stamps,
) -> Result<(T, Contents, Files), Vec<String>> {
    for turn in 0..MOST_READS {
        if turn > 0 {
            sleep(PAUSE);
        }
        let files = list();
        *seen = Stamps::of(files.all());
        let irregular = irregular(&files.read);
        if !irregular.is_empty() {
            return Err(irregular);
        }
        let contents = Contents::of(&files.read);
        let loaded = load();
        if list() == files && Contents::of(&files.read) == contents {
            return Ok((loaded, contents, files));
        }
    }
    Err(vec![format!(
        "the files of the configuration change while they are read, {MOST_READS} times in a row"
    )])
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn s12_a_file_that_becomes_named_while_the_configuration_is_read_is_among_what_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let [configuration, users] = ["gateway.toml", "users"].map(|name| folder.path().join(name));
        std::fs::write(&configuration, "").expect("written");
        std::fs::write(&users, "").expect("written");
        let list = || Files::of(&configuration);
        let loads = Cell::new(0);
        // The whole text appears after the files were listed by the text before.
        let load = || {
            loads.set(loads.get() + 1);
            let text = "[role.users]\nusers_file = \"users\"\n";
            if std::fs::read_to_string(&configuration).expect("a text").is_empty() {
                std::fs::write(&configuration, text).expect("written");
            }
        };
        let lists = Cell::new(0);
        let late = || {
            lists.set(lists.get() + 1);
            let files = list();
            if lists.get() == 1 {
                load();
            }
            files
        };
        let (_, contents, files) = read_alike(late, load, &mut Stamps::default()).expect("read");
        assert_eq!(files.read, [configuration.clone(), users.clone()]);
        std::fs::write(&users, "ann:hash\n").expect("written");
        assert!(contents.is_emptied(&Contents::of(&files.read), &users), "it is held against what it was");
        assert_eq!(loads.get(), 3);
    }

    #[test]
    fn s12_files_that_never_rest_are_a_problem_and_end_the_reading() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, "").expect("written");
        let loads = Cell::new(0);
        let load = || {
            loads.set(loads.get() + 1);
            std::fs::write(&file, "#".repeat(loads.get())).expect("written");
        };
        let problems = read_alike(|| Files::of(&file), load, &mut Stamps::default()).expect_err("a problem");
        assert!(problems[0].contains("change while they are read"), "{problems:?}");
        assert_eq!(loads.get(), usize::try_from(MOST_READS).expect("small"));
    }
}
