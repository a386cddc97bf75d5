//! Any text is a table of the kernel or none, and its difference from another one is a figure or lost.
#![no_main]

use agent_lite::parse::proc::disk;
use agent_lite::parse::proc::memory;
use agent_lite::parse::proc::mounts;
use agent_lite::parse::proc::network;
use agent_lite::parse::proc::process;
use agent_lite::parse::proc::processor;
use agent_lite::parse::proc::reading::Reading;
use agent_lite::parse::proc::release;
use agent_lite::parse::proc::system;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let middle = bytes.iter().position(|byte| *byte == 0xff).unwrap_or(0);
    let (before, after) = bytes.split_at(middle);
    let (_, earlier) = processor::processors(before).last().unwrap_or_default();
    for (_, ticks) in processor::processors(after) {
        let _ = processor::readings(Some(&earlier), &ticks);
    }
    let earlier = disk::disks(before).last().map(|(_, _, done)| done);
    for (_, _, done) in disk::disks(after) {
        let _ = (done.work(earlier.as_ref(), 7.0), done.readings(earlier.as_ref(), 7.0));
    }
    if let Some(memory) = memory::Memory::read(after) {
        let _ = memory.readings([Reading::Lost; 2]);
    }
    if let (Some(one), Some(two)) = (memory::Paging::read(before), memory::Paging::read(after)) {
        let _ = two.rates(Some(&one), 7.0);
    }
    let _ = (system::uptime(after), system::sessions(after));
    assert!(mounts::local(after).len() <= mounts::MOST_FILE_SYSTEMS);
    for (_, sums) in network::interfaces(after) {
        let _ = sums.readings();
    }
    let _ = (process::Process::read(after).is_some(), process::shared(after));
    let _ = release::Release::read(&String::from_utf8_lossy(after)).manufacturer();
});
