//! How a carried tunnel ended: the second half of the operator's table.
//!
//! After the 200 there is no status to send; closing is the only answer. [`Ending::row`] says what each
//! ending means in records and metrics.

mod advice;

use crate::events;
use crate::events::EventId;
use crate::refusal::Fault;
use crate::refusal::Level;

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Both sides closed.
    Finished,
    /// The client sent more than its rule allows in one tunnel.
    UploadCap,
    /// Nothing moved in either direction for the idle time.
    Idle,
    /// The client reset the connection, or could no longer be written to. Many clients end so: they
    /// close with the origin's last TLS alert unread.
    ClientReset,
    /// The origin reset the connection, or could no longer be written to.
    OriginReset,
    /// The gateway drained and the tunnel outlived the drain time.
    Drained,
    /// The client's first bytes are no TLS handshake.
    NotTls,
    /// The origin's first bytes are no TLS handshake.
    OriginNotTls,
    /// The origin answered the client's TLS hello with an alert; the client has it.
    OriginAlert,
    /// The origin closed before it answered the client's TLS hello.
    OriginClosed,
    /// The client offers no TLS version from the minimum on.
    TlsVersion,
    /// The origin chose a TLS version below the minimum.
    OriginTlsVersion,
    /// The server name inside is not the host of the CONNECT.
    ServerName,
    /// The client did not send its hello in time.
    HelloTimeout,
    /// The origin did not answer the hello in time.
    OriginHelloTimeout,
    /// A reload ended it: its client or its destination is not allowed any more.
    Revoked,
}

/// What one [`Ending`] means to everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndingRow {
    /// Value of `reason` in metrics and records.
    pub reason: &'static str,
    /// Event id of the record; `None` where it depends on whether TLS was seen.
    pub event: Option<EventId>,
    /// Level of the record.
    pub level: Level,
    /// Who can mend it; `None` where nothing is wrong.
    pub fault: Option<Fault>,
}

impl Ending {
    /// Every ending, so that metrics exist before their first event.
    pub const ALL: [Self; 16] = [
        Self::Finished,
        Self::UploadCap,
        Self::Idle,
        Self::ClientReset,
        Self::OriginReset,
        Self::Drained,
        Self::NotTls,
        Self::OriginNotTls,
        Self::OriginAlert,
        Self::OriginClosed,
        Self::TlsVersion,
        Self::OriginTlsVersion,
        Self::ServerName,
        Self::HelloTimeout,
        Self::OriginHelloTimeout,
        Self::Revoked,
    ];

    /// Returns this ending's row of the table.
    #[rustfmt::skip]
    pub fn row(self) -> EndingRow {
        use Fault::{Client, Gateway, Network, Policy};
        use Level::{Info, Warn};
        let (reason, event, level, fault) = match self {
            Self::Finished     => ("finished", None, Info, None),
            Self::UploadCap    => ("upload_cap", Some(events::TUNNEL_CUT), Warn, Some(Policy)),
            Self::Idle         => ("idle", Some(events::TUNNEL_CUT), Info, None),
            Self::ClientReset  => ("client_reset", None, Info, None),
            Self::OriginReset  => ("origin_reset", None, Info, Some(Network)),
            Self::Drained      => ("drained", Some(events::TUNNEL_CUT), Warn, Some(Gateway)),
            Self::NotTls       => ("not_tls", Some(events::NOT_TLS), Warn, Some(Client)),
            Self::OriginNotTls => ("origin_not_tls", Some(events::NOT_TLS), Warn, Some(Network)),
            Self::OriginAlert  => ("origin_alert", Some(events::NETWORK), Info, Some(Network)),
            Self::OriginClosed => ("origin_closed", Some(events::NETWORK), Warn, Some(Network)),
            Self::TlsVersion   => ("tls_version", Some(events::TLS_REJECTED), Warn, Some(Client)),
            Self::OriginTlsVersion => ("origin_tls_version", Some(events::TLS_REJECTED), Warn, Some(Network)),
            Self::ServerName   => ("server_name", Some(events::TLS_REJECTED), Warn, Some(Client)),
            Self::HelloTimeout => ("hello_timeout", Some(events::NOT_TLS), Warn, Some(Client)),
            Self::OriginHelloTimeout => ("origin_hello_timeout", Some(events::NETWORK), Warn, Some(Network)),
            Self::Revoked      => ("revoked", Some(events::TUNNEL_CUT), Info, Some(Policy)),
        };
        EndingRow { reason, event, level, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_ending_has_a_label_of_its_own() {
        let labels: BTreeSet<_> = Ending::ALL.iter().map(|ending| ending.row().reason).collect();
        assert_eq!(labels.len(), Ending::ALL.len());
    }
}
