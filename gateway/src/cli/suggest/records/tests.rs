use super::*;

fn read(text: &str) -> Records {
    Records::read(text.as_bytes(), &["agents"], &Span::default()).expect("read")
}

fn line(host: &str, more: &str) -> String {
    format!(
        "{{\"timestamp\":\"2026-11-22T21:00:00.5Z\",\"target\":\"access\",\"role\":\"agents\",\"host\":\"{host}\",\"port\":443,{more}}}\n"
    )
}

const DENIED: &str = "\"verdict\":\"refused\",\"reason\":\"host_denied\"";

#[test]
fn denials_and_reported_ones_are_wanted_and_what_a_rule_allowed_is_carried() {
    let text = [
        line("a.example", DENIED),
        line("a.example", "\"verdict\":\"carried\",\"reason\":\"finished\",\"would_refuse\":\"host_denied\""),
        line("b.example", "\"verdict\":\"carried\",\"reason\":\"finished\",\"would_refuse\":\"\""),
        line(
            "c.example",
            "\"verdict\":\"refused\",\"reason\":\"address_forbidden\",\"would_refuse\":\"host_denied\"",
        ),
        line("f.example", "\"verdict\":\"refused\",\"reason\":\"name_timeout\",\"would_refuse\":\"host_denied\""),
        line("g.example", "\"verdict\":\"refused\",\"reason\":\"name_timeout\",\"would_refuse\":\"\""),
        format!("{{\"MESSAGE\":{:?}}}\n", line("d.example", DENIED).trim_end()),
        "{\"__REALTIME_TIMESTAMP\":\"1795381200500000\",\"MESSAGE\":\"no rule allows this host\",\"TARGET\":\"access\",\
         \"ROLE\":\"agents\",\"HOST\":\"e.example\",\"PORT\":\"443\",\"VERDICT\":\"refused\",\"REASON\":\"host_denied\"}\n"
            .to_owned(),
    ]
    .concat();
    let all = read(&text);
    let mut seen: Vec<(String, u64, u64)> =
        all.destinations.iter().map(|((_, host), one)| (host.to_string(), one.wanted, one.carried)).collect();
    seen.sort();
    let expected = [
        ("a.example", 2, 0),
        ("b.example", 0, 1),
        ("d.example", 1, 0),
        ("e.example", 1, 0),
        ("f.example", 1, 0),
    ];
    assert_eq!(seen, expected.map(|(host, wanted, carried)| (host.to_owned(), wanted, carried)));
    assert_eq!(all.others, BTreeMap::from([("address_forbidden", 1), ("name_timeout", 2)]));
    assert_eq!(all.from.as_deref(), Some("2026-11-22T21:00:00.500000Z"));
}

#[test]
fn whatever_is_in_a_log_is_a_host_a_role_and_a_reason_that_are_known_or_is_not_taken() {
    let text = [
        line("evil\\\"]\\n[addresses]\\nallow = [\\\"10.0.0.0/8", DENIED),
        line("10.0.0.1", DENIED),
        line("a.example", "\"verdict\":\"refused\",\"reason\":\"\\u001b[31m\""),
        line("a.example", DENIED).replace("agents", "a\\nb"),
        line("a.example", DENIED).replace(":443", ":444"),
        "not json\n{\"target\":5}\n[1]\n\u{1}\n".to_owned(),
        format!("{}\n", "x".repeat(usize::try_from(LONGEST_LINE).expect("small") * 2)),
        format!("{}\n", "[".repeat(10_000)),
    ]
    .concat();
    let all = read(&text);
    assert!(all.destinations.is_empty(), "{all:?}");
    assert_eq!((all.numbers.strange, all.numbers.unreadable), (5, 5), "{all:?}");
}

#[test]
fn a_flood_of_names_does_not_drive_out_what_comes_often_and_memory_stays_bounded() {
    let mut text = String::new();
    for number in 0..MOST_DESTINATIONS * 3 {
        text.push_str(&line(&format!("n{number}.example"), DENIED));
        // When it comes first the flood has filled everything.
        if number > MOST_DESTINATIONS * 2 && number % 2 == 0 {
            text.push_str(&line("needed.example", DENIED));
        }
    }
    let all = read(&text);
    assert!(all.destinations.len() <= MOST_DESTINATIONS);
    let key = (0, "needed.example".parse().expect("a host"));
    let needed = all.destinations.get(&key).expect("is kept");
    assert!(needed.wanted as usize >= MOST_DESTINATIONS / 2 - 10, "{needed:?}");
    assert!(all.numbers.forgotten > 0);
}
