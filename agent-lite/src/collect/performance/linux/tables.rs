use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

use crate::events;
use crate::events::Event;

/// Bytes the buffer keeps between two wakeups at most.
const USUAL: usize = 64 * 1024;
/// Most bytes of a table; what is beyond is not read.
pub(super) const LARGEST_TABLE: usize = 1024 * 1024;

/// One buffer for all tables, one after the other.
pub(super) struct Buffer(Vec<u8>);

/// A table of the kernel: opened once, read from its beginning each time.
pub(super) struct TableFile {
    path: PathBuf,
    file: Option<File>,
    trouble: Trouble,
}

/// Whether a thing failed when it was last tried: an operator hears of it once, not at each sampling.
#[derive(Default)]
pub(super) struct Trouble(bool);

impl Buffer {
    /// Begins small.
    pub(super) fn new() -> Self {
        Self(vec![0; USUAL / 8])
    }

    /// Reads a whole file from its beginning; of one longer than [`LARGEST_TABLE`] the lines that fit.
    pub(super) fn fill(&mut self, file: &File) -> io::Result<&[u8]> {
        let mut length = 0;
        loop {
            if length == self.0.len() {
                if length >= LARGEST_TABLE {
                    let whole = self.0.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    return Ok(self.0.get(..whole).unwrap_or_default());
                }
                self.0.resize((length * 2).clamp(1, LARGEST_TABLE), 0);
            }
            let rest = self.0.get_mut(length..).unwrap_or_default();
            match file.read_at(rest, length as u64) {
                Ok(0) => return Ok(self.0.get(..length).unwrap_or_default()),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens a file, reads it whole and closes it.
    pub(super) fn fill_from(&mut self, path: &Path) -> io::Result<&[u8]> {
        self.fill(&File::open(path)?)
    }

    /// Gives memory of a peak back.
    pub(super) fn shrink(&mut self) {
        self.0.truncate(USUAL);
        self.0.shrink_to(USUAL);
    }
}

impl TableFile {
    /// Names the file.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, trouble: Trouble::default() }
    }

    /// Reads the table; one that cannot be read is said and opened anew next time.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut Buffer) -> Option<&'a [u8]> {
        let read = self.open().and_then(|file| buffer.fill(file));
        self.trouble.note(read.as_ref().err().map(|error| (self.path.as_path(), error)));
        if read.is_err() {
            self.file = None;
        }
        read.ok()
    }

    fn open(&mut self) -> io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(File::open(&self.path)?)),
        }
    }
}

impl Trouble {
    /// Notes how it went; the first failure after a success is said.
    pub(super) fn note(&mut self, failure: Option<(&Path, &io::Error)>) {
        if let Some((path, error)) = failure
            && !self.0
        {
            let detail =
                format!("{}: {error}; its counters are missing until it can be read", path.display());
            events::say(Event::SourceTrouble, "performance", detail);
        }
        self.0 = failure.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_table_is_read_whole_from_its_beginning_each_time_and_the_buffer_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let (mut table, mut buffer) = (TableFile::new(path.clone()), Buffer::new());
        assert!(table.read(&mut buffer).is_none());
        for length in [0, 5, USUAL / 8, USUAL * 3 + 1, 7] {
            let text = vec![b'x'; length];
            fs::write(&path, &text).unwrap();
            assert_eq!(table.read(&mut buffer).unwrap(), text, "{length}");
        }
        assert!(buffer.0.capacity() > USUAL);
        buffer.shrink();
        assert!(buffer.0.capacity() <= USUAL);
    }

    #[test]
    fn a_table_that_could_not_be_read_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let (mut table, mut buffer) = (TableFile::new(path.clone()), Buffer::new());
        // A folder can be opened and not be read.
        fs::create_dir(&path).unwrap();
        assert!(table.read(&mut buffer).is_none());
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "x").unwrap();
        assert_eq!(table.read(&mut buffer), Some(&b"x"[..]));
    }

    #[test]
    fn of_a_table_beyond_the_bound_the_whole_lines_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        fs::write(&path, "a line\n".repeat(LARGEST_TABLE / 4)).unwrap();
        let mut buffer = Buffer::new();
        let read = buffer.fill_from(&path).unwrap();
        assert!(read.len() > LARGEST_TABLE - 8 && read.len() <= LARGEST_TABLE);
        assert!(read.ends_with(b"line\n"));
    }
}
