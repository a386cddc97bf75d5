//! The control socket: how `agent-lite status`, `tail` and `drain` talk to the running agent.
//!
//! For the agent's user and whoever may do everything anyhow; what it is, a socket or a pipe, `system::control` says.
//! One word and a line feed in; lines of JSON out until the agent closes.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::status::Status;
use crate::collect::inlet::Seen;
use crate::collect::inlet::Tap;
use crate::events::Event;
use crate::events::say;
use crate::record::Record;
use crate::record::Value;
use crate::record::frame_at;
use crate::spool::Queue;
use crate::system::control::Listener;
use crate::system::control::Stream;
use crate::system::control::may_ask;

/// Most onlookers at once.
const MOST_CALLERS: usize = 8;
/// Longest request, in bytes.
const LONGEST_REQUEST: usize = 64;
/// How long a request, and the writing of a line, may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a drain looks at the queues.
const LOOK: Duration = Duration::from_millis(50);

/// What the socket needs to answer.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) status: std::sync::Arc<dyn Fn() -> Status + Send + Sync>,
    pub(super) tap: Tap,
    pub(super) queues: std::sync::Arc<dyn Fn() -> Vec<(String, Queue)> + Send + Sync>,
}

/// One line of `drain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct DrainLine {
    /// Records that wait, over all workspaces.
    pub waiting: u64,
    /// Whether that was the last line.
    pub done: bool,
}

/// One line of `tail`.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct TailLine {
    /// The source.
    pub source: String,
    /// The table.
    pub table: String,
    /// The record's time, RFC 3339.
    pub time: String,
    /// Columns and values.
    pub columns: serde_json::Map<String, serde_json::Value>,
    /// Batches that were skipped before this record because the onlooker is slow.
    pub skipped: u64,
}

/// Answers until it is stopped.
pub(super) async fn serve(mut listener: Listener, desk: Desk, stop: CancellationToken) {
    let mut callers = JoinSet::new();
    let mut failing = false;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        while callers.try_join_next().is_some() {}
        let failed_before = std::mem::replace(&mut failing, accepted.is_err());
        match accepted {
            Ok(stream) if callers.len() < MOST_CALLERS => {
                callers.spawn(answer(stream, desk.clone()));
            }
            Ok(_) => {}
            Err(error) => {
                if !failed_before {
                    say(Event::SourceFailed, "control socket", &error);
                }
                time::sleep(DEADLINE).await;
            }
        }
    }
}

async fn answer(mut stream: Stream, desk: Desk) {
    if !may_ask(&stream) {
        return;
    }
    let Ok(Ok(request)) = time::timeout(DEADLINE, request(&mut stream)).await else { return };
    let _ = match request.as_str() {
        "status" => line(&mut stream, &(desk.status)()).await,
        "tail" => tail(&mut stream, &desk.tap).await,
        "drain" => drain(&mut stream, &desk).await,
        _ => Ok(()),
    };
}

async fn request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<String> {
    let mut text = Vec::with_capacity(LONGEST_REQUEST);
    while text.len() < LONGEST_REQUEST {
        match stream.read_u8().await? {
            b'\n' => break,
            byte => text.push(byte),
        }
    }
    String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
}

async fn line(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    time::timeout(DEADLINE, stream.write_all(&text)).await?
}

/// Says again and again how much waits, so that a caller that has gone is noticed and a patient one can count the time.
async fn drain(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), desk: &Desk) -> io::Result<()> {
    loop {
        let queues = (desk.queues)();
        queues.iter().for_each(|(_, queue)| queue.seal());
        let waiting = queues.iter().map(|(_, queue)| queue.state().records).sum();
        let done = waiting == 0;
        line(stream, &DrainLine { waiting, done }).await?;
        if done {
            return Ok(());
        }
        time::sleep(LOOK).await;
    }
}

async fn tail(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), tap: &Tap) -> io::Result<()> {
    let mut seen = tap.look();
    let mut skipped = 0;
    let mut gone = [0];
    loop {
        let next = tokio::select! {
            next = seen.recv() => next,
            _ = stream.read(&mut gone) => return Ok(()),
        };
        match next {
            Ok(batch) => show(stream, &batch, &mut skipped).await?,
            Err(RecvError::Lagged(count)) => skipped += count,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

async fn show(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    batch: &Seen,
    skipped: &mut u64,
) -> io::Result<()> {
    let mut rest = batch.frames.bytes();
    while let Ok(frame) = frame_at(rest) {
        rest = rest.get(frame.length..).unwrap_or_default();
        let Ok(record) = Record::decode(frame.payload) else { continue };
        let columns =
            record.values().map(|(column, value)| (column.name().to_owned(), json(value))).collect();
        let shown = TailLine {
            source: batch.source.to_string(),
            table: batch.table.to_string(),
            time: rfc3339(record.time().0),
            columns,
            skipped: std::mem::take(skipped),
        };
        line(stream, &shown).await?;
    }
    Ok(())
}

fn json(value: Value<'_>) -> serde_json::Value {
    match value {
        Value::Text(text) | Value::Json(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Real(number) => number.into(),
        Value::Time(time) => rfc3339(time.0).into(),
    }
}

/// Returns a time as text; one that no calendar has is shown as its number.
pub(super) fn rfc3339(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds)
        .map_or_else(|_| microseconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::record::Column;
    use crate::record::Frames;
    use crate::record::Table;
    use crate::record::Timestamp;
    use crate::spool::QueueSettings;
    use crate::spool::WhenFull;

    #[tokio::test]
    async fn a_drain_of_a_queue_that_stands_still_ends_when_its_caller_goes() {
        let folder = tempfile::tempdir().unwrap();
        let settings = QueueSettings {
            folder: folder.path().join("queue"),
            cap: 1 << 20,
            when_full: WhenFull::DropOldest,
            sync: Duration::from_millis(200),
            seal_after: Duration::from_secs(5),
            segment: 64 * 1024,
        };
        let queue = Queue::open(settings, Counters::new().workspace("main")).unwrap();
        let mut frames = Frames::default();
        frames.begin(Timestamp(0)).text(Column::Detail, "waits").finish();
        queue.append(&Table::Operation, &frames).unwrap();
        let desk = Desk {
            status: std::sync::Arc::new(|| unreachable!("nobody asks")),
            tap: Tap::new(),
            queues: std::sync::Arc::new(move || vec![("main".to_owned(), queue.clone())]),
        };
        let (mut agent, mut caller) = tokio::io::duplex(64);
        let answering = tokio::spawn(async move { drain(&mut agent, &desk).await });
        let mut first = [0; 8];
        caller.read_exact(&mut first).await.unwrap();
        drop(caller);
        let ended = time::timeout(Duration::from_secs(60), answering).await.expect("it notices");
        assert!(ended.unwrap().is_err());
    }
}
