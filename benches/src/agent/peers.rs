//! Peers: syslog-ng and rsyslog with a disk queue and an HTTPS output, under the load of `rate`, through the gateway.
//!
//! They know no Azure, so a sink takes their records, uncompressed; neither waits for the disk to confirm its queue. Debian's packages of both exclude one another: they are
//! looked for in a folder into which packages were unpacked, and on the system.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::pki::Pki;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use super::load::Load;
use super::load::Stream;
use super::load::Target;
use super::messages::LENGTH;
use super::report::Report;
use super::sink::Sink;
use super::stage::free_address;
use super::stage::until;
use super::usage::Memory;
use super::usage::Processor;
use super::usage::forget_peak;
use super::usage::mebibytes;

const NAME: &str = "peer.example";
/// How long a peer has for its start, and for its end.
const START: Duration = Duration::from_secs(3);
/// How long records may take to arrive after the last was sent.
const DRAIN: Duration = Duration::from_secs(60);

const SYSLOG_NG: &str = r#"@version: 3.38
options { stats-freq(0); use-dns(no); dns-cache(no); keep-hostname(yes); };
source s { network(transport("udp") ip("127.0.0.1") port({port}) so-rcvbuf(8388608)); };
destination d {
  http(url("https://{name}/records") proxy("{proxy}") method("POST") headers("Content-Type: application/json")
    body("$(format-json TimeGenerated=$ISODATE Computer=$HOST HostName=$HOST Facility=$FACILITY SeverityLevel=$LEVEL ProcessName=$PROGRAM ProcessID=$PID HostIP=$SOURCEIP SyslogMessage=$MESSAGE)")
    body-prefix("[") delimiter(",") body-suffix("]") batch-lines(2000) batch-bytes(900Kb) batch-timeout(1000)
    tls(ca-file("{ca}"))
    disk-buffer(reliable(yes) disk-buf-size(1073741824) mem-buf-size(4194304) dir("{folder}")));
};
log { source(s); destination(d); };
"#;

const RSYSLOG: &str = r#"global(workDirectory="{folder}" net.enabledns="off")
module(load="imudp")
module(load="{module}")
input(type="imudp" address="127.0.0.1" port="{port}" rcvbufSize="8m")
template(name="record" type="list" option.jsonf="on") {
  property(outname="TimeGenerated" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="Computer" name="hostname" format="jsonf")
  property(outname="HostName" name="hostname" format="jsonf")
  property(outname="Facility" name="syslogfacility-text" format="jsonf")
  property(outname="SeverityLevel" name="syslogseverity-text" format="jsonf")
  property(outname="ProcessName" name="programname" format="jsonf")
  property(outname="ProcessID" name="procid" format="jsonf")
  property(outname="HostIP" name="fromhost-ip" format="jsonf")
  property(outname="SyslogMessage" name="msg" format="jsonf")
}
action(type="omelasticsearch" server="https://{name}" serverport="443" bulkmode="on" template="record"
  searchIndex="records" tls.cacert="{ca}" queue.type="disk" queue.filename="q" queue.maxdiskspace="1g"
  queue.dequeuebatchsize="1024" action.resumeretrycount="-1")
"#;

