//! Runs a table of raw requests through one gateway and asserts what must hold for every row.

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::wire;

use crate::stage::GOOD;
use crate::stage::Stage;
use crate::stage::judge_refusal;

/// Stands for "closed without a word" among the statuses of a [`Row`].
pub(crate) const SILENCE: u16 = 0;

/// One row: bytes sent to the proxy, and the statuses that are right answers to them.
pub(crate) struct Row {
    /// The row's number in the list of attacks.
    pub id: &'static str,
    /// What is sent, in one piece.
    pub bytes: Vec<u8>,
    /// The right statuses.
    pub statuses: &'static [u16],
}

impl Row {
    /// A row of raw bytes.
    pub(crate) fn raw(id: &'static str, bytes: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Self {
        Self { id, bytes: bytes.into(), statuses }
    }

    /// A row with an otherwise ordinary CONNECT to this target.
    pub(crate) fn target(id: &'static str, target: &str, statuses: &'static [u16]) -> Self {
        Self::raw(id, connect_request(target, &[]), statuses)
    }

    /// A row with a CONNECT to a good target and a block of further header lines.
    pub(crate) fn fields(id: &'static str, target: &str, lines: &[u8], statuses: &'static [u16]) -> Self {
        let mut bytes = connect_request(target, &[]);
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(lines);
        bytes.extend_from_slice(b"\r\n");
        Self::raw(id, bytes, statuses)
    }

    fn shown(&self) -> String {
        let bytes = self.bytes[..self.bytes.len().min(400)].escape_ascii().to_string();
        format!("{}: {}", self.id, bytes.replace(GOOD, "GOOD"))
    }
}

/// Sends every row on a connection of its own.
///
/// Each gets a right status and exactly one record with the same request id; a refused one makes no
/// connection to the origin; no row adds a metric series; after each a good client is served.
pub(crate) async fn run(stage: &Stage, good_headers: &[(&str, &str)], rows: &[Row]) {
    assert!(!rows.is_empty());
    let series = stage.gateway.metrics().await;
    let mut failures = Vec::new();
    for row in rows {
        if let Err(failure) = run_row(stage, row).await {
            failures.push(format!("{}\n    {failure}", row.shown()));
        }
        stage.serve_a_good_client(good_headers).await;
    }
    assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
    assert_eq!(stage.gateway.metrics().await.series(), series.series(), "the metric series");
}

async fn run_row(stage: &Stage, row: &Row) -> Result<(), String> {
    let before = stage.azure.connections();
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    let address = client.address();
    client.send(&row.bytes).await;
    let mut stream = client.into_stream();
    let head = wire::read_head(&mut stream).await;
    let status = head.as_ref().map_or(SILENCE, |head| head.status);
    if !row.statuses.contains(&status) {
        return Err(format!("answered {status}, not one of {:?}", row.statuses));
    }
    let Some(mut head) = head else { return no_connection(stage, before) };
    if status == 200 {
        drop(stream);
        let record = stage.gateway.record_of(address).await;
        stage.azure.wait_for_connections(before + 1).await;
        return require(record.is("verdict", "carried"), "the record of a 200 is not carried");
    }
    head.leftover = Vec::new();
    let id = judge_refusal(&wire::Answer { head, body: Vec::new() }, status)?;
    let record = stage.gateway.record_of(address).await;
    require(record.is("request_id", &id), "the record has another request id")?;
    require(record.is("verdict", "refused"), "the record is not of a refusal")?;
    require(record.number("status") == u64::from(status), "the record has another status")?;
    let records = stage.gateway.access_records();
    let of_this = records.iter().filter(|record| record.is_from(address)).count();
    require(of_this == 1, "more than one record")?;
    no_connection(stage, before)
}

fn no_connection(stage: &Stage, before: u64) -> Result<(), String> {
    require(stage.azure.connections() == before, "a connection to the origin was made")
}

fn require(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
