//! A queue that begins with any bytes as its segments: it opens, what it hands out is whole, and its books end at nothing.
#![no_main]

use std::fs;
use std::time::Duration;

use agent_lite::counters::Counters;
use agent_lite::record::Record;
use agent_lite::record::frame_at;
use agent_lite::spool::Queue;
use agent_lite::spool::QueueSettings;
use agent_lite::spool::WhenFull;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, content)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("main");
    fs::create_dir(&main).expect("made");
    let middle = content.len() * usize::from(how >> 4) / 15;
    let (one, two) = content.split_at(middle);
    let head: &[u8] = if how & 1 == 0 { b"alspool\x01" } else { b"" };
    fs::write(main.join("00000000000000000001-Syslog-3.seg"), [head, one].concat()).expect("written");
    fs::write(main.join("00000000000000000002-Perf.open"), [head, two].concat()).expect("written");
    fs::write(main.join("00000000000000000001.sent"), one).expect("written");
    fs::write(main.join("next-number"), two).expect("written");
    let settings = QueueSettings {
        folder: main,
        cap: 1_000_000,
        when_full: WhenFull::DropOldest,
        sync: Duration::from_secs(1),
        seal_after: Duration::from_secs(5),
        segment: 100_000,
    };
    let queue = Queue::open(settings, Counters::new().workspace("main")).expect("it opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut frames = Vec::new();
    while let Some(segment) = queue.peek() {
        runtime.block_on(segment.load(&mut frames)).expect("read");
        let mut at = 0;
        while let Some(rest) = frames.get(at..).filter(|rest| !rest.is_empty()) {
            let frame = frame_at(rest).expect("a whole frame");
            let _ = Record::decode(frame.payload).map(|record| record.values().count());
            at += frame.length;
        }
        queue.remove(&segment);
    }
    let state = queue.state();
    assert_eq!((state.bytes, state.records), (0, 0));
});
