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
    let problems = problems(&config);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        return Ok(ExitCode::from(EX_CONFIG));
    }
    println!("the configuration is right");
    println!("policy: {}", config.policy());
    for summary in &config.roles.all {
        let destinations = &summary.role.destinations;
        if destinations.placeholders().1 && destinations.pins().storage_accounts.is_none() {
            let role = &summary.role.name;
            println!("warning: role {role} may reach any storage account: set storage_accounts");
        }
    }
    for summary in config.roles.reporting() {
        println!(
            "warning: role {} is in report mode: it may go to any host on port 443, and what enforcing would refuse is \
             only recorded; set mode = \"enforce\" when `la-gateway suggest` has no more to say",
            summary.role.name
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what a start would fail on although the configuration could be read.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let found = [
        prepare(config).err().map(|error| error.to_string()),
        Resolver::new(&config.dns).err().map(|error| error.to_string()),
        relays(config, Via::new(0)).err().map(|error| error.to_string()),
    ];
    found.into_iter().flatten().collect()
}
