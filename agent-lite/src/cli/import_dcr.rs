//! `agent-lite import-dcr`.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use agent_lite::config::rule::render::Placement;
use agent_lite::config::rule::render::render;
use agent_lite::events::OneLine;
use agent_lite::parse::dcr;
use agent_lite::parse::dcr::Finding;
use anyhow::Context;

use super::EX_CONFIG;

/// Prints a rule as `[source…]` sections. The exit code is 0 when all of it is carried over, 1 when something is not,
/// and 78 when it is no rule.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn import_dcr(file: &Path) -> anyhow::Result<ExitCode> {
    let (rule, report) = dcr::read(&read(file)?);
    let rendered = render(&rule, report, &Placement::Printed);
    let report = rendered.report;
    if !report.problems.is_empty() {
        report.problems.iter().for_each(|problem| eprintln!("{}: {}", file.display(), OneLine(problem)));
        eprintln!("agent-lite: it cannot be used as a data collection rule; nothing is printed");
        return Ok(ExitCode::from(EX_CONFIG));
    }
    println!("# Made of the data collection rule {} by `agent-lite import-dcr`.", OneLine(file.display()));
    comment("Carried over, and to be known:", &report.remarks);
    comment("NOT carried over:", &report.left_out);
    for (name, id) in &rendered.workspaces {
        let id = id.as_deref().unwrap_or("ID");
        println!("# workspace {name}: agent-lite onboard -w {id} -k KEY_FILE --name {name}");
    }
    println!("\n{}", rendered.text.trim_end());
    report.left_out.iter().for_each(|one| eprintln!("not carried over: {}", OneLine(one)));
    Ok(if report.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    // One byte more than the largest: whether a rule is larger is seen by it.
    let most = dcr::LARGEST_RULE as u64 + 1;
    let mut bytes = Vec::new();
    match file == Path::new("-") {
        true => std::io::stdin().take(most).read_to_end(&mut bytes).context("the standard input")?,
        false => {
            let opened = std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes));
            opened.with_context(|| file.display().to_string())?
        }
    };
    Ok(bytes)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn comment(title: &str, findings: &[Finding]) {
    if !findings.is_empty() {
        println!("# {title}");
        findings.iter().for_each(|finding| println!("#   {}", OneLine(finding)));
    }
}
