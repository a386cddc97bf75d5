//! The seal of a machine on its state folder, and what happens when the machine is another one.
//!
//! ```text
//! <state>/seal.json            the machine's parts, hashed
//! <state>/clone.json           a change of identity has begun: whatever is found then, the next start ends it
//! <state>/inherited/<time>/    identity/  agent-id  seal.json  note.json: clone.json, moved here last
//! <spool>/.inherited/<time>/   the queues
//! ```

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::StartError;
use super::inherited;
use super::start;
use crate::collect::machine;
use crate::collect::parts;
use crate::config::settings::Clones;
use crate::config::settings::Config;
use crate::events::Event;
use crate::events::say;
use crate::parse::fingerprint::Judgement;
use crate::parse::fingerprint::Machine;
use crate::parse::fingerprint::Part;
use crate::parse::fingerprint::SALT;
use crate::parse::fingerprint::Seal;
use crate::spool;
use crate::upload::identity::IdentityFolder;
use crate::upload::identity::make_folder;
use crate::upload::identity::read_file;
use crate::upload::identity::remove_file;
use crate::upload::identity::rename_file;
use crate::upload::identity::write_file;

/// The seal's file.
pub(super) const SEAL: &str = "seal.json";
/// The change of identity that has begun.
pub(super) const JOURNAL: &str = "clone.json";
/// How often a running agent looks at its machine.
const LOOK_AGAIN: Duration = Duration::from_secs(5 * 60);
/// Where the agent's log says it.
const PLACE: &str = "agent";
/// What is set aside beside the queues.
const OF_THE_AGENT: [&str; 3] = ["identity", AGENT_ID, SEAL];
/// The agent's own GUID.
const AGENT_ID: &str = "agent-id";
/// How another machine's agent ended is not this one's news.
const MARKS: [&str; 2] = ["running", "stopped"];

/// What another machine left in this state folder: the same as `note.json` beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inheritance {
    /// Its folder's name, made of the time at which it was found.
    pub folder: String,
    /// When that was, RFC 3339.
    pub found: String,
    /// The GUID of the agent that began it, or those that it has in several workspaces.
    pub agent_id: Option<String>,
    /// The folder of the queues.
    pub spool: PathBuf,
    /// Records that it had not delivered.
    pub records: u64,
    /// Bytes of its queues.
    pub bytes: u64,
    /// Parts of the machine that are the same.
    pub same: Vec<Part>,
    /// Parts that are others.
    pub different: Vec<Part>,
}

/// How a seal and a machine stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody asks: `clones = "ignore"`, or a container.
    NotWatched,
    /// There is no seal yet.
    NotSealed,
    /// The seal cannot be read.
    Unreadable(String),
    /// There is a seal.
    Sealed(Judgement),
}

/// Compares, and changes nothing.
pub fn look(config: &Config) -> Result<Look, StartError> {
    if !is_watched(config) {
        return Ok(Look::NotWatched);
    }
    Ok(match read_file(&config.state.join(SEAL))?.map(|text| Seal::parse(&text)) {
        None => Look::NotSealed,
        Some(Err(reason)) => Look::Unreadable(reason),
        Some(Ok(seal)) => Look::Sealed(seal.judge(&parts::read(&config.host_root))),
    })
}

/// Waits until the machine is another one: a virtual machine may be copied while the agent runs in it.
pub(super) async fn becomes_another(config: &Config) {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let config = config.clone();
        let looked = tokio::task::spawn_blocking(move || look(&config)).await;
        if let Ok(Ok(Look::Sealed(judgement))) = looked
            && judgement.machine == Machine::Another
        {
            return;
        }
    }
}

