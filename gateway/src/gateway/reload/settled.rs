//! What the start settled for the life of the process: where is listened, the sandbox, the log.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::config::ControlSocket;
use crate::config::Listener;
use crate::connection::Speaks;
use crate::events::Log;
use crate::gateway::StartError;
use crate::listen::tls::Identity;

/// What the start settled.
pub(in crate::gateway) struct Settled {
    pub(super) listeners: Vec<Listening>,
    /// Where all listeners are bound, the admin listener included.
    pub(super) bound: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    control: ControlSocket,
    sandbox: bool,
    log: Log,
}

/// A listener that is bound.
pub(in crate::gateway) struct Listening {
    /// The address as it was written.
    pub(in crate::gateway) written: SocketAddr,
    /// What it speaks.
    pub(in crate::gateway) speaks: Arc<ArcSwap<Speaks>>,
}

impl Settled {
    pub(in crate::gateway) fn new(
        config: &Config,
        listeners: Vec<Listening>,
        bound: Vec<SocketAddr>,
    ) -> Self {
        let admin = config.admin.as_ref().map(|admin| admin.address);
        let control = config.control.clone();
        Self { listeners, bound, admin, control, sandbox: config.sandbox, log: config.log.clone() }
    }

    /// Says what of a configuration waits for a hand-over (SIGUSR2) or a restart.
    pub(super) fn waits(&self, config: &Config) -> Vec<String> {
        let mut waits = Vec::new();
        let (going_on, new) = self.pairs(config);
        for (listening, written) in self.listeners.iter().zip(&going_on) {
            if written.is_none() {
                waits.push(format!("the listener at {} is written no more; it goes on", listening.written));
            }
        }
        waits.extend(new.iter().map(|new| format!("the new listener at {} is not bound", new.address)));
        let admin = config.admin.as_ref().map(|admin| admin.address);
        if admin != self.admin {
            let place = |at: Option<SocketAddr>| at.map_or("off".to_owned(), |at| at.to_string());
            waits.push(format!(
                "the admin listener stays at {} (written: {})",
                place(self.admin),
                place(admin)
            ));
        }
        if config.control != self.control {
            waits.push("the control socket stays where it is".to_owned());
        }
        if config.sandbox != self.sandbox {
            let now = if self.sandbox { "on" } else { "off" };
            waits.push(format!("the sandbox stays {now}"));
        }
        if config.log != self.log {
            waits.push("format and level of the records stay as they are".to_owned());
        }
        waits
    }

    /// Returns, for each listener that goes on, what it speaks by a configuration. An identity whose
    /// settings are the same goes on, too.
    pub(super) fn speaks(&self, config: &Config) -> Result<Vec<Option<Arc<Speaks>>>, StartError> {
        let (going_on, new) = self.pairs(config);
        // The files of a listener that waits must be right all the same: the restart would find them wrong.
        for tls in new.iter().filter_map(|new| new.tls.as_ref()) {
            Identity::load(tls)?;
        }
        let speaks = self.listeners.iter().zip(going_on).map(|(listening, written)| {
            let Some(written) = written else { return Ok(None) };
            let kept = listening.speaks.load().tls.clone();
            let tls = match (&written.tls, kept) {
                (None, _) => None,
                (Some(tls), Some(kept)) if kept.settings() == tls => Some(kept),
                (Some(tls), _) => Some(Arc::new(Identity::load(tls)?)),
            };
            let proxy_protocol = written.proxy_protocol.clone();
            Ok(Some(Arc::new(Speaks { plain: written.plain, tls, proxy_protocol })))
        });
        speaks.collect()
    }

    /// Has the listeners speak this from the next connection on.
    pub(super) fn speak(&self, speaks: Vec<Option<Arc<Speaks>>>) {
        for (listening, speaks) in self.listeners.iter().zip(speaks) {
            if let Some(speaks) = speaks {
                listening.speaks.store(speaks);
            }
        }
    }

    /// Returns for each bound listener the one that is written for its address, and those that are new.
    fn pairs<'a>(&self, config: &'a Config) -> (Vec<Option<&'a Listener>>, Vec<&'a Listener>) {
        let mut written: Vec<&Listener> = config.listeners.iter().collect();
        let going_on = self.listeners.iter().map(|listening| {
            let at = written.iter().position(|one| one.address == listening.written)?;
            Some(written.remove(at))
        });
        (going_on.collect(), written)
    }
}
