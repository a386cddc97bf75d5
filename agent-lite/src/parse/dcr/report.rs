//! What is to be said of a document: problems, what is left out, remarks.

use std::fmt;

use super::json::Json;

/// Most members of one object: Azure's own have far fewer.
const MOST_MEMBERS: usize = 256;

/// Most things that are said of one document; whoever made more has made enough.
const MOST: usize = 100;
/// Longest piece of the document that is quoted.
const LONGEST_QUOTE: usize = 120;

/// Something about one place of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The place: `$.properties.dataSources.syslog[0].name`.
    pub path: String,
    /// What is to be said of it.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// Everything that is to be said of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong: the rule is not used.
    pub problems: Vec<Finding>,
    /// What Azure knows and this agent cannot do, with the reason.
    pub left_out: Vec<Finding>,
    /// What is used, and means something to know.
    pub remarks: Vec<Finding>,
}

impl Report {
    /// Adds something that is wrong.
    pub fn problem(&mut self, path: &str, text: impl Into<String>) {
        add(&mut self.problems, path, text.into());
    }

    /// Adds something that cannot be done here.
    pub fn leave_out(&mut self, path: &str, text: impl Into<String>) {
        add(&mut self.left_out, path, text.into());
    }

    /// Adds a remark.
    pub fn remark(&mut self, path: &str, text: impl Into<String>) {
        add(&mut self.remarks, path, text.into());
    }
}

fn add(list: &mut Vec<Finding>, path: &str, text: String) {
    if list.len() < MOST {
        list.push(Finding { path: path.to_owned(), text });
    }
}

/// Returns a piece of the document as it may be shown.
pub(super) fn quoted(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut shown: String = text.chars().take(LONGEST_QUOTE).map(plain).collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The members of one object, of which each is asked for; what is left over is unknown.
pub(super) struct Members<'a> {
    pub(super) path: String,
    members: Vec<(&'a str, &'a Json)>,
}

impl<'a> Members<'a> {
    /// Begins with a value that must be an object. A member that stands twice is a problem.
    pub(super) fn of(path: &str, value: &'a Json, report: &mut Report) -> Option<Self> {
        let Json::Members(found) = value else {
            report.problem(path, format!("must be an object, not {}", value.kind()));
            return None;
        };
        if found.len() > MOST_MEMBERS {
            report.problem(path, format!("has {} members, {MOST_MEMBERS} are the most", found.len()));
            return None;
        }
        let mut members: Vec<(&str, &Json)> = Vec::new();
        for (name, value) in found {
            if members.iter().any(|(known, _)| known == name) {
                report.problem(&format!("{path}.{}", short(name)), "stands there twice");
            }
            members.push((name, value));
        }
        // Azure writes `null` for what is not set.
        members.retain(|(_, value)| **value != Json::Null);
        Some(Self { path: path.to_owned(), members })
    }

    /// Returns the path of a member.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}.{}", self.path, short(name))
    }

    /// Takes a member out, if it is there.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a Json> {
        let at = self.members.iter().position(|(known, _)| *known == name)?;
        Some(self.members.remove(at).1)
    }

    /// Takes a text out.
    pub(super) fn text(&mut self, name: &str, longest: usize, report: &mut Report) -> Option<&'a str> {
        let value = self.take(name)?;
        text(&self.at(name), value, longest, report)
    }

    /// Takes a text out that must be there.
    pub(super) fn needed_text(&mut self, name: &str, longest: usize, report: &mut Report) -> Option<&'a str> {
        if !self.members.iter().any(|(known, _)| *known == name) {
            report.problem(&self.path, format!("needs `{name}`"));
        }
        self.text(name, longest, report)
    }

    /// Takes a list out: path and value of each element. One that is not there is empty.
    pub(super) fn list(&mut self, name: &str, most: usize, report: &mut Report) -> Vec<(String, &'a Json)> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let path = self.at(name);
        let Json::List(list) = value else {
            report.problem(&path, format!("must be a list, not {}", value.kind()));
            return Vec::new();
        };
        if list.len() > most {
            report.problem(&path, format!("has {} elements, {most} are the most", list.len()));
        }
        list.iter().take(most).enumerate().map(|(at, value)| (format!("{path}[{at}]"), value)).collect()
    }

    /// Takes a list of texts out.
    pub(super) fn texts(
        &mut self,
        name: &str,
        (most, longest): (usize, usize),
        report: &mut Report,
    ) -> Vec<(String, &'a str)> {
        let list = self.list(name, most, report);
        let texts = list.into_iter().filter_map(|(path, value)| {
            let found = text(&path, value, longest, report)?;
            Some((path, found))
        });
        texts.collect()
    }

    /// Drops members that mean nothing to an agent.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        self.members.retain(|(known, _)| !names.contains(known));
    }

    /// Reports what nobody asked for.
    pub(super) fn end(self, report: &mut Report) {
        for (name, _) in &self.members {
            report.problem(&self.at(name), "is no member that is known here");
        }
    }
}

/// Reads a text: not empty, not too long, without control characters.
fn text<'a>(path: &str, value: &'a Json, longest: usize, report: &mut Report) -> Option<&'a str> {
    let Json::Text(text) = value else {
        report.problem(path, format!("must be a text, not {}", value.kind()));
        return None;
    };
    let wrong = match text.as_str() {
        "" => "is empty".to_owned(),
        text if text.len() > longest => format!("has {} bytes, {longest} are the most", text.len()),
        text if text.contains(char::is_control) => "has a control character".to_owned(),
        _ => return Some(text),
    };
    report.problem(path, wrong);
    None
}

fn short(name: &str) -> String {
    let plain = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$'));
    match plain && name.len() <= LONGEST_QUOTE {
        true => name.to_owned(),
        false => format!("[{}]", quoted(name)),
    }
}
