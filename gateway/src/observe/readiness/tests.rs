use super::*;

use common::host_port::HostName;

use crate::policy::canaries;
use crate::policy::destinations::Destinations;
use crate::policy::destinations::Origin;
use crate::policy::destinations::Pins;
use crate::policy::destinations::Rule;
use crate::policy::readiness::Station;

const TOKEN: &str = "login.microsoftonline.com";
const UPLOAD: &str = "a.ods.opinsights.azure.com";
const TOOK: Duration = Duration::from_millis(5);

fn settings(red_when: RedWhen) -> Settings {
    Settings { interval: Duration::from_secs(60), failures: 2, red_when }
}

fn plan(names: &[&str]) -> Canaries {
    let rules = names.iter().map(|text| {
        let pattern = text.parse().expect("a pattern");
        let origin = Origin::Configuration("test:1:1".into());
        Rule { class: Class::of(&pattern), pattern, origin, upload_cap: None }
    });
    let destinations = Destinations::new(rules, Pins::default());
    let each = || [(common::cloud::Cloud::Public, &destinations)];
    let named = names.iter().map(|name| {
        let name: HostName = name.parse().expect("a name");
        canaries::find(&name, each()).expect("allowed")
    });
    canaries::complete(named.collect(), each())
}

fn readiness(red_when: RedWhen, names: &[&str]) -> Readiness {
    let metrics = Arc::new(Metrics::new().expect("registers"));
    Readiness::new(settings(red_when), plan(names), metrics, CancellationToken::new())
}

/// Walks every canary once; those named here fail.
fn walk(readiness: &Readiness, failing: &[&str]) {
    let later = Instant::now() + Duration::from_secs(3600);
    let due: Vec<Canary> = std::iter::from_fn(|| readiness.due(later)).collect();
    assert!(!due.is_empty());
    for canary in due {
        let fails = failing.contains(&canary.host().as_str());
        let failure =
            Failure { station: Station::Dns, reason: "name_failed", detail: "no answer".to_owned() };
        readiness.note(&canary, TOOK, if fails { Err(failure) } else { Ok(()) }, 0);
    }
}

fn is_ready(readiness: &Readiness) -> bool {
    readiness.snapshot().ready
}

#[test]
fn it_is_not_ready_before_the_first_answer_and_ready_without_canaries() {
    let some = readiness(RedWhen::All, &[TOKEN, UPLOAD]);
    assert!(!is_ready(&some));
    walk(&some, &[TOKEN]);
    assert!(is_ready(&some));
    assert!(is_ready(&readiness(RedWhen::All, &[])));
    assert!(is_ready(&readiness(RedWhen::Any, &[])));
    assert!(is_ready(&readiness(RedWhen::Never, &[TOKEN])));
}

#[test]
fn it_is_red_after_several_failures_and_green_with_the_first_answer() {
    for red_when in [RedWhen::Any, RedWhen::All] {
        let readiness = readiness(red_when, &[TOKEN, UPLOAD]);
        walk(&readiness, &[]);
        walk(&readiness, &[TOKEN, UPLOAD]);
        assert!(is_ready(&readiness), "one failure is none");
        walk(&readiness, &[TOKEN, UPLOAD]);
        assert!(!is_ready(&readiness));
        let canary = &readiness.snapshot().canaries[0];
        assert_eq!((canary.state, canary.failures), (Standing::Down, 2));
        assert_eq!(canary.failure.as_ref().map(|failure| failure.station), Some(Station::Dns));
        walk(&readiness, &[TOKEN]);
        assert_eq!(is_ready(&readiness), red_when == RedWhen::All);
        walk(&readiness, &[]);
        assert!(is_ready(&readiness));
    }
}

#[test]
fn a_canary_that_a_reload_adds_holds_nothing_up_and_one_that_stays_keeps_its_course() {
    let readiness = readiness(RedWhen::Any, &[TOKEN]);
    walk(&readiness, &[]);
    walk(&readiness, &[TOKEN]);
    readiness.set(settings(RedWhen::Any), plan(&[TOKEN, UPLOAD]));
    assert!(is_ready(&readiness));
    let snapshot = readiness.snapshot();
    let seen: Vec<_> = snapshot
        .canaries
        .iter()
        .map(|canary| (canary.host.as_str(), canary.state, canary.failures))
        .collect();
    assert_eq!(seen, [(TOKEN, Standing::Up, 1), (UPLOAD, Standing::Unknown, 0)]);
    readiness.set(settings(RedWhen::Any), plan(&[UPLOAD]));
    assert_eq!(readiness.snapshot().canaries.len(), 1);
}

#[test]
fn a_successor_is_ready_before_it_knows_and_not_once_it_knows_better() {
    let readiness = readiness(RedWhen::Any, &[TOKEN, UPLOAD]);
    readiness.take_over();
    assert!(is_ready(&readiness));
    walk(&readiness, &[TOKEN]);
    walk(&readiness, &[TOKEN]);
    assert!(!is_ready(&readiness));
}

#[test]
fn leaving_is_red_for_good() {
    let readiness = readiness(RedWhen::Never, &[TOKEN]);
    assert!(is_ready(&readiness));
    readiness.leaving.cancel();
    walk(&readiness, &[]);
    let snapshot = readiness.snapshot();
    assert!(!snapshot.ready && snapshot.draining);
}

#[test]
fn without_walks_every_class_is_told_as_not_probed_and_nothing_is_due() {
    let readiness = readiness(RedWhen::Any, &[TOKEN]);
    let off = Settings { interval: Duration::ZERO, ..settings(RedWhen::Any) };
    readiness.set(off, plan(&[TOKEN, UPLOAD]));
    let snapshot = readiness.snapshot();
    assert!(snapshot.ready && !snapshot.walking && snapshot.canaries.is_empty());
    assert_eq!(snapshot.not_probed, [Class::Token, Class::Ingestion]);
    assert!(readiness.next().is_none());
}

#[test]
fn a_canary_under_way_is_not_due_again_and_the_next_walk_has_its_time() {
    let readiness = readiness(RedWhen::All, &[TOKEN]);
    let now = Instant::now();
    let canary = readiness.due(now).expect("due at once");
    assert!(readiness.due(now + Duration::from_secs(3600)).is_none());
    assert!(readiness.next().is_none());
    readiness.note(&canary, TOOK, Ok(()), 0);
    assert!(readiness.due(now).is_none());
    assert!(readiness.next().is_some_and(|next| next >= now + Duration::from_secs(54)));
}

#[test]
fn metrics_show_each_class_and_no_series_appears_later() {
    let readiness = readiness(RedWhen::All, &[TOKEN, UPLOAD]);
    let text = || readiness.metrics.text(None).expect("encodes");
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = series(&text());
    walk(&readiness, &[TOKEN]);
    walk(&readiness, &[TOKEN]);
    let text = text();
    assert_eq!(series(&text), before);
    for line in [
        "la_gateway_canaries{class=\"token\",state=\"down\"} 1",
        "la_gateway_canaries{class=\"ingestion\",state=\"up\"} 1",
        "la_gateway_canaries{class=\"blob\",state=\"up\"} 0",
        "la_gateway_canary_failures_total{class=\"token\",station=\"dns\"} 2",
        "la_gateway_canary_seconds{class=\"token\"} 0.005",
        "la_gateway_ready 1",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
    }
}
