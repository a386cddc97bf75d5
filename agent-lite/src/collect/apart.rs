//! Work that takes as long as it takes, in a thread of its own: the runtime has few threads to lend, for short waits.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Starts the work. The receiver gives its result, or an error if it broke off.
pub(super) fn apart<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    // Nobody waits for it any more when the source was stopped.
    thread::Builder::new().name(name.to_owned()).spawn(move || drop(sender.send(work())))?;
    Ok(receiver)
}
