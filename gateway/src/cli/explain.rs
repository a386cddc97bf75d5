//! `la-gateway explain`: what would become of a CONNECT, station by station.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use common::host_port::HostPort;
use la_gateway::config::Config;
use la_gateway::dial::resolve::Resolver;
use la_gateway::gateway::own_addresses;
use la_gateway::policy::accounts::Accounts;
use la_gateway::policy::accounts::Client;
use la_gateway::policy::accounts::Identity;
use la_gateway::policy::accounts::Offered;
use la_gateway::policy::addresses::Addresses;
use la_gateway::policy::destinations::Origin;
use la_gateway::policy::destinations::Permit;
use la_gateway::policy::destinations::Rule;
use la_gateway::policy::passwords::Verified;
use la_gateway::refusal::Refusal;
use serde::Serialize;

/// Arguments of `explain`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Host, with or without port 443
    #[arg(value_name = "HOST[:PORT]")]
    target: String,
    /// As this user, with the right password
    #[arg(long)]
    user: Option<String>,
    /// As a client at this address
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    /// Do not ask the name servers
    #[arg(long)]
    no_dns: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What becomes of a CONNECT: as it is printed, and as a script reads it.
#[derive(Default, Serialize)]
struct Explanation {
    target: Option<String>,
    user: Option<String>,
    from: Option<IpAddr>,
    role: Option<String>,
    rule: Option<String>,
    would_refuse: Option<&'static str>,
    route: Option<&'static str>,
    addresses: Vec<Judged>,
    answer: Answer,
    #[serde(skip)]
    steps: Vec<(&'static str, String)>,
}

/// The verdict on one address.
#[derive(Serialize)]
struct Judged {
    address: String,
    allowed: bool,
}

/// What the client would get.
#[derive(Serialize)]
struct Answer {
    status: u16,
    reason: Option<&'static str>,
    event: Option<u16>,
    fault: Option<&'static str>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: 200, reason: None, event: None, fault: None }
    }
}

