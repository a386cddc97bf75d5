//! What an operator does about a refusal. The page `docs/events.md` and `la-gateway events` show it.

use super::Refusal;

impl Refusal {
    /// Returns the usual cause and its mend, in the form of a Markdown table cell.
    #[rustfmt::skip]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) => "The head is no HTTP/1.1, has no Host or two, or two sets of credentials. A scanner, or a client that is no HTTP proxy client.",
            Self::MalformedTarget(_) => "The target is not `host:port`. Often a trailing dot, an underscore or a URL in the agent's setting.",
            Self::HostMismatch => "The Host field names something else than the target. Something between agent and gateway rewrites requests.",
            Self::UnexpectedBody => "The CONNECT announces a body. Not an agent.",
            Self::NotHttp(_) => "TLS on a port without `tls`, plain HTTP on a port without `plain`, or another protocol. Compare `http://` or `https://` in the agent's proxy setting with `[[listener]]`.",
            Self::ProxyHeader(_) => "`proxy_protocol` is set, and the header is missing, wrong, or not from a network in `trusted`.",
            Self::TlsHandshake(_) => "The TLS handshake with the gateway failed; the text says how. With `UnknownCA` or `BadCertificate` the client does not trust the gateway's certificate. A client that misses its own name for the gateway in the certificate may close just after the handshake, and then there is no record.",
            Self::NotConnect => "A page or plain `http://` was asked for. Set the gateway as the proxy for HTTPS only.",
            Self::HeadTimeout => "The head did not arrive within `[limits] head_timeout`: a port check that stays open, or a very slow link.",
            Self::HeadTooLarge => "More than 16 KiB or 64 fields before the empty line. Not an agent.",
            Self::VersionUnsupported => "HTTP/2 or another version. Set the client to HTTP/1.1 for its proxy.",
            Self::CredentialsMissing => "No password was sent, and the client's network belongs to no role. Usual once for clients that ask first (Java, `curl --proxy-anyauth`). Else give the agent a user, or put its network in `anonymous_from`.",
            Self::CredentialsRejected => "Unknown user or wrong password. Check special characters in the agent's setting. `la-gateway users list` and `users add`. A changed users file is in force within seconds (`[reload] watch`), or after `la-gateway reload`.",
            Self::FailedLogins { .. } => "Too many wrong passwords from this address. Find the agent with the old password; `client` names it. It passes within seconds once that stops.",
            Self::PasswordWorkBusy => "More than 2048 password checks wait, or 256 from networks that sent wrong ones, or one waited for 10 s. After a restart of many agents it passes. Else somebody guesses passwords.",
            Self::ClientNetworkDenied => "No role has users, and none has the client's network in `anonymous_from`.",
            Self::AddressLiteral => "The client asked for an IP address. Only names can be allowed.",
            Self::PortDenied => "Another port than 443. There is no setting for it.",
            Self::HostDenied => "No rule of the role matches. Add the bundle the agent needs, or the host to `hosts`.",
            Self::WorkspaceDenied => "The workspace is not in `workspaces`. Add it, or the agent reports to the wrong one.",
            Self::StorageAccountDenied => "The storage account is not in `storage_accounts`. Add it if it is yours.",
            Self::RateLimited { .. } => "One client, or one address, asks too fast. Agents wait and come again. For many agents behind one address raise `requests_per_second_per_address` and `connects_per_second`.",
            Self::ClientTunnels => "One client holds `tunnels_per_client`. An agent that leaks connections, or many agents with one user.",
            Self::RoleTunnels => "The role holds its `tunnels`.",
            Self::AddressConnections => "One address holds `connections_per_address`.",
            Self::GatewayTunnels => "The gateway holds `[limits] tunnels`. Raise it, or add a gateway.",
            Self::SetupBusy { .. } => "More tunnels are being set up than `[limits] setups`, and `setups_waiting` wait, or one waited for `setup_wait`. Right after an outage it passes: agents come again. Otherwise connections to the destinations are slow: look at `connect_timeout` and `la_gateway_setups_in_progress`.",
            Self::Draining => "The gateway is cutting its tunnels and ends. Agents come again.",
            Self::NameNotFound => "The name does not exist for the gateway's name servers. Ask them for it on the gateway's machine.",
            Self::NameFailed => "The name servers answered with an error. Check `[dns] servers` and the firewall, UDP and TCP 53.",
            Self::NameTimeout => "The name servers did not answer within `[dns] timeout`.",
            Self::AddressForbidden { .. } => "The name leads to a private or special address; the record names it. For private link add the range to `[addresses] allow`. If it is not yours, somebody tampers with DNS.",
            Self::SelfConnection { .. } => "The name leads to the gateway's own listener.",
            Self::ConnectRefused => "The destination, or a firewall before it, refused the connection.",
            Self::ConnectUnreachable => "No route to the destination.",
            Self::ConnectTimeout => "No answer within `[tunnel] connect`. Most often a firewall that drops: allow TCP 443 out.",
            Self::Loop => "The request carries this gateway's own name in `Via`: some proxy leads back here.",
            Self::RelayDenied => "The relay answered 4xx: its own rules refuse the destination. Ask whoever runs it.",
            Self::RelayCredentials => "The relay answered 407, or 401 as tinyproxy does. Check user and password in `[relay] proxies`, percent-encoded.",
            Self::RelayFailed => "The relay closed, answered 5xx or nonsense, or its TLS failed. The record with id 119 says which.",
            Self::RelayUnreachable => "No relay accepts a connection, or its name is not found. Check the firewall and its port.",
            Self::RelayTimeout => "No relay answered within `[tunnel] connect`.",
            Self::Internal => "The gateway's fault, for example no file descriptors left. Raise the open files limit; else report it.",
        }
    }
}
