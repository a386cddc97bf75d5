//! One fault: it begins, it lasts, it is over.

use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use end_to_end::dns::Reply;
use end_to_end::workspace;
use end_to_end::workspace::RetryAfter;
use end_to_end::workspace::Shown;
use hickory_proto::op::ResponseCode;
use serde_json::json;
use tokio::time::sleep;

use crate::edge::Edge;
use crate::gate::Gate;
use crate::schedule::Fault;
use crate::schedule::Step;
use crate::schedule::Who;
use crate::stage::HOSTS;
use crate::stage::Stage;

/// Memory that a process may have more than it has now.
const AGENT_MORE: u64 = 512 * 1024;
const GATEWAY_MORE: u64 = 2 * 1024 * 1024;
/// Hours by which an agent's clock is off, by turns; the last is a clock that was never set.
const HOURS_OFF: [i64; 4] = [2, -2, 26, -8760];
/// Minutes by which the service's clock is off, by turns.
const MINUTES_OFF: [i64; 2] = [25, -25];

/// Lets a fault strike and heals it.
pub(crate) async fn strike(stage: Arc<Stage>, step: Step) {
    let agent = if let Who::Agent(number) = step.who { Some(number) } else { None };
    let cause = match step.who {
        Who::Agent(_) => format!("agent {:?}", step.fault),
        Who::Gateway(_) => format!("gateway {:?}", step.fault),
        Who::Inner(_) | Who::Outer(_) => format!("link {:?}", step.fault),
        Who::Names => format!("names {:?}", step.fault),
        Who::Service => format!("service {:?}", step.fault),
    };
    let number = stage.journal.begins(cause.clone(), agent);
    let lasts = step.lasts.as_millis() as u64;
    let (who, fault) = (step.who.to_string(), format!("{:?}", step.fault));
    stage.journal.say("fault", json!({ "who": who, "fault": fault, "lasts_ms": lasts }));
    stage.journal.count(&cause);
    let done = match step.who {
        Who::Agent(number) => at_agent(&stage, number, step).await,
        Who::Gateway(number) => at_gateway(&stage, number, step).await,
        Who::Inner(number) => at_link(&stage, number, "inner", step).await,
        Who::Outer(number) => at_link(&stage, number, "outer", step).await,
        Who::Names => at_names(&stage, step).await,
        Who::Service => at_service(&stage, step).await,
    };
    stage.journal.ends(number);
    match done {
        Ok(()) => stage.journal.say("healed", json!({ "who": who, "fault": fault })),
        Err(error) => stage.journal.broken(format!("{who}, {fault}: {error}")),
    }
}

async fn at_agent(stage: &Stage, number: usize, step: Step) -> Result<(), String> {
    let mut edge = stage.edges[number].lock().await;
    match step.fault {
        Fault::Kill => return edge.end("KILL", step.lasts).await,
        Fault::Stop => return edge.end("TERM", step.lasts).await,
        Fault::Freeze => {
            edge.signal("STOP");
            sleep(step.lasts).await;
            edge.signal("CONT");
        }
        Fault::Reload => {
            edge.signal("HUP");
            sleep(step.lasts).await;
        }
        Fault::ReloadChanged => return reload_changed(&mut edge, step.lasts).await,
        Fault::ReloadBroken => {
            edge.reconfigure(|config| config.replace("[workspace.w0]", "[workspace.w0]\nnonsense = true"));
            edge.signal("HUP");
            sleep(step.lasts).await;
            edge.reconfigure(str::to_owned);
            edge.signal("HUP");
        }
        Fault::DiskFull => {
            edge.fill_disk();
            sleep(step.lasts).await;
            edge.clear_disk();
        }
        Fault::Descriptors => {
            if let Some(pid) = edge.pid() {
                few_files(pid, step.lasts).await;
            }
        }
        Fault::Memory => return squeeze_agent(stage, &mut edge, step.lasts).await,
        Fault::Clock if edge.clock => {
            let hours = HOURS_OFF[step.lasts.as_millis() as usize % HOURS_OFF.len()];
            edge.set_clock(hours * 3600);
            sleep(step.lasts).await;
            edge.set_clock(0);
        }
        Fault::Clock => stage.journal.count("left out: the clock of an agent that loads no libraries"),
        Fault::RotateRename => edge.rotate(false).await,
        Fault::RotateCopy => edge.rotate(true).await,
        other => return Err(format!("{other:?} is nothing for an agent")),
    }
    Ok(())
}

