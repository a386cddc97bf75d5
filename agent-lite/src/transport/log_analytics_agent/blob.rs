use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::host_port::HostPort;
use common::secret::Secret;
use http::HeaderMap;
use http::Uri;
use http::header::ETAG;
use serde::Deserialize;
use uuid::Uuid;

use super::data;
use super::reply::https_host;
use crate::record::Table;
use crate::record::Timestamp;
use crate::transport::Agent;
use crate::transport::ClientCertificate;
use crate::transport::Outgoing;
use crate::transport::WorkspaceEndpoints;
use crate::transport::request::encoded;
use crate::transport::request::path;
use crate::transport::sign::hex_hash;
use crate::transport::times::compact_day;

/// Largest answer that is read: 4 MiB, the names of all blocks of a full blob and more.
const LARGEST_REPLY: usize = 4 * 1024 * 1024;
/// Most blocks of a blob (Azure Storage, scale targets of Blob storage).
const MOST_BLOCKS: usize = 50_000;
/// Longest name of a block in base64: 64 bytes before (Azure Storage, Put Block).
const LONGEST_BLOCK: usize = 88;
/// Longest URL that is used.
const LONGEST_URL: usize = 8 * 1024;
/// The management group of every agent that has none.
const MANAGEMENT_GROUP: &str = "00000000-0000-0000-0000-000000000002";

/// A file whose lines go to a custom table.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// The table.
    pub table: &'a Table,
    /// The file's path, as a parcel has it.
    pub file_path: &'a str,
}

impl Log<'_> {
    fn data_type(&self, workspace: &WorkspaceEndpoints) -> String {
        format!("CUSTOM_LOG_BLOB.{}_{}", self.table.name(), workspace.id())
    }
}

/// Returns the request for a place where text may be put: one blob a file and day.
pub fn blob_uri(
    workspace: &WorkspaceEndpoints,
    agent: &Agent,
    log: &Log<'_>,
    now: Timestamp,
    request_id: Uuid,
    retries: u32,
) -> Outgoing {
    let (table, computer, id) = (log.table.name(), &agent.computer, agent.agent_id.hyphenated());
    let (day, file) = (compact_day(now), hex_hash(log.file_path.as_bytes()));
    let body = serde_json::json!({
        "ContainerType": "CustomLog",
        "DataTypeId": log.data_type(workspace),
        "ExpiryDuration": "00:10:00",
        "Suffix": format!("{table}_{}/{MANAGEMENT_GROUP}/{computer}/{id}/d={day}/{file}.log", workspace.id()),
        "SkipScanningQueue": true,
        "SupportWriteOnlyBlob": true,
    });
    data(workspace, "/ContainerService.svc/GetBlobUploadUri", agent, request_id)
        .field("x-ms-client-request-retry-count", itoa::Buffer::new().format(retries))
        .largest_answer(LARGEST_REPLY)
        .body(Bytes::from(body.to_string()))
}

/// Where text may be put. The signature in its query is a secret.
#[derive(Clone, Debug)]
pub struct BlobPlace {
    host: HostPort,
    path: String,
    signature: Secret,
    blocks: Vec<String>,
    size: u64,
}

/// An answer that names no place. It quotes nothing, because a URL with a signature may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Not the JSON that is expected.
    #[error("the answer holds no `Uri`, `CommittedBlockList` and `Size`")]
    Form,
    /// The place is not one to use.
    #[error("the answer's `Uri` is not an `https` URL with a signature")]
    Uri,
    /// The place is none of this cloud's.
    #[error(
        "the answer's `Uri` leads to a host that is no blob storage of this cloud, so nothing is sent there"
    )]
    Host,
    /// The blob is full.
    #[error("the blob has as many blocks as one can have; a new one begins tomorrow")]
    Full,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "Uri")]
    uri: String,
    #[serde(rename = "CommittedBlockList", default)]
    blocks: Option<Vec<String>>,
    #[serde(rename = "Size", default)]
    size: Option<u64>,
}

