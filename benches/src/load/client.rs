//! The load: does one job through one proxy, in a process of its own with one thread.
//!
//! It says `ready` when it is warm and its tunnels stand, begins on `go`, says what came of it, and lets go of its
//! tunnels on `end`; so who measures can look in between.

use std::io;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;

use super::job::Done;
use super::job::Job;
use super::job::percentiles;
use super::tunnel::Tunnel;
use super::tunnel::Way;
use super::wire::Exchange;

/// Tunnels that are set up and used before anything is measured.
const WARM: usize = 50;
/// Uploads under way; beyond it the proxy is behind for good, and descriptors run out.
const MOST_UNDER_WAY: usize = 4000;
/// How long an upload in a fresh tunnel may take; beyond it the proxy is behind, and the measurement is to end.
const LATE: Duration = Duration::from_secs(8);
/// Tunnels that are set up at once where their number is not the question.
const GENTLY: usize = 32;
/// Idle tunnels of one client address, about; a gateway gives no address all its places.
const OF_ONE_ADDRESS: usize = 5000;
/// The answer to an upload.
const ANSWER: u32 = 200;
/// What a tunnel that is used once carries: a few hundred bytes each way.
const SMALL: Exchange = Exchange { up: 300, down: 300 };

/// Does the job.
pub(crate) async fn run(way: Way, job: Job) -> io::Result<()> {
    let way = Arc::new(way);
    for _ in 0..WARM {
        way.open_first().await?.exchange(SMALL).await?;
    }
    let (mut done, kept) = match job {
        Job::SetUps { at_once, seconds } => {
            ready()?;
            (set_ups(&way, at_once, seconds).await, Vec::new())
        }
        Job::Exchanges { tunnels, up, down, seconds } => {
            let tunnels = open(&way, tunnels, SMALL).await?;
            ready()?;
            exchanges(tunnels, Exchange { up, down }, seconds).await
        }
        Job::Hold { tunnels } => {
            ready()?;
            let start = Instant::now();
            let kept = open(&way, tunnels, SMALL).await?;
            let mut done =
                Done { count: tunnels as u64, seconds: start.elapsed().as_secs_f64(), ..Done::default() };
            (done.up, done.down) = (done.count * SMALL.up, done.count * u64::from(SMALL.down));
            (done, kept)
        }
        Job::Uploads { kept, bytes, per_second, seconds } => {
            let tunnels = open(&way, kept.unwrap_or(0), SMALL).await?;
            ready()?;
            let rate = Rate { per_second, seconds };
            (rate.run(&way, tunnels, Exchange { up: bytes, down: ANSWER }).await, Vec::new())
        }
    };
    done.not_resumed = way.not_resumed();
    say(&serde_json::to_string(&done)?)?;
    heard("end")?;
    drop(kept);
    Ok(())
}

