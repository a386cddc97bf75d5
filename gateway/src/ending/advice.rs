//! What an operator does about an ending. The page `docs/events.md` and `la-gateway events` show it.

use super::Ending;

impl Ending {
    /// Returns the usual cause and its mend, in the form of a Markdown table cell.
    #[rustfmt::skip]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Finished => "Both sides closed. Nothing to do.",
            Self::UploadCap => "The client sent more than the rule's `upload_caps` in one tunnel. Look at what it sends.",
            Self::Idle => "Nothing moved for `[tunnel] idle`, or for two minutes after one side closed. Nothing to do.",
            Self::ClientReset => "The client broke off, or closed with the server's last alert unread, as many do. Nothing to do.",
            Self::OriginReset => "The destination broke off. Now and then is usual.",
            Self::Revoked => "A reload took away the client's or the destination's place, and `[reload] end_tunnels` is \"denied\". Nothing to do.",
            Self::Drained => "The gateway stopped, or handed over to a successor, and the tunnel outlived `[tunnel] drain`.",
            Self::NotTls => "The client's first bytes in the tunnel are no TLS. Not an agent.",
            Self::OriginNotTls => "The destination's first bytes are no TLS. A captive portal or an inspecting firewall before it.",
            Self::OriginAlert => "The destination refused the TLS handshake; the client has its alert. Look at the client's TLS settings.",
            Self::OriginClosed => "The destination closed before it answered the hello. Often a firewall that judges server names.",
            Self::TlsVersion => "The client offers no TLS from `[tunnel] minimum_tls` on: update it.",
            Self::OriginTlsVersion => "The destination chose TLS below `[tunnel] minimum_tls`. Azure's own does not: look who answers there.",
            Self::ServerName => "The server name inside is not the host of the CONNECT, or is missing. `[tunnel] server_name` has weaker settings.",
            Self::HelloTimeout => "The client sent no TLS hello within `[tunnel] hello`.",
            Self::OriginHelloTimeout => "The destination did not answer the client's hello within `[tunnel] hello`: look at the path to it.",
        }
    }
}
