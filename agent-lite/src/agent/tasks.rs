//! Tasks that have an owner who stops them, waits for them, and notices when one breaks.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::events::Event;
use crate::events::say;

/// Some tasks with one way to stop them.
pub(super) struct Tasks {
    stop: CancellationToken,
    handles: Vec<JoinHandle<()>>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { stop: CancellationToken::new(), handles: Vec::new() }
    }

    /// Returns what tells the tasks to stop.
    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task. One that panics is said; it is a mistake in this program.
    pub(super) fn spawn(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        let name = name.to_owned();
        let inner = tokio::spawn(task);
        let abort = AbortOnDrop(inner.abort_handle());
        self.handles.push(tokio::spawn(async move {
            let _abort = abort;
            if let Err(error) = inner.await
                && error.is_panic()
            {
                say(
                    Event::SourceFailed,
                    &name,
                    "it broke off: this is a mistake in agent-lite, please report it",
                );
            }
        }));
    }

    /// Tells all to stop, waits for them, and cuts off those that take longer.
    pub(super) async fn end(&mut self, limit: Duration) {
        self.stop.cancel();
        let ends = time::Instant::now() + limit;
        for mut handle in self.handles.drain(..) {
            if time::timeout_at(ends, &mut handle).await.is_err() {
                handle.abort();
                let _ = handle.await;
            }
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.handles.iter().for_each(JoinHandle::abort);
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
