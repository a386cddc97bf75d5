//! Records as lines of text, read back strictly: time, level, target, message, then `name=value`.

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLine {
    /// `ERROR`, `WARN`, `INFO` or `DEBUG`.
    pub level: String,
    /// What made it, as `access`.
    pub target: String,
    /// The message.
    pub message: String,
    /// Its fields in their order.
    pub fields: Vec<(String, String)>,
}

impl TextLine {
    /// Reads a line, or panics.
    pub fn read(line: &str) -> Self {
        assert!(!line.contains(char::is_control), "{line:?}");
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.len() == "2026-11-22T00:00:00.000000Z".len() && time.ends_with('Z'), "{line:?}");
        let (level, rest) = rest.trim_start().split_once(' ').expect("a level");
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level), "{line:?}");
        let (target, rest) = rest.split_once(": ").expect("a target");
        let (message, mut rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = rest.find('=').map_or(rest.len(), |at| rest[..at].rfind(' ').expect("a field"));
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let mut fields = Vec::new();
        while let Some((name, value)) =
            rest.strip_prefix(' ').map(|field| field.split_once('=').expect("a field"))
        {
            assert!(
                name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)),
                "{name:?} in {line:?}"
            );
            let (value, behind) = match value.strip_prefix('"') {
                Some(quoted) => unquote(quoted),
                None => {
                    let end = value.find(' ').unwrap_or(value.len());
                    (value[..end].to_owned(), &value[end..])
                }
            };
            fields.push((name.to_owned(), value));
            rest = behind;
        }
        assert_eq!(rest, "", "{line:?}");
        Self { level: level.to_owned(), target: target.to_owned(), message, fields }
    }

    /// Returns a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Reads up to the closing quote; returns what is behind it, too.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("an escape").1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'u' => {
                    let inner = chars.by_ref().map(|(_, c)| c).skip(1).take_while(|c| *c != '}');
                    let code = u32::from_str_radix(&inner.collect::<String>(), 16).expect("a number");
                    value.push(char::from_u32(code).expect("a character"));
                }
                other => value.push(other),
            },
            _ => value.push(c),
        }
    }
    panic!("no closing quote in {text:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = r#"2026-11-22T00:00:00.000000Z  WARN access: no rule event_id=105 user="a\" b=\u{202e}" port=443"#;
        let read = TextLine::read(line);
        assert_eq!(
            (read.level.as_str(), read.target.as_str(), read.message.as_str()),
            ("WARN", "access", "no rule")
        );
        assert_eq!(read.field("user"), Some("a\" b=\u{202e}"));
        assert_eq!(read.fields.len(), 3);
    }
}