/// Another `idle`: the syslog source is started anew, and goes on with its connections. Its UDP senders hold still, as the
/// README says they must.
async fn reload_changed(edge: &mut Edge, lasts: Duration) -> Result<(), String> {
    let series = edge.series.clone();
    let mut held = Vec::new();
    for one in series.iter().filter(|one| one.way == crate::load::Way::Udp) {
        held.push(one.hold().await);
    }
    sleep(Duration::from_millis(100)).await;
    edge.change(|config| match config.contains("idle = \"1h\"") {
        true => config.replace("idle = \"1h\"", "idle = \"2h\""),
        false => config.replace("idle = \"2h\"", "idle = \"1h\""),
    });
    let before = edge.listening_said();
    edge.signal("HUP");
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while edge.listening_said() < before + 2 {
        if std::time::Instant::now() > until {
            return Err(format!("its sources do not listen again: {}", edge.last_words()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    drop(held);
    sleep(lasts).await;
    Ok(())
}

async fn squeeze_agent(stage: &Stage, edge: &mut Edge, lasts: Duration) -> Result<(), String> {
    let name = format!("agent{}", edge.number);
    edge.note_losses().await;
    let Some(pid) = edge.pid() else { return Ok(()) };
    if !stage.memory.squeeze(&name, pid, AGENT_MORE) {
        stage.journal.count("left out: memory, no control group");
        return Ok(());
    }
    let ended = edge.ends_within(lasts).await;
    stage.memory.release(&name);
    if ended {
        stage.journal.count("agents ended by the kernel for want of memory");
        edge.start_again().await;
    }
    Ok(())
}

async fn at_gateway(stage: &Stage, number: usize, step: Step) -> Result<(), String> {
    let mut gate = stage.gates[number].lock().await;
    match step.fault {
        Fault::Kill | Fault::Stop => {
            gate.signal(if step.fault == Fault::Kill { "KILL" } else { "TERM" });
            gate.ended().await?;
            sleep(step.lasts).await;
            gate.start().await?;
        }
        Fault::Freeze => {
            gate.signal("STOP");
            sleep(step.lasts).await;
            gate.signal("CONT");
        }
        Fault::Upgrade => {
            gate.upgrade().await?;
            sleep(step.lasts).await;
        }
        Fault::Reload => {
            gate.signal("HUP");
            sleep(step.lasts).await;
        }
        Fault::ReloadBroken => {
            gate.write("[[listener]]\naddress = \"nowhere\"\n");
            gate.signal("HUP");
            sleep(step.lasts).await;
            gate.restore();
            gate.signal("HUP");
        }
        Fault::Descriptors => few_files(gate.pid(), step.lasts).await,
        Fault::Memory => squeeze_gateway(stage, &mut gate, step.lasts).await?,
        other => return Err(format!("{other:?} is nothing for a gateway")),
    }
    if !gate.runs() {
        return Err(format!("it has ended: {}", gate.last_words()));
    }
    Ok(())
}

async fn squeeze_gateway(stage: &Stage, gate: &mut Gate, lasts: Duration) -> Result<(), String> {
    if !stage.memory.squeeze(gate.host, gate.pid(), GATEWAY_MORE) {
        stage.journal.count("left out: memory, no control group");
        return Ok(());
    }
    sleep(lasts).await;
    stage.memory.release(gate.host);
    if !gate.runs() {
        stage.journal.count("gateways ended by the kernel for want of memory");
        gate.start().await?;
    }
    Ok(())
}

/// Lets a process open hardly a file more for a while.
async fn few_files(pid: u32, lasts: Duration) {
    let open = end_to_end::process::descriptors(pid);
    let limit = |limit: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")]);
        // It may have ended.
        let _ = prlimit.stderr(Stdio::null()).status();
    };
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let before = line.split_whitespace().nth(3).unwrap_or("1024").to_owned();
    limit(&(open + 1).to_string());
    sleep(lasts).await;
    limit(&before);
}

async fn at_link(stage: &Stage, gateway: usize, side: &str, step: Step) -> Result<(), String> {
    let host = HOSTS[gateway];
    let (come, go) = match step.fault {
        Fault::Cut => ("drop", "drop"),
        Fault::Reset => ("meta l4proto tcp reject with tcp reset", ""),
        Fault::Loss => ("numgen random mod 100 < 10 drop", "numgen random mod 100 < 10 drop"),
        Fault::Slow => ("limit rate over 16 kbytes/second drop", "limit rate over 16 kbytes/second drop"),
        other => return Err(format!("{other:?} is nothing for a link")),
    };
    let rule = |way: &str, verdict: &str| match verdict {
        "" => String::new(),
        verdict => format!("{way} \"{side}\" {verdict}; "),
    };
    let table = format!("chaos_{side}");
    // A fault that heals late would take the next one's table away.
    let _alone = stage.links[gateway][usize::from(side == "outer")].lock().await;
    stage.network.load(
        host,
        &format!(
            "table inet {table} {{\nchain come {{ type filter hook input priority -200; {}}}\n\
             chain go {{ type filter hook output priority -200; {}}}\n}}\n",
            rule("iifname", come),
            rule("oifname", go)
        ),
    );
    sleep(step.lasts).await;
    stage.network.run(host, &["nft", "delete", "table", "inet", &table], None);
    Ok(())
}

async fn at_names(stage: &Stage, step: Step) -> Result<(), String> {
    let reply = match step.fault {
        Fault::NoHelp => Reply::Failure(ResponseCode::ServFail),
        Fault::NoName => Reply::Failure(ResponseCode::NXDomain),
        Fault::Silence => Reply::Silence,
        Fault::Malformed => Reply::Malformed(vec![65, b'a']),
        Fault::WrongAddress => Reply::address("20.99.99.99"),
        other => return Err(format!("{other:?} is nothing for a name server")),
    };
    stage.names_are(&reply);
    sleep(step.lasts).await;
    stage.names_are_right();
    Ok(())
}

async fn at_service(stage: &Stage, step: Step) -> Result<(), String> {
    use workspace::Fault as Service;
    let azure = &stage.azure;
    let turn = step.lasts.as_millis() as usize;
    let fault = match step.fault {
        Fault::Throttled => Service::status(429).retry_after(RetryAfter::Seconds(2)),
        Fault::Failing => Service::status(500),
        Fault::Unavailable => Service::status(503),
        Fault::TooLarge => Service::status(413).above(2048),
        Fault::Garbage => Service::garbage(),
        Fault::Late => Service::delay(Duration::from_secs(6)),
        Fault::LostAnswer => Service::lost_answer(),
        Fault::BrokenAnswer => Service::reset_answer(),
        Fault::BrokenRequest => Service::reset_reading(200),
        Fault::SlowRequest => Service::slow_reading(2_000),
        Fault::Refused => Service::refuse(),
        Fault::Revoked => {
            azure.revoke_tokens();
            return Ok(());
        }
        Fault::Closed => {
            azure.close_connections();
            return Ok(());
        }
        Fault::Certificate => {
            show(stage, [Shown::WrongName, Shown::Expired, Shown::UnknownIssuer][turn % 3]);
            sleep(step.lasts).await;
            show(stage, Shown::Proper);
            return Ok(());
        }
        Fault::Clock => {
            azure.shift_clock(MINUTES_OFF[turn % MINUTES_OFF.len()]);
            sleep(step.lasts).await;
            azure.shift_clock(0);
            return Ok(());
        }
        other => return Err(format!("{other:?} is nothing for a service")),
    };
    let number = azure.fault(fault);
    if matches!(step.fault, Fault::Garbage | Fault::Refused) {
        azure.close_connections();
    }
    sleep(step.lasts).await;
    azure.clear(number);
    Ok(())
}

fn show(stage: &Stage, shown: Shown) {
    stage.azure.names().iter().for_each(|name| stage.azure.show(&stage.pki, name, shown));
    stage.azure.close_connections();
}
