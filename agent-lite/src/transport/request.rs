use bytes::Bytes;
use common::host_port::HostPort;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use super::ClientCertificate;
use super::LARGEST_ANSWER;
use super::Outgoing;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Outgoing {
    /// Begins a POST.
    pub(super) fn post(host: &HostPort, path: PathAndQuery, certificate: ClientCertificate) -> Self {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(path);
        Self { host: host.clone(), request, certificate, largest_answer: LARGEST_ANSWER }
    }

    /// Sets how much of the answer is kept.
    pub(super) fn largest_answer(self, bytes: usize) -> Self {
        Self { largest_answer: bytes, ..self }
    }

    /// Makes it a PUT.
    pub(super) fn put(mut self) -> Self {
        *self.request.method_mut() = Method::PUT;
        self
    }

    /// Makes it a GET.
    pub(super) fn get(mut self) -> Self {
        *self.request.method_mut() = Method::GET;
        self
    }

    /// Adds a field. What a field cannot hold becomes `?`.
    pub(super) fn field(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).or_else(|_| HeaderValue::from_str(&visible(value)));
        if let Ok(value) = value {
            self.request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Adds a field if there is something to say.
    pub(super) fn field_if(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Adds a field that no log may show.
    pub(super) fn secret_field(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Sets the body.
    pub(super) fn body(mut self, body: Bytes) -> Self {
        *self.request.body_mut() = body;
        self
    }
}

/// Writes one segment of a path, or a value of a query or form.
pub(super) fn encoded(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, RESERVED)
}

/// Returns a path that was written with [`encoded`] parts.
pub(super) fn path(text: String) -> PathAndQuery {
    PathAndQuery::try_from(text).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (method, path, bytes) =
            (self.request.method(), self.request.uri().path(), self.request.body().len());
        write!(f, "{method} {}{path} ({bytes} bytes, certificate: {:?})", self.host, self.certificate)
    }
}

fn visible(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_holds_whatever_it_is_given() {
        let host = "a.example:443".parse().unwrap();
        let outgoing = Outgoing::post(&host, PathAndQuery::from_static("/x"), ClientCertificate::NotShown)
            .field("x-ms-app", "caf\u{e9}\r\nHost: evil")
            .secret_field("authorization", "Bearer abc");
        let headers = outgoing.request.headers();
        assert_eq!(headers["x-ms-app"], "caf???Host: evil");
        assert!(!format!("{outgoing:?}").contains("abc"));
    }

    #[test]
    fn a_path_stays_one_path_whatever_is_in_it() {
        let uri = path(format!("/a/{}", encoded("../?#\u{e9} %")));
        assert_eq!(uri.as_str(), "/a/..%2F%3F%23%C3%A9%20%25");
    }
}
