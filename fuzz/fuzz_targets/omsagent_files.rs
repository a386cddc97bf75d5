//! Files of the legacy agent and of syslog daemons: whatever is in them is read, or named with its line.
#![no_main]

use agent_lite::parse::omsagent::fluent;
use agent_lite::parse::omsagent::patterns::patterns;
use agent_lite::parse::omsagent::properties;
use agent_lite::parse::omsagent::selectors::rsyslog;
use agent_lite::parse::omsagent::selectors::syslog_ng;
use agent_lite::parse::omsagent::sources::interpret;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let found = interpret(&fluent::parse(text).elements);
    let lines = text.lines().count().max(1);
    assert!(found.logs.iter().all(|log| (1..=lines).contains(&log.line)));
    let _ = (patterns(text), rsyslog(text), syslog_ng(text), properties::parse(text));
});
