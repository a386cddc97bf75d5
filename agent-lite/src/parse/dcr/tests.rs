use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use super::*;

/// A rule with a source of each kind, in the shape of the portal's JSON view.
fn whole() -> Value {
    json!({
        "properties": {
            "description": "plant 7",
            "immutableId": "dcr-00000000000000000000000000000000",
            "streamDeclarations": {
                "Custom-App_CL": { "columns": [
                    { "name": "TimeGenerated", "type": "datetime" },
                    { "name": "RawData", "type": "string" }
                ] }
            },
            "dataSources": {
                "syslog": [{
                    "streams": ["Microsoft-Syslog"],
                    "facilityNames": ["auth", "cron", "LOCAL7", "mark"],
                    "logLevels": ["Debug", "Critical", "Emergency"],
                    "name": "plantSyslog"
                }],
                "performanceCounters": [{
                    "streams": ["Microsoft-Perf"],
                    "samplingFrequencyInSeconds": 60,
                    "counterSpecifiers": ["Processor(_Total)\\% Processor Time", "\\Memory\\% Used Memory"],
                    "name": "plantPerf"
                }],
                "windowsEventLogs": [{
                    "streams": ["Microsoft-Event"],
                    "xPathQueries": ["System!*[System[(Level=1 or Level=2)]]"],
                    "name": "plantEvents"
                }],
                "logFiles": [{
                    "streams": ["Custom-App_CL"],
                    "filePatterns": ["/var/log/app/*.log"],
                    "format": "text",
                    "settings": { "text": { "recordStartTimestampFormat": "yyyy-MM-ddTHH:mm:ssK" } },
                    "name": "plantApp"
                }],
                "iisLogs": [{
                    "streams": ["Microsoft-W3CIISLog"],
                    "logDirectories": ["C:\\inetpub\\logs\\LogFiles\\*"],
                    "name": "plantIis"
                }]
            },
            "destinations": { "logAnalytics": [{
                "workspaceResourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/w",
                "workspaceId": "AAAAAAAA-0000-0000-0000-000000000001",
                "name": "la-1"
            }] },
            "dataFlows": [
                { "streams": ["Microsoft-Syslog", "Microsoft-Perf", "Microsoft-Event", "Microsoft-W3CIISLog"], "destinations": ["la-1"] },
                { "streams": ["Custom-App_CL"], "destinations": ["la-1"], "transformKql": "source", "outputStream": "Custom-App_CL" }
            ],
            "provisioningState": "Succeeded"
        },
        "kind": "Linux",
        "location": "westeurope",
        "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Insights/dataCollectionRules/plant",
        "name": "plant",
        "type": "Microsoft.Insights/dataCollectionRules",
        "etag": "\"0\"",
        "tags": null
    })
}

fn said(document: &Value) -> (Rule, Report) {
    read(document.to_string().as_bytes())
}

fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// Reads the rule with one value changed, which stands at a JSON pointer below `properties`.
fn changed(pointer: &str, value: Value) -> (Rule, Report) {
    let mut document = whole();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(&format!("/properties{parent}")).unwrap();
    match parent {
        Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
        other => other[name] = value,
    }
    said(&document)
}

#[test]
fn a_rule_is_read_as_the_portal_and_the_command_line_show_it() {
    let (rule, report) = said(&whole());
    assert_eq!((texts(&report.problems), texts(&report.left_out)), (vec![], vec![]));
    assert_eq!(report.remarks.len(), 1, "{report:?}");
    assert_eq!(
        (rule.syslog[0].facilities.as_slice(), rule.syslog[0].levels.as_slice()),
        (&[4, 9, 23][..], &[0, 2, 7][..])
    );
    let counters: Vec<_> = rule.performance[0]
        .counters
        .iter()
        .map(|one| (one.object.as_str(), one.instance.as_deref(), one.counter.as_str()))
        .collect();
    assert_eq!(
        counters,
        [("Processor", Some("_Total"), "% Processor Time"), ("Memory", None, "% Used Memory")]
    );
    assert_eq!(rule.performance[0].every, Duration::from_secs(60));
    assert_eq!(rule.events[0].queries, [("System".to_owned(), "*[System[(Level=1 or Level=2)]]".to_owned())]);
    assert_eq!(rule.files[0].patterns[0].1, "/var/log/app/*.log");
    assert_eq!(rule.files[0].record_start.as_deref(), Some("yyyy-MM-ddTHH:mm:ssK"));
    assert_eq!(rule.iis[0].directories[0].1, "C:\\inetpub\\logs\\LogFiles\\*");
    assert_eq!(rule.destinations[0].workspace_id.as_deref(), Some("aaaaaaaa-0000-0000-0000-000000000001"));
    assert_eq!(rule.flows[1].output.as_deref(), Some("Custom-App_CL"));
    let mut bare = whole()["properties"].clone();
    for (name, value) in [("name", json!("plant")), ("resourceGroup", json!("g")), ("kind", json!(null))] {
        bare[name] = value;
    }
    let (same, report) = said(&bare);
    assert_eq!((same.flows.len(), texts(&report.problems)), (2, vec![]));
    let marked = [b"\xef\xbb\xbf", whole().to_string().as_bytes()].concat();
    assert!(read(&marked).1.problems.is_empty());
}

