use super::*;
use crate::record::Frames;
use crate::record::Timestamp;
use crate::record::Value;
use crate::transport::rows::tests::agent;
use crate::transport::rows::tests::frame;
use crate::transport::rows::tests::oracle;
use flate2::read::GzDecoder;
use flate2::read::ZlibDecoder;
use proptest::prelude::*;
use serde_json::Value as Json;
use std::io::Read;

const NUMBER: u64 = 9;
const FORMS: [Form; 3] =
    [Form::LogAnalyticsAgent { workspace: String::new() }, Form::DataCollector, Form::LogsIngestion];

/// A value that owns its text.
#[derive(Clone, Debug)]
enum Owned {
    Text(String),
    Integer(i64),
    Real(f64),
    Time(i64),
    Json(String),
}

type Values = Vec<(Column, Owned)>;

fn values(values: &Values) -> Vec<(Column, Value<'_>)> {
    let borrowed = values.iter().map(|(column, value)| {
        let value = match value {
            Owned::Text(text) => Value::Text(text),
            Owned::Json(text) => Value::Json(text),
            Owned::Integer(value) => Value::Integer(*value),
            Owned::Real(value) => Value::Real(*value),
            Owned::Time(time) => Value::Time(Timestamp(*time)),
        };
        (*column, value)
    });
    borrowed.collect()
}

fn columns_of(table: &Table) -> Vec<Column> {
    let numbers = match table {
        Table::Syslog => 1..=8,
        Table::Perf => 16..=19,
        Table::Event => 64..=74,
        Table::Custom(_) => 24..=25,
        Table::Heartbeat => 32..=42,
        Table::Operation => 48..=53,
        Table::W3cIisLog => 96..=116,
    };
    numbers.map(|number| Column::of_number(number).unwrap()).collect()
}

fn any_text(most: usize) -> impl Strategy<Value = String> {
    let bytes = proptest::collection::vec(0u8..128, 0..most);
    prop_oneof![
        bytes.prop_map(|bytes| String::from_utf8(bytes).unwrap()),
        proptest::collection::vec(any::<char>(), 0..most / 4).prop_map(String::from_iter),
        Just("plain".to_owned()),
    ]
}

fn any_value(column: Column, most: usize) -> BoxedStrategy<(Column, Owned)> {
    use crate::record::Kind;
    let value = match column.kind() {
        Kind::Text => any_text(most).prop_map(Owned::Text).boxed(),
        Kind::Integer => any::<i64>().prop_map(Owned::Integer).boxed(),
        Kind::Real => any::<i32>().prop_map(|value| Owned::Real(f64::from(value) / 8.0)).boxed(),
        Kind::Time => (0..4_000_000_000_000_000i64).prop_map(Owned::Time).boxed(),
        Kind::Json => {
            prop_oneof![Just("[\"10.0.0.4\", null]".to_owned()), any_text(9)].prop_map(Owned::Json).boxed()
        }
    };
    value.prop_map(move |value| (column, value)).boxed()
}

fn any_records(most: usize, count: usize) -> impl Strategy<Value = (Table, Vec<(i64, Values)>)> {
    let tables = ["Syslog", "Perf", "Event", "Heartbeat", "Operation", "W3CIISLog", "App_CL"]
        .map(|name| name.parse::<Table>().unwrap());
    proptest::sample::select(tables.to_vec()).prop_flat_map(move |table| {
        let all = columns_of(&table);
        let needed = usize::from(table == Table::Perf) * all.len();
        let some = proptest::sample::subsequence(all.clone(), needed.max(1)..=all.len());
        let record = some.prop_flat_map(move |some| {
            some.into_iter().map(|column| any_value(column, most)).collect::<Vec<_>>()
        });
        let records = proptest::collection::vec((0..4_000_000_000_000_000i64, record), 1..count);
        (Just(table), records)
    })
}

fn frames_of(records: &[(i64, Values)]) -> Frames {
    let mut frames = Frames::default();
    for (time, record) in records {
        frame(&mut frames, Timestamp(*time), &values(record));
    }
    frames
}

