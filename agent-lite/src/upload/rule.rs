//! The data collection rule's blob, asked for through the gateways.

use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;
use tokio_rustls::rustls;
use uuid::Uuid;

use crate::parse::dcr::LARGEST_RULE;
use crate::transport::RuleBlobAddress;
use crate::transport::retry_after;
use crate::transport::rule_version;
use crate::upload::gateways::Gateways;
use crate::upload::https::Answer;
use crate::upload::https::Channel;
use crate::upload::https::skew;
use crate::upload::roots::Roots;

/// How long one request may take, the tunnel included.
const LIMIT: Duration = Duration::from_secs(60);

/// The way to the blob.
pub struct RuleBlob {
    address: RuleBlobAddress,
    channel: Channel,
}

/// What the storage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The version that is known.
    Unchanged,
    /// Another one.
    Document {
        /// Its version, if the storage named one that can be sent back.
        etag: Option<String>,
        /// The rule.
        bytes: Bytes,
    },
}

/// Why there is none. Neither the signature nor the storage's words are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailure {
    /// What happened and what to change.
    pub detail: String,
    /// When the storage wants to be asked again.
    pub asked: Option<Duration>,
}

impl RuleBlob {
    /// Begins without a connection.
    pub fn new(address: RuleBlobAddress, gateways: Gateways, roots: &Roots) -> Result<Self, rustls::Error> {
        let channel = Channel::new(gateways, address.host().clone(), roots.client(None)?);
        Ok(Self { address, channel })
    }

    /// Asks for the blob, if it is another than this version of it. Nothing is kept open between two looks.
    pub async fn fetch(&mut self, known: Option<&str>) -> Result<Fetched, FetchFailure> {
        // One byte more than the largest: whether a rule is larger is seen by it.
        // A version that was made of the bytes is nothing that the storage knows.
        let etag = known.filter(|version| !version.starts_with("sha256:"));
        let request = self.address.request(etag, LARGEST_RULE + 1, Uuid::new_v4());
        let outcome = self.channel.send(&request, LIMIT).await;
        self.channel.close();
        let answer = outcome.map_err(|error| FetchFailure {
            detail: format!("{error}; {}", error.what_to_change()),
            asked: None,
        })?;
        match answer.status {
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(Fetched::Unchanged),
            StatusCode::OK => {
                Ok(Fetched::Document { etag: rule_version(&answer.headers), bytes: answer.body })
            }
            _ => Err(self.refusal(&answer)),
        }
    }

    fn refusal(&self, answer: &Answer) -> FetchFailure {
        let now = SystemTime::now();
        let asked = retry_after(&answer.headers, answer.date.unwrap_or(now));
        let mut detail = format!("{} answers {}", self.address.host().name(), answer.status.as_u16());
        if let Some(code) = code(&answer.headers) {
            detail.push_str(&format!(" ({code})"));
        }
        match answer.date.and_then(|date| skew(now, date)) {
            Some(skew) => detail.push_str(&format!("; this machine's clock is {skew}: set it")),
            None => detail.push_str(advice(answer.status)),
        }
        FetchFailure { detail, asked }
    }
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => {
            "; the signature has ended or is not right, or the account's firewall does not let the gateway in: make a new Blob SAS URL with the permission Read, write it into `blob_sas_url_file`, and send SIGHUP"
        }
        404 => "; there is no such blob: look at container and name",
        _ => "",
    }
}

/// Returns the storage's error code, a word of letters and digits. The body is not shown: it may quote the signature.
fn code(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("x-ms-error-code")?.to_str().ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (plain && (1..=64).contains(&text.len())).then_some(text)
}

#[cfg(test)]
mod tests;
