//! Host patterns: what a rule may match.
//!
//! ```text
//! pattern = 1*( label "." ) label
//! label   = "{workspace}"     a GUID: 8-4-4-4-12 hexadecimal digits
//!         | "{account}"       a storage account: 3 to 24 letters and digits
//!         | "*"               one label of any kind, but no punycode (`xn--`)
//!         | literal           letters, digits, inner hyphens
//! ```
//!
//! A pattern matches names with exactly as many labels as it has, and its last two labels are
//! literal, so no pattern reaches across a registered domain.

use std::fmt;
use std::str::FromStr;

use common::host_port::HostName;

/// A host pattern in its normal form (lower case).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    labels: Box<[Label]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Label {
    Workspace,
    Account,
    Any,
    Literal(Box<str>),
}

/// The labels that stood where a pattern has a placeholder that can be narrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// The GUID at `{workspace}`.
    pub workspace: Option<&'a str>,
    /// The name at `{account}`.
    pub account: Option<&'a str>,
}

impl Pattern {
    /// Returns what stood at the placeholders, or `None` when the name does not match.
    pub fn find<'a>(&self, name: &'a HostName) -> Option<Found<'a>> {
        let mut found = Found::default();
        let mut labels = name.labels();
        for expected in &self.labels {
            let label = labels.next()?;
            let matches = match expected {
                Label::Literal(text) => **text == *label,
                Label::Any => !label.starts_with("xn--"),
                Label::Workspace => is_guid(label),
                Label::Account => is_storage_account(label),
            };
            if !matches {
                return None;
            }
            match expected {
                Label::Workspace => found.workspace = Some(label),
                Label::Account => found.account = Some(label),
                Label::Any | Label::Literal(_) => {}
            }
        }
        labels.next().is_none().then_some(found)
    }

    /// Returns the one name that the pattern stands for, with these in place of the placeholders.
    pub fn fill(&self, workspace: Option<&str>, account: Option<&str>) -> Option<HostName> {
        let labels = self.labels.iter().map(|label| match label {
            Label::Literal(text) => Some(&**text),
            Label::Workspace => workspace,
            Label::Account => account,
            Label::Any => None,
        });
        labels.collect::<Option<Vec<_>>>()?.join(".").parse().ok()
    }

    /// Says whether there is a `{workspace}`, and whether there is an `{account}`.
    pub fn placeholders(&self) -> (bool, bool) {
        (self.labels.contains(&Label::Workspace), self.labels.contains(&Label::Account))
    }

    /// Returns the literal labels at the end, joined by dots: the key under which rules are kept.
    pub fn literal_end(&self) -> String {
        let end: Vec<&str> = self
            .labels
            .iter()
            .rev()
            .map_while(|label| match label {
                Label::Literal(text) => Some(&**text),
                Label::Workspace | Label::Account | Label::Any => None,
            })
            .collect();
        end.into_iter().rev().collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, label) in self.labels.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            f.write_str(match label {
                Label::Workspace => "{workspace}",
                Label::Account => "{account}",
                Label::Any => "*",
                Label::Literal(text) => text,
            })?;
        }
        Ok(())
    }
}

/// Why a text is not a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A label that is neither literal nor one of the placeholders.
    #[error("`{0}` is no label; write letters, digits and hyphens, or `*` for one whole label")]
    BadLabel(String),
    /// The last two labels must be literal.
    #[error("the pattern is too wide; its last two labels must be literal, as in `*.example.com`")]
    TooWide,
    /// An IP address or a number at the end.
    #[error("an IP address cannot be allowed; write a host name")]
    Address,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let labels = text.split('.').map(parse_label).collect::<Result<Box<[Label]>, _>>()?;
        let literal_at_end =
            labels.iter().rev().take(2).filter(|label| matches!(label, Label::Literal(_))).count();
        if literal_at_end < 2 {
            return Err(PatternError::TooWide);
        }
        let pattern = Self { labels };
        match pattern.literal_end().parse::<HostName>() {
            Ok(_) => Ok(pattern),
            Err(_) => Err(PatternError::Address),
        }
    }
}

