//! What journeys of a data collection rule begin with: an agent whose rule lies in a blob, and rules to put there.

use std::os::unix::net::UnixDatagram;

use end_to_end::agent::Agent;
use end_to_end::patience::patiently;
use end_to_end::workspace::Place;
use end_to_end::workspace::SeenRequest;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::LOOK_AGAIN;
use crate::agent_stage::files_below;

/// An agent whose rule lies in a blob of its workspace's storage account.
pub(crate) struct Afar {
    pub(crate) stage: AgentStage,
    url: String,
    /// Beside the agent's own folder, which no rule may read.
    folder: TempDir,
}

impl Afar {
    pub(crate) async fn new(rule: &str) -> Self {
        let stage = AgentStage::new(1).await;
        let url = stage.fake.put_blob(stage.workspace(0), "edge7.json", rule);
        stage.secret("rule.sas", &format!("{url}\n"));
        let folder = tempfile::tempdir().expect("a folder");
        let afar = Self { stage, url, folder };
        afar.configure("1s");
        afar
    }

    pub(crate) fn configure(&self, probation: &str) {
        self.configure_through(&self.stage.gateway.proxy_url(), probation);
    }

    /// The only local source is a heartbeat, which goes on whatever a rule says.
    pub(crate) fn configure_through(&self, gateway: &str, probation: &str) {
        let text = format!(
            "[data_collection_rule]\nblob_sas_url_file = \"rule.sas\"\npoll = \"1s\"\nprobation = \"{probation}\"\n\
             destinations = {{ \"la-plant\" = \"w0\" }}\nlog_directories = [{:?}]\nsyslog = {{ unix = [\"log.sock\"] }}\n\
             [metrics]\naddress = \"127.0.0.1:0\"\n[source.heartbeat.default]\nevery = \"1s\"\n",
            self.logs(""),
        );
        self.stage.configure_through(&[gateway.to_owned()], "", &[By::Secret], &text);
    }

    pub(crate) fn logs(&self, pattern: &str) -> String {
        let folder = self.folder.path();
        if pattern.is_empty() {
            folder.display().to_string()
        } else {
            format!("{}/{pattern}", folder.display())
        }
    }

    pub(crate) fn put(&self, rule: &str) {
        let url = self.stage.fake.put_blob(self.stage.workspace(0), "edge7.json", rule);
        assert_eq!(url, self.url);
    }

    /// Writes a line into another file of this beginning.
    pub(crate) fn log(&self, begin: &str, line: &str) {
        let count = files_below(self.folder.path()).len();
        let file = self.folder.path().join(format!("{begin}{count}.log"));
        std::fs::write(file, format!("{line} of file {count}\n")).expect("a line");
    }

    /// Writes lines until one is a row: a source that is new begins at the end of files that it finds there.
    pub(crate) async fn arrives(&self, begin: &str, line: &str) {
        let has = || {
            self.stage.fake.rows(self.stage.id(0), "App_CL").iter().any(|row| row.message().starts_with(line))
        };
        patiently(&format!("{line} arrives"), async {
            while !has() {
                self.log(begin, line);
                tokio::time::sleep(10 * LOOK_AGAIN).await;
            }
        })
        .await;
    }

    pub(crate) async fn rule_status(&self) -> Value {
        self.stage.status().await["rule"].clone()
    }

    pub(crate) async fn wait_for_version(&self, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let find = |status: &Value| Some(status["rule"].clone()).filter(|rule| right(rule));
        self.stage.wait_for_status(what, find).await
    }

    pub(crate) fn looks(&self) -> Vec<SeenRequest> {
        self.stage.fake.requests_at(self.stage.id(0), Place::Download)
    }

    /// Waits for this many looks that were answered so from now on.
    pub(crate) async fn wait_for_looks(&self, status: u16, count: usize) {
        let of = |looks: Vec<SeenRequest>| looks.iter().filter(|look| look.status == Some(status)).count();
        let before = of(self.looks());
        let enough = |_: &_| (of(self.looks()) >= before + count).then_some(());
        self.stage.fake.wait_for(&format!("{count} looks with {status}"), enough).await;
    }

    pub(crate) async fn send(&self, text: &str) {
        let socket = UnixDatagram::unbound().expect("a socket");
        let place = self.stage.home.path().join("log.sock");
        while socket.send_to(format!("<38>app: {text}").as_bytes(), &place).is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Nothing that anybody can look at holds the signature.
    pub(crate) async fn assert_no_signature(&self, agent: &Agent) {
        let signature = self.url.split("sig=").nth(1).expect("a signature");
        let status = self.stage.home.command(&["status"]).await;
        let json = self.stage.home.command(&["status", "--json"]).await;
        let check = self.stage.home.command(&["check"]).await;
        let texts = [
            agent.log().lines().join("\n"),
            status.stdout,
            status.stderr,
            json.stdout,
            check.stdout,
            check.stderr,
        ];
        for text in texts {
            assert!(!text.contains(signature) && !text.contains("sig="), "{text}");
        }
        for file in files_below(&self.stage.home.path().join("state")) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&bytes).contains(signature), "{}", file.display());
        }
        for row in self.stage.fake.rows(self.stage.id(0), "AgentLiteOperation_CL") {
            assert!(!row.text("Detail").contains(signature));
        }
    }
}

/// A rule that reads files into a table, and, if asked for, syslog of the facility auth.
pub(crate) fn rule(pattern: &str, table: &str, syslog: bool) -> String {
    let stream = format!("Custom-{table}");
    let columns =
        json!([{ "name": "TimeGenerated", "type": "datetime" }, { "name": "RawData", "type": "string" }]);
    let mut sources = json!({ "logFiles": [{
        "name": "app", "streams": [stream], "filePatterns": [pattern], "format": "text",
        "settings": { "text": { "recordStartTimestampFormat": "ISO 8601" } }
    }] });
    let mut flows = vec![
        json!({ "streams": [stream], "destinations": ["la-plant"], "transformKql": "source", "outputStream": stream }),
    ];
    if syslog {
        sources["syslog"] = json!([{ "name": "auth", "streams": ["Microsoft-Syslog"], "facilityNames": ["auth"], "logLevels": ["*"] }]);
        flows.push(json!({ "streams": ["Microsoft-Syslog"], "destinations": ["la-plant"] }));
    }
    let properties = json!({
        "streamDeclarations": { stream.as_str(): { "columns": columns } },
        "dataSources": sources,
        "destinations": { "logAnalytics": [{ "name": "la-plant", "workspaceResourceId": "/subscriptions/s/w" }] },
        "dataFlows": flows
    });
    json!({ "kind": "Linux", "location": "westeurope", "properties": properties }).to_string()
}
