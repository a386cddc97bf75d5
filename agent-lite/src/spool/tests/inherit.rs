use super::*;
use crate::spool::Contents;
use crate::spool::contents;
use crate::spool::is_queue;
use crate::spool::take_over;

/// A queue in this folder with a sealed segment of which two records are delivered, and an open one.
fn begun(folder: &Path, from: i64) -> QueueSettings {
    let settings = settings(folder);
    let (queue, _) = open(&settings);
    queue.append(&Table::Syslog, &records(from..from + 5)).unwrap();
    settle(&queue);
    queue.mark(&queue.peek().unwrap(), 2);
    queue.append(&Table::Perf, &records(from + 5..from + 7)).unwrap();
    settings
}

#[test]
fn what_waits_is_counted_without_the_queue_being_used() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(contents(&folder.path().join("none")).unwrap(), Contents::default());
    assert!(!is_queue(folder.path()));
    let settings = begun(folder.path(), 0);
    assert!(is_queue(&settings.folder));
    assert_eq!(contents(&settings.folder).unwrap(), Contents { records: 5, bytes: on_disk(&settings).0 });
}

#[test]
fn the_segments_of_a_queue_go_behind_those_of_another_with_what_was_delivered_of_them() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (into, from) = (begun(ours.path(), 0), begun(theirs.path(), 100));
    let before = contents(&into.folder).unwrap();
    let moved = take_over(&from.folder, &into.folder).unwrap();
    assert_eq!((moved.records, contents(&from.folder).unwrap()), (5, Contents::default()));
    let all = contents(&into.folder).unwrap();
    assert_eq!((all.records, all.bytes), (10, before.bytes + moved.bytes));
    let (queue, tally) = open(&into);
    assert_eq!(losses(&tally), []);
    // New segments come behind them: no number twice.
    queue.append(&Table::Syslog, &records([200])).unwrap();
    let drained = drain(&queue);
    assert_eq!(drained[&Table::Syslog], [2, 3, 4, 102, 103, 104, 200]);
    assert_eq!(drained[&Table::Perf], [5, 6, 105, 106]);
}

#[test]
fn a_queue_that_is_used_takes_nothing_over_and_one_that_is_interrupted_goes_on() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = begun(theirs.path(), 100);
    let into = settings(ours.path());
    let (queue, _) = open(&into);
    assert!(matches!(take_over(&from.folder, &into.folder), Err(SpoolError::InUse(_))));
    drop(queue);
    // The first of two segments was moved before it ended.
    let second = files(&from.folder).into_iter().find(|name| name.ends_with(".open")).unwrap();
    fs::rename(from.folder.join(&second), theirs.path().join(&second)).unwrap();
    take(&from, &into);
    fs::rename(theirs.path().join(&second), from.folder.join(&second)).unwrap();
    take(&from, &into);
    let (queue, _) = open(&into);
    assert_eq!(drain(&queue).values().map(Vec::len).sum::<usize>(), 5);
}

/// Takes over; see [`open`] for why the queue may still be in use.
fn take(from: &QueueSettings, into: &QueueSettings) {
    let give_up = std::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = take_over(&from.folder, &into.folder) {
        assert!(matches!(error, SpoolError::InUse(_)) && std::time::Instant::now() < give_up, "{error}");
        std::thread::yield_now();
    }
}
