//! Where records go: standard output, one line each, as text or JSON, never blocking the runtime.
//!
//! A full queue drops records and counts them; the count is a metric. journald, a container runtime
//! or a file takes it from there.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::ErrorCounter;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::events::Log;
use crate::events::LogFormat;
use crate::events::LogLevel;

/// Most records that wait to be written.
pub const LONGEST_QUEUE: usize = 65_536;

/// The writer's end of the queue. What is queued is written when this is dropped.
pub struct Writer {
    dropped: ErrorCounter,
    _guard: WorkerGuard,
}

impl Writer {
    /// Returns a counter of the records that were dropped because the queue was full.
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Sends all records of this process to standard output. Called once, first thing.
pub fn start(log: Log) -> Writer {
    let colours = std::io::stdout().is_terminal();
    let (out, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LONGEST_QUEUE)
        .finish(std::io::stdout());
    let dropped = out.error_counter();
    let (ours, others) = match log.level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::ERROR),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::ERROR),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::DEBUG),
    };
    let filter =
        Targets::new().with_target("access", ours).with_target("la_gateway", ours).with_default(others);
    let lines = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(out);
    match log.format {
        LogFormat::Json => lines.with(layer.json().flatten_event(true).with_current_span(false)).init(),
        LogFormat::Text => lines.with(layer.with_ansi(colours)).init(),
    }
    Writer { dropped, _guard: guard }
}
