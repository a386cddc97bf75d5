//! The queue as a whole, on a real folder; `Faults` makes its disk fail.

mod faults;
mod inherit;
mod limits;
mod model;
#[cfg(unix)]
mod power;
mod recovery;
mod sending;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

pub(super) use self::faults::Faults;
use super::Queue;
use super::QueueSettings;
use super::Segment;
use super::SpoolError;
use super::WhenFull;
use super::sync::Plan;
use crate::counters::Counters;
use crate::counters::Loss;
use crate::counters::WorkspaceTally;
use crate::record::Column;
use crate::record::Frames;
use crate::record::Record;
use crate::record::Table;
use crate::record::Timestamp;
use crate::record::Value;
use crate::record::frame_at;

/// Bytes of a frame of [`record`].
const FRAME: u64 = 25;

fn settings(folder: &Path) -> QueueSettings {
    QueueSettings {
        folder: folder.join("main"),
        cap: 1_000_000,
        when_full: WhenFull::DropOldest,
        sync: Duration::from_secs(1),
        seal_after: Duration::from_secs(5),
        segment: 100_000,
    }
}

fn tally() -> WorkspaceTally {
    Counters::new().workspace("main")
}

/// Opens a queue. Another test of this process may be starting a child at this moment, which holds every file of
/// the process until it is a program of its own: also the lock of the queue that was just closed.
fn open(settings: &QueueSettings) -> (Queue, WorkspaceTally) {
    let tally = tally();
    let give_up = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        match Queue::open(settings.clone(), tally.clone()) {
            Err(SpoolError::InUse(_)) if std::time::Instant::now() < give_up => std::thread::yield_now(),
            opened => return (opened.unwrap(), tally),
        }
    }
}

/// Records with these numbers.
fn records(numbers: impl IntoIterator<Item = i64>) -> Frames {
    let mut frames = Frames::default();
    for number in numbers {
        frames.begin(Timestamp(1000 + number)).integer(Column::ProcessId, number).finish();
    }
    frames
}

fn numbers(frames: &[u8]) -> Vec<i64> {
    let (mut at, mut numbers) = (0, Vec::new());
    while at < frames.len() {
        let frame = frame_at(&frames[at..]).unwrap();
        let Some((_, Value::Integer(number))) = Record::decode(frame.payload).unwrap().values().next() else {
            panic!("a number")
        };
        numbers.push(number);
        at += frame.length;
    }
    numbers
}

/// Syncs and seals all there is, as `tend` does.
fn settle(queue: &Queue) {
    queue.seal();
    while let Plan::Sync(work) = plan(queue) {
        queue.0.sync(&work);
    }
}

fn plan(queue: &Queue) -> Plan {
    queue.0.store().plan(tokio::time::Instant::now())
}

fn load(segment: &Segment) -> (Vec<i64>, u32) {
    let mut frames = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let delivered = runtime.block_on(segment.load(&mut frames)).unwrap();
    (numbers(&frames), delivered)
}

/// Sends and removes everything; returns the numbers of each table.
fn drain(queue: &Queue) -> BTreeMap<Table, Vec<i64>> {
    let mut drained: BTreeMap<Table, Vec<i64>> = BTreeMap::new();
    settle(queue);
    while let Some(segment) = queue.peek() {
        let (numbers, delivered) = load(&segment);
        drained.entry(segment.table().clone()).or_default().extend(&numbers[delivered as usize..]);
        queue.remove(&segment);
    }
    drained
}

/// The real bytes of all segments, and their number.
fn on_disk(settings: &QueueSettings) -> (u64, usize) {
    let names =
        files(&settings.folder).into_iter().filter(|name| name.ends_with(".seg") || name.ends_with(".open"));
    let sizes: Vec<_> = names.map(|name| fs::metadata(settings.folder.join(name)).unwrap().len()).collect();
    (sizes.iter().sum(), sizes.len())
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_books(queue: &Queue, tally: &WorkspaceTally, bytes: u64, records: usize) {
    let state = queue.state();
    assert_eq!((state.bytes, state.records), (bytes, records as u64));
    assert_eq!((tally.queue_bytes.get(), tally.queue_records.get()), (bytes as i64, records as i64));
}

fn losses(tally: &WorkspaceTally) -> Vec<(Loss, u64)> {
    let counted = Loss::ALL.iter().map(|&loss| (loss, tally.losses.count(loss)));
    counted.filter(|(_, count)| *count > 0).collect()
}
