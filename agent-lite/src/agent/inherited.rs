//! What another machine left in a clone's folders: it is not sent, and waits for a person.

use std::fs;
use std::io;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use super::StartError;
use super::seal::Inheritance;
use super::start;
use crate::config::settings::Config;
use crate::durable;
use crate::events::Event;
use crate::events::say;
use crate::spool;
use crate::system;
use crate::upload::identity::read_file;
use crate::upload::identity::rename_file;

/// The file that says what it is.
pub(super) const NOTE: &str = "note.json";
/// In the state folder.
pub(super) const IN_STATE: &str = "inherited";
/// In the folder of the queues, where no workspace's name begins with a point.
pub(super) const IN_SPOOL: &str = ".inherited";
/// Most that are kept; of more, an image of a clone's clone, empty ones go first and then the oldest, never the newest.
const MOST: usize = 2;

/// Whether the identity is taken back, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeBack {
    /// The records only: they are sent as this machine's agent.
    Queues,
    /// All: this is the machine that was sealed, whatever its parts say.
    QueuesAndIdentity,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Records that are sent by this machine now.
    pub records: u64,
    /// Whether nothing is left of them.
    pub all: bool,
}

pub(super) fn of_state(state: &Path, one: &Inheritance) -> PathBuf {
    state.join(IN_STATE).join(&one.folder)
}

/// Returns the folder of its queues.
pub fn place(one: &Inheritance) -> PathBuf {
    of_spool(one)
}

pub(super) fn of_spool(one: &Inheritance) -> PathBuf {
    one.spool.join(IN_SPOOL).join(&one.folder)
}

/// Returns what lies in a state folder, the oldest first. What cannot be read is left out.
pub fn list(state: &Path) -> Vec<Inheritance> {
    let Ok(entries) = fs::read_dir(state.join(IN_STATE)) else { return Vec::new() };
    let note = |entry: fs::DirEntry| {
        let text = read_file(&entry.path().join(NOTE)).ok()??;
        let one: Inheritance = serde_json::from_str(&text).ok()?;
        // The name leads to what is removed: it is this folder's, whatever the note says.
        (*one.folder == *entry.file_name()).then_some(one)
    };
    let mut all: Vec<Inheritance> = entries.flatten().filter_map(note).collect();
    all.sort_by(|a, b| a.folder.cmp(&b.folder));
    all
}

/// Takes the newest back. No agent may run with the folder.
pub fn take_back(config: &Config, what: TakeBack) -> Result<Moved, StartError> {
    let _lock = start::lock(&config.state)?;
    let Some(newest) = list(&config.state).pop() else {
        return Err(StartError::Config("nothing is inherited here".to_owned()));
    };
    check(config, &newest)?;
    let of_state = of_state(&config.state, &newest);
    ["identity", "agent-id"].iter().try_for_each(|name| is_ours(&config.state, &of_state.join(name)))?;
    let mut moved = Moved { records: 0, all: true };
    let kept = of_spool(&newest);
    let queues = folders(&kept)?;
    queues.iter().try_for_each(|queue| is_ours(&config.state, queue))?;
    for entry in queues {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(workspace) = config.workspaces.iter().find(|workspace| workspace.name == name) else {
            moved.all = false;
            continue;
        };
        let into = config.spool.folder.join(&name);
        let contents = |queue: &Path| spool::contents(queue).map_err(|error| StartError::of(queue, error));
        let together = contents(&entry)?.bytes + contents(&into)?.bytes;
        if together > workspace.cap {
            return Err(StartError::Config(format!(
                "[workspace.{name}] `cap` is less than the {together} bytes that both queues have together: raise it first"
            )));
        }
        moved.records += spool::take_over(&entry, &into)?.records;
    }
    if what == TakeBack::QueuesAndIdentity {
        take_identity(&config.state, &newest)?;
    }
    if moved.all {
        remove(&config.state, &newest)?;
    }
    Ok(moved)
}

/// Puts GUID and certificates back in the place of this machine's. The seal is this machine's already.
fn take_identity(state: &Path, one: &Inheritance) -> Result<(), StartError> {
    let kept = of_state(state, one);
    for name in ["identity", "agent-id"] {
        let (from, to) = (kept.join(name), state.join(name));
        if !from.exists() {
            continue;
        }
        if to.is_dir() {
            durable::remove_folder(&to).map_err(|error| StartError::of(&to, error))?;
        }
        rename_file(&from, &to)?;
    }
    Ok(())
}

