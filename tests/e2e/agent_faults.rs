//! What services do to an agent, each to a workspace of its own beside the others, and what arrives all the same.

use std::time::Duration;
use std::time::Instant;

use end_to_end::record::Record;
use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Fault;
use end_to_end::workspace::Place;
use end_to_end::workspace::RetryAfter;

use crate::agent_load::append_series;
use crate::agent_load::send_lines;
use crate::agent_load::send_series;
use crate::agent_load::syslog;
use crate::agent_load::text;
use crate::agent_trial::By;
use crate::agent_trial::QUICK;
use crate::agent_trial::RECORDS_REJECTED;
use crate::agent_trial::Trial;
use crate::agent_trial::UPLOAD_FAILED;
use crate::agent_trial::UPLOAD_RESUMED;
use crate::agent_trial::wait_for;

const FILES: &str = "[source.files.app]\npaths = [\"{logs}/*.log\"]\ntable = \"App_CL\"\nfrom = \"beginning\"\nlook = \"200ms\"\n";
const SYSLOG: &str = "[source.syslog.local]\ntcp = [\"127.0.0.1:0\"]\n";
/// Records of a series, and the bytes of each: some segments.
const MANY: u64 = 1000;
const LENGTH: usize = 200;
/// The shortest wait of an agent that is not let in.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// One workspace's trouble.
struct Case {
    by: By,
    faults: Vec<Fault>,
    /// The status that stands for the trouble, and how many requests got it.
    refused: Option<(u16, usize)>,
    /// Requests that may be doubled.
    doubled: u64,
}

impl Case {
    fn new(by: By, faults: Vec<Fault>) -> Self {
        Self { by, faults, refused: None, doubled: 0 }
    }

    fn refused(mut self, status: u16, requests: usize) -> Self {
        self.refused = Some((status, requests));
        self
    }

    fn doubles(mut self, requests: u64) -> Self {
        self.doubled = requests;
        self
    }
}

fn place(by: By) -> Place {
    match by {
        By::Token => Place::Ingestion,
        By::Key => Place::Collector,
        By::Certificate => Place::Items,
    }
}

fn table(by: By) -> &'static str {
    if by == By::Key { "AgentLiteSyslog_CL" } else { "Syslog" }
}

