//! What `la-gateway status` shows: the one place for it. A part that has something to show adds its field here.

use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;

use super::Phase;
use super::Running;

impl Running {
    /// Returns the state of the whole gateway.
    pub(super) fn status(&self) -> Value {
        let (state, left) = match self.phase {
            Phase::Serving => ("serving", None),
            Phase::LameDuck { until } => ("lame-duck", Some(until)),
            Phase::Draining { until } => ("draining", Some(until)),
        };
        let left = left.map(|until| until.saturating_duration_since(Instant::now()).as_secs());
        let listeners = self.gateway.listeners.iter().map(|bound| {
            let speaks = bound.speaks.load();
            json!({
                "address": bound.address, "plain": speaks.plain, "tls": speaks.tls.is_some(),
                "proxy_protocol": speaks.proxy_protocol.is_some(),
            })
        });
        let admin = self.gateway.admin.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        let reload = self.gateway.reloader.state();
        let readiness = self.gateway.stations.readiness.snapshot();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_seconds": self.begun.elapsed().as_secs(),
            "state": state,
            "seconds_left": left,
            "ready": readiness.ready,
            "readiness": readiness,
            "listeners": listeners.collect::<Vec<_>>(),
            "admin": admin,
            "control": self.control.as_ref().map(|(_, _, path)| path),
            "tunnels": self.gateway.stations.limits.tunnels(),
            "fleet": self.gateway.stations.fleet.snapshot(std::time::Instant::now()),
            "policy": reload.policy,
            "reload": reload,
        })
    }
}
