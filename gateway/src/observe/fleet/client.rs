//! One client of the fleet, and a tunnel of it that is being counted.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use common::host_port::HostName;

use crate::observe::access::Traffic;
use crate::policy::fleet;
use crate::policy::fleet::Family;
use crate::policy::limits::ClientKey;

/// Most addresses of one client that are remembered, the newest first.
pub const MOST_ADDRESSES: usize = 8;
/// Most workspaces of one client that are told apart; the rest is summed.
pub const MOST_WORKSPACES: usize = 16;
/// Sweeps that must have seen a client before it counts as one that is seen regularly.
pub const REGULAR: u32 = 6;

/// A moment, as time since the fleet began.
pub(super) type Moment = Duration;

/// Bytes, counted while they move.
#[derive(Debug, Default)]
pub(super) struct Counts {
    up: AtomicU64,
    down: AtomicU64,
}

impl Counts {
    fn add(&self, more: Traffic) {
        self.up.fetch_add(more.up, Relaxed);
        self.down.fetch_add(more.down, Relaxed);
    }

    /// Returns the sum so far.
    pub(super) fn read(&self) -> Traffic {
        Traffic { up: self.up.load(Relaxed), down: self.down.load(Relaxed) }
    }
}

/// What is remembered of a client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) key: ClientKey,
    pub(super) first: Moment,
    last: AtomicU64,
    /// Sweeps that found it seen since the sweep before.
    looks: AtomicU32,
    looked: AtomicU64,
    /// As the last sweep found it.
    pub(super) silent: AtomicBool,
    /// Requests and tunnels that hold it.
    in_use: AtomicU32,
    pub(super) open: AtomicU32,
    pub(super) tunnels: AtomicU64,
    pub(super) refused: AtomicU64,
    /// In milliseconds; 0 is never.
    refused_at: AtomicU64,
    families: [Counts; Family::ALL.len()],
    detail: Mutex<Detail>,
}

/// What of a client changes together.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) role: Arc<str>,
    /// The newest first.
    pub(super) addresses: VecDeque<IpAddr>,
    /// Whether there were more than are remembered.
    pub(super) more_addresses: bool,
    pub(super) last_refusal: Option<&'static str>,
    pub(super) workspaces: Vec<(Box<str>, Arc<Counts>)>,
    pub(super) other_workspaces: Arc<Counts>,
}

impl Client {
    /// Begins a client that is seen for the first time.
    pub(super) fn new(key: ClientKey, role: Arc<str>, now: Moment) -> Self {
        let detail = Detail {
            role,
            addresses: VecDeque::new(),
            more_addresses: false,
            last_refusal: None,
            workspaces: Vec::new(),
            other_workspaces: Arc::default(),
        };
        Self {
            key,
            first: now,
            last: AtomicU64::new(milliseconds(now)),
            looks: AtomicU32::new(0),
            looked: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            in_use: AtomicU32::new(0),
            open: AtomicU32::new(0),
            tunnels: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_at: AtomicU64::new(0),
            families: Default::default(),
            detail: Mutex::new(detail),
        }
    }

    /// Says whether a request or a tunnel holds it.
    pub(super) fn is_busy(&self) -> bool {
        self.in_use.load(Relaxed) > 0
    }

    /// Takes note of a request.
    pub(super) fn seen(&self, role: &Arc<str>, from: IpAddr, now: Moment) {
        self.touch(now);
        let mut detail = self.detail();
        if detail.role != *role {
            detail.role = Arc::clone(role);
        }
        if detail.addresses.front() == Some(&from) {
            return;
        }
        detail.addresses.retain(|address| *address != from);
        detail.addresses.push_front(from);
        if detail.addresses.len() > MOST_ADDRESSES {
            detail.addresses.pop_back();
            detail.more_addresses = true;
        }
    }

    /// Takes note of a sign of life.
    pub(super) fn touch(&self, now: Moment) {
        self.last.fetch_max(milliseconds(now), Relaxed);
    }

    /// Takes note of a refusal.
    pub(super) fn refused(&self, reason: &'static str, now: Moment) {
        self.refused.fetch_add(1, Relaxed);
        self.refused_at.fetch_max(milliseconds(now).max(1), Relaxed);
        self.detail().last_refusal = Some(reason);
    }

