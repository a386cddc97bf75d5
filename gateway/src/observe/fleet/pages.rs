//! Pages of the table: who matches what is asked for, in which order.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use super::Client;
use super::ClientPage;
use super::Fleet;
use super::MOST_OF_A_PAGE;
use super::Query;
use super::view::Look;

/// How long a client counts as refused after its last refusal.
pub const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);

/// The order of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By id.
    #[default]
    Id,
    /// Whoever was heard of last, first.
    Newest,
    /// Whoever was not heard of for the longest time, first.
    Oldest,
    /// The most bytes first.
    Bytes,
    /// The most open tunnels first.
    Tunnels,
    /// The most refusals first.
    Refused,
}

impl Sort {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Id, Self::Newest, Self::Oldest, Self::Bytes, Self::Tunnels, Self::Refused];

    /// Returns the word used in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Bytes => "bytes",
            Self::Tunnels => "tunnels",
            Self::Refused => "refused",
        }
    }

    /// Returns a number that is the higher, the later a client stands.
    fn rank(self, client: &Client) -> Reverse<u128> {
        let last = client.last().as_millis();
        Reverse(match self {
            Self::Id => 0,
            Self::Newest => last,
            Self::Oldest => u128::MAX - last,
            Self::Bytes => {
                let bytes = client.bytes();
                u128::from(bytes.up) + u128::from(bytes.down)
            }
            Self::Tunnels => client.open.load(Relaxed).into(),
            Self::Refused => client.refused.load(Relaxed).into(),
        })
    }
}

/// The fleet in five numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FleetCounts {
    /// Clients in the table.
    pub known: usize,
    /// The bound of the table.
    pub most: usize,
    /// Those with a tunnel open now.
    pub talking: usize,
    /// Those heard of, with or without one.
    pub active: usize,
    /// Those no longer heard of.
    pub silent: usize,
    /// Those refused within the last hour.
    pub refused: usize,
}

impl Fleet {
    /// Returns a page of the clients that are asked for.
    pub fn clients(&self, query: &Query, now: Instant) -> ClientPage {
        let look = self.look(self.moment(now));
        let mut matching = self.table().all();
        let search = query.search.as_deref().map(str::to_lowercase);
        matching.retain(|client| {
            query.role.as_ref().is_none_or(|role| **role == *client.detail().role)
                && query.state.is_none_or(|state| state == look.state(client))
                && query.refused.is_none_or(|wanted| wanted == is_refused(&look, client))
                && search.as_ref().is_none_or(|text| holds(client, text))
        });
        let mut found: Vec<_> =
            matching.iter().map(|client| (query.sort.rank(client), client.id(), client)).collect();
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        if let Some(after) = &query.after {
            found.retain(|(_, id, _)| id > after);
        }
        let limit = query.limit.clamp(1, MOST_OF_A_PAGE);
        let rest = found.len().saturating_sub(query.offset) > limit;
        let shown = found.into_iter().skip(query.offset).take(limit);
        let shown: Vec<_> = shown.map(|(.., client)| look.client(client)).collect();
        let next = shown.last().filter(|_| rest && query.sort == Sort::Id);
        ClientPage {
            time: look.time(look.now),
            matching: matching.len(),
            next: next.map(|client| client.id.clone()),
            clients: shown,
        }
    }

    /// Counts the clients.
    pub fn counts(&self, now: Instant) -> FleetCounts {
        let look = self.look(self.moment(now));
        let all = self.table().all();
        let count = |is: &dyn Fn(&Client) -> bool| all.iter().filter(|client| is(client)).count();
        let silent = count(&|client| client.is_silent(look.silent_after, look.now));
        FleetCounts {
            known: all.len(),
            most: self.settings.load().clients,
            talking: count(&|client| client.open.load(Relaxed) > 0),
            active: all.len() - silent,
            silent,
            refused: count(&|client| is_refused(&look, client)),
        }
    }
}

fn is_refused(look: &Look, client: &Client) -> bool {
    client.refused_at().is_some_and(|at| look.now.saturating_sub(at) <= REFUSED_FOR)
}

/// Says whether a text, in lower case, stands in what tells a client from others.
fn holds(client: &Arc<Client>, text: &str) -> bool {
    let detail = client.detail();
    client.id().to_lowercase().contains(text)
        || detail.role.to_lowercase().contains(text)
        || detail.addresses.iter().any(|address| address.to_string().contains(text))
        || detail.workspaces.iter().any(|(name, _)| name.contains(text))
        || detail.last_refusal.is_some_and(|reason| reason.contains(text))
}
