//! Operation records: every loss, truncation and restart is told to the workspaces themselves.
//!
//! Losses are counted where they happen; here the counts are compared with what was told before, once a
//! minute, so that a storm of losses is one row a minute and kind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp as Time;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::collect::inlet::Inlet;
use crate::counters::Counters;
use crate::counters::Loss;
use crate::events::Event;
use crate::events::say;
use crate::record::Column;
use crate::record::Frames;
use crate::record::Table;
use crate::record::Timestamp;

/// How often losses are told.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// What the agent tells about itself.
pub(super) struct Operations {
    inlet: Inlet,
    counters: Counters,
    told: Told,
}

/// What was told already, by place; a reload begins no new count. Clones are the same.
pub(super) type Told = Arc<Mutex<HashMap<(String, Loss), u64>>>;

/// How the agent ended the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastEnd {
    /// There was no last time.
    Never,
    /// It was stopped.
    Orderly,
    /// It was killed, or the machine went down.
    Abrupt,
}

impl Operations {
    /// Begins with an inlet into every workspace.
    pub(super) fn new(inlet: Inlet, counters: Counters, told: Told) -> Self {
        Self { inlet, counters, told }
    }

    /// Tells that the agent has started, and how it ended before.
    pub(super) fn started(&self, last: LastEnd) {
        let (status, detail) = match last {
            LastEnd::Never => ("Success", "agent-lite has started for the first time"),
            LastEnd::Orderly => ("Success", "agent-lite has started; it was stopped in order before"),
            LastEnd::Abrupt => (
                "Warning",
                "agent-lite has started; before it was killed or the machine went down: what its queues had is kept, a batch in flight is sent again",
            ),
        };
        self.write(&[Row { category: "Agent", status, key: "started", detail: detail.to_owned() }]);
    }

    /// Tells that this machine is a clone.
    pub(super) fn cloned(&self, detail: String) {
        self.write(&[Row { category: "Agent", status: "Warning", key: "cloned", detail }]);
    }

    /// Tells the losses since the last call.
    fn tell(&self) {
        let mut rows = Vec::new();
        let mut all_told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, loss, count) in self.counters.losses() {
            let told = all_told.entry((place.clone(), loss)).or_default();
            let more = count.saturating_sub(*told);
            if more > 0 {
                *told = count;
                let detail = format!("{place}: {more} {}; {count} since the start", loss.sentence());
                say(Event::Lost, &place, format_args!("{more} {}", loss.sentence()));
                rows.push(Row { category: "Loss", status: "Warning", key: loss.label(), detail });
            }
        }
        drop(all_told);
        self.write(&rows);
    }

    /// Tells losses until it is stopped, and once more then.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = time::interval(EVERY);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.tell();
        }
        self.tell();
    }

    fn write(&self, rows: &[Row]) {
        let mut frames = Frames::default();
        let now = Timestamp(Time::now().as_microsecond());
        for row in rows {
            frames
                .begin(now)
                .text(Column::Solution, "agent-lite")
                .text(Column::OperationCategory, row.category)
                .text(Column::OperationStatus, row.status)
                .text(Column::OperationKey, row.key)
                .text(Column::Detail, &row.detail)
                .finish();
        }
        self.inlet.offer(&Table::Operation, &frames);
    }
}

struct Row {
    category: &'static str,
    status: &'static str,
    key: &'static str,
    detail: String,
}
