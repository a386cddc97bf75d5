//! The request head, as hyper hands it over: a CONNECT and nothing else.
//!
//! hyper has split the head into method, target and fields (RFC 9112). What it lets pass and a CONNECT
//! must not have is refused here: a target that is not `host:port`, a Host that says something else, an
//! announced body, more than one set of credentials.

use common::host_port::HostPort;
use http::HeaderMap;
use http::Method;
use http::Version;
use http::header::CONTENT_LENGTH;
use http::header::HOST;
use http::header::HeaderName;
use http::header::PROXY_AUTHORIZATION;
use http::header::TRANSFER_ENCODING;
use http::header::VIA;
use http::request::Parts;

use crate::refusal::Refusal;

/// A CONNECT whose head is well formed.
#[derive(Debug)]
pub struct Connect<'a> {
    /// Where to.
    pub target: HostPort,
    /// The value of `Proxy-Authorization`, if it was sent.
    pub authorization: Option<&'a [u8]>,
    /// The values of `Via`: the proxies the request has passed.
    pub via: Vec<&'a [u8]>,
}

/// Reads a request head as a CONNECT.
pub fn read(head: &Parts) -> Result<Connect<'_>, Refusal> {
    if head.method != Method::CONNECT {
        return Err(Refusal::NotConnect);
    }
    if head.version != Version::HTTP_11 && head.version != Version::HTTP_10 {
        return Err(Refusal::VersionUnsupported);
    }
    let target = target(head)?;
    check_host(head, &target)?;
    check_body(&head.headers)?;
    let authorization = at_most_one(&head.headers, &PROXY_AUTHORIZATION)
        .ok_or(Refusal::MalformedRequest("more than one Proxy-Authorization field"))?;
    let via = head.headers.get_all(VIA).iter().map(http::HeaderValue::as_bytes).collect();
    Ok(Connect { target, authorization, via })
}

/// Reads the request target, which must be in authority form (RFC 9110 section 7.1).
fn target(head: &Parts) -> Result<HostPort, Refusal> {
    let uri = &head.uri;
    match (uri.authority(), uri.scheme(), uri.path_and_query()) {
        (Some(authority), None, None) => Ok(authority.as_str().parse::<HostPort>()?),
        _ => Err(Refusal::MalformedRequest("the request target is not host:port")),
    }
}

/// Requires one Host field that names the target, as RFC 9112 section 3.2 does; its port may be left
/// out. HTTP/1.0 clients may send none.
fn check_host(head: &Parts, target: &HostPort) -> Result<(), Refusal> {
    let host =
        at_most_one(&head.headers, &HOST).ok_or(Refusal::MalformedRequest("more than one Host field"))?;
    match host {
        None if head.version == Version::HTTP_10 => Ok(()),
        None => Err(Refusal::MalformedRequest("the Host field is missing")),
        Some(host) => {
            if names(host, target) {
                Ok(())
            } else {
                Err(Refusal::HostMismatch)
            }
        }
    }
}

/// Says whether a Host field is the target, with its port or without.
fn names(host: &[u8], target: &HostPort) -> bool {
    let name = target.name().as_str().as_bytes();
    let Some((own, rest)) = host.split_at_checked(name.len()) else { return false };
    let port = rest.strip_prefix(b":");
    own.eq_ignore_ascii_case(name)
        && (rest.is_empty() || port == Some(itoa::Buffer::new().format(target.port()).as_bytes()))
}

/// Refuses an announced body. `Content-Length: 0` announces none, and Windows clients send it.
fn check_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = at_most_one(headers, &CONTENT_LENGTH).ok_or(Refusal::UnexpectedBody)?;
    let announced = headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != b"0");
    if announced { Err(Refusal::UnexpectedBody) } else { Ok(()) }
}

/// Returns a field's value if it was sent; `None` when it was sent more than once.
fn at_most_one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a [u8]>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(http::HeaderValue::as_bytes);
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const GOOD: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com:443";

    fn verdict(
        method: &str,
        target: &str,
        version: Version,
        fields: &[(&str, &str)],
    ) -> Result<String, Refusal> {
        let mut request = Request::builder().method(method).uri(target).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        read(&head).map(|connect| connect.target.to_string())
    }

    fn with(fields: &[(&str, &str)]) -> Result<String, Refusal> {
        verdict("CONNECT", GOOD, Version::HTTP_11, fields)
    }

    #[test]
    fn h28_anything_but_connect_is_refused_as_such() {
        for method in ["GET", "POST", "OPTIONS", "TRACE", "connect", "PURGE"] {
            let found = verdict(method, "http://example.com/", Version::HTTP_11, &[("Host", "example.com")]);
            assert_eq!(found, Err(Refusal::NotConnect), "{method}");
        }
    }

    #[test]
    fn h27_a_target_in_another_form_is_malformed() {
        for target in ["https://example.com/", "/", "*", "http://example.com:443"] {
            let found = verdict("CONNECT", target, Version::HTTP_11, &[("Host", "example.com")]);
            assert!(
                matches!(found, Err(Refusal::MalformedRequest(_) | Refusal::MalformedTarget(_))),
                "{target}: {found:?}"
            );
        }
    }

    #[test]
    fn h29_the_host_field_must_name_the_target_once_and_may_be_missing_in_http_1_0_only() {
        let name = GOOD.trim_end_matches(":443");
        for host in [GOOD, name, &GOOD.to_uppercase()] {
            assert_eq!(with(&[("Host", host)]), Ok(GOOD.to_owned()), "{host}");
        }
        for host in ["evil.example", "", &format!("{name}:80"), &format!("{name}.")] {
            assert_eq!(with(&[("Host", host)]), Err(Refusal::HostMismatch), "{host}");
        }
        assert!(matches!(with(&[("Host", GOOD), ("Host", GOOD)]), Err(Refusal::MalformedRequest(_))));
        assert!(matches!(with(&[]), Err(Refusal::MalformedRequest(_))));
        assert_eq!(verdict("CONNECT", GOOD, Version::HTTP_10, &[]), Ok(GOOD.to_owned()));
        assert_eq!(verdict("CONNECT", GOOD, Version::HTTP_2, &[]), Err(Refusal::VersionUnsupported));
    }

    #[test]
    fn f01_f02_f03_an_announced_body_is_refused_and_a_length_of_zero_is_none() {
        assert!(with(&[("Host", GOOD), ("Content-Length", "0")]).is_ok());
        let bad: [&[(&str, &str)]; 8] = [
            &[("Content-Length", "5")],
            &[("Content-Length", "")],
            &[("Content-Length", "+0")],
            &[("Content-Length", "00")],
            &[("Content-Length", "0"), ("Content-Length", "0")],
            &[("Transfer-Encoding", "chunked")],
            &[("Transfer-Encoding", "identity")],
            &[("Transfer-Encoding", "")],
        ];
        for fields in bad {
            let fields: Vec<_> = [("Host", GOOD)].iter().chain(fields).copied().collect();
            assert_eq!(with(&fields), Err(Refusal::UnexpectedBody), "{fields:?}");
        }
    }

    #[test]
    fn a03_two_sets_of_credentials_are_malformed() {
        let twice =
            [("Host", GOOD), ("Proxy-Authorization", "Basic YTpi"), ("Proxy-Authorization", "Basic YTpi")];
        assert!(matches!(with(&twice), Err(Refusal::MalformedRequest(_))));
    }
}
