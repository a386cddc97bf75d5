use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tokio::time::Instant;

use super::*;
use crate::record::Timestamp;

/// A `/proc`, `/sys` and `/run` of its own.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn roots(&self) -> Roots {
        let below = |name: &str| self.folder.path().join(name);
        Roots { proc: below("proc"), sys: below("sys"), run: below("run") }
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn remove(&self, path: &str) {
        let path = self.folder.path().join(path);
        if Path::new(&path).is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
    }
}

/// Samples all sets so many seconds after the beginning; returns the rows and how many values were lost.
async fn sample(sampler: &mut Sampler, begun: Instant, seconds: u64) -> (Vec<Row>, u64) {
    let mut frames = Frames::default();
    let due: Vec<usize> = (0..sampler.intervals().len()).collect();
    let now = begun + Duration::from_secs(seconds);
    let lost = sampler.sample(&due, now, Timestamp(1), &mut frames).await;
    (rows(&frames), lost)
}

#[tokio::test]
async fn processors_and_disks_that_come_and_go_do_not_disturb_the_others() {
    let machine = Machine::new();
    let disk = |name: &str, reads: u64| format!("8 0 {name} {reads} 0 {} {reads} 0 0 0 0 0 0 0\n", reads * 8);
    machine.write("sys/block/sda/device/model", "").write("sys/block/sdb/device/model", "");
    machine.write("proc/stat", "cpu 10 0 0 10\ncpu0 10 0 0 10\ncpu1 0 0 0 0\n");
    machine.write("proc/diskstats", &format!("{}{}", disk("sda", 100), disk("sda1", 100)));
    let mut sampler = sampler(&[Object::Processor, Object::PhysicalDisk], machine.roots());
    let begun = Instant::now();
    sampler.begin(begun).await;

    machine.write("proc/stat", "cpu 20 0 0 40\ncpu0 20 0 0 40\ncpu2 5 0 0 5\n");
    machine.write("proc/diskstats", &format!("{}{}{}", disk("sdb", 7), disk("sda", 150), disk("sda1", 150)));
    let (rows, lost) = sample(&mut sampler, begun, 10).await;
    assert_eq!(lost, 0);
    assert_eq!(value(&rows, "0", "% User Time"), Some(25.0));
    assert_eq!(value(&rows, "_Total", "% Processor Time"), Some(25.0));
    assert_eq!(value(&rows, "sda", "Physical Disk Bytes/sec"), Some(50.0 * 8.0 * 512.0 / 10.0));
    assert_eq!(value(&rows, "sda", "Avg. Disk sec/Read"), Some(0.001));
    assert!(rows.iter().all(|row| ["_Total", "0", "sda"].contains(&row.1.as_str())), "{rows:?}");

    machine.write("proc/stat", "cpu 30 0 0 40\ncpu0 5 0 0 1\ncpu2 10 0 0 10\n");
    let (rows, lost) = sample(&mut sampler, begun, 20).await;
    assert_eq!(value(&rows, "2", "% Idle Time"), Some(50.0));
    assert_eq!(value(&rows, "sdb", "Physical Disk Bytes/sec"), Some(0.0));
    assert_eq!((value(&rows, "0", "% User Time"), lost), (None, 8), "a processor that was reset");
}

#[tokio::test]
async fn a_wakeup_that_is_late_divides_by_the_time_that_went_by() {
    let machine = Machine::new();
    machine.write("proc/meminfo", "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n");
    machine.write("proc/vmstat", "pgpgin 1000\npgpgout 0\n");
    let mut sampler = sampler(&[Object::Memory], machine.roots());
    let begun = Instant::now();
    sampler.begin(begun).await;
    machine.write("proc/vmstat", "pgpgin 4000\npgpgout 0\n");
    let (rows, _) = sample(&mut sampler, begun, 300).await;
    assert_eq!(value(&rows, "Memory", "Page Reads/sec"), Some(10.0));
    assert_eq!(value(&rows, "Memory", "% Used Memory"), Some(50.0));
}

