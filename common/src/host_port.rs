//! Host names and ports, in one normal form.
//!
//! This is the only parser for the target of a CONNECT. Its output is what is matched, resolved,
//! dialled and logged; nobody looks at the original text again.
//!
//! ```text
//! target = name ":" port           nothing before, between or after
//! name   = label *( "." label )    at most 253 bytes, no trailing dot
//! label  = 1*63( a-z 0-9 "-" )     no "-" at either end; upper case becomes lower case
//! port   = 1 to 65535              decimal, no sign, no leading zero
//! ```
//!
//! A name may begin with a digit (most workspace names are GUIDs), but its last label may not be
//! a number: such a text is an IPv4 address in one of its many spellings, and is refused as one.

use std::fmt;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

/// Longest host name in bytes, without the root's dot (RFC 1035 section 2.3.4).
pub const LONGEST_NAME: usize = 253;
/// Longest label in bytes (RFC 1035 section 2.3.4).
pub const LONGEST_LABEL: usize = 63;

/// A host name: lower-case ASCII labels of letters, digits and inner hyphens. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Returns the name as text, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        if text.is_empty() {
            return Err(HostPortError::NameMissing);
        }
        if text.starts_with('[') {
            return Err(judge_brackets(text));
        }
        if text.len() > LONGEST_NAME {
            return Err(HostPortError::NameTooLong);
        }
        let mut last: &[u8] = &[];
        for label in text.as_bytes().split(|byte| *byte == b'.') {
            check_label(label)?;
            last = label;
        }
        if ends_in_number(last) {
            return Err(match text.parse::<Ipv4Addr>() {
                Ok(_) => HostPortError::AddressLiteral,
                Err(_) => HostPortError::NumericName,
            });
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

/// A host name with a port: the target of a CONNECT.
///
/// ```
/// use common::host_port::HostPort;
///
/// let target: HostPort = "1234A.ODS.opinsights.azure.com:443".parse()?;
/// assert_eq!(target.to_string(), "1234a.ods.opinsights.azure.com:443");
/// assert!("1234a.ods.opinsights.azure.com.:443".parse::<HostPort>().is_err());
/// # Ok::<(), common::host_port::HostPortError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    name: HostName,
    port: u16,
}

impl HostPort {
    /// Joins a name and a port that were read apart.
    pub fn new(name: HostName, port: u16) -> Self {
        Self { name, port }
    }

    /// Returns the host name.
    pub fn name(&self) -> &HostName {
        &self.name
    }

    /// Returns the port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (name, port) = match text.strip_prefix('[') {
            Some(_) => match text.split_once(']') {
                Some((literal, rest)) if rest.starts_with(':') => {
                    return Err(judge_brackets(&format!("{literal}]")));
                }
                _ => return Err(HostPortError::BadCharacter),
            },
            None => text.split_once(':').ok_or(HostPortError::PortMissing)?,
        };
        let port = parse_port(port)?;
        Ok(Self { name: name.parse()?, port })
    }
}

/// Why a text is not a [`HostPort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// Nothing stands before the port.
    #[error("the host name is missing")]
    NameMissing,
    /// More than [`LONGEST_NAME`] bytes.
    #[error("the host name is longer than 253 bytes")]
    NameTooLong,
    /// Two dots in a row, or a dot at either end.
    #[error("the host name has an empty label (a doubled, leading or trailing dot)")]
    EmptyLabel,
    /// More than [`LONGEST_LABEL`] bytes between two dots.
    #[error("a label of the host name is longer than 63 bytes")]
    LabelTooLong,
    /// A label that begins or ends in a hyphen.
    #[error("a label of the host name begins or ends with a hyphen")]
    HyphenAtEdge,
    /// Anything but ASCII letters, digits, hyphens and dots.
    #[error("the host name has a character other than ASCII letters, digits, hyphens and dots")]
    BadCharacter,
    /// An IPv4 or IPv6 address where a name must stand.
    #[error("an IP address stands where a host name must stand")]
    AddressLiteral,
    /// A last label that is a number, as in the short forms of IPv4 addresses.
    #[error("the last label of the host name is a number")]
    NumericName,
    /// No `:port`.
    #[error("the port is missing")]
    PortMissing,
    /// Not a decimal number from 1 to 65535 without sign and leading zero.
    #[error("the port is not a number from 1 to 65535 without sign or leading zero")]
    BadPort,
}

