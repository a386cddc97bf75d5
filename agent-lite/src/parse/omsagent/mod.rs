//! The set-up of the legacy Log Analytics agent for Linux, as its files have it.
//!
//! ```text
//! <ws>/conf/omsadmin.conf      KEY=value                          properties
//! <ws>/conf/omsagent.d/*.conf  <source> … </source>               fluent, read by sources
//! rsyslog.d/95-omsagent.conf   facility.severity @127.0.0.1:25224 selectors
//! syslog-ng.conf               filter … level(…) facility(…)      selectors
//! ```
//!
//! Whatever is not understood is an [`Unread`] with its place and reason; the rest goes on.

pub mod fluent;
pub mod patterns;
pub mod properties;
pub mod selectors;
pub mod sources;
#[cfg(test)]
mod tests;

/// Something that is not carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The line, from 1 on.
    pub line: usize,
    /// What stands there, without values that may be secret.
    pub what: String,
    /// Why it is not carried over, and what to do instead.
    pub why: String,
}

impl Unread {
    fn new(line: usize, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { line, what: shown(&what.into()), why: why.into() }
    }
}

/// Most characters of a foreign text that are shown.
const LONGEST_SHOWN: usize = 120;

/// Returns a foreign text as it may be shown: one line, not too long.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_SHOWN).collect()
}
