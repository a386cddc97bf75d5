//! The gateway's installer and service, from a machine without the gateway to one without it again, with clients and an
//! origin of Linux around it.

use std::fs;
use std::net::SocketAddr;

use end_to_end::azure::FakeAzure;
use end_to_end::client::Tunnel;
use end_to_end::config::Config;
use end_to_end::curl::curl;
use end_to_end::patience::LOOK_AGAIN;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::ONE_SERVICE;
use crate::keep_wine;
use crate::machine::Machine;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;

const ADDED: &str = "added.example.org";
const LATER: &str = "later.example.org";
const PASSWORD: &str = "correct-horse-1";
/// What the fake Azure answers where it has nothing.
const AZURES: u16 = 404;
const CONTROL: &str = r"[control]
socket = '\\.\pipe\la-gateway'
";

/// A machine with the gateway, and an origin for each host.
struct Stage {
    machine: Machine,
    pki: Pki,
    azure: FakeAzure,
    starts: usize,
}

impl Stage {
    async fn bare() -> Self {
        keep_wine();
        let pki = Pki::new();
        let azure = FakeAzure::start(&pki, &[GOOD, ADDED, LATER]).await;
        Self { machine: Machine::bare("la-gateway"), pki, azure, starts: 0 }
    }

    /// Lays a configuration where the service looks for it: these hosts may be reached beside the usual.
    fn configure(&self, hosts: &[&str], watch: bool) {
        let text = format!(
            "{CONTROL}[reload]\nwatch = {watch}\n[role.agents]\nusers_file = \"agents.users\"\nbundles = [\"log-analytics\"]\nhosts = {hosts:?}\n"
        );
        fs::create_dir_all(&self.machine.home).unwrap();
        Config::new(&text)
            .hosts(&[GOOD, ADDED, LATER], self.azure.address())
            .file("agents.users", &users_file(&[("agent1", PASSWORD)]))
            .write(&self.machine.home);
    }

