//! A disk that forgets. It stands below [`super`] while a [`Recording`] lives, on this thread: steps are done for real in
//! a folder and noted, each may fail, and [`Recording::crash`] makes a folder as a disk may hold it after a loss of power.
//!
//! What a disk has for sure is what was synced: a file's bytes by a sync of the file, a name by a sync of its folder.
//! Of all else any part may be there: a write wholly, partly, as zeros or not at all; a length without its bytes; a
//! rename or removal, or not, but for a folder, which no file system with a journal gives two names. What a sync failed
//! on is never sure any more, for the kernel forgets it (`fsync(2)`).

mod image;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use self::image::Disk;

thread_local! {
    static DOUBLE: RefCell<Option<Double>> = const { RefCell::new(None) };
}

/// What is noted. Files and folders have numbers, for names change.
#[derive(Clone, Debug)]
enum Step {
    Create { node: usize, folder: usize, name: String, is_folder: bool },
    Write { node: usize, at: u64, bytes: Vec<u8> },
    Overwrite { node: usize, bytes: Vec<u8> },
    Cut { node: usize, length: u64 },
    Sync { node: usize },
    FailedSync { node: usize },
    SyncFolder { folder: usize },
    Rename { node: usize, from: (usize, String), to: (usize, String) },
    Remove { folder: usize, name: String },
}

/// Which steps fail, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The first that fails.
    pub(crate) first: usize,
    /// The first that does not fail any more.
    pub(crate) until: usize,
    /// What it says.
    pub(crate) kind: ErrorKind,
}

struct Double {
    root: PathBuf,
    base: Disk,
    steps: Vec<Step>,
    /// Steps that were asked for, failed ones too.
    asked: usize,
    failed: usize,
    fault: Option<Fault>,
    by_path: HashMap<PathBuf, usize>,
    by_inode: HashMap<u64, usize>,
    nodes: usize,
}

/// The double, as long as it is held.
pub(crate) struct Recording(());

/// Begins: all that is in a folder now is on the disk.
pub(crate) fn record(root: &Path) -> Recording {
    let mut double = Double {
        root: root.to_owned(),
        base: Disk::default(),
        steps: Vec::new(),
        asked: 0,
        failed: 0,
        fault: None,
        by_path: HashMap::new(),
        by_inode: HashMap::new(),
        nodes: 1,
    };
    double.by_path.insert(root.to_owned(), 0);
    double.know(root, 0);
    DOUBLE.with_borrow_mut(|held| *held = Some(double));
    Recording(())
}

impl Recording {
    /// Returns how many steps were done.
    pub(crate) fn done(&self) -> usize {
        with(|double| double.steps.len()).unwrap_or(0)
    }

    /// Returns how many steps were asked for.
    pub(crate) fn asked(&self) -> usize {
        with(|double| double.asked).unwrap_or(0)
    }

    /// Returns how many steps failed.
    pub(crate) fn failed(&self) -> usize {
        with(|double| double.failed).unwrap_or(0)
    }

    /// Lets steps fail from now on, counted from the next one.
    pub(crate) fn fail(&self, fault: Option<Fault>) {
        with(|double| {
            let now = double.asked;
            double.fault = fault.map(|fault| Fault {
                first: fault.first + now,
                until: fault.until.saturating_add(now),
                ..fault
            });
        });
    }

    /// Makes a folder what the disk may hold when the power is cut after so many steps; `chance` says what of it.
    pub(crate) fn crash(&self, after: usize, chance: u64, into: &Path) {
        let disk = with(|double| {
            let mut disk = double.base.clone();
            double.steps.iter().take(after).for_each(|step| disk.take(step));
            disk
        });
        disk.expect("a recording").settle(chance, into);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        DOUBLE.with_borrow_mut(|held| *held = None);
    }
}

impl Double {
    /// Takes what is there before it begins.
    fn know(&mut self, folder: &Path, number: usize) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("its kind");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let node = self.new_node(&path, metadata.ino());
            let step = Step::Create { node, folder: number, name, is_folder: metadata.is_dir() };
            self.base.take(&step);
            self.base.take(&Step::SyncFolder { folder: number });
            if metadata.is_dir() {
                self.know(&path, node);
            } else if metadata.is_file() {
                let bytes = fs::read(&path).expect("its bytes");
                self.base.take(&Step::Write { node, at: 0, bytes });
                self.base.take(&Step::Sync { node });
            }
        }
    }

    fn new_node(&mut self, path: &Path, inode: u64) -> usize {
        let node = self.nodes;
        self.nodes += 1;
        self.by_path.insert(path.to_owned(), node);
        self.by_inode.insert(inode, node);
        node
    }

    fn node_of(&self, file: &File) -> Option<usize> {
        self.by_inode.get(&file.metadata().expect("metadata").ino()).copied()
    }

    fn place(&self, path: &Path) -> Option<(usize, String)> {
        let folder = *self.by_path.get(super::folder_of(path))?;
        Some((folder, path.file_name()?.to_string_lossy().into_owned()))
    }

    /// Counts a step; an error if it is one that fails.
    fn ask(&mut self) -> io::Result<()> {
        let now = self.asked;
        self.asked += 1;
        match self.fault {
            Some(fault) if (fault.first..fault.until).contains(&now) => {
                self.failed += 1;
                Err(fault.kind.into())
            }
            _ => Ok(()),
        }
    }

    /// Gives a file or a folder, and all below it, another path.
    fn moved(&mut self, from: &Path, to: &Path) {
        self.by_path.remove(to);
        let all = std::mem::take(&mut self.by_path);
        self.by_path = all
            .into_iter()
            .map(|(path, node)| match path.strip_prefix(from) {
                Ok(rest) if rest.as_os_str().is_empty() => (to.to_owned(), node),
                Ok(rest) => (to.join(rest), node),
                Err(_) => (path, node),
            })
            .collect();
    }
}

