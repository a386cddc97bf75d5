//! The queue in a process of its own that is killed, and on a disk that is really full.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use agent_lite::counters::Counters;
use agent_lite::counters::Loss;
use agent_lite::counters::WorkspaceTally;
use agent_lite::record::Column;
use agent_lite::record::Frames;
use agent_lite::record::Record;
use agent_lite::record::Table;
use agent_lite::record::Timestamp;
use agent_lite::record::Value;
use agent_lite::record::frame_at;
use agent_lite::spool::AppendError;
use agent_lite::spool::Queue;
use agent_lite::spool::QueueSettings;
use agent_lite::spool::Segment;
use agent_lite::spool::WhenFull;

const KILLS: i64 = 30;
/// The first record of a process is this many times its round.
const ROUND: i64 = 1_000_000;
const FOLDER: &str = "SPOOL_CRASH_FOLDER";
const BEGIN: &str = "SPOOL_CRASH_BEGIN";

/// What was seen of a table in a round: the records, and the segment that brought each.
type Seen = BTreeMap<(Table, i64), BTreeMap<i64, u64>>;
type Acknowledged = BTreeMap<(Table, i64), i64>;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_and_only_the_segment_in_flight_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = std::process::id();
    let (mut seen, mut acknowledged, mut doubled) = (Seen::new(), Acknowledged::new(), 0);
    for round in 0..KILLS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let child = child("child_appends", folder.path(), round * ROUND);
        doubled += watch_and_kill(child, 20 + (random >> 16) % 400, &mut seen, &mut acknowledged);
        let queue = Queue::open(settings(folder.path()), tally()).unwrap();
        if round % 4 == 3 {
            doubled += drain(&queue, &mut seen);
        }
    }
    let queue = Queue::open(settings(folder.path()), tally()).unwrap();
    doubled += drain(&queue, &mut seen);
    assert!(acknowledged.len() > KILLS as usize, "both tables, nearly every round");
    for ((table, round), last) in acknowledged {
        let there: Vec<_> = seen.remove(&(table, round)).unwrap().into_keys().collect();
        assert!(there.last() >= Some(&last), "{last} is lost");
        let all: Vec<_> = (round * ROUND..round * ROUND + there.len() as i64).collect();
        assert_eq!(there, all, "a hole");
    }
    // A process is killed between a delivery and the removal at most once.
    assert!(doubled <= KILLS, "{doubled} segments came twice");
}

#[test]
fn a_disk_that_is_really_full_costs_the_oldest_records_only_or_makes_sources_wait() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let mount =
        format!("mount -t tmpfs -o size=512k full {folder} && touch {folder}/mounted && exec \"$0\" \"$@\"");
    let child = Command::new("unshare")
        .args(["-rm", "sh", "-c", &mount])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "child_fills_the_disk", "--nocapture"])
        .env(FOLDER, folder)
        .output();
    let Ok(output) = child else { return };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if !text.contains("child_fills_the_disk") {
        return; // This machine lets nobody mount; `spool::tests::limits` fills a disk in another way.
    }
    assert!(output.status.success() && text.contains("the disk was full"), "{text}");
}

