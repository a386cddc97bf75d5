use std::sync::Mutex;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::upload::https::Channels;
use crate::upload::testing::PATIENCE;
use crate::upload::testing::Reply;
use crate::upload::testing::Script;
use crate::upload::testing::Seen;
use crate::upload::testing::Stage;
use crate::upload::testing::machine;
use crate::upload::testing::pair;

const WORKSPACE: &str = "12345678-9abc-def0-1234-56789abcdef0";
const OMS: &str = "12345678-9abc-def0-1234-56789abcdef0.oms.opinsights.azure.com";

/// A service that knows some certificates.
#[derive(Default)]
struct Service {
    known: Vec<Vec<u8>>,
    asks_for_renewal: bool,
    /// The statuses of renewals: 200 makes the new certificate known.
    renewal: Option<Reply>,
    /// The answer to a certificate that was renewed.
    to_new: Option<Reply>,
}

type Fault = fn(&mut Service);
type Shared = Arc<Mutex<Service>>;

fn serve(service: &Mutex<Service>, seen: &Seen) -> Reply {
    let mut service = service.lock().unwrap();
    let certificate = seen.certificate.clone().unwrap();
    let Some(at) = service.known.iter().position(|known| *known == certificate) else {
        return Reply::status(403, "", "<Reason>unknown</Reason>");
    };
    if seen.head.contains("/RenewCertificate ") {
        let body = String::from_utf8(seen.body.clone()).unwrap();
        let new = body.split("<NewCertificate>").nth(1).unwrap().split('<').next().unwrap();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{new}\n-----END CERTIFICATE-----\n");
        let pair = Pair { certificate: pem, key: common::secret::Secret::new(String::new()) };
        if !matches!(&service.renewal, Some(Reply::Bytes(_))) {
            service.known.push(pair.der().unwrap().to_vec());
        }
        return service.renewal.clone().unwrap_or_else(|| Reply::status(200, "", ""));
    }
    if at > 0 {
        service.asks_for_renewal = false;
        if let Some(reply) = &service.to_new {
            return reply.clone();
        }
    }
    let update = service.asks_for_renewal;
    Reply::status(
        200,
        "",
        &format!(
            "<LinuxAgentTopologyResponse queryInterval=\"PT1H\"><CertificateUpdateEndpoint updateCertificate=\"{update}\">https://{OMS}/RenewCertificate</CertificateUpdateEndpoint></LinuxAgentTopologyResponse>"
        ),
    )
}

struct World {
    stage: Stage,
    service: Shared,
    state: TempDir,
    old: Pair,
}

impl World {
    async fn new() -> Self {
        let service = Shared::default();
        let shared = service.clone();
        let stage = Stage::new(&[OMS], move |seen| serve(&shared, seen)).await;
        let agent_id = Uuid::new_v4();
        let old = pair(0).await;
        service.lock().unwrap().known.push(old.der().unwrap().to_vec());
        let state = tempfile::tempdir().unwrap();
        let identity = Identity {
            agent_id,
            workspace: WORKSPACE.to_owned(),
            domain: "opinsights.azure.com".to_owned(),
            update_endpoint: None,
            pair: old.clone(),
        };
        let world = Self { stage, service, state, old };
        world.folder().save(&identity).unwrap();
        world
    }

    fn folder(&self) -> IdentityFolder {
        IdentityFolder::new(self.state.path(), WORKSPACE)
    }

    fn topology(&self) -> (Topology, watch::Receiver<Arc<Identity>>) {
        let parts = TopologyParts {
            name: "main".into(),
            workspace: WorkspaceEndpoints::new(WORKSPACE, "opinsights.azure.com").unwrap(),
            machine: machine(),
            folder: self.folder(),
            gateways: self.stage.gateways(),
            roots: self.stage.roots(),
        };
        Topology::new(parts, self.folder().load().unwrap().unwrap())
    }

    fn change(&self, change: impl FnOnce(&mut Service)) {
        change(&mut self.service.lock().unwrap());
    }

