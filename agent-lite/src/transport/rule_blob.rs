//! The blob with the data collection rule: its address, whose signature is a secret, and the request for it.

use common::cloud::Cloud;
use common::host_port::HostName;
use common::host_port::HostPort;
use common::secret::Secret;
use http::HeaderMap;
use http::Uri;
use http::header::ETAG;
use http::header::IF_NONE_MATCH;
use uuid::Uuid;

use super::ClientCertificate;
use super::Outgoing;
use super::request::path;

/// Longest address.
const LONGEST_ADDRESS: usize = 8 * 1024;
/// Longest version of a blob that is sent back.
const LONGEST_ETAG: usize = 128;

/// A blob's URL with its shared access signature. `Debug` shows no signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleBlobAddress {
    host: HostPort,
    path: String,
    signature: Secret,
}

/// Why an address cannot be used. Nothing of it is quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleBlobError {
    /// No URL, or one with a user, a port or too long.
    #[error(
        "it must be a Blob SAS URL, as in `https://account.blob.core.windows.net/container/rule.json?sv=…&sig=…`"
    )]
    Form,
    /// Another scheme.
    #[error("a Blob SAS URL begins with `https://`; in clear anybody could change the rule")]
    Scheme,
    /// Another host.
    #[error("its host is no blob storage of the cloud `{0}`: write the storage account's own name, `account.blob.{suffix}`", suffix = suffix(*.0))]
    Host(Cloud),
    /// No container or no blob.
    #[error("its path names no blob: `/container/rule.json`")]
    Path,
    /// No signature.
    #[error("its query has no signature (`sig`): let the portal make a Blob SAS URL")]
    Signature,
    /// It may do more than read.
    #[error(
        "its signature lets its bearer do more than read (`sp`): whoever reads it here could write the rule of every agent. Make one with the permission Read alone"
    )]
    Permission,
}

impl RuleBlobAddress {
    /// Reads an address that may lie in a cloud's blob storage only, in an account of its own name.
    pub fn parse(text: &Secret, cloud: Cloud) -> Result<Self, RuleBlobError> {
        let text = text.expose();
        if text.len() > LONGEST_ADDRESS || text.contains('#') {
            return Err(RuleBlobError::Form);
        }
        let uri: Uri = text.parse().map_err(|_| RuleBlobError::Form)?;
        if uri.scheme_str() != Some("https") {
            return Err(RuleBlobError::Scheme);
        }
        let authority = uri.authority().ok_or(RuleBlobError::Form)?.as_str();
        if authority.contains(['@', ':']) {
            return Err(RuleBlobError::Form);
        }
        let name: HostName = authority.parse().map_err(|_| RuleBlobError::Form)?;
        if !is_account(&name, cloud) {
            return Err(RuleBlobError::Host(cloud));
        }
        let parts = uri.path().trim_start_matches('/').split_once('/');
        if parts.is_none_or(|(container, blob)| container.is_empty() || blob.is_empty()) {
            return Err(RuleBlobError::Path);
        }
        let query = uri.query().unwrap_or_default();
        let value = |wanted: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted)
        };
        if value("sig").is_none_or(|(_, value)| value.is_empty()) {
            return Err(RuleBlobError::Signature);
        }
        if value("sp").is_some_and(|(_, rights)| rights.chars().any(|right| !matches!(right, 'r' | 'l'))) {
            return Err(RuleBlobError::Permission);
        }
        let signature = Secret::new(query.to_owned());
        Ok(Self { host: HostPort::new(name, 443), path: uri.path().to_owned(), signature })
    }

    /// Returns the host.
    pub fn host(&self) -> &HostPort {
        &self.host
    }

    /// Returns the address without its signature, which may be shown.
    pub fn shown(&self) -> String {
        format!("https://{}{}", self.host.name(), self.path)
    }

    /// Returns the request for the blob, if it is another than this version of it.
    pub fn request(&self, known: Option<&str>, largest: usize, request_id: Uuid) -> Outgoing {
        let path = path(format!("{}?{}", self.path, self.signature.expose()));
        let outgoing = Outgoing::post(&self.host, path, ClientCertificate::NotShown)
            .get()
            .largest_answer(largest)
            .field("x-ms-client-request-id", &request_id.hyphenated().to_string());
        match known {
            Some(etag) => outgoing.field(IF_NONE_MATCH.as_str(), etag),
            None => outgoing,
        }
    }
}

/// Returns the version of the blob that an answer names, as it stands there.
pub fn rule_version(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ETAG)?.to_str().ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (plain && (1..=LONGEST_ETAG).contains(&text.len())).then(|| text.to_owned())
}

