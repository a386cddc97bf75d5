//! What `/readyz` says: a status, and a line for each canary and each class without one.

use std::fmt::Write;

use http::HeaderMap;
use http::StatusCode;
use http::header;

use crate::observe::readiness::CanarySnapshot;
use crate::observe::readiness::ReadinessSnapshot;

/// Returns 200 when the gateway is ready, else 503.
pub(super) fn status(snapshot: &ReadinessSnapshot) -> StatusCode {
    if snapshot.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Says whether JSON is asked for.
pub(super) fn is_json(query: Option<&str>, headers: &HeaderMap) -> bool {
    let accepted = || headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    query.is_some_and(|query| query.split('&').any(|part| part == "format=json"))
        || accepted().contains("application/json")
}

/// Returns the text for people: the verdict first.
pub(super) fn text(snapshot: &ReadinessSnapshot) -> String {
    let mut text = match (snapshot.draining, snapshot.ready) {
        (true, _) => "draining\n".to_owned(),
        (false, true) => "ready\n".to_owned(),
        (false, false) => "not ready\n".to_owned(),
    };
    // Writing into a String does not fail.
    for canary in &snapshot.canaries {
        let (class, state, host) = (canary.class.label(), canary.state.label(), &canary.host);
        let _ = writeln!(text, "{class:<20} {state:<8} {host}{}", remark(canary));
    }
    let why = match snapshot.walking {
        true => "no name is known; write one in `[readiness] canaries`",
        false => "`[readiness] interval` is 0s",
    };
    for class in &snapshot.not_probed {
        let _ = writeln!(text, "{:<20} not probed: {why}", class.label());
    }
    text
}

fn remark(canary: &CanarySnapshot) -> String {
    let took = canary.took_ms.unwrap_or_default();
    let ago = canary.age_seconds.unwrap_or_default();
    match &canary.failure {
        None if canary.took_ms.is_none() => ", not walked yet".to_owned(),
        None => format!(", {took} ms, {ago} s ago"),
        Some(failure) => format!(
            ": {}: {}: {}; {} in a row, {ago} s ago",
            failure.station.label(),
            failure.reason,
            failure.detail,
            canary.failures
        ),
    }
}
