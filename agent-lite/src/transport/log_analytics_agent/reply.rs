use std::time::Duration;

use common::host_port::HostName;
use common::host_port::HostPort;
use http::Uri;
use http::uri::PathAndQuery;
use jiff::Span;
use jiff::SpanRelativeTo;
use jiff::Unit;
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

use crate::transport::WorkspaceEndpoints;

/// Largest reply that is read: 64 KiB.
const LARGEST_REPLY: usize = 64 * 1024;
/// Longest URL that is read.
const LONGEST_URL: usize = 2048;
/// What the interval of topology requests is held to: 60 s to 7 d.
const QUERY_INTERVALS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(7 * 86_400));
/// What the interval of telemetry is held to: 60 s to 1 h.
const TELEMETRY_INTERVALS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// What the service answers to a topology request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyReply {
    /// Where a certificate is renewed, if the service says so.
    pub renewal: Option<RenewalEndpoint>,
    /// Whether the service asks for a new certificate now.
    pub update_certificate: bool,
    /// How often it wants topology requests, within 60 s and 7 d.
    pub query_interval: Option<Duration>,
    /// How often it wants telemetry, within 60 s and 1 h.
    pub telemetry_interval: Option<Duration>,
}

/// Why an answer is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Not the XML that is expected.
    #[error("the answer is no `LinuxAgentTopologyResponse`; is something between the agent and the service?")]
    Form,
    /// An endpoint that is not the service's.
    #[error(
        "the answer names `{0}` for renewing certificates, which is not `https` in the workspace's domain"
    )]
    Endpoint(String),
    /// Neither yes nor no.
    #[error("the answer's `updateCertificate` is neither `true` nor `false`")]
    UpdateCertificate,
}

/// Where a certificate is renewed: `https`, in the workspace's own domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalEndpoint {
    host: HostPort,
    path: PathAndQuery,
}

impl RenewalEndpoint {
    /// Reads a URL.
    pub fn parse(url: &str, workspace: &WorkspaceEndpoints) -> Result<Self, TopologyError> {
        let read = || {
            let uri: Uri = Some(url).filter(|url| url.len() <= LONGEST_URL)?.parse().ok()?;
            let host = https_host(&uri).filter(|host| workspace.same_domain(host.name()))?;
            Some(Self { host, path: uri.path_and_query()?.clone() })
        };
        read().ok_or_else(|| {
            TopologyError::Endpoint(url.chars().take(200).flat_map(char::escape_default).collect())
        })
    }

    /// Returns the host.
    pub fn host(&self) -> &HostPort {
        &self.host
    }

    /// Returns path and query.
    pub fn path(&self) -> PathAndQuery {
        self.path.clone()
    }
}

impl std::fmt::Display for RenewalEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.port() {
            443 => write!(f, "https://{}{}", self.host.name(), self.path),
            port => write!(f, "https://{}:{port}{}", self.host.name(), self.path),
        }
    }
}

/// Returns the host of a URL with `https` and without a user.
pub(super) fn https_host(uri: &Uri) -> Option<HostPort> {
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    if uri.scheme_str() != Some("https") {
        return None;
    }
    let name: HostName = authority.host().parse().ok()?;
    match authority.as_str().contains(':') {
        false => Some(HostPort::new(name, 443)),
        true => authority.as_str().parse().ok(),
    }
}

impl TopologyReply {
    /// Reads the body of a 200.
    pub fn parse(body: &[u8], workspace: &WorkspaceEndpoints) -> Result<Self, TopologyError> {
        let text = body.get(..LARGEST_REPLY).unwrap_or(body);
        let text = str::from_utf8(text).map_err(|_| TopologyError::Form)?;
        let read = read(text).ok_or(TopologyError::Form)?;
        let renewal = match read.endpoint.trim() {
            "" => None,
            url => Some(RenewalEndpoint::parse(url, workspace)?),
        };
        let update_certificate = match (read.update.as_deref(), &renewal) {
            (Some("true"), _) => true,
            (Some("false"), _) | (None, None) => false,
            _ => return Err(TopologyError::UpdateCertificate),
        };
        Ok(Self {
            renewal,
            update_certificate,
            query_interval: read.query.and_then(|text| interval(&text, QUERY_INTERVALS)),
            telemetry_interval: read.telemetry.and_then(|text| interval(&text, TELEMETRY_INTERVALS)),
        })
    }
}

#[derive(Default)]
struct Read {
    endpoint: String,
    update: Option<String>,
    query: Option<String>,
    telemetry: Option<String>,
}

fn read(text: &str) -> Option<Read> {
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let (mut found, mut rooted, mut inside) = (Read::default(), false, false);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) | Event::Empty(start) if !rooted => {
                if start.local_name().as_ref() != "LinuxAgentTopologyResponse" {
                    return None;
                }
                found.query = attribute(&start, "queryInterval");
                found.telemetry = attribute(&start, "telemetryReportInterval");
                rooted = true;
            }
            Event::Start(start) if start.local_name().as_ref() == "CertificateUpdateEndpoint" => {
                found.update = attribute(&start, "updateCertificate");
                found.endpoint.clear();
                inside = true;
            }
            Event::End(end) if end.local_name().as_ref() == "CertificateUpdateEndpoint" => inside = false,
            Event::Text(text) if inside => found.endpoint.push_str(&text.xml10_content()),
            Event::CData(text) if inside => found.endpoint.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) if inside => {
                found.endpoint.push_str(resolve_predefined_entity(&entity.xml10_content())?);
            }
            Event::Eof => return rooted.then_some(found),
            _ => {}
        }
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = start.try_get_attribute(name).ok()??;
    Some(attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
}

/// Reads an ISO 8601 duration and holds it to a range.
fn interval(text: &str, (least, most): (Duration, Duration)) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok()?;
    let seconds = seconds.clamp(least.as_secs_f64(), most.as_secs_f64());
    Some(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests;
