//! A running gateway: obeys orders one after the other, drains, and yields to a successor.
//!
//! Serving, then (lame duck: readiness is red, connections are still accepted), then draining: nothing is
//! accepted, and open tunnels go on until the drain time is over. A successor that is ready puts the gateway
//! into draining at once; the successor accepts what waits in the queues of the shared sockets.

mod status;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant as Clock;

use rustix::process::geteuid;
use serde_json::Value;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use tracing::warn;

use super::Gateway;
use super::accepting;
use super::accepting::Door;
use super::identities;
use super::launcher;
use super::launcher::Launcher;
use super::refresh;
use super::service::Service;
use super::sweep;
use crate::control::Control;
use crate::control::Offer;
use crate::control::Order;
use crate::control::Reply;
use crate::control::client::ClientError;
use crate::control::pass::Passed;
use crate::control::successor::Predecessor;
use crate::events;
use crate::listen::inherited::Kind;

/// Longest wait for what is no tunnel, once the tunnels are cut: a head, a look-up. They have deadlines.
const LAST: Duration = Duration::from_secs(1);

/// What stands around a gateway: who may order, who starts a successor, and whom it follows itself.
pub struct Attendants {
    /// The control socket and its path.
    pub control: Option<(std::os::unix::net::UnixListener, PathBuf)>,
    /// Starts a successor.
    pub launcher: Option<Launcher>,
    /// The gateway that runs until this one is ready.
    pub predecessor: Option<Predecessor>,
    /// The policy, in one line.
    pub policy: String,
    /// Where orders come from, and how they are given.
    pub orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
}

/// Where a gateway is between serving and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    LameDuck { until: Instant },
    Draining { until: Instant },
}

struct Running {
    gateway: Gateway,
    door: Option<Door>,
    clients: TaskTracker,
    admin: Option<JoinHandle<()>>,
    admin_closes: CancellationToken,
    control: Option<(JoinHandle<()>, Arc<UnixListener>, PathBuf)>,
    launcher: Option<OwnedWriteHalf>,
    /// Tasks of the admin listener and of the control socket.
    conversations: TaskTracker,
    service: Service,
    policy: String,
    begun: Clock,
    phase: Phase,
    /// Signals to end so far.
    signals: u32,
    /// The right to hand over: one at a time.
    turn: Arc<Semaphore>,
    successor: Option<i32>,
}

impl Gateway {
    /// Serves until it is ordered to end, or a successor is ready; ends when every tunnel has, or cuts them
    /// when the drain time is over. Returns how many were cut.
    pub async fn run(self, attendants: Attendants) -> Result<u32, ClientError> {
        if let Some(predecessor) = attendants.predecessor {
            let pid = predecessor.pid;
            predecessor.ready().await?;
            info!(
                event_id = events::HAND_OVER.0,
                predecessor = pid,
                "hand-over: this gateway accepts from now on"
            );
        }
        let (stations, conversations) = (Arc::clone(&self.stations), TaskTracker::new());
        let fresh = self.listeners.iter().filter_map(|bound| bound.speaks.tls.clone()).collect();
        let tasks = [
            tokio::spawn(identities::keep_fresh(fresh)),
            tokio::spawn(sweep(Arc::clone(&stations))),
            tokio::spawn(refresh(Arc::clone(&stations))),
        ];
        let (orders, mut inbox) = attendants.orders;
        let clients = TaskTracker::new();
        let admin_closes = CancellationToken::new();
        let mut running = Running {
            door: Some(Door::open(&self, &clients)),
            admin: self.admin.as_ref().map(|(listener, admin)| {
                let (admin, listener) = (Arc::clone(admin), Arc::clone(listener));
                tokio::spawn(admin.serve(listener, conversations.clone(), admin_closes.clone()))
            }),
            control: None,
            launcher: None,
            conversations,
            service: Service::new(),
            policy: attendants.policy,
            begun: Clock::now(),
            phase: Phase::Serving,
            signals: 0,
            turn: Arc::new(Semaphore::new(1)),
            successor: None,
            gateway: self,
            clients,
            admin_closes,
        };
        running.be_controlled(attendants.control, attendants.launcher, orders)?;
        running.gateway.say_where();
        running.service.ready(&running.policy);
        let cut = running.obey_to_the_end(&mut inbox).await;
        tasks.iter().for_each(JoinHandle::abort);
        running.end(cut).await;
        Ok(cut)
    }
}

impl Running {
    fn be_controlled(
        &mut self,
        control: Option<(std::os::unix::net::UnixListener, PathBuf)>,
        launcher: Option<Launcher>,
        orders: mpsc::Sender<Order>,
    ) -> io::Result<()> {
        if let Some((told, says)) = launcher.map(Launcher::connect).transpose()? {
            tokio::spawn(launcher::record(says));
            self.launcher = Some(told);
        }
        if let Some((listener, path)) = control {
            let listener = Arc::new(UnixListener::from_std(listener)?);
            let stations = Arc::clone(&self.gateway.stations);
            let server = Arc::new(Control { stations, own: geteuid().as_raw(), orders });
            let serving = tokio::spawn(server.serve(Arc::clone(&listener), self.conversations.clone()));
            self.control = Some((serving, listener, path));
        }
        Ok(())
    }

