use proptest::prelude::*;

use super::*;
use crate::spool::layout;

const HEAD: usize = 8;

fn segment(table: &str, end: &str) -> String {
    format!("{:020}-{table}{end}", 7)
}

fn plant(settings: &QueueSettings, name: &str, bytes: &[u8]) {
    fs::create_dir_all(&settings.folder).unwrap();
    fs::write(settings.folder.join(name), bytes).unwrap();
}

fn whole(count: i64) -> Vec<u8> {
    [&layout::HEAD, records(0..count).bytes()].concat()
}

#[test]
fn a_segment_that_is_cut_at_any_byte_gives_back_exactly_the_whole_records_before_the_cut() {
    let bytes = whole(5);
    for cut in 0..=bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        plant(&settings, &segment("Syslog", ".open"), &bytes[..cut]);
        let (queue, tally) = open(&settings);
        let expected = cut.saturating_sub(HEAD) / FRAME as usize;
        let torn = cut < HEAD && cut > 0 || cut > HEAD && !(cut - HEAD).is_multiple_of(FRAME as usize);
        assert_eq!(tally.losses.count(Loss::Torn), u64::from(torn), "{cut}");
        let kept = if expected == 0 { 0 } else { HEAD + expected * FRAME as usize };
        assert_books(&queue, &tally, kept as u64, expected);
        assert_eq!(on_disk(&settings).0, kept as u64);
        let drained = drain(&queue).remove(&Table::Syslog).unwrap_or_default();
        assert_eq!(drained, (0..expected as i64).collect::<Vec<_>>(), "{cut}");
        assert_eq!(losses(&tally).len(), usize::from(torn));
    }
}

#[test]
fn blocks_that_were_never_written_are_a_torn_end() {
    for whole_records in [0, 3] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let bytes = if whole_records == 0 { Vec::new() } else { whole(whole_records) };
        plant(&settings, &segment("Syslog", ".open"), &[&bytes[..], &[0; 200_000]].concat());
        let (queue, tally) = open(&settings);
        assert_eq!(losses(&tally), [(Loss::Torn, 1)]);
        assert_eq!(queue.state().records, whole_records as u64);
    }
}

#[test]
fn a_changed_byte_anywhere_costs_what_follows_it_which_is_set_aside() {
    let bytes = whole(4);
    for at in 0..bytes.len() {
        for sealed in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let settings = settings(folder.path());
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            plant(&settings, &segment("Syslog", if sealed { "-4.seg" } else { ".open" }), &changed);
            let (queue, tally) = open(&settings);
            let drained = drain(&queue).remove(&Table::Syslog).unwrap_or_default();
            let good = at.saturating_sub(HEAD) / FRAME as usize;
            assert_eq!(drained, (0..good as i64).collect::<Vec<_>>(), "{at}");
            assert_books(&queue, &tally, 0, 0);
            assert_eq!(on_disk(&settings), (0, 0), "{at}");
            let [(loss, 1)] = losses(&tally)[..] else { panic!("{at}: {:?}", losses(&tally)) };
            assert!(loss == Loss::Corrupt || !sealed, "{at}");
            if loss == Loss::Corrupt {
                let kept = files(&settings.folder.join("damaged"));
                let rest = fs::read(settings.folder.join("damaged").join(&kept[0])).unwrap();
                let from = if at < HEAD { 0 } else { HEAD + good * FRAME as usize };
                assert_eq!((kept.len(), &rest[..]), (1, &changed[from..]), "{at}");
            }
        }
    }
}

#[test]
fn a_damaged_segment_keeps_its_books_and_is_found_as_it_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut bytes = whole(4);
    bytes[HEAD + 2 * FRAME as usize + 9] ^= 1;
    plant(&settings, &segment("Syslog", "-4.seg"), &bytes);
    plant(&settings, &format!("{:020}.sent", 7), b"3\n");
    let (queue, tally) = open(&settings);
    assert_books(&queue, &tally, 108, 1);
    assert_eq!(load(&queue.peek().unwrap()), (vec![0, 1], 2));
    assert_books(&queue, &tally, 58, 0);
    drop(queue);
    let (queue, tally) = open(&settings);
    assert_books(&queue, &tally, 58, 0);
    assert_eq!(load(&queue.peek().unwrap()), (vec![0, 1], 2));
    assert_eq!(losses(&tally), []);
}

