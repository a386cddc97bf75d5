//! A configuration file as it is edited: lists of a role, with every comment and the order kept.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use la_gateway::config;
use la_gateway::config::Config;
use la_gateway::config::Source;
use toml_edit::Array;
use toml_edit::DocumentMut;
use toml_edit::Item;
use toml_edit::TableLike;
use toml_edit::Value;

use super::check;
use super::replace::Original;

/// What to do for a running gateway once a file was changed.
pub(super) const RELOAD: &str =
    "a running gateway takes it within seconds, or at once with `la-gateway reload`";

/// A configuration file being edited.
pub(super) struct Document {
    file: PathBuf,
    original: Original,
    document: DocumentMut,
}

impl Document {
    /// Opens the file of a configuration.
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        let file = config.file.clone().context(
            "there is no configuration file to edit: the built-in default is in use; name a file with --config",
        )?;
        let original = Original::open(&file)?;
        let document = original.text.parse::<DocumentMut>().map_err(|error| anyhow!("{error}"))?;
        Ok(Self { file, original, document })
    }

    /// Returns the values of a role's list, or `None` where the role does not write it.
    pub(super) fn list(&mut self, role: &str, key: &str) -> anyhow::Result<Option<Vec<String>>> {
        let Some(item) = self.role(role)?.get(key) else { return Ok(None) };
        let array = item.as_array().with_context(|| format!("`{key}` of role `{role}` is no list"))?;
        Ok(Some(array.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    }

    /// Adds values to a role's list; one that is not there yet begins with `before`.
    pub(super) fn add(
        &mut self,
        role: &str,
        key: &str,
        before: &[&str],
        values: &[String],
    ) -> anyhow::Result<()> {
        let table = self.role(role)?;
        let mut fresh = Array::new();
        before.iter().for_each(|value| fresh.push(*value));
        let item = table.entry(key).or_insert(Item::Value(Value::Array(fresh)));
        let array = item.as_array_mut().with_context(|| format!("`{key}` of role `{role}` is no list"))?;
        values.iter().for_each(|value| push(array, value));
        Ok(())
    }

    /// Removes the values of a role's list that are judged so.
    pub(super) fn remove(
        &mut self,
        role: &str,
        key: &str,
        goes: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let Some(item) = self.role(role)?.get_mut(key) else { return Ok(()) };
        let array = item.as_array_mut().with_context(|| format!("`{key}` of role `{role}` is no list"))?;
        let positions = array.iter().enumerate().filter(|(_, value)| value.as_str().is_some_and(&goes));
        let positions: Vec<usize> = positions.map(|(at, _)| at).collect();
        positions.into_iter().rev().for_each(|at| take_out(array, at));
        Ok(())
    }

    /// Writes the file, if a start would take it.
    pub(super) fn write(self) -> anyhow::Result<()> {
        let text = self.document.to_string();
        judged(&self.file, &text).context("nothing was changed: the result would be refused")?;
        self.original.replace(&text)
    }

    fn role(&mut self, name: &str) -> anyhow::Result<&mut dyn TableLike> {
        let roles = self.document.get_mut("role").and_then(Item::as_table_like_mut);
        let role = roles.and_then(|roles| roles.get_mut(name)).and_then(Item::as_table_like_mut);
        role.with_context(|| format!("{} has no table of role `{name}`", self.file.display()))
    }
}

/// Refuses a text that `check` would refuse.
pub(super) fn judged(file: &Path, text: &str) -> anyhow::Result<()> {
    let config = config::parse(Source { file, text }).map_err(|problems| anyhow!("{problems}"))?;
    let problems = check::problems(&config);
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

/// Adds a value at the end of a list, on a line of its own where the others are.
fn push(array: &mut Array, text: &str) {
    let mut value = Value::from(text);
    let Some(last) = array.iter_mut().last() else {
        array.push_formatted(value);
        return;
    };
    let decor =
        |part: Option<&toml_edit::RawString>| part.and_then(|raw| raw.as_str()).unwrap_or("").to_owned();
    let (prefix, suffix) = (decor(last.decor().prefix()), decor(last.decor().suffix()));
    last.decor_mut().set_suffix("");
    let trailing = decor(Some(array.trailing()));
    let behind = format!("{suffix}{trailing}");
    let Some((comments, end)) = behind.rsplit_once('\n') else {
        value.decor_mut().set_prefix(" ");
        array.set_trailing(behind.trim());
        array.push_formatted(value);
        return;
    };
    // What stands behind the last value is its comment, and those on lines of their own.
    let indent = prefix.rsplit_once('\n').map_or("    ", |(_, indent)| indent);
    value.decor_mut().set_prefix(format!("{comments}\n{indent}"));
    array.set_trailing(format!("\n{end}"));
    array.set_trailing_comma(true);
    array.push_formatted(value);
}

/// Removes a value with the comment on its line; the comments above it stay.
fn take_out(array: &mut Array, at: usize) {
    let decor =
        |part: Option<&toml_edit::RawString>| part.and_then(|raw| raw.as_str()).unwrap_or("").to_owned();
    let removed = array.remove(at);
    let prefix = decor(removed.decor().prefix());
    let above = prefix.rsplit_once('\n').map(|(above, _)| above.to_owned());
    let join = |behind: &str| match (&above, behind.split_once('\n')) {
        (Some(above), Some((_, rest))) => format!("{above}\n{rest}"),
        (Some(_), None) => prefix.clone(),
        (None, Some((_, rest))) => format!("\n{rest}"),
        (None, None) if at == 0 => prefix.clone(),
        (None, None) => behind.to_owned(),
    };
    if let Some(next) = array.get_mut(at) {
        let joined = join(&decor(next.decor().prefix()));
        next.decor_mut().set_prefix(joined);
        return;
    }
    let behind = format!("{}{}", decor(removed.decor().suffix()), decor(Some(array.trailing())));
    array.set_trailing(match (&above, behind.split_once('\n')) {
        (_, None) => String::new(),
        (Some(above), Some((_, rest))) => format!("{above}\n{rest}"),
        (None, Some((_, rest))) => format!("\n{rest}"),
    });
    if array.is_empty() && !array.trailing().as_str().unwrap_or("").contains('#') {
        array.set_trailing("");
    }
    if array.is_empty() {
        array.set_trailing_comma(false);
    }
}

#[cfg(test)]
mod tests;
