//! Values that are written as strings and are more than strings.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::policy::accounts::PercentEncoded;
use crate::policy::bundles;
use crate::policy::bundles::Bundle;
use crate::policy::names::FixedAddress;
use crate::policy::pattern::is_guid;
use crate::policy::pattern::is_storage_account;

/// Where the admin listener is: an address, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdminAddress {
    At(SocketAddr),
    Off,
}

impl FromStr for AdminAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            _ => text
                .parse()
                .map(Self::At)
                .map_err(|_| "write an address and a port, as in `127.0.0.1:9180`, or `off`"),
        }
    }
}

/// A network: a range, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Net(pub(super) IpNet);

impl FromStr for Net {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = text.parse::<IpAddr>().map(|ip| Self(IpNet::from(ip)));
        one.or_else(|_| text.parse().map(Self))
            .map_err(|_| "write a range, as in `10.20.0.0/16`, or one address")
    }
}

/// Most bytes a client may send in one tunnel: at least a TLS hello's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UploadCap(pub(super) u64);

impl FromStr for UploadCap {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LEAST: u64 = 4 * 1024;
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) if size.0 >= LEAST => Ok(Self(size.0)),
            _ => Err(
                "write a size from `4 KiB` on, as in `256 KiB`; less than a TLS hello lets nothing through",
            ),
        }
    }
}

/// A name server: an address with port 53, or with its own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server(pub(super) SocketAddr);

impl FromStr for Server {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const DNS: u16 = 53;
        let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS));
        plain
            .or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| "write the name server's IP address, as in `10.0.0.53` or `10.0.0.53:5353`")
    }
}

/// A fixed answer for a name: an address, and a port where it is not the target's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FixedAnswer(pub(super) FixedAddress);

impl FromStr for FixedAnswer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alone = text.parse::<IpAddr>().map(|ip| FixedAddress { ip, port: None });
        alone
            .or_else(|_| text.parse().map(|at: SocketAddr| FixedAddress { ip: at.ip(), port: Some(at.port()) }))
            .map(Self)
            .map_err(|_| "write an IP address, as in `20.0.0.1`, or with a port that replaces 443, as in `20.0.0.1:8443`")
    }
}

/// Whether percent-encoded passwords are accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct PercentEncodedWord(pub(super) PercentEncoded);

impl FromStr for PercentEncodedWord {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "accepted" => Ok(Self(PercentEncoded::Accepted)),
            "refused" => Ok(Self(PercentEncoded::Refused)),
            _ => Err("write `accepted` or `refused`"),
        }
    }
}

/// The name of a bundle that exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct BundleName(pub(super) &'static Bundle);

impl BundleName {
    pub(super) fn find(name: &str) -> Option<Self> {
        bundles::find(name).map(Self)
    }
}

impl FromStr for BundleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::find(text).ok_or_else(|| {
            let names: Vec<&str> = bundles::ALL.iter().map(|bundle| bundle.name).collect();
            format!("there is no such bundle; write one of {}", names.join(", "))
        })
    }
}

/// A workspace id, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Guid(pub(super) String);

impl FromStr for Guid {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_guid(text) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err("a workspace id is a GUID, as in `1234a123-aa1a-123a-aaa1-a1a345aa6789`"),
        }
    }
}

/// A storage account's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StorageAccount(pub(super) String);

impl FromStr for StorageAccount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_storage_account(text) {
            true => Ok(Self(text.to_owned())),
            false => Err("a storage account is named by 3 to 24 lower-case letters and digits"),
        }
    }
}
