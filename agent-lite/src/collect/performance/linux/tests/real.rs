use std::fs;
use std::process::Command;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::collect::inlet::Inlet;
use crate::collect::inlet::Tap;
use crate::collect::performance::run;
use crate::counters::Counters;
use crate::parse::proc::processor;
use crate::record::Table;
use crate::record::Timestamp;

/// Counters that may be missing, and why.
const MAY_MISS: [(&str, &str); 4] = [
    ("% Free Inodes", "file systems that make inodes when needed"),
    ("% Used Inodes", "file systems that make inodes when needed"),
    ("% Available Swap Space", "no swap"),
    ("% Used Swap Space", "no swap"),
];

/// Samples all objects of this machine over a time in which its processors had something to count.
async fn this_machine() -> Vec<Row> {
    let mut sampler = sampler(&Object::ALL, Roots::default());
    let ticks = || {
        let text = fs::read("/proc/stat").unwrap();
        let (_, all) = processor::processors(&text).next().unwrap();
        all.user + all.nice + all.system + all.idle
    };
    let before = ticks();
    sampler.begin(Instant::now()).await;
    while ticks() < before + 40 {
        tokio::task::yield_now().await;
    }
    let due: Vec<usize> = (0..Object::ALL.len()).collect();
    let mut frames = Frames::default();
    let lost = sampler.sample(&due, Instant::now(), Timestamp(1), &mut frames).await;
    assert_eq!(lost, 0);
    rows(&frames)
}

#[tokio::test]
async fn every_counter_of_this_machine_is_there_and_plausible() {
    let rows = this_machine().await;
    for object in Object::ALL {
        if rows.iter().all(|row| row.0 != object.name()) {
            // A container may have no disk and no interface of its own.
            assert!(matches!(object, Object::PhysicalDisk | Object::Network), "nothing of {object:?}");
            continue;
        }
        for counter in object.counters() {
            let found = rows.iter().any(|row| row.0 == object.name() && row.2 == *counter);
            assert!(found || MAY_MISS.iter().any(|(known, _)| known == counter), "{object:?} {counter}");
        }
    }
    for (object, instance, counter, value) in &rows {
        assert!(value.is_finite() && *value >= 0.0, "{object} {instance} {counter} {value}");
        if counter.starts_with('%') {
            assert!(*value <= 100.0, "{object} {instance} {counter} {value}");
        }
    }
}

#[tokio::test]
async fn the_shares_of_a_processor_are_the_whole_together() {
    let rows = this_machine().await;
    let share = |counter: &str| value(&rows, "_Total", counter).unwrap();
    let both = share("% Processor Time") + share("% Idle Time");
    assert!((both - 100.0).abs() < 0.001, "{both}");
    let parts = ["User", "Nice", "Privileged", "IO Wait", "Interrupt", "DPC", "Idle"];
    let sum: f64 = parts.iter().map(|part| share(&format!("% {part} Time"))).sum();
    // What is missing was stolen by the hypervisor.
    assert!((50.0..=100.001).contains(&sum), "{sum}");
}

#[tokio::test]
async fn memory_is_what_free_says() {
    let rows = this_machine().await;
    let memory = |counter: &str| value(&rows, "Memory", counter).unwrap();
    let total = memory("Available MBytes Memory") + memory("Used Memory MBytes");
    let Ok(found) = Command::new("free").args(["-m"]).output() else { return };
    let text = String::from_utf8(found.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("Mem:")).unwrap();
    let numbers: Vec<f64> = line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
    assert!((total - numbers[0]).abs() <= 1.0, "{total} of {}", numbers[0]);
    // Other programs take and give meanwhile.
    let available = memory("Available MBytes Memory");
    assert!((available - numbers[5]).abs() < numbers[0] / 4.0, "{available} of {}", numbers[5]);
}

#[tokio::test]
async fn this_process_and_this_system_are_among_the_instances() {
    let rows = this_machine().await;
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let own: Vec<_> = rows.iter().filter(|row| row.0 == "Process" && row.1 == name.trim()).collect();
    assert_eq!(own.len(), 4, "{rows:?}");
    assert!(own.iter().all(|row| row.2.starts_with("Pct") || row.3 > 100.0), "{own:?}");
    assert!(value(&rows, "A System 1", "Processes").unwrap() >= 1.0);
    assert!(value(&rows, "A System 1", "Uptime").unwrap() > 1.0);
}

#[tokio::test(start_paused = true)]
async fn the_first_records_come_after_one_interval_and_one_wakeup_serves_all_sets_that_meet() {
    let (counters, tap) = (Counters::new(), Tap::new());
    let mut seen = tap.look();
    let inlet = Inlet::new(Vec::new(), counters.source("performance")).seen_by(tap, "performance");
    let stop = CancellationToken::new();
    let settings = PerformanceSettings {
        counters: vec![every_counter(Object::Memory, 10), every_counter(Object::System, 20)],
    };
    let begun = Instant::now();
    let running = tokio::spawn(run(settings, "A System 1".to_owned(), inlet.clone(), stop.clone()));
    let count = || inlet.tally().collected.get();
    let mut counts = vec![0];
    let mut times = Vec::new();
    while counts.len() < 5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if count() > *counts.last().unwrap() {
            counts.push(count());
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    assert!((10.0..20.5).contains(&times[0]), "{times:?}");
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 10.0).abs() < 0.5), "{times:?}");
    let grown: Vec<u64> = counts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let system = Object::System.counters().len() as u64;
    assert_eq!((grown[2], grown[1] - grown[0], grown[3] - grown[2]), (grown[0], system, system), "{grown:?}");
    stop.cancel();
    running.await.unwrap();
    assert_eq!(seen.recv().await.unwrap().table, Table::Perf);
}
