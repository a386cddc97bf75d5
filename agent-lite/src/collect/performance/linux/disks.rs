use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::statvfs;
use tokio::time::Instant;

use super::before::Before;
use super::rows::Rows;
use super::sampler::Tables;
use super::tables::Trouble;
use crate::parse::proc::disk;
use crate::parse::proc::disk::Device;
use crate::parse::proc::disk::Done;
use crate::parse::proc::disk::Work;
use crate::parse::proc::mounts;
use crate::parse::proc::mounts::Mount;
use crate::parse::proc::mounts::Room;
use crate::parse::proc::processor::TOTAL;
use crate::parse::proc::reading::Reading;

/// What the object `Logical Disk` keeps.
pub(super) struct Logical {
    before: Before<Done>,
    trouble: Trouble,
}

/// The sum of all file systems.
#[derive(Default)]
struct Sum {
    room: Option<Room>,
    work: Option<Work>,
    lost: bool,
}

impl Logical {
    pub(super) fn new() -> Self {
        Self { before: Before::none(), trouble: Trouble::default() }
    }

    pub(super) fn sample(&mut self, tables: &mut Tables, now: Instant, rows: &mut Rows<'_>) {
        let Some(text) = tables.mounts.read(&mut tables.buffer) else { return rows.lose(1) };
        let local = mounts::local(text);
        let Some(text) = tables.disks.read(&mut tables.buffer) else { return rows.lose(1) };
        let known: Vec<_> = disk::disks(text).collect();
        let seconds = self.before.seconds(now);
        let (mut sum, mut failure) = (Sum::default(), None);
        for mount in &local {
            let work = match disk_of(mount, &known, &tables.roots.sys) {
                Some((_, name, done)) => done.work(self.before.exchange(name, *done).as_ref(), seconds),
                None => Reading::Absent,
            };
            let path = Path::new(OsStr::from_bytes(&mount.point));
            let room = match room(path) {
                Ok(room) => Reading::Value(room),
                Err(error) => {
                    failure = Some((path, error));
                    Reading::Lost
                }
            };
            sum.add(room, work);
            rows.add(&path.to_string_lossy(), &mounts::readings(room, work));
        }
        self.trouble.note(failure.as_ref().map(|(path, error)| (*path, error)));
        rows.add(TOTAL, &sum.readings());
        self.before.end(now);
    }
}

impl Sum {
    fn add(&mut self, room: Reading<Room>, work: Reading<Work>) {
        self.lost |= room == Reading::Lost || work == Reading::Lost;
        if let Reading::Value(room) = room {
            self.room = Some(self.room.unwrap_or_default().plus(&room));
        }
        if let Reading::Value(work) = work {
            self.work = Some(self.work.unwrap_or_default().plus(&work));
        }
    }

    /// Returns the counters; a sum that lacks a part is none.
    fn readings(&self) -> [Reading; 11] {
        if self.lost {
            return [Reading::Lost; 11];
        }
        let room = self.room.map_or(Reading::Absent, Reading::Value);
        mounts::readings(room, self.work.map_or(Reading::Absent, Reading::Value))
    }
}

/// Samples whole disks: those that `/sys/block` knows as hardware, real or virtual.
pub(super) fn sample_physical(
    before: &mut Before<Done>,
    tables: &mut Tables,
    now: Instant,
    rows: &mut Rows<'_>,
) {
    let Some(text) = tables.disks.read(&mut tables.buffer) else { return rows.lose(1) };
    let seconds = before.seconds(now);
    let blocks = tables.roots.sys.join("block");
    for (_, name, done) in disk::disks(text) {
        // A partition is not there at all; loop, ram, zram, device mapper and md have no `device`.
        if blocks.join(name.replace('/', "!")).join("device").exists() {
            let earlier = before.exchange(name, done);
            rows.add(name, &done.readings(earlier.as_ref(), seconds));
        }
    }
    before.end(now);
}

/// Returns the line of `/proc/diskstats` of the device below the file system. btrfs has a number of its own, so its device is
/// found by name; not in `/dev`, where a service in order has no disks.
fn disk_of<'a>(
    mount: &Mount,
    known: &'a [(Device, &'a str, Done)],
    sys: &Path,
) -> Option<&'a (Device, &'a str, Done)> {
    if mount.device.0 != 0 {
        return known.iter().find(|(device, _, _)| *device == mount.device);
    }
    known.iter().find(|(_, name, _)| match mount.source.strip_prefix("mapper/") {
        None => *name == mount.source,
        Some(mapped) => fs::read_to_string(sys.join("block").join(name).join("dm/name"))
            .is_ok_and(|called| called.trim_end() == mapped),
    })
}

fn room(point: &Path) -> io::Result<Room> {
    let found = statvfs(point)?;
    Ok(Room {
        bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free: found.f_bavail.saturating_mul(found.f_frsize),
        inodes: found.f_files,
        free_inodes: found.f_ffree,
    })
}
