//! The answers to a request: the bare 200, and what a refused client is told.
//!
//! Every refusal closes the connection: what the client sends next can then never be taken for a
//! request or for a tunnel. It names the reason (`Proxy-Status`, RFC 9209) and the request's id, but
//! nothing of the inside: no address, no rule, no user.

use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::ext::ReasonPhrase;

use crate::observe::access::RequestId;
use crate::refusal::Refusal;

/// Says in one paragraph what this server is, for the browser or probe that asks for something else.
const ABOUT: &str = "This is la-gateway, a forwarding gateway for Azure Monitor traffic. It answers only CONNECT requests \
for the hosts its operator allows, on port 443. Set it as an HTTPS proxy; it serves no pages and forwards no plain HTTP.";

/// Returns the answer that begins a tunnel: no body, no length, no connection option.
pub fn established() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    response.extensions_mut().insert(ReasonPhrase::from_static(b"Connection established"));
    response
}

/// Returns the answer to a refused request.
pub fn refused(refusal: &Refusal, id: RequestId) -> Response<Full<Bytes>> {
    let row = refusal.row();
    let mut response = Response::new(Full::from(body(refusal, id)));
    *response.status_mut() = StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONNECTION, "close".to_owned());
    set(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
    set(PROXY_STATUS, format!("la-gateway; error={}; details=\"{}\"", row.proxy_error, row.reason));
    set(X_REQUEST_ID, id.to_string());
    match row.status {
        405 => set(header::ALLOW, "CONNECT".to_owned()),
        407 => set(header::PROXY_AUTHENTICATE, "Basic realm=\"la-gateway\", charset=\"UTF-8\"".to_owned()),
        _ => {}
    }
    if let Some(wait) = refusal.retry_after() {
        set(header::RETRY_AFTER, (wait.as_secs() + 1).to_string());
    }
    response
}

/// Returns the same answer as bytes, for a connection on which HTTP never began.
pub fn refused_bytes(refusal: &Refusal, id: RequestId) -> Vec<u8> {
    let response = refused(refusal, id);
    let text = body(refusal, id);
    let mut head = format!("HTTP/1.1 {}\r\nContent-Length: {}\r\n", response.status(), text.len());
    for (name, value) in response.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    [head.as_bytes(), b"\r\n", text.as_bytes()].concat()
}

const PROXY_STATUS: header::HeaderName = header::HeaderName::from_static("proxy-status");
const X_REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-request-id");

fn body(refusal: &Refusal, id: RequestId) -> String {
    match refusal {
        Refusal::NotConnect => format!("{ABOUT}\n\nrequest id: {id}\n"),
        _ => format!("la-gateway: {refusal} ({})\nrequest id: {id}\n", refusal.row().reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access::RequestIds;

    #[test]
    fn every_refusal_names_its_reason_and_id_closes_and_tells_nothing_of_the_inside() {
        let ids = RequestIds::default();
        for refusal in Refusal::every() {
            let id = ids.next();
            let text = String::from_utf8(refused_bytes(&refusal, id)).expect("text").to_lowercase();
            let row = refusal.row();
            assert!(text.starts_with(&format!("http/1.1 {} ", row.status)), "{text}");
            assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
            assert!(text.contains(&format!("\r\nx-request-id: {id}\r\n")), "{text}");
            let status = format!(
                "\r\nproxy-status: la-gateway; error={}; details=\"{}\"\r\n",
                row.proxy_error, row.reason
            );
            assert!(text.contains(&status), "{text}");
            assert!(!text.contains("127.0.0.1"), "an inside address is shown: {text}");
        }
    }

    #[test]
    fn a01_a_407_has_one_basic_challenge_and_nothing_else_has_any() {
        let id = RequestIds::default().next();
        for refusal in Refusal::every() {
            let challenges =
                refused(&refusal, id).headers().get_all(header::PROXY_AUTHENTICATE).iter().count();
            assert_eq!(challenges, usize::from(refusal.row().status == 407), "{refusal:?}");
        }
    }
}
