//! `agent-lite generalize`.

use std::path::Path;
use std::process::ExitCode;

use agent_lite::agent::generalize;
use agent_lite::agent::generalize::Waiting;
use agent_lite::config::settings::Config;
use agent_lite::config::settings::TransportSettings;

/// Makes the machine ready for an image of it, and says what was done.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn generalize(file: &Path, config: &Config, waiting: Waiting) -> anyhow::Result<ExitCode> {
    let done = generalize::generalize(config, waiting)?;
    for path in &done.removed {
        println!("removed  {}", path.display());
    }
    if done.records > 0 {
        println!("         {} records in it were not delivered", done.records);
    }
    for path in &done.left {
        println!("left     {}: no part of identity, positions or queues", path.display());
    }
    println!("kept     {}", file.display());
    for workspace in &config.workspaces {
        let TransportSettings::LogAnalyticsAgent { workspace: id, key_file, .. } = &workspace.transport
        else {
            continue;
        };
        match key_file {
            Some(key) => println!(
                "         workspace {}: machines made of the image onboard themselves with {}",
                workspace.name,
                key.display()
            ),
            None => println!(
                "         workspace {}: on each machine made of the image: agent-lite onboard -w {id} -k KEY_FILE",
                workspace.name
            ),
        }
    }
    println!("take the image now, before the agent starts again");
    Ok(ExitCode::SUCCESS)
}
