//! Enough of Rust's grammar to find the paths in a source text.

/// A word, a `::`, or any other character that means something, and its line.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    line: usize,
}

/// A path as it is written, and the inline modules it stands in.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) scope: Vec<String>,
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// Splits a source text; comments and what is inside strings are left out.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let mut push = |text: &str| found.push(Token { text: text.to_owned(), line });
        let length = match literal_or_comment(rest) {
            Some(length) => length,
            None if is_word(first) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                push(&rest[..length]);
                length
            }
            None if rest.starts_with("::") => {
                push("::");
                2
            }
            None => {
                if !first.is_whitespace() {
                    push(&rest[..first.len_utf8()]);
                }
                first.len_utf8()
            }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// Returns the length of a comment, a string or a character at the beginning of a text.
fn literal_or_comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    let prefix = text.find(|c| !matches!(c, 'b' | 'c' | 'r')).filter(|length| *length <= 2)?;
    let literal = &text[prefix..];
    let hashes = literal.len() - literal.trim_start_matches('#').len();
    if text[..prefix].ends_with('r') && literal[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let inner = prefix + hashes + 1;
        return Some(text[inner..].find(&end).map_or(text.len(), |at| inner + at + end.len()));
    }
    let quote = literal.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut characters = literal.char_indices().skip(1);
    if quote == '\'' && !literal[1..].starts_with('\\') && literal.chars().nth(2) != Some('\'') {
        // A lifetime: its name is no path, and does no harm as a word.
        return Some(prefix + 1);
    }
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        at += match rest {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        if depth == 0 {
            break;
        }
    }
    at
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Leaves out the items behind `#[cfg(test)]`. Returns also the names of the modules among them.
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    const FOR_TESTS: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut rest = tokens;
    while let Some((first, behind)) = rest.split_first() {
        let is_for_tests =
            rest.len() > FOR_TESTS.len() && rest.iter().zip(FOR_TESTS).all(|(t, text)| t.text == text);
        if !is_for_tests {
            kept.push(first.clone());
            rest = behind;
            continue;
        }
        rest = &rest[FOR_TESTS.len()..];
        if let [keyword, name, ..] = rest
            && keyword.text == "mod"
        {
            modules.push(name.text.clone());
        }
        let mut depth = 0;
        let end = rest.iter().position(|token| match token.text.as_str() {
            "{" | "[" | "(" => {
                depth += 1;
                false
            }
            closing @ ("}" | "]" | ")") => {
                depth -= 1;
                depth == 0 && closing == "}"
            }
            ";" => depth == 0,
            _ => false,
        });
        rest = end.map_or(&[], |end| &rest[end + 1..]);
    }
    (kept, modules)
}

/// Returns every path, each branch of a `use` with braces by itself.
pub(crate) fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut reader = Reader { tokens, at: 0, scope: Vec::new(), found: Vec::new() };
    let (mut depth, mut opened) = (0, Vec::new());
    while let Some(text) = reader.text(0) {
        match text {
            "mod" if reader.text(2) == Some("{") => {
                reader.scope.extend(reader.text(1).map(str::to_owned));
                opened.push(depth);
                depth += 1;
                reader.at += 3;
            }
            "{" => {
                depth += 1;
                reader.at += 1;
            }
            "}" => {
                depth -= 1;
                if opened.pop_if(|at| *at == depth).is_some() {
                    reader.scope.pop();
                }
                reader.at += 1;
            }
            _ if text.chars().all(is_word) => reader.branch(Vec::new()),
            _ => reader.at += 1,
        }
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    scope: Vec<String>,
    found: Vec<Path>,
}

impl<'a> Reader<'a> {
    fn text(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead).map(|token| token.text.as_str())
    }

    /// Reads a path from here on, behind what is common to its group.
    fn branch(&mut self, mut segments: Vec<String>) {
        let line = self.tokens[self.at].line;
        while let Some(text) = self.text(0).filter(|text| *text == "*" || text.chars().all(is_word)) {
            segments.push(text.to_owned());
            self.at += 1;
            let goes_on = self.text(0) == Some("::")
                && self.text(1).is_some_and(|next| matches!(next, "*" | "{") || next.chars().all(is_word));
            if !goes_on {
                break;
            }
            self.at += 1;
            if self.text(0) == Some("{") {
                return self.group(&segments);
            }
        }
        self.found.push(Path { scope: self.scope.clone(), segments, line });
    }

    fn group(&mut self, common: &[String]) {
        self.at += 1;
        while let Some(text) = self.text(0) {
            match text {
                "}" => {
                    self.at += 1;
                    return;
                }
                "{" => self.group(common),
                // The new name is no path.
                "as" => self.at += 2,
                "*" => self.branch(common.to_vec()),
                _ if text.chars().all(is_word) => self.branch(common.to_vec()),
                _ => self.at += 1,
            }
        }
    }
}
