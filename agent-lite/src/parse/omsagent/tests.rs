use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::parse::omsagent::patterns::patterns;
use crate::parse::omsagent::selectors::rsyslog;
use crate::parse::omsagent::selectors::syslog_ng;
use crate::parse::omsagent::sources::interpret;

const SYSLOG: &str = "<source>\n  type syslog\n  port 25224\n  bind 127.0.0.1\n  protocol_type udp\n  tag oms.syslog\n</source>\n\n\
                      <filter oms.syslog.**>\n  type filter_syslog\n</filter>\n";

#[test]
fn a_file_of_fluentd_is_read_with_its_lines_quotes_and_comments() {
    let document = fluent::parse(
        "# by the portal\n@include omsagent.d/*.conf\n<match oms.** docker.**>\n  type out_oms # ours\n  path \"a # b\\\"c\"\n\
         \x20 flag\n  <secondary>\n    @type file\n  </secondary>\n</match>\n",
    );
    let [outer] = document.elements.as_slice() else { panic!("{document:?}") };
    assert_eq!((outer.line, outer.name.as_str(), outer.argument.as_str()), (3, "match", "oms.** docker.**"));
    assert_eq!((outer.kind(), outer.value("path"), outer.value("flag")), ("out_oms", "a # b\"c", ""));
    assert_eq!((outer.parameter("path").unwrap().line, outer.children[0].kind()), (5, "file"));
    assert_eq!((document.unread.len(), document.unread[0].line), (1, 2));
}

#[test]
fn a_file_that_is_broken_is_read_as_far_as_it_can_be() {
    let document =
        fluent::parse("key out\n<source>\n  type a\n</match>\n</source>\n<source\n<source>\n  type b\n");
    let kinds: Vec<&str> = document.elements.iter().map(fluent::Element::kind).collect();
    assert_eq!(kinds, ["a", "b"]);
    let places: Vec<(usize, &str)> = document.unread.iter().map(|one| (one.line, one.why.as_str())).collect();
    assert_eq!(
        places,
        [
            (1, "it stands in no <source> or <match>"),
            (4, "it closes <source>"),
            (5, "nothing is open"),
            (6, "it cannot be read"),
            (7, "it is not closed; what stands in it was read")
        ]
    );
    let deep =
        fluent::parse(&format!("{}{}<source>\ntype c\n</source>\n", "<a>\n".repeat(40), "</a>\n".repeat(40)));
    assert_eq!(deep.elements.last().unwrap().kind(), "c");
}

#[test]
fn syslog_text_logs_and_counters_are_understood() {
    let text = format!(
        "{SYSLOG}<source>\n  type sudo_tail\n  path /var/log/app/*.log,/srv/x-%Y%m%d.log, relative.log\n  pos_file /x.pos\n\
         \x20 read_from_head true\n  format none\n  tag oms.blob.CustomLog.CUSTOM_LOG_BLOB.Plant_App_CL_aaaaaaaa-0000-0000-0000-000000000001.*\n\
         </source>\n<source>\n  type oms_omi\n  object_name \"Logical Disk\"\n  instance_regex \"(/|/var)\"\n\
         \x20 counter_name_regex \"(% Used Space|Free Megabytes|Disk Reads/sec)\"\n  interval 5m\n</source>\n\
         <source>\n  type oms_omi\n  object_name Memory\n  instance_regex \".*\"\n  counter_name_regex \".*\"\n  interval 30s\n</source>\n"
    );
    let found = interpret(&fluent::parse(&text).elements);
    let [listener] = found.listeners.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (listener.line, listener.address.to_string().as_str(), listener.tcp),
        (1, "127.0.0.1:25224", false)
    );
    let [log] = found.logs.as_slice() else { panic!("{found:?}") };
    assert_eq!((log.table.name(), log.from_beginning), ("Plant_App_CL", true));
    assert_eq!(log.paths, ["/var/log/app/*.log", "/srv/x-*.log"]);
    let [disk, memory] = found.counters.as_slice() else { panic!("{found:?}") };
    assert_eq!(disk.counters, ["Free Megabytes", "% Used Space", "Disk Reads/sec"]);
    // As the legacy agent takes it: an expression fits anywhere in the name.
    assert_eq!(
        (disk.instances.clone(), disk.every),
        (vec!["*/*".to_owned(), "*/var*".to_owned()], Duration::from_secs(300))
    );
    assert_eq!(
        (memory.counters.clone(), memory.instances.len(), memory.every),
        (vec!["*".to_owned()], 0, Duration::from_secs(30))
    );
    let left: Vec<&str> = found.unread.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(left, ["<filter oms.syslog.**> filter_syslog", "path relative.log"]);
}

