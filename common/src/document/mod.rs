//! A configuration document: TOML read into types, with every problem and its place reported at once.
//!
//! It knows no key of either program. Values that both write alike have their parsers in [`values`].

mod decode;
mod problems;
pub mod values;

use std::path::Path;

pub use self::decode::List;
pub use self::decode::Parsed;
pub use self::decode::decode;
pub use self::problems::Lines;
pub use self::problems::Problem;
pub use self::problems::Problems;
pub use self::problems::Source;

/// Largest configuration or users file that is read, in bytes: 16 MiB.
pub const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Reads a whole text file that is not larger than [`LARGEST_FILE`].
pub fn read_file(file: &Path) -> Result<String, Problem> {
    use std::io::Read;
    let fail = |error: std::io::Error| Problem {
        file: file.to_owned(),
        place: None,
        text: format!("cannot be read: {error}"),
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(fail)?;
    opened.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > LARGEST_FILE {
        let text = "is larger than 16 MiB; a configuration is not".to_owned();
        return Err(Problem { file: file.to_owned(), place: None, text });
    }
    Ok(text)
}
