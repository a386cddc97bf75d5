//! A running gateway and its successor: start one, give it copies of the sockets, and give way to it.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::json;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::warn;

use super::Running;
use super::answer;
use crate::control::HandOver;
use crate::control::Offer;
use crate::control::pass::Passed;
use crate::events;
use crate::gateway::accepting;
use crate::gateway::launcher;
use crate::gateway::launcher::Launcher;
use crate::listen::inherited::Kind;
use crate::observe::situation::Stage;

/// Who comes after this gateway.
pub(super) struct Succession {
    launcher: Option<OwnedWriteHalf>,
    /// Records what the launcher says, to its end.
    heard: Option<JoinHandle<()>>,
    /// The right to hand over: one at a time.
    turn: Arc<Semaphore>,
    successor: Option<i32>,
}

impl Default for Succession {
    fn default() -> Self {
        Self { launcher: None, heard: None, turn: Arc::new(Semaphore::new(1)), successor: None }
    }
}

impl Succession {
    /// Keeps what starts a successor.
    pub(super) fn be_launched(&mut self, launcher: Option<Launcher>) -> io::Result<()> {
        if let Some((told, says)) = launcher.map(Launcher::connect).transpose()? {
            self.heard = Some(tokio::spawn(launcher::record(says)));
            self.launcher = Some(told);
        }
        Ok(())
    }

    /// Lets the launcher go, and waits until its last word is recorded: a successor may have taken over before the launcher
    /// came to say that it was started.
    pub(super) async fn settle(&mut self) {
        self.launcher = None;
        if let Some(heard) = self.heard.take() {
            let _ = heard.await;
        }
    }

    /// Returns the process that has taken over.
    pub(super) fn successor(&self) -> Option<i32> {
        self.successor
    }
}

impl Running {
    /// Takes a step of a hand-over.
    pub(super) async fn hand_over(&mut self, step: HandOver) {
        match step {
            HandOver::Start => self.start_successor().await,
            HandOver::Offer(reply) => {
                // A successor that is gone meanwhile gives its turn back by dropping the offer.
                let _ = reply.send(self.offer());
            }
            HandOver::Yield(pid, reply) => {
                let done = self.give_way(pid).await;
                answer(reply, done.map(|()| json!({ "begin": true })));
            }
        }
    }

    async fn start_successor(&mut self) {
        let id = events::HAND_OVER.0;
        if self.stage() != Stage::Serving {
            return warn!(
                event_id = id,
                "SIGUSR2: this gateway is draining already; no successor is started"
            );
        }
        let Some(launcher) = &mut self.succession.launcher else {
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

    fn offer(&mut self) -> Result<Offer, String> {
        if self.stage() != Stage::Serving {
            return Err("this gateway is draining already; start one without --take-over".to_owned());
        }
        let busy = |_| "another hand-over is under way; wait for its end".to_owned();
        let turn = Arc::clone(&self.succession.turn).try_acquire_owned().map_err(busy)?;
        let sockets = self.sockets().map_err(|error| format!("the sockets cannot be copied: {error}"))?;
        Ok(Offer { sockets, turn })
    }

    fn sockets(&self) -> io::Result<Vec<(Passed, OwnedFd)>> {
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
        if self.stage() != Stage::Serving {
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
        self.succession.launcher = None;
        self.service.succeeded_by(pid);
        self.succession.successor = Some(pid);
        self.wait_for_tunnels(&format!(
            "hand-over: process {pid} accepts from now on; waiting for open tunnels"
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;
    use std::thread;

    #[tokio::test]
    async fn what_a_launcher_says_last_is_heard_before_the_gateway_ends() {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        near.set_nonblocking(true).expect("a socket of ours");
        let mut succession = Succession::default();
        succession.be_launched(Some(Launcher::of(near))).expect("a runtime");
        let said = Arc::new(AtomicBool::new(false));
        let saying = Arc::clone(&said);
        let launcher = thread::spawn(move || {
            far.read_to_end(&mut Vec::new()).expect("nothing more is asked");
            saying.store(true, Ordering::SeqCst);
            far.write_all(b"started 7\n").expect("somebody listens");
        });
        succession.settle().await;
        assert!(said.load(Ordering::SeqCst), "the gateway would have ended before");
        launcher.join().expect("the launcher was heard");
    }
}
