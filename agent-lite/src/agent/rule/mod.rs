//! The data collection rule of a running agent: taken, watched, rolled back.
//!
//! ```text
//! arrives ── checked ──► on probation ── sending goes on ──► the last good one
//!               │             │
//!               └► refused ◄──┘ sending stopped: the last good one runs again
//! ```
//!
//! What is refused is remembered by its version and not tried again until there is another, or SIGHUP; what was
//! rolled back by its bytes, so that no other one in between gives it a second probation. The last good one lies on
//! the disk, so that a start needs no network.

mod board;
mod document;
mod poll;
mod probation;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::sleep_until;

pub(super) use self::board::Board;
use self::document::Document;
use self::poll::Poller;
use self::probation::Probation;
use self::probation::Verdict;
use self::store::Kept;
use self::store::Refused;
use self::store::Store;
use self::store::Trying;
use super::operations::LastEnd;
use super::tasks::Tasks;
use super::workspaces::Workspaces;
use crate::config::rule::Accepted;
use crate::config::rule::joined;
use crate::config::settings::Config;
use crate::counters::Counters;
use crate::events::Event;
use crate::events::say;
use crate::upload::courier::Report;
use crate::upload::roots::Roots;

/// The name under which it speaks.
const PLACE: &str = "data collection rule";
/// How often a version may be on probation when the agent is killed, before it is held to be the reason.
const MOST_TRIES: u32 = 3;
/// Most different sources that rules may bring in while the agent runs.
const MOST_NAMES: usize = 100;

/// How the workspaces are.
type Reports = Vec<(String, Report)>;

/// What is told to the workspaces: status, key, detail.
pub(super) type News = (&'static str, &'static str, String);

/// What happens to the rule.
pub(super) enum Happening {
    /// Another version.
    Arrived(Document),
    /// The time of probation is over.
    ProbationEnds,
}

/// The rule.
pub(super) struct Rule {
    local: Config,
    store: Store,
    kept: Kept,
    /// The version whose sources run.
    running: Option<Document>,
    probation: Option<Probation>,
    /// The version that was seen last: it is not fetched again.
    seen: Option<String>,
    /// The names of all sources of rules since the start.
    names: BTreeSet<String>,
    counters: Counters,
    board: Board,
    news: Vec<News>,
    poller: Tasks,
    sender: mpsc::Sender<Document>,
    inbox: mpsc::Receiver<Document>,
}

impl Rule {
    /// Begins with the local configuration and what an agent before has left.
    pub(super) fn open(local: Config, last: LastEnd, counters: Counters) -> Self {
        let store = Store::new(&local.state);
        let (sender, inbox) = mpsc::channel(1);
        let mut rule = Self {
            store,
            kept: Kept::default(),
            running: None,
            probation: None,
            seen: None,
            names: BTreeSet::new(),
            counters,
            board: Board::default(),
            news: Vec::new(),
            poller: Tasks::new(),
            sender,
            inbox,
            local,
        };
        if let Some(settings) = &rule.local.rule {
            let place = settings.place.shown();
            rule.kept = rule.store.load(&place).unwrap_or_else(|error| {
                say(Event::RuleRefused, PLACE, format_args!("what was kept of it cannot be read: {error}"));
                Kept::of(&place)
            });
            // What another version of this program cannot use, this one may.
            rule.kept.refused = rule.kept.refused.take().filter(|refused| refused.rolled_back);
            rule.blame(last);
            rule.counters.rule_refused(rule.kept.refused.is_some());
            rule.running = rule.kept.last_good.clone();
            rule.seen = rule.kept.refused.as_ref().map(|refused| refused.version.clone());
            rule.seen = rule.seen.take().or_else(|| rule.running.as_ref().map(|known| known.version.clone()));
            rule.show();
        }
        rule
    }

    /// A version on probation that the agent was killed with again and again is held to be the reason.
    fn blame(&mut self, last: LastEnd) {
        let tried = self.kept.trying.take();
        if let Some(trying) = tried.filter(|_| last == LastEnd::Abrupt) {
            if trying.times >= MOST_TRIES {
                let reason = format!("the agent was killed {} times while it was on probation", trying.times);
                self.kept.remember(&trying.hash, &reason);
                self.refuse(&trying.version, vec![reason], Event::RuleRolledBack);
                self.save();
            } else {
                self.kept.trying = Some(trying);
            }
        }
    }

