//! The ClientHello: the version a client asks for and the name it wants (RFC 8446 section 4.1.2).
//!
//! ```text
//! body         = version(2) random(32) session_id cipher_suites compression [extensions]
//! server_name  = vector16 of name_type(1) vector16       exactly one, of type host_name (RFC 6066)
//! supported_versions = vector8 of version(2)             if present, it rules alone
//! ```

use std::net::IpAddr;

use common::host_port::HostName;
use common::host_port::HostPortError;

use crate::parse::HelloError;
use crate::parse::TlsVersion;
use crate::parse::fields::Fields;
use crate::parse::tls_record;
use crate::parse::tls_record::Alerts;

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const SUPPORTED_VERSIONS: u16 = 43;
const HOST_NAME: u8 = 0;
const RANDOM: usize = 32;
const LONGEST_SESSION_ID: usize = 32;

/// What a client says when it begins TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The newest version the client offers.
    pub highest_version: TlsVersion,
    /// The server the client asks for.
    pub server_name: ServerName,
}

/// The name in a hello's server_name extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// The hello has no such extension.
    Absent,
    /// One host name, in its normal form.
    Name(HostName),
    /// Anything else, with the reason.
    Unusable(&'static str),
}

/// Reads a ClientHello from the first bytes of a tunnel.
///
/// `Ok(None)` means: whole so far, more bytes are needed.
pub fn read(bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
    match tls_record::first_message(bytes, CLIENT_HELLO, Alerts::Foreign)? {
        Some(body) => read_body(&body).map(Some),
        None => Ok(None),
    }
}

fn read_body(body: &[u8]) -> Result<ClientHello, HelloError> {
    let mut fields = Fields::new(body);
    let legacy_version = fields.number16()?;
    fields.bytes(RANDOM)?;
    if fields.vector8()?.len() > LONGEST_SESSION_ID {
        return Err(HelloError::Malformed("a session id longer than 32 bytes"));
    }
    let cipher_suites = fields.vector16()?;
    if cipher_suites.is_empty() || cipher_suites.len() % 2 != 0 {
        return Err(HelloError::Malformed("a list of cipher suites that is empty or torn"));
    }
    if fields.vector8()?.is_empty() {
        return Err(HelloError::Malformed("no compression method"));
    }
    let [supported_versions, server_name] = fields.extensions([SUPPORTED_VERSIONS, SERVER_NAME])?;
    Ok(ClientHello {
        highest_version: match supported_versions {
            Some(content) => highest_of(content)?,
            None => legacy(legacy_version)?,
        },
        server_name: match server_name {
            Some(content) => only_name(content)?,
            None => ServerName::Absent,
        },
    })
}

fn highest_of(content: &[u8]) -> Result<TlsVersion, HelloError> {
    let mut fields = Fields::new(content);
    let mut versions = Fields::new(fields.vector8()?);
    fields.finish()?;
    let mut highest = None;
    while !versions.is_empty() {
        highest = highest.max(TlsVersion::from_number(versions.number16()?));
    }
    highest.ok_or(HelloError::Malformed("no known version is offered"))
}

/// TLS 1.3 cannot be offered in this field: whatever is larger counts as TLS 1.2.
fn legacy(number: u16) -> Result<TlsVersion, HelloError> {
    let version = TlsVersion::from_number(number.min(0x0303));
    version.ok_or(HelloError::Malformed("a version older than SSL 3.0"))
}

fn only_name(content: &[u8]) -> Result<ServerName, HelloError> {
    let mut fields = Fields::new(content);
    let mut names = Fields::new(fields.vector16()?);
    fields.finish()?;
    if names.is_empty() {
        return Ok(ServerName::Unusable("the list of server names is empty"));
    }
    let kind = names.number8()?;
    let name = names.vector16()?;
    if !names.is_empty() {
        while !names.is_empty() {
            names.number8()?;
            names.vector16()?;
        }
        return Ok(ServerName::Unusable("there are several server names"));
    }
    if kind != HOST_NAME {
        return Ok(ServerName::Unusable("the server name is of an unknown type"));
    }
    Ok(judge_name(name))
}

fn judge_name(name: &[u8]) -> ServerName {
    if name.contains(&0) {
        return ServerName::Unusable("the server name has a NUL byte");
    }
    let text = match str::from_utf8(name) {
        Ok(text) if text.is_ascii() => text,
        _ => return ServerName::Unusable("the server name is not ASCII"),
    };
    if text.parse::<IpAddr>().is_ok() {
        return ServerName::Unusable("the server name is an IP address");
    }
    if text.len() > 1 && text.ends_with('.') {
        return ServerName::Unusable("the server name ends with a dot");
    }
    match text.parse() {
        Ok(name) => ServerName::Name(name),
        Err(error) => ServerName::Unusable(reason(error)),
    }
}

fn reason(error: HostPortError) -> &'static str {
    match error {
        HostPortError::NameMissing => "the server name is empty",
        HostPortError::NameTooLong => "the server name is longer than 253 bytes",
        HostPortError::EmptyLabel => "the server name has an empty label",
        HostPortError::LabelTooLong => "the server name has a label longer than 63 bytes",
        HostPortError::HyphenAtEdge => "the server name has a label that begins or ends with a hyphen",
        HostPortError::AddressLiteral => "the server name is an IP address",
        HostPortError::NumericName => "the server name ends in a number",
        HostPortError::BadCharacter | HostPortError::PortMissing | HostPortError::BadPort => {
            "the server name has a character other than letters, digits, hyphens and dots"
        }
    }
}

#[cfg(test)]
mod tests;
