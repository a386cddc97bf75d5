//! `la-gateway run`.

use std::process::ExitCode;

use anyhow::Context;
use la_gateway::config::Config;
use la_gateway::events;
use la_gateway::gateway::Gateway;
use la_gateway::gateway::StartError;
use la_gateway::observe::log;
use la_gateway::policy::destinations::Mode;
use la_gateway::sandbox;
use la_gateway::sandbox::Openings;
use la_gateway::sandbox::RulesetError;
use la_gateway::sandbox::Sandbox;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use super::EX_CONFIG;
use super::count;

/// Runs the gateway until it is told to stop.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    let openings = Openings::of(&config);
    let sandbox = config.sandbox.then(|| sandbox::close(&openings));
    let in_force = sandbox.as_ref().and_then(|closed| closed.as_ref().ok()).copied();
    let writer = log::start(config.log);
    say(sandbox);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        // Before anything says that the gateway is there: who is told may end it at once.
        let mut terminate = signal(SignalKind::terminate()).context("cannot receive signals")?;
        let mut hang_up = signal(SignalKind::hangup()).context("cannot receive signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot receive signals")?;
        let gateway = match Gateway::bind(&config, Some(writer.dropped())) {
            Ok(gateway) => gateway,
            Err(error) => return Ok(not_started(&error)),
        };
        let reloader = gateway.reloader();
        if let Some(sandbox) = in_force {
            reloader.is_confined(openings, sandbox);
        }
        // Apart, so that a reload never keeps a signal to end waiting.
        let reloading = tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                reloader.reload("SIGHUP").await;
            }
        });
        info!(event_id = events::POLICY.0, "policy: {}", policy(&config));
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let mut running = std::pin::pin!(gateway.run(stop.clone(), cut.clone()));
        loop {
            tokio::select! {
                _ = &mut running => {
                    reloading.abort();
                    return Ok(ExitCode::SUCCESS);
                }
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // The first signal drains, the second cuts.
            if stop.is_cancelled() {
                cut.cancel();
            }
            stop.cancel();
        }
    })
}

fn say(sandbox: Option<Result<Sandbox, RulesetError>>) {
    let id = events::SANDBOX.0;
    match sandbox {
        Some(Ok(Sandbox::Full)) => {
            info!(event_id = id, "sandbox: in force (files read-only, TCP to few ports)")
        }
        Some(Ok(Sandbox::Partial)) => {
            warn!(event_id = id, "sandbox: in part; this kernel cannot limit TCP (Linux 6.7 can)");
        }
        Some(Ok(Sandbox::Absent)) => warn!(event_id = id, "sandbox: none; this kernel has no Landlock"),
        Some(Err(error)) => warn!(event_id = id, "sandbox: none; {error}"),
        None => info!(event_id = id, "sandbox: off in the configuration"),
    }
}

fn not_started(error: &StartError) -> ExitCode {
    error!(event_id = events::CONFIGURATION.0, "not started: {error}");
    eprintln!("la-gateway: {error}");
    match error {
        StartError::Tls(_) | StartError::Relay(_) | StartError::Resolver(_) => ExitCode::from(EX_CONFIG),
        StartError::Listen { .. }
        | StartError::Interfaces(_)
        | StartError::Random(_)
        | StartError::Metrics(_) => ExitCode::FAILURE,
    }
}

/// Says in one line who may go where.
pub(super) fn policy(config: &Config) -> String {
    let roles = config.roles.all.iter().map(|summary| {
        let mut who: Vec<String> = summary.anonymous_from.iter().map(ToString::to_string).collect();
        if summary.users > 0 {
            who.push(count(summary.users, "user"));
        }
        if summary.certificates > 0 {
            who.push(count(summary.certificates, "certificate"));
        }
        format!(
            "role {} ({}) may reach {} in {}: {}",
            summary.role.name,
            if who.is_empty() { "nobody".to_owned() } else { who.join(", ") },
            if summary.bundles.is_empty() { "no bundle".to_owned() } else { summary.bundles.join(", ") },
            summary.cloud,
            match summary.mode() {
                Mode::Enforce => count(summary.role.destinations.rules(), "host rule"),
                Mode::Report =>
                    format!("{}, report mode", count(summary.role.destinations.rules(), "host rule")),
            },
        )
    });
    let source =
        config.file.as_ref().map_or("built-in default".to_owned(), |file| file.display().to_string());
    format!("{}; port 443 only ({source})", roles.collect::<Vec<_>>().join("; "))
}
