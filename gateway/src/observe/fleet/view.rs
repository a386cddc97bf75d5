//! The fleet as others see it: the schema of `/api/clients` and of the control socket's `status`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::SystemTime;

use serde::Serialize;

use super::client::Client;
use super::client::Moment;
use super::pages::Sort;
use crate::observe::access::Traffic;
use crate::policy::limits::ClientKey;

/// Most clients of one page.
pub const MOST_OF_A_PAGE: usize = 1000;
/// Clients of one page when nothing else is asked for.
pub const USUAL_PAGE: usize = 100;

/// Whether a client is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientState {
    /// Seen of late, or not regularly before.
    Active,
    /// Seen regularly, and then no more.
    Silent,
}

impl ClientState {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Active, Self::Silent];

    /// Returns the word used in metrics and in the API: `active` or `silent`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Silent => "silent",
        }
    }
}

/// The fleet in few words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FleetSnapshot {
    /// When, RFC 3339.
    pub time: String,
    /// The bound of the table.
    pub most_clients: usize,
    /// The silent time; 0 where silence is not looked for.
    pub silent_after_seconds: u64,
    /// Clients in the table.
    pub clients: usize,
    /// Those heard of.
    pub active: usize,
    /// Those no longer heard of.
    pub silent: usize,
    /// Tunnels open now.
    pub open_tunnels: u64,
    /// Clients that were forgotten to make room for others.
    pub forgotten: u64,
    /// Requests of clients for whom there was no room.
    pub not_entered: u64,
    /// The same by role.
    pub roles: BTreeMap<String, RoleView>,
    /// Silent clients, the longest silent first, at most [`super::MOST_NAMED`].
    pub silent_clients: Vec<ClientView>,
}

/// The clients of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoleView {
    /// Those heard of.
    pub active: usize,
    /// Those no longer heard of.
    pub silent: usize,
    /// Tunnels open now.
    pub open_tunnels: u64,
    /// Bytes of the clients in the table.
    #[serde(flatten)]
    pub bytes: BytesView,
}

/// Which clients are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Of this role only.
    pub role: Option<String>,
    /// In this state only.
    pub state: Option<ClientState>,
    /// Refused of late, or not.
    pub refused: Option<bool>,
    /// With this text in its id, role, addresses, workspaces or last refusal.
    pub search: Option<String>,
    /// In this order.
    pub sort: Sort,
    /// Behind so many.
    pub offset: usize,
    /// Behind this id, in the order of ids.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            role: None,
            state: None,
            refused: None,
            search: None,
            sort: Sort::Id,
            offset: 0,
            after: None,
            limit: USUAL_PAGE,
        }
    }
}

/// One page of clients.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientPage {
    /// When, RFC 3339.
    pub time: String,
    /// Clients of this role and state in the whole table.
    pub matching: usize,
    /// What to ask for as `after` to get the next page; `null` on the last.
    pub next: Option<String>,
    /// The clients, in the order of their ids.
    pub clients: Vec<ClientView>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientView {
    /// `user:NAME` or `address:ADDRESS`; an IPv6 address stands for its /64.
    pub id: String,
    /// The user or the certificate's name, unless the client is known by its address.
    pub user: Option<String>,
    /// The role it had last.
    pub role: String,
    /// Whether it is heard of.
    pub state: ClientState,
    /// The addresses it came from, the newest first.
    pub addresses: Vec<String>,
    /// Whether there were more.
    pub more_addresses: bool,
    /// RFC 3339; a request after the gateway's start.
    pub first_seen: String,
    /// RFC 3339; a request, or bytes in a tunnel.
    pub last_seen: String,
    /// Seconds since.
    pub unseen_seconds: u64,
    /// Tunnels open now.
    pub open_tunnels: u32,
    /// Tunnels so far, the open ones included.
    pub tunnels: u64,
    /// Requests that were refused once it was known who it is.
    pub refused: u64,
    /// The reason of the last one.
    pub last_refusal: Option<&'static str>,
    /// Seconds since then.
    pub refused_seconds: Option<u64>,
    /// Bytes of all its tunnels, the open ones included.
    #[serde(flatten)]
    pub bytes: BytesView,
    /// Bytes by family of hosts; families without any are left out.
    pub families: BTreeMap<&'static str, BytesView>,
    /// Bytes by workspace id.
    pub workspaces: BTreeMap<String, BytesView>,
    /// Bytes of the workspaces beyond [`super::MOST_WORKSPACES`], summed.
    pub other_workspaces: BytesView,
}

/// Bytes carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BytesView {
    /// From the client.
    pub bytes_up: u64,
    /// To the client.
    pub bytes_down: u64,
}

impl From<Traffic> for BytesView {
    fn from(traffic: Traffic) -> Self {
        Self { bytes_up: traffic.up, bytes_down: traffic.down }
    }
}

impl BytesView {
    /// Adds more.
    pub(super) fn add(&mut self, more: Traffic) {
        self.bytes_up += more.up;
        self.bytes_down += more.down;
    }
}

/// From what moments a view is made.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) now: Moment,
    pub(super) wall: SystemTime,
    pub(super) silent_after: Option<Duration>,
}

impl Look {
    /// Returns a moment as text.
    pub(super) fn time(&self, moment: Moment) -> String {
        let at = self.wall.checked_sub(self.now.saturating_sub(moment)).unwrap_or(SystemTime::UNIX_EPOCH);
        humantime::format_rfc3339_millis(at).to_string()
    }

    /// Returns the state of a client.
    pub(super) fn state(&self, client: &Client) -> ClientState {
        match client.is_silent(self.silent_after, self.now) {
            true => ClientState::Silent,
            false => ClientState::Active,
        }
    }

    /// Shows a client.
    pub(super) fn client(&self, client: &Arc<Client>) -> ClientView {
        let detail = client.detail();
        let families = client.families().filter(|(_, bytes)| *bytes != Traffic::default());
        let workspaces = detail.workspaces.iter();
        ClientView {
            id: client.id(),
            user: match &client.key {
                ClientKey::User(user) => Some(user.to_string()),
                ClientKey::Network(_) => None,
            },
            role: detail.role.to_string(),
            state: self.state(client),
            addresses: detail.addresses.iter().map(ToString::to_string).collect(),
            more_addresses: detail.more_addresses,
            first_seen: self.time(client.first),
            last_seen: self.time(client.last()),
            unseen_seconds: self.now.saturating_sub(client.last()).as_secs(),
            open_tunnels: client.open.load(Relaxed),
            tunnels: client.tunnels.load(Relaxed),
            refused: client.refused.load(Relaxed),
            last_refusal: detail.last_refusal,
            refused_seconds: client.refused_at().map(|at| self.now.saturating_sub(at).as_secs()),
            bytes: client.bytes().into(),
            families: families.map(|(family, bytes)| (family.label(), bytes.into())).collect(),
            workspaces: workspaces.map(|(name, counts)| (name.to_string(), counts.read().into())).collect(),
            other_workspaces: detail.other_workspaces.read().into(),
        }
    }
}
