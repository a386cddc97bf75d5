//! Where records go: standard output as text or JSON, or the journal with fields of its own; never blocking
//! the runtime.
//!
//! ```text
//! event -> repeats: is it written? -> entry: its fields, cut -> form: one line or one datagram -> queue -> thread
//! ```
//!
//! A full queue drops records and counts them, as does a journal that takes none; the count is a metric.

mod entry;
mod journal;
mod layer;

use std::ffi::OsStr;
use std::io;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_appender::non_blocking::ErrorCounter;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::entry::Form;
use self::journal::Journal;
use self::layer::Records;
pub use self::layer::tell_suppressed;
use crate::events;
use crate::events::Log;
use crate::events::LogFormat;
use crate::events::LogLevel;

/// Most records that wait to be written.
pub const LONGEST_QUEUE: usize = 65_536;

/// An opened place for records. [`open`] makes one before the sandbox closes.
pub struct Output {
    form: Form,
    journal: Option<Journal>,
    /// Why the journal is not written to, although it should be.
    missing: Option<String>,
}

/// The writer's end of the queue. What is queued is written when this is dropped.
pub struct Writer {
    dropped: Dropped,
    _guard: WorkerGuard,
}

/// Counts the records that were dropped: the queue was full, or the journal took none.
#[derive(Clone)]
pub struct Dropped {
    queue: ErrorCounter,
    unsent: Arc<AtomicU64>,
}

impl Dropped {
    /// Returns how many there are.
    pub fn total(&self) -> u64 {
        let queue = u64::try_from(self.queue.dropped_lines()).unwrap_or(u64::MAX);
        queue.saturating_add(self.unsent.load(Ordering::Relaxed))
    }
}

impl Writer {
    /// Returns a counter of the records that were dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }
}

/// Opens the place where records go. Nothing is written yet.
pub fn open(log: &Log) -> Output {
    let text = || Form::Text { colours: io::stdout().is_terminal() };
    let wanted = match log.format {
        LogFormat::Text => return Output { form: text(), journal: None, missing: None },
        LogFormat::Json => return Output { form: Form::Json, journal: None, missing: None },
        LogFormat::Journald => true,
        LogFormat::Auto => leads_to_the_journal(std::env::var_os("JOURNAL_STREAM").as_deref()),
    };
    if !wanted {
        return Output { form: text(), journal: None, missing: None };
    }
    match Journal::connect(&log.journal_socket) {
        Ok(journal) => Output { form: Form::Journal, journal: Some(journal), missing: None },
        Err(error) => {
            let missing = format!("{}: {error}", log.journal_socket.display());
            Output { form: Form::Prefixed, journal: None, missing: Some(missing) }
        }
    }
}

/// Sends all records of this process to an opened place. Called once, first thing behind the sandbox.
pub fn start(level: LogLevel, output: Output) -> Writer {
    let unsent = Arc::default();
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LONGEST_QUEUE);
    let (out, guard) = match output.journal {
        Some(journal) => queue.finish(journal.counting(Arc::clone(&unsent))),
        None => queue.finish(io::stdout()),
    };
    let dropped = Dropped { queue: out.error_counter(), unsent };
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
    Writer { dropped, _guard: guard }
}

/// Says whether standard output or standard error is a stream of the journal: systemd tells device and
/// inode of its stream in `JOURNAL_STREAM`, which is inherited also by those whose output went elsewhere.
fn leads_to_the_journal(stream: Option<&OsStr>) -> bool {
    let Some(stream) = stream.and_then(OsStr::to_str) else { return false };
    is_stream(stream, io::stdout()) || is_stream(stream, io::stderr())
}

fn is_stream(stream: &str, output: impl AsFd) -> bool {
    rustix::fs::fstat(output).is_ok_and(|stat| format!("{}:{}", stat.st_dev, stat.st_ino) == stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn only_the_very_stream_that_systemd_names_counts_as_the_journal() {
        let file = File::open("/dev/null").expect("a file");
        let stat = rustix::fs::fstat(&file).expect("its numbers");
        let (device, inode) = (stat.st_dev, stat.st_ino);
        assert!(is_stream(&format!("{device}:{inode}"), &file));
        for other in [format!("{device}:{}", inode + 1), format!("{device}"), String::new(), ":".into()] {
            assert!(!is_stream(&other, &file), "{other}");
        }
        assert!(!leads_to_the_journal(None));
    }

    #[test]
    fn a_journal_that_is_not_there_leaves_text_with_priorities_and_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal_socket = folder.path().join("socket");
        let output = open(&Log { format: LogFormat::Journald, level: LogLevel::Info, journal_socket });
        assert_eq!(output.form, Form::Prefixed);
        assert!(output.missing.is_some_and(|why| why.contains("socket: ")));
    }
}
