use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::record::Record;
use crate::record::Value;
use crate::record::frame_at;

const REMOTE: Sender<'_> = Sender { name: "192.0.2.7", address: "192.0.2.7", place: Place::Network };
const LOCAL: Sender<'_> = Sender { name: "edge7", address: "10.0.0.5", place: Place::Local };
/// 2026-11-22T17:50:04Z
const RECEIVED: Timestamp = Timestamp(1_795_369_804_000_000);

fn everything() -> Filter {
    Filter::new(&[], 7).unwrap()
}

/// The columns of a message: facility.severity, seconds of EventTime behind the receipt, host, process, pid, message.
type Row = (String, i64, String, String, i64, String);

fn row_of(frames: &Frames) -> Row {
    let record = Record::decode(frame_at(frames.bytes()).unwrap().payload).unwrap();
    let text = |column| record.text(column).unwrap_or("-").to_owned();
    let mut row = (String::new(), 0, text(Column::HostName), text(Column::ProcessName), -1, String::new());
    row.0 = format!("{}.{}", text(Column::Facility), text(Column::SeverityLevel));
    row.5 = text(Column::SyslogMessage);
    for (column, value) in record.values() {
        match (column, value) {
            (Column::EventTime, Value::Time(time)) => row.1 = (record.time().0 - time.0) / 1_000_000,
            (Column::ProcessId, Value::Integer(pid)) => row.4 = pid,
            _ => {}
        }
    }
    row
}

fn read(bytes: &[u8], sender: Sender<'_>) -> (Outcome, Frames) {
    let mut frames = Frames::default();
    let arrival = Arrival { bytes, end: End::Whole, received: RECEIVED, sender };
    let outcome = Parser::new(TimeZone::UTC, everything()).record(&arrival, &mut frames);
    (outcome, frames)
}

/// A [`Row`] as it is written in a table.
type Wanted<'a> = (&'a str, i64, &'a str, &'a str, i64, &'a str);

fn check(form: Form, sender: Sender<'_>, cases: &[(&str, Wanted<'_>)]) {
    for (message, (level, age, host, process, pid, text)) in cases {
        let (outcome, frames) = read(message.as_bytes(), sender);
        assert_eq!(outcome, Outcome::Written { form, text: Text::Valid }, "{message}");
        let wanted =
            ((*level).to_owned(), *age, (*host).to_owned(), (*process).to_owned(), *pid, (*text).to_owned());
        assert_eq!(row_of(&frames), wanted, "{message}");
    }
}

