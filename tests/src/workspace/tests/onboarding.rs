use tokio::io::AsyncReadExt;

use super::caller::AGENT;
use super::caller::Identity;
use super::caller::OTHER;
use super::caller::Signed;
use super::caller::Stage;
use super::caller::TOPOLOGY;
use super::caller::WORKSPACE;
use super::caller::topology_body;
use crate::patience::patiently;
use crate::workspace::encoding;

#[test]
fn hash_and_signature_are_those_of_the_vector() {
    let key: Vec<u8> = (0..64).collect();
    let hash = encoding::base64(&encoding::sha256(b"<?xml version=\"1.0\"?>\n<a/>"));
    assert_eq!(hash, "ib/imOxv4BeyUT75O02cD5bIo5XotSMN637S956zoMQ=");
    let signature = encoding::signature(&key, &format!("2026-01-02T03:04:05.000000000+00:00\n{hash}\n"));
    assert_eq!(signature, "uVTnd/7ULeustovI0v1MGa43h2b7SlpJC/R3Jj6S0NU=");
}

#[tokio::test]
async fn a_faithful_agent_is_onboarded_and_known_by_its_certificate_from_then_on() {
    let stage = Stage::new().await;
    let (host, identity) = (stage.workspace().oms(), Identity::new(WORKSPACE, AGENT));
    let body = topology_body(&identity, AGENT);
    let heartbeat = stage.send(&host, Some(&identity), TOPOLOGY, &[], body.as_bytes()).await;
    assert_eq!((heartbeat.head.status, stage.last_problem().contains("not known")), (403, true));
    stage.onboard(&identity).await;
    stage.fake.intervals("PT7M", "PT3M");
    stage.fake.ask_for_renewal(WORKSPACE);
    let heartbeat = stage.send(&host, Some(&identity), TOPOLOGY, &[], body.as_bytes()).await;
    assert_eq!(heartbeat.head.status, 200);
    for wanted in [
        "queryInterval=\"PT7M\" telemetryReportInterval=\"PT3M\"",
        "<CertificateUpdateEndpoint updateCertificate=\"true\">https://00000000-0000-4000-8000-00000000000a.oms.",
        "/ConfigurationService.Svc/RenewCertificate</CertificateUpdateEndpoint>",
    ] {
        assert!(heartbeat.text().contains(wanted), "{wanted} in {}", heartbeat.text());
    }
    let agents = stage.fake.agents(WORKSPACE);
    assert_eq!((agents.len(), agents[0].guid.as_str(), agents[0].name.as_str()), (1, AGENT, "edge7"));
    assert_eq!(stage.fake.problems().len(), 1, "{:?}", stage.fake.problems());
    let front = stage.send(&host, None, "GET /", &[], b"").await;
    assert_eq!(front.head.status, 403);
}

/// One request with something wrong, and what the reason says.
struct Case<'a> {
    says: &'a str,
    signed: Signed,
    body: String,
    shown: Option<&'a Identity>,
}

