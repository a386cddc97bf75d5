//! The client's side of CONNECT: one request, one answer, and then the tunnel (RFC 9110 section 9.3.6).
//!
//! The request is made here from a [`HostPort`] and at most two more fields: nothing of anybody
//! else's request can stand in it. The answer is read strictly, but a line may end in a bare LF
//! (RFC 9112 section 2.2): nobody behind us reads the same bytes differently. There is no deadline
//! here, the caller has it; dropping the future loses nothing but the connection.

#[cfg(test)]
mod tests;

use std::io;

use bytes::Bytes;
use bytes::BytesMut;
use httparse::EMPTY_HEADER;
use httparse::Response;
use httparse::Status;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;

use crate::host_port::HostPort;
use crate::secret::Secret;

/// Most bytes read for the answer's head, together with the interim answers before it: 16 KiB.
pub const LARGEST_HEAD: usize = 16 * 1024;
/// Most fields in one head.
pub const MOST_FIELDS: usize = 64;
/// Most interim answers (1xx) before the final one.
pub const MOST_INTERIM: usize = 4;

/// Why a proxy gave no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Any final status but 200 to 299, and 101.
    #[error("the proxy answered with status {0}")]
    Status(u16),
    /// Bytes that are no HTTP/1.0 or HTTP/1.1 answer.
    #[error("the proxy's answer is not HTTP/1.1")]
    Garbage,
    /// More than [`LARGEST_HEAD`] bytes, [`MOST_FIELDS`] fields or [`MOST_INTERIM`] interim answers.
    #[error("the proxy's answer is longer than it may be")]
    TooLong,
    /// The connection ended before the answer.
    #[error("the proxy closed the connection before it answered")]
    Closed,
    /// The connection broke.
    #[error("the connection to the proxy broke: {0}")]
    Io(#[from] io::Error),
}

/// Asks the proxy at the other end of `stream` for a tunnel to `target`.
///
/// Returns what the proxy sent after its answer: the first bytes of the tunnel. `authorization` and
/// `via` are whole values of `Proxy-Authorization` and `Via`. The body that may follow an error is
/// not read, and a length that a 200 announces does not count.
pub async fn connect<S>(
    stream: &mut S,
    target: &HostPort,
    authorization: Option<&Secret>,
    via: Option<&str>,
) -> Result<Bytes, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(target, authorization, via)?;
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut received = BytesMut::with_capacity(LARGEST_HEAD);
    let mut interim = 0;
    let mut begins = 0;
    loop {
        let unread = received.get(begins..).unwrap_or_default();
        match parse(unread)? {
            Some((200..=299, length)) => {
                return Ok(Bytes::copy_from_slice(unread.get(length..).unwrap_or_default()));
            }
            Some((status @ 100..=199, length)) if status != 101 => {
                interim += 1;
                begins += length;
                if interim > MOST_INTERIM {
                    return Err(ConnectError::TooLong);
                }
            }
            Some((status, _)) => return Err(ConnectError::Status(status)),
            None => read_some(stream, &mut received).await?,
        }
    }
}

fn request(target: &HostPort, authorization: Option<&Secret>, via: Option<&str>) -> io::Result<String> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    let fields = [("Proxy-Authorization", authorization.map(Secret::expose)), ("Via", via)];
    for (name, value) in fields {
        let Some(value) = value else { continue };
        if !value.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not plain text")));
        }
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    Ok(request)
}

/// Returns the status and length of the head at the beginning, or `None` while it is not all there.
fn parse(bytes: &[u8]) -> Result<Option<(u16, usize)>, ConnectError> {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut response = Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(Status::Complete(length)) => Ok(response.code.map(|status| (status, length))),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(ConnectError::TooLong),
        Err(_) => Err(ConnectError::Garbage),
    }
}

async fn read_some<S>(stream: &mut S, received: &mut BytesMut) -> Result<(), ConnectError>
where
    S: AsyncRead + Unpin,
{
    let room = LARGEST_HEAD - received.len();
    if room == 0 {
        return Err(ConnectError::TooLong);
    }
    match stream.take(room as u64).read_buf(received).await {
        Ok(0) => Err(ConnectError::Closed),
        Ok(_) => Ok(()),
        // TLS says so when the other side closes without saying good-bye.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ConnectError::Closed),
        Err(error) => Err(error.into()),
    }
}
