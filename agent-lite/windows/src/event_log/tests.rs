//! The real calls against a scripted double of wevtapi.dll (`tests/windows/wevtapi`), which `.ci/windows-event-log` lays
//! beside the tests. What the real service does no double can show.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;

use windows_sys::Win32::System::LibraryLoader::GetProcAddress;
use windows_sys::Win32::System::LibraryLoader::LoadLibraryW;

use super::*;

/// Returns how many handles are open; only the double can tell.
fn open_handles() -> u32 {
    let name = crate::wide::wide("wevtapi.dll").unwrap();
    // SAFETY: the text ends in 0 and lives until the call returns.
    let library = unsafe { LoadLibraryW(name.as_ptr()) };
    // SAFETY: the library stays loaded, and the name ends in 0.
    let count = unsafe { GetProcAddress(library, c"WevtapiDoubleOpenHandles".as_ptr().cast()) };
    let count = count.expect("the double lies beside the tests");
    // SAFETY: the double's function takes nothing and returns a number.
    let count = unsafe { count() };
    count as u32
}

/// Adds lines to the double's script.
fn script(lines: &str) {
    let path = std::env::var("WEVTAPI_SCRIPT").expect("`.ci/windows-event-log` runs these tests");
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

fn event(channel: &str, record: u64, text: &str) -> String {
    format!(
        "event\t{channel}\t{record}\tApp\t<Event><System><EventID>{}</EventID></System><EventData><Data>{text}</Data></EventData></Event>\n",
        record % 10
    )
}

fn events(channel: &str, records: std::ops::RangeInclusive<u64>) {
    script(&records.map(|record| event(channel, record, "x")).collect::<String>());
}

fn xml(events: &[Event]) -> Vec<String> {
    let mut renderer = Renderer::default();
    events.iter().map(|event| renderer.xml(event).unwrap()).collect()
}

fn open(channel: &str, start: Start<'_>) -> Result<Subscription, EventLogError> {
    Subscription::open(channel, "*", start, &Arc::new(Signal::new().unwrap()))
}

#[test]
#[ignore = "needs the double of wevtapi.dll: .ci/windows-event-log runs it"]
fn events_come_in_batches_and_a_bookmark_leads_behind_them() {
    let before = open_handles();
    events("Batches", 1..=5);
    let signal = Arc::new(Signal::new().unwrap());
    let mut subscription = Subscription::open("Batches", "*", Start::Oldest, &signal).unwrap();
    signal.wait(std::time::Duration::from_secs(60));
    let first = subscription.next(3).unwrap();
    let mut bookmark = Bookmark::new().unwrap();
    for event in &first {
        bookmark.move_behind(event).unwrap();
    }
    assert_eq!((first.len(), subscription.next(3).unwrap().len()), (3, 2));
    assert!(subscription.next(3).unwrap().is_empty());
    let text = bookmark.xml().unwrap();
    assert!(text.contains("RecordId='3'"), "{text}");
    let again = Bookmark::of_xml(&text).unwrap();
    let rest = open("Batches", Start::Behind(&again)).unwrap().next(9).unwrap();
    assert_eq!(xml(&rest).len(), 2);
    events("Batches", 6..=6);
    assert_eq!(subscription.next(9).unwrap().len(), 1, "it is asked for anew");
    assert!(open("Batches", Start::Now).unwrap().next(9).unwrap().is_empty());
    drop((first, rest, subscription, bookmark, again));
    assert_eq!(open_handles(), before, "every handle is closed");
}

#[test]
#[ignore = "needs the double of wevtapi.dll: .ci/windows-event-log runs it"]
fn a_bookmark_whose_event_is_gone_is_told_and_what_comes_next_is_read() {
    events("Gap", 10..=12);
    let lost = Bookmark::of_xml(
        "<BookmarkList><Bookmark Channel='Gap' RecordId='5' IsCurrent='true'/></BookmarkList>",
    );
    let lost = lost.unwrap();
    assert_eq!(open("Gap", Start::Behind(&lost)).unwrap_err(), EventLogError::Gone);
    assert_eq!(open("Gap", Start::BehindOrNext(&lost)).unwrap().next(9).unwrap().len(), 3);
    assert_eq!(Bookmark::of_xml("garbage").unwrap_err(), EventLogError::Other(15008));
    assert_eq!(Bookmark::of_xml("a\0b").unwrap_err(), EventLogError::Text);
}

#[test]
#[ignore = "needs the double of wevtapi.dll: .ci/windows-event-log runs it"]
fn a_large_event_makes_the_buffer_grow_and_one_beyond_all_measure_is_refused() {
    let large = "ü".repeat(300_000);
    script(&event("Large", 1, &large));
    script(&event("Large", 2, &"m".repeat(5 * 1024 * 1024)));
    script(&event("Large", 3, "after"));
    let events = open("Large", Start::Oldest).unwrap().next(9).unwrap();
    let mut renderer = Renderer::default();
    assert!(renderer.xml(&events[0]).unwrap().contains(&large));
    assert!(matches!(renderer.xml(&events[1]), Err(EventLogError::Large(bytes)) if bytes > 10 << 20));
    assert!(renderer.xml(&events[2]).unwrap().contains("after"));
}

#[test]
#[ignore = "needs the double of wevtapi.dll: .ci/windows-event-log runs it"]
fn what_stands_in_the_way_of_a_channel_is_told() {
    script(
        "fail\tDenied\tsubscribe\t5\t1000\nfail\tDirect\tsubscribe\t15009\t1000\nfail\tOdd\tsubscribe\t1722\t1000\n",
    );
    script("fail\tStale\tnext\t15011\t1\nmost\tStale\t4\n");
    events("Stale", 1..=9);
    let cases = [
        ("No Such", EventLogError::NoChannel),
        ("Denied", EventLogError::Denied),
        ("Direct", EventLogError::Direct),
        ("Odd", EventLogError::Other(1722)),
        ("a\0b", EventLogError::Text),
    ];
    for (channel, error) in cases {
        assert_eq!(open(channel, Start::Now).unwrap_err(), error, "{channel}");
        assert!(!error.to_string().is_empty());
    }
    let signal = Arc::new(Signal::new().unwrap());
    let query = Subscription::open("Stale", "nonsense", Start::Now, &signal);
    assert_eq!(query.unwrap_err(), EventLogError::Query);
    let mut stale = open("Stale", Start::Oldest).unwrap();
    assert_eq!(stale.next(4).unwrap_err(), EventLogError::Gone);
    assert_eq!(stale.next(5).unwrap_err(), EventLogError::Batch);
    assert_eq!(stale.next(4).unwrap().len(), 4);
    let mut some = Subscription::open("Stale", "*[System[EventID=7]]", Start::Oldest, &signal).unwrap();
    assert_eq!(some.next(4).unwrap().len(), 1);
}

#[test]
#[ignore = "needs the double of wevtapi.dll: .ci/windows-event-log runs it"]
fn messages_come_from_publishers_that_are_opened_once() {
    let before = open_handles();
    script(
        "message\tPub\t1\tThe service started.\nmessage\tPub\t2\t!15029 Half of %2\nmessage\tPub\t3\t!15027 none\n",
    );
    script(&format!("message\tPub\t4\t{}\npublisher\tSilent\n", "l".repeat(40_000)));
    events("Messages", 1..=5);
    let events = open("Messages", Start::Oldest).unwrap().next(9).unwrap();
    let mut messages = Messages::default();
    assert_eq!(messages.of("Pub", &events[0]).as_deref(), Some("The service started."));
    assert_eq!(messages.of("Pub", &events[1]).as_deref(), Some("Half of %2"), "a value is missing in it");
    assert_eq!(messages.of("Pub", &events[2]), None);
    assert_eq!(messages.of("Pub", &events[3]).unwrap().len(), 40_000, "the buffer grows");
    assert_eq!(messages.of("Silent", &events[0]), None);
    assert_eq!(messages.of("Unknown", &events[0]), None);
    assert_eq!(messages.of("Unknown", &events[0]), None);
    assert_eq!(messages.opened(), 3);
    for number in 0..100 {
        script(&format!("publisher\tMany {number}\n"));
        messages.of(&format!("Many {number}"), &events[0]);
    }
    assert!(open_handles() - before <= 64 + 5, "some are closed for others");
    drop((messages, events));
    assert_eq!(open_handles(), before);
}

#[test]
#[ignore = "needs the double of wevtapi.dll: .ci/windows-event-log runs it"]
fn a_signal_wakes_who_waits_and_can_be_taken_back() {
    let signal = std::sync::Arc::new(Signal::new().unwrap());
    let other = signal.clone();
    let waiting = std::thread::spawn(move || other.wait(std::time::Duration::from_secs(60)));
    signal.give().unwrap();
    waiting.join().unwrap();
    signal.take_back().unwrap();
    let begun = std::time::Instant::now();
    signal.wait(std::time::Duration::from_millis(1));
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}

#[test]
#[ignore = "needs the double of wevtapi.dll: .ci/windows-event-log runs it"]
fn a_channel_can_be_begun_behind_its_newest_event_and_nothing_after_it_is_lost() {
    let before = open_handles();
    script("publisher\tApp\nmost\tNewest\t1000\n");
    assert!(newest("Newest", "*").unwrap().is_none(), "there is none yet");
    assert_eq!(newest("NoSuchChannel", "*").unwrap_err(), EventLogError::NoChannel);
    events("Newest", 1..=4);
    let bookmark = newest("Newest", "*").unwrap().unwrap();
    // What comes before the subscription is opened comes too, unlike with `Start::Now`.
    events("Newest", 5..=6);
    let rest = open("Newest", Start::Behind(&bookmark)).unwrap().next(9).unwrap();
    assert_eq!(rest.len(), 2);
    let third = newest("Newest", "*[System[EventID=3]]").unwrap().unwrap();
    assert_eq!(open("Newest", Start::Behind(&third)).unwrap().next(9).unwrap().len(), 3);
    drop((bookmark, third, rest));
    assert_eq!(open_handles(), before, "every handle is closed");
}