fn parse_label(text: &str) -> Result<Label, PatternError> {
    match text {
        "{workspace}" => return Ok(Label::Workspace),
        "{account}" => return Ok(Label::Account),
        "*" => return Ok(Label::Any),
        _ => {}
    }
    // A lone label with a letter in front: so a number at the end is judged by the whole name above.
    match format!("{text}.x").parse::<HostName>() {
        Ok(_) => Ok(Label::Literal(text.to_ascii_lowercase().into())),
        Err(_) => Err(PatternError::BadLabel(text.to_owned())),
    }
}

/// Says whether a text is a GUID in its usual form, as workspace ids are written.
pub fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Says whether a text can name a storage account: 3 to 24 lower-case letters and digits.
pub fn is_storage_account(text: &str) -> bool {
    (3..=24).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

    fn name(text: &str) -> HostName {
        text.parse().expect("a host name")
    }

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn h06_to_h09_a_pattern_matches_whole_labels_and_exactly_as_many_as_it_has() {
        let workspace = pattern("{workspace}.ods.opinsights.azure.com");
        let cases = [
            (format!("{GUID}.ods.opinsights.azure.com"), true),
            ("evilods.opinsights.azure.com".to_owned(), false),
            ("xods.opinsights.azure.com".to_owned(), false),
            ("ods.opinsights.azure.com".to_owned(), false),
            (format!("{GUID}.ods.opinsights.azure.com.evil.example"), false),
            (format!("{GUID}.evil.example"), false),
            ("a.b.ods.opinsights.azure.com".to_owned(), false),
            (format!("a.{GUID}.ods.opinsights.azure.com"), false),
            ("notaguid.ods.opinsights.azure.com".to_owned(), false),
        ];
        for (host, expected) in cases {
            assert_eq!(workspace.find(&name(&host)).is_some(), expected, "{host}");
        }
    }

    #[test]
    fn h16_a_star_matches_one_label_but_never_punycode() {
        let star = pattern("*.example.com");
        assert!(star.find(&name("packages.example.com")).is_some());
        assert!(star.find(&name("example.com")).is_none());
        assert!(star.find(&name("a.b.example.com")).is_none());
        assert!(star.find(&name("xn--pple-43d.example.com")).is_none());
    }

    #[test]
    fn an_account_label_is_what_azure_lets_a_storage_account_be_called() {
        let blob = pattern("{account}.blob.core.windows.net");
        let host = name("scadvisor01.blob.core.windows.net");
        assert_eq!(blob.find(&host).and_then(|found| found.account), Some("scadvisor01"));
        assert!(blob.find(&name("ab.blob.core.windows.net")).is_none());
        assert!(blob.find(&name("with-hyphen.blob.core.windows.net")).is_none());
    }

    #[test]
    fn a_pattern_without_stars_stands_for_one_name_once_its_placeholders_are_filled() {
        let fill = |text: &str| pattern(text).fill(Some(GUID), None).map(|name| name.to_string());
        assert_eq!(fill("packages.example.com").as_deref(), Some("packages.example.com"));
        assert_eq!(fill("{workspace}.ods.example.com"), Some(format!("{GUID}.ods.example.com")));
        assert_eq!(fill("{account}.blob.example.com"), None);
        assert_eq!(fill("*.example.com"), None);
    }

    #[test]
    fn patterns_that_are_too_wide_or_no_patterns_are_refused() {
        use PatternError::*;
        let cases = [
            ("*.com", TooWide),
            ("com", TooWide),
            ("example.*", TooWide),
            ("*", TooWide),
            ("10.0.0.1", Address),
            ("a*b.example.com", BadLabel("a*b".into())),
            ("{x}.example.com", BadLabel("{x}".into())),
            ("a..example.com", BadLabel(String::new())),
            ("**.example.com", BadLabel("**".into())),
            ("host.example.com:443", BadLabel("com:443".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Pattern>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_written_but_in_lower_case() {
        let text = "{workspace}.AgentSvc.azure-automation.net";
        assert_eq!(pattern(text).to_string(), text.to_lowercase());
        assert_eq!(pattern(text).literal_end(), "agentsvc.azure-automation.net");
        assert_eq!(pattern("*.jrds.*.azure-automation.net").literal_end(), "azure-automation.net");
    }
}
