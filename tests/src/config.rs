//! Configurations of the gateway for tests: what a test writes, and short, generous defaults for the rest.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

/// Sections a test need not write. Each counts only when the test's own text does not have it.
const DEFAULTS: [(&str, &str); 8] = [
    ("[[listener]]", "address = \"127.0.0.1:0\""),
    ("[admin]", "address = \"127.0.0.1:0\""),
    ("[control]", "socket = \"control.sock\""),
    ("[addresses]", "allow = [\"127.0.0.0/8\"]"),
    ("[tunnel]", "hello = \"20s\"\nidle = \"120s\"\nconnect = \"20s\"\ndrain = \"30s\""),
    ("[limits]", "connects_per_second = 10000\nburst = 10000\nhead_timeout = \"20s\""),
    ("[readiness]", "interval = \"0s\""),
    ("[log]", "format = \"json\""),
];

/// A configuration in the making.
#[derive(Clone, Debug, Default)]
pub struct Config {
    text: String,
    hosts: Vec<(String, String)>,
    files: Vec<(String, String)>,
}

impl Config {
    /// Begins with this TOML; sections it lacks get defaults, roles apart.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Gives names a fixed address in `[dns] hosts`; the port replaces 443.
    pub fn hosts(mut self, names: &[&str], address: SocketAddr) -> Self {
        self.hosts.extend(names.iter().map(|name| ((*name).to_owned(), format!("[\"{address}\"]"))));
        self
    }

    /// Gives one name several addresses in `[dns] hosts`, in this order.
    pub fn host(mut self, name: &str, addresses: &[SocketAddr]) -> Self {
        let quoted: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        self.hosts.push((name.to_owned(), format!("[{}]", quoted.join(", "))));
        self
    }

    /// Puts a file beside the configuration.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Returns the number of listeners, and whether there is an admin listener.
    pub fn listeners(&self) -> (usize, bool) {
        let text = self.text();
        (
            text.lines().filter(|line| line.trim() == "[[listener]]").count(),
            !text.contains("address = \"off\""),
        )
    }

    /// Writes everything to a folder and returns the path of the configuration file.
    pub fn write(&self, folder: &Path) -> PathBuf {
        for (name, content) in &self.files {
            std::fs::write(folder.join(name), content).expect("a file beside the configuration");
        }
        let path = folder.join("gateway.toml");
        std::fs::write(&path, self.text()).expect("a configuration file");
        path
    }

    /// Returns the text of the configuration file.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.text);
        for (section, lines) in DEFAULTS {
            if !has_section(&text, section) {
                text.push_str(&format!("\n{section}\n{lines}\n"));
            }
        }
        if self.hosts.is_empty() {
            return text;
        }
        let entries: Vec<String> =
            self.hosts.iter().map(|(name, list)| format!("\"{name}\" = {list}")).collect();
        let hosts = format!("[dns]\nhosts = {{ {} }}\n", entries.join(", "));
        match has_section(&text, "[dns]") {
            true => text.replacen("[dns]\n", &hosts, 1),
            false => format!("{text}\n{hosts}"),
        }
    }
}

fn has_section(text: &str, section: &str) -> bool {
    text.lines().any(|line| line.trim() == section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_of_the_test_replaces_the_default_and_hosts_join_it() {
        let address = "127.0.0.1:8443".parse().expect("an address");
        let config =
            Config::new("[dns]\nservers = []\n[admin]\naddress = \"off\"").hosts(&["a.example"], address);
        let text = config.text();
        assert_eq!(config.listeners(), (1, false));
        assert_eq!(text.matches("[admin]").count(), 1);
        assert!(text.contains("[dns]\nhosts = { \"a.example\" = [\"127.0.0.1:8443\"] }\nservers"), "{text}");
    }
}
