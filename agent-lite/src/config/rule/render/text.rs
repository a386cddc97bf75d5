//! Pieces of the text of a configuration.

use std::time::Duration;

/// One counter of a source of performance counters.
pub(super) fn row(object: &str, instance: &str, counters: &[String], every: Duration) -> String {
    let instances = match instance {
        "*" => String::new(),
        instance => format!("instances = {}, ", list(&[instance.to_owned()])),
    };
    format!(
        "{{ object = {}, counters = {}, {instances}every = \"{}s\" }}",
        quoted(object),
        list(counters),
        every.as_secs()
    )
}

/// Letters, digits, `-` and `_`, as names of workspaces have.
pub(super) fn plain_name(name: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') { letter } else { '-' }
    };
    name.chars().map(plain).take(64).collect()
}

/// A list of texts.
pub(super) fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", values.join(", "))
}

/// A text, as TOML quotes it.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
