//! A running gateway: obeys orders one after the other, drains, and yields to a successor.
//!
//! Serving, then (lame duck: readiness is red, connections are still accepted), then draining: nothing is
//! accepted, and open tunnels go on until the drain time is over. A successor that is ready puts the gateway
//! into draining at once; the successor accepts what waits in the queues of the shared sockets.

#[cfg_attr(windows, path = "running/no_hand_over.rs")]
mod hand_over;
mod status;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant as Clock;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use tracing::warn;

use self::hand_over::Succession;
use super::Gateway;
use super::accepting;
use super::accepting::Door;
use super::canaries;
use super::find_idle;
use super::identities;
use super::launcher::Launcher;
use super::refresh;
use super::reload;
use super::service::Service;
use super::sweep;
use super::watch;
use crate::control::Control;
use crate::control::Order;
use crate::control::Reply;
use crate::control::client::ClientError;
use crate::control::socket;
use crate::control::socket::Placed;
use crate::control::successor::Predecessor;
use crate::events;
use crate::observe::log;
use crate::observe::situation::Stage;

/// Longest wait for what is no tunnel, once the tunnels are cut: a head, a look-up. They have deadlines.
const LAST: Duration = Duration::from_secs(1);
/// Most reloads that are under way or wait for one another.
const MOST_RELOADS: usize = 16;

/// What stands around a gateway: who may order, who starts a successor, and whom it follows itself.
pub struct Attendants {
    /// The control socket and its path.
    pub control: Option<Placed>,
    /// Starts a successor.
    pub launcher: Option<Launcher>,
    /// The gateway that runs until this one is ready.
    pub predecessor: Option<Predecessor>,
    /// Where orders come from, and how they are given.
    pub orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
}

struct Running {
    gateway: Gateway,
    door: Option<Door>,
    clients: TaskTracker,
    admin: Option<JoinHandle<()>>,
    admin_closes: CancellationToken,
    control: Option<(JoinHandle<()>, Arc<socket::Listener>, PathBuf)>,
    /// Tasks of the admin listener and of the control socket.
    conversations: TaskTracker,
    service: Service,
    reloads: JoinSet<()>,
    succession: Succession,
}

impl Gateway {
    /// Serves until it is ordered to end, or a successor is ready; ends when every tunnel has, or cuts them
    /// when the drain time is over. Returns how many were cut.
    pub async fn run(self, attendants: Attendants) -> Result<u32, ClientError> {
        if let Some(predecessor) = attendants.predecessor {
            let pid = predecessor.pid;
            predecessor.ready().await?;
            self.stations.readiness.take_over();
            info!(
                event_id = events::HAND_OVER.0,
                predecessor = pid,
                "hand-over: this gateway accepts from now on"
            );
        }
        let stations = Arc::clone(&self.stations);
        let tasks = [
            tokio::spawn(identities::keep_fresh(Arc::clone(&self.reloader))),
            tokio::spawn(reload::watch(Arc::clone(&self.reloader))),
            tokio::spawn(sweep(Arc::clone(&stations))),
            tokio::spawn(find_idle(Arc::clone(&stations))),
            tokio::spawn(watch(Arc::clone(&stations))),
            tokio::spawn(refresh(Arc::clone(&stations))),
            tokio::spawn(canaries::keep_walking(stations)),
        ];
        let (orders, mut inbox) = attendants.orders;
        let mut running = Running::begin(self);
        running.be_controlled(attendants.control, attendants.launcher, orders)?;
        running.gateway.say_where();
        info!(event_id = events::POLICY.0, "policy: {}", running.gateway.reloader.state().policy);
        running.say_ready();
        let cut = running.obey_to_the_end(&mut inbox).await;
        tasks.iter().for_each(JoinHandle::abort);
        running.end(cut).await;
        Ok(cut)
    }
}

impl Running {
    /// Opens the door, and the admin listener.
    fn begin(gateway: Gateway) -> Self {
        let (clients, conversations) = (TaskTracker::new(), TaskTracker::new());
        let admin_closes = CancellationToken::new();
        let admin = gateway.admin.as_ref().map(|(listener, admin)| {
            let (admin, listener) = (Arc::clone(admin), Arc::clone(listener));
            tokio::spawn(admin.serve(listener, conversations.clone(), admin_closes.clone()))
        });
        Self {
            door: Some(Door::open(&gateway, &clients)),
            admin,
            control: None,
            conversations,
            service: Service::new(),
            reloads: JoinSet::new(),
            succession: Succession::default(),
            gateway,
            clients,
            admin_closes,
        }
    }

    fn be_controlled(
        &mut self,
        control: Option<Placed>,
        launcher: Option<Launcher>,
        orders: mpsc::Sender<Order>,
    ) -> io::Result<()> {
        self.succession.be_launched(launcher)?;
        if let Some((listener, path)) = control {
            let listener = Arc::new(socket::begin(listener)?);
            let server = Arc::new(Control::new(orders));
            let serving = tokio::spawn(server.serve(Arc::clone(&listener), self.conversations.clone()));
            self.control = Some((serving, listener, path));
        }
        Ok(())
    }

    fn stage(&self) -> Stage {
        self.gateway.stations.situation.stage()
    }

