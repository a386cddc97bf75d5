use proptest::prelude::*;

use super::*;
use crate::parse::lines::Discard;
use crate::parse::lines::Piece;
use crate::parse::lines::Then;
use crate::parse::lines::WINDOW;

const IIS: &str = "#Fields: date time s-sitename s-computername s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username \
                   c-ip cs-version cs(User-Agent) cs(Cookie) cs(Referer) cs-host sc-status sc-substatus \
                   sc-win32-status sc-bytes cs-bytes time-taken";

fn with(directives: &[&str]) -> Directives {
    let mut read = Directives::default();
    directives.iter().for_each(|line| assert!(read.take(line), "{line}"));
    read
}

/// A line's values as `column=value`, the others, and the flaw.
fn shown(directives: &mut Directives, line: &str) -> (Vec<String>, Option<String>, Option<Flaw>) {
    let line = directives.line(line);
    let values = line.values.iter().map(|(column, content)| match content {
        Content::Text(text) => format!("{}={text}", column.name()),
        Content::Number(number) => format!("{}#{number}", column.name()),
    });
    (values.collect(), line.custom, line.flaw)
}

fn seconds(text: &str) -> Option<Timestamp> {
    Some(Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond()))
}

#[test]
fn every_field_of_iis_has_its_column_and_type_and_stays_as_it_is_written() {
    let mut directives = with(&["#Software: Microsoft Internet Information Services 10.0", IIS]);
    let text = "2026-11-23 10:20:30 W3SVC1 WEB01 10.0.0.4 GET /a%20b/ä.aspx q=1+2&x=%26 443 CORP\\jo+doe 10.9.8.7 HTTP/2.0 \
                Mozilla/5.0+(X11;+\"q\") id=\"1\" https://a.example/ www.example.com 404 0 64 5000000000 512 15";
    let (values, custom, flaw) = shown(&mut directives, text);
    let expected = [
        "sSiteName=W3SVC1",
        "sComputerName=WEB01",
        "sIP=10.0.0.4",
        "csMethod=GET",
        "csUriStem=/a%20b/ä.aspx",
        "csUriQuery=q=1+2&x=%26",
        "sPort#443",
        "csUserName=CORP\\jo+doe",
        "cIP=10.9.8.7",
        "csVersion=HTTP/2.0",
        "csUserAgent=Mozilla/5.0+(X11;+\"q\")",
        "csCookie=id=\"1\"",
        "csReferer=https://a.example/",
        "csHost=www.example.com",
        "scStatus=404",
        "scSubStatus=0",
        "scWin32Status=64",
        "scBytes#5000000000",
        "csBytes#512",
        "TimeTaken#15",
    ];
    assert_eq!((values, custom, flaw), (expected.map(str::to_owned).to_vec(), None, None));
    assert_eq!(directives.line(text).time, seconds("2026-11-23T10:20:30Z"));
}

#[test]
fn fields_change_inside_a_file_and_count_from_there_on() {
    let mut directives = with(&["#Fields: date time cs-method"]);
    let line = "2026-11-23 00:00:01 GET";
    assert_eq!(shown(&mut directives, line), (vec!["csMethod=GET".to_owned()], None, None));
    assert!(directives.take("#Fields: cs-uri-stem time date"));
    let line = "/ 00:00:02 2026-11-24";
    assert_eq!(shown(&mut directives, line), (vec!["csUriStem=/".to_owned()], None, None));
    assert_eq!(directives.line(line).time, seconds("2026-11-24T00:00:02Z"));
}

#[test]
fn directives_come_back_from_the_disk_as_they_were() {
    let before = with(&["#Software: IIS Advanced Logging Module", "#Date: 2026-11-23 05:06:07", IIS]);
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<Directives>(&text).unwrap(), before);
    assert_eq!(serde_json::from_str::<Directives>("{}").unwrap(), Directives::default());
}

