//! What must be there before anything runs: folders, the agent's own GUID, the mark of a running agent.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use uuid::Uuid;

use super::operations::LastEnd;
use crate::config::settings::Config;
use crate::config::settings::TransportSettings;
use crate::config::settings::Workspace;
use crate::counters::Counters;
use crate::durable;
use crate::events::Event;
use crate::events::say;
use crate::spool::SpoolError;
use crate::system;
use crate::transport::WorkspaceEndpoints;
use crate::transport::WorkspaceKey;
use crate::upload::gateways::Gateways;
use crate::upload::identity::IdentityError;
use crate::upload::identity::IdentityFolder;
use crate::upload::roots::Roots;
use crate::upload::token::Token;

/// How often a lock may be removed while it is taken.
const TRIES: usize = 8;

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk says no.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What was touched.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A queue cannot be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A file of the identity cannot be read or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The agent does not go on: the machine it runs on is a copy of the one it was started on.
    #[error("this machine has become a clone while the agent ran; its next start takes a new identity")]
    BecameClone,
    /// The configuration names something that cannot be used.
    #[error("{0}")]
    Config(String),
}

impl StartError {
    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source }
    }
}

/// Makes the folders, for their owner only.
pub fn make_folders(config: &Config) -> Result<(), StartError> {
    for folder in [&config.state, &config.spool.folder] {
        durable::make_folder(folder).map_err(|error| StartError::of(folder, error))?;
    }
    Ok(())
}

/// Takes the state folder for this process, as long as the file lives, before anything in it is touched.
pub(super) fn lock(state: &Path) -> Result<File, StartError> {
    let path = state.join("lock");
    let failed = |error| StartError::of(&path, error);
    let mut options = OpenOptions::new();
    let options = system::private(options.write(true).create(true).truncate(false));
    for _ in 0..TRIES {
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path).map_err(failed)? => return Ok(file),
            // `generalize` has removed it meanwhile: the next one is another file.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(StartError::Config(format!(
        "{}: another agent-lite runs with this folder; stop it, or change `state`",
        state.display()
    )))
}

