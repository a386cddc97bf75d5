//! A rule that somebody else wrote: read the same twice, and what is taken of it stays within its bounds and its folders.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use agent_lite::config;
use agent_lite::config::Source;
use agent_lite::config::rule::joined;
use agent_lite::config::settings::Config;
use agent_lite::config::settings::SourceKind;
use agent_lite::parse::dcr;
use libfuzzer_sys::fuzz_target;

const LOCAL: &str = r#"[gateway]
proxies = ["gw"]
[agent]
state = "/var/lib/al"
[workspace.plant]
transport = "log-analytics-agent"
id = "aaaaaaaa-0000-0000-0000-000000000001"
[data_collection_rule]
file = "rule.json"
log_directories = ["/var/log"]
syslog = { udp = ["127.0.0.1:514"] }
"#;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let source = Source { file: Path::new("/etc/al/agent.toml"), text: LOCAL };
    config::parse(source, "host").expect("right")
});

fuzz_target!(|bytes: &[u8]| {
    let (rule, report) = dcr::read(bytes);
    assert_eq!((rule, report), dcr::read(bytes));
    let local: &Config = &CONFIG;
    let Ok(accepted) = joined(local, bytes) else { return };
    assert_eq!(accepted.config.sources.len(), local.sources.len() + accepted.sources);
    assert!(accepted.sources <= 12, "{}", accepted.sources);
    for source in accepted.config.sources.iter().skip(local.sources.len()) {
        if let SourceKind::Files(files) | SourceKind::Iis(files) = &source.kind {
            assert_eq!(files.within, [Path::new("/var/log")]);
        }
    }
});
