use std::time::Duration;

use super::*;
use crate::config::settings::HeartbeatSettings;
use crate::config::settings::PerformanceSettings;

/// A workspace of a story, told in steps before and after a rule was taken.
struct Story {
    report: Report,
    before: Option<Probation>,
}

fn perf() -> Vec<Source> {
    let kind = SourceKind::Performance(PerformanceSettings { counters: Vec::new() });
    vec![Source { name: "performance.dcr".to_owned(), workspaces: vec!["main".to_owned()], kind }]
}

impl Story {
    fn new() -> Self {
        Self { report: Report::default(), before: None }
    }

    fn reports(&self) -> Vec<(String, Report)> {
        vec![("main".to_owned(), self.report.clone())]
    }

    fn taken(mut self) -> Self {
        self.before = Some(Probation::begin(&perf(), Instant::now(), self.reports()));
        self
    }

    /// Another rule, while the one before is still on probation.
    fn taken_again(mut self) -> Self {
        let now = Probation::begin(&perf(), Instant::now(), self.reports());
        self.before = Some(now.after(self.before.take()));
        self
    }

    fn delivered(self, table: Table) -> Self {
        self.report.note_delivery(&table);
        self
    }

    fn refused(self, table: Table) -> Self {
        self.report.refused(&table, "404");
        self
    }

    fn trouble(self, cause: Cause) -> Self {
        self.report.trouble("403", cause);
        self
    }

    fn verdict(self) -> Verdict {
        self.before.as_ref().unwrap().verdict(&self.reports())
    }
}

fn bad(reason: &str) -> Verdict {
    Verdict::Bad(vec![reason.to_owned()])
}

#[tokio::test]
async fn a_rule_is_good_as_long_as_sending_goes_on() {
    let new = || Story::new().delivered(Table::Heartbeat);
    assert_eq!(new().taken().verdict(), Verdict::Good, "nothing came yet");
    assert_eq!(new().taken().delivered(Table::Perf).verdict(), Verdict::Good);
    let mixed = new().taken().refused(Table::Perf).delivered(Table::Perf);
    assert_eq!(mixed.verdict(), Verdict::Good, "some were taken");
    let other = new().taken().refused(Table::Syslog);
    assert_eq!(other.verdict(), Verdict::Good, "the table of another source");
    let old = Story::new().refused(Table::Perf).taken().refused(Table::Perf);
    assert_eq!(old.verdict(), Verdict::Good, "it was so before");
}

#[tokio::test]
async fn a_rule_is_bad_when_its_table_has_no_place_or_the_workspace_takes_nothing_any_more() {
    let new = || Story::new().delivered(Table::Heartbeat);
    let reason = "workspace main, table Perf: 404";
    assert_eq!(new().taken().refused(Table::Perf).verdict(), bad(reason));
    let others_go_on = new().taken().refused(Table::Perf).delivered(Table::Heartbeat);
    assert_eq!(others_go_on.verdict(), bad(reason));
    let worked_before = new().delivered(Table::Perf).taken().refused(Table::Perf);
    assert_eq!(worked_before.verdict(), bad(reason));
    let silent = new().taken().trouble(Cause::Service);
    assert_eq!(silent.verdict(), bad("workspace main takes nothing any more: 403"));
}

#[tokio::test]
async fn an_outage_says_nothing_about_a_rule() {
    let new = || Story::new().delivered(Table::Heartbeat);
    assert_eq!(new().taken().trouble(Cause::Way).verdict(), Verdict::Unknown);
    assert_eq!(
        new().trouble(Cause::Service).taken().trouble(Cause::Service).verdict(),
        Verdict::Good,
        "it was so before"
    );
    assert_eq!(
        Story::new().taken().trouble(Cause::Service).verdict(),
        Verdict::Good,
        "nothing was ever taken"
    );
    let alive = new().taken().delivered(Table::Heartbeat).trouble(Cause::Service);
    assert_eq!(alive.verdict(), Verdict::Good);
}

#[tokio::test]
async fn tables_are_those_of_the_rules_sources() {
    let kind = SourceKind::Heartbeat(HeartbeatSettings { every: Duration::from_secs(60) });
    let everywhere = [Source { name: "heartbeat.dcr".to_owned(), workspaces: Vec::new(), kind }];
    let report = Report::default();
    let reports = vec![("main".to_owned(), report.clone())];
    let probation = Probation::begin(&everywhere, Instant::now(), reports.clone());
    report.refused(&Table::Heartbeat, "no");
    assert_eq!(probation.verdict(&reports), bad("workspace main, table Heartbeat: no"));
}

#[tokio::test]
async fn a_rule_that_stops_sending_is_not_proven_by_being_taken_again() {
    let new = || Story::new().delivered(Table::Perf);
    let silent = new().taken().trouble(Cause::Service).taken_again();
    assert_eq!(silent.verdict(), bad("workspace main takes nothing any more: 403"));
    let refused = Story::new().delivered(Table::Heartbeat).taken().refused(Table::Perf).taken_again();
    assert_eq!(refused.verdict(), bad("workspace main, table Perf: 404"));
    assert_eq!(new().taken().taken_again().delivered(Table::Perf).verdict(), Verdict::Good);
}
