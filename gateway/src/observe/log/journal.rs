//! The journal's own socket: one datagram an entry, as `systemd.journal-fields(7)` and
//! "Native Journal Protocol" describe it.
//!
//! An entry that is too large for a datagram would have to go by a sealed memfd. There is none: an entry
//! is cut to [`super::form::LARGEST_ENTRY`] bytes, which any socket takes.

use std::ffi::OsStr;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// Longest wait for the journal to take an entry.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a journal that takes nothing is complained about on standard error.
const COMPLAIN: Duration = Duration::from_secs(60);

/// A connection to the journal. Each write is one entry.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    unsent: Arc<AtomicU64>,
    complained: Option<Instant>,
}

impl Journal {
    /// Connects to the journal's socket.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = connect(path)?;
        Ok(Self { socket, path: path.to_owned(), unsent: Arc::default(), complained: None })
    }

    /// Counts here what the journal does not take.
    pub(super) fn counting(self, unsent: Arc<AtomicU64>) -> Self {
        Self { unsent, ..self }
    }

    /// Sends an entry; of a journal that was started anew the old connection knows nothing.
    fn send(&mut self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send(entry) {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => {
                self.socket = connect(&self.path)?;
                self.socket.send(entry).map(drop)
            }
            Err(error) => Err(error),
        }
    }
}

impl Write for Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.send(entry) {
            self.unsent.fetch_add(1, Ordering::Relaxed);
            if self.complained.is_none_or(|then| then.elapsed() >= COMPLAIN) {
                self.complained = Some(Instant::now());
                // Where even this cannot be written, the metric tells.
                let _ = writeln!(io::stderr(), "<3>la-gateway: the journal takes no records: {error}");
            }
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::BrokenPipe;
    use io::ErrorKind::ConnectionRefused;
    use io::ErrorKind::ConnectionReset;
    use io::ErrorKind::NotConnected;
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotConnected | BrokenPipe)
}

/// Says whether standard output or standard error is a stream of the journal: systemd tells device and
/// inode of its stream in `JOURNAL_STREAM`, which is inherited also by those whose output went elsewhere.
pub(super) fn leads_to_the_journal(stream: Option<&OsStr>) -> bool {
    let Some(stream) = stream.and_then(OsStr::to_str) else { return false };
    is_stream(stream, io::stdout()) || is_stream(stream, io::stderr())
}

fn is_stream(stream: &str, output: impl AsFd) -> bool {
    rustix::fs::fstat(output).is_ok_and(|stat| format!("{}:{}", stat.st_dev, stat.st_ino) == stream)
}

#[cfg(test)]
mod tests {
    use super::super::form::LARGEST_ENTRY;
    use super::*;

    fn fake(path: &Path) -> UnixDatagram {
        let fake = UnixDatagram::bind(path).expect("a fake journal");
        fake.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket option");
        fake
    }

    #[test]
    fn each_write_is_one_datagram_and_the_largest_entry_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let fake = fake(&path);
        let mut journal = Journal::connect(&path).expect("connects");
        let mut bytes = vec![0; LARGEST_ENTRY + 1];
        for length in [1, 100, LARGEST_ENTRY] {
            journal.write_all(&vec![b'x'; length]).expect("sent");
            assert_eq!(fake.recv(&mut bytes).expect("received"), length);
        }
        assert_eq!(journal.unsent.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_journal_that_comes_back_is_found_and_what_it_missed_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let first = fake(&path);
        let mut journal = Journal::connect(&path).expect("connects");
        drop(first);
        std::fs::remove_file(&path).expect("removed");
        journal.write_all(b"lost").expect("never fails");
        assert_eq!(journal.unsent.load(Ordering::Relaxed), 1);
        let second = fake(&path);
        journal.write_all(b"found").expect("sent");
        let mut bytes = [0; 16];
        assert_eq!(second.recv(&mut bytes).expect("received"), 5);
        assert_eq!(journal.unsent.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn only_the_very_stream_that_systemd_names_counts_as_the_journal() {
        let file = std::fs::File::open("/dev/null").expect("a file");
        let stat = rustix::fs::fstat(&file).expect("its numbers");
        let (device, inode) = (stat.st_dev, stat.st_ino);
        assert!(is_stream(&format!("{device}:{inode}"), &file));
        for other in [format!("{device}:{}", inode + 1), format!("{device}"), String::new(), ":".into()] {
            assert!(!is_stream(&other, &file), "{other}");
        }
        assert!(!leads_to_the_journal(None));
    }
}