#[test]
fn a_message_of_rfc_3164_is_read_in_every_form_that_occurs() {
    let cases = [
        (
            "<34>Nov 22 17:50:03 mymachine su: 'su root' failed",
            ("auth.crit", 1, "mymachine", "su", -1, "'su root' failed"),
        ),
        (
            "<13>Nov  2 17:50:04 web-1.example sshd[812]: ok\n",
            ("user.notice", 20 * 86_400, "web-1.example", "sshd", 812, "ok"),
        ),
        ("<13>Nov 2 17:50:04 h a: one digit", ("user.notice", 20 * 86_400, "h", "a", -1, "one digit")),
        ("<190>Nov 22 17:50:03.250 h app[7]:no space\r\n\0", ("local7.info", 0, "h", "app", 7, "no space")),
        (
            "<13>Nov 22 2025 17:50:04 asa : %ASA-6-302013: Built",
            ("user.notice", 365 * 86_400, "asa", "%ASA-6-302013", -1, "Built"),
        ),
        (
            "<13>Nov 22 17:50:04 2025 h a: year behind",
            ("user.notice", 365 * 86_400, "h", "a", -1, "year behind"),
        ),
        ("<13>Nov 22 18:50:04+01:00 h a: zone", ("user.notice", 0, "h", "a", -1, "zone")),
        ("<13>Nov 22 17:50:04 UTC h a: zone", ("user.notice", 0, "h", "a", -1, "zone")),
        (
            "<189>29: *Nov 22 17:50:04.123 CET: %SYS-5-CONFIG_I: Configured",
            ("local7.notice", 0, "192.0.2.7", "%SYS-5-CONFIG_I", -1, "Configured"),
        ),
        ("<13>2026-11-22T18:50:02.5+01:00 h app[9]: modern", ("user.notice", 1, "h", "app", 9, "modern")),
        ("<13>2026-11-22 17:50:04 h app: a space", ("user.notice", 0, "h", "app", -1, "a space")),
        ("<13>Nov 22 17:50:04 fe80::1 app: from IPv6", ("user.notice", 0, "fe80::1", "app", -1, "from IPv6")),
        (
            "<13>Nov 22 17:50:04 h CEF:0|Vendor|Product|1|100|worm|10|src=1",
            ("user.notice", 0, "h", "CEF", -1, "0|Vendor|Product|1|100|worm|10|src=1"),
        ),
        (
            "<13>Nov 22 17:50:04 h last message repeated 3 times",
            ("user.notice", 0, "h", "-", -1, "last message repeated 3 times"),
        ),
        ("<13>Nov 22 17:50:04 h app[worker-1]: text", ("user.notice", 0, "h", "app", -1, "[worker-1]: text")),
        (
            "<13>Nov 22 17:50:04 h app[99999999999]: text",
            ("user.notice", 0, "h", "app", -1, "[99999999999]: text"),
        ),
        ("<13>Nov 22 17:50:04 kernel: no host", ("user.notice", 0, "192.0.2.7", "kernel", -1, "no host")),
        ("<13>app[3]: no time", ("user.notice", 0, "192.0.2.7", "app", 3, "no time")),
        ("Nov 22 17:50:04 h app: no PRI", ("user.notice", 0, "h", "app", -1, "no PRI")),
        ("<13>Nov 22 17:50:04", ("user.notice", 0, "192.0.2.7", "-", -1, "")),
    ];
    check(Form::Rfc3164, REMOTE, &cases);
}

#[test]
fn a_local_daemon_names_no_host_and_none_is_invented() {
    let cases = [
        (
            "<30>Nov 22 17:50:04 cron[12]: (root) CMD (true)",
            ("daemon.info", 0, "edge7", "cron", 12, "(root) CMD (true)"),
        ),
        ("<13>Nov 22 17:50:04 just some words", ("user.notice", 0, "edge7", "-", -1, "just some words")),
        ("<13>Nov 22 17:50:04 other app: relayed", ("user.notice", 0, "other", "app", -1, "relayed")),
        ("<13>Nov 22 17:50:04 cafe:babe", ("user.notice", 0, "edge7", "cafe", -1, "babe")),
    ];
    check(Form::Rfc3164, LOCAL, &cases);
}

#[test]
fn a_message_of_rfc_5424_is_read_and_what_has_no_column_stays_in_front() {
    let cases = [
        (
            "<165>1 2026-11-22T17:50:03.003Z host.example evntslog - ID47 [ex@32473 iut=\"3\" a=\"]\\\"\"] \u{feff}text",
            (
                "local4.notice",
                0,
                "host.example",
                "evntslog",
                -1,
                "ID47 [ex@32473 iut=\"3\" a=\"]\\\"\"] text",
            ),
        ),
        (
            "<34>1 2026-11-22T18:50:04+01:00 h su 812 - - \u{feff}'su root' failed",
            ("auth.crit", 0, "h", "su", 812, "'su root' failed"),
        ),
        (
            "<34>1 2026-11-22T17:50:04Z h su 812 - [a b=\"c\"][d] m",
            ("auth.crit", 0, "h", "su", 812, "[a b=\"c\"][d] m"),
        ),
        ("<34>1 2026-11-22T17:50:04Z h su worker-1 - - m", ("auth.crit", 0, "h", "su", -1, "worker-1 - - m")),
        ("<34>1 - - - - - -", ("auth.crit", 0, "192.0.2.7", "-", -1, "")),
        ("<34>1 - - - - - [broken m", ("auth.crit", 0, "192.0.2.7", "-", -1, "[broken m")),
        (
            "<34>1 - - app - - no structured data",
            ("auth.crit", 0, "192.0.2.7", "app", -1, "no structured data"),
        ),
        (
            "<34>1 - h app 1 - [meta sequenceId=\"7\"] by syslog-ng",
            ("auth.crit", 0, "h", "app", 1, "by syslog-ng"),
        ),
        (
            "<34>1 - h app 1 - [meta sequenceId=\"7\" sysUpTime=\"1\"] x",
            ("auth.crit", 0, "h", "app", 1, "[meta sequenceId=\"7\" sysUpTime=\"1\"] x"),
        ),
        ("<34>1 - h app 1 - -   indented", ("auth.crit", 0, "h", "app", 1, "  indented")),
        ("<34>1 - h app 1 - -  by rsyslog", ("auth.crit", 0, "h", "app", 1, "by rsyslog")),
        ("<34>1 - h app 1 - -", ("auth.crit", 0, "h", "app", 1, "")),
    ];
    check(Form::Rfc5424, REMOTE, &cases);
}

