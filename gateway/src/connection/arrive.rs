//! The first bytes of a connection: whose it is, and what it speaks.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::config::ProxyProtocol;
use crate::listen::proxy_header;
use crate::listen::proxy_header::ProxyHeaderError;
use crate::listen::tls::Identity;
use crate::refusal::Refusal;
use crate::stream::Stream;

/// What a listener speaks.
pub struct Speaks {
    /// Plain HTTP.
    pub plain: bool,
    /// TLS, on the same port.
    pub tls: Option<Arc<Identity>>,
    /// Whose PROXY headers are believed.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Finds out who the client is: the sender, or whom a trusted sender's PROXY header names. `None` is a
/// health probe: a connection that ends before its first byte.
pub(super) async fn client(
    speaks: &Speaks,
    socket: &mut TcpStream,
    sender: SocketAddr,
    deadline: Instant,
) -> Result<Option<SocketAddr>, Refusal> {
    let Some(rules) = &speaks.proxy_protocol else { return Ok(Some(sender)) };
    let from = sender.ip().to_canonical();
    if !rules.trusted.iter().any(|net| net.contains(&from)) {
        let refusal = Refusal::ProxyHeader("the sender is not listed in `trusted`, and a header is required");
        return if rules.required { Err(refusal) } else { Ok(Some(sender)) };
    }
    let reading = async {
        let mut first = [0];
        if !rules.required
            && !matches!(socket.peek(&mut first).await, Ok(1) if proxy_header::may_begin(first[0]))
        {
            return Ok(Some(sender));
        }
        match proxy_header::read(socket).await {
            Ok(named) => Ok(Some(named.unwrap_or(sender))),
            Err(ProxyHeaderError::Nothing) => Ok(None),
            Err(ProxyHeaderError::Missing) => Err(Refusal::ProxyHeader("the header is missing")),
            Err(ProxyHeaderError::Malformed) => Err(Refusal::ProxyHeader("the header is malformed")),
        }
    };
    timeout_at(deadline, reading)
        .await
        .unwrap_or(Err(Refusal::ProxyHeader("the header did not arrive in time")))
}

/// What a connection turned out to be.
pub(super) enum Opened {
    /// Closed by the client, or broken: a health probe, a port scan.
    Nothing,
    /// Answered, then closed.
    Refused(Stream, Refusal),
    /// Told by a TLS alert, then closed.
    Alerted(TcpStream, Refusal),
    /// Closed without an answer: there is no protocol to give one in.
    Closed(Refusal),
    Http(Stream),
}

const TLS_HANDSHAKE: u8 = 0x16;

/// Looks at the first byte: a TLS handshake, the beginning of an HTTP request, or neither.
pub(super) async fn open(speaks: &Speaks, socket: TcpStream, deadline: Instant) -> Opened {
    let mut first = [0];
    match timeout_at(deadline, socket.peek(&mut first)).await {
        Ok(Ok(0) | Err(_)) => return Opened::Nothing,
        Ok(Ok(_)) => {}
        Err(_) => return Opened::Refused(Stream::Plain(socket), Refusal::HeadTimeout),
    }
    match (first, &speaks.tls) {
        ([TLS_HANDSHAKE], Some(identity)) => {
            match timeout_at(deadline, identity.acceptor().accept(socket).into_fallible()).await {
                Ok(Ok(stream)) => Opened::Http(Stream::Tls(Box::new(stream.into()))),
                Ok(Err((error, socket))) => Opened::Alerted(socket, Refusal::TlsHandshake(error.to_string())),
                Err(_) => Opened::Closed(Refusal::TlsHandshake("it did not end in time".to_owned())),
            }
        }
        ([TLS_HANDSHAKE], None) => foreign(socket, "TLS on a port that speaks plain HTTP"),
        ([byte], _) if !is_begin_of_http(byte) => foreign(socket, "another protocol"),
        _ if speaks.plain => Opened::Http(Stream::Plain(socket)),
        _ => foreign(socket, "plain HTTP on a port that speaks TLS only"),
    }
}

fn foreign(socket: TcpStream, what: &'static str) -> Opened {
    Opened::Refused(Stream::Plain(socket), Refusal::NotHttp(what))
}

/// A method begins with a token character (RFC 9110 section 5.6.2); empty lines may stand before it.
fn is_begin_of_http(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~\r\n".contains(&byte)
}