    /// Returns what is to run, and forgets a last good version that the local configuration does not let run any more.
    pub(super) fn config(&mut self) -> Config {
        let (config, refused) = self.config_with(&self.local, self.running.as_ref());
        if let Some(reasons) = refused
            && let Some(document) = self.running.take()
        {
            self.refuse(&document.version, reasons, Event::RuleRefused);
            self.kept.last_good = None;
            self.save();
        }
        self.show();
        config
    }

    fn config_with(&self, local: &Config, document: Option<&Document>) -> (Config, Option<Vec<String>>) {
        match document.map(|document| joined(local, document.bytes())) {
            Some(Ok(accepted)) => (accepted.config, None),
            Some(Err(reasons)) => (local.clone(), Some(reasons)),
            None => (local.clone(), None),
        }
    }

    /// Returns what another local configuration makes of the rule that runs.
    pub(super) fn config_for(&self, local: &Config) -> Config {
        let same = self.place() == local.rule.as_ref().map(|settings| settings.place.shown());
        self.config_with(local, self.running.as_ref().filter(|_| same)).0
    }

    /// Takes another local configuration, which runs already. What was refused is tried again: the operator asks for it.
    pub(super) fn adopt(&mut self, local: Config) {
        let before = self.place();
        self.local = local;
        (self.kept.refused, self.seen) = (None, None);
        self.kept.rolled_back.clear();
        if self.place() != before {
            (self.running, self.probation) = (None, None);
            self.kept = Kept::of(&self.place().unwrap_or_default());
            self.board = Board::default();
        }
        self.counters.rule_refused(false);
        // A start is not to bring back what was forgotten here.
        if self.local.rule.is_some() {
            self.save();
        }
        // Says so, if it cannot run with this configuration.
        drop(self.config());
    }

    fn place(&self) -> Option<String> {
        self.local.rule.as_ref().map(|settings| settings.place.shown())
    }

    /// Starts to look at where the rule lies, anew if it is done already. What came from another place is forgotten.
    pub(super) fn look(&mut self, workspaces: &Workspaces) {
        self.poller = Tasks::new();
        (self.sender, self.inbox) = mpsc::channel(1);
        if self.probation.is_some() {
            self.watch(&self.config_for(&self.local), workspaces.reports());
        }
        let Some(settings) = self.local.rule.clone() else { return };
        let roots = match Roots::load(self.local.azure_ca.as_deref()) {
            Ok(roots) => roots,
            Err(error) => return say(Event::RuleUnreachable, PLACE, error),
        };
        let poller = Poller {
            settings,
            known: self.seen.clone(),
            first: self.running.is_none(),
            board: self.board.clone(),
            counters: self.counters.clone(),
            sender: self.sender.clone(),
        };
        let stop = self.poller.stop_token();
        self.poller.spawn(PLACE, poller.run(workspaces.gateways(), roots, stop));
    }

