//! Logs of IIS by every transport, field by field: fields that change inside a file, rollover, code pages, files that
//! end in NULs, and restarts in between.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

use end_to_end::agent::Agent;
use end_to_end::patience::patiently;
use end_to_end::workspace::Row;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::COMPUTER;
use crate::agent_stage::LOOK_AGAIN;

/// The source; `{home}` is the agent's folder.
const SOURCE: &str = "[source.iis.sites]\ndirectories = [\"{home}/LogFiles\"]\nfrom = \"beginning\"\nlook = \"100ms\"\n\
                      [source.iis.ansi]\npaths = [\"{home}/ansi/ex*.log\"]\nencoding = \"windows-1252\"\n\
                      from = \"beginning\"\nlook = \"100ms\"\n";
const HEAD: &str = "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n";
const ALL_FIELDS: &str = "#Fields: date time s-sitename s-computername s-ip cs-method cs-uri-stem cs-uri-query s-port \
                          cs-username c-ip cs-version cs(User-Agent) cs(Cookie) cs(Referer) cs-host sc-status \
                          sc-substatus sc-win32-status sc-bytes cs-bytes time-taken";

/// A request: the line's values behind date and time, and what its row says.
fn full(number: u64) -> (String, Value) {
    let line = format!(
        "W3SVC1 WEB01 10.0.0.4 GET /shop/a%20b/ä.aspx q=1+2&n={number} 443 CORP\\jo+doe 10.9.8.7 HTTP/2.0 \
         Mozilla/5.0+(X11;+\"q\") id=\"1\" https://a.example/ www.example.com 404 0 64 5000000000 512 {number}"
    );
    let row = json!({
        "sSiteName": "W3SVC1", "sComputerName": "WEB01", "sIP": "10.0.0.4", "csMethod": "GET",
        "csUriStem": "/shop/a%20b/ä.aspx", "csUriQuery": format!("q=1+2&n={number}"), "sPort": 443,
        "csUserName": "CORP\\jo+doe", "cIP": "10.9.8.7", "csVersion": "HTTP/2.0",
        "csUserAgent": "Mozilla/5.0+(X11;+\"q\")", "csCookie": "id=\"1\"", "csReferer": "https://a.example/",
        "csHost": "www.example.com", "scStatus": "404", "scSubStatus": "0", "scWin32Status": "64",
        "scBytes": 5_000_000_000_u64, "csBytes": 512, "TimeTaken": number,
    });
    (line, row)
}

/// Times that the service takes as they are: the whole second of now, and those before.
struct Clock(Timestamp);

impl Clock {
    fn new() -> Self {
        let now = Timestamp::now() - SignedDuration::from_hours(1);
        Self(Timestamp::from_second(now.as_second()).expect("a time in range"))
    }

    fn at(&self, second: i64) -> Timestamp {
        self.0 + SignedDuration::from_secs(second)
    }