fn with<T>(of: impl FnOnce(&mut Double) -> T) -> Option<T> {
    DOUBLE.with_borrow_mut(|held| held.as_mut().map(of))
}

/// Asks for a step on a path; one outside of the folder is nobody's business.
pub(super) fn before(path: &Path) -> io::Result<()> {
    with(|double| if path.starts_with(&double.root) { double.ask() } else { Ok(()) }).unwrap_or(Ok(()))
}

pub(super) fn created(path: &Path, file: &File) {
    with(|double| {
        let Some((folder, name)) = double.place(path) else { return };
        let node = double.new_node(path, file.metadata().expect("metadata").ino());
        double.steps.push(Step::Create { node, folder, name, is_folder: false });
    });
}

pub(super) fn before_folders(missing: &[&Path]) -> io::Result<()> {
    missing.first().map_or(Ok(()), |path| before(path))
}

pub(super) fn made_folders(missing: &[&Path]) {
    with(|double| {
        for path in missing.iter().rev() {
            let Some((folder, name)) = double.place(path) else { continue };
            let inode = fs::metadata(path).expect("it was made").ino();
            let node = double.new_node(path, inode);
            double.steps.push(Step::Create { node, folder, name, is_folder: true });
        }
    });
}

pub(super) fn append(file: &File, bytes: &[u8]) -> io::Result<()> {
    let at = file.metadata()?.len();
    with(|double| {
        let Some(node) = double.node_of(file) else { return Ok(()) };
        let asked = double.ask();
        // A full disk takes a part first.
        let taken = if asked.is_ok() { bytes } else { bytes.get(..bytes.len() / 2).unwrap_or_default() };
        double.steps.push(Step::Write { node, at, bytes: taken.to_vec() });
        if asked.is_err() {
            let mut real = file;
            real.write_all(taken)?;
        }
        asked
    })
    .unwrap_or(Ok(()))
}

pub(super) fn overwrite(file: &File, bytes: &[u8]) -> io::Result<()> {
    with(|double| {
        let Some(node) = double.node_of(file) else { return Ok(()) };
        double.ask()?;
        double.steps.push(Step::Overwrite { node, bytes: bytes.to_vec() });
        Ok(())
    })
    .unwrap_or(Ok(()))
}

pub(super) fn truncate(file: &File, length: u64) -> io::Result<()> {
    with(|double| {
        let Some(node) = double.node_of(file) else { return Ok(()) };
        double.ask()?;
        double.steps.push(Step::Cut { node, length });
        Ok(())
    })
    .unwrap_or(Ok(()))
}

/// Notes a sync; returns whether it stands for a real one, which would only make tests slow.
pub(crate) fn sync(file: &File) -> io::Result<bool> {
    with(|double| {
        let Some(node) = double.node_of(file) else { return Ok(false) };
        let asked = double.ask();
        double.steps.push(if asked.is_ok() { Step::Sync { node } } else { Step::FailedSync { node } });
        asked.map(|()| true)
    })
    .unwrap_or(Ok(false))
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<bool> {
    with(|double| {
        let Some(folder) = double.by_path.get(path).copied() else { return Ok(false) };
        double.ask()?;
        double.steps.push(Step::SyncFolder { folder });
        Ok(true)
    })
    .unwrap_or(Ok(false))
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    with(|double| {
        let (Some(old), Some(new)) = (double.place(from), double.place(to)) else { return Ok(()) };
        double.ask()?;
        let Some(node) = double.by_path.get(from).copied() else { return Ok(()) };
        double.steps.push(Step::Rename { node, from: old, to: new });
        double.moved(from, to);
        Ok(())
    })
    .unwrap_or(Ok(()))
}

/// Notes that a folder goes with all that is in it, what is deepest first.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    with(|double| {
        if !double.by_path.contains_key(path) {
            return Ok(());
        }
        double.ask()?;
        let mut gone: Vec<PathBuf> =
            double.by_path.keys().filter(|known| known.starts_with(path)).cloned().collect();
        gone.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        for path in gone {
            let Some((folder, name)) = double.place(&path) else { continue };
            double.by_path.remove(&path);
            double.steps.push(Step::Remove { folder, name });
        }
        Ok(())
    })
    .unwrap_or(Ok(()))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    with(|double| {
        if !path.exists() {
            return Ok(());
        }
        let Some((folder, name)) = double.place(path) else { return Ok(()) };
        double.ask()?;
        double.by_path.remove(path);
        double.steps.push(Step::Remove { folder, name });
        Ok(())
    })
    .unwrap_or(Ok(()))
}
