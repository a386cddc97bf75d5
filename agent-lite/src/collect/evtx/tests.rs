use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::*;
use crate::counters::Counters;
use crate::record::Column;
use crate::record::Record;
use crate::record::frame_at;
use proptest::prelude::*;

/// Seven events of a Security log.
const SAMPLE: &[u8] = include_bytes!("../../../../tests/data/security.evtx");
const HEAD: usize = 4096;
const CHUNK: usize = 65_536;

/// Returns a log of so many chunks, each the sample's with other numbers and times: seven events a chunk.
fn log(chunks: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = SAMPLE[..HEAD].to_vec();
    for chunk in chunks {
        let mut copy = SAMPLE[HEAD..HEAD + CHUNK].to_vec();
        let (first, mut at, mut index) = (chunk * 7 + 1, 512, 0);
        while copy[at..at + 4] == *b"\x2a\x2a\0\0" && index < 7 {
            let size = u32::from_le_bytes(copy[at + 4..at + 8].try_into().unwrap()) as usize;
            copy[at + 8..at + 16].copy_from_slice(&(first + index).to_le_bytes());
            let time = 133_000_000_000_000_000 + (first + index) * 10_000_000;
            copy[at + 16..at + 24].copy_from_slice(&time.to_le_bytes());
            (at, index) = (at + size, index + 1);
        }
        assert_eq!(index, 7);
        for (place, number) in [(8, first), (16, first + 6), (24, first), (32, first + 6)] {
            copy[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes.extend(copy);
    }
    bytes
}

/// What a reading of a file gave.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    events: u32,
    damaged: u64,
    unparsed: u64,
    mark: mark::Mark,
    last: Vec<u8>,
}

fn import(bytes: &[u8], marks: &[mark::Mark]) -> Result<Reading, String> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let reader = Import::new(marks.to_vec(), bytes.len() as u64, sender);
    let reading = std::thread::spawn(move || reader.read(file));
    let mut all = Reading::default();
    while let Some(batch) = receiver.blocking_recv() {
        all.events += batch.frames.count();
        all.damaged += batch.damaged;
        all.unparsed += batch.unparsed;
        all.mark = batch.mark;
        assert!(batch.read <= bytes.len() as u64);
        if !batch.frames.is_empty() {
            all.last = batch.frames.bytes().to_vec();
        }
    }
    reading.join().unwrap().map(|()| all)
}

#[test]
fn a_real_log_becomes_the_rows_of_its_events() {
    let reading = import(SAMPLE, &[]).unwrap();
    assert_eq!((reading.events, reading.damaged, reading.unparsed), (7, 0, 0));
    let record = Record::decode(frame_at(&reading.last).unwrap().payload).unwrap();
    let time: jiff::Timestamp = "2016-06-29T15:24:34.346Z".parse().unwrap();
    assert_eq!(record.time().0, time.as_microsecond());
    for (column, text) in [
        (Column::Computer, "temporal"),
        (Column::Source, "Microsoft-Windows-Security-Auditing"),
        (Column::EventLog, "Security"),
        (Column::EventLevelName, "Audit Failure"),
        (Column::UserName, "N/A"),
    ] {
        assert_eq!(record.text(column), Some(text));
    }
    let parameters = record.text(Column::ParameterXml).unwrap();
    assert!(parameters.starts_with("<Param>0</Param><Param>-</Param><Param>%%14592</Param>"), "{parameters}");
    let data = record.text(Column::EventData).unwrap();
    assert!(data.contains("<Data Name=\"SourceAddress\">23.94.153.202</Data>"), "{data}");
}

#[test]
fn a_log_that_has_grown_is_read_on_and_a_copy_of_it_is_not_read_again() {
    let first = import(&log(0..2), &[]).unwrap();
    assert_eq!(first.events, 14);
    let grown = import(&log(0..5), std::slice::from_ref(&first.mark)).unwrap();
    assert_eq!(grown.events, 21);
    assert_eq!(import(&log(0..5), &[first.mark.clone(), grown.mark.clone()]).unwrap().events, 0);
    // The oldest chunk was overwritten, as Windows does in a full log.
    let wrapped = import(&log(3..8), &[first.mark, grown.mark]).unwrap();
    assert_eq!(wrapped.events, 21);
}

#[test]
fn another_log_in_the_same_place_is_read_from_its_beginning() {
    let mark = import(&log(0..5), &[]).unwrap().mark;
    assert_eq!(import(SAMPLE, std::slice::from_ref(&mark)).unwrap().events, 7);
    // The same event is its last one, but others stand before it: it was exported by a query.
    let mut exported = log(0..1);
    exported.extend(&log(4..5)[HEAD..]);
    assert_eq!(import(&exported, std::slice::from_ref(&mark)).unwrap().events, 14);
    // All of it was read, and what stood before it is gone.
    assert_eq!(import(&log(4..5), &[mark]).unwrap().events, 0);
}

