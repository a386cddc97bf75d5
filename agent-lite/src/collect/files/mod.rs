//! Custom text logs: files that patterns find, read on as they grow, over every kind of rotation.
//!
//! A **content** is known by its head (at most 1 KiB, hashed with its length) and the 64 bytes before the
//! position, a **file** by device and inode. Nothing of a file is kept but a position: what is no whole record
//! is read again, so that a restart is nothing special. A position moves when the queue has the record.
//! Renamed: the inode says so, or the open handle, read until it was quiet for five seconds. Truncated: size,
//! head or the 64 bytes say so; what was not read is looked for in a copy beside it. A copy, compressed or not,
//! goes on where its content was left. `docs` of [`run`] has the limits.

mod entry;
mod fence;
mod identity;
mod inflate;
#[cfg_attr(windows, path = "links/windows.rs")]
pub(super) mod links;
mod positions;
mod progress;
mod reader;
pub(super) mod scan;
mod sort;
pub(super) mod troubles;
mod turn;
mod w3c;
mod walk;
#[cfg_attr(windows, path = "watch/windows.rs")]
mod watch;

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use jiff::tz::TimeZone;
use tokio::time;
use tokio_util::sync::CancellationToken;

#[cfg(fuzzing)]
pub use self::inflate::inflate_whole;
use self::positions::Loaded;
use self::positions::Positions;
use self::reader::AGAIN;
use self::reader::First;
use self::reader::Reader;
use self::watch::LONGEST_SLEEP;
use self::watch::Watch;
use crate::collect::inlet::Inlet;
use crate::config::settings::Encoding;
use crate::config::settings::FilesSettings;
use crate::config::settings::ReadFrom;
use crate::config::settings::RecordStart;
use crate::config::settings::TimeForm;
use crate::events::Event;
use crate::events::say;
use crate::parse::lines::Rules;
use crate::parse::lines::Units;
use crate::parse::timestamps::Form;
use crate::record::Frames;

/// How long writes are gathered before files are read again.
const GATHER: Duration = Duration::from_millis(200);
/// How long the reader sleeps after it has read something, unless inotify wakes it; doubled until the next look.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long it sleeps while a file or record waits for its end.
const PENDING: Duration = Duration::from_millis(500);
/// How long positions that cannot be read are waited for before they are tried again.
const AGAIN_LATER: Duration = Duration::from_secs(10);
/// How long a round that is under way may take when the source is stopped.
const STOPPING: Duration = Duration::from_secs(3);

/// What a source has besides its settings.
#[derive(Clone, Debug)]
pub struct Context {
    /// The state folder; positions lie in `positions/` below.
    pub state: PathBuf,
    /// The source's name.
    pub source: String,
}

/// Reads files until it is stopped.
///
/// Limits: a file that appears and goes between two looks, and out of its folder, is not seen. Lines written
/// between the copy and the truncation of copytruncate are lost by that scheme itself. A content that was
/// truncated and whose copy is in another folder, outside the patterns, has lost what was not read.
pub async fn run(settings: FilesSettings, context: Context, inlet: Inlet, stop: CancellationToken) {
    let Some(mut reader) = stop.run_until_cancelled(open(settings, &context, inlet)).await else { return };
    let mut watch = Watch::new().inspect_err(|error| reader.no_hints(error)).ok();
    let mut sleep = SHORTEST;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let round = async {
            stop.cancelled().await;
            time::sleep(STOPPING).await;
        };
        let read = tokio::select! {
            read = reader.pass(&stop) => read,
            () = round => return,
        };
        if let Some(open) = &mut watch
            && let Err(error) = reader.arm(open)
        {
            reader.no_hints(&error);
            watch = None;
        }
        sleep = if read {
            SHORTEST
        } else {
            (sleep * 2).min(reader.settings.look.max(GATHER)).min(LONGEST_SLEEP)
        };
        let wanted =
            if reader.is_pending() { PENDING.min(reader.settings.flush_after).max(GATHER) } else { sleep };
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(wanted) => {}
            () = reader.hints(&mut watch) => {
                sleep = SHORTEST;
                // A file that appeared may be gone soon.
                let gather = if reader.looked.is_none() { GATHER / 10 } else { GATHER };
                time::sleep(gather.saturating_sub(begun.elapsed())).await;
            }
        }
    }
}