fn check_label(label: &[u8]) -> Result<(), HostPortError> {
    if label.is_empty() {
        return Err(HostPortError::EmptyLabel);
    }
    // Without a way out: the compiler judges many bytes at once.
    if !label.iter().fold(true, |all, byte| all & (byte.is_ascii_alphanumeric() | (*byte == b'-'))) {
        return Err(HostPortError::BadCharacter);
    }
    if label.len() > LONGEST_LABEL {
        return Err(HostPortError::LabelTooLong);
    }
    if label.starts_with(b"-") || label.ends_with(b"-") {
        return Err(HostPortError::HyphenAtEdge);
    }
    Ok(())
}

/// Says whether a last label makes the whole text an IPv4 address for some parsers: all digits,
/// or `0x` and hexadecimal digits (WHATWG URL, "ends in a number").
fn ends_in_number(label: &[u8]) -> bool {
    let hexadecimal = label.strip_prefix(b"0x").or_else(|| label.strip_prefix(b"0X"));
    label.iter().all(u8::is_ascii_digit)
        || hexadecimal.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

fn judge_brackets(text: &str) -> HostPortError {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner.map(str::parse::<Ipv6Addr>) {
        Some(Ok(_)) => HostPortError::AddressLiteral,
        _ => HostPortError::BadCharacter,
    }
}

fn parse_port(text: &str) -> Result<u16, HostPortError> {
    if text.is_empty() {
        return Err(HostPortError::PortMissing);
    }
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(HostPortError::BadPort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";

    fn parse(text: &str) -> Result<HostPort, HostPortError> {
        text.parse()
    }

    #[test]
    fn h01_h02_a_workspace_host_passes_in_any_case_and_comes_out_lower_case() {
        assert_eq!(parse(&format!("{GOOD}:443")).map(|t| t.to_string()), Ok(format!("{GOOD}:443")));
        let upper = format!("{}:443", GOOD.to_uppercase());
        assert_eq!(parse(&upper).map(|t| t.to_string()), Ok(format!("{GOOD}:443")));
    }

    #[test]
    fn every_malformed_target_is_refused_with_its_own_reason() {
        use HostPortError::*;
        let long_label = "a".repeat(64);
        let long_name = vec!["a".repeat(49); 5].join(".") + ".comx";
        let cases = [
            ("h03", format!("{GOOD}.:443"), EmptyLabel),
            ("h04", format!("{GOOD}..:443"), EmptyLabel),
            ("h04", format!("..{GOOD}:443"), EmptyLabel),
            ("h04", "a..ods.opinsights.azure.com:443".into(), EmptyLabel),
            ("h05", format!("[{GOOD}]:443"), BadCharacter),
            ("h05", format!("[[{GOOD}]]:443"), BadCharacter),
            ("h05", "[127.0.0.1]:443".into(), BadCharacter),
            ("h10", format!("user@{GOOD}:443"), BadCharacter),
            ("h10", format!("user:pw@{GOOD}:443"), BadPort),
            ("h10", format!("{GOOD}:443@evil.example:443"), BadPort),
            ("h11", format!("{GOOD},evil.example:443"), BadCharacter),
            ("h11", format!("{GOOD};x:443"), BadCharacter),
            ("h11", format!("{GOOD}\\evil:443"), BadCharacter),
            ("h11", format!("{GOOD}/evil:443"), BadCharacter),
            ("h11", format!("{GOOD}?x:443"), BadCharacter),
            ("h11", format!("{GOOD}#x:443"), BadCharacter),
            ("h12", format!("{GOOD}%2eevil.example:443"), BadCharacter),
            ("h12", format!("{GOOD}%00:443"), BadCharacter),
            ("h13", "evil.example\0.ods.opinsights.azure.com:443".into(), BadCharacter),
            ("h13", "evil\t.ods.opinsights.azure.com:443".into(), BadCharacter),
            ("h13", "evil\u{7f}.ods.opinsights.azure.com:443".into(), BadCharacter),
            ("h15", "a\u{ff0e}ods.opinsights.azure.com:443".into(), BadCharacter),
            ("h15", "a.ods.opinsights.\u{430}zure.com:443".into(), BadCharacter),
            ("h15", "\u{feff}a.ods.opinsights.azure.com:443".into(), BadCharacter),
            ("h15", "a.ods.opinsights.azure.\u{212a}om:443".into(), BadCharacter),
            ("h17", format!("{long_label}.com:443"), LabelTooLong),
            ("h17", format!("{long_name}:443"), NameTooLong),
            ("h17", format!("{}:443", "a".repeat(65536)), NameTooLong),
            ("h18", "-a.ods.opinsights.azure.com:443".into(), HyphenAtEdge),
            ("h18", "a-.ods.opinsights.azure.com:443".into(), HyphenAtEdge),
            ("h18", "a_b.ods.opinsights.azure.com:443".into(), BadCharacter),
            ("h19", ":443".into(), NameMissing),
            ("h19", "*:443".into(), BadCharacter),
            ("h19", "*.ods.opinsights.azure.com:443".into(), BadCharacter),
            ("h19", ".ods.opinsights.azure.com:443".into(), EmptyLabel),
            ("h20", "20.1.2.3:443".into(), AddressLiteral),
            ("h20", "169.254.169.254:443".into(), AddressLiteral),
            ("h21", "2130706433:443".into(), NumericName),
            ("h21", "0x7f.1:443".into(), NumericName),
            ("h21", "1.0x7f:443".into(), NumericName),
            ("h21", "0177.0.0.1:443".into(), NumericName),
            ("h21", "127.1:443".into(), NumericName),
            ("h21", "0:443".into(), NumericName),
            ("h21", "127.0.0.1.:443".into(), EmptyLabel),
            ("h22", "[::1]:443".into(), AddressLiteral),
            ("h22", "[::ffff:127.0.0.1]:443".into(), AddressLiteral),
            ("h22", "[fe80::1%25eth0]:443".into(), BadCharacter),
            ("h22", "[::1%25.ods.opinsights.azure.com]:443".into(), BadCharacter),
            ("h23", GOOD.into(), PortMissing),
            ("h23", format!("{GOOD}:"), PortMissing),
            ("h23", format!("{GOOD}:0"), BadPort),
            ("h24", format!("{GOOD}:65979"), BadPort),
            ("h24", format!("{GOOD}:4294967739"), BadPort),
            ("h24", format!("{GOOD}:-443"), BadPort),
            ("h24", format!("{GOOD}:+443"), BadPort),
            ("h24", format!("{GOOD}:443x"), BadPort),
            ("h24", format!("{GOOD}:0x1bb"), BadPort),
            ("h24", format!("{GOOD}:4 43"), BadPort),
            ("h24", format!("{GOOD}:\u{ff14}\u{ff14}\u{ff13}"), BadPort),
            ("h25", format!("{GOOD}:0443"), BadPort),
            ("h25", format!("{GOOD}:00000000443"), BadPort),
            ("h26", format!("{GOOD}:443:443"), BadPort),
            ("h26", format!("{GOOD}::443"), BadPort),
            ("h27", format!("https://{GOOD}/"), BadPort),
            ("h27", "/".into(), PortMissing),
            ("h27", "*".into(), PortMissing),
        ];
        for (row, target, expected) in cases {
            assert_eq!(parse(&target), Err(expected), "{row}: {target:?}");
        }
    }

    #[test]
    fn the_longest_name_and_label_pass() {
        let label = "a".repeat(LONGEST_LABEL);
        let name = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert_eq!(name.len(), LONGEST_NAME);
        assert!(parse(&format!("{name}:443")).is_ok());
        assert_eq!(parse(&format!("{name}b:443")), Err(HostPortError::NameTooLong));
    }

    proptest! {
        #[test]
        fn what_passes_reads_back_as_itself(text in "\\PC{0,80}|[a-zA-Z0-9.:-]{0,80}(:443)?") {
            if let Ok(target) = parse(&text) {
                let shown = target.to_string();
                prop_assert_eq!(&shown, &text.to_ascii_lowercase());
                prop_assert_eq!(parse(&shown), Ok(target));
            }
        }
    }
}