impl BlobPlace {
    /// Reads the answer to [`blob_uri`]. Whoever answers chooses neither any host nor any port behind the gateway.
    pub fn parse(body: &[u8], workspace: &WorkspaceEndpoints) -> Result<Self, BlobError> {
        if body.len() > LARGEST_REPLY {
            return Err(BlobError::Form);
        }
        let reply: Reply = serde_json::from_slice(body).map_err(|_| BlobError::Form)?;
        let blocks = reply.blocks.unwrap_or_default();
        if blocks.len() >= MOST_BLOCKS {
            return Err(BlobError::Full);
        }
        if !blocks.iter().all(|block| is_block(block.trim_end())) || reply.uri.len() > LONGEST_URL {
            return Err(BlobError::Form);
        }
        let uri: Uri = reply.uri.parse().map_err(|_| BlobError::Uri)?;
        let (Some(host), Some(signature)) = (https_host(&uri), uri.query()) else {
            return Err(BlobError::Uri);
        };
        if host.port() != 443 || !workspace.may_have_blobs(host.name()) {
            return Err(BlobError::Host);
        }
        Ok(Self {
            host,
            path: uri.path().to_owned(),
            signature: Secret::new(signature.to_owned()),
            blocks: blocks.into_iter().map(|block| block.trim_end().to_owned()).collect(),
            size: reply.size.unwrap_or_default(),
        })
    }

    /// Returns the host.
    pub fn host(&self) -> &HostPort {
        &self.host
    }

    /// Returns the bytes that are in the blob already.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the URL without its signature.
    fn url(&self) -> String {
        format!("https://{}{}", self.host.name(), self.path)
    }

    fn put(&self, operation: &str, agent: &Agent, request_id: Uuid) -> Outgoing {
        let path = path(format!("{}?{}&{operation}", self.path, self.signature.expose()));
        Outgoing::post(&self.host, path, ClientCertificate::NotShown)
            .put()
            .field("content-type", "application/octet-stream")
            .field("x-ms-version", "2016-05-31")
            .field("x-ms-meta-timezoneid", "UTC")
            .field("x-ms-meta-computername", &agent.computer)
            .identity(agent, request_id)
    }
}

fn is_block(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    plain && (1..=LONGEST_BLOCK).contains(&text.len())
}

/// Returns the name of a block on the wire: the text of a UUID in base64.
fn block_name(block: Uuid) -> String {
    STANDARD.encode(block.hyphenated().to_string())
}

/// Returns the request that puts text there as one block. Success is 201.
pub fn put_block(place: &BlobPlace, agent: &Agent, block: Uuid, text: Bytes, request_id: Uuid) -> Outgoing {
    let operation = format!("comp=block&blockid={}", encoded(&block_name(block)));
    place.put(&operation, agent, request_id).body(text)
}

/// Returns the request that makes the block a part of the blob. Success is 201, with an [`etag`].
pub fn put_block_list(
    place: &BlobPlace,
    agent: &Agent,
    log: &Log<'_>,
    block: Uuid,
    request_id: Uuid,
) -> Outgoing {
    let mut body = String::with_capacity(100 + place.blocks.len() * 80);
    body.push_str("<BlockList>");
    for known in &place.blocks {
        body.push_str("<Committed>");
        body.push_str(known);
        body.push_str("</Committed>");
    }
    body.push_str("<Uncommitted>");
    body.push_str(&block_name(block));
    body.push_str("</Uncommitted></BlockList>");
    place
        .put("comp=blocklist", agent, request_id)
        .field("x-ms-meta-filepath", log.file_path)
        .body(Bytes::from(body))
}

/// Returns the version of the blob that an answer names, without quotation marks.
pub fn etag(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ETAG)?.to_str().ok()?.trim_matches('"');
    (text.len() <= 128).then(|| text.to_owned())
}

/// Returns the request that tells the service of text that was put there. `sent` is its bytes.
pub fn blob_done(
    workspace: &WorkspaceEndpoints,
    agent: &Agent,
    log: &Log<'_>,
    place: &BlobPlace,
    sent: u64,
    etag: &str,
    request_id: Uuid,
) -> Outgoing {
    let body = serde_json::json!({
        "metadata-TimeZoneId": "UTC",
        "DataType": "BLOB_UPLOAD_NOTIFICATION",
        "IPName": "",
        "DataItems": [{
            "BlobUrl": place.url(),
            "OriginalDataTypeId": log.data_type(workspace),
            "StartOffset": place.size,
            "FileSize": place.size.saturating_add(sent),
            "Etag": etag,
        }],
    });
    data(workspace, "/ContainerService.svc/PostBlobUploadNotification", agent, request_id)
        .body(Bytes::from(body.to_string()))
}

#[cfg(test)]
mod tests;
