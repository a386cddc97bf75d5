//! inotify as a hint: it wakes the reader earlier, and nothing else depends on it.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use inotify::EventMask;
use inotify::Inotify;
use inotify::WatchDescriptor;
use inotify::WatchMask;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long the reader may sleep without a hint: as long as it likes.
pub(super) const LONGEST_SLEEP: Duration = Duration::MAX;
/// Most folders that are watched; the others are found by looking.
const MOST_FOLDERS: usize = 128;
/// Most files that are watched; the others are found by looking.
const MOST_WATCHED: usize = 500;

/// The watches.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: AsyncFd<Inotify>,
    folders: HashMap<PathBuf, WatchDescriptor>,
    files: HashMap<WatchDescriptor, u64>,
}

/// What woke the reader.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Files appeared or moved.
    pub(super) folders: bool,
    /// Files that are no longer watched.
    pub(super) files: Vec<u64>,
}

impl Watch {
    #[expect(
        deprecated,
        reason = "its successor is unsafe; the descriptor stays open as long as `Inotify` lives"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let inotify = AsyncFd::with_interest(Inotify::init()?, Interest::READABLE)?;
        Ok(Self { inotify, folders: HashMap::new(), files: HashMap::new() })
    }

    /// Watches these folders and no others for files that appear.
    pub(super) fn folders(&mut self, wanted: &[PathBuf]) -> io::Result<()> {
        let mut watches = self.inotify.get_ref().watches();
        self.folders.retain(|folder, watch| {
            let stays = wanted.contains(folder);
            if !stays {
                let _ = watches.remove(watch.clone());
            }
            stays
        });
        let mask = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVED_FROM | WatchMask::ONLYDIR;
        for folder in wanted.iter().filter(|folder| folder.is_dir()).take(MOST_FOLDERS) {
            if !self.folders.contains_key(folder) {
                let watch = watches.add(folder, mask | WatchMask::DELETE_SELF)?;
                self.folders.insert(folder.clone(), watch);
            }
        }
        Ok(())
    }

    /// Watches a file for the next write.
    pub(super) fn file(&mut self, path: &Path, key: u64) -> io::Result<()> {
        if self.files.len() < MOST_WATCHED {
            let watch = self.inotify.get_ref().watches().add(path, WatchMask::MODIFY | WatchMask::ONESHOT)?;
            self.files.insert(watch, key);
        }
        Ok(())
    }

    /// Waits for a hint. Dropped, it has lost nothing but the hint.
    pub(super) async fn hints(&mut self) -> io::Result<Hints> {
        let mut buffer = [0; 4096];
        let mut hints = Hints::default();
        loop {
            let mut ready = self.inotify.readable_mut().await?;
            match ready.get_inner_mut().read_events(&mut buffer) {
                Ok(events) => {
                    for event in events {
                        if event.mask.contains(EventMask::Q_OVERFLOW) {
                            hints.folders = true;
                        } else if let Some(key) = self.files.remove(&event.wd) {
                            hints.files.push(key);
                        } else if event.mask.contains(EventMask::IGNORED) {
                            self.folders.retain(|_, watch| *watch != event.wd);
                        } else {
                            hints.folders = true;
                        }
                    }
                    return Ok(hints);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Err(error),
            }
        }
    }
}
