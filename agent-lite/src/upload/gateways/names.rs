//! The names of gateways, the only names this program ever looks up.
//!
//! The hosts file is asked first, for both families: a gateway that is written there costs no packet.
//! The system's configuration is read at each lookup: tunnels are kept, lookups are rare.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use common::host_port::HostName;
use hickory_resolver::Hosts;
use hickory_resolver::Resolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::DnsError;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::RecordType;

/// Most addresses of one name.
pub(super) const MOST_ADDRESSES: usize = 8;
/// Answers kept: none that matter, a resolver lives for one lookup.
const CACHE: u64 = 4;
/// How long one question may wait for its answer; the whole lookup is bounded by its caller.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameTrouble {
    /// There is none in DNS nor in the hosts file.
    NotFound,
    /// No name server gave an answer.
    Failed(String),
}

/// Returns the addresses of a name, at most [`MOST_ADDRESSES`] and never none.
pub(super) async fn look_up(name: &HostName) -> Result<Vec<IpAddr>, NameTrouble> {
    let question = Name::from_ascii(name.as_str()).map_err(|error| failed(&error))?;
    let fixed = in_hosts_file(&question).unwrap_or_default();
    let mut found = match fixed.is_empty() {
        false => fixed,
        true => ask(question).await?,
    };
    found.truncate(MOST_ADDRESSES);
    match found.is_empty() {
        true => Err(NameTrouble::NotFound),
        false => Ok(found),
    }
}

fn in_hosts_file(name: &Name) -> io::Result<Vec<IpAddr>> {
    let hosts = Hosts::from_system()?;
    let mut absolute = name.clone();
    absolute.set_fqdn(true);
    let found = [RecordType::A, RecordType::AAAA].into_iter().filter_map(|family| {
        let lookup = hosts.lookup_static_host(&Query::query(absolute.clone(), family))?;
        Some(lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
    });
    Ok(found.flatten().collect())
}

async fn ask(name: Name) -> Result<Vec<IpAddr>, NameTrouble> {
    let mut builder = Resolver::builder_tokio().map_err(|error| failed(&error))?;
    let options = builder.options_mut();
    options.cache_size = CACHE;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = options.timeout.min(PATIENCE);
    let resolver = builder.build().map_err(|error| failed(&error))?;
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Err(NameTrouble::NotFound),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &dyn std::error::Error) -> NameTrouble {
    NameTrouble::Failed(error.to_string())
}
