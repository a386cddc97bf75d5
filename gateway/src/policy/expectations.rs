//! What the operator says must stay allowed or denied, whatever else of the configuration changes.
//!
//! It is judged by what judges a request: the role's rules and pins, and the address policy where a name
//! has fixed answers and is dialled directly. Nothing is looked up.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use common::host_port::HostPort;

use super::accounts::Accounts;
use super::accounts::Client;
use super::accounts::Identity;
use super::accounts::Offered;
use super::accounts::Role;
use super::addresses::Addresses;
use super::destinations::HTTPS;
use super::destinations::Permit;
use super::names::DnsSettings;
use super::relays::RelaySettings;
use crate::refusal::Refusal;

/// A client and a destination: `host`, `user@host`, `role:NAME@host` or `from:ADDRESS@host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// For whom it must hold.
    pub who: Who,
    /// Where to.
    pub target: HostPort,
}

/// For whom an [`Expectation`] must hold. A user's name holds no colon, so the forms cannot be mixed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Each role.
    EveryRole,
    /// One role.
    Role(String),
    /// A user of a users file.
    User(String),
    /// A client without credentials at this address.
    From(IpAddr),
}

/// What must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The CONNECT is allowed.
    Allowed,
    /// It is refused.
    Denied,
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (who, host) = match text.rsplit_once('@') {
            None => (Who::EveryRole, text),
            Some((who, host)) => (read_who(who)?, host),
        };
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:{HTTPS}") };
        let target = with_port.parse().map_err(|error| {
            format!("write one host name behind the last `@`, as in `packages.example.com`: {error}")
        })?;
        Ok(Self { who, target })
    }
}

fn read_who(text: &str) -> Result<Who, String> {
    match text.split_once(':') {
        None if text.is_empty() => Err("there is no name before the `@`; write `user@host`".to_owned()),
        None => Ok(Who::User(text.to_owned())),
        Some(("user", user)) => Ok(Who::User(user.to_owned())),
        Some(("role", role)) => Ok(Who::Role(role.to_owned())),
        Some(("from", address)) => {
            let address = address.parse().map_err(|_| "behind `from:` stands an IP address".to_owned())?;
            Ok(Who::From(address))
        }
        Some(_) => Err("write `host`, `user@host`, `role:NAME@host` or `from:ADDRESS@host`".to_owned()),
    }
}

/// The policy an expectation is held against.
pub struct Candidate<'a> {
    /// Every role.
    pub roles: &'a [Arc<Role>],
    /// Who a client is.
    pub accounts: &'a Accounts,
    /// Which addresses may be dialled.
    pub addresses: &'a Addresses,
    /// Names with fixed answers.
    pub dns: &'a DnsSettings,
    /// What goes past the relays.
    pub relay: &'a RelaySettings,
}

impl Candidate<'_> {
    /// Says how the policy differs from what must come out, if it does.
    pub fn difference(&self, expected: &Expectation, verdict: Verdict) -> Option<String> {
        let target = &expected.target;
        let differs = |who: String, role: &Role| match (self.judge(role, target), verdict) {
            (Err(_), Verdict::Denied) => None,
            // What report mode lets through is not denied, and not allowed for good.
            (Ok(permit), Verdict::Allowed) => permit.reported().map(|why| {
                let refusal = why.refusal();
                format!("{target} must be allowed, and {who} would be refused but for report mode: {refusal}")
            }),
            (Ok(permit), Verdict::Denied) => {
                let by = permit.rule().map_or("report mode".to_owned(), |rule| format!("the rule {rule}"));
                Some(format!("{target} must be denied, and {who} may reach it by {by}"))
            }
            (Err(refusal), Verdict::Allowed) => {
                Some(format!("{target} must be allowed, and {who} is refused: {refusal}"))
            }
        };
        let of_client = |who: String, client: Result<Client, Refusal>| match (client, verdict) {
            (Ok(client), _) => differs(format!("{who} (role {})", client.role().name), client.role()),
            (Err(_), Verdict::Denied) => None,
            (Err(refusal), Verdict::Allowed) => {
                Some(format!("{target} must be allowed, and {who} is refused: {refusal}"))
            }
        };
        match &expected.who {
            Who::EveryRole => self.roles.iter().find_map(|role| differs(format!("role {}", role.name), role)),
            Who::Role(name) => match self.roles.iter().find(|role| *role.name == **name) {
                Some(role) => differs(format!("role {name}"), role),
                None => Some(format!("there is no role `{name}`; change the line, or take it out")),
            },
            Who::User(user) => {
                let client = self.accounts.client_named(user).ok_or(Refusal::CredentialsRejected);
                of_client(format!("user {user}"), client)
            }
            Who::From(address) => of_client(format!("a client at {address}"), self.at(*address)),
        }
    }

    fn at(&self, address: IpAddr) -> Result<Client, Refusal> {
        match self.accounts.identify(Offered::Nothing, address)? {
            Identity::Known(client) => Ok(client),
            Identity::Unproven(_) => Err(Refusal::CredentialsMissing),
        }
    }

    fn judge(&self, role: &Role, target: &HostPort) -> Result<Permit, Refusal> {
        let permit = role.destinations.authorize(target)?;
        let direct = self.relay.proxies.is_empty() || self.relay.bypasses(target.name());
        if let Some(fixed) = self.dns.hosts.get(target.name()).filter(|_| direct) {
            let dialled = fixed
                .iter()
                .map(|answer| SocketAddr::new(answer.ip, answer.port.unwrap_or_else(|| target.port())));
            self.addresses.vet_all(&dialled.collect::<Vec<_>>())?;
        }
        Ok(permit)
    }
}

#[cfg(test)]
mod tests;
