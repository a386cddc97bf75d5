use std::path::Path;

use common::document::Source;
use tempfile::TempDir;

use super::parse;
use super::settings::Config;
use super::settings::SourceKind;
use super::settings::TransportSettings;
use crate::spool::WhenFull;

const MINIMAL: &str = "[gateway]\nproxies = [\"gw\"]\n[workspace.w]\ntransport = \"log-analytics-agent\"\n\
                       id = \"AAAAAAAA-0000-0000-0000-000000000001\"\n";

fn read(text: &str) -> Result<Config, String> {
    parse(Source { file: Path::new("agent.toml"), text }, "host").map_err(|problems| problems.to_string())
}

/// The beginning of the minimal file with the rest replaced.
fn with_workspace(rest: &str) -> Result<Config, String> {
    read(&format!("[gateway]\nproxies = [\"gw\"]\n[workspace.w]\n{rest}"))
}

#[test]
fn a_gateway_and_a_workspace_are_enough_and_the_usual_sources_are_added() {
    let config = read(MINIMAL).unwrap();
    assert_eq!(config.gateway.proxies.first().unwrap().to_string(), "http://gw:8080");
    assert_eq!((config.computer.as_str(), config.workspaces.len()), ("host", 1));
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["syslog.local", "performance.default", "heartbeat.default"]);
    let TransportSettings::LogAnalyticsAgent { workspace, domain, key_file: None } =
        &config.workspaces[0].transport
    else {
        panic!("{config:?}")
    };
    assert_eq!(workspace, "aaaaaaaa-0000-0000-0000-000000000001");
    assert_eq!(domain, "opinsights.azure.com");
    assert_eq!(config.workspaces[0].when_full, WhenFull::DropOldest);
}

#[test]
fn without_a_gateway_nothing_starts() {
    for text in [
        MINIMAL.replace("[gateway]\nproxies = [\"gw\"]\n", ""),
        MINIMAL.replace("[\"gw\"]", "[]"),
        MINIMAL.replace("[\"gw\"]", "[\"ftp://gw\"]"),
        MINIMAL.replace("proxies = [\"gw\"]", "proxy_conf = \"/no/such/file\""),
        MINIMAL.replace("[\"gw\"]", "[\"http://user@gw:8080\"]"),
    ] {
        assert!(read(&text).is_err(), "{text}");
    }
}

#[test]
fn a_password_in_a_wrong_proxy_value_is_not_shown() {
    let wrong = read(&MINIMAL.replace("[\"gw\"]", "[\"http://user:hunter2@gw:99999\"]")).unwrap_err();
    assert!(!wrong.contains("hunter2") && wrong.contains("agent.toml:2:12"), "{wrong}");
}

#[test]
fn relative_paths_begin_at_the_files_folder() {
    let text = format!(
        "{MINIMAL}[azure]\nca = \"ca.pem\"\n[agent]\nstate = \"state\"\n[source.syslog.local]\nunix = [\"log.sock\"]\n"
    );
    let config = parse(Source { file: Path::new("/etc/agent/agent.toml"), text: &text }, "host").unwrap();
    let SourceKind::Syslog(syslog) = &config.sources[0].kind else { panic!("{config:?}") };
    let found = [
        config.azure_ca.as_deref(),
        Some(config.state.as_path()),
        syslog.unix.first().map(|path| path.as_path()),
    ];
    let expected = ["ca.pem", "state", "log.sock"].map(|name| Path::new("/etc/agent").join(name));
    assert_eq!(found, expected.each_ref().map(|path| Some(path.as_path())));
}

#[test]
fn the_legacy_agents_proxy_file_is_one_line_with_the_same_value() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("proxy.conf");
    let text = MINIMAL.replace("proxies = [\"gw\"]", &format!("proxy_conf = {path:?}"));
    std::fs::write(&path, "http://user:p%40ss@[::1]\n").unwrap();
    let config = read(&text).unwrap();
    assert_eq!(config.gateway.proxies[0].to_string(), "http://user@[::1]:8080");
    for wrong in ["", "a:1\nb:2\n", "socks://x"] {
        std::fs::write(&path, wrong).unwrap();
        let problems = read(&text).unwrap_err();
        assert!(problems.contains("proxy.conf"), "{problems}");
    }
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let text = "[gateway]\nproxies = [\"gw\"]\n[workspace.a]\ntransport = \"log-analytics-agent\"\nid = \"x\"\ncap = \"5\"\n\
                [workspace.b]\ntransport = \"logs-ingestion\"\n[workspace.c]\n[metrics]\naddress = \"0.0.0.0:1\"\n\
                [source.syslog.s]\nseverity = \"loud\"\n[source.files.f]\npaths = [\"log\"]\nworkspaces = [\"none\"]\n\
                [source.iis.i]\n[source.iis.j]\ndirectories = [\"logs\"]\nencoding = \"utf-16le\"\n\
                [source.performance.p]\ncounters = [{ object = \"Processr\", every = \"1s\" }]\n";
    let problems = read(text).unwrap_err();
    for part in [
        "agent.toml:6:7: `5`: write a size with its unit",
        "agent.toml:5:6: `x` is no workspace ID",
        "`[workspace.b]` needs `endpoint`",
        "`[workspace.b]` needs `secret_file`, or `certificate` and `key`",
        "`[workspace.c]` needs `transport`",
        "must be a loopback address",
        "`loud`: write one of emerg",
        "a syslog source needs `udp`",
        "`log`: must begin with `/`",
        "needs `table`",
        "`logs`: must begin with `/`",
        "`utf-16le`: write `utf-8`, or the server's ANSI code page",
        "no performance object",
    ] {
        assert!(problems.contains(part), "{part} is missing in\n{problems}");
    }
}

