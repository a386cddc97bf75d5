//! Direct: every address the agent connects or sends to, seen by strace from its first instruction on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use end_to_end::agent::program;
use serde_json::json;

use super::load::Load;
use super::rate::Mix;
use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;

const DNS: u16 = 53;
/// The gateway goes away and comes back within the time.
const OUTAGE: Duration = Duration::from_secs(5);

/// Addresses by what they are.
#[derive(Default)]
struct Seen {
    gateway: u64,
    dns: u64,
    elsewhere: Vec<String>,
}

pub(crate) async fn run(report: &mut Report, transport: Transport, rate: u64, seconds: u64) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no strace here");
        return;
    }
    let mut stage = Stage::new(transport, super::idle::ALL_SOURCES).await;
    let trace = stage.home.path().join("trace");
    let mut agent = strace(&stage, &trace);
    let loads: Vec<Load> = Mix::Mixed.streams(&stage, rate, seconds).into_iter().map(Load::start).collect();
    tokio::time::sleep(Duration::from_secs(seconds) / 2).await;
    stage.stop_gateway();
    tokio::time::sleep(OUTAGE).await;
    stage.start_gateway().await;
    while !loads.iter().all(Load::is_over) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sent: Vec<(&str, u64)> = loads.into_iter().map(|load| (load.series, load.stop())).collect();
    stage.drained(&sent, Duration::from_secs(60)).await;
    let rows: u64 = sent.iter().map(|(series, _)| stage.sequence(series).distinct()).sum();
    let _ = agent.kill();
    let _ = agent.wait();
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let seen = count(&text, stage.gateway().proxy());
    report.row(
        &format!("where it connects to, an outage of the gateway included, {}", transport.name()),
        &format!(
            "{} connections to the gateway for {rows} records, {} elsewhere, {} DNS packets",
            seen.gateway,
            seen.elsewhere.len(),
            seen.dns
        ),
        "0 elsewhere, 0 DNS packets",
        json!({
            "transport": transport.name(), "rate": rate, "seconds": seconds, "rows": rows,
            "gateway": seen.gateway, "dns": seen.dns, "elsewhere": seen.elsewhere,
        }),
    );
}

/// With `-D` the traced program is the child, and the tracer stands beside it.
fn strace(stage: &Stage, trace: &Path) -> std::process::Child {
    Command::new("strace")
        .args(["-D", "-f", "-qq", "-s", "0", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"])
        .arg(trace)
        .arg(program())
        .arg("--config")
        .arg(stage.home.config())
        .arg("run")
        .current_dir(stage.home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace starts")
}

fn count(trace: &str, gateway: SocketAddr) -> Seen {
    let mut seen = Seen::default();
    for line in trace.lines() {
        let Some(port) = port(line) else { continue };
        match port {
            _ if port == gateway.port() && line.contains("\"127.0.0.1\"") => seen.gateway += 1,
            DNS => seen.dns += 1,
            _ => seen.elsewhere.push(line.to_owned()),
        }
    }
    seen
}

/// Returns the port of an IP address that the call names.
fn port(line: &str) -> Option<u16> {
    let (_, address) = line.split_once("sa_family=AF_INET")?;
    let (_, port) = address.split_once("htons(")?;
    port.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_trace_are_told_apart() {
        let trace = r#"7 connect(9, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("127.0.0.1")}, 16) = -1
7 connect(9, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0
7 sendto(9, ""..., 40, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.1")}, 16) = 40
7 connect(9, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0
"#;
        let seen = count(trace, "127.0.0.1:8080".parse().expect("an address"));
        assert_eq!((seen.gateway, seen.dns, seen.elsewhere.len()), (1, 1, 1));
    }
}
