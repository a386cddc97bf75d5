use std::path::Path;

use common::document::Source as Document;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::config::parse;
use crate::record::Table;

const ID: &str = "aaaaaaaa-0000-0000-0000-000000000001";

/// A configuration with a workspace `plant` and these lines in `[data_collection_rule]`.
fn configured(lines: &str, rest: &str) -> Result<Config, String> {
    let text = format!(
        "[gateway]\nproxies = [\"gw\"]\n[agent]\nstate = \"/var/lib/al\"\n[workspace.plant]\ntransport = \"log-analytics-agent\"\nid = \"{ID}\"\n\
         [data_collection_rule]\n{lines}\n{rest}"
    );
    parse(Document { file: Path::new("/etc/al/agent.toml"), text: &text }, "host")
        .map_err(|problems| problems.to_string())
}

fn local(lines: &str) -> Config {
    configured(&format!("file = \"rule.json\"\n{lines}"), "").unwrap()
}

fn rule() -> Value {
    json!({
        "streamDeclarations": { "Custom-App_CL": { "columns": [{ "name": "RawData", "type": "string" }] } },
        "dataSources": {
            "syslog": [
                { "name": "a", "streams": ["Microsoft-Syslog"], "facilityNames": ["auth", "cron"], "logLevels": ["Debug", "Critical", "Emergency"] },
                { "name": "b", "streams": ["Microsoft-Syslog"], "facilityNames": ["cron"], "logLevels": ["Error"] }
            ],
            "performanceCounters": [{ "name": "c", "streams": ["Microsoft-Perf"], "samplingFrequencyInSeconds": 60,
                "counterSpecifiers": ["Processor(_Total)\\% Processor Time", "Processor(_Total)\\% Idle Time", "\\Memory\\% Used Memory"] }],
            "logFiles": [{ "name": "d", "streams": ["Custom-App_CL"], "format": "text", "filePatterns": ["/var/log/app/*.log"] }]
        },
        "destinations": { "logAnalytics": [{ "name": "la-1", "workspaceId": ID }] },
        "dataFlows": [{ "streams": ["Microsoft-Syslog", "Microsoft-Perf", "Custom-App_CL"], "destinations": ["la-1"] }]
    })
}

fn change(pointer: &str, value: Value) -> Value {
    let mut document = rule();
    *document.pointer_mut(pointer).unwrap() = value;
    document
}

fn join(local: &Config, document: &Value) -> Result<Accepted, String> {
    joined(local, document.to_string().as_bytes()).map_err(|reasons| reasons.join("\n"))
}

#[test]
fn a_rule_becomes_sources_beside_the_local_ones() {
    let local = local("log_directories = [\"/var/log/app\"]\nsyslog = { udp = [\"127.0.0.1:514\"] }");
    let names = |config: &Config| -> Vec<String> {
        config.sources.iter().map(|source| source.name.clone()).collect()
    };
    assert_eq!(names(&local), ["heartbeat.default"], "what is collected is the rule's to say");
    let accepted = join(&local, &rule()).unwrap();
    let names = names(&accepted.config);
    assert_eq!(names, ["heartbeat.default", "syslog.dcr", "files.dcr-App_CL", "performance.dcr"]);
    assert_eq!(accepted.sources, 3);
    let kinds: Vec<&SourceKind> = accepted.config.sources.iter().map(|source| &source.kind).collect();
    let [_, SourceKind::Syslog(syslog), SourceKind::Files(files), SourceKind::Performance(performance)] =
        kinds.as_slice()
    else {
        panic!("{kinds:?}")
    };
    assert_eq!((syslog.udp.len(), syslog.tcp.len()), (1, 0), "where syslog is received is local");
    assert_eq!(syslog.udp[0].port(), 514);
    let expected = [("auth".to_owned(), vec![0, 2, 7]), ("cron".to_owned(), vec![0, 2, 3, 7])];
    assert_eq!(syslog.levels, expected.into());
    assert_eq!(files.table, Table::Custom("App_CL".into()));
    assert_eq!(files.within, [Path::new("/var/log/app")]);
    let rows: Vec<_> = performance
        .counters
        .iter()
        .map(|one| (one.object.as_str(), one.instances.len(), one.counters.len(), one.every.as_secs()))
        .collect();
    assert_eq!(rows, [("Processor", 1, 2, 60), ("Memory", 0, 1, 60)]);
    assert!(accepted.config.sources[1..].iter().all(|source| source.workspaces == ["plant"]));
    assert_eq!(accepted.config.gateway, local.gateway);
    assert_eq!(accepted.config.workspaces, local.workspaces);
}

