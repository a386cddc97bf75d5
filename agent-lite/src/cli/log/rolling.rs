//! A log file that does not fill the disk: when it is large it becomes the old one, and a new one begins.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use agent_lite::system;

/// Most bytes of a file; there are two.
const LARGEST: u64 = 10 * 1024 * 1024;

/// The file, and how large it is.
pub(super) struct RollingFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl RollingFile {
    /// Opens it to write on.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = system::private(File::options().append(true).create(true)).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Begins a new file; where that fails the old one goes on.
    fn roll(&mut self) {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        self.length = 0;
        if fs::rename(&self.path, old).is_ok()
            && let Ok(new) = Self::open(&self.path)
        {
            *self = new;
        }
    }
}

impl Write for RollingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length >= LARGEST {
            self.roll();
        }
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_two_files_at_most_and_neither_is_larger_than_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent-lite.log");
        let line = [b'x'; 64 * 1024];
        let mut log = RollingFile::open(&path).unwrap();
        for _ in 0..3 * LARGEST / line.len() as u64 + 1 {
            log.write_all(&line).unwrap();
        }
        log.write_all(b"last\n").unwrap();
        assert!(fs::read(&path).unwrap().ends_with(b"last\n"));
        let sizes: Vec<u64> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .collect();
        assert!(
            sizes.len() == 2 && sizes.iter().all(|size| *size <= LARGEST + line.len() as u64),
            "{sizes:?}"
        );
        drop(log);
        RollingFile::open(&path).unwrap().write_all(b"on\n").unwrap();
        assert!(fs::read(&path).unwrap().ends_with(b"last\non\n"));
    }
}