#[test]
fn fields_without_a_column_are_kept_by_their_own_names() {
    let mut directives = with(&["#Fields: date time X-Forwarded-For crypt-protocol s-ip s-ip cs(Cookie2)"]);
    let (values, custom, flaw) =
        shown(&mut directives, "2026-11-23 00:00:01 10.1.1.1,+10.2.2.2 400 10.0.0.4 10.0.0.5 -");
    assert_eq!(values, ["sIP=10.0.0.4"]);
    let custom: serde_json::Value = serde_json::from_str(&custom.unwrap()).unwrap();
    let expected = serde_json::json!({"X-Forwarded-For": "10.1.1.1,+10.2.2.2", "crypt-protocol": "400", "s-ip": "10.0.0.5"});
    assert_eq!((custom, flaw), (expected, None));
}

#[test]
fn texts_in_quotation_marks_are_those_of_advanced_logging() {
    let mut directives = with(&[
        "#Software: IIS Advanced Logging Module",
        "#Start-Date: 2017-09-23 00:00:00.064",
        "#Fields:  date time s-computername cs-method cs(User-Agent) cs(Host) sc-status TimeTakenMS",
    ]);
    let line = "2017-09-23\t00:03:11.235\t\"SP-WFE02\"\tGET\t\"Mozilla/4.0 (say \"\"ISA\"\")\"\t\"w3c.example.com\"\t401\t7";
    let (values, custom, flaw) = shown(&mut directives, line);
    let expected = [
        "sComputerName=SP-WFE02",
        "csMethod=GET",
        "csUserAgent=Mozilla/4.0 (say \"ISA\")",
        "csHost=w3c.example.com",
        "scStatus=401",
        "TimeTaken#7",
    ];
    assert_eq!((values, custom, flaw), (expected.map(str::to_owned).to_vec(), None, None));
    assert_eq!(directives.line(line).time, seconds("2017-09-23T00:03:11.235Z"));
}

