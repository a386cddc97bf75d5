//! The power is cut at any step, and steps of the disk fail before that: what was acknowledged is there, nothing is made
//! up, and no number of a segment comes again.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;
use crate::durable::double::Fault;
use crate::durable::double::Recording;
use crate::durable::double::record;
use crate::spool::AppendError;

#[derive(Clone, Debug)]
enum Step {
    Append { table: usize, records: i64 },
    Sync,
    Seal,
    Mark(u32),
    Remove,
    Fail { first: usize, steps: usize, full: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..2_usize, 1..12_i64).prop_map(|(table, records)| Step::Append { table, records }),
        4 => Just(Step::Sync),
        2 => Just(Step::Seal),
        1 => (0..6_u32).prop_map(Step::Mark),
        2 => Just(Step::Remove),
        1 => (0..6_usize, 1..5_usize, any::<bool>())
            .prop_map(|(first, steps, full)| Step::Fail { first, steps, full }),
    ];
    proptest::collection::vec(step, 1..50)
}

const TABLES: [Table; 2] = [Table::Syslog, Table::Perf];

/// What happened, and at which step of the disk.
#[derive(Default)]
struct History {
    /// Records by number: the table, and what waiting for it waits for; none if the append failed.
    appended: Vec<(usize, Option<u64>)>,
    /// Records whose append met a fault: what was written of it before may be there, too.
    troubled: BTreeSet<i64>,
    /// Those that the disk has, from this step on.
    durable: Vec<(usize, i64)>,
    /// Those that were delivered, before or at this step.
    delivered: Vec<(usize, i64)>,
    /// Numbers of segments that were handed out, from this step on.
    handed_out: Vec<(usize, u64)>,
}

impl History {
    fn append(&mut self, queue: &Queue, recording: &Recording, table: usize, count: i64) {
        let (first, failed) = (self.appended.len() as i64, recording.failed());
        let receipt = match queue.append(&TABLES[table], &records(first..first + count)) {
            Ok(receipt) => Some(receipt.0),
            Err(AppendError::Disk(_)) => None,
            Err(other) => panic!("{other}"),
        };
        self.appended.extend((0..count).map(|_| (table, receipt)));
        if recording.failed() > failed {
            self.troubled.extend(first..first + count);
        }
    }

    /// Notes what has become durable.
    fn look(&mut self, queue: &Queue, recording: &Recording) {
        let synced = queue.0.store().flow.synced;
        let known: BTreeSet<i64> = self.durable.iter().map(|(_, number)| *number).collect();
        for (number, (_, receipt)) in (0..).zip(&self.appended) {
            if receipt.is_some_and(|receipt| receipt <= synced) && !known.contains(&number) {
                self.durable.push((recording.done(), number));
            }
        }
    }

    /// Delivers a part of the first segment, or all of it.
    fn deliver(&mut self, queue: &Queue, recording: &Recording, more: Option<u32>) {
        let Some(segment) = queue.peek() else { return };
        self.handed_out.push((recording.done(), segment.number()));
        let mut frames = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Ok(before) = runtime.block_on(segment.load(&mut frames)) else { return };
        let all = numbers(&frames);
        let upto = more.map_or(all.len(), |more| all.len().min((before + more) as usize));
        let gone = &all[before as usize..upto];
        self.delivered.extend(gone.iter().map(|number| (recording.done(), *number)));
        match more {
            Some(_) => queue.mark(&segment, upto as u32),
            None => queue.remove(&segment),
        }
    }

    /// Judges what is found after the power was cut at a step.
    fn judge(&self, after: usize, found: &BTreeMap<Table, Vec<i64>>) {
        let mut all = BTreeSet::new();
        for (table, numbers) in found {
            let smooth: Vec<_> = numbers.iter().filter(|number| !self.troubled.contains(number)).collect();
            assert!(smooth.windows(2).all(|two| two[0] < two[1]), "order: {numbers:?}");
            for number in numbers {
                let (written, _) = self.appended.get(*number as usize).expect("nothing is made up");
                assert_eq!(&TABLES[*written], table);
                all.insert(*number);
            }
        }
        all.extend(self.delivered.iter().filter(|(at, _)| *at < after).map(|(_, number)| *number));
        for (_, number) in self.durable.iter().filter(|(at, _)| *at <= after) {
            assert!(all.contains(number), "{number} was acknowledged and is gone");
        }
    }
}

/// Syncs what is due, as `tend` does; later after each failure.
fn sync(queue: &Queue) {
    for seconds in 0..3 {
        let now = tokio::time::Instant::now() + Duration::from_secs(2 * seconds);
        while let Plan::Sync(work) = {
            let mut store = queue.0.store();
            store.flow.wanted = store.flow.appended;
            store.plan(now)
        } {
            queue.0.sync(&work);
        }
    }
}

fn run(steps: Vec<Step>, cut: u32, chance: u64) {
    let folder = tempfile::tempdir().unwrap();
    let recording = record(folder.path());
    // A queue that drops would drop when the disk is full.
    let settings = QueueSettings { segment: 160, when_full: WhenFull::Block, ..settings(folder.path()) };
    let (queue, _) = open(&settings);
    let mut history = History::default();
    for step in steps {
        match step {
            Step::Append { table, records } => history.append(&queue, &recording, table, records),
            Step::Sync => sync(&queue),
            Step::Seal => queue.seal(),
            Step::Mark(more) => history.deliver(&queue, &recording, Some(more)),
            Step::Remove => history.deliver(&queue, &recording, None),
            Step::Fail { first, steps, full } => {
                let kind = if full { ErrorKind::StorageFull } else { ErrorKind::Other };
                recording.fail(Some(Fault { first, until: first + steps, kind }));
            }
        }
        history.look(&queue, &recording);
    }
    // The disk heals: all that was taken becomes durable.
    recording.fail(None);
    sync(&queue);
    history.look(&queue, &recording);
    let taken = history.appended.iter().filter(|(_, receipt)| receipt.is_some()).count();
    assert_eq!(history.durable.len(), taken, "the queue goes on when the disk is well again");
    let cuts = [recording.done(), (recording.done() as u64 * u64::from(cut) / u64::from(u32::MAX)) as usize];
    let images = cuts.map(|after| {
        let crashed = tempfile::tempdir().unwrap();
        recording.crash(after, chance, crashed.path());
        (after, crashed)
    });
    drop(recording);
    for (after, crashed) in images {
        let settings = QueueSettings { folder: crashed.path().join("main"), ..settings.clone() };
        let (queue, _) = open(&settings);
        let last = history.handed_out.iter().filter(|(at, _)| *at <= after).map(|(_, number)| *number).max();
        let next = queue.0.store().numbers.next;
        assert!(last.is_none_or(|last| next > last), "{next} comes again, {last:?} was handed out");
        history.judge(after, &drain(&queue));
        assert_eq!(queue.state().records, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_outlives_a_loss_of_power_and_nothing_is_made_up(
        steps in steps(), cut in any::<u32>(), chance in any::<u64>(),
    ) {
        run(steps, cut, chance);
    }
}

/// `POWER_CASES` makes it more by hand.
fn cases() -> u32 {
    std::env::var("POWER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150)
}
