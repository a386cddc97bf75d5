use super::*;
use proptest::prelude::*;

const FORMS: [Form; 8] = [
    Form::YearFirst,
    Form::MonthFirst,
    Form::MonthName,
    Form::Short,
    Form::ShortDayFirst,
    Form::Syslog,
    Form::WebServer,
    Form::Iso8601,
];

fn instant(form: Form, line: &str, zone: &TimeZone) -> Option<String> {
    let now: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let time = read(form, line.as_bytes())?.instant(zone, Timestamp(now.as_microsecond()))?;
    Some(jiff::Timestamp::from_microsecond(time.0).unwrap().to_string())
}

#[test]
fn each_form_is_read_in_the_local_zone_unless_one_is_written() {
    let east = TimeZone::fixed(Offset::constant(2));
    let cases = [
        (Form::YearFirst, "2026-03-01 10:20:30 x", "2026-03-01T08:20:30Z"),
        (Form::YearFirst, "2026-03-01 10:20:30,123 x", "2026-03-01T08:20:30.123Z"),
        (Form::MonthFirst, "3/1/2026 1:20:30 PM x", "2026-03-01T11:20:30Z"),
        (Form::MonthFirst, "03/01/2026 12:20:30 AM", "2026-02-28T22:20:30Z"),
        (Form::MonthName, "Mar 01, 2026 10:20:30", "2026-03-01T08:20:30Z"),
        (Form::Short, "260301 10:20:30", "2026-03-01T08:20:30Z"),
        (Form::ShortDayFirst, "010326 10:20:30", "2026-03-01T08:20:30Z"),
        (Form::Syslog, "Dec  9 10:20:30 host", "2025-12-09T08:20:30Z"),
        (Form::Syslog, "Jan 2 00:00:30", "2026-01-01T22:00:30Z"),
        (Form::Syslog, "Jan  9 00:00:30", "2025-01-08T22:00:30Z"),
        (Form::WebServer, "01/Mar/2026:10:20:30 -0700] x", "2026-03-01T17:20:30Z"),
        (Form::WebServer, "01/Mar/2026:10:20:30 +01:00", "2026-03-01T09:20:30Z"),
        (Form::Iso8601, "2026-03-01T10:20:30Z", "2026-03-01T10:20:30Z"),
        (Form::Iso8601, "2026-03-01T10:20:30.5+01:00 x", "2026-03-01T09:20:30.5Z"),
        (Form::Iso8601, "2026-03-01T10:20:30 x", "2026-03-01T08:20:30Z"),
        (Form::YearFirst, "2016-12-31 23:59:60", "2016-12-31T21:59:59Z"),
    ];
    for (form, line, time) in cases {
        assert_eq!(instant(form, line, &east).as_deref(), Some(time), "{form:?} {line}");
    }
}

#[test]
fn a_line_of_another_form_begins_no_record() {
    let cases = [
        (Form::YearFirst, "2026-03-01T10:20:30"),
        (Form::YearFirst, "2026-3-01 10:20:30"),
        (Form::YearFirst, " 2026-03-01 10:20:30"),
        (Form::YearFirst, "2026-13-01 10:20:30"),
        (Form::YearFirst, "2026-03-01 10:20:300"),
        (Form::YearFirst, "2026-03-01 10:20"),
        (Form::MonthFirst, "3/1/2026 13:20:30 PM"),
        (Form::MonthFirst, "3/1/2026 10:20:30"),
        (Form::MonthName, "Mat 01, 2026 10:20:30"),
        (Form::Short, "263301 10:20:30"),
        (Form::ShortDayFirst, "320326 10:20:30"),
        (Form::Syslog, "Dec 10:20:30"),
        (Form::WebServer, "01/Mar/2026:10:20:30"),
        (Form::Iso8601, "2026-03-01 10:20:30Z"),
        (Form::Iso8601, "\tat java.lang.Thread.run"),
        (Form::Iso8601, ""),
    ];
    for (form, line) in cases {
        assert_eq!(read(form, line.as_bytes()), None, "{form:?} {line}");
    }
}

#[test]
fn a_date_that_never_was_begins_a_record_without_a_time() {
    assert!(read(Form::YearFirst, b"2026-02-30 10:20:30").is_some());
    assert_eq!(instant(Form::YearFirst, "2026-02-30 10:20:30", &TimeZone::UTC), None);
}

proptest! {
    #[test]
    fn any_bytes_are_a_time_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for form in FORMS {
            if let Some(time) = read(form, &bytes) {
                let _ = time.instant(&TimeZone::UTC, Timestamp(i64::MAX));
            }
        }
    }
}
