//! A users file is read without a panic, every line is a user or a problem, and no problem shows a hash.
#![no_main]

use std::path::Path;

use la_gateway::config::Source;
use la_gateway::config::users;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (users, problems) = users::read(Source { file: Path::new("users"), text });
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).count();
    assert_eq!(users.len() + problems.len(), lines);
    assert!(users.iter().all(|user| users::check_name(&user.name).is_ok()));
});