fn all_parcels(form: &Form, table: &Table, frames: &[u8], limit: &Limit) -> Vec<Parcel> {
    let (mut packer, agent, mut parcels) = (Packer::new(), agent(), Vec::new());
    let (mut first, mut at) = (0, 0);
    while at < frames.len() {
        let batch = Batch { table, number: NUMBER, first, frames: &frames[at..] };
        let parcel = packer.pack(form, &agent, &batch, limit);
        assert!(parcel.records > 0 && parcel.consumed > 0, "it must go on");
        assert!(parcel.records <= limit.records.max(1));
        assert_eq!(parcel.records, parcel.sent + parcel.damaged);
        (first, at) = (first + parcel.records, at + parcel.consumed);
        parcels.push(parcel);
    }
    parcels
}

fn inflated(parcel: &Parcel) -> Vec<u8> {
    let mut raw = Vec::new();
    match parcel.encoding {
        Some("gzip") => GzDecoder::new(&parcel.body[..]).read_to_end(&mut raw).unwrap(),
        Some("deflate") => ZlibDecoder::new(&parcel.body[..]).read_to_end(&mut raw).unwrap(),
        None => parcel.body.as_ref().read_to_end(&mut raw).unwrap(),
        Some(other) => panic!("{other}"),
    };
    assert_eq!(raw.len(), parcel.raw);
    raw
}

fn rows_of(form: &Form, parcel: &Parcel) -> Vec<Json> {
    let mut body: Json = serde_json::from_slice(&inflated(parcel)).unwrap();
    let rows = match form {
        Form::LogAnalyticsAgent { .. } if body.is_object() => body["DataItems"].take(),
        // Custom JSON has no envelope.
        Form::LogAnalyticsAgent { .. } | Form::DataCollector | Form::LogsIngestion => body,
    };
    let Json::Array(rows) = rows else { panic!("an array") };
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn all_records_arrive_once_in_order_and_as_an_oracle_writes_them(
        (table, records) in any_records(120, 60),
        raw in 20_000usize..60_000,
        most in 1u32..80,
        form in proptest::sample::select(FORMS.to_vec()),
    ) {
        let frames = frames_of(&records);
        let limit = Limit { records: most, raw };
        let parcels = all_parcels(&form, &table, frames.bytes(), &limit);
        let mut found = Vec::new();
        let mut text = Vec::new();
        let blob = matches!((&form, &table), (Form::LogAnalyticsAgent { .. }, Table::Custom(_)));
        for parcel in &parcels {
            prop_assert!(parcel.raw <= raw && parcel.body.len() <= raw);
            prop_assert_eq!(parcel.shortened, 0);
            match blob {
                true => text.extend(inflated(parcel)),
                false => found.extend(rows_of(&form, parcel)),
            }
        }
        let mut expected = Vec::new();
        for (index, (time, record)) in records.iter().enumerate() {
            let sequence = (NUMBER << 20) as i64 + index as i64;
            match (blob, record.iter().find(|(column, _)| *column == Column::RawData)) {
                (false, _) => {
                    expected.push(oracle(&form, &table, Timestamp(*time), &values(record), sequence));
                }
                (true, Some((_, Owned::Text(line)))) => {
                    let end = text.split_off(line.len());
                    prop_assert_eq!(line.as_bytes(), &text);
                    text = end.strip_prefix(b"\r\n").unwrap().to_vec();
                }
                (true, _) => {}
            }
        }
        prop_assert_eq!(found, expected);
        prop_assert!(text.is_empty());
    }

    #[test]
    fn a_record_that_is_too_large_is_made_smaller_and_the_others_stay(
        (table, records) in any_records(9_000, 8),
        raw in 1_500usize..20_000,
        form in proptest::sample::select(FORMS.to_vec()),
    ) {
        let frames = frames_of(&records);
        let parcels = all_parcels(&form, &table, frames.bytes(), &Limit { records: 100, raw });
        prop_assert_eq!(parcels.iter().map(|parcel| parcel.records as usize).sum::<usize>(), records.len());
        for parcel in parcels.iter().filter(|parcel| parcel.sent > 0) {
            prop_assert!(parcel.raw <= raw && parcel.body.len() <= raw, "{} {} {raw}", parcel.raw, parcel.body.len());
            match parcel.file_path {
                Some(_) => prop_assert!(str::from_utf8(&inflated(parcel)).unwrap().ends_with("\r\n")),
                None => prop_assert_eq!(rows_of(&form, parcel).len(), parcel.sent as usize),
            }
        }
    }
}