#[test]
fn child_appends() {
    let Some((folder, begin)) = called() else { return };
    let queue = Queue::open(settings(&folder), tally()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tended = queue.clone();
    runtime.spawn(async move { tended.tend().await });
    let sent = queue.clone();
    runtime.spawn(async move { send(&sent).await });
    runtime.block_on(async {
        let mut next = [(Table::Syslog, begin), (Table::Perf, begin)];
        loop {
            for (at, (table, first)) in next.iter_mut().enumerate() {
                let count = 1 + (*first % 7) * (1 + 5 * at as i64);
                let receipt = queue.append(table, &records(*first..*first + count)).unwrap();
                *first += count;
                say(&format!("A {table} {}", *first - 1));
                if *first % 11 == 0 {
                    queue.durable(receipt).await;
                }
            }
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn child_fills_the_disk() {
    let Some((folder, _)) = called() else { return };
    assert!(folder.join("mounted").exists());
    let settings = QueueSettings { cap: 5_000_000, segment: 20_000, ..settings(&folder) };
    let tally = tally();
    let queue = Queue::open(settings.clone(), tally.clone()).unwrap();
    for first in 0..2000 {
        queue.append(&Table::Syslog, &records(first * 50..first * 50 + 50)).unwrap();
        if first % 10 == 0 {
            settle(&queue);
        }
    }
    let dropped = tally.losses.count(Loss::Dropped) as i64;
    assert!(dropped > 0 && settings.folder.join("reserve").exists());
    assert_eq!(tally.queue_records.get(), 100_000 - dropped);
    let mut seen = Seen::new();
    assert_eq!(drain(&queue, &mut seen), 0);
    let there: Vec<_> = seen.into_values().next().unwrap().into_keys().collect();
    assert_eq!(there, (dropped..100_000).collect::<Vec<_>>());
    drop(queue);
    block(&QueueSettings { when_full: WhenFull::Block, ..settings }, &folder);
    say("the disk was full");
}

/// Fills the disk with something else: sources wait, the queue empties, and goes on when there is room.
fn block(settings: &QueueSettings, folder: &Path) {
    let queue = Queue::open(settings.clone(), tally()).unwrap();
    queue.append(&Table::Syslog, &records(0..100)).unwrap();
    settle(&queue);
    assert!(fs::write(folder.join("big"), vec![7; 1_000_000]).is_err());
    let mut taken = 100;
    let error = loop {
        match queue.append(&Table::Syslog, &records(taken..taken + 100)) {
            Ok(_) => taken += 100,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Disk(_)), "{error}");
    assert!(settings.folder.join("reserve").exists());
    queue.mark(&queue.peek().unwrap(), 50);
    assert!(!settings.folder.join("reserve").exists());
    fs::remove_file(folder.join("big")).unwrap();
    queue.append(&Table::Syslog, &records(taken..taken + 100)).unwrap();
    assert_eq!(queue.state().records as i64, taken + 50);
    let mut seen = Seen::new();
    drain(&queue, &mut seen);
    assert_eq!(seen.into_values().next().unwrap().len() as i64, taken + 100);
}

/// Delivers segment by segment: says what is in it, then removes it.
async fn send(queue: &Queue) {
    let mut frames = Vec::new();
    loop {
        let segment = queue.next().await;
        segment.load(&mut frames).await.unwrap();
        let numbers = numbers(&frames);
        say(&format!("S {} {} {numbers:?}", segment.table(), segment.number()));
        queue.remove(&segment);
        for _ in 0..segment.number() % 50 {
            tokio::task::yield_now().await;
        }
    }
}

/// Reads what a process says until it has said enough, kills it, and reads what it said until then.
fn watch_and_kill(mut child: Child, enough: u32, seen: &mut Seen, acknowledged: &mut Acknowledged) -> i64 {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut said, mut doubled) = (String::new(), 0, 0);
    while lines.read_line(&mut line).unwrap() > 0 {
        let words: Vec<_> = line.trim_end().splitn(4, ' ').collect();
        match words[..] {
            ["A", table, number] if line.ends_with('\n') => {
                let number: i64 = number.parse().unwrap();
                acknowledged.insert((table.parse().unwrap(), number / ROUND), number);
            }
            ["S", table, segment, list] if list.ends_with(']') => {
                let list = list[1..list.len() - 1].split(", ");
                let numbers: Vec<i64> = list.map(|number| number.parse().unwrap()).collect();
                doubled += see(seen, &table.parse().unwrap(), segment.parse().unwrap(), &numbers);
            }
            _ => {}
        }
        line.clear();
        said += 1;
        if said == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(said >= enough, "the child ended by itself");
    doubled
}

/// Notes what a segment brought; only the same segment may bring it again.
fn see(seen: &mut Seen, table: &Table, segment: u64, numbers: &[i64]) -> i64 {
    let mut again = 0;
    for number in numbers {
        let before = seen.entry((table.clone(), number / ROUND)).or_default().insert(*number, segment);
        assert!(before.is_none_or(|before| before == segment), "{number} in {segment} and {before:?}");
        again = i64::from(before.is_some());
    }
    again
}

fn drain(queue: &Queue, seen: &mut Seen) -> i64 {
    let (mut doubled, mut frames) = (0, Vec::new());
    settle(queue);
    while let Some(segment) = queue.peek() {
        load(&segment, &mut frames);
        doubled += see(seen, segment.table(), segment.number(), &numbers(&frames));
        queue.remove(&segment);
    }
    doubled
}

fn settle(queue: &Queue) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            () = queue.tend() => {}
            () = queue.flush() => {}
        }
    });
}

fn load(segment: &Segment, frames: &mut Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(segment.load(frames)).unwrap();
}

fn settings(folder: &Path) -> QueueSettings {
    QueueSettings {
        folder: folder.join("main"),
        cap: 100_000_000,
        when_full: WhenFull::DropOldest,
        sync: Duration::from_millis(20),
        seal_after: Duration::from_millis(50),
        segment: 2000,
    }
}

fn tally() -> WorkspaceTally {
    Counters::new().workspace("main")
}

fn records(numbers: impl IntoIterator<Item = i64>) -> Frames {
    let mut frames = Frames::default();
    for number in numbers {
        frames.begin(Timestamp(number)).integer(Column::ProcessId, number).finish();
    }
    frames
}

fn numbers(frames: &[u8]) -> Vec<i64> {
    let (mut at, mut numbers) = (0, Vec::new());
    while at < frames.len() {
        let frame = frame_at(&frames[at..]).unwrap();
        match Record::decode(frame.payload).unwrap().values().next() {
            Some((_, Value::Integer(number))) => numbers.push(number),
            other => panic!("{other:?}"),
        }
        at += frame.length;
    }
    numbers
}

fn child(name: &str, folder: &Path, begin: i64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FOLDER, folder)
        .env(BEGIN, begin.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns what this process is asked to do, if it is a child.
fn called() -> Option<(PathBuf, i64)> {
    let begin = env::var(BEGIN).map_or(0, |begin| begin.parse().unwrap());
    env::var_os(FOLDER).map(|folder| (folder.into(), begin))
}

/// One write, so that a line is there wholly or not at all.
fn say(line: &str) {
    io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}
