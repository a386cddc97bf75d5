//! A log of IIS is read to its end; what has no column is an object of JSON.
#![no_main]

use agent_lite::parse::lines::Discard;
use agent_lite::parse::lines::Piece;
use agent_lite::parse::lines::Then;
use agent_lite::parse::lines::WINDOW;
use agent_lite::parse::w3c::Directives;
use agent_lite::parse::w3c::LARGEST_CUSTOM;
use agent_lite::parse::w3c::lines;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut at, mut discard, mut directives) = (0, Discard::Nothing, Directives::default());
    while at < bytes.len() {
        let end = bytes.len().min(at + WINDOW);
        let then = if end < bytes.len() { Then::More } else { Then::Over };
        let (length, next) = match lines::next(bytes.get(at..end).unwrap_or_default(), discard, then) {
            Piece::Record { raw, length, discard, .. } => {
                line(&mut directives, raw);
                (length, discard)
            }
            Piece::Nothing { length, discard, .. } => (length, discard),
            Piece::Unfinished => panic!("an end that is none"),
        };
        assert!(length > 0);
        (at, discard) = (at + length, next);
    }
});

fn line(directives: &mut Directives, raw: &[u8]) {
    let (text, _) = lines::text(raw, encoding_rs::UTF_8);
    directives.pass(&text);
    if directives.take(&text) {
        return;
    }
    if let Some(custom) = directives.line(&text).custom {
        assert!(serde_json::from_str::<serde_json::Value>(&custom).expect("JSON").is_object());
        assert!(custom.len() <= 2 * LARGEST_CUSTOM);
    }
}