#[test]
fn what_has_no_counterpart_is_named_with_its_line_and_reason() {
    let cases = [
        ("type syslog\nport 25226\nprotocol_type tcp\ntag oms.security", "solution"),
        ("type syslog\nport x\ntag oms.syslog", "no port"),
        ("type exec\ncommand secret-tool --password hunter2\ntag oms.api.x", "runs no programs"),
        ("type tail\npath /a\ntag oms.api.Mine", "[source.files.NAME]"),
        ("type sudo_tail\npath\ntag x.CUSTOM_LOG_BLOB.A_CL_1.*", "no path"),
        ("type oms_omi\nobject_name Apache HTTP Server", "no such performance object"),
        ("type oms_omi\nobject_name Memory\ncounter_name_regex Bananas", "no such counter"),
        ("type mysql_workload", "no source of this kind"),
    ];
    for (lines, reason) in cases {
        let found = interpret(&fluent::parse(&format!("\n<source>\n{lines}\n</source>\n")).elements);
        let [one] = found.unread.as_slice() else { panic!("{lines}: {found:?}") };
        assert!(one.line == 2 && one.why.contains(reason), "{lines}: {one:?}");
        assert!(!format!("{one:?}").contains("hunter2"), "{one:?}");
        assert!(found.listeners.is_empty() && found.logs.is_empty() && found.counters.is_empty(), "{lines}");
    }
    let notes = [
        ("type sudo_tail\npath /a\nformat /^(?<x>.*)$/\ntag x.CUSTOM_LOG_BLOB.A_CL_1.*", 5),
        ("type oms_omi\nobject_name Memory\ninstance_regex [a-z]+", 5),
        ("type oms_omi\nobject_name Memory\ninterval soon", 2),
    ];
    for (lines, line) in notes {
        let found = interpret(&fluent::parse(&format!("\n<source>\n{lines}\n</source>\n")).elements);
        assert_eq!(found.unread.iter().map(|one| one.line).collect::<Vec<_>>(), [line], "{lines}");
        assert_eq!(found.logs.len() + found.counters.len(), 1, "{lines}");
    }
}