    /// Waits for what happens next; for ever, if there is no rule.
    pub(super) async fn next(&mut self) -> Happening {
        let ends = self.probation.as_ref().map(|probation| probation.ends);
        let over = async {
            match ends {
                Some(ends) => sleep_until(ends).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // `self.sender` keeps it open.
            Some(document) = self.inbox.recv() => Happening::Arrived(document),
            () = over => Happening::ProbationEnds,
        }
    }

    /// Judges what happened. Returns what is to run from now on, if it is something else.
    pub(super) fn judge(&mut self, happening: Happening, reports: Reports) -> Option<Config> {
        match happening {
            Happening::Arrived(document) => self.consider(document, reports),
            Happening::ProbationEnds => self.conclude(&reports),
        }
    }

    fn consider(&mut self, document: Document, reports: Reports) -> Option<Config> {
        self.seen = Some(document.version.clone());
        if self.kept.refused.as_ref().is_some_and(|refused| refused.version == document.version) {
            return None;
        }
        if self.running.as_ref().is_some_and(|running| running.version == document.version) {
            // What was refused was taken back.
            if self.kept.refused.take().is_some() {
                self.counters.rule_refused(false);
                self.save();
                self.show();
            }
            return None;
        }
        let known_bad = self.kept.known_bad(&document.hash());
        let judged = match &known_bad {
            Some(reason) => Err(vec![reason.clone()]),
            None => joined(&self.local, document.bytes()),
        };
        match judged.and_then(|accepted| self.within_names(accepted)) {
            Err(reasons) => {
                self.refuse(&document.version, reasons, Event::RuleRefused);
                if let Some(refused) = &mut self.kept.refused {
                    refused.rolled_back = known_bad.is_some();
                }
                self.save();
                self.show();
                None
            }
            Ok(accepted) => Some(self.take(document, accepted, reports)),
        }
    }

    /// Each name of a source is counted under as long as the agent runs, so a rule cannot bring in ever more of them.
    fn within_names(&mut self, accepted: Accepted) -> Result<Accepted, Vec<String>> {
        let rule = accepted.config.sources.get(self.local.sources.len()..).unwrap_or_default();
        let mut names = self.names.clone();
        names.extend(rule.iter().map(|source| source.name.clone()));
        if names.len() > MOST_NAMES {
            return Err(vec![format!(
                "rules have brought in more than {MOST_NAMES} different sources since the start; restart the agent if that is meant"
            )]);
        }
        self.names = names;
        Ok(accepted)
    }

    /// Puts the rule whose sources stand in this configuration on probation.
    fn watch(&mut self, config: &Config, reports: Reports) {
        let rule = config.sources.get(self.local.sources.len()..).unwrap_or_default();
        let now = Probation::begin(rule, Instant::now() + self.limit(), reports);
        self.probation = Some(now.after(self.probation.take()));
    }

    fn limit(&self) -> std::time::Duration {
        self.local.rule.as_ref().map(|settings| settings.probation).unwrap_or_default()
    }

    fn take(&mut self, document: Document, accepted: Accepted, reports: Reports) -> Config {
        let limit = self.limit();
        let detail = format!(
            "{} with {} sources; sending is watched for {}",
            document.version,
            accepted.sources,
            humantime::format_duration(limit)
        );
        let remarks: Vec<String> = accepted.remarks.iter().map(ToString::to_string).collect();
        match remarks.is_empty() {
            true => say(Event::RuleTaken, PLACE, &detail),
            false => {
                say(Event::RuleTaken, PLACE, format_args!("{detail}; to be known: {}", remarks.join("; ")))
            }
        }
        self.tell("Success", "taken", detail);
        self.counters.rule("taken");
        self.counters.rule_refused(false);
        let again = self.kept.trying.take().filter(|trying| trying.version == document.version);
        let times = again.map_or(0, |trying| trying.times) + 1;
        self.kept.trying = Some(Trying { version: document.version.clone(), hash: document.hash(), times });
        self.kept.refused = None;
        self.save();
        self.watch(&accepted.config, reports);
        self.running = Some(document);
        self.show();
        self.board.change(|status| status.remarks = remarks);
        accepted.config
    }

    fn conclude(&mut self, reports: &[(String, Report)]) -> Option<Config> {
        let probation = self.probation.take()?;
        match probation.verdict(reports) {
            Verdict::Unknown => {
                self.probation = Some(probation.prolonged(Instant::now() + self.limit()));
                self.show();
                None
            }
            Verdict::Good => {
                self.kept.last_good.clone_from(&self.running);
                self.kept.trying = None;
                self.save();
                self.show();
                let version =
                    self.running.as_ref().map(|running| running.version.as_str()).unwrap_or_default();
                say(Event::RuleProven, PLACE, version);
                self.counters.rule("proven");
                None
            }
            Verdict::Bad(reasons) => {
                let document = self.running.take()?;
                self.kept.remember(&document.hash(), reasons.first().map_or("", String::as_str));
                self.refuse(&document.version, reasons, Event::RuleRolledBack);
                self.kept.trying = None;
                self.running.clone_from(&self.kept.last_good);
                self.save();
                Some(self.config())
            }
        }
    }

    /// Remembers a version that is not used, and says so once.
    fn refuse(&mut self, version: &str, reasons: Vec<String>, event: Event) {
        reasons.iter().for_each(|reason| say(event, PLACE, format_args!("{version}: {reason}")));
        let (key, outcome) = match event {
            Event::RuleRolledBack => ("rolled_back", "rolled_back"),
            _ => ("refused", "refused"),
        };
        let first = reasons.first().map(String::as_str).unwrap_or_default();
        self.tell("Error", key, format!("{version}: {} reasons, the first: {first}", reasons.len()));
        self.counters.rule(outcome);
        self.counters.rule_refused(true);
        let rolled_back = event == Event::RuleRolledBack;
        self.kept.refused = Some(Refused { version: version.to_owned(), at: now(), reasons, rolled_back });
    }

    fn tell(&mut self, status: &'static str, key: &'static str, detail: String) {
        self.news.push((status, key, detail));
    }

    /// Returns what is to be told to the workspaces.
    pub(super) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    fn save(&self) {
        if let Err(error) = self.store.save(&self.kept) {
            say(Event::DiskTrouble, PLACE, format_args!("it cannot be kept for the next start: {error}"));
        }
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}