    /// Returns when it was refused last.
    pub(super) fn refused_at(&self) -> Option<Moment> {
        let at = self.refused_at.load(Relaxed);
        (at > 0).then(|| Duration::from_millis(at))
    }

    /// Returns when it was seen last.
    pub(super) fn last(&self) -> Moment {
        Duration::from_millis(self.last.load(Relaxed))
    }

    /// Counts this sweep if the client was seen since the one before.
    pub(super) fn look(&self) {
        let last = self.last.load(Relaxed);
        if self.looked.swap(last, Relaxed) != last || self.looks.load(Relaxed) == 0 {
            self.looks.fetch_add(1, Relaxed);
        }
    }

    /// Says whether it was seen in several sweeps, over at least this time.
    pub(super) fn is_regular(&self, over: Duration) -> bool {
        self.looks.load(Relaxed) >= REGULAR && self.last().saturating_sub(self.first) >= over
    }

    /// Says whether it was seen regularly, and was not seen for longer than this.
    pub(super) fn is_silent(&self, after: Option<Duration>, now: Moment) -> bool {
        after.is_some_and(|after| self.is_regular(after) && now.saturating_sub(self.last()) > after)
    }

    /// Returns the bytes of each family.
    pub(super) fn families(&self) -> impl Iterator<Item = (Family, Traffic)> {
        Family::ALL.into_iter().zip(&self.families).map(|(family, counts)| (family, counts.read()))
    }

    /// Returns the bytes of all families.
    pub(super) fn bytes(&self) -> Traffic {
        self.families().fold(Traffic::default(), |sum, (_, more)| Traffic {
            up: sum.up + more.up,
            down: sum.down + more.down,
        })
    }

    /// Returns what changes together.
    pub(super) fn detail(&self) -> MutexGuard<'_, Detail> {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what identifies it: `user:NAME` or `address:ADDRESS`.
    pub(super) fn id(&self) -> String {
        match &self.key {
            ClientKey::User(user) => format!("user:{user}"),
            ClientKey::Network(network) => format!("address:{network}"),
        }
    }
}

/// A client that a request or a tunnel holds. Only looking at one does not hold it: a look must keep nobody
/// in the table.
#[derive(Debug)]
pub(super) struct Held(Arc<Client>);

impl Held {
    /// Holds a client. The first hold is taken while the table is locked, so that nobody forgets it meanwhile.
    pub(super) fn new(client: &Arc<Client>) -> Self {
        client.in_use.fetch_add(1, Relaxed);
        Self(Arc::clone(client))
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Deref for Held {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Relaxed);
    }
}

/// A tunnel's part in its client's numbers.
#[derive(Debug)]
pub(super) struct Share {
    client: Held,
    family: Family,
    workspace: Option<Arc<Counts>>,
}

impl Share {
    /// Begins a tunnel of a client.
    pub(super) fn begin(client: Held, host: &HostName) -> Self {
        client.open.fetch_add(1, Relaxed);
        client.tunnels.fetch_add(1, Relaxed);
        let workspace = fleet::workspace(host).map(|name| of_workspace(&mut client.detail(), name));
        Self { family: Family::of(host), workspace, client }
    }

    /// Adds bytes that were carried.
    pub(super) fn add(&self, more: Traffic, now: Moment) {
        self.client.touch(now);
        let index = Family::ALL.iter().position(|family| *family == self.family);
        if let Some(counts) = index.and_then(|index| self.client.families.get(index)) {
            counts.add(more);
        }
        if let Some(counts) = &self.workspace {
            counts.add(more);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.client.open.fetch_sub(1, Relaxed);
    }
}

fn of_workspace(detail: &mut Detail, name: &str) -> Arc<Counts> {
    if let Some((_, counts)) = detail.workspaces.iter().find(|(known, _)| **known == *name) {
        return Arc::clone(counts);
    }
    if detail.workspaces.len() >= MOST_WORKSPACES {
        return Arc::clone(&detail.other_workspaces);
    }
    let counts = Arc::default();
    detail.workspaces.push((name.into(), Arc::clone(&counts)));
    counts
}

fn milliseconds(moment: Moment) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
}
