use super::*;

const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

fn names(found: &Found) -> Vec<String> {
    let name = |one: &Wanted| match one {
        Wanted::Host(host) => host.to_string(),
        Wanted::Domain(domain) => format!(".{domain}"),
    };
    found.wanted.iter().map(name).collect()
}

fn oms(allowed_hosts: &str, relay: &str) -> Found {
    let files = Files {
        allowed_hosts: allowed_hosts.to_owned(),
        relay: Some(relay.to_owned()),
        settings: Some("Name       Value\n----       -----\nListenPort 8088\n".to_owned()),
        client_certificates: Some("Subject : CN=agent7\n".to_owned()),
    };
    oms::read(&files).expect("read")
}

#[test]
fn every_form_in_which_powershell_prints_a_list_is_read() {
    let plain = format!("{GUID}.ods.opinsights.azure.com\r\nwww.test.com\r\n");
    let table = "\r\nHost\r\n----\r\nwww.test.com\r\n";
    let pairs = "Host : www.test.com\nHost : https://other.test.com/\n\n";
    assert_eq!(names(&oms(&plain, "")).len(), 2);
    assert_eq!(names(&oms(table, "")), ["www.test.com"]);
    assert_eq!(names(&oms(pairs, "")), ["other.test.com", "www.test.com"]);
    let found = oms("", "");
    assert_eq!((found.port, found.left.len()), (Some(8088), 1));
}

#[test]
fn what_cannot_be_carried_is_said_with_its_reason_and_nothing_of_it_gets_in() {
    let found = oms("http://plain.test.com\n10.0.0.1\n*.test.com\na.test.com:8443\nbad name\n", "");
    assert!(found.wanted.is_empty());
    let whys: Vec<&str> = found.left.iter().map(|(_, why)| *why).collect();
    for word in ["port 443", "an IP address", "no wildcards", "port 443", "no host name"] {
        assert!(whys.iter().any(|why| why.contains(word)), "{word}: {whys:?}");
    }
}

#[test]
fn the_relay_is_taken_without_its_password_which_no_output_has() {
    for (text, url) in [
        ("Address  : http://www.myproxy.com:8080\nUsername : user1\n", "http://www.myproxy.com:8080"),
        ("http://www.myproxy.com:8080/\n", "http://www.myproxy.com:8080"),
        ("www.myproxy.com:8080\n", "http://www.myproxy.com:8080"),
    ] {
        let found = oms("", text);
        assert_eq!(found.relays, [url], "{text}");
        assert_eq!(found.left.iter().any(|(what, _)| what.contains("user1")), text.contains("user1"));
    }
    assert!(oms("", "").relays.is_empty());
}

#[test]
fn files_of_windows_powershell_are_utf_16_and_are_read() {
    let wide: Vec<u8> = "\u{feff}www.test.com\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(decoded(&wide).as_deref(), Some("www.test.com\r\n"));
    assert_eq!(decoded(b"\xef\xbb\xbfa").as_deref(), Some("a"));
    assert_eq!(decoded(b"\xff\xff\xff"), None);
}

const SQUID: &str = r#"
http_port 3128
acl localnet src 10.20.0.0/16 192.168.7.9
acl azure dstdomain .ods.opinsights.azure.com .oms.opinsights.azure.com \
    .blob.core.windows.net   # wide
acl extra dstdomain "/etc/squid/extra.txt"
acl games dstdomain .games.example
acl regex dstdom_regex \.azure\.com$
acl unused dstdomain never.example
http_access deny games
http_access allow localnet azure
http_access allow localnet extra
http_access allow regex
http_access deny all
cache_peer parent.example parent 8080 0 no-query login=gw:p@ss
"#;

#[test]
fn only_lists_that_squid_allows_are_taken_and_its_networks_port_and_parent_with_them() {
    let found = squid::read(SQUID, |file| {
        (file == "/etc/squid/extra.txt").then(|| "packages.example.com\n# no\n".to_owned())
    });
    assert_eq!(
        names(&found),
        [
            "packages.example.com",
            ".blob.core.windows.net",
            ".ods.opinsights.azure.com",
            ".oms.opinsights.azure.com"
        ]
    );
    assert_eq!(found.port, Some(3128));
    assert_eq!(found.relays, ["http://gw:p%40ss@parent.example:8080"]);
    assert_eq!(found.networks.len(), 2);
    let left: Vec<&str> = found.left.iter().map(|(what, _)| what.as_str()).collect();
    for what in ["acl games dstdomain", "acl regex dstdom_regex", "acl unused dstdomain", "several"] {
        assert!(left.iter().any(|left| left.contains(what)), "{what}: {left:?}");
    }
}

#[test]
fn a_list_is_allowed_where_only_its_contrary_is_denied_and_never_where_it_is_denied_too() {
    let text = "acl good dstdomain a.example\nacl odd dstdomain b.example\n\
                http_access deny !good\nhttp_access deny odd\nhttp_access allow odd\nhttp_access allow all\n";
    assert_eq!(names(&squid::read(text, |_| None)), ["a.example"]);
}

#[test]
fn foreign_text_cannot_end_a_comment_or_a_string() {
    let hostile = "evil\u{85}\u{2028}\r[addresses]\rallow = [\"10.0.0.0/8\"]";
    assert!(!shown(hostile).contains(['\r', '\n', '\u{85}', '\u{2028}']));
    let mut found = oms(hostile, "");
    found.networks.push("10.20.0.0/16".parse().expect("a network"));
    let common = Common {
        from: vec![],
        workspace: vec![],
        cloud: Cloud::Public,
        output: PathBuf::from("gateway.toml"),
    };
    let text = text("import-oms", &found, &Suggestion::default(), &common);
    let document: toml_edit::DocumentMut = text.parse().expect("toml");
    assert!(document.get("addresses").is_none(), "{text}");
}