    /// Returns how many tunnels were cut.
    async fn obey_to_the_end(&mut self, inbox: &mut mpsc::Receiver<Order>) -> u32 {
        loop {
            let clients = self.clients.clone();
            let deadline = match self.phase {
                Phase::Serving => None,
                Phase::LameDuck { until } | Phase::Draining { until } => Some(until),
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
                () = late => match self.phase {
                    Phase::LameDuck { .. } => self.stop_accepting().await,
                    Phase::Serving | Phase::Draining { .. } => return self.cut("the drain time is over").await,
                },
                // Ends only when the tracker is closed, which draining does.
                () = clients.wait() => return 0,
                () = self.service.beat() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) -> std::ops::ControlFlow<()> {
        match order {
            Order::Terminate => {
                self.signals += 1;
                if self.signals > 1 {
                    return std::ops::ControlFlow::Break(());
                }
                self.drain("a signal").await;
            }
            Order::Upgrade => self.start_successor().await,
            Order::Status(reply) => answer(reply, Ok(self.status())),
            Order::Reload(why, reply) => self.reload(why, reply),
            Order::Drain(reply) => {
                self.drain("la-gateway drain").await;
                answer(reply, Ok(self.status()));
            }
            Order::Offer(reply) => {
                // A successor that is gone meanwhile gives its turn back by dropping the offer.
                let _ = reply.send(self.offer());
            }
            Order::Yield(pid, reply) => {
                let done = self.give_way(pid).await;
                answer(reply, done.map(|()| json!({ "begin": true })));
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Turns readiness red and begins to drain, at once or after the lame-duck time.
    async fn drain(&mut self, why: &str) {
        if self.phase != Phase::Serving {
            return;
        }
        let stations = &self.gateway.stations;
        stations.draining.cancel();
        self.service.stopping("draining");
        let lame_duck = stations.live.load().tunnel.lame_duck;
        if lame_duck.is_zero() {
            return self.stop_accepting().await;
        }
        self.phase = Phase::LameDuck { until: Instant::now() + lame_duck };
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
        self.phase = Phase::Draining { until: Instant::now() + stations.live.load().tunnel.drain };
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
        match self.successor {
            Some(successor) => info!(event_id = events::STOPPED.0, cut, successor, "stopped"),
            None => info!(event_id = events::STOPPED.0, cut, "stopped"),
        }
    }

    async fn start_successor(&mut self) {
        let id = events::HAND_OVER.0;
        if self.phase != Phase::Serving {
            return warn!(
                event_id = id,
                "SIGUSR2: this gateway is draining already; no successor is started"
            );
        }
        let Some(launcher) = &mut self.launcher else {
            return warn!(
                event_id = id,
                "SIGUSR2 needs a control socket; set `[control] socket` and restart once"
            );
        };
        if let Err(error) = launcher::go(launcher).await {
            let text = "the launcher is gone; start a successor with `la-gateway run --take-over`";
            warn!(event_id = id, "SIGUSR2: {text} ({error})");
        }
    }

    /// Reads the configuration anew.
    fn reload(&mut self, why: &'static str, reply: Option<Reply>) {
        let text = "users and configuration are read at start only; restart, or send SIGUSR2, for a change";
        warn!(event_id = events::INFORMATION.0, "{why}: {text}");
        if let Some(reply) = reply {
            answer(reply, Err(text.to_owned()));
        }
    }

    fn offer(&mut self) -> Result<Offer, String> {
        if self.phase != Phase::Serving {
            return Err("this gateway is draining already; start one without --take-over".to_owned());
        }
        let busy = |_| "another hand-over is under way; wait for its end".to_owned();
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(busy)?;
        let sockets = self.sockets().map_err(|error| format!("the sockets cannot be copied: {error}"))?;
        Ok(Offer { sockets, turn })
    }

    fn sockets(&self) -> io::Result<Vec<(Passed, std::os::fd::OwnedFd)>> {
        let mut sockets = Vec::new();
        for bound in &self.gateway.listeners {
            let passed = Passed::Listener { kind: Kind::Proxy, asked: bound.asked };
            sockets.push((passed, bound.listener.as_fd().try_clone_to_owned()?));
        }
        if let (Some((listener, _)), Some(asked)) = (&self.gateway.admin, self.gateway.admin_asked) {
            let passed = Passed::Listener { kind: Kind::Admin, asked };
            sockets.push((passed, listener.as_fd().try_clone_to_owned()?));
        }
        if let Some((_, listener, _)) = &self.control {
            sockets.push((Passed::Control, listener.as_fd().try_clone_to_owned()?));
        }
        Ok(sockets)
    }

    /// Leaves everything that listens to the successor, and drains.
    async fn give_way(&mut self, pid: i32) -> Result<(), String> {
        if self.phase != Phase::Serving {
            return Err("this gateway was told to end meanwhile".to_owned());
        }
        // What waits in the queues is the successor's.
        if let Some(door) = self.door.take() {
            door.close(accepting::Waiting::Left).await;
        }
        self.gateway.listeners.clear();
        for task in self.admin.take().into_iter().chain(self.control.take().map(|(task, ..)| task)) {
            task.abort();
            let _ = task.await;
        }
        self.gateway.admin = None;
        // A probe that keeps its connection asks the successor next.
        self.admin_closes.cancel();
        // The launcher ends, and whoever is the parent of orphans becomes the successor's.
        self.launcher = None;
        self.service.succeeded_by(u32::try_from(pid).unwrap_or_default());
        self.successor = Some(pid);
        self.wait_for_tunnels(&format!(
            "hand-over: process {pid} accepts from now on; waiting for open tunnels"
        ));
        Ok(())
    }
}

/// Who asked may have gone; then nobody wants the answer.
fn answer(reply: Reply, with: Result<Value, String>) {
    let _ = reply.send(with);
}
