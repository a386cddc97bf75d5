//! A configuration is either right or has problems, each in one line; none of it panics or hangs.
#![no_main]

use std::path::Path;

use la_gateway::config::Source;
use la_gateway::config::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A users file is another file's text, and could be any file of this machine.
    if text.contains("users_file") || text.contains("\\u") || text.contains("\\U") {
        return;
    }
    if let Err(problems) = parse(Source { file: Path::new("gateway.toml"), text }) {
        assert!(!problems.0.is_empty());
        assert!(problems.0.iter().all(|problem| !problem.to_string().contains('\n')));
    }
});
