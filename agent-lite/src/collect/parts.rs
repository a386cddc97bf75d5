//! The parts of this machine that tell it from its clones, as files of Linux, or Windows, show them.
//!
//! Most may be read by everybody. The UUID of the firmware may not: the service's unit hands it over as a credential.
//! A system without these files has no parts, and an agent that sees none takes the machine for the same one.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use crate::parse::fingerprint::Part;
use crate::parse::fingerprint::Parts;

/// Most bytes of such a file.
const LARGEST_FILE: u64 = 64 * 1024;
/// Most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 16 * 1024;
/// The kernel made this address up (`addr_assign_type`): it is another one after the next start.
const RANDOM_ADDRESS: &str = "1";
/// Beginnings of the names of block devices that are no hardware, or come and go.
const NO_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];
/// What the service's unit calls the firmware's UUID.
const CREDENTIAL: &str = "product_uuid";

/// Reads the parts of the machine whose root is here: `/`, or where a container sees the host's.
pub fn read(root: &Path) -> Parts {
    let mut parts = Parts::default();
    firmware(root, &mut parts);
    network(root, &mut parts);
    disks(root, &mut parts);
    file_systems(root, &mut parts);
    take(&mut parts, Part::Instance, &root.join("run/cloud-init/.instance-id"));
    take(&mut parts, Part::MachineId, &root.join("etc/machine-id"));
    #[cfg(windows)]
    if is_own(root) {
        windows(&mut parts);
    }
    parts
}

/// Windows tells two parts, of the firmware and of its installation; it has none of the files.
#[cfg(windows)]
fn windows(parts: &mut Parts) {
    let uuid = agent_lite_windows::machine::hardware_uuid();
    for (part, value) in [(Part::Firmware, uuid), (Part::MachineId, crate::system::machine_id())] {
        value.iter().for_each(|value| parts.add(part, value));
    }
}

/// Returns whether a root is that of the machine the agent runs on.
fn is_own(root: &Path) -> bool {
    root.parent().is_none()
}

/// The UUID alone if there is one: serial numbers of virtual machines are sometimes those of their host.
fn firmware(root: &Path, parts: &mut Parts) {
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|_| is_own(root));
    let handed_over = handed_over.map(|folder| Path::new(&folder).join(CREDENTIAL));
    let below = [
        "sys/class/dmi/id/product_uuid",
        "sys/hypervisor/uuid",
        "sys/firmware/devicetree/base/serial-number",
        "sys/class/dmi/id/product_serial",
        "sys/class/dmi/id/board_serial",
    ];
    let mut files: Vec<PathBuf> = below.iter().map(|file| root.join(file)).collect();
    // In the place of the first, which only root may read: both must find the same.
    files.splice(1..1, handed_over);
    for file in files {
        if !parts.has(Part::Firmware) {
            take(parts, Part::Firmware, &file);
        }
    }
}

/// Addresses of interfaces with a device: bridges, tunnels and a container's have none.
fn network(root: &Path, parts: &mut Parts) {
    for interface in entries(&root.join("sys/class/net")) {
        let random =
            text(&interface.join("addr_assign_type")).is_some_and(|kind| kind.trim() == RANDOM_ADDRESS);
        if !interface.join("device").exists() || random {
            continue;
        }
        // Cards in a bond all show the bond's address.
        let own = text(&interface.join("bonding_slave/perm_hwaddr"));
        if let Some(address) = own.or_else(|| text(&interface.join("address"))) {
            parts.add(Part::Network, &address);
        }
    }
}

fn disks(root: &Path, parts: &mut Parts) {
    for disk in entries(&root.join("sys/block")) {
        let name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let removable = text(&disk.join("removable")).is_some_and(|removable| removable.trim() == "1");
        if removable || is_usb(root, &disk) || NO_DISKS.iter().any(|beginning| name.starts_with(beginning)) {
            continue;
        }
        for file in ["serial", "wwid", "device/serial", "device/wwid", "device/cid"] {
            take(parts, Part::Disk, &disk.join(file));
        }
    }
}

/// A disk in a case goes from machine to machine, and is none of their parts.
fn is_usb(root: &Path, device: &Path) -> bool {
    let real = fs::canonicalize(root).and_then(|root| Ok((fs::canonicalize(device)?, root)));
    let Ok((device, root)) = real else { return false };
    let below = device.strip_prefix(root).unwrap_or(&device);
    below.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"usb"))
}

/// What udev knows of block devices, without sticks.
fn file_systems(root: &Path, parts: &mut Parts) {
    for entry in entries(&root.join("run/udev/data")) {
        let is_block = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"b"));
        let Some(text) = is_block.then(|| text(&entry)).flatten() else { continue };
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(key));
        let wanted = value("ID_BUS=") != Some("usb") && value("ID_FS_USAGE=") == Some("filesystem");
        if let Some(uuid) = value("ID_FS_UUID=").filter(|_| wanted) {
            parts.add(Part::FileSystem, uuid);
        }
    }
}

/// Adds what a file holds, if it can be read.
fn take(parts: &mut Parts, part: Part, file: &Path) {
    if let Some(value) = text(file) {
        parts.add(part, &value);
    }
}

/// Returns the entries of a folder in the order of their names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.take(MOST_ENTRIES).filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// Reads a small file; none if it cannot be read.
fn text(file: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(file).ok()?.take(LARGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