/// Removes all that was inherited, for good. No agent may run with the folder.
pub fn discard(config: &Config) -> Result<Vec<Inheritance>, StartError> {
    let _lock = start::lock(&config.state)?;
    let all = list(&config.state);
    all.iter().try_for_each(|one| check(config, one))?;
    all.iter().try_for_each(|one| remove(&config.state, one))?;
    Ok(all)
}

/// Removes what is too much, and says so. What cannot be removed stays, and stops no start.
pub(super) fn keep_the_newest(config: &Config) {
    let mut all = list(&config.state);
    let surplus = all.len().saturating_sub(MOST);
    all.pop();
    // The oldest stand first, and go on doing so.
    all.sort_by_key(|one| !is_empty(one));
    for one in all.iter().take(surplus) {
        let detail = format!(
            "{} records of agent {}, found {}; {MOST} are kept",
            one.records,
            one.agent_id.as_deref().unwrap_or("?"),
            one.found
        );
        match check(config, one).and_then(|()| remove(&config.state, one)) {
            Ok(()) => say(Event::InheritedRemoved, "agent", detail),
            Err(error) => say(Event::InheritedLeft, "agent", format_args!("{detail}: {error}")),
        }
    }
}

/// Returns whether nothing of it can be sent. Its note may be older than what lies there.
fn is_empty(one: &Inheritance) -> bool {
    let nothing = |queue: &PathBuf| spool::contents(queue).is_ok_and(|contents| contents.bytes == 0);
    folders(&of_spool(one)).is_ok_and(|queues| queues.iter().all(nothing))
}

/// Refuses a note that leads elsewhere than to folders of this agent: what it names is moved, sent and removed.
pub(super) fn check(config: &Config, one: &Inheritance) -> Result<(), StartError> {
    let name: Vec<Component<'_>> = Path::new(&one.folder).components().collect();
    if !matches!(name.as_slice(), [Component::Normal(only)] if only.to_str() == Some(&one.folder)) {
        return Err(StartError::Config(format!(
            "`{}` is no name of a folder of what was inherited",
            one.folder
        )));
    }
    if real(&one.spool) != real(&config.spool.folder) {
        return Err(StartError::Config(format!(
            "what was inherited {} has its queues in {}, but [spool] `folder` is {}: name that folder there, or move \
             `{IN_SPOOL}/{}` to where it is now and correct `spool` in the note",
            one.found,
            one.spool.display(),
            config.spool.folder.display(),
            one.folder
        )));
    }
    for folder in [of_spool(one), of_state(&config.state, one)] {
        if folder.parent().is_some_and(Path::is_symlink) {
            return Err(StartError::of(&folder, io::Error::other("it lies behind a link")));
        }
        is_ours(&config.state, &folder)?;
    }
    is_ours(&config.state, &of_state(&config.state, one).join(NOTE))
}

/// Refuses a link, and what another user than the state folder's has put there; what is not there is nobody's.
pub(super) fn is_ours(state: &Path, path: &Path) -> Result<(), StartError> {
    let failed = |error| StartError::of(path, error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(found) if found.is_symlink() => Err(failed(io::Error::other("it is a link"))),
        Ok(_) if system::belongs_alike(path, state).map_err(failed)? => Ok(()),
        Ok(_) => Err(failed(io::Error::other("it belongs to another user than the state folder"))),
    }
}

fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.canonicalize().unwrap_or(path)
}

/// The note goes last: what an interruption leaves is listed and can be removed again.
fn remove(state: &Path, one: &Inheritance) -> Result<(), StartError> {
    for folder in [of_spool(one), of_state(state, one)] {
        durable::remove_folder(&folder).map_err(|error| StartError::of(&folder, error))?;
        // Whoever holds the last one of them is empty now.
        if let Some(parent) = folder.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
    Ok(())
}

/// Returns the folders in a folder. A link is none, and must not be taken for nothing.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, StartError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| StartError::of(folder, error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| StartError::of(folder, error))?.path();
        if path.is_symlink() {
            let why = io::Error::other("it is a link: put the folder that it leads to in its place");
            return Err(StartError::of(&path, why));
        }
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