#[test]
fn an_object_of_very_many_members_is_refused_at_once() {
    let many: Vec<String> = (0..10_000).map(|number| format!("\"{number:x}\":0")).collect();
    let (_, report) = read(format!("{{{}}}", many.join(",")).as_bytes());
    assert!(texts(&report.problems).iter().any(|text| text.contains("256 are the most")));
}

#[test]
fn every_member_that_is_wrong_is_said_with_its_path() {
    let syslog = "/dataSources/syslog/0";
    let perf = "/dataSources/performanceCounters/0";
    let files = "/dataSources/logFiles/0";
    let cases = [
        (format!("{syslog}/facilityNames/0"), json!("author"), "facilityNames[0]: `author` is no facility"),
        (format!("{syslog}/facilityNames"), json!([]), "syslog[0]: needs `facilityNames`"),
        (format!("{syslog}/logLevels/0"), json!("Loud"), "logLevels[0]: `Loud` is no level"),
        (format!("{syslog}/logLevels"), json!("Debug"), "logLevels: must be a list, not a text"),
        (format!("{syslog}/streams"), json!(null), "syslog[0]: needs `streams`"),
        (format!("{syslog}/name"), json!(7), "syslog[0].name: must be a text, not a number"),
        (format!("{syslog}/facilitynames"), json!([]), "syslog[0].facilitynames: is no member"),
        (
            format!("{perf}/samplingFrequencyInSeconds"),
            json!(0),
            "samplingFrequencyInSeconds: is a whole number from 1 to 1800",
        ),
        (format!("{perf}/samplingFrequencyInSeconds"), json!(1.5), "is a whole number"),
        (format!("{perf}/samplingFrequencyInSeconds"), json!(null), "needs `samplingFrequencyInSeconds`"),
        (format!("{perf}/counterSpecifiers/0"), json!("CPU"), "counterSpecifiers[0]: `CPU` is no counter"),
        (format!("{perf}/counterSpecifiers/0"), json!("A(b)c"), "is no counter"),
        (format!("{perf}/counterSpecifiers/0"), json!("\\A\\b\\c"), "is no counter"),
        (format!("{perf}/counterSpecifiers"), json!([]), "needs `counterSpecifiers`"),
        (
            "/dataSources/windowsEventLogs/0/xPathQueries/0".to_owned(),
            json!("System"),
            "is no query: write `Channel!XPath`",
        ),
        ("/dataSources/windowsEventLogs/0/xPathQueries/0".to_owned(), json!("../x.evtx!*"), "is no query"),
        ("/dataSources/windowsEventLogs/0/xPathQueries/0".to_owned(), json!("C:\\x!*"), "is no query"),
        (
            format!("{files}/streams"),
            json!(["Custom-App_CL", "Custom-B_CL"]),
            "logFiles[0]: needs one stream",
        ),
        (format!("{files}/streams/0"), json!("Microsoft-Syslog"), "needs one stream"),
        (format!("{files}/streams/0"), json!("Custom-B_CL"), "does not declare `Custom-B_CL`"),
        (format!("{files}/filePatterns"), json!([]), "needs `filePatterns`"),
        (format!("{files}/filePatterns/0"), json!("/a\nb"), "filePatterns[0]: has a control character"),
        (format!("{files}/filePatterns/0"), json!(""), "filePatterns[0]: is empty"),
        (format!("{files}/filePatterns/0"), json!("/a".repeat(600)), "has 1200 bytes, 1024 are the most"),
        (format!("{files}/format"), json!("xml"), "format: `xml` is no format"),
        (format!("{files}/format"), json!(null), "needs `format`"),
        (
            format!("{files}/settings/text/recordStartTimestampFormat"),
            json!("HH:mm"),
            "`HH:mm` is no form of time",
        ),
        (format!("{files}/settings/binary"), json!({}), "settings.binary: is no member"),
        ("/dataSources/registry".to_owned(), json!([]), "dataSources.registry: is no member"),
        ("/dataSources".to_owned(), json!(null), "needs `dataSources`"),
        ("/destinations".to_owned(), json!(null), "needs `destinations`"),
        ("/destinations/logAnalytics/0/workspaceId".to_owned(), json!("w"), "workspaceId: is no GUID"),
        (
            "/destinations/logAnalytics/0/name".to_owned(),
            json!("la-2"),
            "no workspace in `destinations` is called `la-1`",
        ),
        ("/destinations/logAnalytics/0/key".to_owned(), json!("x"), "logAnalytics[0].key: is no member"),
        ("/dataFlows/0/streams".to_owned(), json!([]), "dataFlows[0]: needs `streams`"),
        ("/dataFlows/0/destinations".to_owned(), json!([]), "dataFlows[0]: needs `destinations`"),
        ("/dataFlows/0/transformKql".to_owned(), json!("x".repeat(15_361)), "15360 are the most"),
        ("/streamDeclarations".to_owned(), json!({ "App_CL": {} }), "a declared stream's name is `Custom-`"),
        (
            "/streamDeclarations/Custom-App_CL/columns/0/type".to_owned(),
            json!("guid"),
            "`guid` is no type of a column",
        ),
        ("/surprise".to_owned(), json!(1), "$.properties.surprise: is no member"),
    ];
    for (pointer, value, expected) in cases {
        let (_, report) = changed(&pointer, value);
        let problems = texts(&report.problems);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{pointer}: {expected} is not in {problems:#?}"
        );
        assert!(problems.iter().all(|problem| problem.starts_with("$.properties")), "{problems:#?}");
    }
}

