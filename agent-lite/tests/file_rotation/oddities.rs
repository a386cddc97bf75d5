//! Files that are not as they should be.

use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use agent_lite::config::settings::ReadFrom;
use agent_lite::config::settings::RecordStart;
use agent_lite::config::settings::TimeForm;
use agent_lite::counters::Loss;

use crate::stage::Stage;
use crate::stage::append;

#[test]
fn what_is_there_when_a_source_is_new_is_left_out_and_what_comes_later_is_read_whole() {
    let mut stage = Stage::new("*.log");
    stage.settings.from = ReadFrom::End;
    append(&stage.log("old.log"), "before\nhalf");
    let running = stage.start();
    stage.until("the first look", || stage.positions().exists());
    append(&stage.log("old.log"), " a line\nafter\n");
    append(&stage.log("new.log"), "whole\n");
    stage.wait(2);
    running.stop();
    append(&stage.log("later.log"), "whole, too\n");
    let running = stage.start();
    let mut texts = stage.wait(3);
    running.stop();
    texts.sort();
    assert_eq!(texts, ["after", "whole", "whole, too"]);
}

#[test]
fn folders_and_pipes_are_said_and_skipped_and_nothing_waits_for_them() {
    let stage = Stage::new("*");
    fs::create_dir(stage.log("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(stage.log("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", stage.log("zeroes")).unwrap();
    std::os::unix::fs::symlink(stage.log("nowhere"), stage.log("dangling")).unwrap();
    append(&stage.folder.path().join("elsewhere"), "through a link\n");
    std::os::unix::fs::symlink(stage.folder.path().join("elsewhere"), stage.log("link")).unwrap();
    let running = stage.start();
    assert_eq!(stage.wait(1), ["through a link"]);
    append(&stage.log("more"), "more\n");
    stage.wait(2);
    running.stop();
    assert_eq!(stage.lost(Loss::Unreadable), 4);
}

#[test]
fn a_line_of_ten_megabytes_bad_text_and_nuls_cost_only_themselves() {
    let stage = Stage::new("app.log");
    append(&stage.log("app.log"), "x".repeat(10_000_000));
    append(&stage.log("app.log"), b"\nbad \xff text\n\0\0\0\0after nuls\r\n\n");
    let running = stage.start();
    let texts = stage.wait(3);
    running.stop();
    assert!(texts[0].len() <= 65536 && texts[0].ends_with("x…[cut by agent-lite]"), "{}", texts[0].len());
    assert_eq!(texts[1..], ["bad \u{fffd} text", "after nuls"]);
    assert_eq!((stage.lost(Loss::Cut), stage.lost(Loss::InvalidText)), (1, 2));
}

#[test]
fn a_hole_before_the_data_is_passed_over() {
    let stage = Stage::new("app.log");
    let running = stage.start();
    append(&stage.log("app.log"), "first\n");
    stage.wait(1);
    // A writer that does not append goes on at its old place after a truncation.
    let file = OpenOptions::new().write(true).open(stage.log("app.log")).unwrap();
    file.set_len(0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"second\n", 3 << 30).unwrap();
    assert_eq!(stage.wait(2), ["first", "second"]);
    running.stop();
}

#[test]
fn utf_16_is_read_by_its_mark_and_a_last_line_without_an_end_waits() {
    let stage = Stage::new("*.log");
    let little: Vec<u8> = "\u{feff}eins\r\nzwö".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = "\u{feff}drei\nvier\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    append(&stage.log("a.log"), little);
    append(&stage.log("b.log"), big);
    append(&stage.log("c.log"), b"\xef\xbb\xbfmarked\n");
    let running = stage.start();
    let mut texts = stage.wait(5);
    running.stop();
    texts.sort();
    assert_eq!(texts, ["drei", "eins", "marked", "vier", "zwö"]);
}

#[test]
fn damaged_positions_lie_aside_and_everything_is_read_again() {
    let stage = Stage::new("app.log");
    append(&stage.log("app.log"), "one\n");
    let running = stage.start();
    stage.wait(1);
    running.stop();
    fs::write(stage.positions(), "{").unwrap();
    let running = stage.start();
    assert_eq!(stage.wait(2), ["one", "one"]);
    running.stop();
    assert!(stage.positions().with_extension("json.damaged").exists());
}

#[test]
fn a_folder_that_goes_and_comes_back_is_read_on() {
    let stage = Stage::new("app.log");
    append(&stage.log("app.log"), "one\n");
    let running = stage.start();
    stage.wait(1);
    let away = stage.folder.path().join("away");
    fs::rename(stage.logs(), &away).unwrap();
    stage.until("the folder is missed", || stage.lost(Loss::Unreadable) > 0);
    append(&away.join("app.log"), "two\n");
    fs::rename(&away, stage.logs()).unwrap();
    append(&stage.log("app.log"), "three\n");
    stage.wait(3);
    fs::remove_dir_all(stage.logs()).unwrap();
    fs::create_dir(stage.logs()).unwrap();
    append(&stage.log("app.log"), "four\n");
    assert_eq!(stage.wait(4), ["one", "two", "three", "four"]);
    running.stop();
}

#[test]
fn a_file_that_was_renamed_or_compressed_while_nobody_read_is_read_to_its_end() {
    for compressed in [false, true] {
        let stage = Stage::new("app.log");
        append(&stage.log("app.log"), "one\n");
        let running = stage.start();
        stage.wait(1);
        running.stop();
        append(&stage.log("app.log"), "two\n");
        fs::rename(stage.log("app.log"), stage.log("app.log.1")).unwrap();
        if compressed {
            assert!(Command::new("gzip").arg(stage.log("app.log.1")).status().unwrap().success());
        }
        append(&stage.log("app.log"), "three\n");
        let running = stage.start();
        let mut texts = stage.wait(3);
        running.stop();
        texts.sort();
        assert_eq!(texts, ["one", "three", "two"], "compressed: {compressed}");
    }
}

#[test]
fn of_a_compressed_file_that_breaks_off_the_lines_before_are_read_and_the_rest_when_it_is_there() {
    let stage = Stage::new("app.log*");
    let lines: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
    append(&stage.log("whole"), &lines);
    assert!(Command::new("gzip").arg(stage.log("whole")).status().unwrap().success());
    let whole = fs::read(stage.log("whole.gz")).unwrap();
    let (there, missing) = whole.split_at(whole.len() * 9 / 10);
    append(&stage.log("app.log.1.gz"), there);
    let running = stage.start();
    stage.until("it is said", || stage.lost(Loss::Unreadable) == 1);
    let texts = stage.wait(8_000);
    let last = texts.last().unwrap().strip_prefix("line ").unwrap().parse::<usize>().unwrap();
    assert_eq!(last + 1, texts.len());
    append(&stage.log("app.log.1.gz"), missing);
    let texts = stage.wait(10_000);
    running.stop();
    assert!(texts.iter().map(|text| format!("{text}\n")).collect::<String>() == lines);
}

#[test]
fn a_copy_is_not_read_twice_and_two_files_that_begin_alike_are_both_read() {
    let stage = Stage::new("*");
    let banner = "banner\n".repeat(10);
    append(&stage.log("a.log"), &banner);
    append(&stage.log("b.log"), &banner);
    let running = stage.start();
    stage.wait(20);
    fs::copy(stage.log("a.log"), stage.log("a.log.bak")).unwrap();
    stage.until("the copy is known", || {
        fs::read_to_string(stage.positions()).unwrap_or_default().contains("a.log.bak")
    });
    append(&stage.log("a.log.bak"), "more\n");
    assert_eq!(stage.wait(21).last().unwrap(), "more");
    running.stop();
}

#[test]
fn what_a_truncation_took_is_counted_when_it_can_be_told() {
    let mut stage = Stage::new("app.log");
    stage.settings.record = RecordStart::Time(TimeForm::YearFirst);
    stage.settings.flush_after = Duration::from_secs(30);
    let running = stage.start();
    append(&stage.log("app.log"), "2026-01-01 00:00:00 a\n2026-01-01 00:00:01 b\n");
    stage.wait(1);
    // The unfinished record was read and is not lost with the file.
    fs::write(stage.log("app.log"), "2026-01-01 00:00:02 c\n2026-01-01 00:00:03 d\n").unwrap();
    assert_eq!(stage.wait(3)[1..], ["2026-01-01 00:00:01 b", "2026-01-01 00:00:02 c"]);
    running.stop();
    assert_eq!(stage.lost(Loss::Unread), 0);
}

#[test]
fn a_record_says_where_it_was_found_and_when_it_happened() {
    let mut stage = Stage::new("app.log");
    stage.settings.record = RecordStart::Time(TimeForm::Iso8601);
    append(&stage.log("app.log"), "2026-01-01T00:00:00Z a\n");
    let running = stage.start();
    stage.wait(1);
    running.stop();
    let arrived = stage.arrived.lock().unwrap();
    assert_eq!(arrived[0].1, stage.log("app.log").to_str().unwrap());
}

#[test]
fn one_huge_file_does_not_keep_the_others_waiting() {
    let stage = Stage::new("*.log");
    let mut file = fs::File::create(stage.log("a.log")).unwrap();
    for _ in 0..200 {
        file.write_all("a line of a very long file\n".repeat(5_000).as_bytes()).unwrap();
    }
    append(&stage.log("b.log"), "short\n");
    let running = stage.start();
    stage.until("the short one", || stage.texts().iter().any(|text| text == "short"));
    let texts = stage.wait(1_000_001);
    running.stop();
    assert!(texts.iter().position(|text| text == "short").unwrap() < 20_000);
}
