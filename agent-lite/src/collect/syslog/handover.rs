//! What a source leaves to the one that follows it at the same address when the configuration is read anew: its
//! listener, its connections as they are, and records that no queue has taken yet. So nobody's connection ends.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use super::bind::Stacks;
use crate::config::settings::SyslogSettings;
use crate::parse::framing::Framer;
use crate::record::Frames;

/// Where sources leave what they have, and find it. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct Handover(Arc<Mutex<Office>>);

/// What a TCP listener is known by.
pub(super) type Place = (SocketAddr, Stacks);

#[derive(Debug, Default)]
struct Office {
    /// Where the next configuration listens, too.
    expected: Vec<Place>,
    left: Vec<(Place, Left)>,
}

/// What was left at one place.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) listener: Option<TcpListener>,
    pub(super) connections: Vec<Live>,
    pub(super) records: Vec<Frames>,
}

/// A connection on its way from one source to another.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) framer: Framer,
}

impl Handover {
    /// Says which sources there will be: what ends until this is said again is left to them. What waits for others goes.
    pub fn expect<'a>(&self, next: impl Iterator<Item = &'a SyslogSettings>) {
        let places = |settings: &'a SyslogSettings| {
            settings.tcp.iter().map(|address| (*address, Stacks::of(*address, &settings.tcp)))
        };
        let expected: Vec<Place> = next.flat_map(places).collect();
        let mut office = self.office();
        office.left.retain(|(place, _)| expected.contains(place));
        office.expected = expected;
    }

    /// Returns whether somebody follows at this place.
    pub(super) fn is_expected(&self, place: Place) -> bool {
        self.office().expected.contains(&place)
    }

    /// Leaves something; nothing stays where nobody follows.
    pub(super) fn leave(&self, place: Place, leave: impl FnOnce(&mut Left)) {
        let mut office = self.office();
        if !office.expected.contains(&place) {
            return;
        }
        let mut left = office.take(place);
        leave(&mut left);
        office.left.push((place, left));
    }

    /// Takes what was left.
    pub(super) fn take(&self, place: Place) -> Left {
        self.office().take(place)
    }

    fn office(&self) -> MutexGuard<'_, Office> {
        self.0.lock().expect("no panic under the lock")
    }
}

impl Office {
    fn take(&mut self, place: Place) -> Left {
        let at = self.left.iter().position(|(known, _)| *known == place);
        at.map(|at| self.left.swap_remove(at).1).unwrap_or_default()
    }
}
