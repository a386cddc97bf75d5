//! A log file that does not fill the disk: when it is large it becomes an old one, and a new one begins.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Most bytes of a file.
    pub largest: u64,
    /// Most old files, `NAME.1` the youngest.
    pub old: u32,
}

/// The file, and how large it is.
#[derive(Debug)]
pub struct RollingFile {
    path: PathBuf,
    kept: Kept,
    file: File,
    length: u64,
}

impl RollingFile {
    /// Opens it to write on. One that is made is its owner's only; on Windows it inherits that from its folder.
    pub fn open(path: &Path, kept: Kept) -> io::Result<Self> {
        let mut options = File::options();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), kept, file, length })
    }

    /// Begins a new file; where that fails the old one goes on.
    fn roll(&mut self) {
        self.length = 0;
        for number in (1..self.kept.old).rev() {
            let _ = fs::rename(self.old(number), self.old(number + 1));
        }
        if fs::rename(&self.path, self.old(1)).is_ok()
            && let Ok(new) = Self::open(&self.path, self.kept)
        {
            *self = new;
        }
    }

    fn old(&self, number: u32) -> OsString {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name
    }
}

impl Write for RollingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length >= self.kept.largest {
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

    const LINE: &[u8] = b"a line of sixteen";

    #[test]
    fn a_log_has_as_many_files_as_are_kept_and_none_is_larger_than_it_may_be() {
        for old in [1, 3] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("some.log");
            let kept = Kept { largest: 1024, old };
            let mut log = RollingFile::open(&path, kept).expect("open");
            for _ in 0..u64::from(old + 3) * kept.largest / LINE.len() as u64 {
                log.write_all(LINE).expect("written");
            }
            log.write_all(b"last\n").expect("written");
            assert!(fs::read(&path).expect("read").ends_with(b"last\n"));
            let sizes: Vec<u64> = fs::read_dir(folder.path())
                .expect("read")
                .map(|file| file.and_then(|file| file.metadata()).expect("a file").len())
                .collect();
            let most = kept.largest + LINE.len() as u64;
            assert!(sizes.len() == old as usize + 1 && sizes.iter().all(|size| *size <= most), "{sizes:?}");
            drop(log);
            RollingFile::open(&path, kept).expect("open").write_all(b"on\n").expect("written");
            assert!(fs::read(&path).expect("read").ends_with(b"last\non\n"));
        }
    }
}