#[test]
fn a_quotation_mark_of_a_client_is_a_letter_unless_the_count_says_otherwise() {
    let mut directives = with(&["#Fields: date time cs(User-Agent) X-Forwarded-For sc-status"]);
    let cases = [
        ("2026-11-23 00:00:01 \"odd 10.1.1.1 200", "\"odd", "10.1.1.1"),
        ("2026-11-23 00:00:01 \"even\" 10.1.1.1 200", "\"even\"", "10.1.1.1"),
        ("2026-11-23 00:00:01 curl \"10.1.1.1, 10.2.2.2\" 200", "curl", "10.1.1.1, 10.2.2.2"),
    ];
    for (line, agent, forwarded) in cases {
        let (values, custom, flaw) = shown(&mut directives, line);
        let expected = serde_json::json!({"X-Forwarded-For": forwarded});
        assert_eq!(values, [format!("csUserAgent={agent}"), "scStatus=200".to_owned()], "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&custom.unwrap()).unwrap(), expected);
        assert_eq!(flaw, None, "{line}");
    }
}

#[test]
fn a_line_that_is_not_as_announced_gives_what_surely_has_its_place() {
    let mut directives = with(&["#Fields: date time cs-method cs(User-Agent) sc-status time-taken"]);
    let cases: [(&str, &[&str], Flaw, bool); 7] = [
        ("2026-11-23 00:00:01 GET curl 20", &["csMethod=GET", "csUserAgent=curl"], Flaw::TooFew, true),
        ("2026-11-23 00:0", &[], Flaw::TooFew, false),
        ("x", &[], Flaw::TooFew, false),
        (
            "2026-11-23 00:00:01 GET curl with spaces 200 15",
            &["csMethod=GET", "scStatus=200", "TimeTaken#15"],
            Flaw::TooMany,
            true,
        ),
        (
            "2026-13-23 00:00:01 GET curl 200 15",
            &["csMethod=GET", "csUserAgent=curl", "scStatus=200", "TimeTaken#15"],
            Flaw::Value,
            false,
        ),
        (
            "2026-11-23 24:00:01 GET curl 200 -",
            &["csMethod=GET", "csUserAgent=curl", "scStatus=200"],
            Flaw::Value,
            false,
        ),
        (
            "2026-11-23 00:00:01 GET curl 200 1.5",
            &["csMethod=GET", "csUserAgent=curl", "scStatus=200"],
            Flaw::Value,
            true,
        ),
    ];
    for (line, expected, flaw, timed) in cases {
        let (values, _, found) = shown(&mut directives, line);
        assert_eq!(
            (values, found),
            (expected.iter().map(|v| (*v).to_owned()).collect(), Some(flaw)),
            "{line}"
        );
        assert_eq!(directives.line(line).time.is_some(), timed, "{line}");
    }
    assert_eq!(shown(&mut Directives::default(), "1 2 3"), (Vec::new(), None, Some(Flaw::NoFields)));
}

#[test]
fn a_hyphen_stays_in_a_text_and_is_no_number() {
    let mut directives = with(&["#Fields: date time cs-username sc-bytes s-port"]);
    let found = shown(&mut directives, "2026-11-23 00:00:01 - - -");
    assert_eq!(found, (vec!["csUserName=-".to_owned()], None, None));
    let found = shown(&mut directives, "2026-11-23 00:00:01 - 1 99999999999");
    assert_eq!(found, (vec!["csUserName=-".to_owned(), "scBytes#1".to_owned()], None, Some(Flaw::Value)));
}

#[test]
fn a_line_without_a_date_has_that_of_the_directive_and_goes_over_midnight_with_it() {
    let mut directives = with(&["#Date: 2026-11-30 23:59:58", "#Fields: time cs-method"]);
    let mut time = |line: &str| directives.line(line).time;
    assert_eq!(time("23:59:59 GET"), seconds("2026-11-30T23:59:59Z"));
    assert_eq!(time("23:59:50 GET"), seconds("2026-11-30T23:59:50Z"), "a request that took long");
    assert_eq!(time("00:00:01 GET"), seconds("2026-12-01T00:00:01Z"));
    assert_eq!(time("12:00:00 GET"), seconds("2026-12-01T12:00:00Z"));
    assert_eq!(with(&["#Fields: time"]).line("00:00:01").time, None);
}

#[test]
fn other_fields_have_a_bound_and_stay_json() {
    let mut directives = with(&["#Fields: a b c"]);
    let long = "\u{1}".repeat(5000);
    let line = format!("{long} {long} short");
    let read = directives.line(&line);
    let custom = read.custom.unwrap();
    assert!(read.cut && custom.len() <= LARGEST_CUSTOM, "{}", custom.len());
    let object: serde_json::Value = serde_json::from_str(&custom).unwrap();
    assert_eq!((object["a"].as_str(), object["c"].as_str()), (Some(long.as_str()), Some("short")));
}

/// Reads all there is, the way a reader does.
#[test]
fn of_too_many_fields_no_value_is_taken_for_that_of_another() {
    let names: Vec<String> = (0..400).map(|number| format!("f{number}")).collect();
    // The last field that is kept has a column, and the line's last value is not its value.
    let fields = format!("#Fields: date time {} sc-bytes {}", names[..253].join(" "), names[253..].join(" "));
    let values = vec!["7"; 403].join(" ");
    let mut directives = with(&[&fields]);
    let line = directives.line(&values);
    assert_eq!((&line.values[..], line.flaw), (&[][..], Some(Flaw::TooMany)));
    let long = format!("#Fields: date time {} sc-status sc-bytes", "n".repeat(5000));
    assert_eq!(with(&[&long]).line("2026-01-01 00:00:00 1 200 5").values, []);
    let text = serde_json::to_string(&directives).unwrap();
    assert_eq!(serde_json::from_str::<Directives>(&text).unwrap(), directives);
    for number in [1_000_000, 0] {
        assert!(with(&[&format!("#Fields:{}", " s-ip".repeat(number))]).line("a b").values.len() < 2);
    }
}

#[test]
fn directives_that_repeat_one_name_are_read_in_one_go() {
    let mut directives = Directives::default();
    for turn in 0..300 {
        assert!(directives.take(&format!("#Fields: {}", format!("{} ", turn % 2).repeat(256))));
    }
    assert_eq!(directives.line(&"v ".repeat(256)).custom.unwrap().matches("\"1_").count(), 255);
}

#[test]
fn no_clock_from_a_disk_makes_a_time_that_is_none() {
    for clock in [i64::MAX, i64::MIN, i64::MAX / 1_000_000, 253_402_300_800] {
        let text = format!("{{\"fields\":\"time s-ip\",\"clock\":{clock},\"quotes\":false}}");
        let mut directives: Directives = serde_json::from_str(&text).unwrap();
        assert_eq!(directives.line("10:00:00 10.0.0.1").time, None, "{clock}");
    }
}

fn pieces(bytes: &[u8], then: Then) -> (Vec<&[u8]>, u64, usize) {
    let (mut at, mut lines, mut gaps, mut discard) = (0, Vec::new(), 0, Discard::Nothing);
    loop {
        match lines::next(&bytes[at..], discard, then) {
            Piece::Record { raw, length, discard: next, .. } => {
                lines.push(raw);
                (at, discard) = (at + length, next);
            }
            Piece::Nothing { length, discard: next, nuls } => {
                assert!(length > 0);
                gaps += u64::from(nuls);
                (at, discard) = (at + length, next);
            }
            Piece::Unfinished => return (lines, gaps, at),
        }
    }
}

#[test]
fn nuls_end_a_torn_line_and_are_passed_over_where_text_follows() {
    let torn = [b"a 1\r\nb ".as_slice(), &[0; 300], b"#Fields: x\r\n\r\nc\r\nd"].concat();
    let found = pieces(&torn, Then::Later);
    assert_eq!(found, (vec![b"a 1\r".as_slice(), b"b ", b"#Fields: x\r", b"c\r"], 1, torn.len() - 1));
    let over = [b"a\nb".as_slice(), &[0; 20]].concat();
    assert_eq!(pieces(&over, Then::Over), (vec![b"a".as_slice(), b"b"], 0, over.len()));
    assert_eq!(lines::written(&over), b"a\nb");
    assert_eq!(pieces(lines::written(&over), Then::Later), (vec![b"a".as_slice()], 0, 2));
}

#[test]
fn a_line_that_is_longer_than_the_window_is_cut_and_its_rest_left_out() {
    let mut bytes = vec![b'x'; WINDOW];
    let Piece::Record { length, cut: true, discard, .. } = lines::next(&bytes, Discard::Nothing, Then::More)
    else {
        panic!("a record")
    };
    assert_eq!((length, discard), (WINDOW, Discard::Line));
    assert!(matches!(
        lines::next(&bytes, discard, Then::More),
        Piece::Nothing { discard: Discard::Line, .. }
    ));
    bytes[9] = b'\n';
    let rest = lines::next(&bytes, discard, Then::More);
    assert_eq!(rest, Piece::Nothing { length: 10, discard: Discard::Nothing, nuls: false });
}

#[test]
fn code_pages_become_text() {
    let page = encoding_rs::Encoding::for_label(b"windows-1252").unwrap();
    assert_eq!(lines::text(b"/caf\xe9\r", page), ("/café".into(), false));
    assert_eq!(lines::text(b"/caf\xe9", encoding_rs::UTF_8), ("/caf\u{fffd}".into(), true));
    let page = encoding_rs::Encoding::for_label(b"shift_jis").unwrap();
    assert_eq!(lines::text(b"/\x83\x5c", page), ("/ソ".into(), false));
}

proptest! {
    #[test]
    fn no_bytes_panic(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'"'), Just(b'\n'), Just(b'#'), Just(0)], 0..400),
        names in "[ a-z():-]{0,80}",
        quotes in any::<bool>(),
    ) {
        let software = if quotes { "#Software: IIS Advanced Logging Module" } else { "#Software: IIS" };
        let mut directives = with(&[software, &format!("#Fields: date time {names}")]);
        let (lines, _, at) = pieces(&bytes, Then::Over);
        prop_assert_eq!(at, bytes.len());
        for raw in lines {
            let (text, _) = lines::text(raw, encoding_rs::UTF_8);
            directives.pass(&text);
            let line = directives.line(&text);
            if let Some(custom) = &line.custom {
                prop_assert!(serde_json::from_str::<serde_json::Value>(custom).is_ok());
            }
        }
    }

    #[test]
    fn a_line_of_as_many_values_as_fields_has_each_in_its_place(
        values in proptest::collection::vec("[!-~]{1,20}", 3)
    ) {
        let mut directives = with(&["#Fields: cs-uri-stem cs(Referer) cs-host"]);
        let line = values.join(" ");
        let read = directives.line(&line);
        let texts: Vec<_> = read.values.into_iter().map(|(_, content)| match content {
            Content::Text(text) => text.into_owned(),
            Content::Number(_) => unreachable!(),
        }).collect();
        prop_assert_eq!((texts, read.flaw), (values, None));
    }
}
