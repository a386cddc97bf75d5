use super::*;
use crate::transport::rows::tests::agent;
use crate::transport::sign::tests::key;

const WORKSPACE: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIID\nAb+/=\n-----END CERTIFICATE-----\n";
const MACHINE: Machine<'_> = Machine {
    name: "edge7.corp\n",
    os_name: Some("Debian <&> \u{1b}"),
    os_version: Some("12"),
    os_manufacturer: Some("SPI"),
    architecture: "x64",
    container: false,
};

fn workspace() -> WorkspaceEndpoints {
    WorkspaceEndpoints::new(WORKSPACE, "opinsights.azure.com").unwrap()
}

#[test]
fn the_signature_is_that_of_the_vector() {
    let hash = content_hash(b"<?xml version=\"1.0\"?>\n<a/>");
    assert_eq!(hash, "ib/imOxv4BeyUT75O02cD5bIo5XotSMN637S956zoMQ=");
    let signature = signature(&key(), "2026-01-02T03:04:05.000000000+00:00", &hash);
    assert_eq!(signature, "uVTnd/7ULeustovI0v1MGa43h2b7SlpJC/R3Jj6S0NU=");
}

#[test]
fn onboarding_is_signed_over_the_body_that_is_sent() {
    let time = Timestamp(1_767_323_045_000_000);
    let outgoing = onboarding(&workspace(), &key(), &agent(), &MACHINE, PEM, time);
    let (headers, body) = (outgoing.request.headers(), outgoing.request.body());
    let hash = content_hash(body);
    let date = "2026-01-02T03:04:05.000000000+00:00";
    let authorization = format!("{WORKSPACE}; {}", signature(&key(), date, &hash));
    let fields = [
        ("x-ms-date", date),
        ("x-ms-version", "August, 2014"),
        ("x-ms-sha256_content", hash.as_str()),
        ("authorization", authorization.as_str()),
        ("user-agent", "LinuxMonitoringAgent/0.1.0"),
        ("accept-language", "en-US"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    for (name, value) in fields {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(headers.len(), fields.len());
    assert_eq!(outgoing.host.to_string(), format!("{WORKSPACE}.oms.opinsights.azure.com:443"));
    assert_eq!(outgoing.request.uri(), "/AgentService.svc/LinuxAgentTopologyRequest");
    assert_eq!(outgoing.certificate, ClientCertificate::Shown);
    assert!(!format!("{outgoing:?}").contains(&authorization));
}

#[test]
fn the_body_has_the_elements_in_their_order_and_is_escaped() {
    let id = agent().agent_id;
    let expected = format!(
        "<?xml version=\"1.0\"?>\n<AgentTopologyRequest {NAMESPACES}><FullyQualfiedDomainName>edge7.corp\
         </FullyQualfiedDomainName><EntityTypeId>{id}</EntityTypeId><AuthenticationCertificate>MIIDAb+/=\
         </AuthenticationCertificate><OperatingSystem><InContainer>False</InContainer><Name>Debian &lt;&amp;&gt;  \
         </Name><Version>12</Version><Manufacturer>SPI</Manufacturer><Telemetry></Telemetry>\
         <ProcessorArchitecture>x64</ProcessorArchitecture></OperatingSystem></AgentTopologyRequest>"
    );
    assert_eq!(topology_body(&agent(), &MACHINE, PEM), expected);
}

#[test]
fn an_operating_system_that_is_not_known_wholly_is_not_sent() {
    for machine in [
        Machine { os_name: None, ..MACHINE },
        Machine { os_version: Some(" "), ..MACHINE },
        Machine { os_manufacturer: Some(""), ..MACHINE },
    ] {
        assert!(!topology_body(&agent(), &machine, PEM).contains("OperatingSystem"), "{machine:?}");
    }
}

#[test]
fn later_requests_are_not_signed() {
    let outgoing = topology(&workspace(), &agent(), &MACHINE, PEM, Timestamp(0));
    let names: Vec<_> = outgoing.request.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["content-type", "x-ms-date", "user-agent", "accept-language"]);
    let endpoint = RenewalEndpoint::parse(
        "https://x.oms.opinsights.azure.com/ConfigurationService.Svc/RenewCertificate",
        &workspace(),
    );
    let outgoing = renew(&endpoint.unwrap(), &agent(), PEM);
    let body = str::from_utf8(outgoing.request.body()).unwrap();
    assert!(
        body.ends_with("><NewCertificate>MIIDAb+/=</NewCertificate></CertificateUpdateRequest>"),
        "{body}"
    );
    assert_eq!(outgoing.request.uri(), "/ConfigurationService.Svc/RenewCertificate");
    let outgoing = telemetry(&workspace(), &agent(), &MACHINE);
    assert!(serde_json::from_slice::<serde_json::Value>(outgoing.request.body()).is_ok());
}