#[test]
fn expressions_become_patterns_where_they_mean_the_same() {
    let cases: [(&str, Option<&[&str]>); 15] = [
        (".*", Some(&["*"])),
        ("", Some(&["*"])),
        ("(A|B)", Some(&["*A*", "*B*"])),
        ("A|B", Some(&["*A*", "*B*"])),
        ("^(A|B)$", Some(&["A", "B"])),
        ("^sd.*", Some(&["sd*"])),
        ("^_Total$", Some(&["_Total"])),
        (r"\/var\/log", Some(&["*/var/log*"])),
        ("Avg. Disk sec/Read", Some(&["*Avg. Disk sec/Read*"])),
        ("(?:eth0|eth1)", Some(&["*eth0*", "*eth1*"])),
        ("^A|B$", None),
        ("eth[0-9]", None),
        (r"\d+", None),
        ("a+", None),
        ("(a)(b)", None),
    ];
    for (expression, expected) in cases {
        let expected = expected.map(|patterns| patterns.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(patterns(expression), expected, "{expression}");
    }
}

#[test]
fn rsyslogs_selectors_are_facilities_with_severities() {
    let selected = rsyslog(
        "# OMS Syslog collection for workspace x\nkern.warning @127.0.0.1:25224\n\
         auth.=alert;auth.=crit;auth.=emerg @127.0.0.1:25224\nlocal0,local1.info @127.0.0.1:25224\n\
         mail.*;mail.!err @127.0.0.1:25224\n*.=emerg;cron.none @@localhost:25225\n\
         *.* /var/log/all\n$Something x\nfoo.bar @127.0.0.1:25224\n*.* @collector.example:514\n",
    );
    let bits = |name: &str| selected.facilities[name];
    assert_eq!(
        (bits("kern"), bits("auth"), bits("local1"), bits("mail")),
        (0b1_1111, 0b111, 0b111_1111, 0b1111_0001)
    );
    assert!(!selected.facilities.contains_key("cron") && bits("uucp") == 1);
    assert_eq!(
        selected.ports.iter().map(|(port, line)| (*port, *line)).collect::<Vec<_>>(),
        [(25224, 2), (25225, 6)]
    );
    assert_eq!(selected.unread.iter().map(|one| one.line).collect::<Vec<_>>(), [7, 8, 9, 10]);
    assert_eq!(selected.least(), Some(7));
    assert_eq!(rsyslog("kern.err;daemon.warn @127.0.0.1:25224").least(), Some(4));
    assert_eq!(rsyslog("").least(), None);
}

#[test]
fn what_is_left_of_a_syslog_daemons_file_is_named_by_its_first_word_and_shows_no_secret() {
    let secret = "hunter2";
    let rsyslogs = rsyslog(&format!(
        "$ActionMailPassword {secret}\naction(type=\"omhttp\" pwd=\"{secret}\")\n*.* @@[user:{secret}@h]\n\
         foo.bar;{secret}: @127.0.0.1:25224\n:msg, contains, \"{secret}\" stop\nmodule(load=\"x\" key=\"{secret}\")\n\"{secret}\"\n"
    ));
    let shown: Vec<(usize, &str)> = rsyslogs.unread.iter().map(|one| (one.line, one.what.as_str())).collect();
    assert_eq!(shown[..3], [(1, "$ActionMailPassword …"), (2, "action …"), (3, "*.* …")], "{shown:?}");
    assert_eq!((shown.len(), shown[4], shown[6]), (7, (5, "a line"), (7, "a line")));
    let all = syslog_ng(&format!(
        "destination d {{ udp(\"127.0.0.1\" port(25224)); }};\nlog {{ destination(d); http(password(\"{secret}\")); }};\n"
    ));
    assert_eq!(all.unread.iter().map(|one| one.what.as_str()).collect::<Vec<_>>(), ["log …"]);
    for one in rsyslogs.unread.iter().filter(|one| one.line != 4).chain(&all.unread) {
        assert!(!one.what.contains(secret) && !one.why.contains(secret), "{one:?}");
    }
}

#[test]
fn a_syslog_ng_of_very_many_statements_is_read_in_one_go() {
    let mut text = String::new();
    for number in 0..20_000 {
        text.push_str(&format!("destination d{number} {{ udp(\"127.0.0.1\" port(25224)); }};\n"));
        text.push_str(&format!("log {{ filter(f{number}); destination(d{number}); }};\n"));
    }
    let selected = syslog_ng(&text);
    assert_eq!((selected.ports.len(), selected.unread.len()), (1, 20_000));
}

#[test]
fn syslog_ngs_filters_are_facilities_with_severities() {
    let selected = syslog_ng(
        "source s_src { system(); internal(); };\nfilter f_cron { facility(cron); };\nlog { source(s_src); filter(f_cron); destination(d_cron); };\n\
         #OMS_Destination\ndestination d_oms { udp(\"127.0.0.1\" port(25224)); };\n\
         #OMS_facility = auth\nfilter f_auth_oms {\n  level(alert,crit..warning) and facility(auth,authpriv);\n};\n\
         log { source(s_src); filter(f_auth_oms); destination(d_oms); };\n\
         filter f_odd_oms { program(x); };\nlog { source(s_src); filter(f_odd_oms); destination(d_oms); };\n",
    );
    assert_eq!(
        selected.facilities.iter().map(|(name, bits)| (*name, *bits)).collect::<Vec<_>>(),
        [("auth", 0b1_1110), ("authpriv", 0b1_1110)]
    );
    assert_eq!((selected.ports.get(&25224), selected.least()), (Some(&5), Some(4)));
    assert_eq!(selected.unread.iter().map(|one| one.line).collect::<Vec<_>>(), [12]);
}

#[test]
fn properties_are_read_as_a_shell_would() {
    let (properties, unread) = properties::parse(
        "WORKSPACE_ID=abc\n# x\nDSC_ENDPOINT=https://h/Nodes\\(AgentId='1'\\)\nnothing\n=x\nA B=1\nUUID=\"u\"\n",
    );
    let values: Vec<(usize, &str, &str)> =
        properties.iter().map(|one| (one.line, one.key.as_str(), one.value.as_str())).collect();
    assert_eq!(
        values,
        [(1, "WORKSPACE_ID", "abc"), (3, "DSC_ENDPOINT", "https://h/Nodes(AgentId='1')"), (7, "UUID", "u")]
    );
    assert_eq!(unread.iter().map(|one| one.line).collect::<Vec<_>>(), [4, 5, 6]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_text_of_their_own_letters_panics(text in "(<|>|/|source|match|type|oms_omi|object_name Memory|\\(|\\)|\\||\\\\|\\.|\\*|\\^|\\$|\"|#|%|=|;|,|@|:|!|kern|level|filter|log|port|destination| |\n){0,60}") {
        read_all(&text);
    }
}

fn read_all(text: &str) {
    let document = fluent::parse(text);
    let _ = interpret(&document.elements);
    let _ = interpret(
        &fluent::parse(&format!("<source>\ntype oms_omi\nobject_name Memory\ninstance_regex {text}\n"))
            .elements,
    );
    let _ = (patterns(text), rsyslog(text), syslog_ng(text), properties::parse(text));
}