#[test]
fn anything_else_is_kept_whole_and_said_to_be_unparsed() {
    for (message, kept) in [
        ("<999>Nov 22 17:50:04 h a: b", "<999>Nov 22 17:50:04 h a: b"),
        ("<13>words without anything", "words without anything"),
        ("<13>1 yesterday h app - - - m", "1 yesterday h app - - - m"),
        ("<13>Nov 31 17:50:04 h no such day", "Nov 31 17:50:04 h no such day"),
        ("key: value", "key: value"),
        ("<", "<"),
        ("<13>{\"json\": true}", "{\"json\": true}"),
        (&format!("<13>{}: long", "a".repeat(129)), &format!("{}: long", "a".repeat(129))),
    ] {
        let (outcome, frames) = read(message.as_bytes(), REMOTE);
        assert_eq!(outcome, Outcome::Written { form: Form::Unknown, text: Text::Valid }, "{message}");
        assert_eq!(row_of(&frames).5, kept);
    }
    for nothing in ["", "\n", "\0\r\n"] {
        assert_eq!(read(nothing.as_bytes(), REMOTE).0, Outcome::Empty);
    }
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_said_and_control_characters_stay() {
    let (outcome, frames) = read(b"<13>Nov 22 17:50:04 h a: caf\xe9 \x1b[1m\ttab\0in", REMOTE);
    assert_eq!(outcome, Outcome::Written { form: Form::Rfc3164, text: Text::Replaced });
    assert_eq!(row_of(&frames).5, "caf\u{fffd} \u{1b}[1m\ttab\0in");
}

#[test]
fn a_message_without_its_end_is_marked() {
    let mut frames = Frames::default();
    let arrival = Arrival { bytes: b"<13>a: b", end: End::Missing, received: RECEIVED, sender: REMOTE };
    Parser::new(TimeZone::UTC, everything()).record(&arrival, &mut frames);
    assert_eq!((row_of(&frames).5.as_str(), frames.cut()), ("b…[cut by agent-lite]", 1));
}

#[test]
fn the_filter_goes_by_pri_alone() {
    let filter = Filter::new(&["auth".to_owned(), "local7".to_owned()], 4).unwrap();
    let mut parser = Parser::new(TimeZone::UTC, filter);
    for (message, wanted) in
        [("<36>a: b", true), ("<37>a: b", false), ("<184>a: b", true), ("<12>a: b", false), ("no PRI", false)]
    {
        let mut frames = Frames::default();
        let arrival =
            Arrival { bytes: message.as_bytes(), end: End::Whole, received: RECEIVED, sender: REMOTE };
        assert_eq!(parser.record(&arrival, &mut frames) != Outcome::Filtered, wanted, "{message}");
        assert_eq!(frames.is_empty(), !wanted, "{message}");
    }
    assert_eq!(Filter::new(&["local8".to_owned()], 7), Err(UnknownFacility("local8".to_owned())));
}

#[test]
fn a_filter_can_take_other_severities_of_each_facility() {
    let levels = std::collections::BTreeMap::from([
        ("auth".to_owned(), (0..8).collect::<Vec<u8>>()),
        ("cron".to_owned(), vec![0, 2, 7]),
    ]);
    let mut parser = Parser::new(TimeZone::UTC, Filter::of_levels(&levels).unwrap());
    let (auth, cron, user) = (4 << 3, 9 << 3, 1 << 3);
    let cases = [
        (auth | 7, true),
        (auth, true),
        (cron, true),
        (cron | 1, false),
        (cron | 2, true),
        (cron | 7, true),
        (user, false),
    ];
    for (priority, wanted) in cases {
        let mut frames = Frames::default();
        let message = format!("<{priority}>a: b");
        let arrival =
            Arrival { bytes: message.as_bytes(), end: End::Whole, received: RECEIVED, sender: REMOTE };
        assert_eq!(parser.record(&arrival, &mut frames) != Outcome::Filtered, wanted, "{message}");
    }
    let unknown = std::collections::BTreeMap::from([("local8".to_owned(), vec![1])]);
    assert_eq!(Filter::of_levels(&unknown), Err(UnknownFacility("local8".to_owned())));
}

#[test]
fn a_time_without_year_or_zone_is_the_nearest_to_the_receipt() {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let cases = [
        // received (UTC), written, zone, meant (UTC)
        ("2027-01-01T00:00:05Z", "Dec 31 23:59:59", &TimeZone::UTC, "2026-12-31T23:59:59Z"),
        ("2026-12-31T23:59:58Z", "Jan  1 00:00:02", &TimeZone::UTC, "2027-01-01T00:00:02Z"),
        ("2028-03-01T00:00:01Z", "Feb 29 23:59:59", &TimeZone::UTC, "2028-02-29T23:59:59Z"),
        ("2027-03-01T00:00:01Z", "Feb 29 23:59:59", &TimeZone::UTC, "2028-02-29T23:59:59Z"),
        ("2026-07-01T10:00:00Z", "Jul  1 12:00:00", &berlin, "2026-07-01T10:00:00Z"),
        ("2026-12-31T23:30:00Z", "Jan  1 00:30:00", &berlin, "2026-12-31T23:30:00Z"),
        // The hour that comes twice: the one in which the message came.
        ("2026-10-25T00:30:01Z", "Oct 25 02:30:00", &berlin, "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:30:01Z", "Oct 25 02:30:00", &berlin, "2026-10-25T01:30:00Z"),
    ];
    for (received, written, zone, meant) in cases {
        let micros = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        let mut clock = Clock::new(zone.clone());
        for _ in 0..2 {
            let time = time::Written::legacy(&mut cursor::Cursor(written)).unwrap();
            assert_eq!(clock.resolve(time, micros(received)), Some(micros(meant)), "{received} {written}");
        }
    }
}

#[test]
fn the_remembered_second_is_not_taken_for_another() {
    let mut clock = Clock::new(TimeZone::UTC);
    let mut resolve = |text: &str, received: i64| {
        let time = time::Written::legacy(&mut cursor::Cursor(text)).unwrap();
        clock.resolve(time, Timestamp(received)).unwrap().0
    };
    let first = resolve("Nov 22 17:50:04.000001", RECEIVED.0);
    assert_eq!(first, RECEIVED.0 + 1);
    assert_eq!(resolve("Nov 22 17:50:04", RECEIVED.0), RECEIVED.0);
    assert_eq!(resolve("Nov 22 17:50:05", RECEIVED.0), RECEIVED.0 + 1_000_000);
    let year = date(2027, 11, 22).to_zoned(TimeZone::UTC).unwrap().timestamp().as_microsecond();
    assert_eq!(resolve("Nov 22 17:50:05", year), RECEIVED.0 + 1_000_000 + 365 * 86_400_000_000);
}

proptest! {
    #[test]
    fn any_bytes_are_one_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (outcome, frames) = read(&bytes, REMOTE);
        prop_assert_eq!(frames.count(), u32::from(matches!(outcome, Outcome::Written { .. })));
    }

    #[test]
    fn any_near_miss_keeps_its_message(
        text in "<13>(1 )?(Nov|Feb|Xyz) ?[0-9]{1,2} [0-9: .]{5,10}[+Z]? ?[a-z:\\[\\]0-9é]{0,6} [a-z:\\[\\]\"\\\\=]{0,9} end",
    ) {
        for sender in [REMOTE, LOCAL] {
            let (_, frames) = read(text.as_bytes(), sender);
            prop_assert!(row_of(&frames).5.ends_with("end"), "{}", text);
        }
    }
}
