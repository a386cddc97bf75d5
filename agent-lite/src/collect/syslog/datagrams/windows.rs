//! Reads datagrams, as they come. Windows does not say how many it dropped at a socket.

use std::convert::Infallible;
use std::io;
use std::net::UdpSocket;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::intake;
use super::intake::Intake;
use super::intake::Origin;
use crate::parse::syslog::End;

/// More than the longest payload of UDP, 65,527 bytes.
const LONGEST: usize = 64 * 1024;
/// Datagrams after which the other tasks have their turn, and the records go to the queues.
const TURN: usize = 512;
/// Turns that are taken for what is in the buffer when the source stops: more than it can hold.
const LAST_TURNS: usize = 256;
/// WSAECONNRESET: the answer to a datagram came back, and we sent none.
const CONNECTION_RESET: i32 = 10_054;

/// Reads all datagram sockets of a source.
pub(super) struct Datagrams(Mutex<Basin>);

/// What they share; locked for one turn, never while waiting.
struct Basin {
    slot: Vec<u8>,
    intake: Intake,
}

impl Datagrams {
    pub(super) fn new(intake: Intake) -> Self {
        Self(Mutex::new(Basin { slot: Vec::new(), intake }))
    }

    /// Reads a UDP socket until the source is stopped.
    pub(super) async fn serve_udp(&self, socket: UdpSocket, stop: &CancellationToken) -> io::Result<()> {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        while let Some(ready) = stop.run_until_cancelled(socket.readable()).await {
            ready?;
            self.turn(&socket)?;
            tokio::task::yield_now().await;
        }
        for _ in 0..LAST_TURNS {
            if self.turn(&socket)? < TURN {
                break;
            }
        }
        Ok(())
    }

    /// There is no such socket.
    pub(super) async fn serve_unix(&self, socket: &Infallible, _stop: &CancellationToken) -> io::Result<()> {
        match *socket {}
    }

    /// Reads until the socket is empty, or for one turn; returns how many came.
    fn turn(&self, socket: &tokio::net::UdpSocket) -> io::Result<usize> {
        let mut basin = self.0.lock().expect("no panic under the lock");
        let Basin { slot, intake } = &mut *basin;
        slot.resize(LONGEST, 0);
        let mut count = 0;
        while count < TURN {
            match socket.try_recv_from(slot) {
                Ok((length, peer)) => {
                    let bytes = slot.get(..length).unwrap_or_default();
                    intake.take(bytes, End::Whole, Origin::Peer(peer.ip().to_canonical()), intake::now());
                    if intake.is_full() {
                        intake.offer();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(CONNECTION_RESET) => {}
                Err(error) => return Err(error),
            }
            count += 1;
        }
        intake.offer();
        Ok(count)
    }
}
