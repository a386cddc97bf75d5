//! What client and origin say to each other once a tunnel stands: two hellos as of TLS, then exchanges.
//!
//! ```text
//! exchange = "load" down(4) up(8) bytes(up - 16)   client to origin; numbers in network order
//! receipt  = up(8) bytes(down - 8)                 origin to client, once all bytes came
//! ```
//!
//! So either side notices a byte too few or too many. Instead of a hello the origin takes [`COUNT`], and tells its totals.

use std::fs;
use std::io;
use std::path::Path;

/// Asks an origin for its totals: connections, bytes that came, bytes that went, as 64-bit numbers.
pub(crate) const COUNT: u8 = b'C';
/// Bytes of the totals.
pub(crate) const TOTALS: usize = 24;
/// Bytes that every exchange has at least, up.
pub(crate) const HEADER: usize = 16;
/// Bytes that every exchange has at least, down.
pub(crate) const RECEIPT: usize = 8;
/// Bytes of a record's header (RFC 8446 section 5.1).
pub(crate) const RECORD_HEADER: usize = 5;

const MAGIC: &[u8; 4] = b"load";

/// So many bytes up, then so many down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// With the header.
    pub up: u64,
    /// With the receipt.
    pub down: u32,
}

impl Exchange {
    pub(crate) fn header(self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let (magic, numbers) = header.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        let (down, up) = numbers.split_at_mut(4);
        down.copy_from_slice(&self.down.to_be_bytes());
        up.copy_from_slice(&self.up.to_be_bytes());
        header
    }

    /// Reads a header; none when these bytes are no header.
    pub(crate) fn read(header: [u8; HEADER]) -> Option<Self> {
        let numbers = header.strip_prefix(MAGIC)?;
        let (down, up) = numbers.split_first_chunk::<4>()?;
        let exchange = Self { up: u64::from_be_bytes(up.try_into().ok()?), down: u32::from_be_bytes(*down) };
        let whole = exchange.up >= HEADER as u64 && exchange.down as usize >= RECEIPT;
        whole.then_some(exchange)
    }
}

/// The first flights of a handshake, as bytes; the same in every tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Hellos {
    pub client: Vec<u8>,
    pub server: Vec<u8>,
}

impl Hellos {
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("client.hello"), &self.client)?;
        fs::write(folder.join("server.hello"), &self.server)
    }

    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let client = fs::read(folder.join("client.hello"))?;
        Ok(Self { client, server: fs::read(folder.join("server.hello"))? })
    }
}

/// Returns how many bytes a record has after its header.
pub(crate) fn record_length(header: [u8; RECORD_HEADER]) -> usize {
    let [.., high, low] = header;
    usize::from(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_read_as_it_was_written_and_nothing_else_is() {
        let exchange = Exchange { up: 1 << 40, down: 300 };
        assert_eq!(Exchange::read(exchange.header()), Some(exchange));
        assert_eq!(Exchange::read([0; HEADER]), None);
        assert_eq!(Exchange::read(Exchange { up: 15, down: 300 }.header()), None);
        assert_eq!(Exchange::read(Exchange { up: 16, down: 7 }.header()), None);
    }
}
