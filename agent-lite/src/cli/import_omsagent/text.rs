//! The configuration as text; behind each value stands the file and line that it came from.

use std::fmt::Display;
use std::path::Path;

use agent_lite::config::FACILITIES;
use agent_lite::config::GATEWAY_PORT;
use agent_lite::config::SEVERITIES;
use agent_lite::events::OneLine;
use agent_lite::parse::omsagent::sources::Counters;
use toml_edit::Array;
use toml_edit::Value;

use super::Arguments;
use super::Left;
use super::plan::Plan;
use super::plan::Planned;
use super::plan::plan;
use super::tree::Legacy;
use super::tree::SetUp;

/// What becomes of a proxy's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passwords {
    /// It is in the text, which goes to a file for its owner alone.
    Written,
    /// The text names the file that has it.
    LeftInTheirFile,
}

/// Returns the text.
pub(super) fn text(set_up: &SetUp, what: &Arguments, passwords: Passwords) -> String {
    let mut text = String::from(
        "# Made by `agent-lite import-omsagent` of the legacy agent's files; behind each value stands where it came from.\n\n",
    );
    gateway(&mut text, set_up, what, passwords);
    for (table, key, file) in [("azure", "ca", &what.azure_ca), ("agent", "state", &what.state)] {
        if let Some(file) = file {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            text.push_str(&format!("[{table}]\n{key} = {}\n\n", path(&file)));
        }
    }
    set_up.workspaces.iter().for_each(|one| workspace(&mut text, one));
    let plan = plan(set_up);
    let all = set_up.workspaces.len();
    plan.syslog.iter().for_each(|one| {
        text.push_str(&head("syslog", one, all));
        let (address, tcp) = one.what;
        let key = if tcp { "tcp" } else { "udp" };
        text.push_str(&line(&format!("{key} = {}", strings([address])), one.places.join(", ")));
        severities(&mut text, set_up, address.port());
        text.push('\n');
    });
    sources(&mut text, &plan, all);
    text.push_str("[source.heartbeat.default] # as the legacy agent's\nevery = \"60s\"\n");
    not_carried_over(&mut text, &set_up.left);
    text
}

fn gateway(text: &mut String, set_up: &SetUp, what: &Arguments, passwords: Passwords) {
    text.push_str("[gateway]\n");
    match &set_up.proxy {
        Some(proxy) if proxy.has_password && passwords == Passwords::LeftInTheirFile => {
            text.push_str("# It has a password; `--write FILE` writes the value itself.\n");
            if proxy.without_port {
                text.push_str(&format!(
                    "# Write the port into it: agent-lite takes {GATEWAY_PORT} where there is none.\n"
                ));
            }
            text.push_str(&line(
                &format!("proxy_conf = {}", path(&proxy.file)),
                format!("{}{}", proxy.place, proxy.note),
            ));
        }
        Some(proxy) => {
            let value = strings([proxy.value.expose()]);
            text.push_str(&line(&format!("proxies = {value}"), format!("{}{}", proxy.place, proxy.note)));
        }
        None => text.push_str(&line(&format!("proxies = {}", strings(&what.proxies)), "the command line")),
    }
    text.push('\n');
}

fn workspace(text: &mut String, one: &Legacy) {
    text.push_str(&format!("[workspace.{}]\ntransport = \"log-analytics-agent\"\n", one.name));
    text.push_str(&line(&format!("id = {}", string(&one.id)), format!("{}:{}", one.place, one.id_line)));
    if let Some(domain) = &one.domain {
        text.push_str(&line(
            &format!("domain = {}", string(domain)),
            format!("{}:{}", one.place, one.domain_line),
        ));
    }
    text.push('\n');
}

/// What rsyslog or syslog-ng hands over; they go on filtering, so the least of all is enough.
fn severities(text: &mut String, set_up: &SetUp, port: u16) {
    let Some((place, selected)) =
        set_up.syslog.as_ref().filter(|(_, selected)| selected.ports.contains_key(&port))
    else {
        text.push_str("# No file says what is handed over to this port: all that comes is taken.\n");
        return;
    };
    let facilities: Vec<&str> = FACILITIES
        .into_iter()
        .filter(|name| selected.facilities.get(name).is_some_and(|bits| *bits != 0))
        .collect();
    if facilities.len() < FACILITIES.len() {
        text.push_str(&line(&format!("facilities = {}", strings(facilities)), place));
    }
    if let Some(least) = selected.least().and_then(|least| SEVERITIES.get(usize::from(least))) {
        text.push_str(&line(
            &format!("severity = {}", string(least)),
            format!("{place}, the least of all; that file goes on filtering"),
        ));
    }
}

fn sources(text: &mut String, plan: &Plan, all: usize) {
    for one in &plan.logs {
        text.push_str(&head("files", one, all));
        text.push_str(&line(&format!("paths = {}", strings(&one.what.paths)), one.places.join(", ")));
        text.push_str(&format!("table = {}\n", string(one.what.table.name())));
        if one.what.from_beginning {
            text.push_str("from = \"beginning\"\n");
        }
        text.push('\n');
    }
    for one in &plan.counters {
        text.push_str(&head("performance", one, all));
        text.push_str("counters = [\n");
        for (place, counters) in &one.what {
            text.push_str(&format!("  {}, # {}\n", inline(counters), OneLine(place)));
        }
        text.push_str("]\n\n");
    }
}

fn inline(one: &Counters) -> String {
    let mut table = format!("{{ object = {}", string(one.object));
    if one.counters != ["*"] {
        table.push_str(&format!(", counters = {}", strings(&one.counters)));
    }
    if !one.instances.is_empty() {
        table.push_str(&format!(", instances = {}", strings(&one.instances)));
    }
    format!("{table}, every = \"{}s\" }}", one.every.as_secs())
}

/// Returns the head of a source, with its workspaces where they are not all.
fn head<T>(kind: &str, one: &Planned<T>, all: usize) -> String {
    let mut text = format!("[source.{kind}.{}]\n", one.name);
    if one.workspaces.len() < all {
        text.push_str(&format!("workspaces = {}\n", strings(&one.workspaces)));
    }
    text
}

fn not_carried_over(text: &mut String, left: &[Left]) {
    if !left.is_empty() {
        text.push_str("\n# Not carried over:\n");
    }
    for one in left {
        text.push_str(&format!("# {}: {}: {}\n", OneLine(&one.place), OneLine(&one.what), OneLine(&one.why)));
    }
}

fn line(value: &str, place: impl Display) -> String {
    format!("{value} # {}\n", OneLine(place))
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}

fn path(file: &Path) -> String {
    string(&file.to_string_lossy())
}

fn strings<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    Value::from(all.into_iter().map(|one| one.to_string()).collect::<Array>()).to_string()
}