    /// Returns how many tunnels were cut.
    async fn obey_to_the_end(&mut self, inbox: &mut mpsc::Receiver<Order>) -> u32 {
        loop {
            let clients = self.clients.clone();
            let deadline = match self.stage() {
                Stage::Serving => None,
                Stage::LameDuck { until } | Stage::Draining { until } => Some(Instant::from_std(until)),
            };
            let late = async {
                match deadline {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(order) = inbox.recv() => {
                    if self.obey(order).await.is_break() {
                        return self.cut("a second signal").await;
                    }
                }
                () = late => match self.stage() {
                    Stage::LameDuck { .. } => self.stop_accepting().await,
                    Stage::Serving | Stage::Draining { .. } => return self.cut("the drain time is over").await,
                },
                // Ends only when the tracker is closed, which draining does.
                () = clients.wait() => return 0,
                Some(_) = self.reloads.join_next() => self.say_ready(),
                () = self.service.beat() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) -> std::ops::ControlFlow<()> {
        match order {
            Order::Terminate => {
                if self.stage() != Stage::Serving {
                    return std::ops::ControlFlow::Break(());
                }
                self.drain("a signal").await;
            }
            Order::Status(reply) => answer(reply, Ok(self.status())),
            Order::Reload(why, reply) => self.reload(why, reply),
            Order::Drain(reply) => {
                self.drain("la-gateway drain").await;
                answer(reply, Ok(self.status()));
            }
            Order::HandOver(step) => self.hand_over(step).await,
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Turns readiness red and begins to drain, at once or after the lame-duck time.
    async fn drain(&mut self, why: &str) {
        if self.stage() != Stage::Serving {
            return;
        }
        let stations = &self.gateway.stations;
        stations.draining.cancel();
        self.service.stopping("draining");
        let lame_duck = stations.live.load().tunnel.lame_duck;
        if lame_duck.is_zero() {
            return self.stop_accepting().await;
        }
        stations.situation.enter(Stage::LameDuck { until: Clock::now() + lame_duck });
        info!(
            event_id = events::DRAINING.0,
            lame_duck = ?lame_duck,
            "draining ({why}): readiness is red; connections are accepted for the lame-duck time"
        );
    }

    async fn stop_accepting(&mut self) {
        if let Some(door) = self.door.take() {
            door.close(accepting::Waiting::Served).await;
        }
        self.gateway.listeners.clear();
        self.wait_for_tunnels("draining: no new connections; waiting for open tunnels");
    }

    fn wait_for_tunnels(&mut self, text: &str) {
        let stations = &self.gateway.stations;
        info!(event_id = events::DRAINING.0, tunnels = stations.limits.tunnels(), "{text}");
        let until = Clock::now() + stations.live.load().tunnel.drain;
        stations.situation.enter(Stage::Draining { until });
        self.clients.close();
    }

    async fn cut(&mut self, why: &str) -> u32 {
        if let Some(door) = self.door.take() {
            door.close(accepting::Waiting::Left).await;
        }
        self.clients.close();
        let stations = &self.gateway.stations;
        let left = stations.limits.tunnels();
        warn!(event_id = events::DRAINING.0, tunnels = left, "{why}: cutting the tunnels that are left");
        stations.cut.cancel();
        let _ = timeout(LAST, self.clients.wait()).await;
        left
    }

    async fn end(mut self, cut: u32) {
        for task in self.admin.take().into_iter().chain(self.control.take().map(|(task, ..)| task)) {
            task.abort();
        }
        // Who waits for an answer, a successor above all, gets it.
        self.admin_closes.cancel();
        self.conversations.close();
        let _ = timeout(LAST, self.conversations.wait()).await;
        let _ = timeout(LAST, self.succession.settle()).await;
        log::tell_unwritten(&self.gateway.stations.repeats);
        match self.succession.successor() {
            Some(successor) => info!(event_id = events::STOPPED.0, cut, successor, "stopped"),
            None => info!(event_id = events::STOPPED.0, cut, "stopped"),
        }
    }

    /// Reads the configuration anew, beside other orders.
    fn reload(&mut self, why: &'static str, reply: Option<Reply>) {
        if self.reloads.len() == MOST_RELOADS {
            // Those that wait find what is written now.
            return answer_if(reply, Err("enough reloads are under way; ask again".to_owned()));
        }
        self.service.reloading();
        let reloader = Arc::clone(&self.gateway.reloader);
        self.reloads.spawn(async move {
            let outcome = reloader.reload(why).await;
            answer_if(reply, serde_json::to_value(outcome).map_err(|error| error.to_string()));
        });
    }

    /// Tells systemd that the gateway serves, or that a reload is over.
    fn say_ready(&self) {
        match self.stage() {
            Stage::Serving => self.service.ready(&self.gateway.reloader.state().policy),
            Stage::LameDuck { .. } | Stage::Draining { .. } => self.service.stopping("draining"),
        }
    }
}

/// Who asked may have gone; then nobody wants the answer.
fn answer(reply: Reply, with: Result<Value, String>) {
    let _ = reply.send(with);
}

fn answer_if(reply: Option<Reply>, with: Result<Value, String>) {
    if let Some(reply) = reply {
        answer(reply, with);
    }
}
