//! The air-gapped side: a machine may reach its gateways, and what its operator names.

use std::net::SocketAddr;

use anyhow::bail;
use ipnet::IpNet;
use la_gateway::config::Config;

use super::Arguments;
use super::table;
use super::table::Protocol;

/// Returns the rules.
pub(super) fn rules(config: &Config, what: &Arguments) -> anyhow::Result<String> {
    let (gateways, origin) = match what.gateway.as_slice() {
        [] => (listeners(config)?, "[[listener]] address"),
        gateways => (gateways.to_vec(), "--gateway"),
    };
    let head = [
        "Rules of a machine behind the air gap, made by `la-gateway firewall nft --side agents`.".to_owned(),
        "It may reach the gateways and what is named here. Whoever may reach it is your business: there is no".to_owned(),
        "rule for what comes in, and answers to that go out.".to_owned(),
    ];
    Ok(table::file(&head, &["forward", "output"], |lines| {
        lines.base_chain("forward", |_| {});
        lines.base_chain("output", |lines| {
            for gateway in &gateways {
                lines.comment(&format!("{origin} = \"{gateway}\""));
                lines.accept(&[IpNet::from(gateway.ip())], "daddr", Protocol::Tcp, gateway.port());
            }
            lines.also(&what.also);
            lines.own_rules(&what.own_rules, "output");
        });
    }))
}

/// Returns where agents reach the listeners, if the configuration tells.
fn listeners(config: &Config) -> anyhow::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for listener in &config.listeners {
        let address = listener.address;
        if address.ip().is_loopback() {
            continue;
        }
        let behind = listener.proxy_protocol.as_ref().is_some_and(|proxy| proxy.required);
        match () {
            () if behind => bail!(
                "the listener at {address} is behind a load balancer; write where agents reach that one, with --gateway IP:PORT"
            ),
            () if address.ip().is_unspecified() => bail!(
                "the listener at {address} is at every address of its host; write the one that agents use, with --gateway IP:PORT"
            ),
            () if address.port() == 0 => bail!(
                "the system chooses the port of the listener at {address}; write one, or --gateway IP:PORT"
            ),
            () => found.push(address),
        }
    }
    if found.is_empty() {
        bail!("every listener is on loopback; write where agents reach the gateway, with --gateway IP:PORT");
    }
    Ok(found)
}
