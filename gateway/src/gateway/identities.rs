//! Keeps the listeners' TLS identities fresh, and warns before one of their files runs out.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tracing::info;
use tracing::warn;

use super::reload::Reloader;
use crate::events;
use crate::listen::tls::Deadline;
use crate::listen::tls::Expiring;
use crate::listen::tls::Identity;
use crate::listen::tls::Refreshed;
use crate::observe::metrics::Bounds;
use crate::observe::metrics::RunsOut;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often what runs out is named again.
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before that a certificate is named for the first time.
const CERTIFICATE_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How long before that a revocation list is, which lives for a day or a week.
const LIST_SOON: Duration = Duration::from_secs(6 * 60 * 60);

/// Looks at the files of the identities in use until it is aborted.
pub(super) async fn keep_fresh(reloader: Arc<Reloader>) {
    let (mut look, mut remind) = (interval(LOOK), interval(REMIND));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut named: Vec<Deadline> = Vec::new();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            _ = remind.tick() => named.clear(),
        }
        let mut deadlines = Vec::new();
        for identity in reloader.identities() {
            look_at(&identity).await;
            deadlines.extend(identity.deadlines());
        }
        measure(reloader.bounds(), &deadlines);
        for deadline in deadlines.into_iter().filter(is_near) {
            if !named.contains(&deadline) {
                warn_of(&deadline);
                named.push(deadline);
            }
        }
    }
}

/// Looks at the files of an identity, takes them if they changed and are right, and says so.
pub(super) async fn look_at(identity: &Arc<Identity>) {
    let looking = Arc::clone(identity);
    match spawn_blocking(move || looking.refresh()).await {
        Ok(Refreshed::Taken) => info!(event_id = events::CERTIFICATE.0, "TLS: the changed files are in use"),
        Ok(Refreshed::Kept(error)) => {
            let event_id = events::CERTIFICATE.0;
            warn!(event_id, "TLS: the changed files are wrong, those from before stay in use: {error}");
        }
        // A task is cancelled when the runtime ends.
        Ok(Refreshed::Unchanged) | Err(_) => {}
    }
}

fn measure(bounds: &Bounds, deadlines: &[Deadline]) {
    for what in RunsOut::ALL {
        let first =
            deadlines.iter().filter(|deadline| runs_out(deadline) == what).map(|deadline| deadline.at).min();
        bounds.runs_out(what, first);
    }
}

fn runs_out(deadline: &Deadline) -> RunsOut {
    match deadline.what {
        Expiring::Certificate => RunsOut::Certificate,
        Expiring::Authority => RunsOut::ClientAuthority,
        Expiring::RevocationList => RunsOut::RevocationList,
    }
}

fn is_near(deadline: &Deadline) -> bool {
    let soon = match deadline.what {
        Expiring::Certificate | Expiring::Authority => CERTIFICATE_SOON,
        Expiring::RevocationList => LIST_SOON,
    };
    deadline.at < SystemTime::now() + soon
}

fn warn_of(deadline: &Deadline) {
    let what = match deadline.what {
        Expiring::Certificate => "the certificate is good until then, and clients refuse it after",
        Expiring::Authority => "a clients' CA has a certificate until then; ask for its new one",
        Expiring::RevocationList => {
            "the revocation list is good until then, and every certificate it is about is refused after"
        }
    };
    let (file, at) = (deadline.file.display(), humantime::format_rfc3339_seconds(deadline.at));
    warn!(event_id = events::CERTIFICATE.0, "{file}: {at}: {what}");
}
