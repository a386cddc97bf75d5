//! A fake systemd journal: a datagram socket that reads entries as journald does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::patience::patiently;

/// Largest datagram that is taken.
const LARGEST: usize = 256 * 1024;

/// One entry by its field names.
pub type Entry = BTreeMap<String, String>;

/// A running journal. Dropping it closes the socket and removes its file.
pub struct FakeJournal {
    entries: Arc<Mutex<Vec<Entry>>>,
    count: watch::Receiver<usize>,
    reading: AbortHandle,
    path: std::path::PathBuf,
}

impl FakeJournal {
    /// Binds a socket; every entry is read strictly from now on.
    pub fn start(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket of the journal");
        let entries = Arc::new(Mutex::new(Vec::new()));
        let (said, count) = watch::channel(0);
        let kept = Arc::clone(&entries);
        let reading = tokio::spawn(async move {
            let mut bytes = vec![0; LARGEST];
            while let Ok(length) = socket.recv(&mut bytes).await {
                kept.lock().expect("no panic under the lock").push(read(&bytes[..length]));
                said.send_modify(|count| *count += 1);
            }
        });
        Self { entries, count, reading: reading.abort_handle(), path: path.to_owned() }
    }

    /// Returns every entry so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("no panic under the lock").clone()
    }

    /// Waits for an entry. A journal that read something malformed has ended.
    pub async fn wait_for(&self, what: &str, matches: impl Fn(&Entry) -> bool) -> Entry {
        let mut count = self.count.clone();
        patiently(what, async {
            loop {
                count.borrow_and_update();
                if let Some(found) = self.entries().into_iter().find(|entry| matches(entry)) {
                    return found;
                }
                count.changed().await.expect("a journal that goes on");
            }
        })
        .await
    }
}

impl Drop for FakeJournal {
    fn drop(&mut self) {
        self.reading.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads an entry of the native protocol, or panics.
fn read(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a whole line");
        let (name, value, used) = match bytes[..end].iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], &bytes[at + 1..end], end + 1),
            None => {
                let length = bytes[end + 1..end + 9].try_into().expect("a length");
                let behind = end + 9 + u64::from_le_bytes(length) as usize;
                assert_eq!(bytes[behind], b'\n');
                (&bytes[..end], &bytes[end + 9..behind], behind + 1)
            }
        };
        let name = std::str::from_utf8(name).expect("a name");
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_name), "{name:?}");
        let value = String::from_utf8(value.to_vec()).expect("UTF-8");
        assert!(entry.insert(name.to_owned(), value).is_none(), "{name} stands twice");
        bytes = &bytes[used..];
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_fields_are_read() {
        let entry = read(b"PRIORITY=6\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nCLIENT=x=y\n");
        let wanted = [("CLIENT", "x=y"), ("MESSAGE", "a\nb"), ("PRIORITY", "6")];
        assert_eq!(entry, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
