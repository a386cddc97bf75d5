use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use super::caller::OTHER;
use super::caller::Stage;
use super::caller::WORKSPACE;
use crate::patience::patiently;
use crate::wire;
use crate::wire::Answer;
use crate::workspace::Fault;
use crate::workspace::Place;
use crate::workspace::Retention;
use crate::workspace::RetryAfter;
use crate::workspace::Shown;
use crate::workspace::Workspace;
use crate::workspace::encoding;

/// Returns a whole request of the Data Collector API.
fn request(workspace: &Workspace, body: &str) -> Vec<u8> {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let text = format!("POST\n{}\napplication/json\nx-ms-date:{date}\n/api/logs", body.len());
    let signature = encoding::signature(&workspace.key, &text);
    let (id, host) = (&workspace.id, workspace.ods());
    let fields = format!(
        "Host: {host}\r\nContent-Type: application/json\r\nLog-Type: App\r\nx-ms-date: {date}\r\n\
         Authorization: SharedKey {id}:{signature}\r\nContent-Length: {}",
        body.len()
    );
    format!("POST /api/logs?api-version=2016-04-01 HTTP/1.1\r\n{fields}\r\n\r\n{body}").into_bytes()
}

/// Returns everything that is said to one request, or how the connection broke.
async fn say(stage: &Stage, workspace: usize, body: &str) -> std::io::Result<Vec<u8>> {
    let workspace = &stage.fake.workspaces()[workspace];
    let mut stream = stage.connect(&workspace.ods(), None).await?;
    let text = String::from_utf8(request(workspace, body)).expect("text");
    let text = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(text.as_bytes()).await?;
    let mut said = Vec::new();
    patiently("an answer", stream.read_to_end(&mut said)).await?;
    Ok(said)
}

async fn status(stage: &Stage, workspace: usize, body: &str) -> u16 {
    answer(stage, workspace, body).await.head.status
}

async fn answer(stage: &Stage, workspace: usize, body: &str) -> Answer {
    let said = say(stage, workspace, body).await.expect("an answer");
    wire::read_answer_until_close(&mut said.as_slice()).await.expect("an answer")
}

#[tokio::test]
async fn a_status_strikes_its_workspace_so_often_and_who_comes_too_early_is_counted() {
    let stage = Stage::new().await;
    let busy = Fault::status(429).of(WORKSPACE).at(Place::Collector).times(1);
    stage.fake.fault(busy.clone().retry_after(RetryAfter::Seconds(3600)));
    let refused = answer(&stage, 0, "[{}]").await;
    assert_eq!((refused.head.status, refused.head.header("retry-after")), (429, Some("3600")));
    assert_eq!((status(&stage, 1, "[{}]").await, stage.fake.early(WORKSPACE)), (200, 0));
    assert_eq!((status(&stage, 0, "[{}]").await, stage.fake.early(WORKSPACE)), (200, 1));
    assert_eq!((stage.fake.early(OTHER), stage.fake.count(WORKSPACE, "App_CL")), (0, 1));
    stage.fake.fault(busy.clone().retry_after(RetryAfter::Seconds(0)));
    assert_eq!((status(&stage, 0, "[{}]").await, status(&stage, 0, "[{}]").await), (429, 200));
    assert_eq!(stage.fake.early(WORKSPACE), 2, "the first of the two, not the second");
    stage.fake.fault(busy.retry_after(RetryAfter::Date(60)));
    let date = answer(&stage, 0, "[{}]").await.head.header("retry-after").map(httpdate::parse_http_date);
    assert!(date.expect("a wait").expect("a date") > std::time::SystemTime::now());
    stage.fake.fault(Fault::status(500));
    assert_eq!((status(&stage, 0, "[{}]").await, status(&stage, 1, "[{}]").await), (500, 500));
    stage.fake.clear_faults();
    assert_eq!(status(&stage, 1, "[{}]").await, 200);
}

#[tokio::test]
async fn large_bodies_and_poisoned_ones_can_be_struck_alone() {
    let stage = Stage::new().await;
    let large = stage.fake.fault(Fault::status(413).above(20));
    stage.fake.fault(Fault::status(400).containing("poison"));
    let cases = [("[{}]", 200), ("[{},{},{},{},{},{},{}]", 413), ("[{\"a\":\"poison\"}]", 400)];
    for (body, expected) in cases {
        assert_eq!(status(&stage, 0, body).await, expected, "{body}");
    }
    stage.fake.clear(large);
    assert_eq!(status(&stage, 0, cases[1].0).await, 200);
}

