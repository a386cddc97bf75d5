//! What can be wrong with a proxy value, and what to write instead.

use crate::host_port::HostPortError;

/// Why a text is not a [`ProxyUrl`](super::ProxyUrl).
///
/// No message repeats any of the text: a password may stand anywhere in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// A control character, also one that was percent-encoded.
    #[error("the proxy value holds a control character, perhaps a line break at its end; remove it")]
    ControlCharacter,
    /// Something before `://` that is neither `http` nor `https`.
    #[error(
        "before `://` in the proxy value stands neither http nor https; write one of them, or nothing for http"
    )]
    UnknownScheme,
    /// Nothing before the first `:` of the user and password.
    #[error("the user before the password in the proxy value is empty; write `user:password@`, or neither")]
    UserMissing,
    /// A user without `:`.
    #[error(
        "the password after the user in the proxy value is missing; write `user:password@`, or `user:@` for an empty one"
    )]
    PasswordMissing,
    /// `/`, `?`, `#` or `\` in the user or password as it is.
    #[error(
        "the user or password in the proxy value holds one of / ? # \\ as it is; write %2F, %3F, %23 or %5C for it"
    )]
    Unencoded,
    /// A `%` without two hexadecimal digits behind it.
    #[error(
        "the user or password in the proxy value holds a % that begins no percent-encoding; write %25 for it"
    )]
    BadPercent,
    /// A user or password that is not UTF-8 once decoded.
    #[error(
        "the user or password in the proxy value is not UTF-8 once it is decoded; encode its UTF-8 bytes"
    )]
    NotUtf8,
    /// A `:` in the user, which Basic authentication cannot express.
    #[error(
        "the user in the proxy value holds a colon once it is decoded; Basic authentication cannot send that"
    )]
    ColonInUser,
    /// A path, query or fragment.
    #[error("something follows host and port in the proxy value; write `host:port` and end there")]
    Path,
    /// No port.
    #[error(
        "the port is missing in the proxy value; write it, as in `http://proxy.example:8080`, for programs differ in what they assume"
    )]
    PortMissing,
    /// A port that is no number from 1 to 65535.
    #[error("the port in the proxy value is not a number from 1 to 65535 without sign or leading zero")]
    BadPort,
    /// An IPv6 address without brackets, or brackets around something else.
    #[error(
        "an IPv6 address in the proxy value must be plain and stand in brackets, as in `http://[2001:db8::1]:8080`"
    )]
    Brackets,
    /// An address that no single machine can have: unspecified, multicast or broadcast.
    #[error(
        "the address in the proxy value is unspecified, multicast or broadcast; write the proxy's own address"
    )]
    NoAddress,
    /// A host name that is none.
    #[error("in the proxy value {0}")]
    Host(HostPortError),
}
