//! Basic credentials, as they stand in `Proxy-Authorization` (RFC 7617).
//!
//! ```text
//! value = "Basic" 1*SP base64( user ":" password )     the scheme in any case
//! ```
//!
//! The password may hold colons; user and password are UTF-8 without control characters
//! (RFC 7617 section 2), and the user is not empty.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::secret::Secret;
use percent_encoding::percent_decode_str;

/// Longest value of the field that is looked at, in bytes.
pub const LONGEST_VALUE: usize = 2048;

/// A user and a password as the client sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user; not empty, without colon and control characters.
    pub user: String,
    /// The password; may be empty.
    pub password: Secret,
}

/// Reads the value of `Proxy-Authorization`. `None` means it holds no Basic credentials.
pub fn read(value: &[u8]) -> Option<Credentials> {
    if value.len() > LONGEST_VALUE {
        return None;
    }
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_matches(' ')).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    credentials(user, password)
}

/// Returns the credentials with user and password percent-decoded once, if that makes a difference.
///
/// The legacy Linux agent sends its proxy password as it stands in the proxy value in one phase and
/// percent-decoded in the other, so one of its two spellings is never the password itself.
pub fn percent_decoded(sent: &Credentials) -> Option<Credentials> {
    if !sent.user.contains('%') && !sent.password.expose().contains('%') {
        return None;
    }
    let decode = |text| percent_decode_str(text).decode_utf8().ok();
    let (user, password) = (decode(&sent.user)?, decode(sent.password.expose())?);
    let decoded = credentials(&user, &password).filter(|_| !user.contains(':'))?;
    (decoded != *sent).then_some(decoded)
}

fn credentials(user: &str, password: &str) -> Option<Credentials> {
    let sound = !user.is_empty() && !user.contains(char::is_control) && !password.contains(char::is_control);
    sound.then(|| Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(value: &str) -> Option<(String, String)> {
        read(value.as_bytes()).map(|c| (c.user, c.password.expose().to_owned()))
    }

    #[test]
    fn a02_a04_the_scheme_may_be_in_any_case_and_the_password_may_hold_colons_and_umlauts() {
        let cases = [
            ("Basic YTpi", ("a", "b")),
            ("basic YTpi", ("a", "b")),
            ("BASIC   YTpi  ", ("a", "b")),
            ("Basic YTpiOmM=", ("a", "b:c")),
            ("Basic YTo=", ("a", "")),
            ("Basic YTrDvA==", ("a", "ü")),
            ("Basic YTpwQHNzJTQw", ("a", "p@ss%40")),
        ];
        for (value, (user, password)) in cases {
            assert_eq!(pair(value), Some((user.to_owned(), password.to_owned())), "{value}");
        }
    }

    #[test]
    fn a04_anything_else_is_no_credentials() {
        let long = format!("Basic {}", "YTpi".repeat(600));
        let cases = [
            "",
            "Basic",
            "Basic ",
            "Basic\tYTpi",
            "Bearer YTpi",
            "YTpi",
            "Basic YTpi=",
            "Basic YTo",
            "Basic Y!pi",
            "Basic YT pi",
            "Basic _-_-",
            "Basic Y29sb24tbGVzcw==",
            "Basic OmI=",
            "Basic YToAYg==",
            "Basic YTr/",
            "Basic YTpiCg==",
            "Basic YTpi, Basic YTpj",
            long.as_str(),
        ];
        for value in cases {
            assert_eq!(pair(value), None, "{value:?}");
        }
    }

    #[test]
    fn percent_decoding_is_done_once_and_only_where_it_makes_a_difference() {
        let decoded = |password: &str| {
            let sent = Credentials { user: "ann".to_owned(), password: Secret::new(password.to_owned()) };
            percent_decoded(&sent).map(|c| c.password.expose().to_owned())
        };
        assert_eq!(decoded("p%40ss"), Some("p@ss".to_owned()));
        assert_eq!(decoded("p%2540ss"), Some("p%40ss".to_owned()));
        for same in ["p@ss", "100%", "%zz", "p%00ss", "%ff", "p%0ass"] {
            assert_eq!(decoded(same), None, "{same}");
        }
    }

    #[test]
    fn a08_credentials_cannot_be_printed() {
        let shown = format!("{:?}", read(b"Basic YTpodW50ZXIy"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
