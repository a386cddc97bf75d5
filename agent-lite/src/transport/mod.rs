//! Pure: records, time and keys become requests; statuses become verdicts.
//!
//! A [`Packer`] turns the records of a [`Batch`] into the body of one request, a [`Parcel`], within the
//! service's size limit. The module of the workspace's transport makes the request around it, and
//! [`verdict()`] says what the answer's status means.

use bytes::Bytes;
use common::host_port::HostName;
use common::host_port::HostPort;
use common::host_port::HostPortError;
use uuid::Uuid;

use crate::record::Table;

pub mod certificate;
pub mod data_collector;
pub mod log_analytics_agent;
pub mod logs_ingestion;
mod packer;
mod reason;
mod request;
mod rows;
mod rule_blob;
mod sign;
mod squeeze;
mod times;
mod verdict;
mod write;

pub use self::packer::Packer;
pub use self::packer::Packing;
pub use self::packer::Step;
pub use self::reason::reason;
pub use self::rule_blob::RuleBlobAddress;
pub use self::rule_blob::RuleBlobError;
pub use self::rule_blob::rule_version;
pub use self::sign::KeyError;
pub use self::sign::WorkspaceKey;
pub use self::verdict::LONGEST_RETRY_AFTER;
pub use self::verdict::Verdict;
pub use self::verdict::retry_after;
pub use self::verdict::verdict;

/// Most bytes of a body, before and after compression: the Logs Ingestion API's 1 MB, read as the smaller of
/// the two numbers that are called so.
pub const LARGEST_BODY: usize = 1_000_000;

/// Most bytes of an answer that are kept where nothing else is said: 64 KiB.
pub const LARGEST_ANSWER: usize = 64 * 1024;

/// A request that is ready to be sent through a gateway. Queries and bodies may hold secrets: `Debug` shows neither.
pub struct Outgoing {
    /// The origin; its port is 443 in the real world.
    pub host: HostPort,
    /// Method, path and query, fields and body. The URI is in origin form; `Host` and `Content-Length` are set
    /// by whoever sends it.
    pub request: http::Request<Bytes>,
    /// Whether the client certificate of the agent is shown.
    pub certificate: ClientCertificate,
    /// Most bytes of the answer's body that are kept; most have [`LARGEST_ANSWER`].
    pub largest_answer: usize,
}

/// Whether a TLS client certificate is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientCertificate {
    /// The agent's own.
    Shown,
    /// None.
    NotShown,
}

/// Who sends: the same for every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// This machine's name.
    pub computer: String,
    /// The agent's identity.
    pub agent_id: Uuid,
    /// The version of this program.
    pub version: &'static str,
    /// The machine's own address, or [`UNKNOWN_IP`].
    pub host_ip: String,
    /// The SMBIOS UUID, or zeros.
    pub machine_uuid: String,
}

/// What stands for an address that nobody knows (Log Analytics agent, `HostIP`).
pub const UNKNOWN_IP: &str = "Unknown IP";

/// The hosts of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceEndpoints {
    id: String,
    domain: String,
    oms: HostPort,
    ods: HostPort,
}

impl WorkspaceEndpoints {
    /// Joins a workspace's GUID and a domain like `opinsights.azure.com`.
    pub fn new(id: &str, domain: &str) -> Result<Self, HostPortError> {
        let host = |service: &str| {
            let name: HostName = format!("{id}.{service}.{domain}").parse()?;
            Ok(HostPort::new(name, 443))
        };
        let (oms, ods) = (host("oms")?, host("ods")?);
        Ok(Self { id: id.to_ascii_lowercase(), domain: domain.to_ascii_lowercase(), oms, ods })
    }

    /// Returns the workspace's GUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the host of onboarding, configuration and renewal.
    pub fn oms(&self) -> &HostPort {
        &self.oms
    }

    /// Returns the host that takes data.
    pub fn ods(&self) -> &HostPort {
        &self.ods
    }

    /// Returns whether a blob of this workspace may lie at a host: a storage account of the same cloud. Of a cloud that
    /// is not known only the form of the name is (oms-protocol, section 9).
    fn may_have_blobs(&self, host: &HostName) -> bool {
        let suffix = match self.domain.as_str() {
            "opinsights.azure.com" => "core.windows.net",
            "opinsights.azure.us" => "core.usgovcloudapi.net",
            "opinsights.azure.cn" => "core.chinacloudapi.cn",
            _ => "",
        };
        let account = host.as_str().split_once(".blob.");
        account.is_some_and(|(account, rest)| {
            let known = suffix.is_empty() && rest.starts_with("core.") || rest == suffix;
            known && !account.contains('.')
        })
    }

    /// Returns whether a host belongs to the same domain.
    fn same_domain(&self, host: &HostName) -> bool {
        let rest = host.as_str().strip_suffix(self.domain.as_str());
        rest.is_some_and(|name| name.ends_with('.'))
    }
}

/// How records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The legacy agent's items; custom tables as text for a blob.
    LogAnalyticsAgent {
        /// The workspace's GUID.
        workspace: String,
    },
    /// An array of objects, not compressed.
    DataCollector,
    /// An array of objects, compressed.
    LogsIngestion,
}

/// A run of records of one segment.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The table of all of them.
    pub table: &'a Table,
    /// The segment's number.
    pub number: u64,
    /// The index in the segment of the first record.
    pub first: u32,
    /// The records, from that one on.
    pub frames: &'a [u8],
}

/// Most that one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Records; 0 is taken as 1.
    pub records: u32,
    /// Bytes of the body, brackets and all, before and after compression.
    pub raw: usize,
}

impl Limit {
    /// Returns whether a request may have this body.
    pub fn holds(&self, parcel: &Parcel) -> bool {
        parcel.body.len() <= self.raw
    }

    /// Returns the limit for what cannot be compressed: it grows, at the worst from 8 to 9 bits a byte, by the fixed
    /// codes of deflate.
    #[must_use]
    pub fn incompressible(self) -> Self {
        Self { raw: self.raw.saturating_sub(self.raw / 8 + 64), ..self }
    }
}

/// The body of one request, and what became of the records at the front of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// What is sent; empty if no row is in it.
    pub body: Bytes,
    /// `Content-Encoding`.
    pub encoding: Option<&'static str>,
    /// Records of the batch that are done with when this is delivered.
    pub records: u32,
    /// Rows in the body; with none, nothing need be sent.
    pub sent: u32,
    /// Bytes of the batch's frames that hold those records.
    pub consumed: usize,
    /// Bytes of the body before compression.
    pub raw: usize,
    /// Rows with a field that was cut for the sake of a limit.
    pub shortened: u32,
    /// Records that could not be read, or not be made small enough: they are not in the body.
    pub damaged: u32,
    /// The file that all rows come from, if this is text for a blob.
    pub file_path: Option<String>,
}
