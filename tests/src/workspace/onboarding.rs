//! Onboarding, its heartbeat, renewal and telemetry (`oms-protocol.md` 1 and 2).

use std::time::Duration;
use std::time::SystemTime;

use serde_json::Value;

use super::certificate;
use super::certificate::Read;
use super::directory::Workspace;
use super::encoding;
use super::place::Asked;
use super::place::Reply;
use super::state::Agent;
use super::state::State;
use super::xml::Document;

const NAMESPACE: &str = "http://schemas.microsoft.com/WorkloadMonitoring/HealthServiceProtocol/2014/09/";
/// How far a client's clock may be off.
pub(super) const SKEW: Duration = Duration::from_secs(15 * 60);

/// Answers `LinuxAgentTopologyRequest`.
pub(super) fn topology(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let Some(workspace) = state.owner(&asked.host, &asked.path).cloned() else { return Reply::empty(404) };
    let body = match topology_body(asked) {
        Ok(body) => body,
        Err(reason) => return refuse(state, number, reason),
    };
    match asked.header("authorization") {
        Some(_) => match onboard(state, number, asked, &workspace, &body) {
            Ok(()) => {}
            Err(reason) => return refuse(state, number, reason),
        },
        None => {
            let Some(agent) = state.agent(asked) else {
                return refuse(state, number, "the certificate is not known here".to_owned());
            };
            if agent.workspace != workspace.id || Some(agent.guid.as_str()) != body.text("EntityTypeId") {
                let text = format!("the certificate belongs to {} of {}", agent.guid, agent.workspace);
                return refuse(state, number, text);
            }
            state.used(asked);
        }
    }
    let guid = body.text("EntityTypeId").unwrap_or_default();
    Reply::with(200, "application/xml; charset=utf-8", answer(state, &workspace, guid))
}

/// Answers `RenewCertificate`: the new certificate is known at once, the old one until the new is used.
pub(super) fn renew(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let Some(agent) = state.agent(asked).cloned() else {
        return refuse(state, number, "the certificate is not known here".to_owned());
    };
    state.used(asked);
    match new_certificate(asked, &agent) {
        Ok(der) => {
            let replaces = asked.fingerprint();
            state.settings.update_certificate.remove(&agent.workspace);
            state.agents.insert(encoding::sha256(&der), Agent { replaces, ..agent });
            Reply::empty(200)
        }
        Err(reason) => refuse(state, number, reason),
    }
}

/// Answers `AgentTelemetry`.
pub(super) fn telemetry(state: &mut State, number: u64, asked: &Asked) -> Reply {
    if state.agent(asked).is_none() {
        return refuse(state, number, "the certificate is not known here".to_owned());
    }
    state.used(asked);
    let content = asked.content.as_deref().unwrap_or_default();
    match serde_json::from_slice::<Value>(content) {
        Ok(Value::Object(report)) if report.get("OSType").is_some_and(Value::is_string) => Reply::empty(200),
        _ => {
            state.ledger.problem(number, "the telemetry is no object with an OSType");
            Reply::empty(400)
        }
    }
}

fn refuse(state: &mut State, number: u64, reason: String) -> Reply {
    let reply = Reply::reason(&reason);
    state.ledger.problem(number, reason);
    reply
}

fn topology_body(asked: &Asked) -> Result<Document, String> {
    let body = std::str::from_utf8(&asked.body).map_err(|_| "the body is not in UTF-8")?;
    let document = Document::parse(body)?;
    if document.root != "AgentTopologyRequest" || document.namespace != NAMESPACE {
        return Err(format!("the body is {} in {:?}", document.root, document.namespace));
    }
    for name in ["FullyQualfiedDomainName", "EntityTypeId", "AuthenticationCertificate"] {
        if document.text(name).is_none_or(|text| text.trim().is_empty()) {
            return Err(format!("the body has no {name}"));
        }
    }
    if document.text("OperatingSystem").is_some() {
        for name in ["Name", "Version", "Manufacturer", "InContainer", "ProcessorArchitecture"] {
            let path = format!("OperatingSystem/{name}");
            if document.text(&path).is_none_or(|text| text.trim().is_empty()) {
                return Err(format!("the operating system has no {name}"));
            }
        }
    }
    Ok(document)
}