fn lines(texts: &[(&str, &str)]) -> Frames {
    let mut frames = Frames::default();
    for (path, line) in texts {
        let values = [(Column::FilePath, Value::Text(path)), (Column::RawData, Value::Text(line))];
        frame(&mut frames, Timestamp(0), &values);
    }
    frames
}

fn app() -> Table {
    "App_CL".parse().unwrap()
}

#[test]
fn the_text_of_one_blob_comes_from_one_file() {
    let frames = lines(&[("/a", "1"), ("/a", "2"), ("/b", "3"), ("/a", "4")]);
    let parcels = all_parcels(&FORMS[0], &app(), frames.bytes(), &Limit { records: 10, raw: 1000 });
    let found: Vec<_> = parcels.iter().map(|p| (p.file_path.as_deref().unwrap(), &p.body[..])).collect();
    assert_eq!(found, [("/a", &b"1\r\n2\r\n"[..]), ("/b", b"3\r\n"), ("/a", b"4\r\n")]);
}

#[test]
fn a_body_is_filled_to_its_last_byte_and_not_beyond() {
    let frames = lines(&[("/a", "x"), ("/a", "x")]);
    for form in &FORMS[1..] {
        let parcels = |raw, records| all_parcels(form, &app(), frames.bytes(), &Limit { records, raw });
        let one = parcels(1000, 1)[0].raw;
        let both = 2 * one - 1;
        for (raw, records) in [(both, 2), (both - 1, 1), (one, 1)] {
            let found = parcels(raw, 10);
            assert_eq!((found[0].records, found[0].shortened), (records, 0), "{form:?}: {raw} of {both}");
        }
        assert!(parcels(20, 10).iter().all(|parcel| parcel.damaged == 2 && parcel.body.is_empty()));
    }
}

#[test]
fn what_cannot_be_compressed_stays_within_the_limit_too() {
    let mut state = 1u32;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from_u32(0x4e00 + state % 0x5000).unwrap()
    };
    let texts: Vec<String> = (0..40).map(|_| (0..5_000).map(|_| noise()).collect()).collect();
    let texts: Vec<_> = texts.iter().map(|text| ("/a", text.as_str())).collect();
    let frames = lines(&texts);
    let limit = Limit { records: 1000, raw: 200_000 };
    let parcels = all_parcels(&FORMS[2], &app(), frames.bytes(), &limit);
    assert_eq!(parcels.iter().map(|parcel| rows_of(&FORMS[2], parcel).len()).sum::<usize>(), 40);
    assert!(parcels.iter().all(|parcel| parcel.body.len() <= limit.raw && parcel.shortened == 0));
}

#[test]
fn a_record_that_cannot_be_read_is_counted_and_the_next_one_sent() {
    let mut damaged = Vec::new();
    let payload = [&[0; 8][..], &[255]].concat();
    damaged.extend_from_slice(&9u32.to_le_bytes());
    damaged.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    damaged.extend_from_slice(&payload);
    damaged.extend_from_slice(lines(&[("/a", "1")]).bytes());
    let whole = damaged.len();
    damaged.extend_from_slice(&lines(&[("/a", "2"), ("/a", "3")]).bytes()[3..]);
    let parcels = all_parcels(&FORMS[2], &app(), &damaged, &Limit { records: 10, raw: 1000 });
    assert_eq!(parcels.len(), 1);
    let parcel = &parcels[0];
    assert_eq!((parcel.records, parcel.sent, parcel.damaged), (3, 1, 2));
    assert_eq!(rows_of(&FORMS[2], parcel)[0]["Seq"], (NUMBER << 20) + 1);
    let parcels = all_parcels(&FORMS[2], &app(), &damaged[whole..], &Limit { records: 10, raw: 1000 });
    assert_eq!((parcels[0].records, parcels[0].sent, parcels[0].damaged), (1, 0, 1));
    assert!(parcels[0].body.is_empty());
}
