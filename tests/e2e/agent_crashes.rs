//! Kill -9 again and again: what the agent took is there afterwards, and at most one batch a hit comes twice.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use end_to_end::patience::patiently;
use end_to_end::workspace::FakeWorkspaces;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::MutexGuard;

use crate::agent_load::Load;
use crate::agent_load::append_series;
use crate::agent_load::send_series;
use crate::agent_load::syslog;
use crate::agent_load::text;
use crate::agent_trial::By;
use crate::agent_trial::QUICK;
use crate::agent_trial::Trial;
use crate::agent_trial::free_address;

const HITS: u64 = 11;
const RATE: u64 = 500;
const LENGTH: usize = 200;
/// Records between two hits, and some more each time, so that hits fall elsewhere in the agent's rhythm.
const BETWEEN: u64 = 150;
const LATER: u64 = 13;
/// Most bytes that the agent reads from a connection at once.
const ONE_READ: u64 = 64 * 1024;

fn sources(tcp: SocketAddr) -> String {
    let spool = QUICK.replace("64KiB", "512KiB");
    format!(
        "{spool}[source.syslog.local]\ntcp = [\"{tcp}\"]\n[source.files.app]\npaths = [\"{{logs}}/*.log\"]\n\
         table = \"App_CL\"\nlook = \"200ms\"\nfrom = \"beginning\"\n"
    )
}

/// Returns the bytes that wait in sockets for whoever listens at this port.
fn unread(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of sockets");
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = local_port(line)?;
        let waiting = u64::from_str_radix(words.get(4)?.split_once(':')?.1, 16).ok()?;
        // A listening socket counts connections there.
        (local == port && words.get(3) != Some(&"0A")).then_some(waiting)
    };
    table.lines().skip(1).filter_map(of_line).sum()
}

/// Returns the port of this side in a line of the table of sockets.
fn local_port(line: &str) -> Option<u16> {
    u16::from_str_radix(line.split_ascii_whitespace().nth(1)?.split_once(':')?.1, 16).ok()
}

fn came(trial: &Trial) -> (u64, u64) {
    let distinct = |table, series| trial.fake.sequence(trial.id(0), table, series).distinct();
    (distinct("Syslog", "t"), distinct("App_CL", "f"))
}

fn doubled(trial: &Trial) -> (u64, u64) {
    let doubled = |table, series| trial.fake.sequence(trial.id(0), table, series).doubled();
    (doubled("Syslog", "t"), doubled("App_CL", "f"))
}