/// The signed request: every check of `oms-protocol.md` 11.
fn onboard(
    state: &mut State,
    number: u64,
    asked: &Asked,
    workspace: &Workspace,
    body: &Document,
) -> Result<(), String> {
    authorize(asked, workspace)?;
    let shown = asked.certificate.as_deref().ok_or("no client certificate is shown")?;
    let named = certificate_of(body.text("AuthenticationCertificate").unwrap_or_default())?;
    if named != shown {
        return Err("the certificate in the body is not the one that is shown".to_owned());
    }
    let read = Read::der(shown)?;
    let guid = read.agent(&workspace.id)?;
    if Some(guid.as_str()) != body.text("EntityTypeId") {
        return Err(format!("the certificate is that of {guid}, the body that of another"));
    }
    if !read.is_valid(asked.now) {
        return Err("the certificate is not valid now".to_owned());
    }
    read.unlike_the_real().into_iter().for_each(|text| state.ledger.problem(number, text));
    if asked.header("x-ms-version") != Some("August, 2014") {
        state.ledger.problem(number, "x-ms-version is not `August, 2014`");
    }
    let name = body.text("FullyQualfiedDomainName").unwrap_or_default();
    let agent = Agent {
        workspace: workspace.id.clone(),
        guid,
        name: name.split_whitespace().collect(),
        replaces: None,
    };
    state.agents.insert(encoding::sha256(shown), agent);
    Ok(())
}

fn authorize(asked: &Asked, workspace: &Workspace) -> Result<(), String> {
    let field = |name: &str| asked.header(name).ok_or(format!("there is no {name}"));
    let (date, hash) = (field("x-ms-date")?, field("x-ms-sha256_content")?);
    if hash != encoding::base64(&encoding::sha256(&asked.body)) {
        return Err("x-ms-SHA256_Content is not the hash of the body".to_owned());
    }
    let moment: jiff::Timestamp = date.parse().map_err(|_| format!("x-ms-Date is no date: {date}"))?;
    check_skew(SystemTime::from(moment), asked.now)?;
    let (id, signature) =
        field("authorization")?.split_once("; ").ok_or("the Authorization has no `; `".to_owned())?;
    if !id.eq_ignore_ascii_case(&workspace.id) {
        return Err(format!("the Authorization is for workspace {id}"));
    }
    match signature == encoding::signature(&workspace.key, &format!("{date}\n{hash}\n")) {
        true => Ok(()),
        false => Err("the signature is wrong: another key, date or body".to_owned()),
    }
}

/// Refuses a date that is more than 15 minutes off.
pub(super) fn check_skew(date: SystemTime, now: SystemTime) -> Result<(), String> {
    let off = now.duration_since(date).unwrap_or_else(|error| error.duration());
    match off <= SKEW {
        true => Ok(()),
        false => Err(format!("the clock is off by {} seconds", off.as_secs())),
    }
}

/// Returns the DER of a certificate that stands in a body as base64 with white space, or as PEM lines.
fn certificate_of(text: &str) -> Result<Vec<u8>, String> {
    let plain: String = text.split_whitespace().collect();
    encoding::from_base64(&plain).ok_or("the certificate in the body is not in base64".to_owned())
}

fn new_certificate(asked: &Asked, agent: &Agent) -> Result<Vec<u8>, String> {
    let body = std::str::from_utf8(&asked.body).map_err(|_| "the body is not in UTF-8")?;
    let document = Document::parse(body)?;
    let children: Vec<(&str, &str)> = document.children().collect();
    let [("NewCertificate", text)] = children.as_slice() else {
        return Err("the body has not NewCertificate alone".to_owned());
    };
    if document.root != "CertificateUpdateRequest" || document.namespace != NAMESPACE {
        return Err(format!("the body is {} in {:?}", document.root, document.namespace));
    }
    let der = certificate_of(text)?;
    let read = certificate::Read::der(&der)?;
    match read.agent(&agent.workspace)? == agent.guid && read.is_valid(asked.now) {
        true => Ok(der),
        false => Err("the new certificate is another agent's, or not valid now".to_owned()),
    }
}

fn answer(state: &State, workspace: &Workspace, guid: &str) -> String {
    let (id, oms) = (&workspace.id, workspace.oms());
    let update = state.settings.update_certificate.contains(id);
    let (query, report) = (&state.settings.query_interval, &state.settings.telemetry_interval);
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><LinuxAgentTopologyResponse queryInterval=\"{query}\" \
         telemetryReportInterval=\"{report}\" id=\"{guid}\" xmlns=\"{NAMESPACE}\"><CertificateUpdateEndpoint \
         updateCertificate=\"{update}\">https://{oms}/ConfigurationService.Svc/RenewCertificate\
         </CertificateUpdateEndpoint><DscConfiguration><Endpoint>https://{id}.agentsvc.azure-automation.net/\
         Accounts/{id}/Nodes(AgentId='{guid}')</Endpoint><NodeConfigurationName>\
         MicrosoftOperationsManagementLinuxConfiguration.common</NodeConfigurationName></DscConfiguration>\
         </LinuxAgentTopologyResponse>"
    )
}
