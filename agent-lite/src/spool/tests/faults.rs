use std::fs;
use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

#[cfg(unix)]
use crate::durable::double;

/// What goes wrong with a disk.
#[derive(Debug, Default)]
pub(in crate::spool) struct Faults(Mutex<Broken>);

/// What is broken now.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::spool) struct Broken {
    /// Bytes that are free, if the disk is small.
    pub(in crate::spool) free: Option<u64>,
    /// Whether nothing can be removed before the reserve is, as on a full disk that copies on write.
    pub(in crate::spool) removal_needs_room: bool,
    /// Whether syncs fail.
    pub(in crate::spool) sync: bool,
    /// How many syncs fail before they succeed again.
    pub(in crate::spool) failing_syncs: u32,
    /// Whether files cannot be cut.
    pub(in crate::spool) truncate: bool,
    /// Whether nothing can be removed.
    pub(in crate::spool) remove: bool,
    /// How many syncs were asked for.
    pub(in crate::spool) syncs: u32,
}

impl Faults {
    pub(in crate::spool) fn set(&self, change: impl FnOnce(&mut Broken)) -> Broken {
        let mut broken = self.0.lock().unwrap();
        change(&mut broken);
        *broken
    }

    pub(in crate::spool) fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let mut broken = self.0.lock().unwrap();
        let Some(free) = &mut broken.free else { return Ok(()) };
        if *free >= bytes.len() as u64 {
            *free -= bytes.len() as u64;
            return Ok(());
        }
        // A full disk takes a part first.
        file.write_all(&bytes[..*free as usize])?;
        *free = 0;
        Err(ErrorKind::StorageFull.into())
    }

    pub(in crate::spool) fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        let mut broken = self.0.lock().unwrap();
        if broken.truncate {
            return Err(io::Error::other("the test cuts nothing"));
        }
        if let Some(free) = &mut broken.free {
            *free += file.metadata()?.len() - length;
        }
        Ok(())
    }

    /// Stands for the sync itself, which would only make tests slow.
    #[cfg_attr(windows, expect(unused_variables, reason = "the double of the disk is of the unix build"))]
    pub(in crate::spool) fn sync(&self, file: &File) -> io::Result<()> {
        self.count_sync()?;
        #[cfg(unix)]
        double::sync(file)?;
        Ok(())
    }

    /// As [`Self::sync`], of a folder.
    #[cfg_attr(windows, expect(unused_variables, reason = "the double of the disk is of the unix build"))]
    pub(in crate::spool) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.count_sync()?;
        #[cfg(unix)]
        double::sync_folder(folder)?;
        Ok(())
    }

    fn count_sync(&self) -> io::Result<()> {
        let mut broken = self.0.lock().unwrap();
        broken.syncs += 1;
        let fails = broken.sync || broken.failing_syncs > 0;
        broken.failing_syncs = broken.failing_syncs.saturating_sub(1);
        if fails { Err(io::Error::other("the test syncs nothing")) } else { Ok(()) }
    }

    pub(in crate::spool) fn remove(&self, path: &Path) -> io::Result<()> {
        let mut broken = self.0.lock().unwrap();
        if broken.remove {
            return Err(io::Error::other("the test removes nothing"));
        }
        broken.removal_needs_room &= !path.ends_with("reserve");
        if broken.removal_needs_room {
            return Err(ErrorKind::StorageFull.into());
        }
        if let Some(free) = &mut broken.free {
            *free += fs::metadata(path).map_or(0, |metadata| metadata.len());
        }
        Ok(())
    }
}
