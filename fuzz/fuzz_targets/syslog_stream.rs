//! The sizes of chunks change nothing in what a stream of syslog is cut into, and little is held.
#![no_main]

use agent_lite::parse::framing::Framer;
use agent_lite::parse::framing::LARGEST_MESSAGE;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else { return };
    let whole = read(stream, stream.len().max(1));
    assert_eq!(read(stream, usize::from(*size).max(1)), whole);
    assert!(whole.iter().map(|(bytes, _)| bytes.len()).sum::<usize>() <= stream.len());
});

fn read(stream: &[u8], size: usize) -> Vec<(Vec<u8>, bool)> {
    let mut framer = Framer::default();
    let mut found = Vec::new();
    for mut chunk in stream.chunks(size) {
        while let Some(message) = framer.next(&mut chunk, LARGEST_MESSAGE) {
            found.push((message.bytes.to_vec(), message.cut));
        }
        assert!(framer.held() <= LARGEST_MESSAGE + 16);
    }
    found.extend(framer.end().map(|message| (message.bytes.to_vec(), message.cut)));
    found
}
