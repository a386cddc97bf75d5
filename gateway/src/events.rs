//! Event ids: one number for each thing an operator acts on or searches for.
//!
//! 100 to 107, 300 and 400 to 403 keep the meaning they have in Microsoft's Log Analytics gateway
//! ("Troubleshooting" in its documentation), so existing searches and alerts go on working.
//! Where one of those covered several causes (105), the `reason` field tells them apart.
//! Ids of our own start at 110.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// An event id as it stands in the `event_id` field of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u16);

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: EventId = EventId($id);)+

        /// Every event with its meaning, for the reference page and its test.
        pub const ALL: &[(EventId, &str)] = &[$(($name, concat!($($doc),+))),+];
    };
}

events! {
    /// Information without an id of its own.
    INFORMATION = 100;
    /// The gateway has started: its listeners are bound.
    STARTED = 101;
    /// The gateway has stopped.
    STOPPED = 102;
    /// A CONNECT was carried; nothing in it was recognised as TLS before it ended.
    CONNECT = 103;
    /// A request that is not CONNECT was refused.
    NOT_CONNECT = 104;
    /// The destination is not allowed: host, port, workspace, storage account or IP literal.
    DESTINATION_DENIED = 105;
    /// The TLS session inside a tunnel was rejected: version too old, or another server name.
    TLS_REJECTED = 106;
    /// A CONNECT was carried and the TLS session inside it met the policy.
    TLS_VERIFIED = 107;
    /// A client gave no credentials, or wrong ones.
    CREDENTIALS = 110;
    /// A limit was reached: rate, tunnels or password checks.
    LIMIT = 111;
    /// A client's network has no role.
    CLIENT_NETWORK_DENIED = 112;
    /// A name resolved to an address that may not be dialled.
    ADDRESS_FORBIDDEN = 113;
    /// Bytes that are no request this server understands.
    PROTOCOL = 114;
    /// The gateway is draining: it takes no new work and waits for open tunnels.
    DRAINING = 115;
    /// A name could not be resolved.
    NAME_FAILED = 116;
    /// A tunnel was cut by the gateway: idle, drained, over its upload cap, or revoked by a reload.
    TUNNEL_CUT = 117;
    /// The effective policy in one line, at the start and after each reload that changed it.
    POLICY = 118;
    /// A relay failed, refused, or leads back to this gateway.
    RELAY = 119;
    /// The process sandbox: in force, or not to be had.
    SANDBOX = 120;
    /// A TLS certificate was taken anew, or its new files were not right.
    CERTIFICATE = 121;
    /// A reload put another configuration in force, or found it right again.
    RELOADED = 130;
    /// A reload was refused: the configuration is wrong, and the one before stays in force.
    RELOAD_REFUSED = 131;
    /// A part of the configuration waits for a hand-over (SIGUSR2) or a restart.
    RELOAD_WAITS = 132;
    /// Somebody asked for a change through the control socket, or was refused there.
    CONTROL = 135;
    /// The listening sockets pass from one gateway to its successor, or come from systemd; or a hand-over failed.
    HAND_OVER = 136;
    /// A role is in report mode: what it may not do is let through and reported.
    REPORT_MODE = 140;
    /// A CONNECT was carried in report mode that enforcing would refuse; `would_refuse` has the reason.
    WOULD_REFUSE = 141;
    /// A canary fails: what it stands for cannot be reached from here.
    CANARY_FAILED = 145;
    /// A canary answers again.
    CANARY_ANSWERS = 146;
    /// Readiness has changed: `/readyz` turned red, or green again.
    READINESS = 147;
    /// More tunnels want to be set up at once than may wait for it.
    SURGE = 148;
    /// Records were not written, for they were like earlier ones or nobody took them; their number.
    REPEATS = 150;
    /// Clients that were seen regularly are silent.
    CLIENT_SILENT = 151;
    /// Clients that were silent are back.
    CLIENT_BACK = 152;
    /// Nothing can be reached until an operator acts; accepting is paused or a part is missing.
    DEGRADED = 300;
    /// An error of the gateway itself.
    INTERNAL = 400;
    /// The configuration is wrong.
    CONFIGURATION = 401;
    /// The first bytes in a tunnel are no TLS handshake.
    NOT_TLS = 402;
    /// A network error: the destination cannot be reached.
    NETWORK = 403;
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Form, place and level of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What a record looks like, and where it goes.
    pub format: LogFormat,
    /// The least level that is written.
    pub level: LogLevel,
    /// Where the journal takes entries.
    pub journal_socket: PathBuf,
}

/// Form of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// The journal where standard output or standard error leads to it, else text.
    Auto,
    /// One line of text.
    Text,
    /// One JSON object.
    Json,
    /// One entry of the journal, with fields of its own.
    Journald,
}

/// The least level of records that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Warnings and errors.
    Warn,
    /// Every record.
    Info,
    /// Every record, and details of the libraries.
    Debug,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_distinct_and_ascending() {
        assert!(ALL.is_sorted_by(|a, b| a.0 < b.0));
    }
}
