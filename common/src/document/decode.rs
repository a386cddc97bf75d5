//! Reads TOML into a type and gathers every problem, not only the first.
//!
//! serde stops at the first error. So each error is noted with its place, the key or value at that
//! place is taken out of the document, and what is left is read again, until it reads.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::Error as _;
use toml::Spanned;
use toml::de::DeArray;
use toml::de::DeTable;
use toml::de::DeValue;

use super::problems::Problem;
use super::problems::Source;

/// Most problems that are reported for one file.
const MOST_PROBLEMS: usize = 100;

/// A value that is written as a string and has a parser of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parsed<T>(pub T);

impl<'de, T> Deserialize<'de> for Parsed<T>
where
    T: FromStr,
    T::Err: Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse() {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(D::Error::custom(quoted(&text, &error.to_string()))),
        }
    }
}

/// A list of such values, each with its own place, so that one bad element does not hide the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<Spanned<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> List<T> {
    /// Returns the values without their places.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(Spanned::get_ref)
    }
}

impl<'de, T> Deserialize<'de> for List<T>
where
    T: FromStr,
    T::Err: Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let elements = Vec::<Spanned<toml::Value>>::deserialize(deserializer)?;
        let parsed = elements.into_iter().map(|element| {
            let span = element.span();
            let fail = |text: String| D::Error::custom(format!("{AT}{}{AT}{text}", span.start));
            let text =
                element.get_ref().as_str().ok_or_else(|| fail("a string must stand here".to_owned()))?;
            let value = text.parse().map_err(|error: T::Err| fail(quoted(text, &error.to_string())))?;
            Ok(Spanned::new(span, value))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

/// Quotes a value in front of what is wrong with it; not a proxy value, in which a password may stand
/// anywhere, nor another with an `@`.
fn quoted(text: &str, error: &str) -> String {
    match text.contains('@') || error.contains("proxy value") {
        true => error.to_owned(),
        false => format!("`{text}`: {error}"),
    }
}

/// Marks the byte offset in front of the message of an error about one element of a list: serde's
/// errors carry nothing but text, and the reader would give them the place of the whole list.
const AT: char = '\u{1}';

/// Reads a whole document. What could not be read is left at its default and stands in the problems.
pub fn decode<T: DeserializeOwned + Default>(source: Source<'_>) -> (T, Vec<Problem>) {
    let (mut document, errors) = DeTable::parse_recoverable(source.text);
    let mut problems: Vec<Problem> = errors.iter().map(|error| problem(source, error)).collect();
    if !problems.is_empty() {
        return (T::default(), problems);
    }
    while problems.len() < MOST_PROBLEMS {
        let error = match T::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(value) => return (value, problems),
            Err(error) => error,
        };
        problems.push(problem(source, &error));
        if !place(&error).is_some_and(|at| take_out(document.get_mut(), at)) {
            break;
        }
    }
    (T::default(), problems)
}

fn problem(source: Source<'_>, error: &toml::de::Error) -> Problem {
    let message = error.message().rsplit(AT).next().unwrap_or_default();
    let message = unquoted(message)
        .replace('\n', "; ")
        .replace("expected a string", "expected a string in quotes")
        .replace("expected a nonzero u32", "expected a whole number from 1 to 4294967295");
    match place(error) {
        Some(at) => source.problem(at..at, message),
        None => source.problem_of_file(message),
    }
}

/// Takes out a string that stands where something else must: serde shows it whole, and a relay's URL that
/// was not put in a list holds a password.
fn unquoted(message: &str) -> String {
    const BEGIN: &str = ": string \"";
    const END: &str = "\", expected ";
    match (message.split_once(BEGIN), message.rsplit_once(END)) {
        (Some((what, _)), Some((_, expected))) => format!("{what}: a string, expected {expected}"),
        _ => message.to_owned(),
    }
}

fn place(error: &toml::de::Error) -> Option<usize> {
    let of_element = error.message().split(AT).nth(1).and_then(|offset| offset.parse().ok());
    of_element.or_else(|| error.span().map(|span| span.start))
}

/// Takes the innermost key or array element that covers a byte offset out of the document.
fn take_out(table: &mut DeTable<'_>, at: usize) -> bool {
    let mut hit = None;
    for (key, value) in table.iter_mut() {
        if take_out_of_value(value, at) {
            return true;
        }
        if key.span().contains(&at) || value.span().contains(&at) {
            hit = Some(key.clone());
        }
    }
    hit.is_some_and(|key| table.remove(&key).is_some())
}

fn take_out_of_value(value: &mut Spanned<DeValue<'_>>, at: usize) -> bool {
    match value.get_mut() {
        DeValue::Table(inner) => take_out(inner, at),
        DeValue::Array(elements) => {
            if elements.iter_mut().any(|element| take_out_of_value(element, at)) {
                return true;
            }
            match elements.iter().position(|element| element.span().contains(&at)) {
                Some(index) => {
                    let mut kept = DeArray::new();
                    let others = elements.iter().enumerate().filter(|(at, _)| *at != index);
                    others.for_each(|(_, element)| kept.push(element.clone()));
                    *elements = kept;
                    true
                }
                None => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        number: u8,
        inner: Inner,
        list: List<std::net::IpAddr>,
        table: Vec<Inner>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        flag: bool,
        word: String,
    }

    fn read(text: &str) -> (Outer, Vec<String>) {
        let (value, problems) = decode(Source { file: Path::new("t"), text });
        (value, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_problem_is_reported_with_its_place_and_the_rest_is_read() {
        let text = "number = 300\nnonsense = 1\nlist = [\"10.0.0.1\", \"no\", \"::1\", 5]\n\n\
                    [inner]\nflag = \"yes\"\nword = \"kept\"\nwrod = 1\n\n[[table]]\nflag = true\n[[table]]\nfalg = true\n";
        let (value, problems) = read(text);
        let places: Vec<&str> = problems.iter().map(|p| p.split(": ").next().expect("a place")).collect();
        let mut sorted = places.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            ["t:13:1", "t:1:10", "t:2:1", "t:3:21", "t:3:34", "t:6:8", "t:8:1"],
            "{problems:#?}"
        );
        assert!(
            problems.iter().any(|p| p.contains("unknown field `wrod`, expected `flag` or `word`")),
            "{problems:#?}"
        );
        assert_eq!(value.inner, Inner { flag: false, word: "kept".to_owned() });
        assert_eq!((value.list.0.len(), value.table.len()), (2, 2));
    }

    #[test]
    fn broken_toml_is_reported_with_its_line() {
        let (_, problems) = read("number = \n[inner\n");
        assert!(problems.iter().any(|p| p.starts_with("t:2:7: unclosed table")), "{problems:?}");
    }
}
