//! `omsadmin.conf`: a `KEY=value` a line, as a shell would read it.

use super::Unread;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The line, from 1 on.
    pub line: usize,
    /// `WORKSPACE_ID` and its like.
    pub key: String,
    /// Without quotes and backslashes.
    pub value: String,
}

/// Reads a file.
pub fn parse(text: &str) -> (Vec<Property>, Vec<Unread>) {
    let (mut properties, mut unread) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match text.split_once('=') {
            Some((key, value)) if is_key(key) => {
                let value = value.trim().trim_matches(['"', '\'']).replace('\\', "");
                properties.push(Property { line, key: key.to_owned(), value });
            }
            _ => unread.push(Unread::new(line, "a line that is no KEY=value", "nobody reads it")),
        }
    }
    (properties, unread)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