    fn stored(&self) -> Stored {
        self.folder().load().unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_round_shows_the_certificate_and_follows_the_interval_of_the_service() {
    let world = World::new().await;
    let (mut topology, _identity) = world.topology();
    let wait = topology.turn().await;
    let hour = Duration::from_secs(3600);
    assert!((hour * 9 / 10..=hour * 11 / 10).contains(&wait), "{wait:?}");
    let seen = world.stage.origin.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].certificate.as_deref(), world.old.der().as_deref());
    assert!(!seen[0].head.to_ascii_lowercase().contains("authorization"));
    assert_eq!(world.stored().identity.update_endpoint, Some(format!("https://{OMS}/RenewCertificate")));
    world.stage.gateway.does(Script::Answer(""));
    let waits = [topology.turn().await, topology.turn().await];
    assert!(waits[0] <= FIRST_RETRY * 11 / 10 && waits[1] > waits[0], "{waits:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_proven_and_then_shown_by_everybody() {
    let world = World::new().await;
    world.change(|service| service.asks_for_renewal = true);
    let (mut topology, identity) = world.topology();
    let mut channels = Channels::new(world.stage.gateways(), world.stage.roots(), Some(identity.clone()));
    let request = |topology: &Topology| {
        let pair = &topology.identity.borrow().pair;
        let now = timestamp(SystemTime::now());
        super::topology(
            &topology.workspace,
            &topology.agent,
            &topology.machine.machine(),
            &pair.certificate,
            now,
        )
    };
    channels.send(&request(&topology), PATIENCE).await.unwrap();
    topology.turn().await;
    let new = identity.borrow().pair.clone();
    assert_ne!(new, world.old);
    assert_eq!((world.stored().identity.pair, world.stored().pending), (new.clone(), None));
    channels.send(&request(&topology), PATIENCE).await.unwrap();
    let shown: Vec<_> = world.stage.origin.seen().into_iter().map(|seen| seen.certificate.unwrap()).collect();
    let (old, new) = (world.old.der().unwrap().to_vec(), new.der().unwrap().to_vec());
    assert_eq!(shown, [old.clone(), old.clone(), old, new.clone(), new]);
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_old_pair_and_one_that_is_in_doubt_leaves_both() {
    let cases: [(Fault, bool); 4] = [
        (|service| service.renewal = Some(Reply::status(500, "", "")), false),
        // The service knows the new one, but its answer never came.
        (|service| service.renewal = Some(Reply::ThenClose(Vec::new())), true),
        (|service| service.to_new = Some(Reply::status(403, "", "")), false),
        (|service| service.to_new = Some(Reply::status(503, "", "")), true),
    ];
    for (at, (fault, pending)) in cases.into_iter().enumerate() {
        let world = World::new().await;
        world.change(|service| service.asks_for_renewal = true);
        world.change(fault);
        let (mut topology, identity) = world.topology();
        topology.turn().await;
        assert_eq!(identity.borrow().pair, world.old, "case {at}");
        assert_eq!(world.stored().identity.pair, world.old, "case {at}");
        assert_eq!(world.stored().pending.is_some(), pending, "case {at}");
        // After a crash and a repair the agent works again, with the new pair if the service took it.
        let expected = world.stored().pending.unwrap_or_else(|| world.old.clone());
        world.change(|service| {
            (service.renewal, service.to_new, service.asks_for_renewal) = (None, None, false)
        });
        let (mut topology, identity) = world.topology();
        topology.turn().await;
        assert_eq!(identity.borrow().pair, expected, "case {at}");
        assert_eq!((world.stored().identity.pair, world.stored().pending), (expected, None), "case {at}");
    }
}

#[tokio::test]
async fn a_pending_pair_that_the_service_does_not_know_gives_way_to_the_old_one() {
    let world = World::new().await;
    world.folder().propose(&pair(1).await).unwrap();
    let (mut topology, identity) = world.topology();
    topology.turn().await;
    assert_eq!(identity.borrow().pair, world.old);
    assert_eq!((world.stored().identity.pair, world.stored().pending), (world.old.clone(), None));
    assert_eq!(topology.failures, 0);
}
