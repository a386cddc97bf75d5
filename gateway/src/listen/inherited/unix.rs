//! What systemd or a predecessor passes.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::path::PathBuf;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use super::Giver;
use super::InheritError;
use super::Kind;

struct Socket {
    listener: TcpListener,
    address: SocketAddr,
    /// What the configuration of its giver said: the port may have been 0.
    asked: Option<(Kind, SocketAddr)>,
    giver: Giver,
}

/// Sockets that were passed and not taken yet.
#[derive(Default)]
pub struct Inherited {
    sockets: Vec<Socket>,
    control: Vec<(UnixListener, PathBuf)>,
}

impl Inherited {
    /// Takes what systemd passes (LISTEN_FDS). Called once, before any thread is started: it takes the
    /// variables out of the environment.
    pub fn of_systemd() -> Result<Self, InheritError> {
        let mut passed = ListenFd::from_env();
        let mut all = Self::default();
        for number in 0..passed.len() {
            let unfit = |error| InheritError::Unfit { giver: Giver::Systemd, number, error };
            if let Ok(Some(listener)) = passed.take_unix_listener(number) {
                return Err(InheritError::ControlSocket(
                    path_of(&listener).map_err(unfit)?.display().to_string(),
                ));
            } else if let Some(listener) = passed.take_tcp_listener(number).map_err(unfit)? {
                all.add(listener, None, Giver::Systemd).map_err(unfit)?;
            }
        }
        Ok(all)
    }

    /// Adds a TCP socket.
    pub fn add(
        &mut self,
        listener: TcpListener,
        asked: Option<(Kind, SocketAddr)>,
        giver: Giver,
    ) -> io::Result<()> {
        is_listening(socket_acceptconn(&listener)?)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        self.sockets.push(Socket { listener, address, asked, giver });
        Ok(())
    }

    /// Adds a control socket; only a predecessor passes one.
    pub fn add_control(&mut self, listener: UnixListener) -> io::Result<()> {
        is_listening(socket_acceptconn(&listener)?)?;
        listener.set_nonblocking(true)?;
        let path = path_of(&listener)?;
        self.control.push((listener, path));
        Ok(())
    }

    /// Returns the socket at this address, or the one that the predecessor bound for the same setting.
    pub fn take(&mut self, kind: Kind, asked: SocketAddr) -> Option<(TcpListener, Giver)> {
        let same_address = |socket: &Socket| socket.address == asked;
        let same_setting = |socket: &Socket| socket.asked == Some((kind, asked));
        let found = self.sockets.iter().position(same_address);
        let found = found.or_else(|| self.sockets.iter().position(same_setting))?;
        let socket = self.sockets.remove(found);
        Some((socket.listener, socket.giver))
    }

    /// Returns the control socket with this path.
    pub fn take_control(&mut self, path: &Path) -> Option<UnixListener> {
        let found = self.control.iter().position(|(_, at)| at == path)?;
        Some(self.control.remove(found).0)
    }

    /// Closes what nobody took: returns the addresses that the configuration has no longer, and fails
    /// where systemd passed one in vain.
    pub fn finish(self) -> Result<Vec<SocketAddr>, InheritError> {
        if let Some(socket) = self.sockets.iter().find(|socket| socket.giver == Giver::Systemd) {
            return Err(InheritError::NotConfigured(socket.address.to_string()));
        }
        Ok(self.sockets.iter().map(|socket| socket.address).collect())
    }
}

fn path_of(listener: &UnixListener) -> io::Result<PathBuf> {
    Ok(listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default())
}

fn is_listening(listens: bool) -> io::Result<()> {
    match listens {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;

    fn bound() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("bound")
    }

    #[test]
    fn a_listener_takes_the_socket_of_its_address_once() {
        let listener = bound();
        let address = listener.local_addr().expect("an address");
        let mut inherited = Inherited::default();
        inherited.add(listener, None, Giver::Systemd).expect("listens");
        assert!(inherited.take(Kind::Proxy, "127.0.0.1:1".parse().expect("an address")).is_none());
        assert!(inherited.take(Kind::Proxy, address).is_some());
        assert!(inherited.take(Kind::Proxy, address).is_none());
        assert!(inherited.finish().expect("all taken").is_empty());
    }

    #[test]
    fn with_port_0_a_listener_takes_what_the_same_setting_bound_before() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let mut inherited = Inherited::default();
        let (admin, proxy) = (bound(), bound());
        let at = proxy.local_addr().expect("an address");
        inherited.add(admin, Some((Kind::Admin, any)), Giver::Predecessor).expect("listens");
        inherited.add(proxy, Some((Kind::Proxy, any)), Giver::Predecessor).expect("listens");
        let (taken, _) = inherited.take(Kind::Proxy, any).expect("there is one");
        assert_eq!(taken.local_addr().expect("an address"), at);
        assert_eq!(inherited.finish().expect("not systemd's").len(), 1);
    }

    #[test]
    fn a_socket_of_systemd_that_nobody_is_configured_for_is_an_error_that_names_it() {
        let listener = bound();
        let address = listener.local_addr().expect("an address");
        let mut inherited = Inherited::default();
        inherited.add(listener, None, Giver::Systemd).expect("listens");
        let error = inherited.finish().expect_err("nobody took it").to_string();
        assert!(error.contains(&address.to_string()) && error.contains("socket unit"), "{error}");
    }

    #[test]
    fn a_connection_is_no_listening_socket() {
        let listener = bound();
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let fake = TcpListener::from(OwnedFd::from(stream));
        assert!(Inherited::default().add(fake, None, Giver::Predecessor).is_err());
    }
}
