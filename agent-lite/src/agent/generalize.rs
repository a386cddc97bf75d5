//! What must not be in a golden image: who the agent is, what it has read, and what it has not sent.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::StartError;
use super::inherited;
use super::seal;
use super::start;
use crate::config::settings::Config;
use crate::durable;
use crate::spool;

/// What happens to records that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing is done while there are some.
    Refuse,
    /// They are removed.
    Discard,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generalized {
    /// What is no longer there.
    pub removed: Vec<PathBuf>,
    /// Records that were removed.
    pub records: u64,
    /// What stays in the state folder: a rule that was taken from afar, or what others put there.
    pub left: Vec<PathBuf>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum GeneralizeError {
    /// Records wait.
    #[error(
        "{records} records wait in {}: start the agent, `agent-lite drain`, stop it and try again; or remove them with --discard-queue",
        queue.display()
    )]
    Waiting {
        /// How many, in this queue.
        records: u64,
        /// The queue.
        queue: PathBuf,
    },
    /// An agent runs, or the disk says no.
    #[error(transparent)]
    State(#[from] StartError),
}

/// Removes everything but the configuration. No agent may run with the folder; done again it does the rest.
pub fn generalize(config: &Config, waiting: Waiting) -> Result<Generalized, GeneralizeError> {
    let state = &config.state;
    if !state.exists() {
        return Ok(Generalized::default());
    }
    let lock = start::lock(state)?;
    let queues = queues(&config.spool.folder)?;
    // All of them before any is touched: an agent with another state folder may use these queues.
    let claims = queues.iter().map(|queue| spool::claim(queue)).collect::<Result<Vec<_>, _>>();
    let claims = claims.map_err(StartError::from)?;
    let mut done = Generalized::default();
    for queue in &queues {
        let contents = spool::contents(queue).map_err(|error| StartError::of(queue, error))?;
        if contents.bytes > 0 && waiting == Waiting::Refuse {
            let (records, queue) = (contents.records, queue.clone());
            return Err(GeneralizeError::Waiting { records, queue });
        }
        done.records += contents.records;
    }
    // Who it is goes first, also from the disk: whatever interrupts this, no two machines are the same agent.
    let names = ["identity", "agent-id", seal::SEAL, seal::JOURNAL, inherited::IN_STATE, "positions"];
    let marks = ["running", "stopped", "agent-id.tmp", "agent-id.damaged", "control.sock"]
        .map(|name| state.join(name));
    for path in names.iter().map(|name| state.join(name)).chain(marks) {
        if remove(&path)? {
            done.removed.push(path);
        }
    }
    durable::sync_folder(state).map_err(|error| StartError::of(state, error))?;
    let queues = queues.into_iter().zip(claims.into_iter().map(Some));
    for (path, claim) in queues.chain([(config.spool.folder.join(inherited::IN_SPOOL), None)]) {
        // Not before: Windows removes no folder in which a file is open.
        drop(claim);
        if remove(&path)? {
            done.removed.push(path);
        }
    }
    match durable::sync_folder(&config.spool.folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StartError::of(&config.spool.folder, error).into());
        }
        _ => {}
    }
    // Empty ones only; what else is there is not ours.
    let _ = fs::remove_dir(&config.spool.folder);
    // While it is held: whoever waits for it finds that it is no longer the folder's.
    remove(&state.join("lock"))?;
    drop(lock);
    done.left = entries(state)?;
    Ok(done)
}

/// Returns the queues, those of workspaces that are not configured any more and those that were inherited too.
fn queues(spool: &Path) -> Result<Vec<PathBuf>, StartError> {
    let mut queues = entries(spool)?;
    for inherited in entries(&spool.join(inherited::IN_SPOOL))? {
        queues.extend(entries(&inherited)?);
    }
    queues.retain(|path| spool::is_queue(path));
    Ok(queues)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StartError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(|error| StartError::of(folder, error))?,
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Removes a file or a folder with all that is in it; returns whether there was one.
fn remove(path: &Path) -> Result<bool, StartError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => durable::remove_folder(path),
        Ok(_) => durable::remove(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StartError::of(path, error)),
    }
}
