//! Once a prefix of a stream has an answer, every longer one has the same.
#![no_main]

use la_gateway::parse::LONGEST_HELLO;
use la_gateway::parse::server_hello::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut settled = None;
    for end in 0..=bytes.len().min(600) {
        let answer = read(bytes.get(..end).unwrap_or_default());
        match &settled {
            Some(first) => assert_eq!(&answer, first),
            None if answer != Ok(None) => settled = Some(answer),
            None => {}
        }
    }
    let whole = read(bytes);
    assert!(bytes.len() < LONGEST_HELLO || whole != Ok(None));
    if let Some(first) = settled {
        assert_eq!(whole, first);
    }
});
