//! Attackers: some of the inside network's machines, with addresses of their own, that do what hurts most at the
//! gateway's limits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use benches::PASSWORD;
use benches::TARGET;
use benches::user;
use clap::ValueEnum;
use end_to_end::client::connect_request;
use end_to_end::users::basic;
use thread_priority::NormalThreadSchedulePolicy;
use thread_priority::ThreadPriority;
use thread_priority::ThreadSchedulePolicy;
use thread_priority::set_thread_priority_and_policy;
use thread_priority::thread_native_id;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Scene;
use super::agents::connect;
use super::agents::open;
use crate::alone;

/// Where attackers' addresses begin.
const FIRST: u32 = u32::from_be_bytes([127, 40, 0, 1]);
/// Machines that are the attacker's.
const MACHINES: u32 = 200;
/// Users whose passwords are.
const INSIDERS: u32 = 20;
/// Attempts at once of an attack that repeats: more than the gateway answers are not begun.
const AT_ONCE: usize = 1000;
/// How long an attempt waits for its end.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two attempts to hold what was closed.
const AGAIN: Duration = Duration::from_millis(500);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Request heads of a byte a second
    SlowHeads,
    /// Connections on which nothing is sent
    Silence,
    /// Connections that are reset at once
    Resets,
    /// Wrong passwords of users that there are
    Logins,
    /// Heads of a thousand fields
    Heads,
    /// Tunnels to hosts that are not allowed
    Hosts,
    /// Tunnels that are held at rest, by insiders with right passwords
    Hoarding,
}

/// How hard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pressure {
    /// Attempts a second.
    pub(super) rate: u32,
    /// Connections that are held.
    pub(super) held: u32,
}

impl Attack {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SlowHeads => "slow heads",
            Self::Silence => "silent connections",
            Self::Resets => "connections that are reset",
            Self::Logins => "wrong passwords",
            Self::Heads => "heads of 1,000 fields",
            Self::Hosts => "hosts that are not allowed",
            Self::Hoarding => "tunnels hoarded by insiders",
        }
    }

    fn holds(self) -> bool {
        matches!(self, Self::SlowHeads | Self::Silence | Self::Hoarding)
    }
}

/// Returns the users whose passwords the attackers have.
pub(super) fn insiders() -> impl Iterator<Item = String> {
    (0..INSIDERS).map(insider)
}

fn insider(number: u32) -> String {
    format!("insider-{}", number % INSIDERS)
}

/// Attacks until it is ended, and returns how often something was tried.
pub(super) fn run(
    attack: Attack,
    scene: &Scene,
    pressure: Pressure,
    end: &CancellationToken,
) -> io::Result<u64> {
    // They stand for other machines: what they themselves need is not to take time from the agents' and the gateway's threads.
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
        .map_err(|error| io::Error::other(format!("the attackers cannot be the least urgent: {error}")))?;
    let tried = Arc::new(AtomicU64::new(0));
    alone(async {
        let attacking = async {
            match attack.holds() {
                true => hold(attack, scene, pressure.held, &tried).await,
                false => repeat(attack, scene, pressure.rate, &tried).await,
            }
        };
        end.run_until_cancelled(attacking).await;
        Ok(())
    })?;
    Ok(tried.load(Relaxed))
}

/// Holds so many connections; what the gateway closes is begun anew.
async fn hold(attack: Attack, scene: &Scene, held: u32, tried: &Arc<AtomicU64>) {
    for number in 0..held {
        let (scene, tried) = (scene.clone(), Arc::clone(tried));
        tokio::spawn(async move {
            loop {
                tried.fetch_add(1, Relaxed);
                let _ = one(attack, &scene, number).await;
                tokio::time::sleep(AGAIN).await;
            }
        });
        // Not all in the same moment: the queue of the listener is not what is tried.
        if number % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    std::future::pending().await
}

/// Does it so often a second, if the gateway answers as fast.
async fn repeat(attack: Attack, scene: &Scene, rate: u32, tried: &Arc<AtomicU64>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    for number in 0.. {
        tick.tick().await;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let scene = scene.clone();
        tried.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, one(attack, &scene, number)).await;
            drop(place);
        });
    }
}

async fn one(attack: Attack, scene: &Scene, number: u32) -> io::Result<()> {
    let mut stream = connect(scene.proxy, FIRST + number % MACHINES).await?;
    match attack {
        Attack::SlowHeads => slow_head(&mut stream).await,
        Attack::Silence => until_closed(&mut stream).await,
        Attack::Resets => {
            stream.write_all(b"C").await?;
            stream.set_zero_linger()
        }
        Attack::Logins => {
            let wrong = basic(&user(number as usize % 100), &format!("wrong-{number}"));
            ask(&mut stream, &connect_request(TARGET, &[("Proxy-Authorization", &wrong)])).await
        }
        Attack::Heads => ask(&mut stream, &bomb()).await,
        Attack::Hosts => {
            let name = format!("host-{number}.example.net:443");
            let right = basic(&insider(number), PASSWORD);
            ask(&mut stream, &connect_request(&name, &[("Proxy-Authorization", &right)])).await
        }
        Attack::Hoarding => {
            let right = basic(&insider(number), PASSWORD);
            let head = connect_request(TARGET, &[("Proxy-Authorization", &right)]);
            open(&mut stream, &head, &scene.hellos).await?;
            until_closed(&mut stream).await
        }
    }
}

async fn slow_head(stream: &mut TcpStream) -> io::Result<()> {
    for byte in connect_request(TARGET, &[]) {
        stream.write_all(&[byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    until_closed(stream).await
}

async fn ask(stream: &mut TcpStream, head: &[u8]) -> io::Result<()> {
    stream.write_all(head).await?;
    until_closed(stream).await
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn bomb() -> Vec<u8> {
    let mut head = format!("CONNECT {TARGET} HTTP/1.1\r\nHost: {TARGET}\r\n");
    for number in 0..1000 {
        head.push_str(&format!("X-Field-{number}: {}\r\n", "x".repeat(100)));
    }
    head.push_str("\r\n");
    head.into_bytes()
}
