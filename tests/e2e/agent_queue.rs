//! The queue at its cap, on a full disk, and with more in it than memory should know of.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use end_to_end::agent::Agent;
use end_to_end::patience::patiently;
use end_to_end::workspace::Retention;

use crate::agent_load::append_series;
use crate::agent_load::send_datagrams;
use crate::agent_load::send_lines;
use crate::agent_load::send_series;
use crate::agent_load::syslog;
use crate::agent_load::text;
use crate::agent_trial::By;
use crate::agent_trial::DISK_TROUBLE;
use crate::agent_trial::QUICK;
use crate::agent_trial::SPOOL_FULL;
use crate::agent_trial::Trial;

const MEBIBYTE: usize = 1024 * 1024;

fn tcp_of(agent: &Agent, source: &str) -> std::net::SocketAddr {
    let of =
        |listening: &&end_to_end::agent::Listening| listening.kind == "tcp" && listening.source == source;
    agent.listening().iter().find(of).expect("a source that listens").place.parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_its_cap_a_queue_drops_the_oldest_and_counts_them_or_lets_wait_what_can_wait() {
    const DROPPING: u64 = 3000;
    const WAITING: u64 = 1500;
    const LONG: u64 = 4000;
    const DATAGRAMS: u64 = 500;
    const LENGTH: usize = 2000;
    let mut trial = Trial::new(2).await;
    let ways = [(By::Token, "cap = \"4MiB\""), (By::Token, "cap = \"4MiB\"\nwhen_full = \"block\"")];
    let sources = "[source.syslog.a]\ntcp = [\"127.0.0.1:0\"]\nworkspaces = [\"w0\"]\n\
        [source.syslog.b]\ntcp = [\"127.0.0.1:0\"]\nudp = [\"127.0.0.1:0\"]\nworkspaces = [\"w1\"]\n\
        [source.files.app]\npaths = [\"{logs}/*.log\"]\ntable = \"App_CL\"\nlook = \"200ms\"\nfrom = \"beginning\"\n\
        workspaces = [\"w1\"]\n";
    trial.configure(&ways, &format!("{QUICK}{sources}"));
    trial.kill_gateway();
    append_series(&trial.log("long.log"), "l", 0..LONG, LENGTH);
    let mut agent = trial.start().await;
    append_series(&trial.log("app.log"), "f", 0..WAITING, LENGTH);
    let waiting = tokio::spawn(async move {
        let to = tcp_of(&agent, "syslog.b");
        send_series(to, "t", 0..WAITING, LENGTH).await;
        agent
    });
    let agent_status = trial.wait_for_status("the queue lets wait", |status| {
        let bytes = status.workspace(1)["queue_bytes"].as_u64()?;
        (bytes > 4 * MEBIBYTE as u64 - 256 * 1024).then_some(bytes)
    });
    let bytes = agent_status.await;
    let far = trial.wait_for_status("it is said how far a long file is read", |status| {
        let notes = status.source("files.app")["notes"].as_array()?;
        let far = |note: &&str| note.contains("long.log: ") && note.ends_with(" MiB read");
        notes.iter().filter_map(|note| note.as_str()).find(far).map(str::to_owned)
    });
    far.await;
    assert!(bytes <= 4 * MEBIBYTE as u64, "{bytes} are more than the cap");
    trial.start_gateway().await;
    agent = patiently("the sender is rid of all", waiting).await.expect("a sender that does not panic");
    for (table, series, count) in [("Syslog", "t", WAITING), ("App_CL", "f", WAITING), ("App_CL", "l", LONG)]
    {
        trial.wait_for_series(1, table, series, count).await;
        trial.assert_whole(1, table, series, count);
    }
    let notes = |status: &crate::agent_trial::Status| status.source("files.app")["notes"].clone();
    assert_eq!(notes(&trial.status().await), serde_json::json!([]), "everything is read");
    trial.drain().await;
    trial.kill_gateway();
    // Datagrams cannot wait: those that had no place are counted.
    send_series(tcp_of(&agent, "syslog.a"), "d", 0..DROPPING, LENGTH).await;
    let mut datagrams = 0;
    while !trial.status().await.source_losses("syslog.b").contains_key("refused") {
        send_datagrams(agent.udp(), "u", datagrams..datagrams + DATAGRAMS, LENGTH).await;
        datagrams += DATAGRAMS;
    }
    agent.wait_for_events(SPOOL_FULL, 3).await;
    trial.start_gateway().await;
    trial.drain().await;
    let (first, second) = (trial.id(0).to_owned(), trial.id(1).to_owned());
    let lost = |status: &crate::agent_trial::Status| {
        let losses = status.source_losses("syslog.b");
        losses.get("refused").unwrap_or(&0) + losses.get("overflowed").unwrap_or(&0)
    };
    let counted = trial.wait_for_status("every datagram is delivered or counted", |status| {
        let came = trial.fake.sequence(&second, "Syslog", "u").distinct();
        (came + lost(status) == datagrams).then(|| lost(status))
    });
    assert!(counted.await > 0, "the queue was not full");
    assert_eq!(trial.fake.sequence(&second, "Syslog", "u").doubled(), 0);
    let dropped = trial.status().await.workspace_losses(0)["dropped"];
    let came = trial.fake.sequence(&first, "Syslog", "d");
    assert_eq!((came.distinct() + dropped, came.doubled()), (DROPPING, 0));
    assert_eq!(came.missing(dropped).len() as u64, dropped.min(100), "the oldest are dropped");
    agent.terminate().await;
    agent.exit_status().await;
    let _agent = trial.start().await;
    trial.wait_for_operation(0, "dropped").await;
    trial.wait_for_operation(1, "refused").await;
}

/// A small disk of memory, mounted over a folder until it is dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        std::fs::create_dir(folder).expect("a folder of our own");
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: no file system can be mounted here");
        None
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_the_agent_says_so_loses_nothing_it_took_and_goes_on_when_there_is_room() {
    const MANY: u64 = 3000;
    const LENGTH: usize = 1000;
    let mut trial = Trial::new(1).await;
    let state = trial.home.path().join("state");
    let Some(disk) = SmallDisk::mount(&state, "2m") else { return };
    let sources = "[source.syslog.local]\ntcp = [\"127.0.0.1:0\"]\nudp = [\"127.0.0.1:0\"]\n\
        [source.files.app]\npaths = [\"{logs}/*.log\"]\ntable = \"App_CL\"\nlook = \"200ms\"\nfrom = \"beginning\"\n";
    trial.configure(&[(By::Token, "when_full = \"block\"")], &format!("{QUICK}{sources}"));
    trial.kill_gateway();
    let agent = trial.start().await;
    // Somebody else's file leaves no room at all, and goes again.
    let ballast = state.join("ballast");
    let mut block = vec![0xA5; 4 * MEBIBYTE];
    let _ = std::fs::write(&ballast, &block);
    block.clear();
    append_series(&trial.log("app.log"), "f", 0..MANY, LENGTH);
    let said = agent.wait_for_event(DISK_TROUBLE).await;
    let detail = said.text("detail");
    assert!(detail.contains("state/spool/w0") && detail.contains("No space left"), "{detail}");
    std::fs::remove_file(&ballast).expect("our own file");
    // The disk is full again, of the queue's own segments.
    let to = agent.tcp();
    let waiting = tokio::spawn(async move { send_series(to, "t", 0..MANY, LENGTH).await });
    trial
        .wait_for_status("the queue fills the disk", |status| {
            (status.workspace(0)["queue_bytes"].as_u64()? > MEBIBYTE as u64 / 2).then_some(())
        })
        .await;
    trial.start_gateway().await;
    patiently("the sender is rid of all", waiting).await.expect("a sender that does not panic");
    for (table, series) in [("Syslog", "t"), ("App_CL", "f")] {
        trial.wait_for_series(0, table, series, MANY).await;
        trial.assert_whole(0, table, series, MANY);
    }
    drop(agent);
    drop(disk);
}

/// Sends so many mebibytes in records of 8 KiB.
async fn send_mebibytes(agent: &Agent, count: usize) {
    const LENGTH: usize = 8 * 1024;
    let filler = text("m", 0, LENGTH - 80);
    let numbers = 0..(count * MEBIBYTE / LENGTH) as u64;
    send_lines(agent.tcp(), numbers.map(|number| syslog(&format!("x-seq={number} {filler}")))).await;
}

/// Lets the queue be drained by so many mebibytes, and returns the most memory the agent had meanwhile.
async fn drain_mebibytes(trial: &Trial, agent: &Agent, count: usize) -> u64 {
    let target = trial.fake.traffic(trial.id(0)).content_bytes + (count * MEBIBYTE) as u64;
    let mut peak = 0;
    patiently("the queue is drained", async {
        while trial.fake.traffic(trial.id(0)).content_bytes < target {
            peak = peak.max(agent.resident_memory());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    peak
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_what_waits() {
    const DRAINED: usize = 15;
    let mut trial = Trial::new(1).await;
    trial.fake.keep(Retention::Counts);
    let spool = QUICK.replace("64KiB", "512KiB");
    trial.configure(&[(By::Token, "")], &format!("{spool}[source.syslog.local]\ntcp = [\"127.0.0.1:0\"]\n"));
    let agent = trial.start().await;
    let mut peaks = Vec::new();
    for mebibytes in [20, 200] {
        trial.kill_gateway();
        send_mebibytes(&agent, mebibytes).await;
        trial.start_gateway().await;
        peaks.push(drain_mebibytes(&trial, &agent, DRAINED).await);
    }
    let grown = peaks[1].saturating_sub(peaks[0]);
    assert!(grown < 4 * MEBIBYTE as u64, "resident while 20 and 200 MiB were drained: {peaks:?}");
}