#[test]
fn a_rule_reads_only_what_the_local_configuration_opens() {
    let local = local("log_directories = [\"/var/log/app\", \"/srv/a b\"]");
    let cases = [
        ("/var/log/app/x.log", true),
        ("/var/log/app/**/x.log", true),
        ("/srv/a b/*.log", true),
        ("/var/log/app*/x.log", false),
        ("/var/log/application/x.log", false),
        ("/var/log/ap?/x.log", false),
        ("/var/log/*/x.log", false),
        ("/var/log/x.log", false),
        ("/var/log/app/../x.log", false),
        ("/var/log/app/*/../../x.log", false),
        ("/**/x.log", false),
        ("/etc/shadow", false),
        ("//etc/shadow", false),
        ("relative.log", false),
        ("C:\\logs\\*.log", false),
    ];
    for (pattern, right) in cases {
        let outcome = join(&local, &change("/dataSources/logFiles/0/filePatterns", json!([pattern])));
        assert_eq!(outcome.is_ok(), right, "{pattern}: {:?}", outcome.err());
    }
    let closed = configured("file = \"rule.json\"", "").unwrap();
    assert!(join(&closed, &rule()).unwrap_err().contains("does not lie below one of the `log_directories`"));
}

#[test]
fn a_rule_sends_nowhere_but_to_workspaces_that_are_meant() {
    let meant = |lines: &str, destination: Value| {
        let local = local(&format!("log_directories = [\"/var/log/app\"]\n{lines}"));
        let mut document = change("/destinations/logAnalytics/0", destination);
        document["dataFlows"][0]["destinations"] =
            json!([document["destinations"]["logAnalytics"][0]["name"]]);
        join(&local, &document)
    };
    let other = "bbbbbbbb-0000-0000-0000-000000000002";
    assert!(meant("", json!({ "name": "la-1", "workspaceId": ID.to_uppercase() })).is_ok(), "by its GUID");
    assert!(meant("", json!({ "name": "plant" })).is_ok(), "by its name");
    assert!(
        meant("destinations = { \"la-1\" = \"plant\" }", json!({ "name": "la-1", "workspaceId": other }))
            .is_ok(),
        "as it is said here"
    );
    for wrong in [
        json!({ "name": "la-1" }),
        json!({ "name": "la-1", "workspaceId": other }),
        json!({ "name": "plant", "workspaceId": other }),
    ] {
        let said = meant("", wrong.clone()).unwrap_err();
        assert!(said.contains("no workspace here is meant by"), "{wrong}: {said}");
    }
}

#[test]
fn a_rule_is_taken_whole_or_not_at_all() {
    let local = local("log_directories = [\"/var/log/app\"]");
    let cases = [
        (
            "/dataFlows/0/transformKql",
            json!("source | take 1"),
            "transformations are made by Azure's ingestion",
        ),
        (
            "/dataSources/windowsEventLogs",
            json!([{ "streams": ["Microsoft-Event"], "xPathQueries": ["System!*"] }]),
            "not on this system",
        ),
        (
            "/dataSources/performanceCounters/0/counterSpecifiers/0",
            json!("\\LogicalDisk(*)\\% Free Space"),
            "not on this system: `LogicalDisk` is no performance object",
        ),
        (
            "/dataSources/performanceCounters/0/samplingFrequencyInSeconds",
            json!(5),
            "every 10 s at most often",
        ),
        ("/dataSources/logFiles/0/filePatterns/0", json!("/var/log/app/[x.log"), "/var/log/app/[x.log"),
        ("/dataFlows/0/outputStream", json!("Custom-App"), "is another table"),
    ];
    for (pointer, value, expected) in cases {
        let mut document = rule();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
            parent => parent[name] = value,
        }
        let flows = document.pointer_mut("/dataFlows/0/streams").unwrap();
        flows.as_array_mut().unwrap().push(json!("Microsoft-Event"));
        let said = join(&local, &document).unwrap_err();
        assert!(said.contains(expected), "{pointer}: {said}");
    }
    assert!(joined(&local, b"{").is_err());
}