/// Returns whether this file is the one that is at a place.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(there) => Ok(system::identity_of(file, &file.metadata()?)? == system::identity_at(path, &there)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the agent's GUID where no onboarding has given it one; made once. A file without one, as earlier versions left
/// it when the power was cut, is set aside.
pub fn agent_id(state: &Path) -> Result<Uuid, StartError> {
    let file = state.join("agent-id");
    let failed = |error| StartError::of(&file, error);
    match fs::read(&file) {
        Ok(text) => {
            if let Some(id) = str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()) {
                return Ok(id);
            }
            let aside = state.join("agent-id.damaged");
            durable::rename(&file, &aside).map_err(failed)?;
            let detail = format_args!(
                "{}: there is no GUID in it; it lies in {} now",
                file.display(),
                aside.display()
            );
            say(Event::StateDamaged, "agent", detail);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let id = Uuid::new_v4();
    durable::replace(&file, format!("{id}\n").as_bytes()).map_err(failed)?;
    Ok(id)
}

fn mark(state: &Path) -> PathBuf {
    state.join("running")
}

fn known(state: &Path) -> PathBuf {
    state.join("stopped")
}

/// Notes that an agent runs, and returns how the one before ended.
pub(super) fn note_start(state: &Path) -> LastEnd {
    let last = match (mark(state).exists(), known(state).exists()) {
        (true, _) => LastEnd::Abrupt,
        (false, true) => LastEnd::Orderly,
        (false, false) => LastEnd::Never,
    };
    let mark = mark(state);
    if let Err(error) = fs::write(&mark, "") {
        // A full disk: what waits in the queues can be sent all the same, and that makes room.
        let path = mark.display();
        let detail = format_args!("{path}: {error}; the next start does not know how this agent ended");
        say(Event::StateNotWritten, "agent", detail);
    }
    last
}

/// Notes an end in order.
pub(super) fn note_end(state: &Path) {
    // Where this fails the next start says `killed`, which is the safe side.
    let _ = fs::rename(mark(state), known(state));
}

/// Returns everything that would keep this configuration from starting, and what would keep it from sending.
pub fn problems(config: &Config) -> Vec<String> {
    let unknown = |workspace: &Workspace| {
        let wrong = not_onboarded(&workspace.transport, config)?;
        Some(format!("[workspace.{}] {wrong}", workspace.name))
    };
    let mut problems = obstacles(config);
    problems.extend(config.workspaces.iter().filter_map(unknown));
    problems
}

/// Returns everything that would keep this configuration from starting, but the disk.
pub(super) fn obstacles(config: &Config) -> Vec<String> {
    let gateways =
        Gateways::new(&config.gateway, Counters::new()).map_err(|error| format!("[gateway] {error}"));
    let roots = Roots::load(config.azure_ca.as_deref()).map_err(|error| format!("[azure] {error}"));
    let (gateways, roots) = match (gateways, roots) {
        (Ok(gateways), Ok(roots)) => (gateways, roots),
        (gateways, roots) => return [gateways.err(), roots.err()].into_iter().flatten().collect(),
    };
    let of = |workspace: &Workspace| {
        let wrong = obstacle(&workspace.transport, &gateways, &roots)?;
        Some(format!("[workspace.{}] {wrong}", workspace.name))
    };
    config.workspaces.iter().filter_map(of).collect()
}

fn obstacle(transport: &TransportSettings, gateways: &Gateways, roots: &Roots) -> Option<String> {
    match transport {
        TransportSettings::LogAnalyticsAgent { workspace: id, domain, .. } => {
            WorkspaceEndpoints::new(id, domain).err().map(|error| error.to_string())
        }
        TransportSettings::DataCollector { workspace: id, domain, key } => {
            let key = WorkspaceKey::parse(key).err().map(|error| format!("`key_file`: {error}"));
            key.or_else(|| WorkspaceEndpoints::new(id, domain).err().map(|error| error.to_string()))
        }
        TransportSettings::LogsIngestion(settings) => {
            Token::new(settings, gateways.clone(), roots).err().map(|error| error.to_string())
        }
    }
}

/// Returns the ID of a workspace into which nobody but an operator can bring this agent.
pub(super) fn must_be_onboarded(workspace: &Workspace) -> Option<&str> {
    match &workspace.transport {
        TransportSettings::LogAnalyticsAgent { workspace, key_file: None, .. } => Some(workspace),
        _ => None,
    }
}

fn not_onboarded(transport: &TransportSettings, config: &Config) -> Option<String> {
    let TransportSettings::LogAnalyticsAgent { workspace: id, key_file, .. } = transport else { return None };
    if key_file.as_ref().is_some_and(|file| file.is_file()) {
        return None;
    }
    match IdentityFolder::new(&config.state, id).load() {
        Ok(Some(_)) => None,
        Ok(None) => Some(format!("this agent is not onboarded: agent-lite onboard -w {id} -k KEY_FILE")),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_knows_how_the_agent_ended_before() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        assert_eq!(note_start(state), LastEnd::Never);
        assert_eq!(note_start(state), LastEnd::Abrupt);
        note_end(state);
        assert_eq!(note_start(state), LastEnd::Orderly);
    }

    #[test]
    fn a_lock_that_was_removed_is_nobodys() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("lock");
        let first = lock(state.path()).unwrap();
        assert!(is_at(&first, &path).unwrap() && lock(state.path()).is_err());
        fs::rename(&path, state.path().join("elsewhere")).unwrap();
        assert!(!is_at(&first, &path).unwrap());
        let second = lock(state.path()).unwrap();
        assert!(is_at(&second, &path).unwrap() && !is_at(&first, &path).unwrap());
    }

    #[test]
    fn the_agents_guid_is_made_once_and_a_damaged_one_lies_aside() {
        let state = tempfile::tempdir().unwrap();
        let first = agent_id(state.path()).unwrap();
        assert_eq!(agent_id(state.path()).unwrap(), first);
        for damage in [&b"x"[..], b"", b"\0\0\0\0", b"\xff"] {
            fs::write(state.path().join("agent-id"), damage).unwrap();
            let next = agent_id(state.path()).unwrap();
            assert_ne!(next, first);
            assert_eq!(agent_id(state.path()).unwrap(), next);
            assert_eq!(fs::read(state.path().join("agent-id.damaged")).unwrap(), damage);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_agents_guid_outlives_a_loss_of_power() {
        use crate::durable::double;
        for chance in 0..200 {
            let state = tempfile::tempdir().unwrap();
            let recording = double::record(state.path());
            let id = agent_id(state.path()).unwrap();
            let crashed = tempfile::tempdir().unwrap();
            recording.crash(recording.done(), chance, crashed.path());
            drop(recording);
            assert_eq!(agent_id(crashed.path()).unwrap(), id, "{chance}");
        }
    }
}