async fn hold<'a>(loads: &'a [Load; 2]) -> [MutexGuard<'a, ()>; 2] {
    [loads[0].hold().await, loads[1].hold().await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eleven_kills_lose_nothing_of_files_and_of_tcp_what_was_not_read_and_double_one_batch_at_most() {
    let (trial, address) = (Trial::new(1).await, free_address());
    trial.configure(&[(By::Token, "")], &sources(address));
    let mut agent = trial.start().await;
    let file = trial.log("app.log");
    let loads = [Load::tcp(address, "t", RATE, LENGTH), Load::file(file, "f", RATE, LENGTH)];
    let (mut not_read, mut hits, mut twice) = (0, Vec::new(), Vec::new());
    for hit in 0..=HITS {
        let (tcp, file) = came(&trial);
        let more = BETWEEN + LATER * hit;
        let enough = |_: &FakeWorkspaces| {
            let now = came(&trial);
            (now.0 >= tcp + more && now.1 >= file + more).then_some(())
        };
        trial.fake.wait_for("records between two hits", enough).await;
        if hit > 0 {
            twice.push(doubled(&trial));
        }
        if hit < HITS {
            // Where it stands it dies; meanwhile the senders hold still, to see what it has not read.
            agent.signal("STOP").await;
            let held = hold(&loads).await;
            let line = syslog(&text("t", 0, LENGTH)).len() as u64 + 1;
            let waiting = unread(address.port());
            not_read += waiting.div_ceil(line);
            hits.push((loads[0].sent(), (waiting + ONE_READ).div_ceil(line)));
            agent.kill9().await;
            drop(held);
            agent = trial.start().await;
        }
    }
    let [tcp, file] = loads;
    let (tcp, file) = (tcp.stop().await, file.stop().await);
    trial.wait_for_series(0, "App_CL", "f", file).await;
    trial.drain().await;
    let came = trial.fake.sequence(trial.id(0), "Syslog", "t");
    let lost: Vec<u64> = (0..tcp).filter(|number| !came.has(*number)).collect();
    let batch = trial.fake.requests().iter().map(|request| request.rows).max().unwrap_or_default();
    let count = lost.len() as u64;
    println!(
        "of TCP {count} lost, {not_read} not read; doubled up to each hit {twice:?}; the largest batch has {batch}"
    );
    assert_eq!(trial.fake.sequence(trial.id(0), "App_CL", "f").missing(file), Vec::<u64>::new());
    // What was lost was sent last before a hit: one read, and what was not read.
    let runs: Vec<&[u64]> = lost.chunk_by(|one, next| one + 1 == *next).collect();
    for run in runs {
        let (count, next) = (run.len() as u64, run[run.len() - 1] + 1);
        let one_hit = hits.iter().any(|(sent, most)| *sent == next && count <= *most);
        assert!(one_hit, "lost: {run:?}; hits and the most that each may cost: {hits:?}");
    }
    // What a hit doubles may come late and be seen after the next one.
    for (hit, (tcp, file)) in (1..).zip(&twice) {
        assert!(tcp.max(file) <= &(hit * batch), "{twice:?}, {batch} in a batch");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_nothing_is_on_its_way_loses_and_doubles_nothing() {
    const MANY: u64 = 300;
    let (mut trial, address) = (Trial::new(1).await, free_address());
    trial.configure(&[(By::Token, "")], &sources(address));
    let mut agent = trial.start().await;
    for hit in 0..4 {
        let numbers = hit * MANY..(hit + 1) * MANY;
        // Every other time the records are in the queue only, and delivered after the kill.
        let away = hit % 2 == 1;
        trial.drain().await;
        if away {
            trial.kill_gateway();
        }
        append_series(&trial.log("app.log"), "f", numbers.clone(), LENGTH);
        send_series(address, "t", numbers.clone(), LENGTH).await;
        if !away {
            trial.wait_for_series(0, "Syslog", "t", numbers.end).await;
            trial.wait_for_series(0, "App_CL", "f", numbers.end).await;
        }
        let wanted = if away { 2 * MANY } else { 0 };
        trial
            .wait_for_status("the queue has what it should", |status| {
                (status.workspace(0)["queue_records"] == wanted).then_some(())
            })
            .await;
        trial.until_saved("app.log").await;
        agent.kill9().await;
        if away {
            trial.start_gateway().await;
        }
        agent = trial.start().await;
    }
    trial.wait_for_series(0, "Syslog", "t", 4 * MANY).await;
    trial.wait_for_series(0, "App_CL", "f", 4 * MANY).await;
    trial.drain().await;
    trial.assert_whole(0, "Syslog", "t", 4 * MANY);
    trial.assert_whole(0, "App_CL", "f", 4 * MANY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_by_tcp_learns_of_a_kill_at_its_next_write() {
    let (trial, address) = (Trial::new(1).await, free_address());
    trial.configure(&[(By::Token, "")], &sources(address));
    let mut agent = trial.start().await;
    let mut sender = TcpStream::connect(address).await.expect("the agent listens");
    sender.write_all(format!("{}\n", syslog(&text("t", 0, LENGTH))).as_bytes()).await.expect("it is taken");
    // When the record has come nothing is unread: that alone would be a reset.
    trial.wait_for_series(0, "Syslog", "t", 1).await;
    agent.kill9().await;
    let ended = patiently("the connection ends", sender.read(&mut [0])).await;
    assert_eq!(ended.expect_err("no ordinary end").kind(), ErrorKind::ConnectionReset);
    assert!(sender.write_all(b"<13>t: more\n").await.is_err(), "what it writes now is lost");
}

/// Returns the descriptors of an agent that are sockets of this port, and those of inotify.
fn descriptors(pid: u32, port: u16) -> (Vec<u32>, Vec<u32>) {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of sockets");
    let sockets: Vec<String> = (table.lines().skip(1))
        .filter(|line| local_port(line) == Some(port))
        .filter_map(|line| Some(format!("socket:[{}]", line.split_ascii_whitespace().nth(9)?)))
        .collect();
    let (mut of_port, mut of_inotify) = (Vec::new(), Vec::new());
    for open in std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a running agent").flatten() {
        let number = open.file_name().to_string_lossy().parse().expect("a number");
        let Ok(what) = std::fs::read_link(open.path()) else { continue };
        let what = what.to_string_lossy();
        if sockets.iter().any(|socket| *socket == what) {
            of_port.push(number);
        } else if what.contains("inotify") {
            of_inotify.push(number);
        }
    }
    (of_port, of_inotify)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_is_the_first_that_the_kernel_closes_of_a_killed_agent() {
    let (trial, address) = (Trial::new(1).await, free_address());
    trial.configure(&[(By::Token, "")], &sources(address));
    let agent = trial.start().await;
    let _sender = TcpStream::connect(address).await.expect("the agent listens");
    // The listener, the connection and at least one of inotify; Linux closes the highest first.
    patiently("all are open, and TCP has the highest numbers", async {
        loop {
            let (tcp, inotify) = descriptors(agent.pid(), address.port());
            let (first, slow) = (tcp.iter().min(), inotify.iter().max());
            if tcp.len() == 2 && slow.is_some() && first > slow {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
