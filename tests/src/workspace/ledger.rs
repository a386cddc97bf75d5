//! What the services saw: every request, everything that was wrong with one, and who came too early.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::SystemTime;

use hyper::HeaderMap;

use super::place::Place;

/// One request as the services saw it.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// Its number, from 0 on.
    pub number: u64,
    /// The TCP connection it came by, from 0 on.
    pub connection: u64,
    /// Whose it is, as far as host and path tell.
    pub workspace: Option<String>,
    /// The name in the ClientHello.
    pub host: String,
    /// What it asks for.
    pub place: Place,
    /// Method, path and query.
    pub line: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// The agent whose certificate the client showed.
    pub agent: Option<String>,
    /// When its head arrived.
    pub arrived: SystemTime,
    /// Bytes of the body on the wire.
    pub body_bytes: u64,
    /// Bytes of the body before `Content-Encoding`.
    pub content_bytes: u64,
    /// Rows that were taken with it.
    pub rows: u64,
    /// Whether a `Retry-After` had not yet run out.
    pub early: bool,
    /// The status it was answered with; none: there was no answer.
    pub status: Option<u16>,
}

impl SeenRequest {
    /// Returns a header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Something a faithful client does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The request's number.
    pub request: u64,
    /// Whose it was.
    pub workspace: Option<String>,
    /// What it asked for.
    pub place: Place,
    /// What was wrong.
    pub text: String,
}

/// A text that was longer than the service takes and lost its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutField {
    /// Whose it was.
    pub workspace: String,
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Bytes before the cut.
    pub bytes: usize,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) requests: Vec<SeenRequest>,
    pub(super) problems: Vec<Problem>,
    pub(super) cuts: Vec<CutField>,
    request_ids: HashSet<String>,
    waits: HashMap<(Option<String>, Place), SystemTime>,
}

impl Ledger {
    /// Writes a request down that has just begun, and returns its number.
    pub(super) fn begin(&mut self, mut request: SeenRequest) -> u64 {
        let key = (request.workspace.clone(), request.place);
        request.early = self.waits.get(&key).is_some_and(|until| request.arrived < *until);
        request.number = self.requests.len() as u64;
        self.requests.push(request);
        self.requests.len() as u64 - 1
    }

    pub(super) fn of(&mut self, number: u64) -> &mut SeenRequest {
        &mut self.requests[number as usize]
    }

    /// Notes something a faithful client does not do.
    pub(super) fn problem(&mut self, number: u64, text: impl Into<String>) {
        let request = &self.requests[number as usize];
        let (workspace, place) = (request.workspace.clone(), request.place);
        self.problems.push(Problem { request: number, workspace, place, text: text.into() });
    }

    /// Notes a request ID, and returns whether it is new.
    pub(super) fn new_request_id(&mut self, id: &str) -> bool {
        self.request_ids.insert(id.to_ascii_lowercase())
    }

    /// Nobody may come again to where this request went before the wait is over.
    pub(super) fn wait(&mut self, number: u64, until: SystemTime) {
        let request = &self.requests[number as usize];
        self.waits.insert((request.workspace.clone(), request.place), until);
    }

    pub(super) fn early(&self, workspace: &str) -> u64 {
        let early = |request: &&SeenRequest| request.early && request.workspace.as_deref() == Some(workspace);
        self.requests.iter().filter(early).count() as u64
    }
}

/// How long to wait, in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In seconds.
    Seconds(u64),
    /// As a date so many seconds from now, by the service's clock.
    Date(u64),
}

impl RetryAfter {
    /// Returns the header's value, and when the wait is over by this machine's clock.
    pub(super) fn at(self, real: SystemTime, service: SystemTime) -> (String, SystemTime) {
        match self {
            Self::Seconds(seconds) => (seconds.to_string(), real + Duration::from_secs(seconds)),
            Self::Date(seconds) => {
                let date = service + Duration::from_secs(seconds);
                let text = httpdate::fmt_http_date(date);
                // The text has whole seconds only.
                (text, real + Duration::from_secs(seconds.saturating_sub(1)))
            }
        }
    }
}
