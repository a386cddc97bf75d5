//! Reads datagrams, many in one system call.
//!
//! Every slot takes the longest datagram of UDP, so none is cut by being batched with others; memory of a slot
//! that no long datagram came into was never touched and is not resident. Eight slots make the system call an
//! eighth of a record's, and the next eightfold would save another 0.03 µs a record. At high rates the socket is
//! read by the clock and the runtime does not watch it: it would be woken by every datagram, and that costs more
//! than all the rest.

use std::io;
use std::io::IoSliceMut;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::ControlMessageOwned;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::MultiHeaders;
use nix::sys::socket::SockaddrLike;
use nix::sys::socket::SockaddrStorage;
use nix::sys::socket::recvmmsg;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::task;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::drops;
use super::drops::Drops;
use super::intake;
use super::intake::Intake;
use super::intake::Origin;
use super::look;
use super::pacer::LINGER_LONGER;
use super::pacer::LINGER_LONGEST;
use super::pacer::Pace;
use super::pacer::Pacer;
use super::pacer::ROOM;
use crate::counters::Loss;
use crate::parse::syslog::End;

/// Datagrams in one system call.
const SLOTS: usize = 8;
/// Bytes of a slot: more than the longest payload of UDP, 65,527 bytes.
const SLOT: usize = 64 * 1024;
/// A datagram that makes more than this much of a slot resident; given back after the peak.
const LARGE: usize = 16 * 1024;
/// System calls after which the other tasks have their turn, and the records go to the queues.
const CALLS: usize = 64;
/// Turns that are taken for what is in the buffer when the source stops: more than it can hold.
const LAST_TURNS: usize = 256;

/// Reads all datagram sockets of a source.
pub(super) struct Datagrams(Mutex<Basin>);

/// What they share; locked for one turn, never while waiting.
struct Basin {
    slots: Vec<u8>,
    touched: bool,
    intake: Intake,
}

/// What one turn found.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    records: u64,
    empty: bool,
    large: bool,
}

/// A socket of datagrams.
enum Datagram {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Waits for news at a socket. While there is one, every datagram wakes the runtime up.
pub(super) enum Watch {
    Udp(tokio::net::UdpSocket),
    Unix(tokio::net::UnixDatagram),
}

/// An address the kernel gives with a datagram.
trait Peer: SockaddrLike + Copy {
    fn origin(self) -> Origin;
}

impl Peer for SockaddrStorage {
    fn origin(self) -> Origin {
        let v4 = self.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = || self.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        let address = v4.or_else(v6).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Origin::Peer(address.to_canonical())
    }
}

impl Peer for () {
    fn origin(self) -> Origin {
        Origin::Unix
    }
}

impl Datagram {
    fn pace(&self) -> Pace {
        match self {
            // Linux says twice what the buffer holds (socket(7)).
            Self::Udp(socket) => match SockRef::from(socket).recv_buffer_size() {
                Ok(twice) if twice / 2 >= ROOM => Pace::Early(LINGER_LONGEST),
                _ => Pace::Early(LINGER_LONGER),
            },
            Self::Unix(_) => Pace::Never,
        }
    }

    fn watch(&self) -> io::Result<Watch> {
        Ok(match self {
            Self::Udp(socket) => Watch::Udp(tokio::net::UdpSocket::from_std(socket.try_clone()?)?),
            Self::Unix(socket) => Watch::Unix(tokio::net::UnixDatagram::from_std(socket.try_clone()?)?),
        })
    }
}

impl Watch {
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    /// Waits for news from now on, if the socket is empty.
    pub(super) fn note_empty(&self) {
        let _ = match self {
            Self::Udp(socket) => socket.try_io(Interest::READABLE, || look(SockRef::from(socket))),
            Self::Unix(socket) => socket.try_io(Interest::READABLE, || look(SockRef::from(socket))),
        };
    }
}

impl Datagrams {
    pub(super) fn new(intake: Intake) -> Self {
        Self(Mutex::new(Basin { slots: Vec::new(), touched: false, intake }))
    }

    /// Reads a UDP socket until the source is stopped.
    pub(super) async fn serve_udp(&self, socket: UdpSocket, stop: &CancellationToken) -> io::Result<()> {
        self.serve(&Datagram::Udp(socket), stop).await
    }

    /// Reads a unix socket until the source is stopped.
    pub(super) async fn serve_unix(&self, socket: &UnixDatagram, stop: &CancellationToken) -> io::Result<()> {
        self.serve(&Datagram::Unix(socket.try_clone()?), stop).await
    }

    async fn serve(&self, socket: &Datagram, stop: &CancellationToken) -> io::Result<()> {
        let mut pacer = Pacer::new(socket.pace());
        let mut drops = Drops::default();
        while !stop.is_cancelled() {
            self.serve_calm(socket, &mut pacer, &mut drops, stop).await?;
            self.serve_busy(socket, &mut pacer, &mut drops, stop).await?;
        }
        for _ in 0..LAST_TURNS {
            if self.turn(socket, &mut drops)?.empty {
                break;
            }
        }
        self.count_drops(&mut drops, socket);
        Ok(())
    }

