//! The users file: one user a line, as in `htpasswd` files.
//!
//! ```text
//! # comment
//! name:$argon2id$v=19$m=19456,t=2,p=1$salt$hash
//! ```
//!
//! Names are UTF-8 without colon and control characters, at most 128 bytes; spaces around a line
//! and empty lines are ignored. The file holds no password, but hashes can be guessed at: keep it
//! readable by the gateway alone.

use std::collections::HashMap;

use common::document::Problem;
use common::document::Source;

use crate::policy::passwords::StoredHash;

/// Longest user name, in bytes.
pub const LONGEST_USER: usize = 128;

/// One line of a users file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The stored hash.
    pub hash: StoredHash,
    /// The line it stands on, counted from 1.
    pub line: usize,
}

/// Reads a users file: the users in order, and every line that is none.
pub fn read(source: Source<'_>) -> (Vec<User>, Vec<Problem>) {
    let mut users = Vec::new();
    let mut problems = Vec::new();
    let mut seen = HashMap::new();
    for (at, text) in source.text.lines().enumerate() {
        let (line, text) = (at + 1, text.trim());
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match read_line(line, text) {
            Err(problem) => problems.push(source.problem_on_line(line, problem)),
            Ok(user) => match seen.insert(user.name.clone(), line) {
                None => users.push(user),
                Some(first) => {
                    let text = format!("user `{}` stands on line {first} already; remove one", user.name);
                    problems.push(source.problem_on_line(line, text));
                }
            },
        }
    }
    (users, problems)
}

fn read_line(line: usize, text: &str) -> Result<User, String> {
    let (name, hash) = text.split_once(':').ok_or("a line is `name:hash`; this one has no colon")?;
    check_name(name)?;
    let hash = hash.parse::<StoredHash>().map_err(|error| error.to_string())?;
    Ok(User { name: name.to_owned(), hash, line })
}

/// Says what is wrong with a user name, if anything is.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the user name is empty");
    }
    if name.len() > LONGEST_USER {
        return Err("the user name is longer than 128 bytes");
    }
    if name.starts_with('#') || name.trim() != name {
        return Err("a user name begins with `#`, or begins or ends with a space");
    }
    if name.contains(|c: char| c == ':' || c.is_control()) {
        return Err("a user name holds a colon or a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

    #[test]
    fn users_are_read_and_every_bad_line_is_named() {
        let text = format!(
            "# agents\n\nann:{HASH}\n bob:{HASH} \nann:{HASH}\nnocolon\n:{HASH}\neve:$apr1$x\na\tb:{HASH}\n"
        );
        let (users, problems) = read(Source { file: Path::new("u"), text: &text });
        assert_eq!(
            users.iter().map(|u| (u.name.as_str(), u.line)).collect::<Vec<_>>(),
            [("ann", 3), ("bob", 4)]
        );
        let lines: Vec<usize> = problems.iter().filter_map(|p| p.place.map(|place| place.0)).collect();
        assert_eq!(lines, [5, 6, 7, 8, 9], "{problems:#?}");
        assert!(problems.iter().all(|p| !p.text.contains("iWh06v")), "a hash is shown: {problems:?}");
    }
}
