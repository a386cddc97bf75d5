//! What a Linux says of itself, in its files.

use std::fs;
use std::path::Path;

use super::Machine;
use super::NO_UUID;
use super::is_container;
use crate::parse::proc::release::Release;

/// Most bytes of a file of facts.
const LARGEST_FILE: u64 = 64 * 1024;

/// Asks the machine.
pub(super) fn ask() -> Machine {
    below(Path::new("/"))
}

fn below(root: &Path) -> Machine {
    let read = |path: &str| text(&root.join(path));
    let release = read("etc/os-release").or_else(|| read("usr/lib/os-release")).unwrap_or_default();
    let uuid = read("sys/class/dmi/id/product_uuid").and_then(|text| text.trim().parse().ok());
    let hostname = read("proc/sys/kernel/hostname").unwrap_or_default();
    Machine {
        hostname: Some(hostname.trim()).filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned(),
        release: Release::read(&release),
        architecture: std::env::consts::ARCH,
        uuid: uuid.map_or(NO_UUID.to_owned(), |uuid: uuid::Uuid| uuid.hyphenated().to_string()),
        container: is_container(root),
    }
}

/// Reads a small file; none if it is large, unreadable or no text.
fn text(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LARGEST_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_its_files_say() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("usr/lib/os-release", "ID=debian\nNAME=Debian\nVERSION_ID=12.5\n"),
            ("sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8054-B4C04F4D3532\n"),
            ("proc/sys/kernel/hostname", "edge7\n"),
            ("run/.containerenv", ""),
        ];
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = below(root.path());
        assert_eq!((machine.hostname.as_str(), machine.release.minor()), ("edge7", Some("5")));
        assert_eq!(machine.uuid, "4c4c4544-0042-3510-8054-b4c04f4d3532");
        assert!(machine.container);
    }

    #[test]
    fn a_machine_that_says_nothing_is_a_linux_without_a_uuid() {
        let root = tempfile::tempdir().unwrap();
        let machine = below(root.path());
        assert_eq!((machine.hostname.as_str(), machine.release.name.as_str()), ("localhost", "Linux"));
        assert_eq!((machine.uuid.as_str(), machine.container), (NO_UUID, false));
    }
}
