//! The value of a proxy setting.
//!
//! ```text
//! value    = [ scheme "://" ] [ user ":" password "@" ] host ":" port [ "/" ]
//! scheme   = "http" | "https"        any case; none means http. https is TLS to the proxy itself
//! user     = 1*char                  percent-decoded once; no ":" and no control character after that
//! password = *char                   likewise, but may hold ":"; ends at the last "@"
//! host     = a name as in `host_port`, an IPv4 address, or an IPv6 address in brackets
//! ```
//!
//! The port must be written: without one, clients of the same value go to 80, 443, 1080 or 8080. Only a
//! program that has told its operator which port it means may ask for [`ProxyUrl::with_default_port`].

mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;

pub use self::error::ProxyUrlError;
use crate::host_port::HostName;
use crate::secret::Secret;

/// A proxy and how to log in there. `Display` and `Debug` show the user, but never the password.
///
/// ```
/// use common::proxy_url::ProxyUrl;
///
/// let proxy: ProxyUrl = "http://site-7:p%40ss@proxy.example:8080".parse()?;
/// assert_eq!(proxy.to_string(), "http://site-7@proxy.example:8080");
/// let value = proxy.authorization().map(|value| value.expose().to_owned());
/// assert_eq!(value.as_deref(), Some("Basic c2l0ZS03OnBAc3M="));
/// # Ok::<(), common::proxy_url::ProxyUrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl {
    scheme: Scheme,
    credentials: Option<Credentials>,
    host: Host,
    port: u16,
}

/// How the proxy itself is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// CONNECT in clear.
    Http,
    /// CONNECT inside TLS to the proxy.
    Https,
}

/// Where a proxy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name that is looked up.
    Name(HostName),
    /// An address; an IPv4 address that was written as IPv6 is an IPv4 address here.
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: Secret,
}

impl ProxyUrl {
    /// Reads a value like `parse` does, but a missing port is this one.
    pub fn with_default_port(text: &str, port: u16) -> Result<Self, ProxyUrlError> {
        Self::read(text, Some(port))
    }

    /// Returns how the proxy itself is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns where the proxy is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the user, decoded.
    pub fn user(&self) -> Option<&str> {
        self.credentials.as_ref().map(|credentials| credentials.user.as_str())
    }

    /// Returns the whole value of `Proxy-Authorization`: `Basic` and user and password in base64 (RFC 7617).
    pub fn authorization(&self) -> Option<Secret> {
        let Credentials { user, password } = self.credentials.as_ref()?;
        let encoded = STANDARD.encode(format!("{user}:{}", password.expose()));
        Some(Secret::new(format!("Basic {encoded}")))
    }

    fn read(text: &str, default_port: Option<u16>) -> Result<Self, ProxyUrlError> {
        if text.chars().any(char::is_control) {
            return Err(ProxyUrlError::ControlCharacter);
        }
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Http, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some(_) => return Err(ProxyUrlError::UnknownScheme),
        };
        let (credentials, place) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((login, place)) => (Some(parse_credentials(login)?), place),
        };
        let (host, port) = parse_place(place.strip_suffix('/').unwrap_or(place), default_port)?;
        Ok(Self { scheme, credentials, host, port })
    }
}

/// What stands as itself in a shown user: RFC 3986 section 2.3, unreserved.
const SHOWN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        })?;
        if let Some(user) = self.user() {
            write!(f, "{}@", utf8_percent_encode(user, &SHOWN))?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        Self::read(text, None)
    }
}

fn parse_credentials(text: &str) -> Result<Credentials, ProxyUrlError> {
    if text.contains(['/', '?', '#', '\\']) {
        return Err(ProxyUrlError::Unencoded);
    }
    let (user, password) = text.split_once(':').ok_or(ProxyUrlError::PasswordMissing)?;
    let (user, password) = (decode(user)?, decode(password)?);
    if user.is_empty() {
        return Err(ProxyUrlError::UserMissing);
    }
    if user.contains(':') {
        return Err(ProxyUrlError::ColonInUser);
    }
    Ok(Credentials { user, password: Secret::new(password) })
}

/// Decodes once: a `%` that comes out of it stays one.
fn decode(text: &str) -> Result<String, ProxyUrlError> {
    for after in text.split('%').skip(1) {
        let digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
        if digits != 2 {
            return Err(ProxyUrlError::BadPercent);
        }
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| ProxyUrlError::NotUtf8)?;
    match decoded.chars().any(char::is_control) {
        true => Err(ProxyUrlError::ControlCharacter),
        false => Ok(decoded.into_owned()),
    }
}

fn parse_place(text: &str, default_port: Option<u16>) -> Result<(Host, u16), ProxyUrlError> {
    if text.contains(['/', '?', '#', '\\']) {
        return Err(ProxyUrlError::Path);
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(ProxyUrlError::Brackets);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            let host = parse_host(host)?;
            Ok((host, parse_port(port)?))
        }
        _ => {
            let host = parse_host(text)?;
            Ok((host, default_port.ok_or(ProxyUrlError::PortMissing)?))
        }
    }
}

fn parse_host(text: &str) -> Result<Host, ProxyUrlError> {
    if text.starts_with('[') || text.parse::<Ipv6Addr>().is_ok() {
        let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
        let address: Ipv6Addr = literal.parse().map_err(|_| ProxyUrlError::Brackets)?;
        return usable(address.to_canonical());
    }
    match text.parse::<Ipv4Addr>() {
        Ok(address) => usable(address.into()),
        Err(_) => text.parse().map(Host::Name).map_err(ProxyUrlError::Host),
    }
}

fn parse_port(text: &str) -> Result<u16, ProxyUrlError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        _ if text.is_empty() => Err(ProxyUrlError::PortMissing),
        Ok(port) if plain => Ok(port),
        _ => Err(ProxyUrlError::BadPort),
    }
}

fn usable(address: IpAddr) -> Result<Host, ProxyUrlError> {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    match address.is_unspecified() || address.is_multicast() || broadcast {
        true => Err(ProxyUrlError::NoAddress),
        false => Ok(Host::Address(address)),
    }
}
