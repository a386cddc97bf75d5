//! A configuration of the agent is right, or has problems of one line each that show no password.
#![no_main]

use std::path::Path;

use agent_lite::config;
use agent_lite::config::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // No file that an input names is read.
    if text.contains("file") || text.contains("proxy_conf") || text.contains("ca") && text.contains('/') {
        return;
    }
    if let Err(problems) = config::parse(Source { file: Path::new("/nowhere/agent.toml"), text }, "host") {
        assert!(problems.0.iter().next().is_some());
        assert!(problems.0.iter().all(|problem| !problem.text.contains('\n')), "{problems}");
    }
});
