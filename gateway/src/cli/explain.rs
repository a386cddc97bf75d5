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
use la_gateway::policy::destinations::Rule;
use la_gateway::policy::passwords::Verified;
use la_gateway::refusal::Refusal;

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
}

/// Prints each station's verdict. Succeeds when the CONNECT would be answered with 200; nothing is dialled.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn explain(config: &Config, what: &Arguments) -> anyhow::Result<ExitCode> {
    match stations(config, what)? {
        Ok(()) => {
            println!("answer     200, if the destination accepts the connection");
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) => {
            let row = refusal.row();
            println!(
                "answer     {} {} (event {}, fault: {})",
                row.status,
                row.reason,
                row.event,
                row.fault.label()
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn stations(config: &Config, what: &Arguments) -> anyhow::Result<Result<(), Refusal>> {
    if what.target.contains("://") {
        anyhow::bail!(
            "`{}` is a URL; write the host alone, as in `example.com` or `example.com:443`",
            what.target
        );
    }
    let step = |name: &str, verdict: String| println!("{name:<10} {verdict}");
    let target = match parse(&what.target) {
        Ok(target) => target,
        Err(refusal) => {
            step("target", format!("refused: {refusal}"));
            return Ok(Err(refusal));
        }
    };
    step("target", target.to_string());
    let client = match identify(&config.roles.accounts(Arc::new(Verified::new([0; 32]))), what) {
        Ok(client) => client,
        Err(refusal) => {
            step("client", format!("refused: {refusal}"));
            return Ok(Err(refusal));
        }
    };
    let who = what
        .user
        .as_ref()
        .map_or_else(|| format!("anonymous from {}", what.from), |user| format!("user {user}"));
    step("client", format!("{who}, role {}", client.role().name));
    let permit = match client.role().destinations.authorize(&target) {
        Ok(permit) => permit,
        Err(refusal) => {
            step("rule", format!("refused: {refusal}; {} looked at", client.role().destinations.rules()));
            return Ok(Err(refusal));
        }
    };
    step("rule", rule(permit.rule()));
    if !config.relay.proxies.is_empty() && !config.relay.bypasses(target.name()) {
        let relays: Vec<String> = config.relay.proxies.iter().map(ToString::to_string).collect();
        step("route", format!("relay {}", relays.join(", then ")));
        step("addresses", "the relay looks the name up".to_owned());
        return Ok(Ok(()));
    }
    step("route", "direct".to_owned());
    if what.no_dns {
        step("addresses", "not looked up".to_owned());
        return Ok(Ok(()));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let resolver = Resolver::new(&config.dns)?;
    let found = match runtime.block_on(resolver.resolve(&target)) {
        Ok(found) => found,
        Err(refusal) => {
            step("addresses", format!("refused: {refusal}"));
            return Ok(Err(refusal));
        }
    };
    let listeners: Vec<_> = config.listeners.iter().map(|listener| listener.address).collect();
    let own = own_addresses(&listeners).context("cannot read this machine's network addresses")?;
    let addresses = Addresses::new(config.allow.clone()).with_own(own);
    for address in &found {
        step(
            "address",
            match addresses.vet(*address) {
                Ok(_) => format!("{address} may be dialled"),
                Err(Refusal::AddressForbidden { range, .. }) => {
                    format!("{address} is forbidden: {range}; `[addresses] allow` would let it pass")
                }
                Err(refusal) => format!("{address} is forbidden: {refusal}"),
            },
        );
    }
    Ok(addresses.vet_all(&found).map(|_| ()))
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
