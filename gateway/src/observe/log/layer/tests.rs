//! Every event becomes a record or is told as a number.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;

use tracing_subscriber::layer::SubscriberExt;

use super::super::queue::Unit;
use super::*;

const FLOOD: u64 = 5_000;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic under the lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the records of what this does.
fn records(make: impl FnOnce()) -> Vec<serde_json::Value> {
    let page = Page::default();
    let (out, guard) = Queue::start(page.clone(), Unit::Lines).expect("a thread");
    let subscriber = tracing_subscriber::registry().with(Records::new(Form::Json, out));
    tracing::subscriber::with_default(subscriber, make);
    drop(guard);
    let bytes = page.0.lock().expect("no panic under the lock");
    let text = std::str::from_utf8(&bytes).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

fn number(record: &serde_json::Value, field: &str) -> u64 {
    record.get(field).and_then(serde_json::Value::as_u64).unwrap_or_default()
}

#[test]
fn a_flood_of_records_is_cut_and_counted_to_the_last_whoever_makes_it() {
    let records = records(|| {
        for turn in 0..FLOOD {
            let client = format!("10.0.0.1:{turn}");
            warn!(event_id = 119, relay = "proxy.example:8080", turn, client, "relay set back");
            if turn == 1 {
                warn!(event_id = 119, relay = "other.example:8080", turn, client, "relay set back");
            }
        }
        tell_repeats(&Repeats::default());
        tell_repeats(&Repeats::default());
    });
    let written: Vec<_> = records.iter().filter(|record| record["relay"] == "proxy.example:8080").collect();
    assert!((200..2_000).contains(&written.len()), "{}", written.len());
    let told: Vec<_> = records.iter().filter(|record| record["event_id"] == 150).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((number(told[0], "of_event"), told[0]["like"].as_str()), (119, Some("relay set back")));
    assert_eq!(told[0]["level"], "WARN");
    let suppressed: u64 = written.iter().chain(&told).map(|record| number(record, "suppressed")).sum();
    assert_eq!(written.len() as u64 + suppressed, FLOOD);
    let other = records.iter().filter(|record| record["relay"] == "other.example:8080").count();
    assert_eq!(other, 1, "another subject is not touched");
}

#[test]
fn access_records_have_a_bound_of_their_own_and_keep_their_count() {
    let records = records(|| {
        for _ in 0..FLOOD {
            warn!(target: "access", event_id = 105, suppressed = 7, "no rule allows this host");
        }
    });
    assert_eq!(records.len() as u64, FLOOD);
    assert!(records.iter().all(|record| number(record, "suppressed") == 7));
}
