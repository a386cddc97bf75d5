//! HTTP/1.1 as it stands on the wire, read strictly and written by hand.

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;

use crate::patience::patiently;

const LARGEST_HEAD: usize = 64 * 1024;

/// The head of an HTTP response, and what came behind it in the same reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: String,
    /// Header fields in their order, as written.
    pub headers: Vec<(String, String)>,
    /// Bytes behind the head.
    pub leftover: Vec<u8>,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its head; `leftover` is empty.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

impl Head {
    /// Returns every value of a header field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the value of a header field that must not stand twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} stands {} times", values.len());
        values.first().copied()
    }

    fn parse(head: &[u8], leftover: &[u8]) -> Self {
        let text = std::str::from_utf8(head).expect("a response head in UTF-8");
        let mut lines = text.strip_suffix("\r\n\r\n").expect("an end of the head").split("\r\n");
        let mut status_line = lines.next().expect("a status line").splitn(3, ' ');
        let version = status_line.next().expect("a version").to_owned();
        assert!(matches!(version.as_str(), "HTTP/1.1" | "HTTP/1.0"), "version {version:?}");
        let status = status_line.next().expect("a status");
        assert!(status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()), "status {status:?}");
        let reason = status_line.next().expect("a space behind the status").to_owned();
        let headers = lines.map(parse_field).collect();
        assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "bare line ends in {text:?}");
        let status = status.parse().expect("three digits");
        Self { version, status, reason, headers, leftover: leftover.to_vec() }
    }
}

impl Answer {
    /// Returns the body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }
}

/// Reads a response head, however it is cut into pieces.
///
/// Returns `None` when the peer closes, also by reset, before the first byte.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Head> {
    patiently("a response head", async {
        let mut bytes = Vec::new();
        loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let (head, leftover) = bytes.split_at(at + 4);
                return Some(Head::parse(head, leftover));
            }
            assert!(bytes.len() < LARGEST_HEAD, "a response head without an end");
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) if bytes.is_empty() => return None,
                Ok(0) => panic!("the response ends in its head: {:?}", String::from_utf8_lossy(&bytes)),
                Ok(_) => {}
                Err(error) => panic!("{error} in the response head {:?}", String::from_utf8_lossy(&bytes)),
            }
        }
    })
    .await
}

/// Reads a response that ends with the connection, as every refusal does.
///
/// Returns `None` when the peer closes without a word.
pub async fn read_answer_until_close(stream: &mut (impl AsyncRead + Unpin)) -> Option<Answer> {
    let head = read_head(stream).await?;
    Some(read_body_until_close(stream, head).await)
}

/// Reads what follows a head up to the end of the connection.
pub async fn read_body_until_close(stream: &mut (impl AsyncRead + Unpin), mut head: Head) -> Answer {
    let mut body = std::mem::take(&mut head.leftover);
    let end = patiently("the end of a response", stream.read_to_end(&mut body)).await;
    end.expect("an orderly end of the response");
    if let Some(length) = head.header("content-length") {
        assert_eq!(length.parse(), Ok(body.len()), "the body's length and what follows it");
    }
    Answer { head, body }
}

/// Sends one request with a body and reads the whole answer; the connection stays open.
pub async fn exchange<S>(stream: &mut S, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send_head(stream, request, headers, body.len() as u64).await;
    patiently("sending a body", stream.write_all(body)).await.expect("a body sent");
    stream.flush().await.expect("a request sent");
    let mut head = read_head(stream).await.expect("an answer");
    let mut body = std::mem::take(&mut head.leftover);
    let length: usize = head.header("content-length").map_or(0, |text| text.parse().expect("a length"));
    let begun = body.len();
    body.resize(length, 0);
    patiently("a response body", stream.read_exact(&mut body[begun..])).await.expect("a whole body");
    Answer { head, body }
}

/// Sends the head of a request, for a body that the caller streams.
pub async fn send_head<S>(stream: &mut S, request: &str, headers: &[(&str, &str)], length: u64)
where
    S: AsyncWrite + Unpin,
{
    let mut text = format!("{request} HTTP/1.1\r\nContent-Length: {length}\r\n");
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    text.push_str("\r\n");
    patiently("sending a request head", stream.write_all(text.as_bytes()))
        .await
        .expect("a request head sent");
}

fn parse_field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').expect("a colon in the header field");
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    assert!(!name.is_empty() && name.bytes().all(token), "header field name {name:?}");
    (name.to_owned(), value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_in_single_bytes_is_read_with_what_follows_it() {
        let (mut near, mut far) = tokio::io::duplex(1);
        let text = b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nrest";
        let writer = tokio::spawn(async move { near.write_all(text).await });
        let mut head = read_head(&mut far).await.expect("a head");
        far.read_to_end(&mut head.leftover).await.expect("the rest");
        writer.await.expect("no panic").expect("all written");
        assert_eq!((head.status, head.header("x"), head.leftover.as_slice()), (200, Some("y"), &b"rest"[..]));
    }

    #[test]
    #[should_panic = "end of the head"]
    fn a_head_with_bare_line_feeds_is_no_head() {
        Head::parse(b"HTTP/1.1 200 OK\n\n", b"");
    }
}
