//! The files that onboarding reads and writes.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use agent_lite::durable::folder_of;
use agent_lite::system;
use anyhow::Context;
use anyhow::bail;

/// Largest key, pairing or onboarding file, in bytes: 1 MiB.
pub(super) const LARGEST_FILE: u64 = 1024 * 1024;

/// The paired gateways' roots beside their place: they take it when the service has said yes, else they go.
pub(super) struct Staged {
    pub(super) beside: PathBuf,
    pub(super) place: PathBuf,
}

impl Staged {
    pub(super) fn write(config: &Path, pem: &str) -> anyhow::Result<Self> {
        let place = config.with_file_name("gateway-ca.pem");
        if let Some(folder) = config.parent() {
            system::make_config_folder(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let beside = config.with_file_name(format!("gateway-ca.pem.{}.new", std::process::id()));
        // Never through a link that somebody put there.
        let made = system::create_new(&beside, 0o644);
        let mut out = made.with_context(|| format!("cannot make {}", beside.display()))?;
        let staged = Self { beside, place };
        let written = out.write_all(pem.as_bytes()).and_then(|()| out.sync_all());
        written.with_context(|| format!("cannot write {}", staged.beside.display()))?;
        Ok(staged)
    }

    pub(super) fn take_place(self) -> anyhow::Result<()> {
        fs::rename(&self.beside, &self.place)
            .and_then(|()| system::sync_folder(folder_of(&self.place)))
            .with_context(|| format!("cannot write {}", self.place.display()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Where it took its place there is nothing to remove.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Reads a small text file.
pub(in crate::cli) fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", file.display()))?;
    // Not by the size that the system says: a device has none.
    if text.len() as u64 > LARGEST_FILE {
        bail!("{} is larger than 1 MiB", file.display());
    }
    Ok(text)
}

pub(super) fn read_if_there(file: &Path) -> anyhow::Result<String> {
    if file.exists() { read(file) } else { Ok(String::new()) }
}

/// Replaces a file in one step. One that is there keeps owner and mode, but others may no more than `mode` says.
pub(in crate::cli) fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let folder = folder_of(file);
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut name = real.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = real.with_file_name(name);
    let written = || -> std::io::Result<()> {
        system::make_config_folder(folder)?;
        let mut out = system::create_new(&new, mode & 0o700)?;
        out.write_all(text.as_bytes())?;
        system::permit_as_before(&out, &real, mode)?;
        out.sync_all()?;
        drop(out);
        system::put_in_place(&new, &real)?;
        system::sync_folder(folder_of(&real))
    };
    let outcome = written();
    if outcome.is_err() {
        // A half of it is of no use to anybody, and a password may stand in it.
        let _ = fs::remove_file(&new);
    }
    outcome.with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_password_is_written_where_only_those_read_it_who_may() {
        let folder = tempfile::tempdir().unwrap();
        for (before, after) in
            [(None, 0o600), (Some(0o644), 0o640), (Some(0o600), 0o600), (Some(0o666), 0o660)]
        {
            let file = folder.path().join("agent.toml");
            let _ = fs::remove_file(&file);
            if let Some(before) = before {
                fs::write(&file, "").unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(before)).unwrap();
            }
            write(&file, "secret", 0o600).unwrap();
            assert_eq!(mode(&file), after, "{before:?}");
        }
        let ca = folder.path().join("gateway-ca.pem");
        write(&ca, "roots", 0o644).unwrap();
        assert_eq!(mode(&ca), 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn a_link_beside_the_file_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("agent.toml"), folder.path().join("other"));
        fs::write(&other, "kept").unwrap();
        let name = format!("agent.toml.{}.new", std::process::id());
        std::os::unix::fs::symlink(&other, folder.path().join(name)).unwrap();
        assert!(write(&file, "secret", 0o600).is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    }

    #[test]
    fn roots_of_a_gateway_take_their_place_at_the_end_and_go_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (config, ca) = (folder.path().join("new/agent.toml"), folder.path().join("new/gateway-ca.pem"));
        drop(Staged::write(&config, "new").unwrap());
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
        fs::write(&ca, "old").unwrap();
        let staged = Staged::write(&config, "new").unwrap();
        assert_eq!((fs::read_to_string(&ca).unwrap().as_str(), mode(&staged.beside)), ("old", 0o644));
        let beside = staged.beside.clone();
        staged.take_place().unwrap();
        assert_eq!(fs::read_to_string(&ca).unwrap(), "new");
        std::os::unix::fs::symlink(&ca, &beside).unwrap();
        assert!(Staged::write(&config, "stolen").is_err());
        assert_eq!(fs::read_to_string(&ca).unwrap(), "new");
    }
}
