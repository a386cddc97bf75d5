//! A headless Chromium, driven by its DevTools protocol over one WebSocket.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use end_to_end::installed;
use end_to_end::patience::patiently;
use futures_util::SinkExt;
use futures_util::StreamExt;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A browser with one page. Dropping it kills the process.
pub(crate) struct Browser {
    _child: Child,
    _folder: TempDir,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    next: u64,
    /// What it told since the last look: requests and complaints.
    told: Vec<Value>,
}

impl Browser {
    /// Starts one, or says `skipped: …`.
    pub(crate) async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-extensions", "--mute-audio", "--no-proxy-server"])
            .args(["--hide-scrollbars", "--remote-debugging-port=0", "--lang=en"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = installed::start(&mut command)?;
        let address = patiently("the browser says where it listens", listening(folder.path())).await;
        let (socket, _) = connect_async(address).await.expect("a WebSocket");
        let mut browser =
            Self { _child: child, _folder: folder, socket, session: None, next: 0, told: Vec::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    /// Calls a method, and keeps what is told in the meantime.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).await.expect("a browser that listens");
        patiently(method, async {
            loop {
                let message = self.socket.next().await.expect("a browser that lives").expect("a message");
                let Message::Text(text) = message else { continue };
                let mut message: Value = serde_json::from_str(&text).expect("JSON");
                if message["id"] == id {
                    assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                    return message["result"].take();
                }
                self.told.push(message);
            }
        })
        .await
    }

    /// Opens an address.
    pub(crate) async fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({ "url": address })).await;
        assert!(opened["errorText"].is_null(), "{opened}");
    }

    /// Makes the window this large, and light or dark.
    pub(crate) async fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Returns what an expression is in the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", asked).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true in the page.
    pub(crate) async fn wait_for(&mut self, expression: &str) {
        patiently(expression, async {
            while self.evaluate(&format!("Boolean({expression})")).await != true {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// Waits until an element shows a text.
    pub(crate) async fn wait_for_text(&mut self, selector: &str, text: &str) {
        let shown = format!(
            "[...document.querySelectorAll({})].some((one) => one.checkVisibility() && one.innerText.includes({}))",
            json!(selector),
            json!(text)
        );
        self.wait_for(&shown).await;
    }

    /// Clicks an element.
    pub(crate) async fn click(&mut self, selector: &str) {
        self.evaluate(&format!("document.querySelector({}).click()", json!(selector))).await;
    }

    /// Writes a picture of the window.
    pub(crate) async fn picture(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let bytes = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(file, bytes).expect("a picture's file");
    }

    /// Returns what went wrong since the last look: complaints, and requests to anybody but this address.
    pub(crate) fn complaints(&mut self, own: &str) -> Vec<String> {
        let told = std::mem::take(&mut self.told);
        told.iter().filter_map(|message| complaint(message, own)).collect()
    }
}

fn complaint(message: &Value, own: &str) -> Option<String> {
    let params = &message["params"];
    let wrong = match message["method"].as_str()? {
        "Network.requestWillBeSent" => {
            let url = params["request"]["url"].as_str().unwrap_or_default();
            !url.starts_with(own) && !url.starts_with("data:")
        }
        "Runtime.exceptionThrown" => true,
        "Runtime.consoleAPICalled" => {
            ["error", "warning", "assert"].map(Value::from).contains(&params["type"])
        }
        "Log.entryAdded" => ["error", "warning"].map(Value::from).contains(&params["entry"]["level"]),
        _ => false,
    };
    wrong.then(|| message.to_string())
}

async fn listening(folder: &Path) -> String {
    loop {
        let text = std::fs::read_to_string(folder.join("DevToolsActivePort")).unwrap_or_default();
        let mut lines = text.lines();
        if let (Some(port), Some(path)) = (lines.next(), lines.next()) {
            return format!("ws://127.0.0.1:{port}{path}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