    /// Returns the records of the service.
    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.machine.home.join("logs/la-gateway.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the service to have started once more, and returns where it listens.
    async fn proxy(&mut self) -> SocketAddr {
        self.starts += 1;
        let starts = self.starts;
        let all = patiently("the service says where it listens", async {
            loop {
                let records = self.records();
                let all: Vec<SocketAddr> = records
                    .iter()
                    .filter(|record| record["kind"] == "proxy")
                    .map(|record| record["address"].as_str().unwrap().parse().unwrap())
                    .collect();
                if all.len() >= starts {
                    return all;
                }
                sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        assert_eq!(all.len(), starts, "one start, one listener");
        *all.last().unwrap()
    }

    /// Returns the gateway's answer to the real curl, and the origin's.
    async fn curl(&self, proxy: SocketAddr, password: &str, host: &str) -> (u16, u16) {
        let authority = self.pki.authority_file();
        let outcome = curl(&[
            "--cacert",
            authority.to_str().unwrap(),
            "-x",
            &format!("http://agent1:{password}@{proxy}"),
            &format!("https://{host}/"),
        ])
        .await
        .expect("curl is installed");
        (outcome.connect_status, outcome.status)
    }

    /// Waits until a host is let through.
    async fn wait_for(&self, proxy: SocketAddr, host: &str) {
        patiently("the other configuration is in force", async {
            while self.curl(proxy, PASSWORD, host).await.0 != 200 {
                sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    async fn state(&self) -> String {
        self.machine.run(&["service", "state"]).await.trim().to_owned()
    }

    /// Stops the service while a tunnel is open: nothing new is accepted, and the tunnel goes on until its client ends it.
    async fn stop_under_a_tunnel(&self, proxy: SocketAddr) {
        let authorization = basic("agent1", PASSWORD);
        let tunnel = Tunnel::open(proxy, GOOD_TARGET, &[("Proxy-Authorization", &authorization)]).await;
        let mut inside = tunnel.tls(GOOD, self.pki.client_config()).await;
        let stop = self.machine.run(&["service", "stop"]);
        let meanwhile = async {
            patiently("the service drains", async {
                while self.state().await != "StopPending" {
                    sleep(LOOK_AGAIN).await;
                }
            })
            .await;
            assert!(TcpStream::connect(proxy).await.is_err(), "a gateway that drains accepts nobody");
            inside.write_all(format!("GET / HTTP/1.1\r\nHost: {GOOD}\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            inside.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, format!("HTTP/1.1 {AZURES}").as_bytes());
            drop(inside);
        };
        let (said, ()) = tokio::join!(stop, meanwhile);
        assert!(said.contains("has stopped"), "{said}");
        assert_eq!(self.state().await, "Stopped");
        let stopped = self.records().pop().unwrap();
        assert_eq!((&stopped["event_id"], &stopped["cut"]), (&102.into(), &0.into()), "{stopped}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn the_gateways_installer_installs_its_service_which_serves_reloads_drains_is_upgraded_and_removed() {
    let _alone = ONE_SERVICE.lock().await;
    let mut stage = Stage::bare().await;

    assert!(stage.machine.install("la-gateway.msi").await);
    assert_eq!(stage.state().await, "Stopped", "there is nothing to start with");
    let laid: Vec<_> =
        fs::read_dir(&stage.machine.home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(laid, ["logs"], "no file is laid where the configuration belongs");
    let said = stage.machine.run(&["service", "start", "--if-configured"]).await;
    assert!(said.contains("not started"), "{said}");
    assert!(stage.machine.installed("gateway.sample.toml").exists());

    stage.configure(&[], false);
    assert!(stage.machine.run(&["check"]).await.contains("the configuration is right"));
    assert!(stage.machine.run(&["service", "start"]).await.contains("runs"));
    let proxy = stage.proxy().await;
    assert_eq!(stage.curl(proxy, PASSWORD, GOOD).await, (200, AZURES));
    assert_eq!(stage.curl(proxy, PASSWORD, ADDED).await, (403, 0));
    assert_eq!(stage.curl(proxy, "wrong", GOOD).await, (407, 0));
    let said = stage.machine.run(&["status"]).await;
    assert!(said.contains("serving; ready") && said.contains("1 user"), "{said}");

    stage.configure(&[ADDED], true);
    assert!(stage.machine.run(&["service", "reload"]).await.contains("reads its configuration"));
    stage.wait_for(proxy, ADDED).await;
    assert_eq!(stage.curl(proxy, PASSWORD, LATER).await, (403, 0));
    let outcome = stage.machine.output(&["hosts", "add", LATER]).await;
    assert!(outcome.status.success(), "{outcome:?}");
    // The service takes the changed file by itself from here on.
    stage.wait_for(proxy, LATER).await;
    assert_eq!(stage.machine.run(&["reload"]).await.trim(), "unchanged");

    stage.stop_under_a_tunnel(proxy).await;
    assert!(stage.machine.run(&["service", "start"]).await.contains("runs"));
    stage.proxy().await;

    let configuration = fs::read(stage.machine.home.join("gateway.toml")).unwrap();
    assert!(stage.machine.install("la-gateway-next.msi").await);
    assert_eq!(stage.state().await, "Running", "it ran, and runs again");
    let proxy = stage.proxy().await;
    assert_eq!(stage.curl(proxy, PASSWORD, LATER).await, (200, AZURES));
    assert!(!stage.machine.install("la-gateway.msi").await, "an older version");

    assert!(stage.machine.msiexec("/x", "la-gateway-next.msi").await);
    assert!(!stage.machine.installed("").exists(), "the program's folder is gone");
    assert!(TcpStream::connect(proxy).await.is_err(), "and so is the service");
    assert_eq!(fs::read(stage.machine.home.join("gateway.toml")).unwrap(), configuration);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn an_installation_whose_gateway_cannot_start_fails_and_says_why_in_its_records() {
    let _alone = ONE_SERVICE.lock().await;
    let stage = Stage::bare().await;
    stage.configure(&[], true);
    let file = stage.machine.home.join("gateway.toml");
    let text = fs::read_to_string(&file).unwrap().replace("users_file", "user_file");
    fs::write(&file, text).unwrap();
    assert!(!stage.machine.install("la-gateway.msi").await);
    assert!(!stage.machine.installed("la-gateway.exe").exists(), "no program is left behind");
    let said = format!("{:?}", stage.records());
    assert!(said.contains("user_file") && said.contains("not started"), "{said}");
}
