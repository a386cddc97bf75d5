//! What `la-gateway status` shows: the one place for it. A part that has something to show adds its field here.

use serde_json::Value;
use serde_json::json;

use super::Running;

impl Running {
    /// Returns the state of the whole gateway.
    pub(super) fn status(&self) -> Value {
        let situation = &self.gateway.stations.situation;
        let left = self.stage().left().map(|left| left.as_secs());
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
            "uptime_seconds": situation.uptime().as_secs(),
            "state": self.stage().label(),
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
