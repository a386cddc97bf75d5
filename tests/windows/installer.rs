//! The installer, from a machine without the agent to one without it again. `AGENT_LITE_INSTALLERS` names a folder with
//! `agent-lite.msi` and `next.msi`, a later version of the same.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;
use std::process::Stdio;

use end_to_end::patience::patiently;
use tokio::process::Command;

use crate::ONE_SERVICE;
use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::by_drive;
use crate::stage;

const PROGRAM: &str = r"C:\Program Files\agent-lite\agent-lite.exe";
const HEARTBEAT: &str = "[source.heartbeat.often]\nevery = \"1s\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn the_installer_installs_upgrades_and_removes_the_service_and_leaves_configuration_and_state() {
    let _alone = ONE_SERVICE.lock().await;
    let stage = stage().await;
    let machine = Machine::bare();

    assert!(machine.install("agent-lite.msi").await);
    assert_eq!(
        machine.agent(&["service", "state"]).await.trim(),
        "Stopped",
        "there is nothing to start with"
    );
    let said = machine.agent(&["service", "start", "--if-configured"]).await;
    assert!(said.contains("not started") && said.contains("onboard"), "{said}");
    assert_eq!(
        fs::read_dir(&machine.home).unwrap().count(),
        0,
        "nothing is laid where the configuration belongs"
    );
    assert!(machine.installed("agent.sample.toml").exists() && machine.installed("LICENSE.txt").exists());

    machine.configure(&stage, HEARTBEAT);
    machine.agent(&["service", "start"]).await;
    let delivered = heartbeats(&stage, 0).await;
    let (configuration, agent) = machine.kept();

    assert!(machine.install("next.msi").await);
    assert_eq!(machine.agent(&["service", "state"]).await.trim(), "Running", "it ran, and runs again");
    heartbeats(&stage, delivered + 1).await;
    assert_eq!(machine.kept(), (configuration.clone(), agent.clone()), "an upgrade changes neither");
    assert!(!machine.install("agent-lite.msi").await, "an older version");
    assert_eq!(
        machine.agent(&["service", "state"]).await.trim(),
        "Running",
        "an older version changes nothing"
    );

    assert!(machine.msiexec("/x", "next.msi").await);
    assert!(!machine.installed("").exists(), "the program's folder is gone");
    assert_ne!(stage.home.command(&["service", "state"]).await.exit, 0, "and so is the service");
    assert_eq!(machine.kept(), (configuration, agent), "configuration and state are the machine's");
    assert!(!machine.home.join("state/running").exists(), "it ended in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn an_installation_whose_service_cannot_start_fails_and_leaves_no_service() {
    let _alone = ONE_SERVICE.lock().await;
    let stage = stage().await;
    let machine = Machine::bare();
    machine.configure(&stage, "[source.heartbeat.often]\nevry = \"1s\"\n");
    assert!(!machine.install("agent-lite.msi").await);
    assert_ne!(stage.home.command(&["service", "state"]).await.exit, 0, "no service is left behind");
    assert!(!machine.installed("agent-lite.exe").exists(), "and no program");
    let log = fs::read_to_string(machine.home.join("agent.log")).unwrap();
    assert!(log.contains("evry"), "the log names what is wrong: {log}");
}

/// Waits for more heartbeats than so many, and returns how many there are.
async fn heartbeats(stage: &AgentStage, more_than: u64) -> u64 {
    let table = By::Key.table("Heartbeat");
    stage.fake.wait_for_rows(stage.id(0), &table, more_than + 2).await.len() as u64
}

/// The prefix of Wine as a machine: bare when it is made and when it is dropped.
struct Machine {
    drive: PathBuf,
    home: PathBuf,
}

impl Machine {
    fn bare() -> Self {
        let drive = PathBuf::from(std::env::var("WINEPREFIX").expect("a prefix of Wine")).join("drive_c");
        let machine = Self { home: drive.join("ProgramData/agent-lite"), drive };
        machine.clear();
        machine
    }

    fn clear(&self) {
        for name in ["next.msi", "agent-lite.msi"] {
            let mut remove = std::process::Command::new("wine");
            remove.args(["msiexec", "/x", &self.installer(name), "/qn"]);
            let _ = remove.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_dir_all(&self.home);
    }

    fn installer(&self, name: &str) -> String {
        let folder = std::env::var("AGENT_LITE_INSTALLERS").expect("the installers");
        by_drive(&Path::new(&folder).join(name)).replace('/', "\\")
    }

    fn installed(&self, name: &str) -> PathBuf {
        self.drive.join("Program Files/agent-lite").join(name)
    }

    /// Installs quietly; returns whether it went well.
    async fn install(&self, name: &str) -> bool {
        self.msiexec("/i", name).await
    }

    async fn msiexec(&self, what: &str, name: &str) -> bool {
        self.wine(&["msiexec", what, &self.installer(name), "/qn"]).await.status.success()
    }

    /// Runs the installed agent, without naming a configuration.
    async fn agent(&self, arguments: &[&str]) -> String {
        let mut words = vec![PROGRAM];
        words.extend(arguments);
        let output = self.wine(&words).await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn wine(&self, words: &[&str]) -> Output {
        let mut command = Command::new("wine");
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        patiently("a program of Windows ends", command.output()).await.expect("Wine is installed")
    }

    /// Lays the stage's configuration where the service looks for it.
    fn configure(&self, stage: &AgentStage, text: &str) {
        stage.configure(&[By::Key], text);
        fs::create_dir_all(&self.home).unwrap();
        let own = fs::read_to_string(stage.home.config()).unwrap();
        let authority = stage.pki.authority_file();
        let own = own.replace(&format!("{authority:?}"), &format!("{:?}", by_drive(&authority)));
        fs::write(self.home.join("agent.toml"), own).unwrap();
        fs::copy(stage.home.path().join("w0.key"), self.home.join("w0.key")).unwrap();
    }

    /// Returns what must stay: the configuration, and who the agent is.
    fn kept(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |name| fs::read(self.home.join(name)).unwrap();
        (read("agent.toml"), read("state/agent-id"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.clear();
    }
}
