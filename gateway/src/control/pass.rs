//! Listening sockets through a unix socket (SCM_RIGHTS), beside the line that says what they are.

use std::io;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::ReturnFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use rustix::net::recvmsg;
use rustix::net::sendmsg;
use serde::Deserialize;
use serde::Serialize;

use crate::listen::inherited::Kind;

/// Most sockets of one hand-over: the kernel passes 253 at once.
pub const MOST_SOCKETS: usize = 250;
/// Most bytes of the line beside them.
const LONGEST_LINE: usize = 64 * 1024;

/// What one of the sockets is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passed {
    /// A listener for clients or for operators, with the address of its configuration.
    Listener {
        /// Which.
        kind: Kind,
        /// As configured: the port may be 0.
        asked: SocketAddr,
    },
    /// The control socket itself.
    Control,
}

/// What a gateway says beside the sockets that it passes.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedOver {
    /// Its process.
    pub pid: u32,
    /// What each socket is, in their order.
    pub sockets: Vec<Passed>,
}

/// Sends a line, and these sockets with its first bytes. Returns how many bytes of it are sent.
pub fn send(to: impl AsFd, line: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("more than {MOST_SOCKETS} sockets")));
    }
    Ok(sendmsg(to, &[IoSlice::new(line)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives a line and the sockets beside it. Waits as long as the stream's own time limit allows.
pub fn receive(from: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut sockets) = (Vec::new(), Vec::new());
    let mut bytes = [0; 4096];
    let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(from, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                sockets.extend(passed);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || sockets.len() > MOST_SOCKETS {
            return Err(wrong("not all sockets arrived; is the open files limit too low?"));
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend(bytes.iter().take(received.bytes));
        if line.last() == Some(&b'\n') {
            return Ok((line, sockets));
        }
        if line.len() > LONGEST_LINE {
            return Err(wrong("the line is too long"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listening_socket_arrives_and_still_listens_when_the_giver_closes_it() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let waiting = std::net::TcpStream::connect(address).expect("connected");
        let line = format!("{}\n", "x".repeat(10_000));
        let sent = send(&near, line.as_bytes(), &[listener.as_fd()]).expect("sent");
        io::Write::write_all(&mut &near, &line.as_bytes()[sent..]).expect("sent");
        drop(listener);
        let (read, mut sockets) = receive(&far).expect("received");
        assert_eq!((read.len(), sockets.len()), (line.len(), 1));
        let taken = TcpListener::from(sockets.remove(0));
        let (_, from) = taken.accept().expect("the one that waited is there");
        assert_eq!(from, waiting.local_addr().expect("an address"));
    }

    #[test]
    fn a_peer_that_breaks_off_or_never_ends_its_line_is_an_error() {
        let (near, far) = UnixStream::pair().expect("a pair");
        send(&near, b"half", &[]).expect("sent");
        drop(near);
        assert!(receive(&far).is_err());
        let (near, far) = UnixStream::pair().expect("a pair");
        let writing = std::thread::spawn(move || {
            io::Write::write_all(&mut &near, &vec![b'x'; 4 * LONGEST_LINE]).is_err()
        });
        assert!(receive(&far).is_err());
        drop(far);
        writing.join().expect("ends");
    }
}
