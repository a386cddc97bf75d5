use std::path::Path;

use common::document::Source;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::parse;
use crate::record::Table;

const ID: &str = "aaaaaaaa-0000-0000-0000-000000000001";

/// A state folder, the rule of an agent that runs with it, and how its workspace is.
struct Stage {
    _folder: TempDir,
    local: Config,
    rule: Rule,
    report: Report,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[gateway]\nproxies = [\"gw\"]\n[agent]\nstate = {:?}\n[workspace.main]\ntransport = \"log-analytics-agent\"\n\
             id = \"{ID}\"\n[data_collection_rule]\nfile = \"rule.json\"\n",
            folder.path()
        );
        let local = parse(Source { file: Path::new("/etc/al/agent.toml"), text: &text }, "host").unwrap();
        let report = Report::default();
        report.note_delivery(&Table::Heartbeat);
        Self { rule: opened(&local), _folder: folder, local, report }
    }

    fn start_again(&mut self) {
        self.rule = opened(&self.local);
    }

    fn reports(&self) -> Reports {
        vec![("main".to_owned(), self.report.clone())]
    }

    /// Returns whether the document runs now.
    fn takes(&mut self, version: &str, bytes: &[u8]) -> bool {
        let document = Document::new(Some(version.to_owned()), bytes);
        self.rule.judge(Happening::Arrived(document), self.reports()).is_some()
    }

    /// Returns whether another rule runs now.
    fn probation_ends(&mut self) -> bool {
        self.rule.judge(Happening::ProbationEnds, self.reports()).is_some()
    }

    /// Takes a document, and sending stops.
    fn rolls_back(&mut self, version: &str, bytes: &[u8]) {
        assert!(self.takes(version, bytes), "{version}");
        self.report.refused(&Table::Syslog, "404");
        assert!(self.probation_ends(), "{version}");
    }

    fn refused(&self) -> Vec<String> {
        self.rule.board().unwrap().status().refused.map(|refused| refused.reasons).unwrap_or_default()
    }
}

fn opened(local: &Config) -> Rule {
    Rule::open(local.clone(), LastEnd::Orderly, Counters::new())
}

fn document(facility: &str) -> Vec<u8> {
    let document: Value = json!({
        "dataSources": { "syslog": [
            { "name": "a", "streams": ["Microsoft-Syslog"], "facilityNames": [facility], "logLevels": ["Error"] }
        ] },
        "destinations": { "logAnalytics": [{ "name": "la", "workspaceId": ID }] },
        "dataFlows": [{ "streams": ["Microsoft-Syslog"], "destinations": ["la"] }]
    });
    document.to_string().into_bytes()
}

#[tokio::test]
async fn a_document_that_was_rolled_back_gets_no_other_probation_because_another_one_came_in_between() {
    let mut stage = Stage::new();
    stage.rolls_back("1", &document("auth"));
    assert!(stage.takes("2", &document("cron")));
    assert!(!stage.probation_ends() && stage.refused().is_empty(), "the table was refused before it came");
    for version in ["3", "4"] {
        assert!(!stage.takes(version, &document("auth")), "{version}");
        assert!(
            stage.refused()[0].contains("sending stopped with this document before"),
            "{:?}",
            stage.refused()
        );
        assert!(!stage.takes(&format!("{version}b"), b"{"), "what is no rule at all comes in between");
        stage.start_again();
    }
    assert!(!stage.takes("5", &document("auth")), "after a start, too");
}

#[tokio::test]
async fn a_reload_has_all_of_them_tried_again_and_a_start_behind_it_does_not_forget_that() {
    let mut stage = Stage::new();
    stage.rolls_back("1", &document("auth"));
    stage.start_again();
    assert!(!stage.refused().is_empty() && !stage.takes("1", &document("auth")));
    stage.rule.adopt(stage.local.clone());
    assert!(stage.refused().is_empty());
    stage.start_again();
    assert!(stage.refused().is_empty(), "{:?}", stage.refused());
    assert!(stage.takes("1", &document("auth")));
}

#[tokio::test]
async fn a_document_that_is_no_utf_8_is_refused_as_that_and_not_read_with_other_letters() {
    let mut stage = Stage::new();
    let text =
        String::from_utf8(document("auth")).unwrap().replace("\"name\":\"a\"", "\"name\":\"Stra\u{df}e\"");
    let ansi: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
    assert!(stage.takes("1", text.as_bytes()));
    assert!(!stage.takes("2", &ansi));
    assert!(stage.refused()[0].contains("is not UTF-8"), "{:?}", stage.refused());
}