    fn text(&self, second: i64) -> String {
        self.at(second).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

fn log(stage: &AgentStage, name: &str) -> PathBuf {
    let path = stage.home.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("our own folder");
    path
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("our own file");
    file.write_all(bytes).expect("our own file");
}

/// Asserts that a workspace has this row; `TimeTaken` tells rows apart.
async fn assert_row(stage: &AgentStage, number: usize, by: By, row: (Timestamp, &Path, &Value)) {
    let (time, path, expected) = row;
    let id = expected["TimeTaken"].as_i64();
    let name = if is_suffixed(by) { "TimeTaken_d" } else { "TimeTaken" };
    let table = by.table("W3CIISLog");
    let found = patiently(&format!("{expected} by {by:?}"), async {
        loop {
            let rows = stage.fake.rows(stage.id(number), &table).into_iter();
            let mut ours = rows.filter(|row| row.columns.get(name).and_then(Value::as_i64) == id);
            match ours.next() {
                Some(row) => return row,
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    })
    .await;
    assert_eq!(without_own(&found, by, time), expected_columns(by, path, expected), "{expected} by {by:?}");
}

/// Takes out, and looks at, what every row has: times and the record's number.
fn without_own(row: &Row, by: By, time: Timestamp) -> Map<String, Value> {
    let mut columns = row.columns.clone();
    let mut take = |name: &str| columns.remove(name).unwrap_or_else(|| panic!("no {name} in {row:?}"));
    let told = |value: Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    assert_eq!(told(take("TimeGenerated")), Some(time), "{row:?}");
    assert!(!row.time_replaced, "{row:?}");
    match is_suffixed(by) {
        true => assert_eq!(told(take("CollectionTime_t")), Some(time)),
        false => assert_eq!(told(take("EventTime")), Some(time)),
    }
    let (id, sequence) = if is_suffixed(by) { ("AgentId_g", "Seq_d") } else { ("AgentId", "Seq") };
    assert!(take(id).as_str().is_some_and(|id| id.len() == 36) && take(sequence).is_i64(), "{row:?}");
    columns
}

fn expected_columns(by: By, path: &Path, expected: &Value) -> Map<String, Value> {
    let mut columns = expected.as_object().expect("an object").clone();
    columns.insert("Computer".to_owned(), COMPUTER.into());
    columns.insert("SourceSystem".to_owned(), "Linux".into());
    columns.insert("FilePath".to_owned(), path.display().to_string().into());
    if !is_suffixed(by) {
        return columns;
    }
    let named = |(name, value): (String, Value)| match (name.as_str(), value) {
        ("CustomFields", value) => ("CustomFields_s".to_owned(), value.to_string().into()),
        ("RawData", value) => ("Message_s".to_owned(), value),
        (_, value) => (format!("{name}_{}", if value.is_number() { "d" } else { "s" }), value),
    };
    columns.into_iter().map(named).collect()
}

/// These ways lead into a custom table that is made as it is written to: names end in their types.
fn is_suffixed(by: By) -> bool {
    matches!(by, By::Certificate | By::Key)
}

async fn stop(mut agent: Agent) {
    agent.terminate().await;
    assert!(agent.exit_status().await.success());
}

async fn stage() -> AgentStage {
    let stage = AgentStage::new(By::ALL.len()).await;
    stage.configure(&By::ALL, &SOURCE.replace("{home}", &stage.home.path().display().to_string()));
    for folder in ["LogFiles", "ansi"] {
        std::fs::create_dir(stage.home.path().join(folder)).expect("our own folder");
    }
    stage.onboard(0).await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_iis_reach_every_workspace_by_every_transport_field_by_field() {
    let stage = stage().await;
    let clock = Clock::new();
    let site = log(&stage, "LogFiles/W3SVC1/u_ex261123.log");
    let (first, first_row) = full(1);
    let head = format!("\u{feff}{HEAD}#Date: {}\r\n{ALL_FIELDS}\r\n", clock.text(0));
    append(&site, format!("{head}{} {first}\r\n", clock.text(1)).as_bytes());
    // IIS was told of other fields, and of one of its own.
    let changed = "#Fields: date time cs-uri-stem sc-status time-taken X-Forwarded-For";
    let lines = format!("{HEAD}{changed}\r\n{} /short 200 2 10.1.1.1,+10.2.2.2\r\n", clock.text(2));
    append(&site, lines.as_bytes());
    let short = json!({"csUriStem": "/short", "scStatus": "200", "TimeTaken": 2,
                       "CustomFields": {"X-Forwarded-For": "10.1.1.1,+10.2.2.2"}});
    // A server that writes ANSI, and not the date.
    let ansi = log(&stage, "ansi/ex261123.log");
    let (date, time) = (clock.text(3)[..10].to_owned(), clock.text(3)[11..].to_owned());
    let head = format!("{HEAD}#Date: {date} 00:00:00\r\n#Fields: time cs-username s-port time-taken\r\n");
    append(&ansi, &[head.as_bytes(), time.as_bytes(), b" CORP\\Jos\xe9 - 3\r\n"].concat());
    let accented = json!({"csUserName": "CORP\\José", "TimeTaken": 3});
    let agent = Agent::start(&stage.home).await;
    for (number, by) in By::ALL.into_iter().enumerate() {
        assert_row(&stage, number, by, (clock.at(1), &site, &first_row)).await;
        assert_row(&stage, number, by, (clock.at(2), &site, &short)).await;
        assert_row(&stage, number, by, (clock.at(3), &ansi, &accented)).await;
    }
    stage.assert_all_is_well().await;
    drop(agent);
    for (number, by) in By::ALL.into_iter().enumerate() {
        assert_eq!(stage.fake.count(stage.id(number), &by.table("W3CIISLog")), 3, "by {by:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_of_the_fields_holds_after_a_restart_in_the_middle_of_a_file() {
    let stage = stage().await;
    let clock = Clock::new();
    let site = log(&stage, "LogFiles/W3SVC1/u_ex261123.log");
    let old = "#Fields: date time cs-uri-stem sc-status time-taken";
    let new = "#Fields: date time sc-status time-taken cs-uri-stem";
    append(&site, format!("{HEAD}{old}\r\n{} /one 200 1\r\n", clock.text(1)).as_bytes());
    append(&site, format!("{new}\r\n{} 404 2 /two\r\n", clock.text(2)).as_bytes());
    let table = By::Certificate.table("W3CIISLog");
    let agent = Agent::start(&stage.home).await;
    stage.fake.wait_for_rows(stage.id(0), &table, 2).await;
    stop(agent).await;
    // In the night: a line that is torn where the server crashed, a new beginning, and the next day's file.
    append(&site, format!("{} 404 3 /three\r\n{} 40", clock.text(3), clock.text(4)).as_bytes());
    let mut agent = Agent::start(&stage.home).await;
    stage.fake.wait_for_rows(stage.id(0), &table, 3).await;
    agent.kill9().await;
    append(&site, format!("4 4 /four\r\n{HEAD}{old}\r\n{} /five 500 5\r\n", clock.text(5)).as_bytes());
    let next = log(&stage, "LogFiles/W3SVC1/u_ex261124.log");
    append(&next, format!("{HEAD}{old}\r\n{} /six 200 6\r\n", clock.text(6)).as_bytes());
    let agent = Agent::start(&stage.home).await;
    let expected = [
        (1, &site, "/one", "200"),
        (2, &site, "/two", "404"),
        (3, &site, "/three", "404"),
        (4, &site, "/four", "404"),
        (5, &site, "/five", "500"),
        (6, &next, "/six", "200"),
    ];
    for (number, by) in By::ALL.into_iter().enumerate() {
        for (second, path, stem, status) in expected {
            let row = json!({"csUriStem": stem, "scStatus": status, "TimeTaken": second});
            assert_row(&stage, number, by, (clock.at(second), path, &row)).await;
        }
    }
    stage.assert_all_is_well().await;
    stop(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn space_that_iis_has_not_written_yet_is_waited_for_and_a_line_not_as_announced_is_kept_whole() {
    let stage = stage().await;
    let clock = Clock::new();
    let path = log(&stage, "LogFiles/W3SVC2/u_ex261123.log");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).expect("our own file");
    file.set_len(64 * 1024).expect("our own file");
    let mut end = 0;
    let mut write = |text: &str| {
        file.write_all_at(text.as_bytes(), end).expect("our own file");
        end += text.len() as u64;
    };
    write(&format!("{HEAD}#Fields: date time cs-uri-stem cs(User-Agent) sc-status time-taken\r\n"));
    write(&format!("{} /a curl 200 1\r\n{} /torn cu", clock.text(1), clock.text(2)));
    let agent = Agent::start(&stage.home).await;
    let table = By::Certificate.table("W3CIISLog");
    stage.fake.wait_for_rows(stage.id(0), &table, 1).await;
    // HTTP.sys goes on where it stopped, over the NULs; the size stays.
    write(&format!("rl 200 2\r\n{} /b my own agent 200 3\r\n", clock.text(3)));
    let torn = json!({"csUriStem": "/torn", "csUserAgent": "curl", "scStatus": "200", "TimeTaken": 2});
    let loose = json!({"scStatus": "200", "TimeTaken": 3, "RawData": format!("{} /b my own agent 200 3", clock.text(3))});
    for (number, by) in By::ALL.into_iter().enumerate() {
        assert_row(&stage, number, by, (clock.at(2), &path, &torn)).await;
        assert_row(&stage, number, by, (clock.at(3), &path, &loose)).await;
        assert_eq!(stage.fake.count(stage.id(number), &by.table("W3CIISLog")), 3);
    }
    // It closes the file, which then has its true size; nothing comes again.
    write(&format!("{} /c curl 200 4\r\n", clock.text(4)));
    file.set_len(end).expect("our own file");
    let last = json!({"csUriStem": "/c", "csUserAgent": "curl", "scStatus": "200", "TimeTaken": 4});
    for (number, by) in By::ALL.into_iter().enumerate() {
        assert_row(&stage, number, by, (clock.at(4), &path, &last)).await;
        assert_eq!(stage.fake.count(stage.id(number), &by.table("W3CIISLog")), 4);
    }
    let lost = stage
        .wait_for_status("the counter of odd lines", |status| {
            let sources = status["sources"].as_array()?;
            let sites = sources.iter().find(|source| source["name"] == "iis.sites")?;
            (sites["losses"] != json!({})).then(|| sites["losses"].clone())
        })
        .await;
    assert_eq!(lost, json!({"unparsed": 1}));
    stage.fake.assert_no_problems();
    stop(agent).await;
}
