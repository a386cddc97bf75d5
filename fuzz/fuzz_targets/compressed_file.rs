//! A compressed file is read in pieces as it is at once: the same bytes, and the same end.
#![no_main]

use std::io::Read;
use std::io::Write;

use agent_lite::collect::files::inflate_whole;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;

/// Bytes of content that are compared: few bytes can become very many.
const MOST: usize = 1024 * 1024;

/// Members whose checksums are right; a fuzzer finds no others.
fn compressed(contents: &[u8], member: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for (at, content) in contents.chunks(member).enumerate() {
        let mut encoder = GzEncoder::new(file, Compression::new(at as u32 % 10));
        encoder.write_all(content).expect("room");
        file = encoder.finish().expect("room");
    }
    file
}

fuzz_target!(|input: &[u8]| {
    let [piece, members, cut, rest @ ..] = input else { return };
    let mut bytes = match members {
        0 => rest.to_vec(),
        many => compressed(rest, usize::from(*many) * 16),
    };
    bytes.truncate(bytes.len().saturating_sub(usize::from(*cut)));
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("room");
    let (read, end) = inflate_whole(&file, usize::from(*piece) * 7 + 1, MOST);
    let mut known = Vec::new();
    let known_end =
        MultiGzDecoder::new(bytes.as_slice()).take(read.len().max(MOST) as u64).read_to_end(&mut known);
    match end {
        Ok(()) if read.len() >= MOST => assert!(known.starts_with(&read)),
        Ok(()) => assert!(known_end.is_ok() && known == read),
        Err(error) => {
            assert_eq!(known_end.expect_err("it is damaged").kind(), error.kind());
            assert!(known == read);
        }
    }
});
