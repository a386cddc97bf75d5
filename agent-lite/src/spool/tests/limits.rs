use super::*;
use crate::spool::AppendError;
use crate::spool::SpoolError;

const HEAD: u64 = 8;

#[test]
fn the_oldest_records_make_room_and_are_counted_and_the_cap_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { cap: 1000, segment: 150, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    for number in 0..500 {
        queue.append(&Table::Syslog, &records([number])).unwrap();
        if number % 40 == 0 {
            settle(&queue);
        }
        let (bytes, _) = on_disk(&settings);
        assert!(bytes <= 1000, "{bytes}");
        assert_eq!(queue.state().bytes, bytes);
    }
    let left = drain(&queue).remove(&Table::Syslog).unwrap();
    let dropped = tally.losses.count(Loss::Dropped);
    assert_eq!(left, (dropped as i64..500).collect::<Vec<_>>());
    assert!(left.len() >= 25, "{}", left.len());
}

#[test]
fn a_queue_that_is_used_takes_another_cap_and_another_way_when_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { cap: 1000, segment: 150, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    for number in 0..30 {
        queue.append(&Table::Syslog, &records([number])).unwrap();
    }
    settle(&queue);
    queue.limit(600, WhenFull::Block);
    assert!(matches!(queue.append(&Table::Syslog, &records([30])), Err(AppendError::Full)));
    assert!(losses(&tally).is_empty());
    queue.limit(600, WhenFull::DropOldest);
    queue.append(&Table::Syslog, &records([30])).unwrap();
    assert!(on_disk(&settings).0 <= 600);
    let left = drain(&queue).remove(&Table::Syslog).unwrap();
    assert_eq!(left, (tally.losses.count(Loss::Dropped) as i64..31).collect::<Vec<_>>());
}

#[test]
fn the_segment_that_is_being_sent_is_dropped_after_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let cap = 3 * (HEAD + FRAME);
    let settings = QueueSettings { cap, segment: 64, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    for number in [1, 2, 3] {
        queue.append(&Table::Syslog, &records([number])).unwrap();
        settle(&queue);
    }
    assert_eq!(load(&queue.peek().unwrap()).0, [1]);
    queue.append(&Table::Syslog, &records([4])).unwrap();
    settle(&queue);
    assert_eq!(drain(&queue)[&Table::Syslog], [1, 3, 4]);
    assert_eq!(losses(&tally), [(Loss::Dropped, 1)]);
}

#[test]
fn what_is_being_sent_outlives_what_the_disk_does_not_have_yet() {
    let folder = tempfile::tempdir().unwrap();
    let cap = 3 * (HEAD + FRAME);
    let settings = QueueSettings { cap, segment: 64, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    queue.append(&Table::Syslog, &records([1])).unwrap();
    settle(&queue);
    assert_eq!(load(&queue.peek().unwrap()).0, [1]);
    for number in 2..8 {
        queue.append(&Table::Syslog, &records([number])).unwrap();
    }
    let left = drain(&queue).remove(&Table::Syslog).unwrap();
    assert_eq!((left.first(), left.last()), (Some(&1), Some(&7)));
    assert_eq!(losses(&tally), [(Loss::Dropped, 7 - left.len() as u64)]);
}

#[test]
fn of_a_segment_that_is_delivered_in_part_the_rest_is_counted_as_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { cap: 4 * 258, segment: 258, ..settings(folder.path()) };
    let (queue, _) = open(&settings);
    queue.append(&Table::Syslog, &records(0..10)).unwrap();
    settle(&queue);
    queue.mark(&queue.peek().unwrap(), 7);
    drop(queue);
    let (queue, tally) = open(&settings);
    for first in 1..5 {
        queue.append(&Table::Syslog, &records(10 * first..10 * first + 10)).unwrap();
    }
    assert_eq!(losses(&tally), [(Loss::Dropped, 3)]);
    assert_books(&queue, &tally, 4 * 258, 40);
    assert!(!files(&settings.folder).iter().any(|name| name.ends_with(".sent")));
}

#[tokio::test]
async fn a_queue_that_blocks_refuses_and_says_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        QueueSettings { cap: 400, segment: 150, when_full: WhenFull::Block, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    let mut taken = 0;
    while queue.append(&Table::Syslog, &records([taken])).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 14);
    queue.seal();
    while let Plan::Sync(work) = plan(&queue) {
        queue.0.sync(&work);
    }
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.room(FRAME as usize).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert!(matches!(queue.append(&Table::Syslog, &records([99])), Err(AppendError::Full)));
    queue.remove(&queue.peek().unwrap());
    waiting.await.unwrap();
    queue.append(&Table::Syslog, &records([taken])).unwrap();
    assert_eq!(losses(&tally), []);
}

#[test]
fn more_than_the_cap_at_once_is_refused_and_nothing_is_dropped_for_it() {
    for when_full in [WhenFull::DropOldest, WhenFull::Block] {
        let folder = tempfile::tempdir().unwrap();
        let settings = QueueSettings { cap: 400, when_full, ..settings(folder.path()) };
        let (queue, tally) = open(&settings);
        queue.append(&Table::Syslog, &records([1])).unwrap();
        let refused = queue.append(&Table::Syslog, &records(0..16));
        assert!(matches!(refused, Err(AppendError::TooLarge(448))), "{refused:?}");
        assert_books(&queue, &tally, HEAD + FRAME, 1);
        assert_eq!(losses(&tally), []);
    }
}

