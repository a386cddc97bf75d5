//! Files of Windows' event logs (`.evtx`), carried over from machines that cannot run an agent.
//!
//! A file is read when two looks saw it with the same size and time: a copy under way is not. Its events go on in
//! the order of their log. What was read last is remembered as a `mark::Mark`: the last events' numbers and times.
//! A file that has these events, whatever its name, is the same log and is read on behind them; one that has them
//! not is another log and is read from its beginning. A mark moves when the queues have the events on their disks.

mod import;
mod mark;
mod positions;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use bytesize::ByteSize;
use tokio::sync::mpsc;
use tokio::task;
use tokio::time;
use tokio_util::sync::CancellationToken;

use self::import::Batch;
use self::import::Import;
#[cfg(fuzzing)]
pub use self::import::read_whole;
use self::positions::Known;
use self::positions::Positions;
use super::apart::apart;
use super::files::links;
use super::files::scan;
use super::files::scan::Found;
use super::files::scan::Rolled;
use super::files::troubles::Troubles;
use crate::collect::inlet::Inlet;
use crate::config::settings::EvtxSettings;
use crate::counters::Loss;
use crate::events::Event;
use crate::events::say;
use crate::record::Table;

/// Most batches that are read ahead of the queues.
const AHEAD: usize = 2;
/// How long a file that was seen for the first time, or that changed, is given before it is looked at again.
const SETTLES: Duration = Duration::from_secs(2);
/// How long positions that cannot be read or written are waited for.
const AGAIN_LATER: Duration = Duration::from_secs(10);

/// What a source has besides its settings.
#[derive(Clone, Debug)]
pub struct Context {
    /// The state folder; positions lie in `positions/` below.
    pub state: PathBuf,
    /// The source's name.
    pub source: String,
}

