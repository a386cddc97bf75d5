//! Where the agent's own log goes: one line an event, as text or JSON, to standard error, or where there is none to a
//! file.

use std::io::IsTerminal;
#[cfg(windows)]
use std::path::Path;
#[cfg(windows)]
use std::sync::Mutex;

use agent_lite::config::settings::LogFormat;
use agent_lite::config::settings::LogLevel;
use agent_lite::config::settings::LogSettings;
#[cfg(windows)]
use common::rolling_file::Kept;
#[cfg(windows)]
use common::rolling_file::RollingFile;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How much of the log in a file is kept.
#[cfg(windows)]
const KEPT: Kept = Kept { largest: 10 * 1024 * 1024, old: 1 };

/// Sends all events of this process to standard error. Called once, first thing.
pub(super) fn start(settings: LogSettings) {
    start_with(settings, std::io::stderr, std::io::stderr().is_terminal());
}

/// Sends all events of this process to a file, which is begun anew when it is large.
#[cfg(windows)]
pub(super) fn start_in(file: &Path, settings: LogSettings) -> std::io::Result<()> {
    let file = RollingFile::open(file, KEPT)?;
    start_with(settings, Mutex::new(file), false);
    Ok(())
}

fn start_with<W>(settings: LogSettings, writer: W, in_colour: bool)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
    };
    let others = tracing_subscriber::filter::Targets::new()
        .with_target("agent_lite", level)
        .with_default(LevelFilter::ERROR);
    let lines = tracing_subscriber::registry().with(others);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    match settings.format {
        LogFormat::Json => lines.with(layer.json().flatten_event(true).with_current_span(false)).init(),
        LogFormat::Text => lines.with(layer.with_ansi(in_colour)).init(),
    }
}
