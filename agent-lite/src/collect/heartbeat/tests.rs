use tokio::time::Instant;

use super::*;
use crate::collect::inlet::Tap;
use crate::counters::Counters;
use crate::parse::proc::release::Release;
use crate::record::FRAME_HEAD;
use crate::record::Record;

fn facts() -> Machine {
    Machine {
        hostname: "edge7".to_owned(),
        release: Release::read("NAME=Ubuntu\nID=ubuntu\nVERSION_ID=22.04\n"),
        architecture: "x86_64",
        uuid: machine::NO_UUID.to_owned(),
        container: false,
    }
}

#[test]
fn a_heartbeat_has_the_columns_of_the_legacy_agent() {
    let mut frames = Frames::default();
    write(&mut frames, Timestamp(7), &facts(), &["10.0.0.4".to_owned(), "fd00::1".to_owned()]);
    let record = Record::decode(&frames.bytes()[FRAME_HEAD..]).unwrap();
    let expected = [
        (Column::OsType, "Linux"),
        (Column::OsName, "Ubuntu"),
        (Column::OsMajorVersion, "22"),
        (Column::OsMinorVersion, "04"),
        (Column::Version, env!("CARGO_PKG_VERSION")),
        (Column::ScAgentChannel, "Direct"),
        (Column::Category, "Agent"),
        (Column::ComputerPrivateIps, "[\"10.0.0.4\",\"fd00::1\"]"),
        (Column::VmUuid, "00000000-0000-0000-0000-000000000000"),
        (Column::ComputerEnvironment, "Non-Azure"),
    ];
    assert_eq!(record.time(), Timestamp(7));
    assert_eq!(record.values().count(), expected.len());
    for (column, text) in expected {
        assert_eq!(record.text(column), Some(text), "{column:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_beat_is_at_once_and_each_later_one_within_a_tenth_of_its_interval() {
    let (counters, tap) = (Counters::new(), Tap::new());
    let mut seen = tap.look();
    let inlet = Inlet::new(Vec::new(), counters.source("heartbeat")).seen_by(tap, "heartbeat");
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let settings = HeartbeatSettings { every: Duration::from_secs(60) };
    let running = tokio::spawn(run(settings, facts(), inlet.clone(), stop.clone()));
    for beat in 0..5 {
        let (least, most) = (54 * beat, 60 * beat + 1);
        while inlet.tally().collected.get() <= beat {
            time::sleep(Duration::from_millis(10)).await;
        }
        let passed = begun.elapsed().as_secs();
        assert!((least..=most).contains(&passed), "beat {beat} after {passed} s");
    }
    assert_eq!(seen.recv().await.unwrap().table, Table::Heartbeat);
    stop.cancel();
    running.await.unwrap();
}
