//! The configuration as it is written: one struct a table, each default beside its field.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use common::cloud::Cloud;
use common::document::List;
use common::document::Parsed;
use common::document::values::Span;
use common::document::values::SpanOrNone;
use common::host_port::HostName;
use common::proxy_url::ProxyUrl;
use serde::Deserialize;
use toml::Spanned;

use super::values::AdminAddress;
use super::values::BundleName;
use super::values::FixedAnswer;
use super::values::Guid;
use super::values::Net;
use super::values::PercentEncodedWord;
use super::values::Server;
use super::values::StorageAccount;
use super::values::UploadCap;
use crate::events::LogFormat;
use crate::events::LogLevel;
use crate::policy::accounts::PercentEncoded;
use crate::policy::destinations::Mode;
use crate::policy::expectations::Expectation;
use crate::policy::pattern::Pattern;
use crate::policy::readiness::RedWhen;

type Duration = Parsed<Span>;

fn seconds(seconds: u64) -> Duration {
    Parsed(Span(std::time::Duration::from_secs(seconds)))
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listener: Vec<Spanned<Listener>>,
    pub(super) admin: Option<Spanned<Admin>>,
    pub(super) control: Control,
    pub(super) dns: Dns,
    pub(super) relay: Option<Spanned<Relay>>,
    pub(super) addresses: Addresses,
    pub(super) tunnel: Tunnel,
    pub(super) limits: Limits,
    pub(super) passwords: Passwords,
    pub(super) sandbox: Sandbox,
    pub(super) reload: Reload,
    pub(super) log: Log,
    pub(super) fleet: Fleet,
    pub(super) readiness: Readiness,
    pub(super) role: BTreeMap<String, Spanned<Role>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listener {
    pub(super) address: Parsed<SocketAddr>,
    pub(super) plain: bool,
    pub(super) tls: Option<Spanned<Tls>>,
    pub(super) proxy_protocol: Option<Spanned<ProxyProtocol>>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: Parsed(SocketAddr::from(([127, 0, 0, 1], 8080))),
            plain: true,
            tls: None,
            proxy_protocol: None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client_crl: Option<PathBuf>,
    pub(super) client_certificate: Option<super::ClientCertificatePolicy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProxyProtocol {
    pub(super) trusted: List<Net>,
    pub(super) required: bool,
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self { trusted: List::default(), required: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Passwords {
    pub(super) percent_encoded: Parsed<PercentEncodedWord>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { percent_encoded: Parsed(PercentEncodedWord(PercentEncoded::Accepted)) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) address: Parsed<AdminAddress>,
    pub(super) from: List<Net>,
    pub(super) tls: Option<Spanned<Tls>>,
    pub(super) names: List<HostName>,
    pub(super) users_file: Option<Spanned<PathBuf>>,
    pub(super) certificates: Vec<String>,
    pub(super) open: Vec<super::Open>,
}

impl Default for Admin {
    fn default() -> Self {
        let address = AdminAddress::At(SocketAddr::from(([127, 0, 0, 1], 9180)));
        Self {
            address: Parsed(address),
            from: List::default(),
            tls: None,
            names: List::default(),
            users_file: None,
            certificates: Vec::new(),
            open: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Control {
    pub(super) socket: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dns {
    pub(super) servers: List<Server>,
    pub(super) hosts: BTreeMap<Parsed<HostName>, List<FixedAnswer>>,
    pub(super) timeout: Duration,
    pub(super) stale_for: Parsed<SpanOrNone>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: List::default(),
            hosts: BTreeMap::new(),
            timeout: seconds(5),
            stale_for: Parsed(SpanOrNone(std::time::Duration::from_secs(60 * 60))),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Relay {
    pub(super) proxies: List<ProxyUrl>,
    pub(super) ca: Option<PathBuf>,
    pub(super) bypass: List<Pattern>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Addresses {
    pub(super) allow: List<Net>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tunnel {
    pub(super) minimum_tls: super::MinimumTls,
    pub(super) server_name: super::ServerNamePolicy,
    pub(super) hello: Duration,
    pub(super) connect: Duration,
    pub(super) idle: Duration,
    pub(super) drain: Parsed<SpanOrNone>,
    pub(super) lame_duck: Parsed<SpanOrNone>,
}

impl Default for Tunnel {
    fn default() -> Self {
        Self {
            minimum_tls: super::MinimumTls::Tls12,
            server_name: super::ServerNamePolicy::MustMatch,
            hello: seconds(10),
            connect: seconds(10),
            idle: seconds(30 * 60),
            drain: Parsed(SpanOrNone(std::time::Duration::from_secs(5 * 60))),
            lame_duck: Parsed(SpanOrNone(std::time::Duration::ZERO)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: NonZeroU32,
    pub(super) tunnels: NonZeroU32,
    pub(super) tunnels_per_client: NonZeroU32,
    pub(super) connects_per_second: NonZeroU32,
    pub(super) burst: NonZeroU32,
    pub(super) connections_per_address: NonZeroU32,
    pub(super) requests_per_second_per_address: NonZeroU32,
    pub(super) request_burst_per_address: NonZeroU32,
    pub(super) failed_logins_per_minute: NonZeroU32,
    pub(super) head_timeout: Duration,
    pub(super) setups: NonZeroU32,
    pub(super) setups_per_client: NonZeroU32,
    pub(super) setups_waiting: NonZeroU32,
    pub(super) setup_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: number(20_000),
            tunnels: number(10_000),
            tunnels_per_client: number(1_000),
            connects_per_second: number(100),
            burst: number(400),
            connections_per_address: number(10_000),
            requests_per_second_per_address: number(500),
            request_burst_per_address: number(2_000),
            failed_logins_per_minute: number(10),
            head_timeout: seconds(10),
            setups: number(500),
            setups_per_client: number(100),
            setups_waiting: number(2_000),
            setup_wait: seconds(10),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sandbox {
    pub(super) enabled: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reload {
    pub(super) watch: bool,
    pub(super) end_tunnels: super::EndTunnels,
    pub(super) must_allow: List<Expectation>,
    pub(super) must_deny: List<Expectation>,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            watch: true,
            end_tunnels: super::EndTunnels::Never,
            must_allow: List::default(),
            must_deny: List::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    pub(super) level: LogLevel,
    pub(super) journal_socket: PathBuf,
}

impl Default for Log {
    fn default() -> Self {
        let journal_socket = PathBuf::from("/run/systemd/journal/socket");
        Self { format: LogFormat::Auto, level: LogLevel::Info, journal_socket }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fleet {
    pub(super) clients: NonZeroU32,
    pub(super) silent_after: Parsed<SpanOrNone>,
}

impl Default for Fleet {
    fn default() -> Self {
        let silent_after = std::time::Duration::from_secs(15 * 60);
        Self { clients: number(10_000), silent_after: Parsed(SpanOrNone(silent_after)) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Readiness {
    pub(super) canaries: List<HostName>,
    pub(super) interval: Parsed<SpanOrNone>,
    pub(super) failures: NonZeroU32,
    pub(super) red_when: RedWhen,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            canaries: List::default(),
            interval: Parsed(SpanOrNone(std::time::Duration::from_secs(60))),
            failures: number(3),
            red_when: RedWhen::All,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Role {
    pub(super) anonymous_from: List<Net>,
    pub(super) users_file: Option<Spanned<PathBuf>>,
    pub(super) cloud: Parsed<Cloud>,
    pub(super) bundles: List<BundleName>,
    pub(super) workspaces: Option<Spanned<List<Guid>>>,
    pub(super) storage_accounts: Option<Spanned<List<StorageAccount>>>,
    pub(super) certificates: Vec<Spanned<String>>,
    pub(super) hosts: List<Pattern>,
    pub(super) upload_caps: BTreeMap<Parsed<Pattern>, Spanned<Parsed<UploadCap>>>,
    pub(super) tunnels: Option<NonZeroU32>,
    pub(super) mode: Mode,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            anonymous_from: List::default(),
            users_file: None,
            cloud: Parsed(Cloud::Public),
            bundles: List(
                BundleName::find("log-analytics").map(|name| Spanned::new(0..0, name)).into_iter().collect(),
            ),
            workspaces: None,
            storage_accounts: None,
            certificates: Vec::new(),
            hosts: List::default(),
            upload_caps: BTreeMap::new(),
            tunnels: None,
            mode: Mode::Enforce,
        }
    }
}
