//! Performance counters by PDH: of Wine's two, and one that is not there.

use end_to_end::agent::Agent;

use crate::agent_stage::By;
use crate::stage;

/// Event: a source has trouble.
const TROUBLE: u64 = 506;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn counters_come_by_their_english_names_and_one_that_is_missing_stops_no_other() {
    let stage = stage().await;
    stage.configure(
        &[By::Key],
        "[source.performance.some]\ncounters = [\n\
         { object = \"Processor\", counters = [\"% Processor Time\"], instances = [\"_Total\"], every = \"1s\" },\n\
         { object = \"System\", counters = [\"No Such Counter\", \"System Up Time\"], every = \"1s\" },\n]\n",
    );
    let agent = Agent::start(&stage.home).await;
    let rows = stage.fake.wait_for_rows(stage.id(0), &By::Key.table("Perf"), 6).await;
    let find = |name: &str| {
        let of = |row: &&end_to_end::workspace::Row| row.columns.values().any(|value| value == name);
        rows.iter().find(of).unwrap_or_else(|| panic!("no {name}: {rows:?}"))
    };
    let number = |name: &str| {
        let columns = &find(name).columns;
        let value = columns.iter().find(|(name, _)| name.starts_with("CounterValue")).unwrap().1;
        value.as_f64().unwrap()
    };
    assert!((0.0..=100.0).contains(&number("% Processor Time")));
    assert!(find("% Processor Time").columns.values().any(|value| value == "_Total"));
    assert!((1.0..4e9).contains(&number("System Up Time")));
    let trouble = agent.wait_for_event(TROUBLE).await;
    assert!(trouble.text("detail").contains(r"\System\No Such Counter"), "{trouble:?}");
}
