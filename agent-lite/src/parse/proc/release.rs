//! `/etc/os-release`: what the system calls itself (os-release(5)).

/// The name and version of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `Debian GNU/Linux`.
    pub name: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub caption: String,
    /// `debian`.
    pub id: String,
    /// `12`, `22.04`; none for one that rolls.
    pub version: Option<String>,
}

impl Release {
    /// Reads the file; what is missing is `Linux`, as os-release(5) says.
    pub fn read(text: &str) -> Self {
        let find = |wanted: &str| {
            let of_line = |line: &str| Some(unquoted(line.trim().strip_prefix(wanted)?.strip_prefix('=')?));
            text.lines().find_map(of_line).filter(|value| !value.is_empty())
        };
        let name = find("NAME").unwrap_or_else(|| "Linux".to_owned());
        let version = find("VERSION_ID");
        let caption = find("PRETTY_NAME").unwrap_or_else(|| match &version {
            Some(version) => format!("{name} {version}"),
            None => name.clone(),
        });
        Self { caption, id: find("ID").unwrap_or_else(|| "linux".to_owned()), name, version }
    }

    /// Returns the version up to its first point.
    pub fn major(&self) -> Option<&str> {
        self.version.as_deref()?.split('.').next()
    }

    /// Returns the version between its first and second point.
    pub fn minor(&self) -> Option<&str> {
        self.version.as_deref()?.split('.').nth(1)
    }

    /// Returns who makes it, for systems the legacy agent knew by their makers.
    pub fn manufacturer(&self) -> &str {
        match self.id.as_str() {
            "ubuntu" => "Canonical Group Limited",
            "debian" => "Software in the Public Interest, Inc.",
            "rhel" | "fedora" => "Red Hat, Inc.",
            "centos" => "Central Logistics GmbH",
            "ol" => "Oracle Corporation",
            "sles" | "opensuse-leap" | "opensuse-tumbleweed" => "SUSE GmbH",
            "amzn" => "Amazon.com, Inc.",
            "azurelinux" | "mariner" | "windows" => "Microsoft Corporation",
            _ => &self.name,
        }
    }
}

/// Reads a value in single quotes, double quotes or none.
fn unquoted(value: &str) -> String {
    let inner = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    if let Some(plain) = inner('\'') {
        return plain.to_owned();
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = inner('"').unwrap_or(value).chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_says_its_name_and_version() {
        let text = "PRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\nNAME='Ubuntu'\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\n";
        let found = Release::read(text);
        assert_eq!((found.name.as_str(), found.caption.as_str()), ("Ubuntu", "Ubuntu 22.04.4 LTS"));
        assert_eq!((found.major(), found.minor()), (Some("22"), Some("04")));
        assert_eq!(found.manufacturer(), "Canonical Group Limited");
    }

    #[test]
    fn what_a_system_does_not_say_is_linux_or_absent() {
        let found = Release::read("NAME=\"A \\\"B\\\"\"\nID=ab\nVERSION_ID=12\n");
        assert_eq!((found.caption.as_str(), found.major(), found.minor()), ("A \"B\" 12", Some("12"), None));
        assert_eq!(found.manufacturer(), "A \"B\"");
        let none = Release::read("# nothing\nNAME=\n");
        assert_eq!(
            (none.name.as_str(), none.caption.as_str(), none.id.as_str()),
            ("Linux", "Linux", "linux")
        );
        assert_eq!((none.major(), none.minor()), (None, None));
    }
}
