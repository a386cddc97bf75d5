//! What is said on the control socket: one line of JSON each way, both with the version of this language.
//!
//! ```text
//! {"version":1,"order":"status"}          {"version":1,"answer":{...}}  or  {"version":1,"error":"..."}
//! ```

use std::io;

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;

/// The version of this language. A program that speaks another one is told so.
pub const VERSION: u64 = 1;
/// Most bytes of a request.
pub const LONGEST_REQUEST: usize = 4 * 1024;
/// Most bytes of an answer.
pub const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// How the gateway is.
    Status,
    /// Read the configuration anew.
    Reload,
    /// Take no new work, and end.
    Drain,
    /// Give the listening sockets to a successor.
    HandOver,
}

impl Word {
    const ALL: [Self; 4] = [Self::Status, Self::Reload, Self::Drain, Self::HandOver];

    /// Returns the word as it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Reload => "reload",
            Self::Drain => "drain",
            Self::HandOver => "hand-over",
        }
    }

    /// Returns the request's line.
    pub fn line(self) -> String {
        format!("{}\n", json!({ "version": VERSION, "order": self.text() }))
    }

    /// Reads a request's line.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|_| format!("not a request; write one line like {}", Self::Status.line().trim_end()))?;
        if value.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(format!(
                "this gateway ({}) speaks version {VERSION} of the control language; use its own program",
                env!("CARGO_PKG_VERSION")
            ));
        }
        let order = value.get("order").and_then(Value::as_str).unwrap_or_default();
        Self::ALL.into_iter().find(|word| word.text() == order).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|word| word.text()).collect();
            format!("there is no such order; `order` is one of {}", all.join(", "))
        })
    }
}

/// Returns the line of an answer.
pub fn answer(answer: &Result<Value, String>) -> String {
    let line = match answer {
        Ok(value) => json!({ "version": VERSION, "answer": value }),
        Err(error) => json!({ "version": VERSION, "error": error }),
    };
    format!("{line}\n")
}

/// Reads the line of an answer.
pub fn read_answer(line: &[u8]) -> Result<Value, String> {
    let mut value: Value =
        serde_json::from_slice(line).map_err(|_| "the answer is not one line of JSON".to_owned())?;
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        return Err(error.to_owned());
    }
    match value.get_mut("answer") {
        Some(answer) => Ok(answer.take()),
        None => Err("the answer has neither `answer` nor `error`; is it another version?".to_owned()),
    }
}

/// Reads one line, without its end, of at most so many bytes.
pub async fn read_line(from: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).await? == 1 {
        match byte {
            [b'\n'] => return Ok(line),
            _ if line.len() == most => {
                let text = format!("a request has at most {most} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            [other] => line.push(other),
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the line has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_read_as_it_is_written() {
        for word in Word::ALL {
            assert_eq!(Word::read(word.line().trim_end().as_bytes()), Ok(word));
        }
    }

    #[test]
    fn what_is_no_order_is_refused_with_what_to_write() {
        let cases = [
            (&b"GET / HTTP/1.1"[..], "\"order\":\"status\""),
            (b"\xff\xfe", "one line like"),
            (b"{}", "speaks version 1"),
            (b"{\"version\":2,\"order\":\"status\"}", "speaks version 1"),
            (b"{\"version\":1,\"order\":\"explode\"}", "status, reload, drain, hand-over"),
            (b"{\"version\":1,\"order\":7}", "status, reload, drain, hand-over"),
        ];
        for (line, says) in cases {
            let error = Word::read(line).expect_err("no order");
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn an_answer_is_read_as_it_is_written() {
        for one in [Ok(json!({ "tunnels": 3 })), Err("no".to_owned())] {
            assert_eq!(read_answer(answer(&one).trim_end().as_bytes()), one);
        }
        assert!(read_answer(b"[]").is_err() && read_answer(b"{}").is_err());
    }

    #[tokio::test]
    async fn a_line_is_read_up_to_its_bound_and_no_further() {
        let mut two = &b"one\ntwo\n"[..];
        assert_eq!(read_line(&mut two, 3).await.expect("a line"), b"one");
        assert_eq!(two, b"two\n");
        assert_eq!(
            read_line(&mut &b"four\n"[..], 3).await.map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidData)
        );
        assert!(read_line(&mut &b"no end"[..], 30).await.is_err());
    }
}
