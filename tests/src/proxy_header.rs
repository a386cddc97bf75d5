//! PROXY protocol headers, byte by byte as a load balancer writes them.
//!
//! ```text
//! v1 = "PROXY " family " " source " " destination " " port " " port CR LF
//! v2 = signature(12) version and command, family, length(2), addresses and TLVs(length)
//! ```

use std::net::IpAddr;
use std::net::SocketAddr;

/// The first twelve bytes of version 2.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command LOCAL: the balancer speaks for itself.
pub const LOCAL: u8 = 0x20;
/// Version 2, command PROXY.
pub const PROXY: u8 = 0x21;
/// TCP over IPv4.
pub const TCP4: u8 = 0x11;

/// Returns a version 1 header for a client at `source`.
pub fn v1(source: SocketAddr) -> Vec<u8> {
    let (family, destination) = match source.ip() {
        IpAddr::V4(_) => ("TCP4", "192.0.2.1"),
        IpAddr::V6(_) => ("TCP6", "2001:db8::1"),
    };
    let (ip, port) = (source.ip(), source.port());
    format!("PROXY {family} {ip} {destination} {port} 8080\r\n").into_bytes()
}

/// Returns a version 2 header for a client at `source`, with these TLVs.
pub fn v2(source: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let (family, mut rest) = match source.ip() {
        IpAddr::V4(ip) => (TCP4, [ip.octets(), [192, 0, 2, 1]].concat()),
        IpAddr::V6(ip) => (0x21, [ip.octets(), [0x20; 16]].concat()),
    };
    rest.extend_from_slice(&source.port().to_be_bytes());
    rest.extend_from_slice(&8080_u16.to_be_bytes());
    rest.extend_from_slice(tlvs);
    let length = u16::try_from(rest.len()).expect("a header of at most 64 KiB");
    v2_raw(PROXY, family, length, &rest)
}

/// Returns a version 2 header of these parts, whether they agree or not.
pub fn v2_raw(version_and_command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    [&SIGNATURE[..], &[version_and_command, family], &length.to_be_bytes(), rest].concat()
}

/// Returns one TLV.
pub fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a value of at most 64 KiB");
    [&[kind], &length.to_be_bytes()[..], value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_specification() {
        let source = "203.0.113.9:4711".parse().expect("an address");
        assert_eq!(v1(source), b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 8080\r\n");
        let header = v2(source, &tlv(4, b"ab"));
        assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x11");
        assert_eq!(header[16..28], [203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0x1f, 0x90]);
        assert_eq!(header[28..], [4, 0, 2, b'a', b'b']);
    }
}