#[test]
fn damaged_chunks_and_records_are_counted_and_the_rest_is_read() {
    let whole = log(0..4);
    let mut chunk = whole.clone();
    chunk[HEAD + CHUNK..HEAD + CHUNK + 512].fill(0xee);
    let reading = import(&chunk, &[]).unwrap();
    assert_eq!((reading.events, reading.damaged), (21, 1));
    let mut record = whole.clone();
    let second = HEAD + CHUNK + 512;
    record[second..second + 8].fill(0xee);
    let reading = import(&record, &[]).unwrap();
    assert!(reading.events >= 21 && reading.damaged >= 1, "{reading:?}");
    let torn = import(&whole[..whole.len() - 9000], &[]).unwrap();
    assert!(torn.events >= 21, "{torn:?}");
    for none in [&b"text"[..], b"", &SAMPLE[..100], &[0; 70_000]] {
        assert!(import(none, &[]).unwrap_err().starts_with("it is no event log"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_damage_to_a_file_ends_the_reader(
        damage in proptest::collection::vec((0..SAMPLE.len().min(20_000), any::<u8>()), 1..40),
        marked in any::<bool>(),
    ) {
        let mut bytes = SAMPLE.to_vec();
        damage.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        let marks = if marked { vec![import(SAMPLE, &[]).unwrap().mark] } else { Vec::new() };
        let _ = import(&bytes, &marks);
    }
}

/// An importer, its counters and the folder it looks at; its queues are nowhere.
fn importer(folder: &Path) -> (EvtxSettings, Context, Inlet) {
    let settings = EvtxSettings {
        paths: vec![format!("{}/*.evtx", folder.display())],
        look: Duration::from_millis(10),
        largest: 1 << 20,
    };
    let context = Context { state: folder.join("state"), source: "evtx.test".to_owned() };
    (settings, context, Inlet::new(Vec::new(), Counters::new().source("evtx.test")))
}

#[tokio::test]
async fn a_restart_neither_loses_nor_doubles_and_a_copy_under_way_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, context, inlet) = importer(folder.path());
    let path = folder.path().join("a.evtx");
    std::fs::write(&path, log(0..2)).unwrap();
    let mut first = Importer::open(settings.clone(), context.clone(), inlet.clone()).await;
    assert_eq!(first.pass().await, settings.look.min(SETTLES));
    assert_eq!(inlet.tally().collected.get(), 0, "it was seen once only");
    let more = log(2..3);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&more[HEAD..]).unwrap();
    first.pass().await;
    assert_eq!(inlet.tally().collected.get(), 0, "it has grown since");
    first.pass().await;
    assert_eq!(inlet.tally().collected.get(), 21);
    drop(first);
    let mut again = Importer::open(settings, context, inlet.clone()).await;
    std::fs::rename(&path, folder.path().join("b.evtx")).unwrap();
    for _ in 0..3 {
        again.pass().await;
    }
    assert_eq!(inlet.tally().collected.get(), 21, "the same log by another name");
    std::fs::write(&path, SAMPLE).unwrap();
    for _ in 0..2 {
        again.pass().await;
    }
    assert_eq!(inlet.tally().collected.get(), 28, "another log by the same name");
    assert_eq!(inlet.tally().notes.all(), [""; 0]);
}

#[tokio::test]
async fn what_is_no_log_or_too_large_is_said_once_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, context, inlet) = importer(folder.path());
    std::fs::write(folder.path().join("text.evtx"), "no log at all").unwrap();
    std::fs::write(folder.path().join("large.evtx"), vec![0; (1 << 20) + 1]).unwrap();
    std::fs::write(folder.path().join("z.evtx"), SAMPLE).unwrap();
    let mut importer = Importer::open(settings, context, inlet.clone()).await;
    for _ in 0..4 {
        importer.pass().await;
    }
    assert_eq!(inlet.tally().collected.get(), 7);
    assert_eq!(inlet.tally().losses.count(Loss::Unreadable), 2);
}

#[tokio::test]
async fn damaged_positions_lie_aside_and_files_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, context, inlet) = importer(folder.path());
    std::fs::create_dir_all(context.state.join("positions")).unwrap();
    std::fs::write(context.state.join("positions/evtx.test.json"), "{").unwrap();
    std::fs::write(folder.path().join("a.evtx"), SAMPLE).unwrap();
    let mut importer = Importer::open(settings, context.clone(), inlet.clone()).await;
    assert!(context.state.join("positions/evtx.test.json.damaged").exists());
    for _ in 0..2 {
        importer.pass().await;
    }
    assert_eq!(inlet.tally().collected.get(), 7);
}