#[test]
fn what_cannot_be_done_here_is_left_out_with_its_reason() {
    let flow = "/dataFlows/1";
    let cases = [
        (
            format!("{flow}/transformKql"),
            json!("source | where Level > 2"),
            "transformKql: the KQL is `source | where Level > 2`: transformations are made by Azure's ingestion",
        ),
        (format!("{flow}/outputStream"), json!("Microsoft-Syslog"), "is another table than the stream's"),
        (
            "/dataFlows/0/outputStream".to_owned(),
            json!("Custom-All_CL"),
            "is another table than the stream's",
        ),
        (
            format!("{flow}/streams/0"),
            json!("Custom-Else_CL"),
            "no data flow takes its stream `Custom-App_CL`",
        ),
        ("/dataSources/logFiles/0/format".to_owned(), json!("json"), "JSON in files is not taken apart"),
        (
            "/dataSources/performanceCounters/0/streams".to_owned(),
            json!(["Microsoft-InsightsMetrics"]),
            "`Microsoft-InsightsMetrics` is not made here",
        ),
        (
            "/dataSources/syslog/0/streams".to_owned(),
            json!(["Microsoft-CommonSecurityLog"]),
            "is not made here",
        ),
        (
            "/dataSources/windowsEventLogs/0/streams".to_owned(),
            json!(["Microsoft-WindowsEvent"]),
            "is not made here",
        ),
        (
            "/dataSources/syslog/0/transformKql".to_owned(),
            json!("source | take 1"),
            "a transformation at the source",
        ),
        (
            "/dataSources/extensions".to_owned(),
            json!([{}]),
            "dataSources.extensions: extensions are parts of",
        ),
        (
            "/destinations/azureMonitorMetrics".to_owned(),
            json!({ "name": "m" }),
            "sends to Log Analytics workspaces only",
        ),
        ("/agentSettings".to_owned(), json!({}), "is not for this agent"),
    ];
    for (pointer, value, expected) in cases {
        let (_, report) = changed(&pointer, value);
        let left_out = texts(&report.left_out);
        assert!(
            left_out.iter().any(|one| one.contains(expected)),
            "{pointer}: {expected} is not in {left_out:#?}"
        );
        assert_eq!(texts(&report.problems), [""; 0], "{pointer}");
    }
}

#[test]
fn one_record_a_line_is_what_azure_writes_iso_8601_for() {
    let (rule, report) =
        changed("/dataSources/logFiles/0/settings/text/recordStartTimestampFormat", json!("ISO 8601"));
    assert_eq!(rule.files[0].record_start, None);
    assert!(texts(&report.remarks).iter().any(|remark| remark.contains("a line is a record")));
}

