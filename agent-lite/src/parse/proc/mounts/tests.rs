use super::*;
use crate::parse::proc::catalogue::Object;

fn points(text: &str) -> Vec<(String, String)> {
    let name = |mount: Mount| (String::from_utf8_lossy(&mount.point).into_owned(), mount.source);
    local(text.as_bytes()).into_iter().map(name).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(point, source)| ((*point).to_owned(), (*source).to_owned())).collect()
}

#[test]
fn of_a_whole_machine_only_the_file_systems_on_its_disks_are_left() {
    let text = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334492k\n\
        27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n\
        28 27 0:25 / /mnt/a ro,nosuid - tmpfs model ro,size=4k\n\
        29 27 253:3 / /srv/my\\040disk rw - xfs /dev/mapper/vg-data rw\n\
        30 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro\n\
        31 27 11:0 / /media/cd ro - iso9660 /dev/sr0 ro\n\
        32 27 0:40 / /home rw - nfs4 server:/home rw\n\
        33 27 0:41 / /share rw - cifs //server/share rw\n\
        34 27 0:42 / /over rw - overlay overlay rw,lowerdir=/a\n\
        35 27 8:17 / /ntfs rw - fuseblk /dev/sdb1 rw\n\
        36 27 0:43 / /tank rw - zfs tank rw\n\
        37 27 8:1 / /boot/efi rw - vfat /dev/sda1 rw\n\
        38 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
        torn line 8:9 / \n39 27 eight:1 / /x rw - ext4 /dev/x rw\n";
    let expected = [("/", "vda"), ("/srv/my disk", "mapper/vg-data"), ("/boot/efi", "sda1")];
    assert_eq!(points(text), pairs(&expected));
}

#[test]
fn a_device_that_is_mounted_at_many_places_is_one_file_system() {
    let text = "1 0 8:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
        2 0 8:1 / /var/lib/docker/here rw - ext4 /dev/sda1 rw\n\
        3 0 8:1 / /data rw - ext4 /dev/sda1 rw\n\
        4 0 0:33 /@home /home rw - btrfs /dev/sda2 rw\n\
        5 0 0:33 /@ /longer rw - btrfs /dev/sda2 rw\n";
    assert_eq!(points(text), pairs(&[("/data", "sda1"), ("/home", "sda2")]));
}

#[test]
fn what_is_mounted_over_another_hides_it() {
    let over = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / / rw - ext4 /dev/sda2 rw\n";
    assert_eq!(points(over), pairs(&[("/", "sda2")]));
    let hidden = "1 0 8:1 / /mnt rw - ext4 /dev/sda1 rw\n2 1 0:9 / /mnt rw - tmpfs tmpfs rw\n";
    assert_eq!(points(hidden), []);
    let by_itself = "1 0 0:9 / /boot rw - autofs systemd-1 rw\n2 1 8:1 / /boot rw - vfat /dev/sda1 rw\n";
    assert_eq!(points(by_itself), pairs(&[("/boot", "sda1")]));
}

#[test]
fn nothing_below_a_remote_file_system_is_asked() {
    let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /net rw - nfs server:/ rw\n\
        3 2 8:2 / /net/disk rw - ext4 /dev/sdb1 rw\n4 1 8:3 / /network rw - ext4 /dev/sdc1 rw\n\
        5 1 8:4 / /fuse/x rw - ext4 /dev/sdd1 rw\n6 1 0:10 / /fuse rw - fuse.sshfs host: rw\n";
    assert_eq!(points(text), pairs(&[("/", "sda1"), ("/network", "sdc1")]));
}

#[test]
fn there_are_no_more_than_the_bound() {
    let line = |at: usize| format!("1 0 8:{at} / /m{at} rw - ext4 /dev/d{at} rw\n");
    let text: String = (0..MOST_FILE_SYSTEMS + 9).map(line).collect();
    assert_eq!(points(&text).len(), MOST_FILE_SYSTEMS);
}

#[test]
fn an_escape_that_is_none_stays_as_it_is() {
    let cases =
        [("a\\040b", "a b"), ("a\\134040", "a\\040"), ("a\\04", "a\\04"), ("\\999", "\\999"), ("\\", "\\")];
    for (escaped, plain) in cases {
        assert_eq!(unescaped(escaped.as_bytes()), plain.as_bytes(), "{escaped}");
    }
}

#[test]
fn the_counters_are_of_the_room_and_of_the_work() {
    let room = Room { bytes: 4 << 20, free: 1 << 20, inodes: 200, free_inodes: 150 };
    let work = Work { reads: 1.0, writes: 2.0, read_bytes: 512.0, written_bytes: 1024.0 };
    let found = readings(Reading::Value(room), Reading::Value(work));
    let expected = [75.0, 25.0, 1.0, 25.0, 75.0, 1536.0, 512.0, 1024.0, 3.0, 1.0, 2.0];
    assert_eq!(found, expected.map(Reading::Value));
    assert_eq!(found.len(), Object::LogicalDisk.counters().len());
    let none = readings(Reading::Value(Room { inodes: 0, ..room }), Reading::Absent);
    assert_eq!(none[..3], [Reading::Absent, Reading::Absent, Reading::Value(1.0)], "no inodes to share");
    assert_eq!(readings(Reading::Lost, Reading::Absent)[4..6], [Reading::Lost, Reading::Absent]);
}
