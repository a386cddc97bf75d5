//! `la-gateway firewall nft`: packet filter rules that say again, beneath the program, what its configuration
//! allows: of the host in the DMZ, and of a machine behind the air gap.

mod agents;
mod also;
mod dmz;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use ipnet::IpNet;
use la_gateway::config::Config;
use la_gateway::dial::resolve::addresses;

use self::also::Also;
use self::dmz::Dmz;

const DNS: u16 = 53;
const SSH: u16 = 22;

/// What to make rules for.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print rules for nftables, made of the configuration; `nft -f` loads them, and replaces those of before
    Nft(Arguments),
}

/// Arguments of `firewall nft`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The machine that the rules are for
    #[arg(long, value_enum, default_value_t = Side::Dmz)]
    side: Side,
    /// DMZ: the user that the gateway runs as, a name or a number; only it gets out. `any`: every user does
    #[arg(long, value_name = "USER", default_value = "la-gateway")]
    user: Owner,
    /// DMZ: a network from which ssh is let in; may be given again. Without one ssh is shut
    #[arg(long, value_name = "NET", value_parser = network)]
    ssh_from: Vec<IpNet>,
    /// DMZ: the port of ssh
    #[arg(long, value_name = "PORT", default_value_t = SSH, value_parser = clap::value_parser!(u16).range(1..))]
    ssh_port: u16,
    /// DMZ: the networks of clients that come with a password or a certificate; may be given again [default: any]
    #[arg(long, value_name = "NET", value_parser = network)]
    agents_from: Vec<IpNet>,
    /// DMZ: a name server, in place of those that the gateway asks; may be given again
    #[arg(long, value_name = "IP[:PORT]", value_parser = name_server)]
    name_server: Vec<SocketAddr>,
    /// Agents: where a gateway, or the load balancer before it, is reached; may be given again [default: the listeners]
    #[arg(long, value_name = "IP:PORT")]
    gateway: Vec<SocketAddr>,
    /// What else the machine may reach, as in `udp/10.0.0.1:123` or `tcp/10.0.9.0/24:6514`; may be given again
    #[arg(long, value_name = "PROTO/NET:PORT")]
    also: Vec<Also>,
    /// Folder of your own rules: `input/*.nft` (DMZ) and `output/*.nft` in it are read each time these are loaded
    #[arg(long, value_name = "DIR", default_value = "/etc/la-gateway/firewall.d")]
    own_rules: PathBuf,
}

/// A machine's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    /// The gateway's host
    Dmz,
    /// A machine without internet access, which may only reach the gateway
    Agents,
}

/// Whose packets may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Any,
    User(String),
}

impl std::str::FromStr for Owner {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let may_begin = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        match text {
            "any" => Ok(Self::Any),
            _ if text.as_bytes().first().is_some_and(may_begin) && text.bytes().all(may_stand) => {
                Ok(Self::User(text.to_owned()))
            }
            _ => Err("write the user's name, its number, or `any`"),
        }
    }
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    let one = text.parse::<IpAddr>().map(IpNet::from);
    one.or_else(|_| text.parse().map(|net: IpNet| net.trunc()))
        .map_err(|_| "write a range, as in `10.20.0.0/16`, or one address")
}

fn name_server(text: &str) -> Result<SocketAddr, &'static str> {
    let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS));
    plain.or_else(|_| text.parse()).map_err(|_| "write an IP address, as in `10.0.0.53` or `10.0.0.53:5353`")
}

/// Runs the command: prints the rules, and says on standard error what they cannot know.
pub(super) fn firewall(config: &Config, command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Nft(what) = command;
    let (text, warnings) = match what.side {
        Side::Dmz => {
            let dmz = Dmz { config, what, servers: servers(config, what)? };
            (dmz.rules()?, dmz.warnings())
        }
        Side::Agents => (agents::rules(config, what)?, Vec::new()),
    };
    warnings.iter().for_each(|warning| eprintln!("la-gateway: {warning}"));
    super::show(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the name servers: those of the command line, of the configuration, or of the system.
fn servers(config: &Config, what: &Arguments) -> anyhow::Result<Vec<SocketAddr>> {
    match what.name_server.as_slice() {
        [] => addresses(&config.dns).context("write the name servers with --name-server"),
        servers => Ok(servers.to_vec()),
    }
}

/// Returns a path as it may stand in a comment, and between quotes: in one line, without quotes.
fn printable(path: &Path) -> String {
    path.display().to_string().replace(|letter: char| letter.is_control() || letter == '"', "?")
}
