//! Looks at where the data collection rule lies, again and again.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp as Time;
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Board;
use super::PLACE;
use super::document::Document;
use super::document::hash;
use crate::collect::machine::part_of;
use crate::config::settings::RulePlace;
use crate::config::settings::RuleSettings;
use crate::counters::Counters;
use crate::events::Event;
use crate::events::say;
use crate::parse::dcr::LARGEST_RULE;
use crate::upload::gateways::Gateways;
use crate::upload::roots::Roots;
use crate::upload::rule::FetchFailure;
use crate::upload::rule::Fetched;
use crate::upload::rule::RuleBlob;

/// Longest wait after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// By how much a start is spread where a rule runs already: many agents start together after a loss of power.
const LONGEST_SPREAD: Duration = Duration::from_secs(30);
/// By how much of its time a look comes earlier, so that many agents do not look together.
const JITTER: f64 = 0.1;

/// What looks.
pub(super) struct Poller {
    pub(super) settings: RuleSettings,
    /// The version that is known.
    pub(super) known: Option<String>,
    /// No rule runs, so the first look is at once.
    pub(super) first: bool,
    pub(super) board: Board,
    pub(super) counters: Counters,
    pub(super) sender: mpsc::Sender<Document>,
}

/// A place that can be looked at.
enum Place {
    File(std::path::PathBuf),
    Blob(Box<RuleBlob>),
}

impl Poller {
    /// Looks until it is stopped.
    pub(super) async fn run(mut self, gateways: Gateways, roots: Roots, stop: CancellationToken) {
        let place = match &self.settings.place {
            RulePlace::File(file) => Ok(Place::File(file.clone())),
            RulePlace::Blob(address) => {
                RuleBlob::new(address.clone(), gateways, &roots).map(|blob| Place::Blob(Box::new(blob)))
            }
        };
        let mut place = match place {
            Ok(place) => place,
            Err(error) => return say(Event::RuleUnreachable, PLACE, error),
        };
        let spread =
            if self.first { Duration::ZERO } else { part_of(self.settings.poll.min(LONGEST_SPREAD)) };
        let (mut wait, mut failures) = (spread, 0);
        while stop.run_until_cancelled(time::sleep(wait)).await.is_some() {
            let Some(outcome) = stop.run_until_cancelled(place.fetch(self.known.as_deref())).await else {
                return;
            };
            wait = match outcome {
                Ok(fetched) => {
                    self.looked(failures > 0);
                    failures = 0;
                    if !self.hand_over(fetched).await {
                        return;
                    }
                    self.settings.poll - part_of(self.settings.poll.mul_f64(JITTER))
                }
                Err(failure) => {
                    self.failed(&failure, failures == 0);
                    failures += 1;
                    back_off(self.settings.poll, failures, failure.asked, part_of)
                }
            };
        }
    }

    fn looked(&self, failed_before: bool) {
        if failed_before {
            say(Event::RuleReachable, PLACE, self.settings.place.shown());
        }
        self.board.change(|status| {
            status.looked = Some(Time::now().to_string());
            status.trouble = None;
        });
    }

    fn failed(&self, failure: &FetchFailure, is_first: bool) {
        self.counters.rule("failed");
        if is_first {
            say(
                Event::RuleUnreachable,
                PLACE,
                format_args!("{}: {}", self.settings.place.shown(), failure.detail),
            );
        }
        self.board.change(|status| status.trouble = Some(failure.detail.clone()));
    }

    /// Returns whether somebody still takes what comes.
    async fn hand_over(&mut self, fetched: Fetched) -> bool {
        let Fetched::Document { etag, bytes } = fetched else {
            self.counters.rule("unchanged");
            return true;
        };
        let document = Document::new(etag, &bytes);
        if self.known.as_ref() == Some(&document.version) {
            self.counters.rule("unchanged");
            return true;
        }
        self.known = Some(document.version.clone());
        self.sender.send(document).await.is_ok()
    }
}

impl Place {
    async fn fetch(&mut self, known: Option<&str>) -> Result<Fetched, FetchFailure> {
        match self {
            Self::Blob(blob) => blob.fetch(known).await,
            Self::File(file) => {
                let file = file.clone();
                let read = tokio::task::spawn_blocking(move || read(&file)).await;
                let bytes = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                let bytes = bytes.map_err(|error| FetchFailure { detail: error.to_string(), asked: None })?;
                let version = hash(&bytes);
                Ok(match known == Some(version.as_str()) {
                    true => Fetched::Unchanged,
                    false => Fetched::Document { etag: Some(version), bytes: bytes.into() },
                })
            }
        }
    }
}

/// Reads a file, and one byte more than the largest rule has: whether it is larger is seen by it.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(LARGEST_RULE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns how long to wait after so many failures in a row: doubled each time, at least what was asked for, and never
/// shorter than a look's usual wait.
fn back_off(
    poll: Duration,
    failures: u32,
    asked: Option<Duration>,
    part: impl Fn(Duration) -> Duration,
) -> Duration {
    let most = poll.saturating_mul(1 << failures.min(12)).min(LONGEST_WAIT).max(poll);
    let wait = poll.max(most / 2 + part(most / 2));
    let asked = asked.unwrap_or_default().min(LONGEST_WAIT);
    wait.max(asked + part(asked / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_after_failures_grows_to_an_hour_and_is_never_shorter_than_what_was_asked_for() {
        let seconds = Duration::from_secs;
        let none = |_| Duration::ZERO;
        let all = |whole| whole;
        let waits: Vec<u64> =
            (1..6).map(|times| back_off(seconds(300), times, None, all).as_secs()).collect();
        assert_eq!(waits, [600, 1200, 2400, 3600, 3600]);
        assert_eq!(back_off(seconds(300), 1, None, none), seconds(300));
        assert_eq!(back_off(seconds(10), 1, Some(seconds(120)), none), seconds(120));
        assert_eq!(back_off(seconds(10), 1, Some(seconds(100_000)), none), LONGEST_WAIT);
        assert_eq!(back_off(seconds(86_400), 40, None, none), seconds(86_400));
    }
}
