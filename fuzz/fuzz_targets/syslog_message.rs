//! Any bytes are one record or none, the record can be read back, and a message arrives the same by any road.
#![no_main]

use agent_lite::parse::syslog::Arrival;
use agent_lite::parse::syslog::End;
use agent_lite::parse::syslog::Filter;
use agent_lite::parse::syslog::Outcome;
use agent_lite::parse::syslog::Parser;
use agent_lite::parse::syslog::Place;
use agent_lite::parse::syslog::Sender;
use agent_lite::record::Frames;
use agent_lite::record::Record;
use agent_lite::record::Timestamp;
use agent_lite::record::frame_at;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for (place, end) in [(Place::Local, End::Whole), (Place::Network, End::Missing)] {
        let sender = Sender { name: "edge7", address: "192.0.2.7", place };
        let arrival = Arrival { bytes, end, received: Timestamp(1_795_369_804_000_000), sender };
        let mut frames = Frames::default();
        let filter = Filter::new(&[], 7).expect("all facilities");
        let outcome = Parser::new(TimeZone::UTC, filter).record(&arrival, &mut frames);
        assert_eq!(frames.count(), u32::from(matches!(outcome, Outcome::Written { .. })));
        if !frames.is_empty() {
            let frame = frame_at(frames.bytes()).expect("a frame");
            assert_eq!(frame.length, frames.bytes().len());
            assert!(Record::decode(frame.payload).expect("a record").values().count() > 0);
        }
    }
});
