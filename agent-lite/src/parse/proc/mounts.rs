//! `/proc/self/mountinfo`: the local file systems, each once (proc_pid_mountinfo(5)).

use super::disk::Device;
use super::disk::Work;
use super::reading::Reading;
use super::words::lines;
use super::words::number;
use super::words::words;

/// Most file systems of a machine.
pub const MOST_FILE_SYSTEMS: usize = 256;

/// Types on block devices that are not asked: images that are always full, servers in user space that may
/// hang, clusters.
const NOT_ASKED: [&str; 9] =
    ["iso9660", "udf", "squashfs", "erofs", "cramfs", "romfs", "gfs2", "ocfs2", "zfs"];
/// Beginnings of the types whose server may never answer, so that a path through them may hang.
const REMOTE: [&str; 17] = [
    "nfs",
    "cifs",
    "smb",
    "ncp",
    "9p",
    "afs",
    "coda",
    "ceph",
    "fuse",
    "autofs",
    "lustre",
    "glusterfs",
    "beegfs",
    "gfs2",
    "ocfs2",
    "virtiofs",
    "gpfs",
];
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The number of its device; btrfs has one of its own, which no disk has.
    pub device: Device,
    /// Where it is mounted.
    pub point: Vec<u8>,
    /// The name of its device below `/dev`.
    pub source: String,
    whole: bool,
}

/// What there is room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of all blocks.
    pub bytes: u64,
    /// Bytes a program without privileges may still take.
    pub free: u64,
    /// All inodes; 0 where they are made when needed.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// Returns the file systems on local block devices in the order of their mounting. Of several mounts of one
/// device the whole one counts, then the one with the shortest path, as `df` does; none below a remote one.
pub fn local(text: &[u8]) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    let mut remote: Vec<Vec<u8>> = Vec::new();
    for line in lines(text) {
        let Some((mount, kind)) = mount(line) else { continue };
        // What is mounted over another hides it.
        found.retain(|known| known.point != mount.point);
        remote.retain(|known| *known != mount.point);
        if REMOTE.iter().any(|beginning| kind.starts_with(beginning.as_bytes())) {
            remote.push(mount.point);
            continue;
        }
        let on_block_device = mount.source.starts_with("/dev/");
        if !on_block_device || NOT_ASKED.iter().any(|known| known.as_bytes() == kind) {
            continue;
        }
        let full = found.len() >= MOST_FILE_SYSTEMS;
        match found.iter_mut().find(|known| known.device == mount.device) {
            Some(known) if mount.rank() < known.rank() => *known = mount,
            Some(_) => {}
            None if full => {}
            None => found.push(mount),
        }
    }
    found.retain(|mount| !remote.iter().any(|above| is_below(&mount.point, above)));
    for mount in &mut found {
        mount.source.drain(.."/dev/".len());
    }
    found
}

impl Mount {
    fn rank(&self) -> (bool, usize) {
        (!self.whole, self.point.len())
    }
}

impl Room {
    /// Returns the room of both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            free: self.free.saturating_add(other.free),
            inodes: self.inodes.saturating_add(other.inodes),
            free_inodes: self.free_inodes.saturating_add(other.free_inodes),
        }
    }
}

/// Returns the counters of a file system.
pub fn readings(room: Reading<Room>, work: Reading<Work>) -> [Reading; 11] {
    let of_room = |make: fn(Room) -> Reading| match room {
        Reading::Value(room) => make(room),
        Reading::Absent => Reading::Absent,
        Reading::Lost => Reading::Lost,
    };
    [
        of_room(|room| Reading::percent(room.free_inodes.min(room.inodes), room.inodes)),
        of_room(|room| Reading::percent(room.inodes.saturating_sub(room.free_inodes), room.inodes)),
        of_room(|room| Reading::Value(room.free as f64 / MEBIBYTE)),
        of_room(|room| Reading::percent(room.free.min(room.bytes), room.bytes)),
        of_room(|room| Reading::percent(room.bytes.saturating_sub(room.free), room.bytes)),
        work.map(|work| work.read_bytes + work.written_bytes),
        work.map(|work| work.read_bytes),
        work.map(|work| work.written_bytes),
        work.map(|work| work.reads + work.writes),
        work.map(|work| work.reads),
        work.map(|work| work.writes),
    ]
}

/// Reads `id parent major:minor root point options *optional - type source options`.
fn mount(line: &[u8]) -> Option<(Mount, &[u8])> {
    let mut words = words(line);
    let device = str::from_utf8(words.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let device = (part(major)?, part(minor)?);
    let root = words.next()?;
    let point = unescaped(words.next()?);
    words.find(|word| *word == b"-")?;
    let kind = words.next()?;
    let source = String::from_utf8(unescaped(words.next()?)).ok()?;
    Some((Mount { device, point, source, whole: root == b"/" }, kind))
}

fn part(text: &str) -> Option<u32> {
    number(text.as_bytes())?.try_into().ok()
}

/// Reads blank, tab, line feed and backslash, which stand there as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| behind.split_at_checked(3)).flatten();
        let code = octal.and_then(|(digits, _)| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        match (code, octal) {
            (Some(code), Some((_, behind))) => {
                plain.push(code);
                rest = behind;
            }
            _ => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

fn is_below(point: &[u8], above: &[u8]) -> bool {
    let rest = point.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || above.ends_with(b"/"))
}

#[cfg(test)]
mod tests;
