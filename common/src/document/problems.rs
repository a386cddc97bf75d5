//! What is wrong with a configuration: every problem with its place and its mend.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

/// One problem at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the operator named it.
    pub file: PathBuf,
    /// Line and column, counted from 1; `None` when the whole file is meant.
    pub place: Option<(usize, usize)>,
    /// What is wrong and what to write instead.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.text)
    }
}

/// All problems of a configuration. Shown one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// A text with the name of its file, which turns byte offsets into places.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file, as the operator named it.
    pub file: &'a Path,
    /// Its text.
    pub text: &'a str,
}

impl Source<'_> {
    /// Returns a problem at a byte range of the text.
    pub fn problem(&self, at: Range<usize>, text: impl Into<String>) -> Problem {
        Problem { file: self.file.to_owned(), place: Some(self.place(at.start)), text: text.into() }
    }

    /// Returns a problem at a line, counted from 1.
    pub fn problem_on_line(&self, line: usize, text: impl Into<String>) -> Problem {
        Problem { file: self.file.to_owned(), place: Some((line, 1)), text: text.into() }
    }

    /// Returns a problem of the file as a whole.
    pub fn problem_of_file(&self, text: impl Into<String>) -> Problem {
        Problem { file: self.file.to_owned(), place: None, text: text.into() }
    }

    /// Returns `file:line:column` of a byte offset.
    pub fn place_text(&self, offset: usize) -> String {
        let (line, column) = self.place(offset);
        format!("{}:{line}:{column}", self.file.display())
    }

    /// Finds the beginnings of the lines, for many places of one text.
    pub fn lines(&self) -> Lines<'_> {
        let ends = self.text.match_indices('\n').map(|(at, _)| at + 1);
        Lines { source: *self, begins: std::iter::once(0).chain(ends).collect() }
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// The lines of a [`Source`]: a place among many costs a look-up, not a reading of all that is before it.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    source: Source<'a>,
    begins: Vec<usize>,
}

impl Lines<'_> {
    /// Returns `file:line:column` of a byte offset, as [`Source::place_text`] does.
    pub fn place_text(&self, offset: usize) -> String {
        let line = self.begins.partition_point(|begin| *begin <= offset);
        let begin = line.checked_sub(1).and_then(|line| self.begins.get(line)).copied().unwrap_or_default();
        let before = self.source.text.get(begin..offset);
        let column = before.map(|before| before.chars().count() + 1);
        column.map_or_else(
            || self.source.place_text(offset),
            |column| format!("{}:{line}:{column}", self.source.file.display()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_offset_becomes_a_line_and_a_column_counted_from_one() {
        let source = Source { file: Path::new("g.toml"), text: "a = 1\nbü = 2\n" };
        assert_eq!(source.place_text(0), "g.toml:1:1");
        assert_eq!(source.place_text(6), "g.toml:2:1");
        assert_eq!(source.place_text(9), "g.toml:2:3");
        assert_eq!(source.place_text(99), "g.toml:3:1");
        let lines = source.lines();
        (0..20)
            .for_each(|offset| assert_eq!(lines.place_text(offset), source.place_text(offset), "{offset}"));
    }
}
