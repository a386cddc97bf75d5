//! `la-gateway events`: the reference of event ids, refusals and endings, with what to do about each.

use std::process::ExitCode;

use la_gateway::observe::reference::Reference;

/// How the reference is printed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// One JSON object in place of Markdown tables
    #[arg(long)]
    json: bool,
}

/// Prints the tables.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn events(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reference = Reference::read();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reference)?);
        return Ok(ExitCode::SUCCESS);
    }
    let tables = reference.tables().map(|(name, table)| format!("## {name}\n\n{table}"));
    println!("{}", tables.join("\n").trim_end());
    Ok(ExitCode::SUCCESS)
}
