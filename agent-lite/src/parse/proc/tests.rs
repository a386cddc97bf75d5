use proptest::prelude::*;

use super::*;
use crate::parse::proc::process::Process;

/// Words of which tables are made, so that a parser gets far, and bytes of any kind.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"cpu0".to_vec()),
        Just(b"MemTotal:".to_vec()),
        Just(b"pgpgin".to_vec()),
        Just(b"eth0:".to_vec()),
        Just(b"8:1".to_vec()),
        Just(b"- ext4 /dev/sda".to_vec()),
        Just(b"1 (a) S".to_vec()),
        Just(b"/a\\040".to_vec()),
        Just(b"18446744073709551615".to_vec()),
        Just(b"\n".to_vec()),
        "[0-9]{1,4}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.join(&b' '))
}

proptest! {
    #[test]
    fn any_text_is_a_table_or_none(before in text(), after in text(), seconds in 0.0..100.0_f64) {
        let (_, earlier) = processor::processors(&before).last().unwrap_or_default();
        for (_, ticks) in processor::processors(&after) {
            let _ = processor::readings(Some(&earlier), &ticks);
        }
        let earlier = disk::disks(&before).last().map(|(_, _, done)| done);
        for (_, _, done) in disk::disks(&after) {
            let _ = (done.work(earlier.as_ref(), seconds), done.readings(earlier.as_ref(), seconds));
        }
        if let Some(memory) = memory::Memory::read(&after) {
            let _ = memory.readings([reading::Reading::Lost; 2]);
        }
        let _ = (memory::Paging::read(&after), system::uptime(&after), system::sessions(&after));
        prop_assert!(mounts::local(&after).len() <= mounts::MOST_FILE_SYSTEMS);
        for (_, sums) in network::interfaces(&after) {
            let _ = sums.readings();
        }
        let _ = (Process::read(&after), process::shared(&after));
        let _ = release::Release::read(&String::from_utf8_lossy(&after));
    }
}
