//! `agent-lite onboard`: makes this agent known to a workspace and writes the configuration.

pub(super) mod files;

use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent_lite::agent::facts;
use agent_lite::agent::seal;
use agent_lite::agent::seal::Look;
use agent_lite::agent::start;
use agent_lite::collect::machine::Machine;
use agent_lite::config;
use agent_lite::config::edit::Changes;
use agent_lite::config::edit::edited;
use agent_lite::config::settings::Config;
use agent_lite::counters::Counters;
use agent_lite::parse::fingerprint;
use agent_lite::system;
use agent_lite::upload::gateways::Gateways;
use agent_lite::upload::onboarding;
use agent_lite::upload::onboarding::Known;
use agent_lite::upload::onboarding::OnboardError;
use agent_lite::upload::onboarding::Onboarded;
use agent_lite::upload::onboarding::Onboarding;
use agent_lite::upload::roots::Roots;
use anyhow::Context;
use anyhow::anyhow;
use common::document::Source;
use common::secret::Secret;
use serde::Deserialize;

use self::files::LARGEST_FILE;
use self::files::Staged;
use self::files::read;
use self::files::read_if_there;
use self::files::write;
use super::runtime;

/// Exit codes of the legacy tool: a bad option, a missing key, trouble with files.
const BAD_OPTION: u8 = 2;
const NO_KEY: u8 = 3;
const INTERNAL: u8 = 30;
/// The public cloud's domain.
const USUAL_DOMAIN: &str = "opinsights.azure.com";
/// How long the one request may take.
const LIMIT: Duration = Duration::from_secs(90);

/// Into which workspace, and by which way.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Workspace ID, a GUID
    #[arg(short = 'w', long, value_name = "ID")]
    workspace: Option<String>,
    /// Workspace key, primary or secondary; seen by everybody who lists processes: prefer -k
    #[arg(short = 's', long, value_name = "KEY", conflicts_with = "key_file")]
    key: Option<String>,
    /// File with the workspace key as its first line; `-` is standard input
    #[arg(short = 'k', long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Domain of the workspace's cloud [default: opinsights.azure.com]
    #[arg(short = 'd', long)]
    domain: Option<String>,
    /// The gateway: [https://|http://][user:password@]host[:port]; several in order. A password here is seen by
    /// everybody who lists processes: prefer --pairing
    #[arg(short = 'p', long = "proxy", value_name = "PROXY")]
    proxies: Vec<String>,
    /// The file that `la-gateway pair` wrote: gateway, password and its CA
    #[arg(long, value_name = "FILE", conflicts_with = "proxies")]
    pairing: Option<PathBuf>,
    /// The roots that vouch for a gateway with https://, PEM
    #[arg(long, value_name = "FILE", conflicts_with = "pairing")]
    gateway_ca: Option<PathBuf>,
    /// The roots that vouch for Azure, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    azure_ca: Option<PathBuf>,
    /// The folder of identities, positions and queues [default: /var/lib/agent-lite]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// The workspace's name in the configuration
    #[arg(long)]
    name: Option<String>,
    /// The legacy agent's onboarding file (WORKSPACE_ID=, SHARED_KEY=, PROXY=, URL_TLD=)
    #[arg(long, value_name = "FILE")]
    onboarding_file: Option<PathBuf>,
}

/// What `la-gateway pair` writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pairing {
    gateway: PairedGateway,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairedGateway {
    proxies: Vec<String>,
    ca_pem: Option<String>,
}

/// What is to be done, gathered from everywhere.
struct Plan {
    key: Secret,
    changes: Changes,
    /// The gateways' roots, to be written beside the configuration.
    ca_pem: Option<String>,
}

/// Why it was not done.
struct Failure {
    code: u8,
    error: anyhow::Error,
}

/// Runs the command; the exit codes are the legacy tool's.
pub(super) fn onboard(file: &Path, what: &Arguments) -> ExitCode {
    match try_onboard(file, what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("agent-lite: {:#}", failure.error);
            ExitCode::from(failure.code)
        }
    }
}

