//! README, "Replacing Microsoft's gateway or Squid": its commands are run, its printed lines are held against what
//! the program prints.
//!
//! Only what cannot be the same everywhere is replaced: the agents' network by loopback, ports by free ones, times by
//! `TIME`. Azure is a fake, and so are the lists of the old gateway.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use end_to_end::azure::FakeAzure;
use end_to_end::client::Tunnel;
use end_to_end::client::refused;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::program;
use end_to_end::installed;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::record::Record;
use end_to_end::wire;
use tempfile::TempDir;
use tokio::process::Command;

use crate::stage::GOOD;
use crate::stage::assert_refusal;

const TITLE: &str = "## Replacing Microsoft's gateway or Squid\n";
const OTHER_WORKSPACE: &str = "99999999-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
const ACCOUNT: &str = "examplelogs.blob.core.windows.net";
const PACKAGES: &str = "packages.example.org";
/// What agents ask for in the trial, in this order.
const ASKED: [&str; 7] = [
    GOOD,
    OTHER_WORKSPACE,
    ACCOUNT,
    "gbl.his.arc.azure.com",
    "agentserviceapi.guestconfiguration.azure.com",
    PACKAGES,
    PACKAGES,
];
const ALLOWED: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com\r\n\
    global.handler.control.monitor.azure.com\r\nwesteurope.handler.control.monitor.azure.com\r\n\
    www.test.com\r\n10.1.1.1\r\n";
const SETTINGS: &str = "Name       Value\r\n----       -----\r\nListenPort 8080\r\n";

