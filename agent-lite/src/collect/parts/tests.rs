use super::*;
use crate::parse::fingerprint::Machine;
use crate::parse::fingerprint::SALT;
use crate::parse::fingerprint::Seal;

/// A server with two cards, a disk and a system, as the kernel and udev show them.
const SERVER: [(&str, &str); 16] = [
    ("etc/machine-id", "b9c1f0a2d3e44f5f8a6b7c8d9e0f1a2b\n"),
    ("sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8054-B4C04F4D3532\n"),
    ("sys/class/net/eno1/address", "d0:94:66:12:34:56\n"),
    ("sys/class/net/eno1/device/vendor", "0x14e4\n"),
    ("sys/class/net/eno2/address", "02:42:ac:11:00:09\n"),
    ("sys/class/net/eno2/bonding_slave/perm_hwaddr", "d0:94:66:12:34:57\n"),
    ("sys/class/net/eno2/device/vendor", "0x14e4\n"),
    ("sys/class/net/docker0/address", "02:42:11:22:33:44\n"),
    ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
    ("sys/block/nvme0n1/device/serial", "S4EWNX0N123456      \n"),
    ("sys/block/nvme0n1/removable", "0\n"),
    ("sys/block/dm-0/serial", "not-a-disk-9\n"),
    ("sys/block/sdb/removable", "1\n"),
    ("sys/block/sdb/device/wwid", "naa.5000c500a1b2c3d4\n"),
    (
        "run/udev/data/b259:2",
        "S:disk/by-uuid/x\nE:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=0b6f7f0e-95a1-4c5f-9a2e-6d5f3a0d1c11\n",
    ),
    ("run/udev/data/b8:17", "E:ID_BUS=usb\nE:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=1234-ABCD\n"),
];

fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// The server with other contents of the files whose paths begin so.
fn changed(beginnings: &[&str]) -> Parts {
    let files = SERVER.map(|(path, text)| {
        let is_changed = beginnings.iter().any(|beginning| path.starts_with(beginning));
        (path, if is_changed { text.replace('1', "e") } else { text.to_owned() })
    });
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    read(machine(&files).path())
}

#[test]
fn a_server_shows_every_part_but_the_clouds() {
    let expected = [Part::Firmware, Part::Network, Part::Disk, Part::MachineId, Part::FileSystem];
    assert_eq!(changed(&[]).known().collect::<Vec<_>>(), expected);
    // Only these values: with others for everything else it is the same machine.
    let mut only = Parts::default();
    only.add(Part::Network, "d0:94:66:12:34:57");
    only.add(Part::Network, "d0:94:66:12:34:56");
    only.add(Part::Disk, "s4ewnx0n123456");
    only.add(Part::FileSystem, "0b6f7f0e-95a1-4c5f-9a2e-6d5f3a0d1c11");
    only.add(Part::MachineId, "b9c1f0a2d3e44f5f8a6b7c8d9e0f1a2b");
    only.add(Part::Firmware, "4c4c4544-0042-3510-8054-b4c04f4d3532");
    assert_eq!(changed(&[]), only);
}

#[test]
fn a_changed_disk_or_card_alone_is_no_clone_and_other_hardware_under_the_same_system_is_one() {
    let seal = Seal::new(&[1; SALT], &changed(&[]));
    let cases: [(&[&str], Machine); 6] = [
        (&[], Machine::TheSame),
        (&["sys/block", "run/udev"], Machine::TheSame),
        (&["sys/block", "run/udev", "etc/machine-id"], Machine::TheSame),
        (&["sys/class/net"], Machine::TheSame),
        (&["sys/"], Machine::Another),
        (&["sys/", "etc/"], Machine::Another),
    ];
    for (beginnings, expected) in cases {
        let judgement = seal.judge(&changed(beginnings));
        assert_eq!(judgement.machine, expected, "{beginnings:?}: {judgement:?}");
    }
}

#[test]
fn serial_numbers_count_only_where_there_is_no_uuid_and_devices_without_smbios_have_their_own() {
    let host = ("sys/class/dmi/id/product_serial", "HOST-4711\n");
    let of = |files: &[(&str, &str)]| read(machine(files).path());
    let uuid = ("sys/class/dmi/id/product_uuid", "4c4c4544-0042-3510-8054-b4c04f4d3532");
    assert_eq!(of(&[uuid, host]), of(&[uuid]));
    assert!(of(&[host]).has(Part::Firmware));
    assert!(of(&[("sys/firmware/devicetree/base/serial-number", "10000000abcdef42\0")]).has(Part::Firmware));
    assert!(of(&[("run/cloud-init/.instance-id", "i-0abc123def\n")]).has(Part::Instance));
}

#[cfg(unix)]
#[test]
fn a_disk_at_usb_is_no_part_of_the_machine() {
    let root = machine(&[("sys/devices/pci0/usb2/2-1/sdc/serial", "case-4711"), ("sys/block/x", "")]);
    std::os::unix::fs::symlink("../devices/pci0/usb2/2-1/sdc", root.path().join("sys/block/sdc")).unwrap();
    assert!(text(&root.path().join("sys/block/sdc/serial")).is_some());
    assert_eq!(read(root.path()), Parts::default());
}

#[test]
fn a_machine_that_shows_nothing_has_no_parts_and_this_one_can_be_read() {
    assert_eq!(read(machine(&[]).path()), Parts::default());
    let random = [
        ("sys/class/net/eth0/address", "02:11:22:33:44:55"),
        ("sys/class/net/eth0/addr_assign_type", "1\n"),
        ("sys/class/net/eth0/device/x", ""),
    ];
    assert_eq!(read(machine(&random).path()), Parts::default());
    let here = read(Path::new("/"));
    assert_eq!(Seal::new(&[1; SALT], &here).judge(&here).machine, Machine::TheSame);
}
