use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::upload::gateways::Gateways;
use crate::upload::testing::PATIENCE;
use crate::upload::testing::Reply;
use crate::upload::testing::Script;
use crate::upload::testing::Seen;
use crate::upload::testing::Stage;
use crate::upload::testing::machine;

const WORKSPACE: &str = "12345678-9ABC-def0-1234-56789abcdef0";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const DOMAIN: &str = "opinsights.azure.com";
const OMS: &str = "12345678-9abc-def0-1234-56789abcdef0.oms.opinsights.azure.com";

pub(in crate::upload) fn answer(update: bool) -> Reply {
    let endpoint = format!("https://{OMS}/ConfigurationService.Svc/RenewCertificate");
    Reply::status(
        200,
        "",
        &format!(
            "<?xml version=\"1.0\"?><LinuxAgentTopologyResponse queryInterval=\"PT1H\" telemetryReportInterval=\"PT10M\" xmlns=\"http://schemas.microsoft.com/WorkloadMonitoring/HealthServiceProtocol/2014/09/\"><CertificateUpdateEndpoint updateCertificate=\"{update}\">{endpoint}</CertificateUpdateEndpoint></LinuxAgentTopologyResponse>"
        ),
    )
}

struct Machine {
    stage: Stage,
    state: TempDir,
}

impl Machine {
    async fn new(answering: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self { stage: Stage::new(&[OMS], answering).await, state: tempfile::tempdir().unwrap() }
    }

    async fn onboard_with(
        &self,
        workspace: &str,
        domain: &str,
        key: &str,
    ) -> Result<Onboarded, OnboardError> {
        let (gateways, roots): (Gateways, Roots) = (self.stage.gateways(), self.stage.roots());
        let request = Onboarding {
            workspace,
            domain,
            key: &Secret::new(key.to_owned()),
            machine: &machine(),
            state: self.state.path(),
            gateways: &gateways,
            roots: &roots,
            limit: PATIENCE,
        };
        onboard(&request).await
    }

    async fn onboard(&self) -> Result<Onboarded, OnboardError> {
        self.onboard_with(WORKSPACE, DOMAIN, KEY).await
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = IdentityFolder::new(self.state.path(), &WORKSPACE.to_ascii_lowercase());
        let Ok(entries) = std::fs::read_dir(folder.path()) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }
}

#[tokio::test]
async fn an_agent_is_onboarded_by_its_certificate_and_keeps_its_guid_and_not_the_key() {
    let machine = Machine::new(|_| answer(false)).await;
    let first = machine.onboard().await.unwrap();
    assert_eq!((first.known, first.warning), (Known::New, None));
    assert!(first.identity.update_endpoint.unwrap().ends_with("RenewCertificate"));
    let seen = machine.stage.origin.seen();
    assert!(seen[0].head.starts_with("POST /AgentService.svc/LinuxAgentTopologyRequest HTTP/1.1\r\n"));
    assert_eq!(seen[0].certificate.as_deref(), first.identity.pair.der().as_deref());
    let body = String::from_utf8(seen[0].body.clone()).unwrap();
    assert!(body.contains(&first.identity.agent_id.to_string()), "{body}");
    assert_eq!(machine.files().len(), 3);
    for (path, bytes) in machine.files() {
        assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "{path:?}");
    }
    let again = machine.onboard().await.unwrap();
    assert_eq!((again.known, again.identity.agent_id), (Known::Again, first.identity.agent_id));
    assert_eq!(again.identity.pair, first.identity.pair);
    assert_eq!(machine.stage.gateway.connections(), 2);
    assert!(
        machine.stage.gateway.asked().iter().all(|head| head.starts_with(&format!("CONNECT {OMS}:443 ")))
    );
}

#[tokio::test]
async fn every_failure_has_its_exit_code_and_leaves_what_was_there() {
    let script = std::sync::Arc::new(std::sync::Mutex::new(answer(false)));
    let told = script.clone();
    let machine = Machine::new(move |_| told.lock().unwrap().clone()).await;
    let nothing = machine.files();
    for with_identity in [false, true] {
        if with_identity {
            *script.lock().unwrap() = answer(false);
            machine.onboard().await.unwrap();
        }
        let before = machine.files();
        assert_eq!(before == nothing, !with_identity);
        let reason = "<Reason>no such key</Reason>";
        let late = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(20 * 60 + 30));
        let off = Reply::status(403, &format!("Date: {late}\r\n"), reason);
        let replies = [
            (Reply::status(403, "", reason), 5, "no such key"),
            (off, 5, "20m behind"),
            (Reply::status(500, "", ""), 6, "500"),
            (Reply::status(302, "", ""), 6, "302"),
            (Reply::ThenClose(Vec::new()), 8, "broke"),
        ];
        for (reply, code, text) in replies {
            *script.lock().unwrap() = reply;
            let error = machine.onboard().await.unwrap_err();
            assert!(error.exit_code() == code && error.to_string().contains(text), "{error}");
        }
        machine.stage.gateway.does(Script::Answer("HTTP/1.1 407 x\r\n\r\n"));
        let error = machine.onboard().await.unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains("user and password"), "{error}");
        machine.stage.gateway.does(Script::Lead(machine.stage.origin.address));
        let asked = machine.stage.gateway.connections();
        let wrong = [
            ("bad", DOMAIN, KEY, 3),
            ("123456789abcdef0123456789abcdef0", DOMAIN, KEY, 3),
            (WORKSPACE, DOMAIN, "no base64!", 3),
            (WORKSPACE, DOMAIN, "", 3),
            (WORKSPACE, "azure..com", KEY, 2),
        ];
        for (workspace, domain, key, code) in wrong {
            let error = machine.onboard_with(workspace, domain, key).await.unwrap_err();
            assert_eq!(error.exit_code(), code, "{error}");
        }
        assert_eq!(machine.stage.gateway.connections(), asked, "nothing is sent that cannot work");
        assert_eq!(machine.files(), before);
    }
}

#[tokio::test]
async fn an_intercepted_service_is_not_told_anything() {
    let machine = Machine::new(|_| answer(false)).await;
    let other = crate::upload::testing::Authority::new("Corp Inspection");
    let origin = crate::upload::testing::FakeOrigin::start(other.acceptor(&[OMS]), |_| answer(false)).await;
    machine.stage.gateway.does(Script::Lead(origin.address));
    let error = machine.onboard().await.unwrap_err();
    assert_eq!(error.exit_code(), 8);
    assert!(
        error.to_string().contains("CN=Corp Inspection") && error.to_string().contains("intercepts"),
        "{error}"
    );
    assert!(origin.seen().is_empty() && machine.files().is_empty());
}