fn suffix(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "core.windows.net",
        Cloud::UsGovernment => "core.usgovcloudapi.net",
        Cloud::China => "core.chinacloudapi.cn",
    }
}

/// The name of a storage account has 3 to 24 small letters and digits, which is what gateways let pass.
fn is_account(host: &HostName, cloud: Cloud) -> bool {
    let account = host.as_str().strip_suffix(suffix(cloud)).and_then(|rest| rest.strip_suffix(".blob."));
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    account.is_some_and(|name| (3..=24).contains(&name.len()) && plain(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "https://acct01.blob.core.windows.net/rules/edge%207.json?sv=2022-11-02&sp=r&sig=s3cr%2Bet%3D";

    fn parse(text: &str) -> Result<RuleBlobAddress, RuleBlobError> {
        RuleBlobAddress::parse(&Secret::new(text.to_owned()), Cloud::Public)
    }

    #[test]
    fn an_address_is_shown_without_its_signature_and_sent_with_it() {
        let address = parse(GOOD).unwrap();
        assert_eq!(address.shown(), "https://acct01.blob.core.windows.net/rules/edge%207.json");
        let outgoing = address.request(Some("\"0x8D\""), 1, Uuid::nil());
        assert_eq!(outgoing.host.to_string(), "acct01.blob.core.windows.net:443");
        assert_eq!(outgoing.request.method(), http::Method::GET);
        assert!(outgoing.request.uri().query().unwrap().ends_with("sig=s3cr%2Bet%3D"));
        assert_eq!(outgoing.request.headers()["if-none-match"], "\"0x8D\"");
        for shown in [format!("{address:?}"), format!("{outgoing:?}")] {
            assert!(!shown.contains("s3cr"), "{shown}");
        }
        assert!(address.request(None, 1, Uuid::nil()).request.headers().get("if-none-match").is_none());
    }

    #[test]
    fn an_address_leads_nowhere_but_to_a_storage_account_of_the_cloud_and_may_only_read() {
        use RuleBlobError::*;
        let host = Host(Cloud::Public);
        let cases = [
            ("", Form),
            ("acct01.blob.core.windows.net/c/b?sig=x", Form),
            ("http://acct01.blob.core.windows.net/c/b?sig=x", Scheme),
            ("ftp://acct01.blob.core.windows.net/c/b?sig=x", Scheme),
            ("https://u:p@acct01.blob.core.windows.net/c/b?sig=x", Form),
            ("https://acct01.blob.core.windows.net:8443/c/b?sig=x", Form),
            ("https://acct01.blob.core.windows.net/c/b?sig=x#f", Form),
            ("https://acct01.blob.core.windows.net.evil.example/c/b?sig=x", host.clone()),
            ("https://evil.example/acct01.blob.core.windows.net/c?sig=x", host.clone()),
            ("https://a.b.blob.core.windows.net/c/b?sig=x", host.clone()),
            ("https://blob.core.windows.net/c/b?sig=x", host.clone()),
            ("https://acct01.table.core.windows.net/c/b?sig=x", host.clone()),
            ("https://acct01.blob.core.usgovcloudapi.net/c/b?sig=x", host.clone()),
            ("https://acct-01.blob.core.windows.net/c/b?sig=x", host),
            ("https://acct01.blob.core.windows.net/b?sig=x", Path),
            ("https://acct01.blob.core.windows.net//b?sig=x", Path),
            ("https://acct01.blob.core.windows.net/c/b", Signature),
            ("https://acct01.blob.core.windows.net/c/b?sv=1&sig=", Signature),
            ("https://acct01.blob.core.windows.net/c/b?sp=rw&sig=x", Permission),
            ("https://acct01.blob.core.windows.net/c/b?sp=racwd&sig=x", Permission),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
        let government = Secret::new("https://acct01.blob.core.usgovcloudapi.net/c/b?sig=x".to_owned());
        assert!(RuleBlobAddress::parse(&government, Cloud::UsGovernment).is_ok());
    }

    #[test]
    fn a_version_is_kept_as_it_stands_there_or_not_at_all() {
        let version = |text: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(ETAG, http::HeaderValue::from_bytes(text).unwrap());
            rule_version(&headers)
        };
        assert_eq!(version(b"\"0x8DC\"").as_deref(), Some("\"0x8DC\""));
        assert_eq!(version(b"W/\"1\"").as_deref(), Some("W/\"1\""));
        let long = vec![b'a'; 129];
        for wrong in [&b""[..], b"\"a b\"", b"\xe9", &long] {
            assert_eq!(version(wrong), None);
        }
    }
}