fn ready() -> io::Result<()> {
    say("ready")?;
    heard("go")
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Waits for a word; whoever started this process has nothing else to say.
fn heard(word: &str) -> io::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line.trim() == word { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Sets up so many tunnels, some at a time, and uses each once.
async fn open(way: &Arc<Way>, tunnels: usize, exchange: Exchange) -> io::Result<Vec<Tunnel>> {
    let mut tasks = JoinSet::new();
    let addresses = if way.is_local() { tunnels.div_ceil(OF_ONE_ADDRESS).max(1) } else { 1 };
    for worker in 0..GENTLY {
        let way = Arc::clone(way);
        let own = u8::try_from(1 + worker % addresses)
            .map_or(Ipv4Addr::LOCALHOST, |last| Ipv4Addr::new(127, 0, 0, last));
        let share = tunnels / GENTLY + usize::from(worker < tunnels % GENTLY);
        tasks.spawn(async move {
            let mut opened = Vec::with_capacity(share);
            for _ in 0..share {
                let mut tunnel = if addresses == 1 { way.open().await? } else { way.open_from(own).await? };
                tunnel.exchange(exchange).await?;
                opened.push(tunnel);
            }
            io::Result::Ok(opened)
        });
    }
    let shares: io::Result<Vec<Vec<Tunnel>>> = tasks.join_all().await.into_iter().collect();
    Ok(shares?.into_iter().flatten().collect())
}

async fn set_ups(way: &Arc<Way>, at_once: usize, seconds: f64) -> Done {
    let start = Instant::now();
    let until = start + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let way = Arc::clone(way);
        tasks.spawn(async move {
            let mut tally = Tally::default();
            while Instant::now() < until {
                let due = Instant::now();
                let outcome = async { way.open().await?.exchange(SMALL).await }.await;
                tally.add(due, SMALL, outcome);
            }
            tally
        });
    }
    Tally::sum(tasks.join_all().await, start)
}

async fn exchanges(tunnels: Vec<Tunnel>, exchange: Exchange, seconds: f64) -> (Done, Vec<Tunnel>) {
    let start = Instant::now();
    let until = start + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    for mut tunnel in tunnels {
        tasks.spawn(async move {
            let mut tally = Tally::default();
            while Instant::now() < until && tally.failed == 0 {
                let due = Instant::now();
                let outcome = tunnel.exchange(exchange).await;
                tally.add(due, exchange, outcome);
            }
            (tally, tunnel)
        });
    }
    let (tallies, tunnels) = tasks.join_all().await.into_iter().unzip();
    (Tally::sum(tallies, start), tunnels)
}

/// Uploads that begin on time, whether or not those before have ended.
struct Rate {
    per_second: f64,
    seconds: f64,
}

impl Rate {
    /// With tunnels, each takes its turn; without, each upload has a new one.
    async fn run(&self, way: &Arc<Way>, tunnels: Vec<Tunnel>, exchange: Exchange) -> Done {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        let (workers, busy) = (tunnels.len(), Arc::new(()));
        for (at, mut tunnel) in tunnels.into_iter().enumerate() {
            let due = self.due(start, at, workers);
            tasks.spawn(async move {
                let mut tally = Tally::default();
                for due in due {
                    tokio::time::sleep_until(due.into()).await;
                    let outcome = tunnel.exchange(exchange).await;
                    tally.add(due, exchange, outcome);
                }
                tally
            });
        }
        if workers == 0 {
            for due in self.due(start, 0, 1) {
                tokio::time::sleep_until(due.into()).await;
                if Arc::strong_count(&busy) > MOST_UNDER_WAY {
                    let mut late = Tally::default();
                    late.add(due, exchange, Err(io::Error::other("too many uploads under way")));
                    tasks.spawn(async { late });
                    break;
                }
                let way = Arc::clone(way);
                let busy = Arc::clone(&busy);
                tasks.spawn(async move {
                    let mut tally = Tally::default();
                    let upload = async { way.open().await?.exchange(exchange).await };
                    let outcome = tokio::time::timeout(LATE, upload).await;
                    let late = || Err(io::Error::other("an upload took longer than 8 s"));
                    tally.add(due, exchange, outcome.unwrap_or_else(|_| late()));
                    drop(busy);
                    tally
                });
            }
        }
        Tally::sum(tasks.join_all().await, start)
    }

    /// Returns when the uploads of one of some workers begin.
    fn due(&self, start: Instant, worker: usize, workers: usize) -> impl Iterator<Item = Instant> + use<> {
        let all = (self.per_second * self.seconds) as usize;
        let apart = 1.0 / self.per_second;
        (worker..all).step_by(workers).map(move |at| start + Duration::from_secs_f64(at as f64 * apart))
    }
}

/// What one task has done.
#[derive(Default)]
struct Tally {
    micros: Vec<u32>,
    up: u64,
    down: u64,
    failed: u64,
    error: Option<String>,
}

impl Tally {
    fn add(&mut self, due: Instant, exchange: Exchange, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => {
                self.micros.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
                self.up += exchange.up;
                self.down += u64::from(exchange.down);
            }
            Err(error) => {
                self.failed += 1;
                self.error.get_or_insert_with(|| error.to_string());
            }
        }
    }

    fn sum(tallies: Vec<Self>, start: Instant) -> Done {
        let mut done = Done { seconds: start.elapsed().as_secs_f64(), ..Done::default() };
        let mut micros = Vec::new();
        for mut tally in tallies {
            micros.append(&mut tally.micros);
            done.up += tally.up;
            done.down += tally.down;
            done.failed += tally.failed;
            done.error = done.error.or(tally.error);
        }
        done.count = micros.len() as u64;
        (done.median, done.p99, done.longest) = percentiles(micros);
        done
    }
}
