//! The program's records: lines of JSON on its standard output, kept in their order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::BufReader;
use tokio::sync::watch;

use crate::patience::PATIENCE;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(Value);

impl Record {
    /// Returns a text field, or panics with the whole record.
    pub fn text(&self, field: &str) -> &str {
        match self.0.get(field).and_then(Value::as_str) {
            Some(text) => text,
            None => panic!("no text field {field} in {}", self.0),
        }
    }

    /// Returns a number field, or panics with the whole record.
    pub fn number(&self, field: &str) -> u64 {
        match self.0.get(field).and_then(Value::as_u64) {
            Some(number) => number,
            None => panic!("no number field {field} in {}", self.0),
        }
    }

    /// Returns whether a text field has this value; a record without the field has it not.
    pub fn is(&self, field: &str, value: &str) -> bool {
        self.0.get(field).and_then(Value::as_str) == Some(value)
    }

    /// Returns whether this is the access record of one request.
    pub fn is_access(&self) -> bool {
        self.is("target", "access")
    }

    /// Returns whether this is the access record of the request from this address.
    pub fn is_from(&self, client: SocketAddr) -> bool {
        self.is_access() && self.is("client", &client.to_string())
    }

    /// Returns the number of the event, if the record has one.
    pub fn event_id(&self) -> Option<u64> {
        self.0.get("event_id").and_then(Value::as_u64)
    }

    /// Asserts several text fields at once.
    pub fn assert_texts(&self, expected: &[(&str, &str)]) {
        for (field, value) in expected {
            assert_eq!(self.text(field), *value, "{field} in {}", self.0);
        }
    }
}

/// Everything a running program has said so far.
#[derive(Clone, Default)]
pub struct Log(Arc<Inner>);

#[derive(Default)]
struct Inner {
    lines: Mutex<Vec<String>>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    lines: usize,
    ended: bool,
}

impl Log {
    /// Reads lines until the program closes its output.
    pub async fn follow(self, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.0.lines.lock().expect("no panic under the lock").push(line);
            self.0.progress.send_modify(|progress| progress.lines += 1);
        }
        self.0.progress.send_modify(|progress| progress.ended = true);
    }

    /// Returns every line so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lines.lock().expect("no panic under the lock").clone()
    }

    /// Returns every line so far that is a record.
    pub fn records(&self) -> Vec<Record> {
        self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).map(Record).collect()
    }

    /// Waits until `find` makes something of the lines so far.
    pub async fn wait_for<T>(&self, what: &str, find: impl Fn(&Self) -> Option<T>) -> T {
        let mut progress = self.0.progress.subscribe();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let ended = progress.borrow_and_update().ended;
            if let Some(found) = find(self) {
                return found;
            }
            assert!(!ended, "the program ended before {what}");
            let changed = tokio::time::timeout_at(deadline, progress.changed()).await;
            assert!(changed.is_ok(), "gave up after {PATIENCE:?}: {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_is_found_among_other_lines_even_when_it_comes_later() {
        let log = Log::default();
        let (mut near, far) = tokio::io::duplex(16);
        let follower = tokio::spawn(log.clone().follow(far));
        let found = tokio::spawn(async move {
            log.wait_for("a record", |log| log.records().into_iter().find(Record::is_access)).await
        });
        let text = "no record\n{\"target\":\"access\",\"status\":200,\"client\":\"127.0.0.1:9\"}\n";
        tokio::io::AsyncWriteExt::write_all(&mut near, text.as_bytes()).await.expect("written");
        let record = found.await.expect("found");
        assert_eq!(record.number("status"), 200);
        assert!(record.is_from("127.0.0.1:9".parse().expect("an address")));
        drop(near);
        follower.await.expect("ended");
    }
}
