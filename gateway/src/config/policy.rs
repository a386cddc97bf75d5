//! A configuration in one line: who may go where.

use super::Config;
use crate::policy::destinations::Mode;

impl Config {
    /// Says in one line who may go where.
    pub fn policy(&self) -> String {
        let roles = self.roles.all.iter().map(|summary| {
            let mut who: Vec<String> = summary.anonymous_from.iter().map(ToString::to_string).collect();
            if summary.users > 0 {
                who.push(count(summary.users, "user"));
            }
            if summary.certificates > 0 {
                who.push(count(summary.certificates, "certificate"));
            }
            format!(
                "role {} ({}) may reach {} in {}: {}",
                summary.role.name,
                if who.is_empty() { "nobody".to_owned() } else { who.join(", ") },
                if summary.bundles.is_empty() { "no bundle".to_owned() } else { summary.bundles.join(", ") },
                summary.cloud,
                match summary.mode() {
                    Mode::Enforce => count(summary.role.destinations.rules(), "host rule"),
                    Mode::Report => {
                        format!("{}, report mode", count(summary.role.destinations.rules(), "host rule"))
                    }
                },
            )
        });
        let source =
            self.file.as_ref().map_or("built-in default".to_owned(), |file| file.display().to_string());
        format!("{}; port 443 only ({source})", roles.collect::<Vec<_>>().join("; "))
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