#[tokio::test]
async fn a_table_that_cannot_be_read_is_counted_and_loses_nothing_else() {
    let machine = Machine::new();
    machine.write("proc/meminfo", "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n");
    let mut sampler = sampler(&[Object::Processor, Object::Memory, Object::Network], machine.roots());
    let begun = Instant::now();
    sampler.begin(begun).await;
    let (rows, lost) = sample(&mut sampler, begun, 10).await;
    assert_eq!(value(&rows, "Memory", "Used Memory MBytes"), Some(1.0));
    // Two tables, and the three values of paging.
    assert_eq!(lost, 5);
    machine.write("proc/net/dev", "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    let (rows, _) = sample(&mut sampler, begun, 20).await;
    assert_eq!(value(&rows, "eth0", "Total Bytes"), Some(10.0), "the table is back");
}

fn process(name: &str, ticks: (u64, u64), started: u64, resident: u64) -> String {
    let (user, system) = ticks;
    format!("1 ({name}) S 1 1 1 0 -1 64 0 0 0 0 {user} {system} 0 0 20 0 1 0 {started} 9999 {resident} 1")
}

#[tokio::test]
async fn processes_of_one_name_are_one_instance_and_those_that_started_since_count_whole() {
    let machine = Machine::new();
    machine.write("proc/10/stat", &process("old", (100, 10), 5, 1));
    machine.write("proc/11/stat", &process("old", (50, 0), 6, 2));
    machine.write("proc/2/stat", "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 3 0 0 20 0 1 0 0 0 0 1");
    machine.write("proc/self/stat", "").write("proc/10/statm", "9 9 3 0").write("proc/11/statm", "9 9 4 0");
    let mut sampler = sampler(&[Object::Process], machine.roots());
    let begun = Instant::now();
    sampler.begin(begun).await;

    machine.write("proc/10/stat", &process("old", (300, 110), 5, 1));
    machine.remove("proc/11");
    machine.write("proc/12/stat", &process("old", (100, 0), 700, 5));
    machine.write("proc/13/stat", &process("unseen", (100, 0), 3, 5));
    let (rows, lost) = sample(&mut sampler, begun, 10).await;
    let (ticks, page) =
        (rustix::param::clock_ticks_per_second() as f64, rustix::param::page_size() as f64 / 1024.0);
    let expected = [
        ("old", "Pct User Time", 300.0 / ticks * 10.0),
        ("old", "Pct Privileged Time", 100.0 / ticks * 10.0),
        ("old", "Used Memory kBytes", 6.0 * page),
        ("old", "Virtual Shared Memory", 3.0 * page),
        ("unseen", "Pct User Time", 0.0),
    ];
    for (instance, counter, expected) in expected {
        assert_eq!(value(&rows, instance, counter), Some(expected), "{instance} {counter}");
    }
    assert_eq!((value(&rows, "kthreadd", "Used Memory kBytes"), lost), (None, 0));
}

#[tokio::test]
async fn of_very_many_names_the_busiest_are_sampled_and_the_others_are_counted() {
    let machine = Machine::new();
    for number in 1..=203 {
        machine.write(&format!("proc/{number}/stat"), &process(&format!("p{number}"), (number, 0), 900, 1));
    }
    let mut sampler = sampler(&[Object::Process], machine.roots());
    let (rows, lost) = sample(&mut sampler, Instant::now(), 10).await;
    let mut names: Vec<_> = rows.iter().map(|row| row.1.clone()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), lost), (200, 3));
    assert!(!["p1", "p2", "p3"].iter().any(|idle| names.iter().any(|name| name == idle)));
}

#[tokio::test]
async fn the_file_system_below_the_root_is_measured_with_its_disk() {
    let machine = Machine::new();
    machine.write(
        "proc/self/mountinfo",
        "27 1 8:0 / / rw - ext4 /dev/sda rw\n28 1 8:9 / /no/such rw - xfs /dev/b rw\n",
    );
    machine.write("proc/diskstats", "8 0 sda 10 0 80 0 0 0 0 0 0 0 0\n");
    let mut sampler = sampler(&[Object::LogicalDisk], machine.roots());
    let begun = Instant::now();
    sampler.begin(begun).await;
    machine.write("proc/diskstats", "8 0 sda 30 0 240 0 0 0 0 0 0 0 0\n");
    let (rows, lost) = sample(&mut sampler, begun, 10).await;
    assert_eq!(value(&rows, "/", "Disk Reads/sec"), Some(2.0));
    assert_eq!(value(&rows, "/", "Disk Read Bytes/sec"), Some(8192.0));
    let share = |counter| value(&rows, "/", counter).unwrap();
    assert!((share("% Free Space") + share("% Used Space") - 100.0).abs() < 0.001);
    // One that cannot be asked: its five values of room, and all of the sum.
    assert_eq!((value(&rows, "_Total", "% Free Space"), lost), (None, 5 + 11));
}

#[tokio::test]
async fn a_file_system_with_a_number_of_its_own_is_measured_with_the_disk_that_it_names() {
    for source in ["/dev/zz9", "/dev/mapper/vg-data"] {
        let machine = Machine::new();
        machine.write("proc/self/mountinfo", &format!("27 1 0:31 / / rw - btrfs {source} rw\n"));
        machine.write("sys/block/dm-7/dm/name", "vg-data\n");
        let disks = |reads: u32| {
            let own = if source == "/dev/zz9" { [reads, 10] } else { [10, reads] };
            let [plain, mapped] = own;
            format!("8 9 zz9 {plain} 0 80 0 0 0 0 0 0 0 0\n253 7 dm-7 {mapped} 0 80 0 0 0 0 0 0 0 0\n")
        };
        machine.write("proc/diskstats", &disks(10));
        let mut sampler = sampler(&[Object::LogicalDisk], machine.roots());
        let begun = Instant::now();
        sampler.begin(begun).await;
        machine.write("proc/diskstats", &disks(30));
        let (rows, _) = sample(&mut sampler, begun, 10).await;
        assert_eq!(value(&rows, "/", "Disk Reads/sec"), Some(2.0), "{source}");
    }
}
