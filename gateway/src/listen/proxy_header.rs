//! The PROXY protocol header, versions 1 and 2: who the client is, as a load balancer saw it.
//!
//! Source: "The PROXY protocol", HAProxy. Parsed by the crate `ppp`; what is read here is exactly the
//! header and not a byte beyond it, so that the connection goes on as if it had never been there.
//!
//! ```text
//! v1 = "PROXY " ... CR LF                    at most 107 bytes
//! v2 = signature(12) version family length(2) addresses and TLVs(length)
//! ```

use std::io;
use std::net::SocketAddr;

use ppp::v1;
use ppp::v2;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;

/// Longest version 1 header, CR LF included.
const LONGEST_V1: usize = 107;
/// Longest version 2 header: addresses and TLVs, the signature and lengths before them not counted.
pub const LONGEST_V2: usize = 4096;
const V2_BEGIN: usize = 16;

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderError {
    /// The connection ended before its first byte, as those of health probes do.
    Nothing,
    /// The first bytes are no PROXY header.
    Missing,
    /// A header that breaks the rules, or ends early.
    Malformed,
}

impl From<io::Error> for ProxyHeaderError {
    fn from(_: io::Error) -> Self {
        Self::Malformed
    }
}

/// Reads a header. `None` means that the balancer speaks for itself (LOCAL, UNKNOWN).
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut first = [0];
    match stream.read(&mut first).await {
        Ok(0) | Err(_) => Err(ProxyHeaderError::Nothing),
        Ok(_) => match first {
            [b'P'] => read_v1(stream).await,
            [b'\r'] => read_v2(stream).await,
            _ => Err(ProxyHeaderError::Missing),
        },
    }
}

/// Says whether a first byte can begin a header.
pub fn may_begin(byte: u8) -> bool {
    byte == b'P' || byte == b'\r'
}

async fn read_v1<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut header = vec![b'P'];
    while !header.ends_with(b"\r\n") {
        if header.len() == LONGEST_V1 {
            return Err(ProxyHeaderError::Malformed);
        }
        header.push(stream.read_u8().await?);
        if !v1::PROTOCOL_PREFIX.as_bytes().starts_with(header.get(..5).unwrap_or(&header)) {
            return Err(ProxyHeaderError::Missing);
        }
    }
    let header = v1::Header::try_from(header.as_slice()).map_err(|_| ProxyHeaderError::Malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
        v1::Addresses::Tcp6(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
    })
}

async fn read_v2<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut header = vec![0; V2_BEGIN];
    let (begin, rest) = header.split_at_mut(1);
    begin.fill(b'\r');
    stream.read_exact(rest).await?;
    if !header.starts_with(v2::PROTOCOL_PREFIX) {
        return Err(ProxyHeaderError::Missing);
    }
    let length = match header.as_slice() {
        [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(ProxyHeaderError::Malformed),
    };
    if length > LONGEST_V2 {
        return Err(ProxyHeaderError::Malformed);
    }
    header.resize(V2_BEGIN + length, 0);
    stream.read_exact(header.get_mut(V2_BEGIN..).unwrap_or_default()).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|_| ProxyHeaderError::Malformed)?;
    if header.tlvs().any(|tlv| tlv.is_err()) {
        return Err(ProxyHeaderError::Malformed);
    }
    match (header.command, header.addresses) {
        (v2::Command::Local, _) => Ok(None),
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
            Ok(Some(SocketAddr::from((ip.source_address, ip.source_port))))
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
            Ok(Some(SocketAddr::from((ip.source_address, ip.source_port))))
        }
        (v2::Command::Proxy, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => {
            Err(ProxyHeaderError::Malformed)
        }
    }
}

#[cfg(test)]
mod tests;