/// Reads files until it is stopped.
pub async fn run(settings: EvtxSettings, context: Context, inlet: Inlet, stop: CancellationToken) {
    let work = async {
        let mut importer = Importer::open(settings, context, inlet).await;
        loop {
            let wait = importer.pass().await;
            time::sleep(wait).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Size and time of a file, as they were seen.
type Face = (u64, SystemTime);

struct Importer {
    settings: EvtxSettings,
    source: String,
    inlet: Inlet,
    positions: Positions,
    known: Vec<Known>,
    /// How the files looked the last time.
    faces: HashMap<PathBuf, Face>,
    /// Files that cannot be read as they are now.
    refused: HashMap<PathBuf, Face>,
    troubles: Troubles,
    save_failed: bool,
}

impl Importer {
    async fn open(settings: EvtxSettings, context: Context, inlet: Inlet) -> Self {
        let positions = Positions::new(&context.state, &context.source);
        let source = context.source;
        let mut said = false;
        let known = loop {
            match positions.load() {
                Ok((known, None)) => break known,
                Ok((known, Some(damage))) => {
                    say(
                        Event::SourceTrouble,
                        &source,
                        format_args!("{damage}; files are read from the beginning"),
                    );
                    break known;
                }
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        say(
                            Event::SourceFailed,
                            &source,
                            format_args!("its positions cannot be read: {error}"),
                        );
                    }
                    time::sleep(AGAIN_LATER).await;
                }
            }
        };
        inlet.tally().notes.clear();
        Self {
            settings,
            source,
            inlet,
            positions,
            known,
            faces: HashMap::new(),
            refused: HashMap::new(),
            troubles: Troubles::default(),
            save_failed: false,
        }
    }

    /// Looks at the folders and reads what is new; returns when to look again.
    async fn pass(&mut self) -> Duration {
        let patterns = self.settings.paths.clone();
        let seen = task::spawn_blocking(move || scan::scan(&patterns, &[], Rolled::Beside))
            .await
            .unwrap_or_default();
        self.troubles.look(&self.source, &self.inlet.tally().losses, seen.troubles);
        let before = std::mem::take(&mut self.faces);
        self.faces = seen.files.iter().map(|found| (found.path.clone(), face(found))).collect();
        self.refused.retain(|path, face| self.faces.get(path) == Some(face));
        let mut settled = true;
        let mut ready = Vec::new();
        for found in seen.files {
            if self.is_read(&found) || self.refused.contains_key(&found.path) {
                continue;
            }
            match before.get(&found.path) == Some(&face(&found)) {
                true => ready.push(found),
                false => settled = false,
            }
        }
        let waiting = ready.len();
        for (at, found) in ready.into_iter().enumerate() {
            self.import(&found, waiting - at - 1).await;
        }
        if settled { self.settings.look } else { self.settings.look.min(SETTLES) }
    }

    /// Returns whether a file was read to its end, as it is.
    fn is_read(&self, found: &Found) -> bool {
        self.known.iter().any(|known| known.is_read(&found.path, found.size, found.changed))
    }

    async fn import(&mut self, found: &Found, waiting: usize) {
        let path = found.path.clone();
        let shown = path.display().to_string();
        if found.size > self.settings.largest {
            let (size, most) = (ByteSize::b(found.size), ByteSize::b(self.settings.largest));
            return self.refuse(found, format_args!("its {size} are more than `largest`, which is {most}"));
        }
        let file = match task::spawn_blocking(move || links::open(&path)).await {
            Ok(Ok((file, _))) => file,
            Ok(Err(error)) => return self.refuse(found, error),
            Err(_) => return,
        };
        let marks = self.known.iter().map(|known| known.mark.clone()).collect();
        let (sender, receiver) = mpsc::channel(AHEAD);
        let size = found.size;
        let reading = match apart("evtx", move || Import::new(marks, size, sender).read(file)) {
            Ok(reading) => reading,
            Err(error) => return self.refuse(found, error),
        };
        self.take(found, &shown, waiting, receiver).await;
        match reading.await {
            Ok(Ok(())) => {
                self.troubles.well(&shown);
                self.finish(found).await;
            }
            Ok(Err(error)) => self.refuse(found, error),
            // The reader stands behind a wall of its own; this is a mistake in agent-lite.
            Err(_) => self.refuse(found, "the reader of event log files broke off"),
        }
        self.inlet.tally().notes.take_back(&shown);
    }

    async fn take(&mut self, found: &Found, shown: &str, waiting: usize, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            let delivery = self.inlet.deliver(&Table::Event, &batch.frames).await;
            self.inlet.durable(&delivery).await;
            let losses = &self.inlet.tally().losses;
            losses.add(Loss::Damaged, batch.damaged);
            losses.add(Loss::Unparsed, batch.unparsed);
            self.inlet.tally().notes.say(
                shown,
                format!(
                    "{} of {} read, {} events{}",
                    ByteSize::b(batch.read),
                    ByteSize::b(found.size),
                    batch.events,
                    if waiting > 0 { format!("; {waiting} more files wait") } else { String::new() }
                ),
            );
            let known = Known::new(found.path.clone(), batch.mark);
            positions::put(&mut self.known, known);
            self.save().await;
        }
    }

    /// A file was read to its end.
    async fn finish(&mut self, found: &Found) {
        if let Some(known) = self.known.iter_mut().find(|known| known.path == found.path) {
            known.read = Some((found.size, positions::nanoseconds(found.changed)));
        } else {
            let mut known = Known::new(found.path.clone(), mark::Mark::default());
            known.read = Some((found.size, positions::nanoseconds(found.changed)));
            positions::put(&mut self.known, known);
        }
        let there: HashSet<&Path> = self.faces.keys().map(PathBuf::as_path).collect();
        positions::forget(&mut self.known, &there);
        self.save().await;
    }

    fn refuse(&mut self, found: &Found, why: impl std::fmt::Display) {
        self.refused.insert(found.path.clone(), face(found));
        let losses = &self.inlet.tally().losses;
        self.troubles.meet(&self.source, losses, &found.path.display().to_string(), why);
    }

    /// Writes the positions down. While that fails, a restart would read events again; nothing is lost.
    async fn save(&mut self) {
        let (positions, image) = (self.positions.clone(), Positions::image(&self.known));
        let saved = task::spawn_blocking(move || positions.save(&image)).await;
        match saved {
            Ok(Ok(())) => self.save_failed = false,
            Ok(Err(error)) if !std::mem::replace(&mut self.save_failed, true) => {
                say(
                    Event::SourceFailed,
                    &self.source,
                    format_args!("its positions cannot be written: {error}"),
                );
            }
            _ => {}
        }
    }
}

fn face(found: &Found) -> Face {
    (found.size, found.changed)
}
