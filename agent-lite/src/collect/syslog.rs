//! The syslog source: listens by UDP, TCP and unix sockets, and makes records of what comes.
//!
//! Each address is a task of its own: one that cannot be bound is tried again and stops no other. Datagrams
//! cannot wait and are offered; TCP waits for the queues by not reading. All sockets of a kind share one set of
//! buffers (`datagrams`, `streams`), so memory does not grow with sockets or connections.

mod accept;
mod bind;
#[cfg_attr(windows, path = "syslog/datagrams/windows.rs")]
mod datagrams;
#[cfg(unix)]
mod drops;
mod handover;
mod intake;
#[cfg_attr(windows, allow(dead_code, reason = "the paces of datagrams are Linux's"))]
mod pacer;
mod streams;

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use socket2::SockRef;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use self::bind::BindError;
use self::bind::Stacks;
use self::datagrams::Datagrams;
pub use self::handover::Handover;
use self::intake::Intake;
use self::streams::Streams;
use crate::collect::inlet::Inlet;
use crate::config::settings::SyslogSettings;
use crate::events::Event;
use crate::events::say;
use crate::parse::syslog::Filter;

/// How long the first pause before another try to listen is; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the source knows of the machine it is on.
#[derive(Clone, Debug)]
pub struct Context {
    /// The source's name in events: `syslog.local`.
    pub name: String,
    /// This machine's name.
    pub computer: String,
    /// This machine's address, for messages from itself.
    pub address: String,
    /// The zone of times that name none.
    pub zone: TimeZone,
    /// Where the source listens, told as each socket is bound: ports are real ones, never 0.
    pub bound: watch::Sender<Vec<Bound>>,
    /// What sources leave to those that follow them.
    pub handover: Handover,
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// By UDP.
    Udp(SocketAddr),
    /// By TCP.
    Tcp(SocketAddr),
    /// At a unix socket.
    Unix(PathBuf),
}

/// What one task listens at.
#[derive(Clone, Debug)]
enum Address {
    Udp(SocketAddr, Stacks),
    Tcp(SocketAddr, Stacks),
    Unix(PathBuf),
}

/// Everything the tasks of one source share.
struct Source {
    context: Context,
    datagrams: Datagrams,
    streams: Streams,
    stop: CancellationToken,
    /// Stops what comes by datagrams: later, because that cannot wait for the last reading of connections.
    stop_datagrams: CancellationToken,
}

/// Runs the source until it is stopped; then reads what is there already, and returns.
pub async fn run(settings: SyslogSettings, context: Context, inlet: Inlet, stop: CancellationToken) {
    let wanted = match settings.levels.is_empty() {
        true => Filter::new(&settings.facilities, settings.severity),
        false => Filter::of_levels(&settings.levels),
    };
    let filter = match wanted {
        Ok(filter) => filter,
        Err(wrong) => {
            say(Event::SourceFailed, &context.name, format_args!("{wrong}; change `facilities`"));
            return stop.cancelled().await;
        }
    };
    let intake = || Intake::new(&context, filter, inlet.clone());
    let source = Arc::new(Source {
        datagrams: Datagrams::new(intake()),
        streams: Streams::new(intake(), settings.connections, settings.idle),
        context: context.clone(),
        stop,
        stop_datagrams: CancellationToken::new(),
    });
    let udp = settings.udp.iter().map(|address| Address::Udp(*address, Stacks::of(*address, &settings.udp)));
    let tcp = settings.tcp.iter().map(|address| Address::Tcp(*address, Stacks::of(*address, &settings.tcp)));
    let unix = settings.unix.iter().cloned().map(Address::Unix);
    let (mut streams, mut datagrams) = (JoinSet::new(), JoinSet::new());
    tcp.for_each(|address| drop(streams.spawn(Arc::clone(&source).keep(address))));
    udp.chain(unix).for_each(|address| drop(datagrams.spawn(Arc::clone(&source).keep(address))));
    tokio::join!(
        async {
            ended(streams, &context).await;
            source.stop.cancelled().await;
            source.stop_datagrams.cancel();
        },
        ended(datagrams, &context),
    );
}

/// Waits for listeners.
async fn ended(mut tasks: JoinSet<()>, context: &Context) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            let detail = "a listener broke off: this is a mistake in agent-lite, please report it, and restart the agent";
            say(Event::SourceFailed, &context.name, detail);
        }
    }
}

impl Source {
    /// Listens at an address, again and again, until the source is stopped.
    async fn keep(self: Arc<Self>, address: Address) {
        let mut pause = FIRST_PAUSE;
        let mut said = String::new();
        while !self.stop.is_cancelled() {
            let failed = match self.listen(&address, &mut pause).await {
                Ok(()) => break,
                Err(failed) => failed.to_string(),
            };
            if failed != said {
                say(Event::SourceFailed, &self.context.name, &failed);
                said = failed;
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// Binds and serves; returns only when stopped or broken.
    async fn listen(self: &Arc<Self>, address: &Address, pause: &mut Duration) -> Result<(), BindError> {
        let broken = |source| BindError::new(address, source);
        match address {
            Address::Udp(wanted, stacks) => {
                let (socket, buffer) = bind::udp(*wanted, *stacks, bind::LARGE_BUFFER).map_err(broken)?;
                let real = socket.local_addr().map_err(broken)?;
                self.tell(Bound::Udp(real), format_args!("udp {real}, {}", bind::Room(buffer)));
                *pause = FIRST_PAUSE;
                self.datagrams.serve_udp(socket, &self.stop_datagrams).await.map_err(broken)
            }
            Address::Tcp(wanted, stacks) => {
                let mut left = self.context.handover.take((*wanted, *stacks));
                let listener = match left.listener.take() {
                    Some(listener) => listener,
                    None => bind::tcp(*wanted, *stacks).map_err(broken)?,
                };
                let real = listener.local_addr().map_err(broken)?;
                self.tell(Bound::Tcp(real), format_args!("tcp {real}"));
                *pause = FIRST_PAUSE;
                self.serve_tcp(listener, (real, *stacks), left).await.map_err(broken)
            }
            Address::Unix(path) => {
                let socket = bind::local::unix(path).map_err(broken)?;
                self.tell(Bound::Unix(path.clone()), format_args!("unix {}", path.display()));
                *pause = FIRST_PAUSE;
                self.datagrams.serve_unix(socket.socket(), &self.stop_datagrams).await.map_err(broken)
            }
        }
    }

    fn tell(&self, bound: Bound, detail: std::fmt::Arguments<'_>) {
        say(Event::Listening, &self.context.name, detail);
        self.context.bound.send_modify(|all| {
            all.retain(|known| known != &bound);
            all.push(bound);
        });
    }
}

/// Asks a socket itself whether there is something to read, and takes nothing; "would block" if there is not. Only the
/// socket knows: something may have come since it was read last.
fn look(socket: SockRef<'_>) -> io::Result<()> {
    socket.peek(&mut [MaybeUninit::uninit()]).map(drop)
}

#[cfg(all(test, unix))]
mod tests;