fn coded<T>(code: u8, outcome: anyhow::Result<T>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure { code, error })
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn try_onboard(file: &Path, what: &Arguments) -> Result<(), Failure> {
    let mut plan = plan(what)?;
    let before = coded(BAD_OPTION, read_if_there(file))?;
    let staged = match &plan.ca_pem {
        Some(pem) => Some(coded(INTERNAL, Staged::write(&absolute(file), pem))?),
        None => None,
    };
    if let Some(staged) = &staged {
        plan.changes.gateway_ca = Some(staged.place.to_string_lossy().into_owned());
    }
    let text = coded(BAD_OPTION, edited(&before, &plan.changes).with_context(|| file.display().to_string()))?;
    let machine = Machine::ask();
    let mut config = config::parse(Source { file, text: &text }, &machine.hostname)
        .map_err(|problems| Failure { code: BAD_OPTION, error: anyhow!("{problems}") })?;
    if let Some(staged) = &staged {
        config.gateway.ca = Some(staged.beside.clone());
    }
    let onboarded = request(&config, &machine, &plan)?;
    if let Some(staged) = staged {
        coded(INTERNAL, staged.take_place())?;
    }
    coded(INTERNAL, write(file, &text, 0o600))?;
    let known = match onboarded.known {
        Known::New => "is known as",
        Known::Again => "is known again as",
    };
    println!(
        "workspace {}: this agent {known} {}",
        onboarded.identity.workspace, onboarded.identity.agent_id
    );
    if let Some(warning) = onboarded.warning {
        eprintln!("agent-lite: {warning}");
    }
    println!("{}: written; start agent-lite, or {}", file.display(), system::HOW_TO_RELOAD);
    Ok(())
}

fn request(config: &Config, machine: &Machine, plan: &Plan) -> Result<Onboarded, Failure> {
    let gateways = told(4, Gateways::new(&config.gateway, Counters::new()))?;
    let roots = told(8, Roots::load(config.azure_ca.as_deref()))?;
    told(INTERNAL, start::make_folders(config))?;
    let is_clone = matches!(told(INTERNAL, seal::look(config))?, Look::Sealed(judgement) if judgement.machine == fingerprint::Machine::Another);
    if is_clone {
        leave_inheritance(config)?;
    }
    let agent = facts::agent(machine, &config.computer, uuid::Uuid::nil());
    let facts = facts::machine(machine, agent);
    let onboarding = Onboarding {
        workspace: &plan.changes.workspace,
        domain: &plan.changes.domain,
        key: &plan.key,
        machine: &facts,
        state: &config.state,
        gateways: &gateways,
        roots: &roots,
        limit: LIMIT,
    };
    let runtime = coded(INTERNAL, runtime().context("cannot start"))?;
    let onboarded = runtime
        .block_on(onboarding::onboard(&onboarding))
        .map_err(|error| Failure { code: error.exit_code(), error: anyhow!("{error}") })?;
    // The first onboarding seals the machine; a failed one has touched nothing.
    told(INTERNAL, seal::before_onboarding(config))?;
    Ok(onboarded)
}

/// A clone must not be known again by the GUID of the machine it was made of.
fn leave_inheritance(config: &Config) -> Result<(), Failure> {
    if let Some(found) = told(INTERNAL, seal::before_onboarding(config))? {
        eprintln!(
            "agent-lite: this machine is a clone of agent {}; its {} records are not sent: `agent-lite inherited`",
            found.agent_id.as_deref().unwrap_or("?"),
            found.records
        );
    }
    Ok(())
}

/// Takes what an error says, without its causes: our own messages have them already.
fn told<T, E: std::fmt::Display>(code: u8, outcome: Result<T, E>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure { code, error: anyhow!("{error}") })
}

fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

