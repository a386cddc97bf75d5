//! The end of a connection that has no tunnel: the answer, the record, and a close that lets it be read.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::answer;
use crate::connect::Stations;
use crate::connection::Speaks;
use crate::observe::access::Record;
use crate::refusal::Refusal;
use crate::stream::Stream;

/// How long, and how many bytes, a refused client may go on sending before the socket is closed.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;
/// Bytes of it that are read at once.
const SCRAP: usize = 4096;
/// Connections beyond the number of their address that are answered at once.
static LINGERING: Semaphore = Semaphore::const_new(64);
/// How long writing a short answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Counts and records a refusal whose answer hyper writes, or that has none.
pub(super) fn refused(stations: &Stations, record: Record, refusal: &Refusal) {
    stations.metrics.refused(refusal);
    if let Some(sighting) = &record.sighting {
        sighting.refused(refusal.row().reason);
    }
    if let Some(example) = record.example() {
        stations.examples.note(refusal.row().reason, example);
    }
    record.refused(refusal, &stations.repeats);
}

/// Answers, records and closes a connection on which HTTP never began.
pub(super) async fn refuse(stations: &Stations, mut stream: Stream, peer: SocketAddr, refusal: &Refusal) {
    let record = Record::new(stations.ids.next(), peer);
    write(&mut stream, refusal, &record).await;
    refused(stations, record, refusal);
    linger(stream).await;
}

/// Refuses a connection beyond the number or rate of its address. Such an address must not hold the places
/// of the others for the lingering's time: only some of its connections linger, the rest are closed at once.
pub(super) async fn turn_away(
    stations: &Stations,
    speaks: &Speaks,
    socket: TcpStream,
    peer: SocketAddr,
    refusal: &Refusal,
) {
    match LINGERING.try_acquire().ok().filter(|_| speaks.plain) {
        Some(_lingering) => refuse(stations, Stream::Plain(socket), peer, refusal).await,
        None => refused(stations, Record::new(stations.ids.next(), peer), refusal),
    }
}

async fn write(stream: &mut Stream, refusal: &Refusal, record: &Record) {
    let bytes = answer::refused_bytes(refusal, record.id());
    // A client that is gone does not need its answer.
    let _ = timeout(ANSWER, async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    })
    .await;
}

/// Closes so that the answer is read: bytes still under way would otherwise turn the close into a
/// reset, and the client's kernel would throw the answer away.
pub(super) async fn linger(mut stream: Stream) {
    let draining = async {
        stream.shutdown().await?;
        // On the heap, for what a connection may need at its end is no part of it before.
        let mut scrap = vec![0; SCRAP];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut scrap).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let _ = timeout(LINGER, draining).await;
}
