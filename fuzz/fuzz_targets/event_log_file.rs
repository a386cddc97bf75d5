//! A file of a Windows event log, whatever is done to its bytes: the source goes on behind it, counts every event that
//! it read, and reads none twice.
#![no_main]

use std::io::Write;

use agent_lite::collect::evtx::read_whole;
use agent_lite::record::Record;
use agent_lite::record::frame_at;
use libfuzzer_sys::fuzz_target;

static FILE: &[u8] = include_bytes!("../../tests/data/security.evtx");

/// The crate that reads the format may panic, a chunk then counts as damaged; nobody else may.
fn let_the_foreign_reader_panic() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let ours = |file: &str| file.contains("agent-lite/src/") || file.contains("fuzz_targets/");
        if info.location().is_none_or(|location| ours(location.file())) {
            abort(info);
        }
    }));
}

/// The input is a list of patches: three bytes for the place, one for the length, then the bytes.
fn patched(mut patches: &[u8]) -> Vec<u8> {
    let mut file = FILE.to_vec();
    while let [a, b, c, length, rest @ ..] = patches {
        let place = u32::from_le_bytes([*a, *b, *c, 0]) as usize % file.len();
        let (bytes, next) = rest.split_at(rest.len().min(usize::from(*length)));
        for (old, new) in file[place..].iter_mut().zip(bytes) {
            *old = *new;
        }
        patches = next;
    }
    file
}

fuzz_target!(init: let_the_foreign_reader_panic(), |patches: &[u8]| {
    let bytes = patched(patches);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("room");
    let Ok(whole) = read_whole(&file, bytes.len() as u64) else { return };
    let mut events = 0;
    for frames in &whole.frames {
        let mut rest = frames.bytes();
        while !rest.is_empty() {
            let frame = frame_at(rest).expect("a frame");
            assert!(Record::decode(frame.payload).is_ok());
            rest = &rest[frame.length..];
            events += 1;
        }
    }
    assert_eq!(events, whole.events);
    assert_eq!(whole.again, 0);
});