/// Prints each station's verdict. Succeeds when the CONNECT would be answered with 200; nothing is dialled.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn explain(config: &Config, what: &Arguments) -> anyhow::Result<ExitCode> {
    let mut told = Explanation::default();
    let answer = match stations(config, what, &mut told)? {
        Ok(()) => "200, if the destination accepts the connection".to_owned(),
        Err(refusal) => {
            let row = refusal.row();
            let (event, fault) = (row.event.0, row.fault.label());
            told.answer = Answer {
                status: row.status,
                reason: Some(row.reason),
                event: Some(event),
                fault: Some(fault),
            };
            format!("{} {} (event {event}, fault: {fault})", row.status, row.reason)
        }
    };
    if what.json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        told.step("answer", answer);
        told.steps.iter().for_each(|(name, verdict)| println!("{name:<10} {verdict}"));
    }
    Ok(if told.answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Explanation {
    fn step(&mut self, name: &'static str, verdict: String) {
        self.steps.push((name, verdict));
    }

    fn refused(&mut self, name: &'static str, refusal: Refusal) -> anyhow::Result<Result<(), Refusal>> {
        self.step(name, format!("refused: {refusal}"));
        Ok(Err(refusal))
    }
}

fn stations(
    config: &Config,
    what: &Arguments,
    told: &mut Explanation,
) -> anyhow::Result<Result<(), Refusal>> {
    if what.target.contains("://") {
        anyhow::bail!(
            "`{}` is a URL; write the host alone, as in `example.com` or `example.com:443`",
            what.target
        );
    }
    let target = match parse(&what.target) {
        Ok(target) => target,
        Err(refusal) => return told.refused("target", refusal),
    };
    told.target = Some(target.to_string());
    told.step("target", target.to_string());
    let client = match identify(&config.roles.accounts(Arc::new(Verified::new([0; 32]))), what) {
        Ok(client) => client,
        Err(refusal) => {
            let user = what.user.as_ref().filter(|_| matches!(refusal, Refusal::CredentialsRejected));
            let Some(user) = user else { return told.refused("client", refusal) };
            let text = format!("refused: no role has a user '{user}' ({})", refusal.row().reason);
            told.step("client", text);
            return Ok(Err(refusal));
        }
    };
    let role = &client.role().name;
    let who = what
        .user
        .as_ref()
        .map_or_else(|| format!("anonymous from {}", what.from), |user| format!("user {user}"));
    told.step("client", format!("{who}, role {role}"));
    (told.user, told.role) = (what.user.clone(), Some(role.to_string()));
    told.from = what.user.is_none().then_some(what.from);
    let looked_at = client.role().destinations.rules();
    let permit = match client.role().destinations.authorize(&target) {
        Ok(permit) => permit,
        Err(refusal) => {
            told.step("rule", format!("refused: {refusal}; {looked_at} looked at"));
            return Ok(Err(refusal));
        }
    };
    if let Some(reported) = permit.reported() {
        let refusal = reported.refusal();
        told.would_refuse = Some(refusal.row().reason);
        told.step(
            "rule",
            format!("would be refused: {refusal}; {looked_at} looked at; role {role} is in report mode"),
        );
    }
    if let Some(found) = permit.rule() {
        told.rule = Some(found.to_string());
        told.step("rule", rule(found));
    }
    if !config.relay.proxies.is_empty() && !config.relay.bypasses(target.name()) {
        let relays: Vec<String> = config.relay.proxies.iter().map(ToString::to_string).collect();
        told.route = Some("relay");
        told.step("route", format!("relay {}", relays.join(", then ")));
        told.step("addresses", "the relay looks the name up".to_owned());
        return Ok(Ok(()));
    }
    told.route = Some("direct");
    told.step("route", "direct".to_owned());
    if what.no_dns {
        told.step("addresses", "not looked up".to_owned());
        return Ok(Ok(()));
    }
    judge(config, &permit, told)
}

/// Looks the name up and judges each address.
fn judge(config: &Config, permit: &Permit, told: &mut Explanation) -> anyhow::Result<Result<(), Refusal>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let resolver = Resolver::new(&config.dns)?;
    let found = match runtime.block_on(resolver.resolve(permit.target())) {
        Ok(found) => found,
        Err(refusal) => return told.refused("addresses", refusal),
    };
    let listeners: Vec<_> = config.listeners.iter().map(|listener| listener.address).collect();
    let own = own_addresses(&listeners).context("cannot read this machine's network addresses")?;
    let addresses = Addresses::new(config.allow.clone()).with_own(own);
    for address in &found {
        let vetted = resolver.vet(permit, *address, &addresses);
        told.addresses.push(Judged { address: address.to_string(), allowed: vetted.is_ok() });
        told.step(
            "address",
            match vetted {
                Ok(_) => format!("{address} may be dialled"),
                Err(Refusal::AddressForbidden { range, .. }) if permit.reported().is_some() => {
                    format!("{address} is forbidden: {range}; report mode does not use `[addresses] allow`")
                }
                Err(Refusal::AddressForbidden { range, .. }) => {
                    format!("{address} is forbidden: {range}; `[addresses] allow` would let it pass")
                }
                Err(refusal) => format!("{address} is forbidden: {refusal}"),
            },
        );
    }
    Ok(found.iter().try_for_each(|address| resolver.vet(permit, *address, &addresses).map(drop)))
}

fn parse(text: &str) -> Result<HostPort, Refusal> {
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(Refusal::AddressLiteral);
    }
    let with_port = if text.contains(':') { text.to_owned() } else { format!("{text}:443") };
    Ok(with_port.parse::<HostPort>()?)
}

fn identify(accounts: &Accounts, what: &Arguments) -> Result<Client, Refusal> {
    // Where no role has users, the gateway ignores credentials and the network decides.
    match what.user.as_ref().filter(|_| accounts.has_users()) {
        Some(user) => accounts.client_named(user).ok_or(Refusal::CredentialsRejected),
        None => match accounts.identify(Offered::Nothing, what.from)? {
            Identity::Known(client) => Ok(client),
            Identity::Unproven(_) => Err(Refusal::Internal),
        },
    }
}

fn rule(rule: &Rule) -> String {
    match &rule.origin {
        Origin::Bundle { purpose, .. } => format!("{rule}: {purpose}"),
        Origin::Configuration(_) => rule.to_string(),
    }
}
