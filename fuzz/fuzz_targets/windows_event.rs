//! The XML of an event becomes one record or an error; what cannot be read is kept as it came.
#![no_main]

use agent_lite::parse::windows_event::WindowsEvent;
use agent_lite::record::Frames;
use agent_lite::record::Record;
use agent_lite::record::Timestamp;
use agent_lite::record::frame_at;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|xml: &str| {
    let event =
        WindowsEvent::parse(xml).unwrap_or_else(|_| WindowsEvent::unreadable(xml, "System", Some(1)));
    let mut frames = Frames::default();
    event.write(&mut frames, Timestamp(7));
    assert_eq!(frames.count(), 1);
    let frame = frame_at(frames.bytes()).expect("a frame");
    assert!(Record::decode(frame.payload).is_ok());
});