/// A fenced block of the README.
struct Block {
    language: String,
    text: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_leads_from_the_old_gateway_to_an_enforced_one_and_prints_what_it_says() {
    if installed::output(Command::new("curl").arg("--version")).await.is_none() {
        return;
    }
    let pki = Pki::new();
    let azure = FakeAzure::start(&pki, &ASKED[..6]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut blocks = blocks().into_iter().peekable();
    let (mut gateway, mut admin) = (None, String::new());
    let mut wrong = Vec::new();
    while let Some(block) = blocks.next() {
        match block.language.as_str() {
            "powershell" => old_gateway(folder.path(), &block.text),
            "sh" if block.text.trim_end().ends_with('&') => {
                assert_eq!(block.text, "la-gateway --config gateway.toml >records.json &\n");
                for_the_trial(folder.path(), azure.address());
                let running = start(folder.path()).await;
                agents(&running, &pki).await;
                std::fs::write(folder.path().join("records.json"), running.log().lines().join("\n"))
                    .expect("written");
                admin = address(&running, "admin").await.to_string();
                gateway = Some(running);
            }
            "sh" => {
                let expected = blocks.next().filter(|next| next.language == "text").expect("what is printed");
                let printed = run(&block.text.replace("127.0.0.1:9180", &admin), folder.path()).await;
                if steady(&printed) != steady(&expected.text) {
                    wrong.push(format!("{}prints\n{printed}and not\n{}", block.text, expected.text));
                }
            }
            other => panic!("what is a block of {other:?}?"),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let gateway = gateway.expect("the README starts a gateway");
    enforced(&gateway, &pki).await;
    let roles = format!("curl -s http://{admin}/metrics | grep ^la_gateway_roles_in_report_mode");
    assert_eq!(run(&roles, folder.path()).await, "la_gateway_roles_in_report_mode 0\n");
}

/// The running gateway takes the change: what the agents need goes on, and everything else is refused.
async fn enforced(gateway: &Gateway, pki: &Pki) {
    let taken =
        |record: &Record| record.event_id() == Some(130) && !record.text("message").contains("report mode");
    gateway.wait_for_record("the change is in force", taken).await;
    agents(gateway, pki).await;
    let (answer, _) = refused(address(gateway, "proxy").await, "elsewhere.example.org:443", &[]).await;
    assert_refusal(&answer, 403);
    let (answer, _) = refused(address(gateway, "proxy").await, "evil.blob.core.windows.net:443", &[]).await;
    assert_refusal(&answer, 403);
}

/// Returns the section's blocks, with loopback for the agents' network.
fn blocks() -> Vec<Block> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let (_, section) = readme.split_once(TITLE).expect("the section");
    let section = section.split("\n## ").next().expect("a first part");
    let section = section.replace("10.20.0.0/16", "127.0.0.0/8").replace("10.20.0.7", "127.0.0.1");
    let mut parts = section.split("\n```");
    let mut blocks = Vec::new();
    while let Some(_prose) = parts.next() {
        let Some((language, text)) = parts.next().and_then(|block| block.split_once('\n')) else { break };
        blocks.push(Block { language: language.to_owned(), text: format!("{text}\n") });
    }
    assert!(blocks.len() >= 10, "{} blocks", blocks.len());
    blocks
}

/// Makes the files that the cmdlets would: Windows PowerShell writes UTF-16.
fn old_gateway(folder: &Path, commands: &str) {
    let wide = |text: &str| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    for (file, text) in [("allowed.txt", ALLOWED), ("relay.txt", "\r\n"), ("settings.txt", SETTINGS)] {
        assert!(commands.contains(&format!("> {file}\n")), "{file}");
        std::fs::write(folder.join(file), wide(text)).expect("written");
    }
}

/// Leads Azure's names to the fake, and the listeners to free ports.
fn for_the_trial(folder: &Path, azure: SocketAddr) {
    let file = folder.join("gateway.toml");
    let text = std::fs::read_to_string(&file).expect("the imported configuration");
    assert!(text.contains("address = \"0.0.0.0:8080\""), "{text}");
    let hosts: Vec<String> = ASKED[..6].iter().map(|name| format!("{name:?} = [\"{azure}\"]")).collect();
    let text = text.replace("0.0.0.0:8080", "127.0.0.1:0");
    let trial = format!(
        "\n[admin]\naddress = \"127.0.0.1:0\"\n\n[addresses]\nallow = [\"127.0.0.1/32\"]\n\n[dns.hosts]\n{}\n\
         \"elsewhere.example.org\" = [\"127.0.0.1:443\"]\n",
        hosts.join("\n")
    );
    std::fs::write(file, format!("{text}{trial}")).expect("written");
}

async fn start(folder: &Path) -> Gateway {
    let file = folder.join("gateway.toml");
    let own = TempDir::new().expect("a folder");
    Gateway::spawn(&[OsStr::new("--config"), file.as_os_str()], own)
}

/// Returns where a listener is bound, once it is.
async fn address(gateway: &Gateway, kind: &str) -> SocketAddr {
    let what = format!("the {kind} listener");
    let matches = |record: &Record| record.is("message", "listening") && record.is("kind", kind);
    let record = gateway.wait_for_record(&what, matches).await;
    record.text("address").parse().expect("an address")
}

/// Asks for everything that agents ask for, with TLS inside, and waits for the records.
async fn agents(gateway: &Gateway, pki: &Pki) {
    let proxy = address(gateway, "proxy").await;
    for host in ASKED {
        let tunnel = Tunnel::open(proxy, &format!("{host}:443"), &[]).await;
        let client = tunnel.address;
        let mut stream = tunnel.tls(host, pki.client_config()).await;
        let answer = wire::exchange(&mut stream, "GET /bytes/10", &[("Host", host)], b"").await;
        assert_eq!(answer.head.status, 200, "{host}");
        drop(stream);
        gateway.record_of(client).await.assert_texts(&[("verdict", "carried")]);
    }
}

/// Runs commands as a user types them, and returns what they print.
async fn run(commands: &str, folder: &Path) -> String {
    let programs = program().parent().expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("exec 2>&1\n{commands}")])
        .current_dir(folder)
        .env("PATH", std::env::join_paths(paths).expect("a path"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = patiently("the commands of the README end", shell.output()).await.expect("bash");
    String::from_utf8(output.stdout).expect("text")
}

/// Replaces every time by `TIME`.
fn steady(text: &str) -> String {
    let is_time = |word: &str| word.starts_with("20") && word.contains('T') && word.ends_with('Z');
    let words = text.split_inclusive([' ', '\n', ')']).map(|word| {
        let bare = word.trim_end_matches([' ', '\n', ')', '.']);
        match is_time(bare) {
            true => word.replace(bare, "TIME"),
            false => word.to_owned(),
        }
    });
    words.collect()
}
