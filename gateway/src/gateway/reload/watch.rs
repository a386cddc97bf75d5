//! Looks at the files of the configuration, and has a change taken once it has settled.
//!
//! Looking takes one call a file and no file open, follows links, and works on every file system; what
//! the kernel would tell by itself needs a watch on each folder of each link, and is not told at all of
//! some network file systems.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Reloader;
use super::files::Stamps;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks in a row must show the same before a change is taken: a writer may be half-way.
const SETTLED: u32 = 2;
/// How many looks a change is waited for that never settles.
const MOST_LOOKS: u32 = 20;

/// Watches until it is aborted.
pub(in crate::gateway) async fn watch(reloader: Arc<Reloader>) {
    loop {
        sleep(LOOK).await;
        // An earlier reading that hangs is not joined by another every second.
        if !reloader.is_watching() || reloader.is_reading() {
            continue;
        }
        let seen = reloader.seen();
        let found = look(&seen).await;
        if found != seen {
            settle(found).await;
            // Somebody may have asked for it in the meantime.
            if look(&reloader.seen()).await != reloader.seen() {
                reloader.reload("a file changed").await;
            }
        }
    }
}

async fn settle(mut found: Stamps) {
    let mut same = 1;
    for _ in 0..MOST_LOOKS {
        sleep(LOOK).await;
        let next = look(&found).await;
        same = if next == found { same + 1 } else { 1 };
        if same >= SETTLED {
            return;
        }
        found = next;
    }
}

async fn look(stamps: &Stamps) -> Stamps {
    let seen = stamps.clone();
    // A task is cancelled when the runtime ends.
    spawn_blocking(move || seen.again()).await.unwrap_or_else(|_| stamps.clone())
}
