//! Proxy values as operators write them.

use proptest::prelude::*;

use super::ProxyUrlError::*;
use super::*;
use crate::host_port::HostPortError;

fn parse(text: &str) -> Result<ProxyUrl, ProxyUrlError> {
    text.parse()
}

fn authorization(text: &str) -> Option<String> {
    let proxy = parse(text).expect("a good value");
    let value = proxy.authorization()?;
    let encoded = value.expose().strip_prefix("Basic ").expect("Basic");
    Some(String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("UTF-8"))
}

#[test]
fn every_documented_form_is_read_and_shown_in_one_normal_form() {
    let cases = [
        ("proxy.corp:8080", "http://proxy.corp:8080"),
        ("http://proxy.corp:8080", "http://proxy.corp:8080"),
        ("HTTP://Proxy.Corp:8080/", "http://proxy.corp:8080"),
        ("https://proxy.corp:443", "https://proxy.corp:443"),
        ("HttpS://proxy:3128", "https://proxy:3128"),
        ("10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("127.0.0.1:1", "http://127.0.0.1:1"),
        ("https://[2001:DB8::1]:65535", "https://[2001:db8::1]:65535"),
        ("[::ffff:10.0.0.7]:8080", "http://10.0.0.7:8080"),
        ("user:password@proxy.corp:8080", "http://user@proxy.corp:8080"),
        ("http://corp%5Cuser:password@proxy.corp:8080", "http://corp%5Cuser@proxy.corp:8080"),
        ("u%40corp.example:p@[::1]:8080/", "http://u%40corp.example@[::1]:8080"),
    ];
    for (text, shown) in cases {
        assert_eq!(parse(text).map(|proxy| proxy.to_string()).as_deref(), Ok(shown), "{text}");
    }
}

#[test]
fn user_and_password_are_split_at_the_last_at_sign_and_decoded_exactly_once() {
    let cases = [
        ("proxy:1", None),
        ("u:p@proxy:1", Some("u:p")),
        ("u:@proxy:1", Some("u:")),
        ("u:p%40ss@proxy:1", Some("u:p@ss")),
        ("u:p@ss@proxy:1", Some("u:p@ss")),
        ("u:a:b:c@proxy:1", Some("u:a:b:c")),
        ("u:%2540@proxy:1", Some("u:%40")),
        ("u:%25@proxy:1", Some("u:%")),
        ("u:a+b c@proxy:1", Some("u:a+b c")),
        ("u:%2F%3f%23%5c@proxy:1", Some("u:/?#\\")),
        ("%C3%BC:gr%c3%bcn@proxy:1", Some("ü:grün")),
        ("ü:grün@proxy:1", Some("ü:grün")),
    ];
    for (text, expected) in cases {
        assert_eq!(authorization(text).as_deref(), expected, "{text}");
    }
    assert_eq!(parse("u%40x:p@proxy:1").map(|proxy| proxy.user().map(str::to_owned)), Ok(Some("u@x".into())));
}

#[test]
fn every_other_value_is_refused_with_its_own_reason() {
    use HostPortError::{BadCharacter, EmptyLabel, NameMissing, NumericName};
    let cases = [
        ("", Host(NameMissing)),
        ("http://", Host(NameMissing)),
        (":8080", Host(NameMissing)),
        ("proxy", PortMissing),
        ("proxy:", PortMissing),
        ("https://proxy.corp", PortMissing),
        ("https://proxy.corp/", PortMissing),
        ("10.0.0.7", PortMissing),
        ("[::1]", PortMissing),
        ("[::1]:", PortMissing),
        ("proxy:0", BadPort),
        ("proxy:08080", BadPort),
        ("proxy:65536", BadPort),
        ("proxy:+80", BadPort),
        ("10.0.0.7:0", BadPort),
        ("[::1]:080", BadPort),
        ("[::1]:99999", BadPort),
        ("proxy:http", BadPort),
        ("proxy:80:80", Host(BadCharacter)),
        ("socks5://proxy:1080", UnknownScheme),
        ("://proxy:1080", UnknownScheme),
        (" http://proxy:1080", UnknownScheme),
        ("u:p://x@proxy:1080", UnknownScheme),
        ("http:/proxy:8080", Path),
        ("proxy:8080//", Path),
        ("proxy:8080/path", Path),
        ("proxy:8080?query", Path),
        ("proxy:8080/#fragment", Path),
        ("proxy:8080\\x", Path),
        ("proxy:8080/secret@evil:1", Unencoded),
        ("u:p?@proxy:1", Unencoded),
        ("u:p#@proxy:1", Unencoded),
        ("u\\v:p@proxy:1", Unencoded),
        (":p@proxy:1", UserMissing),
        ("%:p@proxy:1", BadPercent),
        ("u@proxy:1", PasswordMissing),
        ("@proxy:1", PasswordMissing),
        ("u:p%4@proxy:1", BadPercent),
        ("u:p%@proxy:1", BadPercent),
        ("u:p%zz@proxy:1", BadPercent),
        ("u:%%34%30@proxy:1", BadPercent),
        ("u:p%4\u{e9}@proxy:1", BadPercent),
        ("u:p%e9@proxy:1", NotUtf8),
        ("u%3Av:p@proxy:1", ColonInUser),
        ("u:p%00@proxy:1", ControlCharacter),
        ("u:p%0d%0aX: y@proxy:1", ControlCharacter),
        ("u%0A:p@proxy:1", ControlCharacter),
        ("u:p%7F@proxy:1", ControlCharacter),
        ("proxy:8080\n", ControlCharacter),
        ("u:p\r@proxy:8080", ControlCharacter),
        ("pro\0xy:8080", ControlCharacter),
        ("::1", Brackets),
        ("::1:8080", Brackets),
        ("2001:db8::1:8080", Brackets),
        ("[10.0.0.7]:8080", Brackets),
        ("[proxy]:8080", Brackets),
        ("[fe80::1%1]:8080", Brackets),
        ("[fe80::1%25eth0]:8080", Brackets),
        ("[::1:8080", Brackets),
        ("0.0.0.0:8080", NoAddress),
        ("[::]:8080", NoAddress),
        ("255.255.255.255:8080", NoAddress),
        ("224.0.0.1:8080", NoAddress),
        ("[ff02::1]:8080", NoAddress),
        ("[::ffff:0.0.0.0]:8080", NoAddress),
        ("127.1:8080", Host(NumericName)),
        ("2130706433:8080", Host(NumericName)),
        ("proxy.corp.:8080", Host(EmptyLabel)),
        ("proxy corp:8080", Host(BadCharacter)),
        ("pr%6fxy:8080", Host(BadCharacter)),
        ("my_proxy:8080", Host(BadCharacter)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Err(expected), "{text:?}");
    }
}

#[test]
fn a_missing_port_is_the_default_where_one_is_given_and_nothing_else_is_forgiven() {
    let cases = [
        ("proxy.corp", Ok("http://proxy.corp:8080")),
        ("https://proxy.corp/", Ok("https://proxy.corp:8080")),
        ("10.0.0.7", Ok("http://10.0.0.7:8080")),
        ("[2001:db8::1]", Ok("http://[2001:db8::1]:8080")),
        ("https://u:p%40:1@[::1]/", Ok("https://u@[::1]:8080")),
        ("u:p@proxy", Ok("http://u@proxy:8080")),
        ("proxy:3128", Ok("http://proxy:3128")),
        ("[::1]:3128", Ok("http://[::1]:3128")),
        ("proxy:", Err(PortMissing)),
        ("[::1]:", Err(PortMissing)),
        ("proxy:0", Err(BadPort)),
        ("proxy:secret", Err(BadPort)),
        ("2001:db8::1", Err(Brackets)),
        ("", Err(Host(HostPortError::NameMissing))),
        ("socks5://proxy", Err(UnknownScheme)),
        ("u@proxy", Err(PasswordMissing)),
        ("proxy/path", Err(Path)),
    ];
    for (text, expected) in cases {
        let shown = ProxyUrl::with_default_port(text, 8080).map(|proxy| proxy.to_string());
        assert_eq!(shown.as_deref().map_err(|error| *error), expected, "{text:?}");
    }
}

#[test]
fn the_password_is_never_shown() {
    let good = parse("user:hunter2@proxy.corp:8080").expect("a good value");
    let value = good.authorization().expect("credentials");
    for shown in [good.to_string(), format!("{good:?}"), format!("{good:#?}"), format!("{value:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("dXNlcjpodW50ZXIy"), "{shown}");
    }
    let bad = [
        "hunter2",
        "user:hunter2@proxy",
        "hunter2://x:1",
        "u:hunter2%@proxy:1",
        "u:hunter2@a..b:1",
        "hunter2@proxy:1",
    ];
    for text in bad {
        let error = parse(text).expect_err("a bad value");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

proptest! {
    #[test]
    fn any_encoded_password_arrives_as_it_is(user in "[^\\p{Cc}:]{1,12}", password in "[^\\p{Cc}]{0,16}") {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let text = format!("{}:{}@proxy.corp:8080", encode(&user), encode(&password));
        prop_assert_eq!(authorization(&text), Some(format!("{user}:{password}")));
    }

    #[test]
    fn no_text_panics_and_what_passes_without_a_password_reads_back(text in "\\PC{0,60}|(https?://)?[a-z0-9.:@%\\[\\]/-]{0,40}:80") {
        if let Ok(proxy) = parse(&text) && proxy.user().is_none() {
            prop_assert_eq!(parse(&proxy.to_string()), Ok(proxy));
        }
    }
}
