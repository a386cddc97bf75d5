//! `la-gateway import-oms` and `import-squid`: a configuration in report mode from what another proxy allows.
//!
//! Each reader gives a [`Found`]; what it cannot take over it says, with the reason. The rest is the same
//! for both: bundles, pins and hosts as `suggest` would choose them, in a new file.

mod oms;
mod squid;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use common::cloud::Cloud;
use ipnet::IpNet;
use la_gateway::config::LARGEST_FILE;
use la_gateway::policy::bundles;
use la_gateway::policy::destinations::Destinations;
use la_gateway::policy::destinations::Pins;
use la_gateway::policy::suggestions::Pinned;
use la_gateway::policy::suggestions::Present;
use la_gateway::policy::suggestions::Suggestion;
use la_gateway::policy::suggestions::Wanted;
use la_gateway::policy::suggestions::suggest;
use la_gateway::system;
use toml_edit::Array;
use toml_edit::Value;

use self::oms::Files;
use super::beside::Beside;
use super::document::judged;
use super::replace::fill;

/// The port of Microsoft's gateway, and of Squid in front of agents.
const USUAL_PORT: u16 = 8080;
/// Most characters of a foreign text that are shown.
const LONGEST_SHOWN: usize = 120;

/// Arguments of `import-oms`.
#[derive(clap::Args)]
pub(super) struct OmsArguments {
    /// What `Get-OMSGatewayAllowedHost` printed
    #[arg(long, value_name = "FILE")]
    allowed_hosts: PathBuf,
    /// What `Get-OMSGatewayRelayProxy` printed
    #[arg(long, value_name = "FILE")]
    relay: Option<PathBuf>,
    /// What `Get-OMSGatewayConfig` printed
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// What `Get-OMSGatewayAllowedClientCertificate` printed
    #[arg(long, value_name = "FILE")]
    client_certificates: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `import-squid`.
#[derive(clap::Args)]
pub(super) struct SquidArguments {
    /// squid.conf; without --from its `src` lists are the networks of the agents
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Arguments of both.
#[derive(clap::Args)]
struct Common {
    /// Networks of the agents, as in 10.20.0.0/16; repeat it for more
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    from: Vec<IpNet>,
    /// Workspaces of the agents, which are pinned; repeat it for more
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    workspace: Vec<String>,
    /// The cloud: public, us-government or china
    #[arg(long, default_value_t = Cloud::Public)]
    cloud: Cloud,
    /// The file to write; it must not be there yet
    #[arg(long, short, value_name = "FILE", default_value = "gateway.toml")]
    output: PathBuf,
}

/// What a reader found.
#[derive(Debug, Default)]
struct Found {
    wanted: BTreeSet<Wanted>,
    networks: Vec<IpNet>,
    port: Option<u16>,
    relays: Vec<String>,
    /// What cannot be taken over, and why.
    left: Vec<(String, &'static str)>,
}

impl Found {
    fn leave(&mut self, what: &str, why: &'static str) {
        self.left.push((shown(what), why));
    }
}

/// Imports from Microsoft's gateway.
pub(super) fn oms(what: &OmsArguments) -> anyhow::Result<ExitCode> {
    let text = |file: &Option<PathBuf>| file.as_deref().map(foreign_text).transpose();
    let files = Files {
        allowed_hosts: foreign_text(&what.allowed_hosts)?,
        relay: text(&what.relay)?,
        settings: text(&what.settings)?,
        client_certificates: text(&what.client_certificates)?,
    };
    let found = oms::read(&files)?;
    if found.wanted.is_empty() {
        let file = what.allowed_hosts.display();
        eprintln!("warning: {file} allows no host: is it what `Get-OMSGatewayAllowedHost` printed?");
    }
    // It allows the workspaces of the agent beside it, which no list shows.
    write("import-oms", found, &what.common, &["log-analytics"])
}

/// Imports from Squid.
pub(super) fn squid(what: &SquidArguments) -> anyhow::Result<ExitCode> {
    let folder = what.file.parent().unwrap_or(Path::new(""));
    let read_list = |file: &str| foreign_text(&folder.join(file)).ok();
    let found = squid::read(&foreign_text(&what.file)?, read_list);
    if found.wanted.is_empty() {
        bail!(
            "{} allows no `dstdomain` in `http_access`, so there is nothing to import",
            what.file.display()
        );
    }
    write("import-squid", found, &what.common, &[])
}

fn write(
    command: &str,
    mut found: Found,
    common: &Common,
    bundles: &[&'static str],
) -> anyhow::Result<ExitCode> {
    if !common.from.is_empty() {
        found.networks.clone_from(&common.from);
    }
    if found.networks.is_empty() {
        bail!(
            "say with --from NETWORK where the agents are, as in --from 10.20.0.0/16: nobody else is served"
        );
    }
    let rules = bundles.iter().filter_map(|name| bundles::find(name)).flat_map(|b| b.rules_in(common.cloud));
    let destinations = Destinations::new(rules, Pins::default());
    let present = Present { cloud: common.cloud, bundles, destinations: &destinations };
    let mut made = suggest(present, &found.wanted, &BTreeSet::new());
    made.bundles.splice(0..0, bundles.iter().map(|name| (*name, Vec::new())));
    for one in std::mem::take(&mut made.left) {
        let name = match &one {
            Wanted::Host(host) => host.to_string(),
            Wanted::Domain(domain) => format!(".{domain}"),
        };
        found.wanted.remove(&one);
        found.leave(
            &name,
            "too wide, or one label only: the records of report mode show which hosts are used",
        );
    }
    let text = text(command, &found, &made, common);
    judged(&common.output, &text).context("what was found makes no configuration")?;
    let created = system::create_beside_configuration(&common.output);
    let out = created
        .with_context(|| format!("cannot make {}; it must not be there yet", common.output.display()))?;
    fill(out, &common.output, &text)?;
    say(&found, &made, &common.output);
    Ok(ExitCode::SUCCESS)
}

/// Returns the configuration. Foreign text stands in it as strings that are quoted, or as a shown comment.
fn text(command: &str, found: &Found, made: &Suggestion, common: &Common) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut text = format!(
        "# Made by `la-gateway {command}`. In report mode every host is let through, and recorded if the rules\n\
         # below do not allow it: `la-gateway suggest` makes rules of the records; then set mode = \"enforce\".\n"
    );
    if !found.left.is_empty() {
        text.push_str("#\n# Not taken over:\n");
        found.left.iter().for_each(|(what, why)| text.push_str(&format!("#   {what}: {why}\n")));
    }
    let port = found.port.unwrap_or(USUAL_PORT);
    text.push_str(&format!("\n[[listener]]\naddress = \"0.0.0.0:{port}\"\n\n[log]\nformat = \"json\"\n"));
    if !found.relays.is_empty() {
        text.push_str(&format!("\n[relay]\nproxies = {}\n", list(found.relays.iter().map(String::as_str))));
    }
    let networks: Vec<String> = found.networks.iter().map(IpNet::to_string).collect();
    text.push('\n');
    let pinned = (
        !common.workspace.is_empty() || made.workspaces != Pinned::AsItIs,
        made.storage_accounts != Pinned::AsItIs,
    );
    let wanted: Vec<Wanted> = found.wanted.iter().cloned().collect();
    for (name, _) in &made.bundles {
        text.push_str(&format!("{}\n", Beside::of(name, common.cloud, &wanted, pinned).comment()));
    }
    text.push_str(&format!(
        "[role.agents]\nmode = \"report\"\nanonymous_from = {}\ncloud = {}\nbundles = {}\n",
        list(networks.iter().map(String::as_str)),
        quoted(common.cloud.name()),
        list(made.bundles.iter().map(|(name, _)| *name)),
    ));
    let workspaces: BTreeSet<&str> =
        made.workspaces.values().chain(&common.workspace).map(String::as_str).collect();
    let accounts: BTreeSet<&str> = made.storage_accounts.values().map(String::as_str).collect();
    let hosts: Vec<String> = made.hosts.iter().map(|(pattern, _)| pattern.to_string()).collect();
    if !workspaces.is_empty() {
        text.push_str(&format!("workspaces = {}\n", list(workspaces.into_iter())));
    }
    if !accounts.is_empty() {
        text.push_str(&format!("storage_accounts = {}\n", list(accounts.into_iter())));
    }
    if !hosts.is_empty() {
        text.push_str(&format!("hosts = {}\n", list(hosts.iter().map(String::as_str))));
    }
    text
}

fn list<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut array: Array = values.collect();
    if array.len() > 3 {
        array.iter_mut().for_each(|value| value.decor_mut().set_prefix("\n    "));
        array.set_trailing_comma(true);
        array.set_trailing("\n");
    }
    array.to_string()
}

/// Says what was made of what.
fn say(found: &Found, made: &Suggestion, file: &Path) {
    let bundles: Vec<&str> = made.bundles.iter().map(|(name, _)| *name).collect();
    let by_hosts: BTreeSet<&Wanted> = made.hosts.iter().flat_map(|(_, covered)| covered).collect();
    let covered = found.wanted.len() - by_hosts.len();
    if !bundles.is_empty() {
        eprintln!("bundles: {} ({covered} of {} entries)", bundles.join(", "), found.wanted.len());
    }
    if !made.hosts.is_empty() {
        eprintln!("hosts: {}", made.hosts.len());
    }
    found.left.iter().for_each(|(what, why)| eprintln!("not taken over: {what}: {why}"));
    eprintln!("{}: written, in report mode", file.display());
}

/// Returns a foreign text as it may be shown on one line.
fn shown(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.trim().chars().take(LONGEST_SHOWN).map(kept).collect()
}

/// Reads a file of another program: UTF-8, or UTF-16 as Windows PowerShell writes it.
fn foreign_text(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    opened
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() as u64 > LARGEST_FILE {
        bail!("{} is larger than 16 MiB", file.display());
    }
    decoded(&bytes).ok_or_else(|| anyhow!("{} is no text", file.display()))
}

fn decoded(bytes: &[u8]) -> Option<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).ok()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// Returns a network that is written as a range or as one address.
fn network(text: &str) -> Option<IpNet> {
    let one = text.parse::<IpAddr>().map(IpNet::from);
    one.or_else(|_| text.parse::<IpNet>().map(|net| net.trunc())).ok()
}

#[cfg(test)]
mod tests;
