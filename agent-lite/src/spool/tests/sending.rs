use super::*;

#[test]
fn records_come_back_in_their_order_by_table_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { segment: 4 * FRAME, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    for batch in 0..10 {
        queue.append(&Table::Syslog, &records(batch * 7..batch * 7 + 7)).unwrap();
        queue.append(&Table::Perf, &records([batch])).unwrap();
        assert_books(&queue, &tally, on_disk(&settings).0, (batch as usize + 1) * 8);
    }
    assert_eq!(queue.state().oldest, Some(Timestamp(1000)));
    let drained = drain(&queue);
    assert_eq!(drained[&Table::Syslog], (0..70).collect::<Vec<_>>());
    assert_eq!(drained[&Table::Perf], (0..10).collect::<Vec<_>>());
    assert_books(&queue, &tally, 0, 0);
    assert_eq!(queue.state().oldest, None);
    assert_eq!(files(&settings.folder), ["lock", "next-number", "reserve"]);
    assert_eq!(losses(&tally), []);
}

#[test]
fn a_segment_is_handed_out_until_it_is_removed_and_heartbeats_overtake() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = open(&settings(folder.path()));
    queue.append(&Table::Syslog, &records([1])).unwrap();
    settle(&queue);
    let first = queue.peek().unwrap();
    for (table, number) in [(Table::Syslog, 2), (Table::Heartbeat, 3), (Table::Operation, 4)] {
        queue.append(&table, &records([number])).unwrap();
        settle(&queue);
        assert_eq!(queue.peek().unwrap().number(), first.number());
    }
    let mut order = Vec::new();
    while let Some(segment) = queue.peek() {
        order.extend(load(&segment).0);
        queue.remove(&segment);
        assert_eq!(load(&segment), (vec![], 0), "removed");
    }
    assert_eq!(order, [1, 3, 4, 2]);
}

#[test]
fn progress_outlives_a_crash_and_goes_with_its_segment() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (queue, tally) = open(&settings);
    queue.append(&Table::Syslog, &records(0..10)).unwrap();
    settle(&queue);
    let segment = queue.peek().unwrap();
    queue.mark(&segment, 3);
    queue.mark(&segment, 4);
    assert_books(&queue, &tally, 258, 6);
    drop((segment, queue));
    let (queue, tally) = open(&settings);
    assert_books(&queue, &tally, 258, 6);
    let segment = queue.peek().unwrap();
    assert_eq!(load(&segment), ((0..10).collect(), 4));
    queue.remove(&segment);
    assert_books(&queue, &tally, 0, 0);
    assert!(!files(&settings.folder).iter().any(|name| name.ends_with(".sent")));
}

#[test]
fn numbers_never_come_again_even_if_the_queue_was_empty_or_forgot_them() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut last = 0;
    for round in 0..6 {
        let (queue, _) = open(&settings);
        for _ in 0..if round == 0 { 1500 } else { 3 } {
            queue.append(&Table::Syslog, &records([1])).unwrap();
            settle(&queue);
            let segment = queue.peek().unwrap();
            assert!(segment.number() > last, "{} after {last}", segment.number());
            last = segment.number();
            queue.remove(&segment);
        }
        drop(queue);
        match round {
            2 => fs::write(settings.folder.join("next-number"), "18446744073709551615").unwrap(),
            3 => fs::write(settings.folder.join("next-number"), b"\0\0\0").unwrap(),
            // The clock has gone on since the queue began: a second for each 1024 numbers is enough here.
            _ => {}
        }
        if (2..4).contains(&round) {
            let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            last = last.min(begun - 1);
        }
    }
}

#[cfg(unix)]
#[test]
fn files_are_for_the_agents_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (queue, _) = open(&settings);
    queue.append(&Table::Syslog, &records([1])).unwrap();
    settle(&queue);
    queue.append(&Table::Syslog, &records([2])).unwrap();
    queue.mark(&queue.peek().unwrap(), 1);
    queue.set_aside(&Table::Syslog, records([3]).bytes());
    for name in files(&settings.folder) {
        let metadata = fs::metadata(settings.folder.join(&name)).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{name}");
    }
    assert_eq!(fs::metadata(&settings.folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test(start_paused = true)]
async fn durable_waits_for_the_disk_and_a_failing_disk_keeps_it_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, tally) = open(&settings(folder.path()));
    let disk = queue.0.store().disk.clone();
    let tending = tokio::spawn({
        let queue = queue.clone();
        async move { queue.tend().await }
    });
    let receipt = queue.append(&Table::Syslog, &records([1])).unwrap();
    disk.faults.set(|broken| broken.sync = true);
    let waiting = tokio::time::timeout(Duration::from_secs(10), queue.durable(receipt)).await;
    assert!(waiting.is_err());
    let failed = tally.losses.count(Loss::Unsynced);
    assert!(failed >= 5, "{failed}");
    assert!(queue.peek().is_none(), "what is not on the disk is not sealed");
    disk.faults.set(|broken| broken.sync = false);
    queue.durable(receipt).await;
    queue.flush().await;
    assert_eq!(load_here(&queue.next().await).await, [1]);
    tending.abort();
}