#[test]
fn a_smaller_cap_than_before_drops_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { segment: 150, ..settings(folder.path()) };
    let (queue, _) = open(&settings);
    for number in 0..50 {
        queue.append(&Table::Syslog, &records([number])).unwrap();
    }
    drop(queue);
    let small = QueueSettings { cap: 600, ..settings };
    let (queue, tally) = open(&small);
    assert!(on_disk(&small).0 <= 600);
    let dropped = tally.losses.count(Loss::Dropped) as i64;
    assert_eq!(drain(&queue)[&Table::Syslog], (dropped..50).collect::<Vec<_>>());
}

#[test]
fn a_queue_that_is_in_use_is_not_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (queue, _) = open(&settings);
    assert!(matches!(Queue::open(settings.clone(), tally()), Err(SpoolError::InUse(_))));
    drop(queue);
    assert!(Queue::open(settings, tally()).is_ok());
}

#[test]
fn a_full_disk_costs_the_oldest_records_and_the_reserve_only_if_removing_them_takes_room() {
    for removal_needs_room in [false, true] {
        fill(removal_needs_room);
    }
}

fn fill(removal_needs_room: bool) {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { segment: 150, cap: 10_000, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    let disk = queue.0.store().disk.clone();
    disk.faults.set(|broken| (broken.free, broken.removal_needs_room) = (Some(700), removal_needs_room));
    for number in 0..100 {
        queue.append(&Table::Syslog, &records([3 * number, 3 * number + 1, 3 * number + 2])).unwrap();
        if number % 5 == 0 {
            settle(&queue);
        }
        assert_eq!(queue.state().bytes, on_disk(&settings).0);
    }
    assert_eq!(settings.folder.join("reserve").exists(), !removal_needs_room);
    let left = drain(&queue).remove(&Table::Syslog).unwrap();
    let dropped = tally.losses.count(Loss::Dropped) as i64;
    assert_eq!(left, (dropped..300).collect::<Vec<_>>());
    assert!(dropped > 0);
    // Room again: the reserve comes back with a later sync.
    disk.faults.set(|broken| broken.free = None);
    queue.0.store().reserve.tried = None;
    queue.append(&Table::Syslog, &records([1])).unwrap();
    settle(&queue);
    assert_eq!(fs::metadata(settings.folder.join("reserve")).unwrap().len(), 100);
}

#[test]
fn a_full_disk_refuses_if_nothing_may_be_dropped_and_nothing_of_the_append_stays() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { segment: 150, when_full: WhenFull::Block, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    queue.append(&Table::Syslog, &records([0, 1])).unwrap();
    let disk = queue.0.store().disk.clone();
    queue.0.store().give_up_reserve();
    for free in 0..500 {
        disk.faults.set(|broken| broken.free = Some(free));
        let refused = queue.append(&Table::Syslog, &records(100..120));
        assert!(matches!(refused, Err(AppendError::Disk(_))), "{free}");
        assert_eq!(on_disk(&settings), (58, 1), "{free}");
        assert_books(&queue, &tally, 58, 2);
    }
    disk.faults.set(|broken| broken.free = None);
    queue.append(&Table::Syslog, &records(2..30)).unwrap();
    assert_eq!(drain(&queue)[&Table::Syslog], (0..30).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_is_full_before_anything_was_sealed_is_drained_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { when_full: WhenFull::Block, ..settings(folder.path()) };
    let (queue, _) = open(&settings);
    queue.append(&Table::Syslog, &records([0, 1])).unwrap();
    queue.0.store().give_up_reserve();
    let disk = queue.0.store().disk.clone();
    disk.faults.set(|broken| broken.free = Some(0));
    assert!(queue.append(&Table::Syslog, &records([2])).is_err());
    assert_eq!(drain(&queue).remove(&Table::Syslog).unwrap_or_default(), [0, 1]);
    queue.append(&Table::Syslog, &records([2])).unwrap();
}

#[test]
fn a_file_that_cannot_be_cut_is_closed_and_nothing_follows_the_half_record_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { when_full: WhenFull::Block, ..settings(folder.path()) };
    let (queue, tally) = open(&settings);
    queue.append(&Table::Syslog, &records([0, 1])).unwrap();
    queue.0.store().give_up_reserve();
    let disk = queue.0.store().disk.clone();
    disk.faults.set(|broken| (broken.free, broken.truncate) = (Some(10), true));
    assert!(queue.append(&Table::Syslog, &records([2])).is_err());
    disk.faults.set(|broken| (broken.free, broken.truncate) = (None, false));
    queue.append(&Table::Syslog, &records([2])).unwrap();
    assert_eq!(drain(&queue)[&Table::Syslog], [0, 1, 2]);
    assert_eq!(losses(&tally), []);
}

#[test]
fn a_segment_that_cannot_be_removed_is_not_sent_again_and_counts_until_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (queue, tally) = open(&settings);
    queue.append(&Table::Syslog, &records([1])).unwrap();
    settle(&queue);
    let disk = queue.0.store().disk.clone();
    disk.faults.set(|broken| broken.remove = true);
    queue.remove(&queue.peek().unwrap());
    assert!(queue.peek().is_none());
    assert_books(&queue, &tally, HEAD + FRAME, 0);
    disk.faults.set(|broken| broken.remove = false);
    queue.append(&Table::Syslog, &records([2])).unwrap();
    assert_books(&queue, &tally, HEAD + FRAME, 1);
    assert_eq!(on_disk(&settings), (HEAD + FRAME, 1));
}