    /// Reads each datagram as it comes; returns when they come fast.
    async fn serve_calm(
        &self,
        socket: &Datagram,
        pacer: &mut Pacer,
        drops: &mut Drops,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        let watch = socket.watch()?;
        loop {
            let warm = pacer.warm(Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                ready = watch.readable() => ready?,
                () = time::sleep(warm.unwrap_or_default()), if warm.is_some() => {
                    self.cool(pacer, drops, socket);
                    continue;
                }
            }
            let turn = self.turn(socket, drops)?;
            if turn.empty {
                watch.note_empty();
            }
            if turn.pace(pacer).is_some() {
                return Ok(());
            }
            self.cool(pacer, drops, socket);
        }
    }

    /// Reads by the clock, unwatched; returns when datagrams come slowly.
    async fn serve_busy(
        &self,
        socket: &Datagram,
        pacer: &mut Pacer,
        drops: &mut Drops,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        while !stop.is_cancelled() {
            let turn = self.turn(socket, drops)?;
            match turn.pace(pacer) {
                Some(linger) if turn.empty => time::sleep(linger).await,
                Some(_) => task::yield_now().await,
                None => break,
            }
        }
        Ok(())
    }

    fn turn(&self, socket: &Datagram, drops: &mut Drops) -> io::Result<Turn> {
        let mut basin = self.0.lock().expect("no panic under the lock");
        let turn = basin.turn(socket, drops);
        basin.intake.offer();
        turn
    }

    /// After a peak: gives memory back, and counts what was dropped at its end.
    fn cool(&self, pacer: &mut Pacer, drops: &mut Drops, socket: &Datagram) {
        if pacer.cooled(Instant::now()) {
            self.count_drops(drops, socket);
            self.0.lock().expect("no panic under the lock").shrink();
        }
    }

    fn count_drops(&self, drops: &mut Drops, socket: &Datagram) {
        let Datagram::Udp(socket) = socket else {
            return;
        };
        if let Some(total) = drops::total(socket) {
            let basin = self.0.lock().expect("no panic under the lock");
            basin.intake.lose(Loss::Overflowed, drops.news(total));
        }
    }
}

impl Turn {
    fn pace(self, pacer: &mut Pacer) -> Option<Duration> {
        let now = Instant::now();
        if self.large {
            pacer.peak(now);
        }
        pacer.read(now, self.records)
    }
}

impl Basin {
    /// Reads until the socket is empty, or for one turn.
    fn turn(&mut self, socket: &Datagram, drops: &mut Drops) -> io::Result<Turn> {
        let mut turn = Turn::default();
        for _ in 0..CALLS {
            let count = match socket {
                Datagram::Udp(socket) => self.call::<SockaddrStorage>(socket.as_raw_fd(), drops, &mut turn),
                Datagram::Unix(socket) => self.call::<()>(socket.as_raw_fd(), drops, &mut turn),
            };
            let count = match count {
                Ok(count) => count,
                Err(Errno::EAGAIN) => 0,
                Err(Errno::EINTR) => continue,
                Err(failed) => return Err(failed.into()),
            };
            turn.records += count as u64;
            if count < SLOTS {
                turn.empty = true;
                break;
            }
        }
        Ok(turn)
    }

    fn call<P: Peer>(&mut self, socket: RawFd, drops: &mut Drops, turn: &mut Turn) -> nix::Result<usize> {
        if self.slots.is_empty() {
            self.slots = vec![0; SLOTS * SLOT];
        }
        // Made anew for each call: the kernel writes the lengths it used into them.
        let mut headers = MultiHeaders::<P>::preallocate(SLOTS, Some(cmsg_space!(u32)));
        let mut slots = self.slots.chunks_exact_mut(SLOT);
        let mut vectors: [_; SLOTS] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
        let messages = recvmmsg(socket, &mut headers, &mut vectors, MsgFlags::MSG_DONTWAIT, None)?;
        let received = intake::now();
        let mut count = 0;
        for message in messages {
            count += 1;
            for control in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::RxqOvfl(total) = control {
                    self.intake.lose(Loss::Overflowed, drops.news(total));
                }
            }
            let end = match message.flags.contains(MsgFlags::MSG_TRUNC) {
                true => End::Missing,
                false => End::Whole,
            };
            let (Some(peer), Some(bytes)) = (message.address, message.iovs().next()) else {
                continue;
            };
            turn.large |= bytes.len() > LARGE;
            self.touched |= bytes.len() > LARGE;
            self.intake.take(bytes, end, peer.origin(), received);
            if self.intake.is_full() {
                self.intake.offer();
            }
        }
        Ok(count)
    }

    fn shrink(&mut self) {
        self.intake.shrink();
        if std::mem::take(&mut self.touched) {
            self.slots = Vec::new();
        }
    }
}
