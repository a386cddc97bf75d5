//! The queue beside a model that is a list: whatever happens in whatever order, they agree.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::spool::AppendError;

#[derive(Clone, Debug)]
enum Step {
    Append { table: usize, records: i64 },
    Seal,
    Settle,
    Mark(u32),
    Remove,
    Crash,
    Tear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_usize, 1..12_i64).prop_map(|(table, records)| Step::Append { table, records }),
        1 => Just(Step::Seal),
        2 => Just(Step::Settle),
        1 => (0..6_u32).prop_map(Step::Mark),
        2 => Just(Step::Remove),
        1 => Just(Step::Crash),
        1 => Just(Step::Tear),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Every record that is owed, by table.
struct Model {
    tables: [Table; 3],
    owed: [VecDeque<i64>; 3],
    last: i64,
}

impl Model {
    fn of(&mut self, table: &Table) -> &mut VecDeque<i64> {
        let at = self.tables.iter().position(|known| known == table).unwrap();
        &mut self.owed[at]
    }

    fn count(&self) -> usize {
        self.owed.iter().map(VecDeque::len).sum()
    }
}

/// Takes what was dropped out of the model: segments go as a whole, so a run of records of a table.
fn forget_dropped(model: &mut Model, queue: &Queue, settings: &QueueSettings, dropped: u64) {
    if dropped == 0 {
        return;
    }
    let mut there: BTreeMap<Table, Vec<i64>> = BTreeMap::new();
    let store = queue.0.store();
    let mut names: Vec<_> = files(&settings.folder);
    names.retain(|name| name.ends_with(".seg") || name.ends_with(".open"));
    for name in names {
        let table: Table = name[21..].split(['-', '.']).next().unwrap().parse().unwrap();
        let all = numbers(&fs::read(settings.folder.join(&name)).unwrap()[8..]);
        let delivered = store.progress.get(&name[..20].parse().unwrap()).copied().unwrap_or(0);
        there.entry(table).or_default().extend(&all[delivered as usize..]);
    }
    drop(store);
    let before = model.count();
    for at in 0..3 {
        let kept = there.remove(&model.tables[at]).unwrap_or_default();
        model.owed[at].retain(|number| kept.contains(number));
        assert_eq!(model.owed[at], kept, "order");
    }
    assert_eq!(before - model.count(), dropped as usize);
}

fn run(steps: Vec<Step>, when_full: WhenFull) {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { cap: 1500, segment: 160, when_full, ..settings(folder.path()) };
    let (mut queue, mut tally) = open(&settings);
    let mut model =
        Model { tables: [Table::Syslog, Table::Perf, Table::Heartbeat], owed: Default::default(), last: 0 };
    for step in steps {
        let dropped = tally.losses.count(Loss::Dropped);
        match step {
            Step::Append { table, records: count } => {
                let (first, table) = (model.last, model.tables[table].clone());
                match queue.append(&table, &records(first..first + count)) {
                    Ok(_) => {
                        model.last += count;
                        model.of(&table).extend(first..first + count);
                    }
                    Err(error) => assert!(matches!(error, AppendError::Full), "{error}"),
                }
            }
            Step::Seal => queue.seal(),
            Step::Settle => settle(&queue),
            Step::Mark(more) => mark(&queue, &mut model, more),
            Step::Remove => remove(&queue, &mut model),
            Step::Crash | Step::Tear => {
                drop(queue);
                let torn = matches!(step, Step::Tear) && tear(&settings);
                (queue, tally) = open(&settings);
                assert_eq!(tally.losses.count(Loss::Torn), u64::from(torn));
            }
        }
        let dropped = tally.losses.count(Loss::Dropped) - dropped.min(tally.losses.count(Loss::Dropped));
        forget_dropped(&mut model, &queue, &settings, dropped);
        let (bytes, _) = on_disk(&settings);
        assert!(bytes <= settings.cap, "{bytes}");
        assert_books(&queue, &tally, bytes, model.count());
    }
    let drained = drain(&queue);
    for (table, owed) in model.tables.iter().zip(&model.owed) {
        assert_eq!(*owed, drained.get(table).cloned().unwrap_or_default());
    }
    assert_books(&queue, &tally, 0, 0);
}

/// Delivers some more of the segment at the front.
fn mark(queue: &Queue, model: &mut Model, more: u32) {
    let Some(segment) = queue.peek() else { return };
    let (numbers, delivered) = load(&segment);
    let upto = (delivered + more).min(numbers.len() as u32);
    queue.mark(&segment, upto);
    for number in &numbers[delivered as usize..upto as usize] {
        assert_eq!(model.of(segment.table()).pop_front(), Some(*number));
    }
}

/// Delivers the rest of the segment at the front.
fn remove(queue: &Queue, model: &mut Model) {
    let Some(segment) = queue.peek() else { return };
    let (numbers, delivered) = load(&segment);
    for number in &numbers[delivered as usize..] {
        assert_eq!(model.of(segment.table()).pop_front(), Some(*number));
    }
    queue.remove(&segment);
}

/// Leaves a part of a record, as a crash in the middle of a write does.
fn tear(settings: &QueueSettings) -> bool {
    let Some(name) = files(&settings.folder).into_iter().find(|name| name.ends_with(".open")) else {
        return false;
    };
    let part = &records([1]).bytes()[..13].to_vec();
    let path = settings.folder.join(name);
    let bytes = [fs::read(&path).unwrap(), part.clone()].concat();
    fs::write(path, bytes).unwrap();
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_that_drops_agrees_with_its_model(steps in steps()) {
        run(steps, WhenFull::DropOldest);
    }

    #[test]
    fn a_queue_that_blocks_agrees_with_its_model(steps in steps()) {
        run(steps, WhenFull::Block);
    }
}
