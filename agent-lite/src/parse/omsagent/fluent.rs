//! The form of fluentd's configuration (version 0), as far as the legacy agent's files use it.
//!
//! ```text
//! file     = *( line )
//! line     = "<" name [ argument ] ">"  |  "</" name ">"  |  [ "@" ] "include" path  |  key [ value ]
//! value    = text up to the end or to " #"  |  '"' text with \" and \\ '"'
//! ```

use super::Unread;

/// Deepest nesting.
const DEEPEST: usize = 16;
/// Longest line, in bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// `<source>`, `<match …>` and what stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The line it begins in, from 1 on.
    pub line: usize,
    /// `source`, `match`, `filter` …
    pub name: String,
    /// What follows the name.
    pub argument: String,
    /// Its keys in their order.
    pub parameters: Vec<Parameter>,
    /// Elements in it.
    pub children: Vec<Element>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The line, from 1 on.
    pub line: usize,
    /// The key.
    pub key: String,
    /// The value without quotes; empty if there is none.
    pub value: String,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Elements that stand in no other.
    pub elements: Vec<Element>,
    /// What cannot be read.
    pub unread: Vec<Unread>,
}

impl Element {
    /// Returns the last value of a key, as fluentd takes it.
    pub fn parameter(&self, key: &str) -> Option<&Parameter> {
        self.parameters.iter().rev().find(|parameter| parameter.key == key)
    }

    /// Returns the value of a key, or nothing.
    pub fn value(&self, key: &str) -> &str {
        self.parameter(key).map_or("", |parameter| &parameter.value)
    }

    /// Returns what kind of source or output it is: `type`, or `@type`.
    pub fn kind(&self) -> &str {
        let plain = self.value("type");
        if plain.is_empty() { self.value("@type") } else { plain }
    }
}

/// Reads a file.
pub fn parse(text: &str) -> Document {
    let mut reader = Reader::default();
    for (line, text) in (1..).zip(text.lines()) {
        if text.len() > LONGEST_LINE {
            reader.unread(line, "a line of more than 64 KiB", "it is too long");
        } else {
            reader.line(line, text.trim());
        }
    }
    while let Some(open) = reader.open.pop() {
        reader.unread(open.line, format!("<{}>", open.name), "it is not closed; what stands in it was read");
        reader.put(open);
    }
    reader.document
}

#[derive(Default)]
struct Reader {
    document: Document,
    open: Vec<Element>,
    /// Elements that are too deep.
    skipped: usize,
}

impl Reader {
    fn unread(&mut self, line: usize, what: impl Into<String>, why: &str) {
        self.document.unread.push(Unread::new(line, what, why));
    }

    fn line(&mut self, line: usize, text: &str) {
        if text.is_empty() || text.starts_with('#') {
            return;
        }
        if let Some(rest) = text.strip_prefix("</") {
            return self.close(line, rest);
        }
        if let Some(rest) = text.strip_prefix('<') {
            return self.begin(line, rest);
        }
        if self.skipped > 0 {
            return;
        }
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let parameter = Parameter { line, key: key.to_owned(), value: value_of(value) };
        match self.open.last_mut() {
            Some(open) => open.parameters.push(parameter),
            None if matches!(key, "include" | "@include") => {
                self.unread(
                    line,
                    format!("include {}", parameter.value),
                    "every file of omsagent.d is read anyway",
                );
            }
            None => self.unread(line, key, "it stands in no <source> or <match>"),
        }
    }

    fn begin(&mut self, line: usize, rest: &str) {
        let Some((inside, behind)) = rest.rsplit_once('>') else {
            return self.unread(line, "an element without `>`", "it cannot be read");
        };
        if !behind.is_empty() && !behind.trim_start().starts_with('#') {
            self.unread(line, "text behind an element's `>`", "it belongs to a line of its own");
        }
        if self.open.len() >= DEEPEST {
            self.skipped += 1;
            return self.unread(line, "an element", "it is nested too deeply");
        }
        let inside = inside.trim();
        let (name, argument) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
        let (name, argument) = (name.to_owned(), argument.trim().to_owned());
        self.open.push(Element { line, name, argument, ..Element::default() });
    }

    fn close(&mut self, line: usize, rest: &str) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        let name = rest.split('>').next().unwrap_or_default().trim();
        match self.open.pop() {
            Some(open) => {
                if open.name != name {
                    self.unread(
                        line,
                        format!("</{name}>"),
                        &format!("it closes <{}>", super::shown(&open.name)),
                    );
                }
                self.put(open);
            }
            None => self.unread(line, format!("</{name}>"), "nothing is open"),
        }
    }

    /// Puts an element that ends into the one around it.
    fn put(&mut self, element: Element) {
        match self.open.last_mut() {
            Some(around) => around.children.push(element),
            None => self.document.elements.push(element),
        }
    }
}

fn value_of(text: &str) -> String {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('"') {
        let mut value = String::new();
        let mut letters = rest.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => return value,
                '\\' => match letters.next() {
                    Some(escaped @ ('"' | '\\')) => value.push(escaped),
                    Some(other) => value.extend(['\\', other]),
                    None => value.push('\\'),
                },
                other => value.push(other),
            }
        }
        // The quote is not closed, so it is one of the value's letters.
    }
    let comment = text
        .match_indices('#')
        .find(|(at, _)| text.get(..*at).is_some_and(|b| b.ends_with(char::is_whitespace)));
    text.get(..comment.map_or(text.len(), |(at, _)| at)).unwrap_or_default().trim_end().to_owned()
}
