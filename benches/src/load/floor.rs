//! The floor: what a relay costs that does nothing else. epoll and splice(2), one thread; a head is read up to its blank
//! line and answered 200, whoever asks for whatever; everything goes to one origin. No other wait, no bound, no record.
//!
//! Events are edge-triggered, so a direction moves until the kernel has nothing more. Pipes are lent while bytes move.

use std::io;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::acceptfrom_with;
use rustix::pipe::PipeFlags;
use rustix::pipe::SpliceFlags;
use rustix::pipe::fcntl_setpipe_size;
use rustix::pipe::pipe_with;
use rustix::pipe::splice;

const LISTENER: u64 = u64::MAX;
/// Events taken at once.
const EVENTS: usize = 256;
/// Longest head.
const HEAD: usize = 4096;
/// Moves of one direction in a row; then the others have a turn.
const TURN: usize = 16;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Serves until the process ends.
pub(crate) fn run(address: SocketAddr, origin: SocketAddr, pipe_size: usize) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    // The standard library's own backlog is short.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut floor =
        Floor { epoll, origin, pipe_size, tunnels: Vec::new(), free: Vec::new(), pipes: Vec::new() };
    let mut events = Vec::with_capacity(EVENTS);
    let mut again: Vec<Due> = Vec::new();
    loop {
        let wait = if again.is_empty() { None } else { Some(&AT_ONCE) };
        match epoll::wait(&floor.epoll, spare_capacity(&mut events), wait) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut due = std::mem::take(&mut again);
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => floor.accept(&listener),
                token => due.push(Due::new(token, event.flags)),
            }
        }
        for due in due {
            if floor.advance(due) == Next::Again {
                again.push(Due { up: true, down: true, ..due });
            }
        }
    }
}

struct Floor {
    epoll: OwnedFd,
    origin: SocketAddr,
    pipe_size: usize,
    tunnels: Vec<Option<Tunnel>>,
    free: Vec<usize>,
    pipes: Vec<Pipe>,
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

struct Tunnel {
    client: TcpStream,
    head: Vec<u8>,
    origin: Option<TcpStream>,
    connected: bool,
    up: Direction,
    down: Direction,
}

impl Tunnel {
    fn new(client: TcpStream) -> Self {
        let (up, down) = (Direction::default(), Direction::default());
        Self { client, head: Vec::new(), origin: None, connected: false, up, down }
    }
}

/// What is under way from one socket to the other.
#[derive(Default)]
struct Direction {
    held: Option<(Pipe, usize)>,
    ended: bool,
    closed: bool,
}

/// A tunnel with something to do, and in which directions.
#[derive(Clone, Copy)]
struct Due {
    at: usize,
    up: bool,
    down: bool,
}

impl Due {
    /// A socket that can be read concerns one direction; one that can be written, whatever is held. The token's last bit
    /// is the side.
    fn new(token: u64, flags: EventFlags) -> Self {
        let reads = flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::ERR | EventFlags::HUP);
        Self { at: (token >> 1) as usize, up: reads && token & 1 == 0, down: reads && token & 1 == 1 }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Again,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((client, _)) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            let client = TcpStream::from(client);
            let _ = client.set_nodelay(true);
            let at = self.free.pop().unwrap_or(self.tunnels.len());
            if self.watch(&client, at, 0).is_err() {
                self.free.push(at);
                continue;
            }
            let tunnel = Some(Tunnel::new(client));
            match self.tunnels.get_mut(at) {
                Some(place) => *place = tunnel,
                None => self.tunnels.push(tunnel),
            }
        }
    }

    fn watch(&self, socket: &TcpStream, at: usize, side: u64) -> io::Result<()> {
        let what = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64((at as u64) << 1 | side), what)?)
    }

    /// Does for a tunnel what can be done without waiting.
    fn advance(&mut self, due: Due) -> Next {
        let at = due.at;
        let Some(mut tunnel) = self.tunnels.get_mut(at).and_then(Option::take) else { return Next::Wait };
        match self.step(&mut tunnel, due) {
            Ok(next) if !(tunnel.up.closed && tunnel.down.closed) => {
                if let Some(place) = self.tunnels.get_mut(at) {
                    *place = Some(tunnel);
                }
                next
            }
            Ok(_) | Err(_) => {
                self.free.push(at);
                Next::Wait
            }
        }
    }

    fn step(&mut self, tunnel: &mut Tunnel, due: Due) -> io::Result<Next> {
        let Some(origin) = &tunnel.origin else {
            if read_head(&tunnel.client, &mut tunnel.head)? {
                tunnel.head = Vec::new();
                let origin = connect(self.origin)?;
                self.watch(&origin, due.at, 1)?;
                tunnel.origin = Some(origin);
            }
            return Ok(Next::Wait);
        };
        let begins = !tunnel.connected;
        if begins {
            match origin.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    return origin.take_error()?.map_or(Ok(Next::Wait), Err);
                }
                Err(error) => return Err(error),
            }
            rustix::io::write(&tunnel.client, ANSWER)?;
            tunnel.connected = true;
        }
        let mut next = Next::Wait;
        if (due.up || begins || tunnel.up.held.is_some())
            && self.carry(&tunnel.client, origin, &mut tunnel.up)? == Next::Again
        {
            next = Next::Again;
        }
        if (due.down || tunnel.down.held.is_some())
            && self.carry(origin, &tunnel.client, &mut tunnel.down)? == Next::Again
        {
            next = Next::Again;
        }
        Ok(next)
    }

    /// Moves bytes until one side has no more of them, or no room.
    fn carry(&mut self, from: &TcpStream, to: &TcpStream, direction: &mut Direction) -> io::Result<Next> {
        const HOW: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
        for _ in 0..TURN {
            if direction.held.is_none() && !direction.ended {
                let pipe = self.lend()?;
                match splice(from, None, &pipe.write, None, self.pipe_size, HOW) {
                    Ok(0) => direction.ended = true,
                    Ok(moved) => direction.held = Some((pipe, moved)),
                    Err(Errno::AGAIN) => {
                        self.pipes.push(pipe);
                        return Ok(Next::Wait);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let Some((pipe, mut held)) = direction.held.take() else {
                if !direction.closed {
                    direction.closed = true;
                    to.shutdown(Shutdown::Write)?;
                }
                return Ok(Next::Wait);
            };
            while held > 0 {
                match splice(&pipe.read, None, to, None, held, HOW) {
                    Ok(moved) => held -= moved,
                    Err(Errno::AGAIN) => {
                        direction.held = Some((pipe, held));
                        return Ok(Next::Wait);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            self.pipes.push(pipe);
        }
        Ok(Next::Again)
    }

    fn lend(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.pipes.pop() {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&write, self.pipe_size)?;
        Ok(Pipe { read, write })
    }
}

/// Reads what is there of a head; true once it is whole.
fn read_head(mut client: &TcpStream, head: &mut Vec<u8>) -> io::Result<bool> {
    let mut room = [0; HEAD];
    match io::Read::read(&mut client, &mut room) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(read) => head.extend(room.iter().take(read)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error),
    }
    match head.len() {
        0..=HEAD => Ok(head.ends_with(b"\r\n\r\n")),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn connect(origin: SocketAddr) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &origin) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}