/// Does what onboarding by a command must: the same as a start, unless an agent runs, which has done it.
pub fn before_onboarding(config: &Config) -> Result<Option<Inheritance>, StartError> {
    start::make_folders(config)?;
    match start::lock(&config.state) {
        Ok(_lock) => keep(config),
        Err(StartError::Config(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Seals the machine, or finds that it is the one that was sealed, or takes leave of what a clone inherited.
/// Whoever calls it holds the lock of the state folder.
pub(super) fn keep(config: &Config) -> Result<Option<Inheritance>, StartError> {
    let journal = config.state.join(JOURNAL);
    if let Some(text) = read_file(&journal)? {
        let begun = serde_json::from_str(&text).map_err(|error| {
            StartError::Config(format!("{}: {error}; delete this file", journal.display()))
        })?;
        return finish(config, begun).map(Some);
    }
    match look(config)? {
        Look::NotWatched => Ok(None),
        Look::NotSealed => {
            forget_machine_ids(&config.state);
            seal(config)?;
            Ok(None)
        }
        Look::Unreadable(reason) => {
            let file = config.state.join(SEAL);
            say(Event::SealUnreadable, PLACE, format_args!("{}: {reason}", file.display()));
            seal(config)?;
            Ok(None)
        }
        Look::Sealed(judgement) => match judgement.machine {
            Machine::TheSame => renew(config, &judgement).map(|()| None),
            Machine::Another => {
                let begun = begin(config, judgement)?;
                finish(config, begun).map(Some)
            }
        },
    }
}

/// A container has the state folder that it was given, and no hardware of its own.
fn is_watched(config: &Config) -> bool {
    match config.clones {
        Some(Clones::Notice) => true,
        Some(Clones::Ignore) => false,
        None => !machine::is_container(&config.host_root),
    }
}

fn seal(config: &Config) -> Result<(), StartError> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt)
        .map_err(|error| StartError::of(&config.state.join(SEAL), io::Error::other(error)))?;
    write_seal(config, &Seal::new(&salt, &parts::read(&config.host_root)))
}

fn renew(config: &Config, judgement: &Judgement) -> Result<(), StartError> {
    let file = config.state.join(SEAL);
    let Some(Ok(seal)) = read_file(&file)?.map(|text| Seal::parse(&text)) else { return Ok(()) };
    let renewed = seal.renewed(&parts::read(&config.host_root));
    if renewed == seal {
        return Ok(());
    }
    if !judgement.different.is_empty() {
        let detail = format!("others: {}; the same: {}", names(&judgement.different), names(&judgement.same));
        say(Event::Resealed, PLACE, detail);
    }
    write_seal(config, &renewed)
}

fn write_seal(config: &Config, seal: &Seal) -> Result<(), StartError> {
    let file = config.state.join(SEAL);
    let text = serde_json::to_string_pretty(seal).map_err(|error| StartError::of(&file, error.into()))?;
    Ok(write_file(&file, &text)?)
}

/// Earlier versions wrote the machine-id itself into every identity.
fn forget_machine_ids(state: &Path) {
    let Ok(entries) = fs::read_dir(state.join("identity")) else { return };
    for entry in entries.flatten() {
        let folder = IdentityFolder::new(state, &entry.file_name().to_string_lossy());
        // One that cannot be read is somebody else's to say.
        if let Ok(Some(stored)) = folder.load() {
            let _ = folder.note(&stored.identity);
        }
    }
}

/// Returns the GUIDs by which workspaces know the agent, else its own.
fn agents(state: &Path) -> Result<Option<String>, StartError> {
    let mut known: Vec<String> = Vec::new();
    for entry in fs::read_dir(state.join("identity")).into_iter().flatten().flatten() {
        let folder = IdentityFolder::new(state, &entry.file_name().to_string_lossy());
        // One that cannot be read is set aside all the same.
        if let Ok(Some(stored)) = folder.load() {
            known.push(stored.identity.agent_id.to_string());
        }
    }
    known.sort();
    known.dedup();
    if known.is_empty() {
        return Ok(read_file(&state.join(AGENT_ID))?.map(|text| text.trim().to_owned()));
    }
    Ok(Some(known.join(", ")))
}

/// A queue that cannot be counted is set aside all the same, and is not said to be empty.
fn counted(contents: io::Result<spool::Contents>) -> spool::Contents {
    contents.unwrap_or(spool::Contents { records: 0, bytes: 1 })
}

/// Notes that the identity changes. From here on it does, whatever happens.
fn begin(config: &Config, judgement: Judgement) -> Result<Inheritance, StartError> {
    let now = jiff::Timestamp::now();
    let spool = config.spool.folder.clone();
    let (mut records, mut bytes) = (0, 0);
    for queue in queues(&spool)? {
        let contents = counted(spool::contents(&queue));
        records += contents.records;
        bytes += contents.bytes;
    }
    let begun = Inheritance {
        folder: now.strftime("%Y%m%dT%H%M%S.%6fZ").to_string(),
        found: super::control::rfc3339(now.as_microsecond()),
        agent_id: agents(&config.state)?,
        spool,
        records,
        bytes,
        same: judgement.same,
        different: judgement.different,
    };
    let journal = config.state.join(JOURNAL);
    let text =
        serde_json::to_string_pretty(&begun).map_err(|error| StartError::of(&journal, error.into()))?;
    write_file(&journal, &text)?;
    Ok(begun)
}

/// Sets everything aside that another machine left, seals this one, and says so. Each step can be done again.
fn finish(config: &Config, begun: Inheritance) -> Result<Inheritance, StartError> {
    let state = &config.state;
    inherited::is_ours(state, &state.join(JOURNAL))?;
    inherited::check(config, &begun)?;
    let (kept, kept_queues) = (inherited::of_state(state, &begun), inherited::of_spool(&begun));
    make_folder(&kept)?;
    make_folder(&kept_queues)?;
    for queue in queues(&begun.spool)? {
        rename_file(&queue, &kept_queues.join(queue.file_name().unwrap_or_default()))?;
    }
    for name in OF_THE_AGENT {
        let (from, to) = (state.join(name), kept.join(name));
        // What is there already was set aside before this was interrupted, and the new seal is this machine's.
        if from.exists() && !to.exists() {
            rename_file(&from, &to)?;
        } else if name == AGENT_ID {
            // A loss of power may leave a file that was moved under both names.
            remove_file(&from)?;
        }
    }
    for mark in MARKS {
        remove_file(&state.join(mark))?;
    }
    seal(config)?;
    rename_file(&state.join(JOURNAL), &kept.join(inherited::NOTE))?;
    say(Event::Cloned, PLACE, sentence(&begun, config));
    inherited::keep_the_newest(config);
    Ok(begun)
}

/// Returns the folders that are queues. A clone's own are made after this.
fn queues(spool: &Path) -> Result<Vec<PathBuf>, StartError> {
    let entries = match fs::read_dir(spool) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| StartError::of(spool, error))?,
    };
    let mut queues: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| spool::is_queue(path)).collect();
    queues.sort();
    Ok(queues)
}

/// Says what was found and what is left to do.
pub(super) fn sentence(found: &Inheritance, config: &Config) -> String {
    let mut text = format!(
        "other {} than those of the machine that was sealed (the same: {}): this is a clone of agent {}; its {} records \
         ({} bytes) are not sent and lie in {}: `agent-lite inherited`",
        names(&found.different),
        names(&found.same),
        found.agent_id.as_deref().unwrap_or("?"),
        found.records,
        found.bytes,
        inherited::of_spool(found).display(),
    );
    for id in config.workspaces.iter().filter_map(start::must_be_onboarded) {
        text.push_str(&format!("; onboard this machine: agent-lite onboard -w {id} -k KEY_FILE"));
    }
    text
}

/// Returns what an operator calls these parts.
pub fn names(parts: &[Part]) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
