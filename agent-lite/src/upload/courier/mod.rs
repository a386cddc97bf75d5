//! The courier of one workspace: it takes the oldest sealed segment, sends it, and removes it when the service
//! has it all.
//!
//! A segment goes out in parcels as large as the service takes. What fails is tried again for ever, except a
//! record that the service itself refuses: that one is set aside. A table whose destination does not exist
//! waits while the others go on.

mod appetite;
mod backoff;
mod blob;
mod report;
mod uplink;

use std::time::Duration;

use tokio::task;
use tokio::time;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::appetite::Appetite;
use self::backoff::Backoff;
use self::backoff::Obstacle;
pub use self::report::Cause;
pub use self::report::Report;
pub use self::report::TableCount;
pub use self::report::Trouble;
use self::uplink::Outcome;
pub use self::uplink::Route;
pub use self::uplink::Uplink;
use crate::counters::Loss;
use crate::counters::WorkspaceTally;
use crate::events::Event;
use crate::events::say;
use crate::record::Table;
use crate::record::frame_at;
use crate::spool::Queue;
use crate::spool::Segment;
use crate::transport::Batch;
use crate::transport::Limit;
use crate::transport::Packer;
use crate::transport::Parcel;
use crate::transport::Step;
use crate::transport::Verdict;

/// How long a courier without work keeps its buffers.
const IDLE: Duration = Duration::from_secs(5);
/// How long a table without a destination waits at first, and at most.
const HOLD: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(300);
/// How long a request that is on its way may go on after the agent was told to stop.
const FINISH: Duration = Duration::from_secs(5);
/// How long a segment that the disk does not give back waits.
const DISK_AGAIN: Duration = Duration::from_secs(1);

/// One workspace's courier.
pub struct Courier {
    name: String,
    queue: Queue,
    uplink: Uplink,
    packer: Packer,
    appetite: Appetite,
    backoff: Backoff,
    tally: WorkspaceTally,
    report: Report,
    frames: Vec<u8>,
    held: Vec<Held>,
}

/// A table whose destination does not exist.
struct Held {
    table: Table,
    until: Instant,
    wait: Duration,
}

/// What became of a parcel.
enum Shipped {
    Delivered,
    Smaller,
    Refused(String),
    Hold(String),
    Stopped,
}

impl Courier {
    /// Begins with a queue and a way out.
    pub fn new(name: String, queue: Queue, uplink: Uplink, tally: WorkspaceTally, report: Report) -> Self {
        Self {
            name,
            queue,
            uplink,
            packer: Packer::new(),
            appetite: Appetite::new(),
            backoff: Backoff::default(),
            tally,
            report,
            frames: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Sends until it is stopped; what is in flight then is sent again at the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let waiting = time::timeout(self.pause(), self.next());
            match stop.run_until_cancelled(waiting).await {
                None => return,
                Some(Err(_)) => self.rest(),
                Some(Ok(segment)) => {
                    let too_late = async {
                        stop.cancelled().await;
                        time::sleep(FINISH).await;
                    };
                    tokio::select! {
                        () = self.ship(&segment, &stop) => {}
                        () = too_late => return,
                    }
                }
            }
        }
    }

    async fn next(&self) -> Segment {
        let now = Instant::now();
        let held: Vec<Table> =
            self.held.iter().filter(|held| held.until > now).map(|held| held.table.clone()).collect();
        self.queue.next_except(&held).await
    }

