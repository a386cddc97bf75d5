//! A string that cannot be printed.

use std::fmt;

/// A password, key or token. `Debug` shows a fixed mark and there is no `Display`, so a secret
/// cannot slip into a log line, an error or a panic message.
///
/// ```
/// let secret = common::secret::Secret::new("hunter2".to_owned());
/// assert_eq!(format!("{secret:?}"), "[secret]");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text; from here on only [`Secret::expose`] shows it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text itself, for the one place that must send or hash it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
