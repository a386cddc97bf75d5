//! `la-gateway check`.

use std::process::ExitCode;

use la_gateway::config::Config;
use la_gateway::dial::resolve::Resolver;
use la_gateway::gateway::prepare;
use la_gateway::gateway::relays;
use la_gateway::policy::via::Via;

use super::EX_CONFIG;

/// Reads everything a start would read, binds nothing, and says what the policy is.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn check(config: Config) -> anyhow::Result<ExitCode> {
    let problems: Vec<String> = [
        prepare(&config).err().map(|error| error.to_string()),
        Resolver::new(&config.dns).err().map(|error| error.to_string()),
        relays(&config, Via::new(0)).err().map(|error| error.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect();
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        return Ok(ExitCode::from(EX_CONFIG));
    }
    println!("the configuration is right");
    println!("policy: {}", config.policy());
    Ok(ExitCode::SUCCESS)
}