    /// Until when to wait for work: for ever once the buffers are given back, unless a table is held.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let release = self.held.iter().map(|held| held.until.saturating_duration_since(now));
        let release = release.filter(|wait| !wait.is_zero()).min();
        let rest = (self.frames.capacity() > 0).then_some(IDLE);
        release.into_iter().chain(rest).min().unwrap_or(Duration::MAX / 4)
    }

    fn rest(&mut self) {
        self.frames = Vec::new();
        self.packer.shrink();
    }

    async fn ship(&mut self, segment: &Segment, stop: &CancellationToken) {
        let mut frames = std::mem::take(&mut self.frames);
        match segment.load(&mut frames).await {
            Ok(delivered) => self.ship_frames(segment, &frames, delivered, stop).await,
            Err(error) => {
                say(Event::DiskTrouble, &self.name, format_args!("segment {}: {error}", segment.number()));
                time::sleep(DISK_AGAIN).await;
            }
        }
        self.frames = frames;
    }

    async fn ship_frames(
        &mut self,
        segment: &Segment,
        frames: &[u8],
        delivered: u32,
        stop: &CancellationToken,
    ) {
        let mut rest = skip(frames, delivered);
        let mut first = delivered;
        if !self.uplink.has_place_for(segment.table()) {
            let count = count(rest);
            self.tally.losses.add(Loss::Unsent, count);
            self.report.refused(segment.table(), "this workspace's transport has no place for it");
            self.queue.remove(segment);
            return;
        }
        while !rest.is_empty() {
            if stop.is_cancelled() {
                return;
            }
            let batch = Batch { table: segment.table(), number: segment.number(), first, frames: rest };
            let limit = self.appetite.limit();
            let mut parcel = self.pack(batch, limit).await;
            if !limit.holds(&parcel) {
                parcel = self.pack(batch, limit.incompressible()).await;
            }
            if parcel.records == 0 {
                // The spool has proven every frame, so this is the end of what can be read.
                break;
            }
            let shipped = match parcel.sent {
                0 => Shipped::Delivered,
                _ => self.deliver(segment.table(), &parcel, stop).await,
            };
            match shipped {
                Shipped::Delivered => {
                    self.report.took(segment.table(), parcel.sent.into());
                    self.account(&parcel);
                }
                Shipped::Smaller => continue,
                Shipped::Refused(reason) => {
                    let refused = rest.get(..parcel.consumed).unwrap_or_default();
                    self.set_aside(segment.table(), refused, &reason);
                }
                Shipped::Hold(reason) => return self.hold(segment.table(), &reason),
                Shipped::Stopped => return,
            }
            self.appetite.fed();
            first += parcel.records;
            rest = rest.get(parcel.consumed..).unwrap_or_default();
            if !rest.is_empty() {
                self.queue.mark(segment, first);
            }
        }
        self.held.retain(|held| held.table != *segment.table());
        self.queue.remove(segment);
    }

    /// Packs a body. The sources have their turns in between: what a killed agent has not read of a connection is lost.
    async fn pack(&mut self, batch: Batch<'_>, limit: Limit) -> Parcel {
        let mut packing = self.packer.start(self.uplink.form(), self.uplink.agent(), batch, limit);
        while packing.step() == Step::More {
            task::yield_now().await;
        }
        packing.finish()
    }

    fn account(&self, parcel: &Parcel) {
        self.tally.delivered.inc_by(parcel.sent.into());
        self.tally.body_bytes.inc_by(parcel.body.len() as u64);
        self.tally.losses.add(Loss::Shortened, parcel.shortened.into());
        self.tally.losses.add(Loss::Corrupt, parcel.damaged.into());
    }

    fn set_aside(&self, table: &Table, frames: &[u8], reason: &str) {
        self.tally.losses.add(Loss::Rejected, count(frames));
        self.queue.set_aside(table, frames);
        self.report.refused(table, reason);
        say(
            Event::RecordsRejected,
            &self.name,
            format_args!("{table}: {reason}; see the folder `rejected` of its queue"),
        );
    }

    /// Sends one parcel until the service has it, or says that it never will.
    async fn deliver(&mut self, table: &Table, parcel: &Parcel, stop: &CancellationToken) -> Shipped {
        loop {
            let outcome = self.uplink.send(table, parcel, self.backoff.failures()).await;
            self.tally.request(outcome.label());
            let (obstacle, asked) = match outcome {
                Outcome::Answered { verdict: Verdict::Delivered, .. } => {
                    self.backoff.reset();
                    if self.report.delivered() {
                        say(Event::UploadResumed, &self.name, "records are taken again");
                    }
                    return Shipped::Delivered;
                }
                Outcome::Answered { verdict: Verdict::Halve, detail } => {
                    return match self.appetite.too_large(parcel) {
                        true => Shipped::Smaller,
                        false => Shipped::Refused(detail),
                    };
                }
                Outcome::Answered { verdict: Verdict::Bisect, detail } => {
                    return match self.appetite.disliked(parcel) {
                        true => Shipped::Smaller,
                        false => Shipped::Refused(detail),
                    };
                }
                Outcome::Answered { verdict: Verdict::Missing, detail } => return Shipped::Hold(detail),
                Outcome::Answered { verdict: Verdict::Authenticate, .. } if self.uplink.replace_token() => {
                    continue;
                }
                Outcome::Answered { verdict: Verdict::Authenticate | Verdict::Forbidden, detail } => {
                    self.trouble(detail, Obstacle::Forbidden);
                    (Obstacle::Forbidden, None)
                }
                Outcome::Answered { verdict: Verdict::Wait(asked), detail } => {
                    self.trouble(detail, Obstacle::Service);
                    (Obstacle::Service, asked)
                }
                Outcome::Failed { obstacle, asked, detail } => {
                    self.trouble(detail, obstacle);
                    (obstacle, asked)
                }
            };
            let wait = self.backoff.wait(obstacle, asked, chance());
            if stop.run_until_cancelled(time::sleep(wait)).await.is_none() {
                return Shipped::Stopped;
            }
        }
    }

    fn trouble(&self, detail: String, obstacle: Obstacle) {
        if self.report.trouble(&detail, obstacle.cause()) {
            let waiting = self.queue.state().records;
            say(Event::UploadFailed, &self.name, format_args!("{detail}; {waiting} records wait"));
        }
    }

    fn hold(&mut self, table: &Table, reason: &str) {
        self.report.refused(table, reason);
        let known = self.held.iter().position(|held| held.table == *table);
        let wait = match known {
            Some(at) => (self.held.swap_remove(at).wait * 2).min(*HOLD.end()),
            None => {
                say(
                    Event::UploadFailed,
                    &self.name,
                    format_args!("table {table} waits, the others go on: {reason}"),
                );
                *HOLD.start()
            }
        };
        let until = Instant::now() + wait.mul_f64(0.5 + chance() / 2.0);
        self.held.push(Held { table: table.clone(), until, wait });
    }
}

/// Returns the frames after so many records.
fn skip(frames: &[u8], records: u32) -> &[u8] {
    let mut rest = frames;
    for _ in 0..records {
        let Ok(frame) = frame_at(rest) else { return &[] };
        rest = rest.get(frame.length..).unwrap_or_default();
    }
    rest
}

fn count(frames: &[u8]) -> u64 {
    let mut rest = frames;
    let mut count = 0;
    while let Ok(frame) = frame_at(rest) {
        rest = rest.get(frame.length..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Returns a random number from 0 to 1; without a source of randomness, the middle.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
