//! What one list of hosts opens and another does not: of two bundles, of two clouds, of two versions.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use common::cloud::Cloud;
use la_gateway::config::read_file;
use la_gateway::policy::pattern::Pattern;
use serde::Serialize;

use super::Saved;
use super::found;
use super::saved;
use crate::cli::show;

/// Domains of one service, by cloud: a host of one cloud is compared with its like in another.
const DOMAINS: [[&str; 3]; 7] = [
    ["azure-automation.net", "azure-automation.us", "azure-automation.cn"],
    ["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"],
    ["management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn"],
    ["blob.core.windows.net", "blob.core.usgovcloudapi.net", "blob.core.chinacloudapi.cn"],
    ["servicebus.windows.net", "servicebus.usgovcloudapi.net", "servicebus.chinacloudapi.cn"],
    ["pas.windows.net", "pasff.usgovcloudapi.net", "pas.chinacloudapi.cn"],
    ["azure.com", "azure.us", "azure.cn"],
];

/// Arguments of `bundles diff`.
#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// BUNDLE, BUNDLE@CLOUD, or a file that `bundles show --json` wrote (its name has a `.` or a `/`)
    old: String,
    /// The other one [default: what this program has of the same bundles]
    new: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 where they differ
    #[arg(long)]
    exit_code: bool,
}

/// One side: hosts by what they are compared by.
struct Side {
    name: String,
    hosts: BTreeMap<String, Line>,
}

/// A host that only one side has.
#[derive(Clone, Serialize)]
struct Line {
    bundle: String,
    cloud: String,
    pattern: String,
    purpose: String,
}

/// The difference, for a script.
#[derive(Serialize)]
struct Difference<'a> {
    old: &'a str,
    new: &'a str,
    opens: Vec<&'a Line>,
    closes: Vec<&'a Line>,
}

/// Prints what the second opens and closes in comparison with the first.
pub(in crate::cli) fn diff(what: &Arguments) -> anyhow::Result<ExitCode> {
    let (old, new) = sides(what)?;
    let only = |one: &'_ Side, other: &Side| -> Vec<Line> {
        one.hosts
            .iter()
            .filter(|(key, _)| !other.hosts.contains_key(*key))
            .map(|(_, line)| line.clone())
            .collect()
    };
    let (opens, closes) = (only(&new, &old), only(&old, &new));
    if what.json {
        let all = Difference {
            old: &old.name,
            new: &new.name,
            opens: opens.iter().collect(),
            closes: closes.iter().collect(),
        };
        show(&serde_json::to_string_pretty(&all)?)?;
    } else {
        let mut lines = Vec::new();
        lines.push(format!("from {} to {}", old.name, new.name));
        for (sign, line) in closes.iter().map(|line| ('-', line)).chain(opens.iter().map(|line| ('+', line)))
        {
            lines.push(format!(
                "{sign} {} {} {}\n    {}",
                line.bundle, line.cloud, line.pattern, line.purpose
            ));
        }
        if opens.is_empty() && closes.is_empty() {
            lines.push("the same hosts".to_owned());
        }
        show(&lines.join("\n"))?;
    }
    let differ = !opens.is_empty() || !closes.is_empty();
    Ok(if what.exit_code && differ { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn sides(what: &Arguments) -> anyhow::Result<(Side, Side)> {
    let old = Chosen::read(&what.old)?;
    let new = match &what.new {
        Some(new) => Chosen::read(new)?,
        None => old.installed()?,
    };
    // Bundles of different names are compared host by host, clouds by their domains; else all counts.
    let by_bundle = old.is_whole() || new.is_whole();
    let by_cloud = old.cloud == new.cloud;
    Ok((old.side(by_bundle, by_cloud)?, new.side(by_bundle, by_cloud)?))
}

/// What an argument stands for.
struct Chosen {
    name: String,
    cloud: Option<Cloud>,
    saved: Saved,
}

impl Chosen {
    fn read(text: &str) -> anyhow::Result<Self> {
        if text.contains(['.', '/']) {
            let file = Path::new(text);
            let content = read_file(file).map_err(|problem| anyhow!("{problem}"))?;
            let saved: Saved = serde_json::from_str(&content)
                .with_context(|| format!("{text} is nothing that `la-gateway bundles show --json` wrote"))?;
            let saved = checked(saved).with_context(|| format!("in {text}"))?;
            return Ok(Self { name: format!("{text} ({})", saved.version), cloud: None, saved });
        }
        let (name, cloud) = match text.split_once('@') {
            Some((name, cloud)) => (name, Some(cloud.parse::<Cloud>()?)),
            None => (text, None),
        };
        found(name)?;
        Ok(Self { name: text.to_owned(), cloud, saved: saved(Some(name), cloud)? })
    }

    /// Returns the same bundles as this program has them.
    fn installed(&self) -> anyhow::Result<Self> {
        if !self.is_whole() {
            bail!(
                "compare `{}` with what? name a second bundle, a cloud (BUNDLE@CLOUD) or a file",
                self.name
            );
        }
        let mut all = saved(None, None)?;
        all.bundles.retain(|bundle| self.saved.bundles.iter().any(|old| old.name == bundle.name));
        Ok(Self { name: format!("this program ({})", all.version), cloud: None, saved: all })
    }

    /// Says whether it is a file, and so bundles with their names.
    fn is_whole(&self) -> bool {
        self.name.contains(['.', '/']) || self.name.starts_with("this program")
    }

    fn side(self, by_bundle: bool, by_cloud: bool) -> anyhow::Result<Side> {
        let mut hosts = BTreeMap::new();
        for bundle in self.saved.bundles {
            for host in bundle.hosts {
                let pattern = if by_cloud { host.pattern.clone() } else { common_form(&host.pattern) };
                let cloud = if by_cloud { host.cloud.as_str() } else { "" };
                let name = if by_bundle { bundle.name.as_str() } else { "" };
                let key = format!("{name} {cloud} {pattern}");
                let line = Line {
                    bundle: bundle.name.clone(),
                    cloud: host.cloud,
                    pattern: host.pattern,
                    purpose: host.purpose,
                };
                hosts.insert(key, line);
            }
        }
        Ok(Side { name: self.name, hosts })
    }
}

/// Takes nothing from a file that could not stand in a bundle: it is printed.
fn checked(saved: Saved) -> anyhow::Result<Saved> {
    let texts = saved.bundles.iter().flat_map(|bundle| {
        let hosts = bundle.hosts.iter().flat_map(|host| [&host.cloud, &host.purpose, &host.source]);
        [&bundle.name, &bundle.version, &bundle.purpose].into_iter().chain(hosts)
    });
    if texts.chain([&saved.version]).any(|text| text.contains(char::is_control)) {
        bail!("there is a control character");
    }
    for host in saved.bundles.iter().flat_map(|bundle| &bundle.hosts) {
        host.pattern.parse::<Pattern>().map_err(|error| anyhow!("{error}"))?;
    }
    Ok(saved)
}

/// Returns a pattern with the public cloud's domain in place of its own.
fn common_form(pattern: &str) -> String {
    for [public, government, china] in DOMAINS {
        for domain in [public, government, china] {
            let Some(front) = pattern.strip_suffix(domain) else { continue };
            if front.is_empty() || front.ends_with('.') {
                return format!("{front}{public}");
            }
        }
    }
    pattern.to_owned()
}
