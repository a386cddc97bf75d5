use bytes::Bytes;
use http::uri::PathAndQuery;
use quick_xml::escape::escape;

use super::RenewalEndpoint;
use super::user_agent;
use crate::record::Timestamp;
use crate::transport::Agent;
use crate::transport::ClientCertificate;
use crate::transport::Outgoing;
use crate::transport::WorkspaceEndpoints;
use crate::transport::WorkspaceKey;
use crate::transport::sign::content_hash;
use crate::transport::times::topology_date;

/// What the service wants to know about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine<'a> {
    /// The host name, with its domain if it has one.
    pub name: &'a str,
    /// `Debian GNU/Linux` and the like.
    pub os_name: Option<&'a str>,
    /// `12` and the like.
    pub os_version: Option<&'a str>,
    /// Who makes the operating system.
    pub os_manufacturer: Option<&'a str>,
    /// `x64` or `x86`.
    pub architecture: &'a str,
    /// Whether this is a container.
    pub container: bool,
}

/// The namespaces of every request.
const NAMESPACES: &str = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
     xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
     xmlns=\"http://schemas.microsoft.com/WorkloadMonitoring/HealthServiceProtocol/2014/09/\"";
const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the first request, signed by the workspace's key. `certificate` is the agent's own, in PEM.
pub fn onboarding(
    workspace: &WorkspaceEndpoints,
    key: &WorkspaceKey,
    agent: &Agent,
    machine: &Machine<'_>,
    certificate: &str,
    now: Timestamp,
) -> Outgoing {
    let (body, date) = (topology_body(agent, machine, certificate), topology_date(now));
    let hash = content_hash(body.as_bytes());
    let authorization = format!("{}; {}", workspace.id(), signature(key, &date, &hash));
    topology_post(workspace, agent, &date)
        .field("x-ms-version", "August, 2014")
        .field("x-ms-sha256_content", &hash)
        .secret_field("authorization", &authorization)
        .body(Bytes::from(body))
}

/// Returns the request of every period after that; the certificate alone says who asks.
pub fn topology(
    workspace: &WorkspaceEndpoints,
    agent: &Agent,
    machine: &Machine<'_>,
    certificate: &str,
    now: Timestamp,
) -> Outgoing {
    let body = topology_body(agent, machine, certificate);
    topology_post(workspace, agent, &topology_date(now)).body(Bytes::from(body))
}

/// Returns the request that makes a new certificate known. The old one must be shown.
pub fn renew(endpoint: &RenewalEndpoint, agent: &Agent, certificate: &str) -> Outgoing {
    let certificate = base64_of(certificate);
    let body = format!(
        "<?xml version=\"1.0\"?>\n<CertificateUpdateRequest {NAMESPACES}><NewCertificate>{certificate}\
         </NewCertificate></CertificateUpdateRequest>"
    );
    Outgoing::post(endpoint.host(), endpoint.path(), ClientCertificate::Shown)
        .field("content-type", FORM)
        .field("user-agent", &user_agent(agent))
        .body(Bytes::from(body))
}

/// Returns the request that tells the service what runs here.
pub fn telemetry(workspace: &WorkspaceEndpoints, agent: &Agent, machine: &Machine<'_>) -> Outgoing {
    let body = serde_json::json!({
        "OSType": "Linux",
        "OSDistro": machine.os_name.unwrap_or_default(),
        "OSVersion": machine.os_version.unwrap_or_default(),
        "ProcessorArchitecture": machine.architecture,
        "Region": "OnPremise",
        "ResourceId": "",
        "ConfigMgrEnabled": "false",
        "AgentResourceUsage": {},
        "AgentQoS": [],
        "AgentError": [],
    });
    let path = PathAndQuery::from_static("/AgentService.svc/AgentTelemetry");
    Outgoing::post(workspace.oms(), path, ClientCertificate::Shown)
        .field("content-type", FORM)
        .field("user-agent", &user_agent(agent))
        .body(Bytes::from(body.to_string()))
}

fn topology_post(workspace: &WorkspaceEndpoints, agent: &Agent, date: &str) -> Outgoing {
    let path = PathAndQuery::from_static("/AgentService.svc/LinuxAgentTopologyRequest");
    Outgoing::post(workspace.oms(), path, ClientCertificate::Shown)
        .field("content-type", FORM)
        .field("x-ms-date", date)
        .field("user-agent", &user_agent(agent))
        .field("accept-language", "en-US")
}

/// Signs the date and the hash of the body (oms-protocol, section 1.4).
fn signature(key: &WorkspaceKey, date: &str, hash: &str) -> String {
    key.sign(&format!("{date}\n{hash}\n"))
}

/// Writes the body. `FullyQualfiedDomainName` is spelt so on the wire.
fn topology_body(agent: &Agent, machine: &Machine<'_>, certificate: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<AgentTopologyRequest {NAMESPACES}>\
         <FullyQualfiedDomainName>{}</FullyQualfiedDomainName>\
         <EntityTypeId>{}</EntityTypeId>\
         <AuthenticationCertificate>{}</AuthenticationCertificate>{}</AgentTopologyRequest>",
        content(machine.name),
        agent.agent_id.hyphenated(),
        base64_of(certificate),
        operating_system(machine),
    )
}

/// Writes the operating system, nothing if a part is missing: the service answers 403 to empty ones.
fn operating_system(machine: &Machine<'_>) -> String {
    let known = |part: Option<&str>| part.map(content).filter(|part| !part.is_empty());
    let (name, version) = (known(machine.os_name), known(machine.os_version));
    let (Some(name), Some(version), Some(manufacturer)) = (name, version, known(machine.os_manufacturer))
    else {
        return String::new();
    };
    let container = if machine.container { "True" } else { "False" };
    format!(
        "<OperatingSystem><InContainer>{container}</InContainer><Name>{name}</Name><Version>{version}</Version>\
         <Manufacturer>{manufacturer}</Manufacturer><Telemetry></Telemetry>\
         <ProcessorArchitecture>{}</ProcessorArchitecture></OperatingSystem>",
        content(machine.architecture)
    )
}

/// Returns a text as XML may hold it: control characters are no XML at all.
fn content(text: &str) -> String {
    let plain: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    escape(plain).into_owned()
}

/// Returns what stands between the lines of a certificate in PEM.
fn base64_of(certificate: &str) -> String {
    let lines = certificate.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    lines.flat_map(str::chars).filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')).collect()
}

#[cfg(test)]
mod tests;
