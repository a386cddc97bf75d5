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

/// Most characters of a name.
const LONGEST_NAME: usize = 64;

/// Returns a name that is not too long; one that is cut ends in a digest of the whole, so that two are never the same.
pub(super) fn short(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let digest: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let front: String = name.chars().take(LONGEST_NAME - 1 - digest.len()).collect();
    format!("{front}-{digest}")
}

/// Letters, digits, `-` and `_`, as names of workspaces have. Another name than every one that is `taken`.
pub(super) fn plain_name(name: &str, taken: &[String]) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') { letter } else { '-' }
    };
    let name = short(&name.chars().map(plain).collect::<String>());
    let mut free = name.clone();
    let mut count = 1;
    while taken.contains(&free) {
        count += 1;
        let end = format!("-{count}");
        free = name.chars().take(LONGEST_NAME - end.len()).collect::<String>() + &end;
    }
    free
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
