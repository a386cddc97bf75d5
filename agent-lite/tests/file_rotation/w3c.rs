//! Logs of IIS: what the directives said follows a content wherever it goes, and space that is not written is waited for.

use std::fs;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use agent_lite::config::settings::Encoding;
use agent_lite::config::settings::ReadFrom;
use agent_lite::config::settings::RecordStart;
use agent_lite::counters::Loss;

use crate::stage::Stage;
use crate::stage::append;

const OLD: &str = "#Fields: date time cs-uri-stem sc-status\r\n";
const NEW: &str = "#Fields: sc-status date time cs-uri-stem\r\n";

fn stage(pattern: &str) -> Stage {
    let mut stage = Stage::new(pattern);
    stage.settings.record = RecordStart::W3cLine;
    stage.settings.encoding = Encoding::CodePage(encoding_rs::UTF_8);
    stage
}

fn old(stem: &str) -> String {
    format!("2026-11-23 00:00:01 {stem} 200\r\n")
}

fn new(stem: &str) -> String {
    format!("200 2026-11-23 00:00:01 {stem}\r\n")
}

#[test]
fn a_file_that_is_read_from_its_end_has_the_fields_that_its_beginning_announced() {
    let mut stage = stage("*.log");
    stage.settings.from = ReadFrom::End;
    let log = stage.log("u_ex.log");
    // More than is looked through at once, before and behind the directive that counts.
    append(&log, format!("{OLD}{}", old("/before").repeat(60_000)));
    append(&log, format!("{NEW}{}", new("/before").repeat(60_000)));
    let end = fs::metadata(&log).unwrap().len();
    let file = OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(end + 100_000).unwrap();
    let running = stage.start();
    stage.until("the first look", || stage.positions().exists());
    let after = new("/after");
    file.write_all_at(after.as_bytes(), end).unwrap();
    assert_eq!(stage.wait(1), ["/after"]);
    running.stop();
    file.write_all_at(new("/later").as_bytes(), end + after.len() as u64).unwrap();
    let running = stage.start();
    assert_eq!(stage.wait(2), ["/after", "/later"]);
    running.stop();
    assert_eq!((stage.lost(Loss::Unparsed), stage.lost(Loss::InvalidText)), (0, 0));
}

#[test]
fn after_a_crash_the_torn_line_is_kept_and_reading_goes_on_behind_the_nuls() {
    let stage = stage("*.log");
    let log = stage.log("u_ex.log");
    append(&log, format!("{OLD}{}2026-11-23 00:00:01 /tor", old("/a")));
    append(&log, vec![0; 300_000]);
    let running = stage.start();
    assert_eq!(stage.wait(1), ["/a"]);
    append(&log, format!("#Software: Microsoft Internet Information Services 10.0\r\n{NEW}{}", new("/b")));
    assert_eq!(stage.wait(3), ["/a", "2026-11-23 00:00:01 /tor", "/b"]);
    running.stop();
    assert_eq!((stage.lost(Loss::Unparsed), stage.lost(Loss::InvalidText)), (1, 1));
}

#[test]
fn a_copy_and_a_compressed_file_go_on_with_the_fields_of_the_content() {
    let stage = stage("u_ex*");
    let log = stage.log("u_ex.log");
    append(&log, format!("{OLD}{}{NEW}{}", old("/a").repeat(40), new("/b").repeat(40)));
    let running = stage.start();
    stage.wait(80);
    running.stop();
    append(&log, new("/c"));
    // A copy of a content that is known by 1 KiB of it, and the file itself compressed.
    fs::copy(&log, stage.log("u_ex_copy.log")).unwrap();
    append(&stage.log("u_ex_copy.log"), new("/copied"));
    assert!(Command::new("gzip").arg(&log).status().unwrap().success());
    let running = stage.start();
    stage.until("both", || {
        let texts = stage.texts();
        ["/c", "/copied"].iter().all(|stem| texts.iter().any(|text| text == stem))
    });
    running.stop();
    assert_eq!(stage.lost(Loss::Unparsed), 0, "{:?}", stage.texts());
    assert!(stage.texts().iter().filter(|text| *text == "/a").count() == 40);
}

#[test]
fn a_file_that_goes_away_with_space_in_it_is_no_loss_and_its_last_line_is_kept() {
    let mut stage = stage("*.log");
    stage.settings.flush_after = Duration::from_millis(100);
    let log = stage.log("u_ex.log");
    append(&log, format!("{OLD}{}2026-11-23 00:00:02 /torn", old("/a")));
    append(&log, vec![0; 5000]);
    let running = stage.start();
    stage.wait(1);
    fs::remove_file(&log).unwrap();
    assert_eq!(stage.wait(2), ["/a", "2026-11-23 00:00:02 /torn"]);
    running.stop();
    assert_eq!((stage.lost(Loss::Unread), stage.lost(Loss::InvalidText)), (0, 0));
}
