//! Where the agent's own log goes: standard error, one line an event, as text or JSON.

use std::io::IsTerminal;

use agent_lite::config::settings::LogFormat;
use agent_lite::config::settings::LogLevel;
use agent_lite::config::settings::LogSettings;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sends all events of this process to standard error. Called once, first thing.
pub(super) fn start(settings: LogSettings) {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
    };
    let others = tracing_subscriber::filter::Targets::new()
        .with_target("agent_lite", level)
        .with_default(LevelFilter::ERROR);
    let lines = tracing_subscriber::registry().with(others);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    match settings.format {
        LogFormat::Json => lines.with(layer.json().flatten_event(true).with_current_span(false)).init(),
        LogFormat::Text => lines.with(layer.with_ansi(std::io::stderr().is_terminal())).init(),
    }
}