fn plan(what: &Arguments) -> Result<Plan, Failure> {
    let legacy = match &what.onboarding_file {
        Some(file) => coded(BAD_OPTION, read(file)).map(|text| Legacy::parse(&text))?,
        None => Legacy::default(),
    };
    let pairing = match &what.pairing {
        Some(file) => Some(coded(BAD_OPTION, pairing(file))?.gateway),
        None => None,
    };
    let key = key(what, legacy.key)?;
    let workspace = what.workspace.clone().or(legacy.workspace).map(|id| id.to_ascii_lowercase());
    let workspace = workspace
        .ok_or_else(|| Failure { code: NO_KEY, error: anyhow!("which workspace? give its ID with -w") })?;
    if !is_guid(&workspace) {
        let shown = workspace.chars().filter(|c| !c.is_control()).take(64).collect();
        return told(NO_KEY, Err(OnboardError::Workspace(shown)));
    }
    let given = (!what.proxies.is_empty()).then(|| what.proxies.clone());
    let (paired, ca_pem) = pairing.map(|gateway| (gateway.proxies, gateway.ca_pem)).unzip();
    let absolute = |file: &PathBuf| absolute(file).to_string_lossy().into_owned();
    let changes = Changes {
        proxies: given.or(paired).or(legacy.proxy.map(|proxy| vec![proxy])),
        gateway_ca: what.gateway_ca.as_ref().map(absolute),
        azure_ca: what.azure_ca.as_ref().map(absolute),
        state: what.state.as_ref().map(absolute),
        domain: what.domain.clone().or(legacy.domain).unwrap_or_else(|| USUAL_DOMAIN.to_owned()),
        name: what.name.clone(),
        workspace,
    };
    Ok(Plan { key, changes, ca_pem: ca_pem.flatten() })
}

fn key(what: &Arguments, legacy: Option<Secret>) -> Result<Secret, Failure> {
    let text = match (&what.key, &what.key_file, legacy) {
        (Some(key), ..) => key.clone(),
        (None, Some(file), _) if file == Path::new("-") => {
            let mut text = String::new();
            let taken = std::io::stdin().take(LARGEST_FILE).read_to_string(&mut text);
            coded(NO_KEY, taken.context("the key cannot be read from standard input"))?;
            text
        }
        (None, Some(file), _) => coded(NO_KEY, read(file))?,
        (None, None, Some(key)) => return Ok(key),
        (None, None, None) => String::new(),
    };
    let line = text.lines().next().unwrap_or_default().trim();
    match line.is_empty() {
        true => Err(Failure {
            code: NO_KEY,
            error: anyhow!("which key? give a file with it: -k FILE, or -k - for standard input"),
        }),
        false => Ok(Secret::new(line.to_owned())),
    }
}

fn pairing(file: &Path) -> anyhow::Result<Pairing> {
    let text = read(file)?;
    // The parser's own message quotes what it read, and a password stands there.
    toml::from_str(&text).map_err(|_| anyhow!("{}: this is no file of `la-gateway pair`", file.display()))
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// The legacy agent's onboarding file: `KEY=value` lines.
#[derive(Default)]
struct Legacy {
    workspace: Option<String>,
    key: Option<Secret>,
    proxy: Option<String>,
    domain: Option<String>,
}

impl Legacy {
    fn parse(text: &str) -> Self {
        let find = |wanted: &str| {
            let mut lines = text.lines().map(str::trim).filter_map(|line| line.split_once('='));
            let value = lines.find(|(name, _)| name.trim() == wanted)?.1.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        Self {
            workspace: find("WORKSPACE_ID"),
            key: find("SHARED_KEY").map(Secret::new),
            proxy: find("PROXY"),
            domain: find("URL_TLD"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legacy_agents_onboarding_file_is_read_with_and_without_quotes() {
        let legacy = Legacy::parse(
            "# x\nWORKSPACE_ID=abc\nSHARED_KEY=\"a2V5==\"\nPROXY='http://u:p%40@h:1'\nURL_TLD=opinsights.azure.us\nFOO=\n",
        );
        assert_eq!(legacy.workspace.as_deref(), Some("abc"));
        assert_eq!(legacy.key.map(|key| key.expose().to_owned()).as_deref(), Some("a2V5=="));
        assert_eq!(legacy.proxy.as_deref(), Some("http://u:p%40@h:1"));
        assert_eq!(legacy.domain.as_deref(), Some("opinsights.azure.us"));
    }
}