#[tokio::test]
async fn a_lost_answer_loses_no_rows_and_a_reset_request_takes_none() {
    let stage = Stage::new().await;
    let fake = &stage.fake;
    let faults = [
        (Fault::lost_answer(), 1),
        (Fault::reset_answer(), 1),
        (Fault::reset_reading(2), 0),
        (Fault::reset_reading(0), 0),
        (Fault::refuse().of(WORKSPACE), 0),
    ];
    for (fault, rows) in faults {
        let (name, before) = (format!("{fault:?}"), fake.count(WORKSPACE, "App_CL"));
        let id = fake.fault(fault);
        assert!(say(&stage, 0, "[{\"a\":\"once\"}]").await.is_err(), "{name}");
        fake.wait_for(&name, |fake| (fake.count(WORKSPACE, "App_CL") == before + rows).then_some(())).await;
        fake.clear(id);
    }
    assert_eq!(status(&stage, 0, "[{\"a\":\"once\"}]").await, 200);
    let statuses: Vec<_> = fake.requests().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [None, Some(200), None, None, Some(200)]);
    assert!(fake.connections().iter().any(|seen| !seen.handshake));
}

#[tokio::test]
async fn answers_come_compressed_in_chunks_slowly_late_or_empty() {
    let stage = Stage::new().await;
    let fake = &stage.fake;
    // Its answer has a body.
    let body = "{}";
    let plain = answer(&stage, 0, body).await;
    assert_eq!((plain.head.status, plain.text().contains("InvalidDataFormat")), (400, true));
    for fault in [Fault::chunked(), Fault::trickle(Duration::from_millis(1))] {
        let id = fake.fault(fault);
        let answer = answer(&stage, 0, body).await;
        assert_eq!(answer.head.header("transfer-encoding"), Some("chunked"));
        fake.clear(id);
    }
    let id = fake.fault(Fault::gzip());
    let compressed = answer(&stage, 0, body).await;
    assert_eq!(compressed.head.header("content-encoding"), Some("gzip"));
    assert_eq!(encoding::inflate(Some("gzip"), &compressed.body).as_deref(), Ok(plain.body.as_slice()));
    fake.clear(id);
    let id = fake.fault(Fault::empty_ok());
    let empty = answer(&stage, 0, body).await;
    assert_eq!((empty.head.status, empty.body.len(), fake.count(WORKSPACE, "App_CL")), (200, 0, 0));
    fake.clear(id);
    for fault in [Fault::delay(Duration::from_millis(2)), Fault::slow_reading(1000)] {
        let id = fake.fault(fault);
        assert_eq!(status(&stage, 0, "[{}]").await, 200);
        fake.clear(id);
    }
}

#[tokio::test]
async fn a_wrong_certificate_ends_the_handshake_of_who_looks_at_it() {
    let stage = Stage::new().await;
    let ods = stage.workspace().ods();
    for shown in [Shown::Expired, Shown::WrongName, Shown::UnknownIssuer] {
        stage.fake.show(&stage.pki, &ods, shown);
        let error = stage.connect(&ods, None).await.expect_err("no handshake").to_string();
        assert!(error.contains("certificate"), "{shown:?}: {error}");
        assert_eq!(status(&stage, 1, "[{}]").await, 200, "{shown:?}: the other name");
    }
    stage.fake.show(&stage.pki, &ods, Shown::Proper);
    assert_eq!(status(&stage, 0, "[{}]").await, 200);
}

#[tokio::test]
async fn connections_are_kept_until_they_are_closed() {
    let stage = Stage::new().await;
    let workspace = stage.workspace();
    let mut stream = stage.connect(&workspace.ods(), None).await.expect("a handshake");
    for _ in 0..2 {
        stream.write_all(&request(workspace, "[{}]")).await.expect("sent");
        assert_eq!(wire::read_head(&mut stream).await.expect("an answer").status, 200);
    }
    assert_eq!((stage.fake.connections().len(), stage.fake.requests().len()), (1, 2));
    stage.fake.close_connections();
    let end = patiently("the end", stream.read_to_end(&mut Vec::new())).await;
    assert!(!matches!(end, Ok(1..)));
}

#[tokio::test]
async fn counts_and_sequence_numbers_are_all_that_is_kept_when_nothing_else_is_wanted() {
    let stage = Stage::new().await;
    stage.fake.keep(Retention::Counts);
    assert_eq!(status(&stage, 0, "[{\"a\":\"udp-seq=0\"},{\"a\":\"udp-seq=2\"}]").await, 200);
    assert_eq!(status(&stage, 0, "[{\"a\":\"udp-seq=2\"}]").await, 200);
    assert_eq!(stage.fake.count(WORKSPACE, "App_CL"), 3);
    assert!(stage.fake.rows(WORKSPACE, "App_CL").is_empty());
    let sequence = stage.fake.sequence(WORKSPACE, "App_CL", "udp");
    assert_eq!((sequence.distinct(), sequence.doubled(), sequence.missing(3)), (2, 1, vec![1]));
    assert_eq!(stage.fake.traffic(WORKSPACE).rows, 3);
}