#[tokio::test]
async fn every_check_of_onboarding_can_fail() {
    let stage = Stage::new().await;
    let (key, oms) = (stage.workspace().key.clone(), stage.workspace().oms());
    let good = Identity::new(WORKSPACE, AGENT);
    let another = Identity::new(WORKSPACE, AGENT);
    let elsewhere = Identity::new(OTHER, AGENT);
    let unit = Identity::of([WORKSPACE, AGENT], "Agents", 2027);
    let expired = Identity::of([WORKSPACE, AGENT], "Linux Monitoring Agent", 2022);
    let body = topology_body(&good, AGENT);
    let sign = |body: &str| Signed::new(WORKSPACE, &key, body.as_bytes(), 0);
    let at = |minutes| Signed::new(WORKSPACE, &key, body.as_bytes(), minutes);
    let case = |says, signed, body: &String, shown| Case { says, signed, body: body.clone(), shown };
    let of = |says, identity, body: String| Case { says, signed: sign(&body), body, shown: Some(identity) };
    let hash = Signed { hash: encoding::base64(&[7; 32]), ..at(0) };
    let named = Signed { authorization: at(0).authorization.replace("; ", " "), ..at(0) };
    let empty = body.replace("<Name>Debian</Name>", "<Name></Name>");
    let cases = [
        case("not the hash", hash, &body, Some(&good)),
        case("signature is wrong", Signed::new(WORKSPACE, &[0; 64], body.as_bytes(), 0), &body, Some(&good)),
        case("clock is off", at(16), &body, Some(&good)),
        case("clock is off", at(-16), &body, Some(&good)),
        case("for workspace", Signed::new(OTHER, &key, body.as_bytes(), 0), &body, Some(&good)),
        case("has no `; `", named, &body, Some(&good)),
        case("no client certificate", at(0), &body, None),
        case("not the one that is shown", at(0), &body, Some(&another)),
        of("first common name", &elsewhere, topology_body(&elsewhere, AGENT)),
        of("is for [\"Agents\"]", &unit, topology_body(&unit, AGENT)),
        of("not valid now", &expired, topology_body(&expired, AGENT)),
        of("that of another", &good, topology_body(&good, OTHER)),
        of("no Name", &good, empty),
        of("the body is Agent", &good, body.replace("AgentTopologyRequest", "Agent")),
    ];
    for Case { says, signed, body, shown } in cases {
        let answer = stage.send(&oms, shown, TOPOLOGY, &signed.headers(), body.as_bytes()).await;
        let reason = format!("<Reason>{}</Reason>", stage.last_problem());
        assert_eq!((answer.head.status, answer.text().contains(&reason)), (403, true), "{says}");
        assert!(reason.contains(says), "{says}: {reason}");
    }
    assert!(stage.fake.agents(WORKSPACE).is_empty());
    for minutes in [-14, 14] {
        let answer = stage.send(&oms, Some(&good), TOPOLOGY, &at(minutes).headers(), body.as_bytes()).await;
        assert_eq!(answer.head.status, 200, "{minutes}");
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_no_certificate() {
    let stage = Stage::new().await;
    let identity = Identity::new(WORKSPACE, AGENT);
    let stream = stage.connect_showing(&stage.workspace().oms(), Some(identity.stolen())).await;
    // TLS 1.3 tells the client only behind its own handshake.
    let mut stream = stream.expect("its own side");
    let mut nothing = Vec::new();
    let end = patiently("the end of the handshake", stream.read_to_end(&mut nothing)).await;
    assert!(end.is_err());
    assert!(!stage.fake.connections()[0].handshake);
}

#[tokio::test]
async fn the_services_clock_can_be_off() {
    let stage = Stage::new().await;
    let (oms, identity) = (stage.workspace().oms(), Identity::new(WORKSPACE, AGENT));
    let body = topology_body(&identity, AGENT);
    for (minutes, status) in [(20, 403), (-20, 403), (0, 200)] {
        stage.fake.shift_clock(minutes);
        let signed = Signed::new(WORKSPACE, &stage.workspace().key, body.as_bytes(), 0);
        let answer = stage.send(&oms, Some(&identity), TOPOLOGY, &signed.headers(), body.as_bytes()).await;
        assert_eq!(answer.head.status, status, "{minutes}");
        let date = httpdate::parse_http_date(answer.head.header("date").expect("a date")).expect("a date");
        let real = std::time::SystemTime::now();
        let off = real.duration_since(date).unwrap_or_else(|error| error.duration()).as_secs();
        assert!(off.div_ceil(60).abs_diff(minutes.unsigned_abs()) <= 1, "{off}");
    }
}

#[tokio::test]
async fn after_a_renewal_the_old_certificate_is_good_until_the_new_one_is_used() {
    let stage = Stage::new().await;
    let oms = stage.workspace().oms();
    let (old, new) = (Identity::new(WORKSPACE, AGENT), Identity::new(WORKSPACE, AGENT));
    stage.onboard(&old).await;
    stage.fake.ask_for_renewal(WORKSPACE);
    let renew = "POST /ConfigurationService.Svc/RenewCertificate";
    let body = |identity: &Identity| {
        format!(
            "<?xml version=\"1.0\"?>\n<CertificateUpdateRequest \
             xmlns=\"http://schemas.microsoft.com/WorkloadMonitoring/HealthServiceProtocol/2014/09/\">\
             <NewCertificate>{}</NewCertificate></CertificateUpdateRequest>",
            encoding::base64(&identity.certificate)
        )
    };
    let send = async |identity: &Identity, line: &str, body: String| {
        stage.send(&oms, Some(identity), line, &[], body.as_bytes()).await.head.status
    };
    assert_eq!(send(&new, renew, body(&new)).await, 403);
    assert_eq!(send(&old, renew, body(&Identity::new(WORKSPACE, OTHER))).await, 403);
    assert_eq!(send(&old, renew, body(&new)).await, 200);
    assert_eq!(send(&old, TOPOLOGY, topology_body(&old, AGENT)).await, 200);
    assert_eq!(send(&new, TOPOLOGY, topology_body(&new, AGENT)).await, 200);
    assert_eq!(send(&old, TOPOLOGY, topology_body(&old, AGENT)).await, 403);
    assert_eq!(send(&new, TOPOLOGY, topology_body(&new, AGENT)).await, 200);
    let telemetry = "POST /AgentService.svc/AgentTelemetry";
    assert_eq!(send(&new, telemetry, "{\"OSType\":\"Linux\"}".to_owned()).await, 200);
    assert_eq!(send(&new, telemetry, "[]".to_owned()).await, 400);
}
