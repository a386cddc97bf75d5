//! The two hellos at the start of a tunnel: gathered, judged, and given back byte for byte.
//!
//! The client's must come first, ask for the host of the CONNECT and offer a TLS version that is new
//! enough; the origin's must choose one. What is gathered is bounded in bytes ([`LONGEST_HELLO`]) and in
//! time, and nothing of it reaches the other side before it is judged.

use std::time::Duration;

use bytes::BufMut;
use bytes::BytesMut;
use common::host_port::HostName;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::config::MinimumTls;
use crate::config::ServerNamePolicy;
use crate::ending::Ending;
use crate::parse::HelloError;
use crate::parse::LONGEST_HELLO;
use crate::parse::TlsVersion;
use crate::parse::client_hello;
use crate::parse::client_hello::ClientHello;
use crate::parse::client_hello::ServerName;
use crate::parse::server_hello;
use crate::parse::server_hello::ServerAnswer;

/// Bytes a gathering buffer begins with; most hellos are smaller.
const USUAL_HELLO: usize = 2048;

/// What a hello must be.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The host of the CONNECT.
    pub host: &'a HostName,
    /// What the server name must be.
    pub server_name: ServerNamePolicy,
    /// The lowest version.
    pub minimum: MinimumTls,
}

/// Gathers the client's hello and judges it; `early` is what came with the CONNECT. Returns the
/// newest version it offers and every byte that was read.
pub async fn client<C: AsyncRead + Unpin>(
    client: &mut C,
    early: BytesMut,
    limit: Duration,
    rules: Rules<'_>,
) -> Result<(TlsVersion, BytesMut), Ending> {
    let gathered = gather(client, early, limit, client_hello::read).await;
    match gathered.found.map_err(|failure| failure.ending(Ending::NotTls))? {
        None => Err(Ending::NotTls),
        Some(hello) => {
            judge(&hello, rules)?;
            Ok((hello.highest_version, gathered.bytes))
        }
    }
}

/// Gathers and judges the hello that a client says again, after the origin asked for it. A client in
/// compatibility mode sends one ChangeCipherSpec record before it (RFC 8446 appendix D.4).
pub async fn client_again<C: AsyncRead + Unpin>(
    client: &mut C,
    limit: Duration,
    rules: Rules<'_>,
) -> Result<BytesMut, Ending> {
    const CHANGE_CIPHER_SPEC: [u8; 6] = [0x14, 0x03, 0x03, 0x00, 0x01, 0x01];
    let read = |bytes: &[u8]| match bytes.strip_prefix(&CHANGE_CIPHER_SPEC) {
        Some(rest) => client_hello::read(rest),
        None if CHANGE_CIPHER_SPEC.starts_with(bytes) => Ok(None),
        None => client_hello::read(bytes),
    };
    let gathered = gather(client, BytesMut::new(), limit, read).await;
    match gathered.found.map_err(|failure| failure.ending(Ending::NotTls))? {
        None => Err(Ending::NotTls),
        Some(hello) => judge(&hello, rules).map(|()| gathered.bytes),
    }
}

/// What an origin said first.
#[derive(Debug)]
pub enum OriginSaid {
    /// A ServerHello with a version that is new enough: carry on.
    Hello(TlsVersion, BytesMut),
    /// A HelloRetryRequest: the client must see it, and its next hello is judged like the first.
    Retry(TlsVersion, BytesMut),
    /// An alert: the handshake is over, and the client must see it.
    Alert(BytesMut),
    /// The end of the stream; the client gets what came before it.
    Closed(BytesMut),
}

/// Gathers the origin's hello and judges it; `early` is what came with a relay's answer. Returns every
/// byte that was read.
pub async fn origin<O: AsyncRead + Unpin>(
    origin: &mut O,
    early: BytesMut,
    limit: Duration,
    minimum: MinimumTls,
) -> Result<OriginSaid, Ending> {
    let gathered = gather(origin, early, limit, server_hello::read).await;
    match gathered.found.map_err(|failure| failure.ending(Ending::OriginNotTls))? {
        None => Ok(OriginSaid::Closed(gathered.bytes)),
        Some(ServerAnswer::Alert { .. }) => Ok(OriginSaid::Alert(gathered.bytes)),
        Some(ServerAnswer::Hello { version } | ServerAnswer::Retry { version })
            if version < lowest(minimum) =>
        {
            Err(Ending::OriginTlsVersion)
        }
        Some(ServerAnswer::Retry { version }) => Ok(OriginSaid::Retry(version, gathered.bytes)),
        Some(ServerAnswer::Hello { version }) => Ok(OriginSaid::Hello(version, gathered.bytes)),
    }
}

fn judge(hello: &ClientHello, rules: Rules<'_>) -> Result<(), Ending> {
    if hello.highest_version < lowest(rules.minimum) {
        return Err(Ending::TlsVersion);
    }
    let fits = match (&hello.server_name, rules.server_name) {
        (_, ServerNamePolicy::Ignore) => true,
        (ServerName::Name(name), _) => name == rules.host,
        (ServerName::Absent, ServerNamePolicy::MayBeAbsent) => true,
        (ServerName::Absent, ServerNamePolicy::MustMatch) => false,
        (ServerName::Unusable(_), _) => false,
    };
    if fits { Ok(()) } else { Err(Ending::ServerName) }
}

fn lowest(minimum: MinimumTls) -> TlsVersion {
    match minimum {
        MinimumTls::Tls12 => TlsVersion::Tls12,
        MinimumTls::Tls13 => TlsVersion::Tls13,
    }
}

struct Gathered<A> {
    /// The hello, or nothing when the stream ended first.
    found: Result<Option<A>, Failure>,
    bytes: BytesMut,
}

enum Failure {
    Timeout,
    Broken,
    Foreign,
}

impl Failure {
    fn ending(self, foreign: Ending) -> Ending {
        match (self, foreign) {
            (Self::Timeout, Ending::NotTls) => Ending::HelloTimeout,
            (Self::Timeout, _) => Ending::OriginHelloTimeout,
            (Self::Foreign, _) => foreign,
            (Self::Broken, Ending::NotTls) => Ending::ClientReset,
            (Self::Broken, _) => Ending::OriginReset,
        }
    }
}

async fn gather<S: AsyncRead + Unpin, A>(
    stream: &mut S,
    mut bytes: BytesMut,
    limit: Duration,
    read: impl Fn(&[u8]) -> Result<Option<A>, HelloError>,
) -> Gathered<A> {
    let reading = async {
        loop {
            match read(&bytes) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) if bytes.len() < LONGEST_HELLO => {}
                Ok(None) | Err(_) => return Err(Failure::Foreign),
            }
            bytes.reserve(USUAL_HELLO.min(LONGEST_HELLO - bytes.len()));
            let room = LONGEST_HELLO - bytes.len();
            match stream.read_buf(&mut (&mut bytes).limit(room)).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(_) => return Err(Failure::Broken),
            }
        }
    };
    let found = timeout(limit, reading).await.unwrap_or(Err(Failure::Timeout));
    Gathered { found, bytes }
}

#[cfg(test)]
mod tests;
