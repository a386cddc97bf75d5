//! `agent-lite doctor`.

use std::process::ExitCode;

use agent_lite::agent::doctor;
use agent_lite::agent::doctor::Finding;
use agent_lite::collect::machine::Machine;
use agent_lite::config::settings::Config;
use anyhow::Context;

use super::runtime;

/// Walks every leg. The exit code is 0 when all serve, else 1.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn doctor(config: &Config, machine: &Machine) -> anyhow::Result<ExitCode> {
    let runtime = runtime().context("cannot start")?;
    let mut failed = 0;
    runtime.block_on(doctor::walk(config, machine, |leg, finding| match finding {
        Finding::Good(what) => println!("ok    {leg}: {what}"),
        Finding::Bad(what) => {
            failed += 1;
            println!("FAIL  {leg}: {what}");
        }
        Finding::Skipped(why) => println!("-     {leg}: {why}"),
    }));
    println!(
        "{}",
        if failed == 0 { "every leg serves".to_owned() } else { format!("legs that fail: {failed}") }
    );
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
