//! The status of a running gateway as lines of text. What a newer gateway says beyond this stands in the JSON.

use serde_json::Value;

use super::count;

/// Most silent clients that are named.
const MOST_NAMED: usize = 5;

/// Returns a status as lines of text.
pub(super) fn text(status: &Value) -> String {
    let mut lines = vec![
        (
            "gateway",
            format!(
                "la-gateway {}, process {}, up {} s",
                one(status, "version"),
                one(status, "pid"),
                one(status, "uptime_seconds")
            ),
        ),
        ("state", state(status)),
        ("listeners", listeners(status)),
        ("admin", one(status, "admin")),
        ("tunnels", tunnels(status)),
    ];
    lines.extend(canaries(status).into_iter().map(|text| ("fails", text)));
    lines.extend(fleet(status).into_iter().map(|text| ("clients", text)));
    lines.push(("policy", one(status, "policy")));
    let reload = status.get("reload").unwrap_or(&Value::Null);
    lines.extend(texts(reload, "problems").into_iter().map(|problem| ("refused", problem)));
    lines.extend(texts(reload, "waits").into_iter().map(|wait| ("waits", wait)));
    lines.iter().map(|(name, value)| format!("{name:<10} {}\n", printable(value))).collect()
}

/// A terminal is sent no control characters, whoever answered.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn state(status: &Value) -> String {
    let state = one(status, "state");
    let left = status.get("seconds_left").and_then(Value::as_u64);
    let state = left.map_or(state.clone(), |left| format!("{state}, {left} s left"));
    match status.get("ready").and_then(Value::as_bool) {
        Some(true) => format!("{state}; ready"),
        _ => format!("{state}; not ready"),
    }
}

fn listeners(status: &Value) -> String {
    let all: Vec<String> = all(status, "listeners")
        .map(|listener| {
            let is = |name: &str| listener.get(name).and_then(Value::as_bool) == Some(true);
            let speaks: Vec<&str> = [("plain", "http"), ("tls", "https"), ("proxy_protocol", "PROXY")]
                .into_iter()
                .filter(|(name, _)| is(name))
                .map(|(_, word)| word)
                .collect();
            format!("{} ({})", one(listener, "address"), speaks.join(", "))
        })
        .collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn tunnels(status: &Value) -> String {
    let number = status.get("tunnels").and_then(Value::as_u64).unwrap_or_default();
    count(usize::try_from(number).unwrap_or(usize::MAX), "tunnel")
}

/// Returns the canaries that fail.
fn canaries(status: &Value) -> Vec<String> {
    let readiness = status.get("readiness").unwrap_or(&Value::Null);
    let failing = all(readiness, "canaries").filter_map(|canary| {
        let failure = canary.get("failure").filter(|failure| !failure.is_null())?;
        Some(format!("{} {}: {}", one(canary, "class"), one(canary, "host"), why(failure)))
    });
    failing.collect()
}

fn why(failure: &Value) -> String {
    match failure {
        Value::Object(_) => format!("{}: {}", one(failure, "station"), one(failure, "detail")),
        other => shown(other),
    }
}

fn fleet(status: &Value) -> Option<String> {
    let fleet = status.get("fleet").filter(|fleet| fleet.is_object())?;
    let named: Vec<String> =
        all(fleet, "silent_clients").take(MOST_NAMED).map(|client| one(client, "client")).collect();
    let counted = format!("{} active, {} silent", one(fleet, "active"), one(fleet, "silent"));
    Some(if named.is_empty() { counted } else { format!("{counted}: {}", named.join(", ")) })
}

fn all<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    all(value, name).map(shown).collect()
}

fn one(value: &Value, name: &str) -> String {
    value.get(name).map_or("-".to_owned(), shown)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_told_in_lines_with_what_fails_and_what_waits() {
        let status = json!({
            "version": "1.2.3", "pid": 7, "uptime_seconds": 60, "state": "draining", "seconds_left": 9,
            "ready": false, "tunnels": 1, "admin": null, "policy": "role a",
            "listeners": [{ "address": "127.0.0.1:8080", "plain": true, "tls": true }],
            "readiness": { "canaries": [
                { "class": "x", "host": "up.example", "failure": null },
                { "class": "y", "host": "down.example", "failure": { "station": "tcp", "reason": "r", "detail": "refused" } },
            ] },
            "reload": { "problems": ["gateway.toml:1:1: no"], "waits": ["a listener"] },
        });
        let told = text(&status);
        for line in [
            "gateway    la-gateway 1.2.3, process 7, up 60 s",
            "state      draining, 9 s left; not ready",
            "listeners  127.0.0.1:8080 (http, https)",
            "admin      -",
            "tunnels    1 tunnel",
            "fails      y down.example: tcp: refused",
            "refused    gateway.toml:1:1: no",
            "waits      a listener",
        ] {
            assert!(told.lines().any(|one| one == line), "{line:?} is not in\n{told}");
        }
        assert!(!told.contains("up.example"), "{told}");
    }

    #[test]
    fn whatever_answers_a_terminal_gets_no_control_characters_and_nothing_fails() {
        for status in [json!(null), json!([]), json!({ "policy": "\u{1b}[2J", "listeners": 7, "reload": [] })]
        {
            assert!(!text(&status).contains('\u{1b}'));
        }
    }
}
