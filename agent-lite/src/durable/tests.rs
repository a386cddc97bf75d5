//! Whatever is cut and whatever fails: the old file or the new one.

use std::fs;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::double::Fault;
use super::double::record;
use super::*;

#[test]
fn a_replaced_file_is_the_old_one_or_the_new_one_wherever_the_power_is_cut_and_the_new_one_after_its_end() {
    let (old, new) = ("old ".repeat(50), "new ".repeat(70));
    for chance in 0..300 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/file");
        let recording = record(folder.path());
        make_folder(folder_of(&path)).unwrap();
        replace(&path, old.as_bytes()).unwrap();
        let middle = recording.done();
        replace(&path, new.as_bytes()).unwrap();
        for after in middle..=recording.done() {
            let crashed = tempfile::tempdir().unwrap();
            recording.crash(after, chance, crashed.path());
            let found = fs::read_to_string(crashed.path().join("below/file")).unwrap();
            assert!(found == new || after < recording.done() && found == old, "{after} {chance} {found}");
        }
    }
}

#[test]
fn a_step_that_fails_leaves_the_old_file_or_the_new_one_and_nothing_beside_it_and_the_next_try_succeeds() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let mut step = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            replace(&path, b"old").unwrap();
            let recording = record(folder.path());
            recording.fail(Some(Fault { first: step, until: step + 1, kind }));
            let outcome = replace(&path, b"new");
            let failed = recording.asked() > step;
            assert_eq!(outcome.is_err(), failed, "{step}");
            let found = fs::read(&path).unwrap();
            assert!(found == b"new" || failed && found == b"old", "{step} {found:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{step}");
            recording.fail(None);
            replace(&path, b"new").unwrap();
            let crashed = tempfile::tempdir().unwrap();
            recording.crash(recording.done(), 7, crashed.path());
            assert_eq!(fs::read(crashed.path().join("file")).unwrap(), b"new");
            if !failed {
                assert!(step >= 5, "{step}");
                break;
            }
            step += 1;
        }
    }
}

#[test]
fn what_a_sync_failed_on_is_not_believed_to_be_there_after_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let recording = record(folder.path());
    let file = create(&folder.path().join("file")).unwrap();
    sync_folder(folder.path()).unwrap();
    append(&file, b"text").unwrap();
    recording.fail(Some(Fault { first: 0, until: 1, kind: ErrorKind::Other }));
    sync(&file).unwrap_err();
    sync(&file).unwrap();
    let lost = |chance| {
        let crashed = tempfile::tempdir().unwrap();
        recording.crash(recording.done(), chance, crashed.path());
        fs::read(crashed.path().join("file")).unwrap() != b"text"
    };
    assert!((0..50).any(lost) && !(0..50).all(lost));
}

proptest! {
    /// The double itself: what is synced is there, and nothing is there that was never written.
    #[test]
    fn a_crash_keeps_what_was_synced(
        parts in proptest::collection::vec((proptest::collection::vec(1u8..255, 1..20), any::<bool>()), 1..10),
        chance in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let recording = record(folder.path());
        let file = create(&folder.path().join("file")).unwrap();
        sync_folder(folder.path()).unwrap();
        let (mut synced, mut all) = (0, Vec::<u8>::new());
        for (part, is_synced) in &parts {
            append(&file, part).unwrap();
            all.extend(part);
            if *is_synced {
                sync(&file).unwrap();
                synced = all.len();
            }
        }
        let crashed = tempfile::tempdir().unwrap();
        recording.crash(recording.done(), chance, crashed.path());
        let found = fs::read(crashed.path().join("file")).unwrap();
        prop_assert_eq!(&found[..synced], &all[..synced]);
        prop_assert!(found.len() <= all.len());
        prop_assert!(found.iter().zip(&all).all(|(found, written)| found == written || *found == 0));
    }
}
