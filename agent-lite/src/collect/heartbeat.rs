//! A row now and then that says: this machine and its agent live.

use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::collect::inlet::Inlet;
use crate::collect::machine;
use crate::collect::machine::Machine;
use crate::config::settings::HeartbeatSettings;
use crate::record::Column;
use crate::record::Frames;
use crate::record::Table;
use crate::record::Timestamp;
use crate::system;

/// By how much of its interval a heartbeat comes earlier at most, so that agents do not beat together.
const JITTER: f64 = 0.1;
/// The shortest interval that is kept to.
const SHORTEST: Duration = Duration::from_secs(1);

/// Beats at once and then at every interval until it is stopped.
pub async fn run(settings: HeartbeatSettings, machine: Machine, inlet: Inlet, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = beat(settings.every.max(SHORTEST), &machine, &inlet) => {}
    }
}

async fn beat(every: Duration, facts: &Machine, inlet: &Inlet) {
    let mut frames = Frames::default();
    loop {
        let addresses: Vec<_> = machine::private_addresses().iter().map(ToString::to_string).collect();
        write(&mut frames, machine::now(), facts, &addresses);
        inlet.deliver(&Table::Heartbeat, &frames).await;
        frames.clear();
        time::sleep(every - machine::part_of(every.mul_f64(JITTER))).await;
    }
}

/// Writes one heartbeat; category and channel are those of the legacy agent.
fn write(frames: &mut Frames, time: Timestamp, facts: &Machine, addresses: &[String]) {
    frames
        .begin(time)
        .text(Column::OsType, system::NAME)
        .text(Column::OsName, &facts.release.name)
        .text_if(Column::OsMajorVersion, facts.release.major())
        .text_if(Column::OsMinorVersion, facts.release.minor())
        .text(Column::Version, env!("CARGO_PKG_VERSION"))
        .text(Column::ScAgentChannel, "Direct")
        .text(Column::Category, "Agent")
        .text(Column::ComputerPrivateIps, &serde_json::json!(addresses).to_string())
        .text(Column::VmUuid, &facts.uuid)
        .text(Column::ComputerEnvironment, "Non-Azure")
        .finish();
}

#[cfg(test)]
mod tests;