#[test]
fn all_problems_are_gathered_and_azures_limits_hold() {
    let many = |count: usize, value: Value| Value::Array(vec![value; count]);
    let source = whole()["properties"]["dataSources"]["syslog"][0].clone();
    let (_, report) = changed("/dataSources/syslog", many(11, source.clone()));
    assert!(texts(&report.problems).iter().any(|one| one.contains("has 11 elements, 10 are the most")));
    let (_, report) = changed("/dataSources/syslog", many(8, source));
    assert!(texts(&report.problems).iter().any(|one| one.contains("has 12 sources, 10 are the most")));
    let counters = |count| json!({ "streams": ["Microsoft-Perf"], "samplingFrequencyInSeconds": 60, "counterSpecifiers": many(count, json!("\\A\\b")) });
    let (_, report) = changed("/dataSources/performanceCounters", json!([counters(60), counters(60)]));
    assert!(texts(&report.problems).iter().any(|one| one.contains("has 120 counters, 100 are the most")));
    let flow = whole()["properties"]["dataFlows"][0].clone();
    let (_, report) = changed("/dataFlows", many(11, flow));
    assert!(texts(&report.problems).iter().any(|one| one.contains("dataFlows: has 11 elements")));
    let wrong = json!({ "properties": { "a": 1, "b": 2, "dataSources": [], "destinations": [] }, "c": 3, "kind": "Direct" });
    let (_, report) = said(&wrong);
    assert_eq!(report.problems.len(), 6, "{:#?}", report.problems);
    let crowd: serde_json::Map<String, Value> = (0..250).map(|at| (format!("x{at}"), json!(at))).collect();
    assert_eq!(said(&Value::Object(crowd)).1.problems.len(), 100);
}

#[test]
fn what_is_no_rule_is_said_and_quotes_little() {
    let secret = "hunter2";
    let cases: [(&[u8], &str); 9] = [
        (b"", "$: is no JSON"),
        (b"{\"hunter2", "line 1, column 9"),
        (b"[\"hunter2\"]", "$: must be an object, not a list"),
        (b"{\"a\": 1, \"a\": 2}", "$.a: stands there twice"),
        (b"\xff\xfe{\0}\0", "save it as UTF-8"),
        (b"{\n\"name\": \"\xff\"}", "line 2 is not UTF-8; save the document as UTF-8"),
        (b"{\"resources\": []}", "a template of several resources"),
        (
            b"{\"kind\": \"WorkspaceTransforms\"}",
            "$.kind: `WorkspaceTransforms` is no kind of rule for an agent",
        ),
        (b"{}", "needs `dataSources`"),
    ];
    for (bytes, expected) in cases {
        let problems = texts(&read(bytes).1.problems);
        assert!(problems.iter().any(|one| one.contains(expected)), "{expected}: {problems:?}");
        assert!(!problems.iter().any(|one| one.contains(secret)), "{problems:?}");
    }
    assert!(texts(&read(&vec![b' '; LARGEST_RULE + 1]).1.problems)[0].contains("are the most"));
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(!read(&deep).1.problems.is_empty());
    let long = json!({ "kind": "x".repeat(200) }).to_string();
    assert!(texts(&read(long.as_bytes()).1.problems)[0].len() < 300);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&bytes);
    }

    /// A rule with one value replaced by any other is read or refused.
    #[test]
    fn no_value_in_a_rule_panics(at in any::<prop::sample::Index>(), kind in 0..8_usize, text in ".{0,40}") {
        let mut document = whole();
        let mut places = Vec::new();
        pointers(&document, String::new(), &mut places);
        let place = &places[at.index(places.len())];
        *document.pointer_mut(place).unwrap() = match kind {
            0 => json!(null),
            1 => json!(-1),
            2 => json!(1e300),
            3 => json!([text]),
            4 => json!({ text: 1 }),
            5 => json!(true),
            6 => json!([]),
            _ => json!(text),
        };
        let (_, report) = said(&document);
        for finding in report.problems.iter().chain(&report.left_out) {
            prop_assert!(!finding.to_string().contains(['\n', '\r']), "{}", finding);
        }
    }
}

fn pointers(value: &Value, path: String, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, inner)| pointers(inner, format!("{path}/{name}"), all))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, inner)| pointers(inner, format!("{path}/{at}"), all))
        }
        _ => {}
    }
    all.push(path);
}