#[test]
fn iis_logs_lie_below_open_folders_too() {
    let local = local("log_directories = [\"/srv/iis\"]");
    let logs = |directory: &str| {
        let mut document = rule();
        document["dataSources"] =
            json!({ "iisLogs": [{ "streams": ["Microsoft-W3CIISLog"], "logDirectories": [directory] }] });
        document["dataFlows"][0]["streams"] = json!(["Microsoft-W3CIISLog"]);
        join(&local, &document)
    };
    let paths = |directory: &str| {
        let accepted = logs(directory).unwrap();
        let SourceKind::Iis(files) = &accepted.config.sources[1].kind else { panic!("{accepted:?}") };
        assert_eq!(files.within, [Path::new("/srv/iis")]);
        files.paths.clone()
    };
    assert_eq!(paths("/srv/iis/W3SVC1/"), ["/srv/iis/W3SVC1/**/*.log"]);
    assert_eq!(paths("/srv/iis"), ["/srv/iis/**/*.log"]);
    assert_eq!(paths("/srv/iis/W3SVC*"), ["/srv/iis/W3SVC*/*.log"]);
    for wrong in ["/srv", "/srv/iis2", "/srv/iis/../x", "C:\\inetpub\\logs", "/srv/ii*"] {
        assert!(logs(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nothing_in_a_rule_can_write_configuration() {
    let local = local("log_directories = [\"/var/log/app\"]");
    for evil in ["x\"]\n[gateway]\nproxies = [\"evil\"]", "x' \"\"\" '''", "x\\", "{{", "# x"] {
        let document =
            change("/dataSources/logFiles/0/filePatterns", json!([format!("/var/log/app/{evil}")]));
        if let Ok(accepted) = join(&local, &document) {
            let SourceKind::Files(files) = &accepted.config.sources[2].kind else { panic!() };
            assert_eq!(files.paths, [format!("/var/log/app/{evil}")]);
            assert_eq!((accepted.sources, &accepted.config.gateway), (3, &local.gateway));
        }
    }
}

#[test]
fn the_section_is_checked_with_the_rest() {
    let cases = [
        ("", "needs `file`, or `blob_sas_url_file`"),
        ("file = \"a\"\nblob_sas_url_file = \"b\"", "and not both"),
        ("blob_sas_url_file = \"/no/such/file\"", "/no/such/file"),
        ("file = \"a\"\npoll = \"1ms\"", "`poll` is from `1s` to `24h`"),
        ("file = \"a\"\nprobation = \"2days\"", "`probation` is from"),
        ("file = \"a\"\ndestinations = { x = \"none\" }", "there is no `[workspace.none]`"),
        ("file = \"a\"\nlog_directories = [\"logs\"]", "must be absolute"),
        ("file = \"a\"\nlog_directories = [\"/\"]", "must be absolute, below `/`"),
        ("file = \"a\"\nlog_directories = [\"/var/log/../lib\"]", "without `..`"),
        (
            "file = \"a\"\nlog_directories = [\"/var\"]",
            "the agent keeps its configuration, keys or queues in `/var/lib/al`",
        ),
        ("file = \"a\"\nlog_directories = [\"/var/lib/al/spool\"]", "the agent keeps"),
        ("file = \"a\"\nlog_directories = [\"/etc\"]", "in `/etc/al`"),
        ("file = \"a\"\nsurprise = 1", "surprise"),
    ];
    for (lines, expected) in cases {
        let said = configured(lines, "").unwrap_err();
        assert!(said.contains(expected), "{lines}: {said}");
    }
    let taken = configured(
        "file = \"a\"\nlog_directories = [\"/var/log/app\"]",
        "[source.syslog.dcr]\nudp = [\"127.0.0.1:1\"]\n",
    )
    .unwrap();
    assert!(
        join(&taken, &rule())
            .unwrap_err()
            .contains("`[source.syslog.dcr]` stands in the local configuration already")
    );
}

#[test]
fn a_blob_address_is_read_from_its_own_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rule.sas");
    let lines = format!("blob_sas_url_file = {file:?}");
    std::fs::write(&file, "https://acct01.blob.core.windows.net/c/rule.json?sp=r&sig=hunter2\n").unwrap();
    let config = configured(&lines, "").unwrap();
    let settings = config.rule.as_ref().unwrap();
    assert_eq!(settings.place.shown(), "https://acct01.blob.core.windows.net/c/rule.json");
    assert!(!format!("{config:?}").contains("hunter2"));
    for wrong in [
        "http://acct01.blob.core.windows.net/c/r?sig=hunter2",
        "https://evil.example/c/r?sig=hunter2",
        "hunter2",
    ] {
        std::fs::write(&file, wrong).unwrap();
        let said = configured(&lines, "").unwrap_err();
        assert!(said.contains("`blob_sas_url_file`") && !said.contains("hunter2"), "{said}");
    }
    std::fs::write(&file, "https://acct01.blob.core.usgovcloudapi.net/c/r?sig=x").unwrap();
    assert!(configured(&lines, "").is_err());
    assert!(configured(&format!("{lines}\ncloud = \"us-government\""), "").is_ok());
}

#[test]
fn what_is_printed_is_our_own_configuration() {
    let (read, report) = dcr::read(rule().to_string().as_bytes());
    let rendered = render::render(&read, report, &Placement::Printed);
    assert_eq!(rendered.workspaces, [("la-1".to_owned(), Some(ID.to_owned()))].into());
    let workspace = format!(
        "[gateway]\nproxies = [\"gw\"]\n[workspace.la-1]\ntransport = \"log-analytics-agent\"\nid = \"{ID}\"\n"
    );
    let text = format!("{workspace}\n{}", rendered.text);
    let config = parse(Document { file: Path::new("agent.toml"), text: &text }, "host").unwrap();
    assert_eq!(config.sources.len(), 3, "{}", rendered.text);
    assert!(rendered.text.contains("# $.dataSources.logFiles[0]"), "{}", rendered.text);
}

#[test]
fn names_that_begin_alike_stay_apart() {
    let local = local("log_directories = [\"/var/log/app\"]");
    let long = format!("Custom-{}", "A".repeat(90));
    let streams = [format!("{long}one_CL"), format!("{long}two_CL")];
    let mut document = rule();
    let file = |stream: &str| json!({ "streams": [stream], "format": "text", "filePatterns": ["/var/log/app/*.log"] });
    document["dataSources"] =
        json!({ "logFiles": [file(&streams[0]), file(&streams[1]), file(&streams[1])] });
    document["streamDeclarations"] = streams
        .iter()
        .map(|stream| (stream.clone(), json!({ "columns": [{ "name": "RawData", "type": "string" }] })))
        .collect::<serde_json::Map<_, _>>()
        .into();
    document["dataFlows"] =
        streams.iter().map(|stream| json!({ "streams": [stream], "destinations": ["la-1"] })).collect();
    let names = |document: &Value| -> Vec<String> {
        let accepted = join(&local, document).unwrap();
        accepted.config.sources[1..].iter().map(|source| source.name.clone()).collect()
    };
    let first = names(&document);
    assert!(first.len() == 3 && first.iter().all(|name| name.len() <= "files.".len() + 64), "{first:?}");
    document["dataSources"]["logFiles"].as_array_mut().unwrap().rotate_right(1);
    let mut again = names(&document);
    again.sort();
    let mut sorted = first;
    sorted.sort();
    assert_eq!(again, sorted, "positions are found again in another order");

    let mut document = rule();
    document["destinations"]["logAnalytics"] = json!([
        { "name": "plant a", "workspaceId": ID },
        { "name": "plant-a", "workspaceId": "bbbbbbbb-0000-0000-0000-000000000002" }
    ]);
    document["dataFlows"][0]["destinations"] = json!(["plant a", "plant-a"]);
    let (read, report) = dcr::read(document.to_string().as_bytes());
    let rendered = render::render(&read, report, &Placement::Printed);
    assert_eq!(rendered.workspaces.keys().collect::<Vec<_>>(), ["plant-a", "plant-a-2"], "{}", rendered.text);
}