#[test]
fn what_is_not_ours_is_left_alone_and_what_was_not_finished_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let foreign = ["notes.txt", "notes.tmp", "7-Syslog.open", "00000000000000000007-Syslog.seg"];
    for name in foreign.iter().chain(&["next-number.tmp", "00000000000000000009.sent.tmp"]) {
        plant(&settings, name, b"something");
    }
    plant(&settings, "00000000000000000008.sent", b"3\n");
    fs::create_dir(settings.folder.join(segment("Perf", ".open"))).unwrap();
    let no_file = settings.folder.join(segment("Perf", "-1.seg"));
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", no_file).unwrap();
    #[cfg(not(unix))]
    fs::create_dir(no_file).unwrap();
    let (queue, tally) = open(&settings);
    assert_books(&queue, &tally, 0, 0);
    let expected = [
        "00000000000000000007-Perf-1.seg",
        "00000000000000000007-Perf.open",
        "00000000000000000007-Syslog.seg",
        "7-Syslog.open",
        "lock",
        "next-number",
        "notes.tmp",
        "notes.txt",
        "reserve",
    ];
    assert_eq!(files(&settings.folder), expected);
    assert_eq!(losses(&tally), []);
}

#[test]
fn segments_that_vanish_shrink_or_share_a_number_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    for (number, end) in [(1, "-4.seg"), (2, "-4.seg"), (3, "-9.seg"), (4, "-0.seg"), (4, ".open")] {
        plant(&settings, &format!("{number:020}-Syslog{end}"), &whole(4));
    }
    let (queue, tally) = open(&settings);
    assert_eq!(losses(&tally), [(Loss::Corrupt, 1)]);
    fs::remove_file(settings.folder.join(layout::sealed(1, &Table::Syslog, 4))).unwrap();
    let shrunk = settings.folder.join(layout::sealed(2, &Table::Syslog, 4));
    fs::File::options().write(true).open(shrunk).unwrap().set_len(40).unwrap();
    assert_eq!(drain(&queue)[&Table::Syslog], [0, 0, 1, 2, 3, 0, 1, 2, 3]);
    assert_eq!(losses(&tally), [(Loss::Corrupt, 3)]);
    assert_books(&queue, &tally, 0, 0);
    assert_eq!(on_disk(&settings), (0, 0));
}

#[test]
fn a_segment_that_cannot_be_read_does_not_stop_the_queue_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (queue, tally) = open(&settings);
    for number in [1, 2] {
        queue.append(&Table::Syslog, &records([number])).unwrap();
        settle(&queue);
    }
    // A folder in its place opens, but cannot be read.
    let segment = queue.peek().unwrap();
    let path = settings.folder.join(layout::sealed(segment.number(), &Table::Syslog, 1));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let failed = (0..10).take_while(|_| runtime.block_on(segment.load(&mut Vec::new())).is_err()).count();
    assert_eq!(failed, 4);
    assert_eq!(losses(&tally), [(Loss::Corrupt, 1)]);
    assert_eq!(load(&queue.peek().unwrap()).0, [2]);
}

proptest! {
    #[test]
    fn any_bytes_as_a_segment_are_mended_or_set_aside(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        front in 0..4_i64,
        sealed: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let front_bytes = if front == 0 { Vec::new() } else { whole(front) };
        let name = segment("Syslog", if sealed { "-77.seg" } else { ".open" });
        plant(&settings, &name, &[&front_bytes[..], &bytes[..]].concat());
        let (queue, tally) = open(&settings);
        let drained = drain(&queue).remove(&Table::Syslog).unwrap_or_default();
        prop_assert_eq!(drained, (0..front).collect::<Vec<_>>());
        assert_books(&queue, &tally, 0, 0);
        prop_assert_eq!(on_disk(&settings), (0, 0));
    }
}

#[test]
fn a_number_that_lost_its_end_with_the_power_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let claimed = u64::from(u32::MAX);
    let next = |text: String| {
        fs::create_dir_all(&settings.folder).unwrap();
        fs::write(settings.folder.join("next-number"), text).unwrap();
        open(&settings).0.0.store().numbers.next
    };
    assert_eq!(next(format!("{claimed}\n")), claimed);
    // Its first digits would be numbers that were used long ago: the clock is further.
    assert!(next("4294".to_owned()) > 1_000_000_000);
}