#[test]
fn keys_of_another_transport_are_mistakes() {
    let wrong = with_workspace(
        "transport = \"log-analytics-agent\"\nid = \"aaaaaaaa-0000-0000-0000-000000000001\"\nrule = \"r\"\n",
    )
    .unwrap_err();
    assert!(wrong.contains("`rule` means nothing"), "{wrong}");
}

#[test]
fn the_sample_names_every_key_and_is_right() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.toml");
    for secret in ["ingestion.secret", "collector.key"] {
        std::fs::write(folder.path().join(secret), "secret\n").unwrap();
    }
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/agent-lite/agent.toml");
    let text = std::fs::read_to_string(sample).unwrap();
    let config = parse(Source { file: &file, text: &text }, "host").unwrap();
    assert_eq!((config.workspaces.len(), config.sources.len()), (3, 6));
    let uncommented: String = text
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_key(rest) || rest.starts_with("[metrics]"))
                .unwrap_or(line)
        })
        .filter(|line| !line.starts_with("proxy_conf") && !line.starts_with("domain"))
        .map(|line| format!("{line}\n"))
        .collect();
    parse(Source { file: &file, text: &uncommented }, "host").unwrap();
}

fn is_key(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}

#[test]
fn a_stream_is_the_written_one_or_made_of_the_tables_name_or_off() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("s"), "secret").unwrap();
    let text = format!(
        "transport = \"logs-ingestion\"\nendpoint = \"d.e-1.ingest.monitor.azure.com\"\nrule = \"dcr-{}\"\n\
         tenant = \"t.example\"\nclient = \"aaaaaaaa-0000-0000-0000-000000000001\"\nsecret_file = {:?}\n\
         streams = {{ Perf = \"off\", App_CL = \"Custom-Other\" }}\n[source.files.a]\npaths = [\"/a\"]\ntable = \"App_CL\"\n",
        "0".repeat(32),
        folder.path().join("s")
    );
    let config = with_workspace(&text).unwrap();
    let TransportSettings::LogsIngestion(settings) = &config.workspaces[0].transport else { panic!() };
    let stream = |table: &str| settings.stream(&table.parse().unwrap());
    assert_eq!(stream("Syslog").as_deref(), Some("Custom-AgentLiteSyslog"));
    assert_eq!(stream("App_CL").as_deref(), Some("Custom-Other"));
    assert_eq!(stream("Else_CL").as_deref(), Some("Custom-Else_CL"));
    assert_eq!(stream("Perf"), None);
    assert_eq!(settings.endpoint.to_string(), "d.e-1.ingest.monitor.azure.com:443");
    assert!(matches!(config.sources[0].kind, SourceKind::Files(_)));
}

#[test]
fn folders_of_iis_are_searched_and_what_stands_in_their_names_is_no_pattern() {
    let text = format!(
        "{MINIMAL}[source.iis.a]\ndirectories = [\"/srv/iis [1]/\"]\npaths = [\"/mnt/*/u_ex*.log\"]\nencoding = \"gbk\"\n"
    );
    let config = read(&text).unwrap();
    let SourceKind::Iis(settings) = &config.sources[0].kind else { panic!("{config:?}") };
    assert_eq!(settings.paths, ["/srv/iis [[]1[]]/**/*.log", "/mnt/*/u_ex*.log"]);
    assert_eq!(settings.encoding, super::settings::Encoding::CodePage(encoding_rs::GBK));
    assert_eq!(config.sources[0].name, "iis.a");
    let without = format!("{MINIMAL}[source.iis.a]\n");
    assert!(read(&without).unwrap_err().contains("needs `directories` or `paths`"));
}

#[test]
fn event_logs_are_read_from_files_everywhere_and_from_channels_on_windows() {
    let parse = |more: &str| read(&format!("{MINIMAL}{more}"));
    let config = parse("[source.evtx.carried]\npaths = [\"/srv/*.evtx\"]\nlargest = \"64MiB\"\n");
    if cfg!(not(windows)) {
        let SourceKind::Evtx(settings) = &config.unwrap().sources[0].kind else { panic!("event log files") };
        assert_eq!((settings.largest, settings.look), (64 << 20, std::time::Duration::from_secs(10)));
        assert!(parse("[source.evtx.none]\n").unwrap_err().contains("needs `paths`"));
        let elsewhere = parse("[source.windows_events.a]\nqueries = [\"System\"]\n").unwrap_err();
        assert!(elsewhere.contains("[source.evtx.NAME]"), "{elsewhere}");
    }
    assert!(
        parse("[source.windows_events.a]\nqueries = [\"!*\"]\n").unwrap_err().contains("write a channel")
    );
}