async fn open(settings: FilesSettings, context: &Context, inlet: Inlet) -> Reader {
    let positions = Positions::new(&context.state, &context.source);
    let loaded = loop {
        match positions.load(Instant::now()) {
            Ok(loaded) => break loaded,
            Err(error) => {
                let text = format!("positions cannot be read, nothing is read until they can: {error}");
                say(Event::SourceFailed, &context.source, text);
                time::sleep(AGAIN_LATER).await;
            }
        }
    };
    let (entries, first) = match loaded {
        Loaded::Known(entries) => (entries, First::Known),
        Loaded::New if settings.from == ReadFrom::End => (Vec::new(), First::End),
        Loaded::New => (Vec::new(), First::Known),
        Loaded::Damaged(what) => {
            let text = format!("{what}; of every file the last {AGAIN} bytes are read again");
            say(Event::SourceTrouble, &context.source, text);
            (Vec::new(), First::Again)
        }
    };
    Reader {
        rules: rules(&settings),
        w3c: match (settings.record, settings.encoding) {
            (RecordStart::W3cLine, Encoding::CodePage(page)) => Some(page),
            (RecordStart::W3cLine, _) => Some(encoding_rs::UTF_8),
            (RecordStart::NewLine | RecordStart::Time(_), _) => None,
        },
        settings,
        source: context.source.clone(),
        zone: TimeZone::system(),
        inlet,
        positions,
        next_key: entries.len() as u64,
        entries,
        first,
        looked: None,
        folders: Vec::new(),
        troubles: troubles::Troubles::default(),
        progress: progress::Progress::default(),
        frames: Frames::default(),
        buffer: Vec::new(),
        saved: None,
        look_is_quick: false,
        save_failed: false,
        turned: 0,
    }
}

fn rules(settings: &FilesSettings) -> Rules {
    let units = match settings.encoding {
        Encoding::Utf8 | Encoding::CodePage(_) => Units::Utf8,
        Encoding::Utf16Le => Units::Utf16Le,
        Encoding::Utf16Be => Units::Utf16Be,
    };
    let start = match settings.record {
        RecordStart::NewLine | RecordStart::W3cLine => None,
        RecordStart::Time(form) => Some(match form {
            TimeForm::YearFirst => Form::YearFirst,
            TimeForm::MonthFirst => Form::MonthFirst,
            TimeForm::MonthName => Form::MonthName,
            TimeForm::Short => Form::Short,
            TimeForm::ShortDayFirst => Form::ShortDayFirst,
            TimeForm::Syslog => Form::Syslog,
            TimeForm::WebServer => Form::WebServer,
            TimeForm::Iso8601 => Form::Iso8601,
        }),
    };
    Rules { units, start }
}

impl Reader {
    /// Looks, sorts and reads until nothing more is there. Returns whether anything was read.
    async fn pass(&mut self, stop: &CancellationToken) -> bool {
        let due = |looked: Instant| looked.elapsed() >= self.settings.look;
        if self.looked.is_none_or(due) || self.glance(Instant::now()) {
            self.look().await;
            self.glance(Instant::now());
        }
        self.sort(Instant::now());
        let mut read = false;
        loop {
            let more = self.collect(Instant::now());
            read |= !self.frames.is_empty();
            self.tidy(Instant::now());
            self.settle().await;
            if !more || stop.is_cancelled() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !read {
            self.buffer = Vec::new();
            self.frames.shrink(0);
        }
        read
    }

    /// Returns whether something waits for time to pass.
    fn is_pending(&self) -> bool {
        self.entries.iter().any(|entry| {
            let rest = !entry.over && entry.read_to.is_some_and(|size| size > entry.position);
            let rest = rest && self.flushes(entry);
            let unsorted = !entry.sorted && entry.size > 0;
            entry.is_live() && (rest || unsorted || (entry.is_ending() && !entry.over))
        })
    }

    /// Watches folders and quiet files.
    fn arm(&mut self, watch: &mut Watch) -> std::io::Result<()> {
        watch.folders(&self.folders)?;
        for entry in &mut self.entries {
            if let (Some(place), Some(_), false) = (&entry.place, &entry.handle, entry.armed) {
                match watch.file(place, entry.key) {
                    Ok(()) => entry.armed = true,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    async fn hints(&mut self, watch: &mut Option<Watch>) {
        let Some(open) = watch else { return std::future::pending().await };
        match open.hints().await {
            Ok(hints) => {
                if hints.folders {
                    self.looked = None;
                }
                for entry in self.entries.iter_mut().filter(|entry| hints.files.contains(&entry.key)) {
                    entry.armed = false;
                }
            }
            Err(error) => {
                self.no_hints(&error);
                *watch = None;
            }
        }
    }

    fn no_hints(&self, error: &std::io::Error) {
        let text = format!("inotify is not to be had ({error}), files are looked at by time alone");
        say(Event::SourceTrouble, &self.source, text);
    }
}