#[derive(Clone, Copy, Debug)]
enum Peer {
    SyslogNg,
    Rsyslog,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::SyslogNg => "syslog-ng",
            Self::Rsyslog => "rsyslog",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::SyslogNg => SYSLOG_NG,
            Self::Rsyslog => RSYSLOG,
        }
    }

    fn command(self, root: &Path, config: &Path, folder: &Path) -> Command {
        let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/syslog-ng", "lib/x86_64-linux-gnu"];
        let libraries = libraries.map(|path| root.join(path).display().to_string()).join(":");
        let mut command = match self {
            Self::SyslogNg => {
                let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
                let modules = root.join("usr/lib/syslog-ng/3.38");
                command.args(["--no-caps", "-F", "-f"]).arg(config);
                command.arg(format!("--module-path={}", modules.display()));
                for option in ["persist-file", "control", "pidfile"] {
                    command.arg(format!("--{option}={}", folder.join(option).display()));
                }
                command.env("LD_LIBRARY_PATH", libraries);
                command
            }
            Self::Rsyslog => {
                let mut command = Command::new("rsyslogd");
                command.arg("-n").arg("-f").arg(config).arg("-i").arg(folder.join("pid"));
                command
            }
        };
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

pub(crate) async fn run(report: &mut Report, programs: &Path, rate: u64, seconds: u64) {
    for peer in [Peer::SyslogNg, Peer::Rsyslog] {
        measure(report, peer, programs, rate, seconds).await;
    }
}

/// One peer with all it needs; its process ends when this is dropped.
struct Stand {
    sink: Sink,
    gateway: Gateway,
    child: Child,
    port: SocketAddr,
    _pki: Pki,
    _folder: TempDir,
}

impl Stand {
    async fn new(peer: Peer, programs: &Path) -> Option<Self> {
        let pki = Pki::new();
        let sink = Sink::start(&pki, NAME).await;
        let text = format!("[role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\nhosts = [\"{NAME}\"]\n");
        let gateway = Gateway::start(&Config::new(&text).hosts(&[NAME], sink.address)).await;
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_address());
        let module: PathBuf = programs.join("usr/lib/x86_64-linux-gnu/rsyslog/omelasticsearch.so");
        let text = peer
            .text()
            .replace("{port}", &port.port().to_string())
            .replace("{name}", NAME)
            .replace("{proxy}", &gateway.proxy_url())
            .replace("{ca}", &pki.authority_file().display().to_string())
            .replace("{module}", &module.display().to_string())
            .replace("{folder}", &folder.path().display().to_string());
        let config = folder.path().join("peer.conf");
        std::fs::write(&config, text).expect("a file in our folder");
        let mut command = peer.command(programs, &config, folder.path());
        let child = command.env("https_proxy", gateway.proxy_url()).spawn().ok()?;
        let mut stand = Self { sink, gateway, child, port, _pki: pki, _folder: folder };
        tokio::time::sleep(START).await;
        let runs = stand.child.try_wait().is_ok_and(|status| status.is_none());
        runs.then_some(stand)
    }

    fn end(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure(report: &mut Report, peer: Peer, programs: &Path, rate: u64, seconds: u64) {
    let Some(mut stand) = Stand::new(peer, programs).await else {
        println!("| {} | skipped: it does not start from {} | |", peer.name(), programs.display());
        return;
    };
    let pid = stand.child.id();
    let idle = Memory::of(pid);
    forget_peak(pid);
    let before = Processor::of(pid);
    let target = Target::Udp(stand.port);
    let load = Load::start(Stream { series: "udp", target, rate: Some(rate), most: rate * seconds });
    while !load.is_over() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sent = load.stop();
    until(DRAIN, Duration::from_millis(50), || (stand.sink.distinct() >= sent).then_some(())).await;
    let (used, memory) = (Processor::of(pid).since(before), Memory::of(pid));
    stand.end();
    tokio::time::sleep(START).await;
    let up = stand.gateway.metric("la_gateway_tunnel_bytes_total", &[("direction", "up")]).await;
    let seen = stand.sink.seen();
    let records = seen.distinct().max(1);
    report.row(
        &format!("{}: {rate}/s by UDP, not to Azure and uncompressed", peer.name()),
        &format!(
            "{:.1} µs a record, {:.1} MB before and peak {:.1} MB, {} of {sent} lost, {} doubled, {} bytes of body and \
             {:.0} with TLS a record of {LENGTH}",
            used.micros_per(records),
            mebibytes(idle.resident),
            mebibytes(memory.peak),
            sent - seen.distinct().min(sent),
            seen.doubled,
            seen.body / records,
            up / records as f64,
        ),
        "",
        json!({
            "peer": peer.name(), "rate": rate, "sent": sent, "distinct": seen.distinct(), "doubled": seen.doubled,
            "requests": seen.requests, "body_bytes": seen.body, "bytes_up": up, "processor": used.json(),
            "idle": idle.json(), "memory": memory.json(),
        }),
    );
}