#[tokio::test(start_paused = true)]
async fn a_queue_with_nothing_to_do_sleeps_and_an_open_segment_is_sealed_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = open(&settings(folder.path()));
    assert!(matches!(plan(&queue), Plan::Idle));
    let begun = tokio::time::Instant::now();
    queue.append(&Table::Syslog, &records([1])).unwrap();
    let Plan::At(due) = plan(&queue) else { panic!("a time") };
    assert_eq!(due, begun + Duration::from_secs(1));
    let tending = tokio::spawn({
        let queue = queue.clone();
        async move { queue.tend().await }
    });
    let segment = queue.next().await;
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(7));
    tending.abort();
    let disk = queue.0.store().disk.clone();
    let syncs = disk.faults.set(|_| ()).syncs;
    assert!(matches!(plan(&queue), Plan::Idle));
    queue.remove(&segment);
    assert!(matches!(plan(&queue), Plan::Idle));
    assert!(syncs <= 7, "{syncs}");
}

#[tokio::test(start_paused = true)]
async fn samples_of_counters_gather_six_times_as_long_as_other_records() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = open(&settings(folder.path()));
    let begun = tokio::time::Instant::now();
    for table in [Table::Perf, Table::Syslog] {
        queue.append(&table, &records([1])).unwrap();
    }
    let tending = tokio::spawn({
        let queue = queue.clone();
        async move { queue.tend().await }
    });
    for (table, seconds) in [(Table::Syslog, 5), (Table::Perf, 30)] {
        let segment = queue.next().await;
        let waited = begun.elapsed().as_secs();
        assert!(*segment.table() == table && waited >= seconds && waited < seconds + 2, "{waited} s");
        queue.remove(&segment);
    }
    tending.abort();
}

#[tokio::test(start_paused = true)]
async fn while_a_segment_waits_the_next_of_its_table_grows_and_is_sealed_as_soon_as_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = open(&settings(folder.path()));
    let tending = tokio::spawn({
        let queue = queue.clone();
        async move { queue.tend().await }
    });
    queue.append(&Table::Syslog, &records([1])).unwrap();
    let first = queue.next().await;
    for number in 2..=50 {
        queue.append(&Table::Syslog, &records([number])).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    queue.append(&Table::Operation, &records([51])).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        on_disk(&settings(folder.path())).1,
        3,
        "one that waits, one that grows, one of another table"
    );
    assert_eq!(load_here(&first).await, [1]);
    queue.remove(&first);
    let other = queue.next().await;
    assert!(*other.table() == Table::Operation, "nothing keeps back another table");
    queue.remove(&other);
    let removed = tokio::time::Instant::now();
    let next = tokio::time::timeout(Duration::from_secs(60), queue.next()).await.expect("it is sealed");
    assert_eq!(load_here(&next).await, (2..=50).collect::<Vec<_>>());
    assert!(removed.elapsed() < Duration::from_secs(2));
    tending.abort();
}

#[test]
fn appends_during_a_sync_are_neither_lost_nor_said_to_be_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = open(&settings(folder.path()));
    queue.append(&Table::Syslog, &records([1])).unwrap();
    queue.seal();
    let Plan::Sync(work) = plan(&queue) else { panic!("a sync") };
    let late = queue.append(&Table::Syslog, &records([2])).unwrap();
    queue.seal();
    assert!(matches!(plan(&queue), Plan::Idle), "one sync at a time");
    queue.0.sync(&work);
    assert!(queue.0.store().flow.synced < late.0);
    assert_eq!(load(&queue.peek().unwrap()).0, [1]);
    assert_eq!(drain(&queue)[&Table::Syslog], [1, 2]);
    assert_eq!(queue.0.store().flow.synced, late.0);
}

#[test]
fn a_segment_does_not_overtake_an_older_one_that_the_disk_does_not_confirm() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = open(&settings(folder.path()));
    assert_eq!(drain(&queue), BTreeMap::new());
    queue.append(&Table::Syslog, &records([0])).unwrap();
    assert_eq!(drain(&queue)[&Table::Syslog], [0]);
    for number in [1, 2] {
        queue.append(&Table::Syslog, &records([number])).unwrap();
        queue.seal();
    }
    queue.0.store().disk.faults.set(|broken| broken.failing_syncs = 1);
    let Plan::Sync(work) = plan(&queue) else { panic!("a sync") };
    queue.0.sync(&work);
    assert!(queue.peek().is_none());
    assert!(matches!(plan(&queue), Plan::At(_)), "the disk is left alone for a while");
    queue.0.store().flow.again = None;
    assert_eq!(drain(&queue)[&Table::Syslog], [1, 2]);
}

async fn load_here(segment: &Segment) -> Vec<i64> {
    let mut frames = Vec::new();
    segment.load(&mut frames).await.unwrap();
    numbers(&frames)
}
