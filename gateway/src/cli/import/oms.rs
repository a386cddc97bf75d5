//! What the cmdlets of Microsoft's gateway print: one value a line, or `Name : value`, or a table with a header.
//!
//! The form is not documented, so all three are read. Passwords are in none of them.

use anyhow::bail;
use common::host_port::HostName;
use common::host_port::HostPortError;
use common::proxy_url::ProxyUrl;
use la_gateway::policy::suggestions::Wanted;

use super::Found;

/// Words that stand above a column, or in front of a colon.
const HEADERS: [&str; 9] =
    ["host", "hosts", "allowedhost", "allowedhosts", "name", "value", "address", "subject", "url"];

/// The outputs, as texts.
pub(super) struct Files {
    pub(super) allowed_hosts: String,
    pub(super) relay: Option<String>,
    pub(super) settings: Option<String>,
    pub(super) client_certificates: Option<String>,
}

/// Reads them.
pub(super) fn read(files: &Files) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for value in values(&files.allowed_hosts) {
        host(value, &mut found);
    }
    for subject in files.client_certificates.iter().flat_map(|text| values(text)) {
        found.leave(
            subject,
            "certificates inside the tunnel cannot be seen with TLS 1.3; give agents users, or certificates for the \
             gateway itself (`client_ca`)",
        );
    }
    if let Some(text) = &files.relay {
        relay(text, &mut found)?;
    }
    if let Some(text) = &files.settings {
        found.port = port(text);
    }
    Ok(found)
}

/// Takes one entry of the allowed hosts.
fn host(text: &str, found: &mut Found) {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("https", text),
    };
    let rest = rest.split('/').next().unwrap_or_default();
    let (name, port) = rest.rsplit_once(':').unwrap_or((rest, "443"));
    if scheme != "https" || port != "443" {
        return found.leave(text, "only HTTPS on port 443 is carried");
    }
    match name.parse::<HostName>() {
        Ok(host) => drop(found.wanted.insert(Wanted::Host(host))),
        Err(HostPortError::AddressLiteral) => {
            found.leave(text, "an IP address; only names can be allowed");
        }
        Err(_) if name.contains('*') => {
            found.leave(
                text,
                "Microsoft's gateway has no wildcards; write it yourself: `la-gateway hosts add`",
            );
        }
        Err(_) => found.leave(text, "no host name"),
    }
}

fn relay(text: &str, found: &mut Found) -> anyhow::Result<()> {
    let mut url = None;
    for line in text.lines().map(str::trim) {
        let (name, value) = named(line);
        let name = name.unwrap_or_default().to_ascii_lowercase();
        if value.is_empty() || is_header(line) {
            continue;
        }
        if name.contains("user") {
            found.leave(
                &format!("the relay's user {value}"),
                "its password is in no output: write it into `[relay] proxies`, http://USER:PASSWORD@HOST:PORT, \
                 percent-encoded",
            );
        } else if name.contains("password") {
            found.leave("the relay's password", "write it into `[relay] proxies`, percent-encoded");
        } else if url.is_none() {
            url = Some(value.split_whitespace().next().unwrap_or_default().trim_end_matches('/').to_owned());
        }
    }
    let Some(url) = url else { return Ok(()) };
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    match url.parse::<ProxyUrl>() {
        Ok(_) => found.relays.push(url),
        Err(error) => bail!("the relay's address cannot be read: {error}"),
    }
    Ok(())
}

/// Finds the port in the settings: the number behind `ListenPort`.
fn port(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    let (_, behind) = lower.split_once("listenport")?;
    let digits = behind.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok().filter(|port| *port > 0)
}

/// Returns the values of an output, one a line.
fn values(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#') && !is_header(line));
    lines.map(|line| named(line).1).filter(|value| !value.is_empty())
}

/// Splits `Name : value`; a line without a name is a value.
fn named(line: &str) -> (Option<&str>, &str) {
    match line.split_once(" :").or_else(|| line.split_once(": ")) {
        Some((name, value)) if !name.trim().contains("://") => (Some(name.trim()), value.trim()),
        _ => (None, line.trim()),
    }
}

fn is_header(line: &str) -> bool {
    let ruled = line.chars().all(|c| c == '-' || c.is_whitespace());
    let word = |word: &str| HEADERS.contains(&word.to_ascii_lowercase().as_str());
    ruled || line.split_whitespace().all(word)
}