fn cases() -> Vec<Case> {
    let data = |fault: Fault| fault.at(Place::Ingestion);
    let seconds = |status, wait| Fault::status(status).retry_after(RetryAfter::Seconds(wait));
    let date = |status, wait| Fault::status(status).retry_after(RetryAfter::Date(wait));
    let token = |fault: Fault| fault.at(Place::Token);
    let one = |fault| Case::new(By::Token, vec![fault]);
    let slow = Duration::from_millis(1);
    vec![
        Case::new(By::Token, vec![]),
        one(data(seconds(429, 2).times(2))).refused(429, 2),
        one(data(date(503, 3).times(1))).refused(503, 1),
        one(data(Fault::status(500).times(2))).refused(500, 2),
        one(data(Fault::status(403).times(1))).refused(403, 1),
        one(data(Fault::status(401).times(1))).refused(401, 1),
        one(data(Fault::reset_reading(500).times(2))),
        one(data(Fault::lost_answer().containing("t-seq=").times(1))).doubles(1),
        one(data(Fault::slow_reading(200_000))),
        Case::new(By::Token, vec![token(seconds(429, 2).times(1)), data(Fault::delay(slow))]),
        one(token(Fault::chunked())),
        one(token(Fault::trickle(slow))),
        one(token(Fault::gzip())),
        Case::new(By::Key, vec![seconds(429, 2).at(Place::Collector).times(1)]).refused(429, 1),
        Case::new(By::Key, vec![Fault::reset_answer().containing("t-seq=").at(Place::Collector).times(1)])
            .doubles(1),
        Case::new(By::Certificate, vec![Fault::lost_answer().containing("t-seq=").at(Place::Items).times(1)])
            .doubles(1),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trouble_of_a_service_passes_without_a_loss_and_the_other_workspaces_go_on() {
    let cases = cases();
    let trial = Trial::new(cases.len()).await;
    let ways: Vec<_> = cases.iter().map(|case| (case.by, "")).collect();
    trial.configure(&ways, &format!("{QUICK}{SYSLOG}"));
    trial.onboard(cases.len() - 1).await;
    for (number, case) in cases.iter().enumerate() {
        for fault in &case.faults {
            trial.fake.fault(fault.clone().of(trial.id(number)));
        }
    }
    let agent = trial.start().await;
    send_series(agent.tcp(), "t", 0..MANY, LENGTH).await;
    for (number, case) in cases.iter().enumerate() {
        trial.wait_for_series(number, table(case.by), "t", MANY).await;
    }
    trial.drain().await;
    for (number, case) in cases.iter().enumerate() {
        let (id, faults) = (trial.id(number), &case.faults);
        let requests = trial.fake.requests_at(id, place(case.by));
        if let Some((status, expected)) = case.refused {
            let refused = requests.iter().filter(|request| request.status == Some(status)).count();
            assert_eq!(refused, expected, "{faults:?}");
        }
        assert_eq!(trial.fake.early(id), 0, "{faults:?}");
        if case.doubled == 0 {
            trial.assert_whole(number, table(case.by), "t", MANY);
            continue;
        }
        let batch = requests.iter().map(|request| request.rows).max().unwrap_or_default();
        let doubled = trial.fake.sequence(id, table(case.by), "t").doubled();
        assert!(
            doubled > 0 && doubled <= batch * case.doubled,
            "{doubled}, {batch} rows at most: {faults:?}"
        );
    }
    let replaced = trial.fake.requests_at(trial.id(5), Place::Token).len();
    assert_eq!(replaced, 2, "a refused token is replaced once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_refused_for_ever_is_found_set_aside_and_told_and_all_others_arrive_once() {
    const POISON: u64 = 777;
    let trial = Trial::new(4).await;
    let ways = [(By::Token, ""), (By::Token, ""), (By::Key, ""), (By::Token, "")];
    trial.configure(&ways, &format!("{}{SYSLOG}", QUICK.replace("64KiB", "512KiB")));
    for (number, status) in [(0, 400), (1, 413), (2, 400)] {
        let place = place(ways[number].0);
        trial.fake.fault(Fault::status(status).containing("POISON").of(trial.id(number)).at(place));
    }
    let large = Fault::status(413).above(100_000).of(trial.id(3)).at(Place::Ingestion);
    trial.fake.fault(large);
    let mut agent = trial.start().await;
    let record = |number| match number {
        POISON => syslog(&format!("{} POISON", text("t", number, 1500))),
        _ => syslog(&text("t", number, 1500)),
    };
    send_lines(agent.tcp(), (0..MANY).map(record)).await;
    trial.wait_for_series(3, "Syslog", "t", MANY).await;
    trial.drain().await;
    let status = trial.status().await;
    for (number, (by, _)) in ways.iter().enumerate().take(3) {
        let sequence = trial.fake.sequence(trial.id(number), table(*by), "t");
        assert_eq!((sequence.missing(MANY), sequence.doubled()), (vec![POISON], 0), "workspace {number}");
        assert_eq!(status.workspace_losses(number).get("rejected"), Some(&1), "{status:?}");
        let folder = trial.home.path().join(format!("state/spool/w{number}/rejected"));
        let aside =
            std::fs::read_dir(folder).expect("a folder").map(|file| std::fs::read(file.unwrap().path()));
        let aside: Vec<u8> = aside.flat_map(Result::unwrap).collect();
        let found = memchr::memmem::find_iter(&aside, b"-seq=").count();
        assert!(found == 1 && memchr::memmem::find(&aside, b"POISON").is_some(), "{found} records set aside");
    }
    let said = agent.events(RECORDS_REJECTED);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().all(|record| record.text("detail").contains("`rejected`")), "{said:?}");
    trial.assert_whole(3, "Syslog", "t", MANY);
    let large = trial.fake.requests_at(trial.id(3), Place::Ingestion);
    let refused = large.iter().filter(|request| request.status == Some(413)).count();
    assert!((1..=4).contains(&refused), "what was too large is remembered: {refused}");
    // Losses are told once a minute, and at the end: the next start sends it.
    agent.terminate().await;
    agent.exit_status().await;
    let _agent = trial.start().await;
    for number in 0..3 {
        trial.wait_for_operation(number, "rejected").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_stream_and_a_token_that_is_never_taken_wait_slowly_and_hold_up_nothing_else() {
    let trial = Trial::new(3).await;
    trial.configure(&[(By::Token, ""); 3], &format!("{QUICK}{SYSLOG}{FILES}"));
    let missing = Fault::status(404).of(trial.id(0)).at(Place::Ingestion).containing("\"RawData\"");
    let missing = trial.fake.fault(missing);
    let refused = trial.fake.fault(Fault::status(401).of(trial.id(1)).at(Place::Ingestion));
    let (agent, began) = (trial.start().await, Instant::now());
    append_series(&trial.log("app.log"), "f", 0..MANY, LENGTH);
    let waits = |record: &Record| record.text("detail").contains("table App_CL waits");
    wait_for(agent.log(), UPLOAD_FAILED, waits).await;
    send_series(agent.tcp(), "t", 0..MANY, LENGTH).await;
    trial.wait_for_series(0, "Syslog", "t", MANY).await;
    trial.wait_for_series(2, "Syslog", "t", MANY).await;
    trial.wait_for_series(2, "App_CL", "f", MANY).await;
    assert_eq!(trial.fake.count(trial.id(0), "App_CL"), 0);
    let tokens = trial.fake.requests_at(trial.id(1), Place::Token).len();
    assert_eq!(tokens, 2, "one token more, and no third");
    let requests = trial.fake.requests_at(trial.id(1), Place::Ingestion).len();
    let most = 2 + (began.elapsed().as_secs_f64() / SHORTEST_WAIT.as_secs_f64()) as usize;
    assert!((2..=most).contains(&requests), "{requests} requests, at most {most}");
    let advises = |record: &Record| record.text("detail").contains("look at tenant, client");
    wait_for(agent.log(), UPLOAD_FAILED, advises).await;
    trial.fake.clear(missing);
    trial.fake.clear(refused);
    for number in 0..3 {
        trial.wait_for_series(number, "Syslog", "t", MANY).await;
        trial.wait_for_series(number, "App_CL", "f", MANY).await;
        trial.assert_whole(number, "Syslog", "t", MANY);
        trial.assert_whole(number, "App_CL", "f", MANY);
    }
    agent.wait_for_event(UPLOAD_RESUMED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_by_twenty_minutes_are_named_and_never_make_a_request_early() {
    let trial = Trial::new(2).await;
    trial.configure(&[(By::Token, ""), (By::Key, "")], &format!("{QUICK}{SYSLOG}"));
    trial.fake.shift_clock(-20);
    let date = Fault::status(429).retry_after(RetryAfter::Date(2)).times(1);
    trial.fake.fault(date.clone().of(trial.id(0)).at(Place::Ingestion));
    trial.fake.fault(date.of(trial.id(0)).at(Place::Token));
    let mut agent = trial.start().await;
    send_series(agent.tcp(), "t", 0..MANY, LENGTH).await;
    let said = wait_for(agent.log(), UPLOAD_FAILED, |record| record.is("place", "w1")).await;
    assert!(said.text("detail").contains("this machine's clock is 20m ahead: set it"), "{said:?}");
    trial.wait_for_series(0, "Syslog", "t", MANY).await;
    // Who is not let in waits long: a start anew does not.
    trial.fake.shift_clock(0);
    agent.terminate().await;
    agent.exit_status().await;
    let _agent = trial.start().await;
    for (number, table) in [(0, "Syslog"), (1, "AgentLiteSyslog_CL")] {
        trial.wait_for_series(number, table, "t", MANY).await;
        trial.assert_whole(number, table, "t", MANY);
        assert_eq!(trial.fake.early(trial.id(number)), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_gets_its_lines_once_whichever_of_its_four_calls_fails() {
    let trial = Trial::new(4).await;
    trial.configure(&[(By::Certificate, ""); 4], &format!("{QUICK}{FILES}"));
    for number in 0..4 {
        trial.onboard(number).await;
    }
    let once = |number, place, fault: Fault| {
        trial.fake.fault(fault.of(trial.id(number)).at(place).times(1));
    };
    once(0, Place::BlobUri, Fault::status(500));
    once(0, Place::BlobUri, Fault::gzip());
    once(0, Place::Block, Fault::reset_reading(1000));
    once(0, Place::BlockList, Fault::status(503).retry_after(RetryAfter::Seconds(1)));
    once(0, Place::BlobDone, Fault::status(429).retry_after(RetryAfter::Seconds(1)));
    once(1, Place::BlobDone, Fault::lost_answer());
    once(2, Place::BlockList, Fault::lost_answer());
    once(3, Place::BlockList, Fault::reset_answer());
    let _agent = trial.start().await;
    append_series(&trial.log("app.log"), "f", 0..MANY, LENGTH);
    for number in 0..4 {
        trial.wait_for_series(number, "App_CL", "f", MANY).await;
        assert_eq!(trial.fake.early(trial.id(number)), 0);
    }
    trial.drain().await;
    for number in 0..4 {
        let sequence = trial.fake.sequence(trial.id(number), "App_CL", "f");
        let batch = trial.fake.requests_at(trial.id(number), Place::BlobDone);
        let batch = batch.iter().map(|request| request.rows).max().unwrap_or_default();
        assert_eq!(sequence.count_missing(MANY), 0);
        // The service makes rows of what it was told of, and of the third call's lines it is told once.
        let most = if number < 2 { batch } else { 0 };
        assert!(sequence.doubled() <= most, "workspace {number}: {} of {most}", sequence.doubled());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_between_the_third_and_fourth_call_of_a_blob_loses_and_doubles_no_line() {
    let trial = Trial::new(1).await;
    trial.configure(&[(By::Certificate, "")], &format!("{QUICK}{FILES}"));
    trial.onboard(0).await;
    let told_nothing = trial.fake.fault(Fault::status(503).at(Place::BlobDone));
    let mut agent = trial.start().await;
    append_series(&trial.log("app.log"), "f", 0..MANY, LENGTH);
    let refused = |fake: &FakeWorkspaces| {
        let requests = fake.requests_at(trial.id(0), Place::BlobDone);
        requests.iter().filter(|request| request.status == Some(503)).count()
    };
    let more_than = |known: usize| move |fake: &FakeWorkspaces| (refused(fake) > known).then_some(());
    trial.fake.wait_for("a notification that is refused", more_than(0)).await;
    // Else the lines whose position is not on the disk are read again, and come twice.
    trial.until_saved("app.log").await;
    agent.kill9().await;
    // What the killed one had on its way is refused, too: the next one's is not before it.
    let known = refused(&trial.fake);
    let _agent = trial.start().await;
    trial.fake.wait_for("another", more_than(known + 1)).await;
    trial.fake.clear(told_nothing);
    trial.wait_for_series(0, "App_CL", "f", MANY).await;
    trial.drain().await;
    trial.assert_whole(0, "App_CL", "f", MANY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_blob_that_has_no_line_in_it_may_be_too_large_and_no_line_is_lost() {
    let trial = Trial::new(1).await;
    trial.configure(&[(By::Certificate, "")], &format!("{QUICK}{FILES}"));
    trial.onboard(0).await;
    for place in [Place::BlobUri, Place::BlockList, Place::BlobDone] {
        trial.fake.fault(Fault::status(413).at(place).times(1));
    }
    let _agent = trial.start().await;
    // A line that stands alone has no halves: it would be set aside.
    append_series(&trial.log("app.log"), "f", 0..1, LENGTH);
    trial.wait_for_series(0, "App_CL", "f", 1).await;
    trial.drain().await;
    assert_eq!(trial.status().await.workspace_losses(0), std::collections::BTreeMap::new());
}
