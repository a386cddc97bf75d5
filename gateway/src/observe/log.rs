//! Where records go: standard output as text or JSON, or the journal with fields of its own; never blocking
//! the runtime.
//!
//! ```text
//! event -> entry: its fields, cut -> repeats: is it written? -> form: one line or one datagram -> queue -> thread
//! ```
//!
//! A full queue drops records and counts them, as does a journal that takes none; the count is a metric, and told
//! in a record once there is room again.

mod entry;
mod form;
#[cfg_attr(windows, path = "log/no_journal.rs")]
mod journal;
mod layer;
mod queue;

use std::io;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use common::rolling_file::Kept;
use common::rolling_file::RollingFile;
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::form::Form;
use self::journal::Journal;
use self::journal::leads_to_the_journal;
use self::layer::Records;
use self::layer::tell_repeats;
pub use self::queue::LONGEST_QUEUE;
pub use self::queue::MOST_WAITING;
use self::queue::Queue;
use self::queue::Unit;
use self::queue::Writing;
use crate::events;
use crate::events::Log;
use crate::events::LogFormat;
use crate::events::LogLevel;
use crate::observe::repeats::Repeats;
use crate::system;

/// An opened place for records. [`open`] makes one before the sandbox closes.
pub struct Output {
    form: Form,
    journal: Option<Journal>,
    /// A file in the place of standard output.
    file: Option<RollingFile>,
    /// Why the journal is not written to, although it should be.
    missing: Option<String>,
}

/// The writer's end of the queue. What is queued is written when this is dropped.
pub struct Writer {
    dropped: Dropped,
    _guard: Writing,
}

/// Counts the records that were dropped: the queue was full, or the journal took none.
#[derive(Clone)]
pub struct Dropped {
    queue: Queue,
    unsent: Arc<AtomicU64>,
}

impl Dropped {
    /// Returns how many there are.
    pub fn total(&self) -> u64 {
        self.queue.dropped().saturating_add(self.unsent.load(Ordering::Relaxed))
    }
}

/// What is dropped by this process, and how much of it was told.
static DROPPED: OnceLock<(Dropped, AtomicU64)> = OnceLock::new();

/// Tells what was not written and not told yet: records that were too many alike, and those that were dropped.
/// Called every now and then.
pub fn tell_unwritten(repeats: &Repeats) {
    tell_repeats(repeats);
    let Some((dropped, told)) = DROPPED.get() else { return };
    let total = dropped.total();
    if let new @ 1.. = total.saturating_sub(told.swap(total, Ordering::Relaxed)) {
        warn!(
            event_id = events::REPEATS.0,
            dropped = new,
            "records were not written: nobody took them as fast as they came; look at what reads them"
        );
    }
}

impl Writer {
    /// Returns a counter of the records that were dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }
}

impl Output {
    fn new(form: Form) -> Self {
        Self { form, journal: None, file: None, missing: None }
    }
}

/// Opens a file where records go that is begun anew when it is large: JSON, unless text is asked for.
pub fn open_in(file: &Path, kept: Kept, format: LogFormat) -> io::Result<Output> {
    let form = match format {
        LogFormat::Text => Form::Text { colours: false },
        LogFormat::Auto | LogFormat::Json | LogFormat::Journald => Form::Json,
    };
    Ok(Output { file: Some(RollingFile::open(file, kept)?), ..Output::new(form) })
}

/// Opens the place where records go. Nothing is written yet.
pub fn open(log: &Log) -> Output {
    let text = || Form::Text { colours: io::stdout().is_terminal() };
    let wanted = match log.format {
        LogFormat::Text => return Output::new(text()),
        LogFormat::Json => return Output::new(Form::Json),
        LogFormat::Journald => true,
        LogFormat::Auto => leads_to_the_journal(std::env::var_os("JOURNAL_STREAM").as_deref()),
    };
    if !wanted {
        return Output::new(text());
    }
    match Journal::connect(&log.journal_socket) {
        Ok(journal) => Output { journal: Some(journal), ..Output::new(Form::Journal) },
        Err(error) => {
            let missing = format!("{}: {error}", log.journal_socket.display());
            Output { missing: Some(missing), ..Output::new(Form::Prefixed) }
        }
    }
}

/// Sends all records of this process to an opened place. Called once, first thing behind the sandbox.
pub fn start(level: LogLevel, output: Output) -> io::Result<Writer> {
    let unsent = Arc::default();
    let (out, guard) = match (output.journal, output.file) {
        (Some(journal), _) => Queue::start(journal.counting(Arc::clone(&unsent)), Unit::Record)?,
        (None, Some(file)) => Queue::start(file, Unit::Lines)?,
        (None, None) => Queue::start(system::standard_output()?, Unit::Lines)?,
    };
    let dropped = Dropped { queue: out.clone(), unsent };
    // Set once: there is one writer.
    let _ = DROPPED.set((dropped.clone(), AtomicU64::new(0)));
    let (ours, others) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::ERROR),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::ERROR),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::DEBUG),
    };
    let filter =
        Targets::new().with_target("access", ours).with_target("la_gateway", ours).with_default(others);
    tracing_subscriber::registry().with(filter).with(Records::new(output.form, out)).init();
    if let Some(missing) = output.missing {
        warn!(
            event_id = events::INFORMATION.0,
            "records go to standard output: the journal cannot be written to ({missing}); mend `[log] journal_socket`"
        );
    }
    Ok(Writer { dropped, _guard: guard })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_is_not_there_leaves_text_with_priorities_and_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal_socket = folder.path().join("socket");
        let output = open(&Log { format: LogFormat::Journald, level: LogLevel::Info, journal_socket });
        assert_eq!(output.form, Form::Prefixed);
        assert!(output.missing.is_some_and(|why| why.contains("socket: ")));
    }
}
