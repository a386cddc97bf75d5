//! `agent-lite check`.

use std::process::ExitCode;

use agent_lite::agent::start;
use agent_lite::config::settings::Config;

use super::EX_CONFIG;

/// Reads everything a start would read, binds nothing, and says what the agent would do.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn check(config: &Config) -> anyhow::Result<ExitCode> {
    let problems = start::problems(config);
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    if !problems.is_empty() {
        return Ok(ExitCode::from(EX_CONFIG));
    }
    println!("the configuration is right");
    for proxy in &config.gateway.proxies {
        println!("gateway    {proxy}");
    }
    for workspace in &config.workspaces {
        println!("workspace  {}", workspace.name);
    }
    for source in &config.sources {
        let to = match source.workspaces.is_empty() {
            true => "every workspace".to_owned(),
            false => source.workspaces.join(", "),
        };
        println!("source     {} to {to}", source.name);
    }
    if let Some(rule) = &config.rule {
        let every = humantime::format_duration(rule.poll);
        println!("rule       {}, looked at every {every}", rule.place.shown());
    }
    Ok(ExitCode::SUCCESS)
}
