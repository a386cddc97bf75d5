//! Regular expressions as the legacy agent's counters have them, as patterns in which `*` is any text.

/// Most alternatives.
const MOST: usize = 64;
/// What has a meaning in a regular expression that a pattern cannot express.
const SPECIAL: [char; 10] = ['[', ']', '{', '}', '+', '?', '(', ')', '^', '$'];

/// Returns patterns that fit the same texts; `None` where there are none. An expression fits anywhere in a text,
/// unless it says otherwise. `Logical Disk|Memory`, `(A|B)`, `^sd.*$` and `\/var` are all that is usual.
pub fn patterns(expression: &str) -> Option<Vec<String>> {
    let whole = expression.trim();
    let (begins, whole) = whole.strip_prefix('^').map_or((false, whole), |rest| (true, rest));
    let (ends, whole) = match whole.strip_suffix('$') {
        Some(rest) if !rest.ends_with('\\') => (true, rest),
        _ => (false, whole),
    };
    let group = group(whole);
    // `^a|b$` means something else without its group.
    if group.is_none() && whole.contains('|') && (begins || ends) {
        return None;
    }
    let alternatives = split(group.unwrap_or(whole));
    if alternatives.len() > MOST {
        return None;
    }
    let pattern = |text: &String| {
        let text = literal(text)?;
        let (front, back) = (if begins { "" } else { "*" }, if ends { "" } else { "*" });
        let mut pattern = format!("{front}{text}{back}");
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        Some(pattern)
    };
    alternatives.iter().map(pattern).collect()
}

/// Returns what stands in the parentheses around a whole expression.
fn group(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    (!inside.ends_with('\\')).then(|| inside.strip_prefix("?:").unwrap_or(inside))
}

/// Splits at `|`, but not at `\|`.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut last, mut escaped) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '|' if !escaped => parts.push(std::mem::take(&mut last)),
            letter => last.push(letter),
        }
        escaped = letter == '\\' && !escaped;
    }
    parts.push(last);
    parts
}

/// Returns the text of an expression without alternatives, `.*` as `*`.
fn literal(text: &str) -> Option<String> {
    let mut pattern = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next()? {
                // A class of letters, or a star that is one.
                escaped if escaped.is_ascii_alphanumeric() || escaped == '*' => return None,
                escaped => pattern.push(escaped),
            },
            '.' if letters.next_if_eq(&'*').is_some() => pattern.push('*'),
            // In names of counters a point stands for itself, "Avg. Disk sec/Read".
            '.' if letters.peek().is_none_or(|next| !SPECIAL.contains(next)) => pattern.push('.'),
            '.' | '*' => return None,
            special if SPECIAL.contains(&special) => return None,
            letter => pattern.push(letter),
        }
    }
    Some(pattern)
}
