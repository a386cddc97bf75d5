//! The checker itself: it finds what it must, and only that.

use super::PLAN;
use super::plan::Import;
use super::plan::is_long;
use super::source_text::tokens;
use super::source_text::without_tests;

fn found(file: &str, text: &str) -> Vec<(String, usize)> {
    let module: Vec<String> = file.split('/').map(str::to_owned).collect();
    let imports = PLAN.imports_of(file, &module, text).into_iter();
    imports.map(|i| (i.to, i.place.rsplit(':').next().unwrap().parse().unwrap())).collect()
}

fn verdict(from: &str, to: &str) -> Result<(), String> {
    PLAN.judge(&Import { from: from.to_owned(), to: to.to_owned(), place: "here:1".to_owned() })
}

/// A file's module, its text, and the modules and lines that are to be found in it.
type Case = (&'static str, &'static str, &'static [(&'static str, usize)]);

#[test]
fn an_import_is_found_however_it_is_written() {
    let cases: [Case; 16] = [
        ("policy", "use crate::gateway::Gateway;", &[("gateway", 1)]),
        ("policy", "\n\npub(crate) use crate::gateway;", &[("gateway", 3)]),
        (
            "policy",
            "fn f() -> crate::gateway::Gateway { crate\n    :: admin::x() }",
            &[("gateway", 1), ("admin", 1)],
        ),
        (
            "policy",
            "use crate::{gateway::{self, Gateway as G}, admin::*};",
            &[("gateway", 1), ("gateway", 1), ("admin", 1)],
        ),
        ("policy", "use crate::policy::limits;", &[]),
        ("policy", "use super::gateway::Gateway;", &[("gateway", 1)]),
        ("policy/limits", "use super::gateway;", &[]),
        ("policy/limits", "use super::super::gateway;", &[("gateway", 1)]),
        ("policy/limits", "use self::gateway; use super::accounts;", &[]),
        (
            "policy",
            "mod tests { use super::*; use super::super::admin; }\nuse super::connect;",
            &[("admin", 1), ("connect", 2)],
        ),
        (
            "policy",
            "mod a { mod b { use super::super::x; use super::super::super::admin; } use super::y; }",
            &[("admin", 1)],
        ),
        ("policy", "mod a { fn f() { if x { } } } use super::admin;", &[("admin", 1)]),
        ("cli/run", "use la_gateway::gateway::Gateway;", &[("gateway", 1)]),
        (
            "policy",
            "let a: Vec<crate::admin::Admin> = Vec::<crate::connect::C>::new();",
            &[("admin", 1), ("connect", 1)],
        ),
        ("policy", "use std::crate_like; use other::gateway::x;", &[]),
        ("policy", "macro_rules! m { () => { $crate::gateway::x() } }", &[("gateway", 1)]),
    ];
    for (file, text, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|(to, line)| ((*to).to_owned(), *line)).collect();
        assert_eq!(found(file, text), expected, "{file}: {text}");
    }
}

#[test]
fn comments_strings_and_characters_are_no_imports() {
    let texts = [
        "// use crate::gateway;",
        "/// See [`crate::gateway`].\nfn f() {}",
        "/* use crate::gateway; /* inner */ use crate::admin; */",
        "let text = \"use crate::gateway; \\\" crate::admin\";",
        "let text = r#\"crate::gateway \" crate::admin\"#;",
        "let text = br\"crate::gateway\"; let b = b\"crate::admin\";",
        "let quote = '\"'; let slash = '\\''; let byte = b'\"'; // crate::gateway",
        "fn f<'a>(x: &'a str) -> &'static str { \"crate::gateway\" }",
    ];
    for text in texts {
        assert_eq!(found("policy", text), [], "{text}");
        let behind = format!("{text}\nuse crate::connect;");
        assert_eq!(found("policy", &behind).len(), 1, "what follows is lost: {behind}");
    }
}

#[test]
fn up_and_sideways_is_wrong_and_down_is_right() {
    let cases = [
        ("gateway", "connect", ""),
        ("cli", "events", ""),
        ("connect", "policy", ""),
        ("ending", "refusal", ""),
        ("policy", "config", "is on a floor above"),
        ("refusal", "policy", "is on a floor above"),
        ("connect", "connection", "is on a floor above"),
        ("listen", "dial", "is on the same floor"),
        ("refusal", "ending", "is on the same floor"),
        ("config", "observe", "is on the same floor"),
        ("gateway", "nonsense", "is on no floor"),
        ("nonsense", "events", "is on no floor"),
    ];
    for (from, to, words) in cases {
        match verdict(from, to) {
            Ok(()) => assert_eq!(words, "", "{from} -> {to}"),
            Err(found) => assert!(!words.is_empty() && found.contains(words), "{from} -> {to}: {found}"),
        }
    }
}

#[test]
fn a_pure_module_may_name_values_but_nothing_that_acts() {
    let pure = [
        "use std::net::IpAddr; use std::net::SocketAddr; use std::time::Instant;",
        "fn vet(at: std::time::Instant, for_: Duration) -> bool { at + for_ > at }",
        "/// Not `tokio::spawn`.\nfn f() { g(\"std::fs\") }",
        "#[cfg(test)]\nmod tests { use std::fs; async fn f() {} }",
        "#[cfg(test)]\n#[allow(x)]\nfn f() -> [u8; 2] { std::fs::read(1); { } }",
        "#[cfg(test)]\nuse tokio::time;\n",
        "#[cfg(test)]\nmod tests;",
        "use http::header::HOST; let asynchronous = 1; let files = profile;",
    ];
    for text in pure {
        assert_eq!(PLAN.impurities(text), [], "{text}");
    }
    let impure = [
        ("async fn f() {}", "async"),
        ("fn f() { g().await }", "await"),
        ("use tokio::time::sleep;", "tokio"),
        ("use std::fs;", "std::fs"),
        ("use std::{collections::HashMap, fs::File};", "std::fs"),
        ("fn f() -> std::io::Result<()> {}", "std::io"),
        ("use std::net::TcpStream;", "Tcp*"),
        ("use std::net;\nfn f() { net::UdpSocket::bind(a) }", "Udp*"),
        ("fn f() { std::time::Instant::now() }", "Instant::now"),
        ("fn f() { Instant::now().elapsed() }", "elapsed"),
        ("use std::time::SystemTime;", "SystemTime"),
        ("use governor::clock::Clock;", "governor::clock"),
        ("#[cfg(test)]\nmod tests { }\nuse std::fs;", "std::fs"),
        ("#[cfg(test)]\nmod tests;\nuse std::fs;", "std::fs"),
        ("#[cfg(not(test))]\nuse std::fs;", "std::fs"),
    ];
    for (text, word) in impure {
        assert!(PLAN.impurities(text).iter().any(|(found, _)| *found == word), "{word}: {text}");
    }
}

#[test]
fn the_modules_that_are_for_tests_only_are_known_by_name() {
    let text = "mod answer;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod forge { }\n#[cfg(test)] fn f() {}";
    assert_eq!(without_tests(&tokens(text)).1, ["tests", "forge"]);
}

#[test]
fn the_last_line_that_is_let_pass_is_the_four_hundredth() {
    assert!(!is_long(&"x\n".repeat(400)));
    assert!(is_long(&"x\n".repeat(401)));
}
