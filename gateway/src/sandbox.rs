//! The process sandbox: after start, no new privileges, files read-only and few, TCP to few ports.
//!
//! Landlock (Linux 5.13; TCP rules since 6.7) holds even for code that a bug lets in: it can then neither
//! write a file, nor read one outside the configuration and the system's own, nor connect anywhere but
//! to port 443, the relays, and the name servers. It is put on the first thread before any other
//! is started, for every thread inherits it. On an older kernel less of it is in force, and the record
//! says so. On Windows there is none.

#[cfg_attr(unix, path = "sandbox/landlock.rs")]
#[cfg_attr(windows, path = "sandbox/none.rs")]
mod enforced;

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

pub use self::enforced::RulesetError;
pub use self::enforced::close;
use crate::config::Config;
use crate::config::Files;
use crate::policy::destinations::HTTPS;

const DNS: u16 = 53;
/// What the system's resolver configuration, certificate roots and process limits are read from.
const SYSTEM: [&str; 9] = [
    "/etc",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/lib/ssl",
    "/var/lib/ca-certificates",
    "/run/systemd/resolve",
    "/proc/self",
    // Where the C library is linked in, random bytes are read from there.
    "/dev/random",
    "/dev/urandom",
];

/// What stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Openings {
    /// Folders whose files may be read.
    pub read: Vec<PathBuf>,
    /// Ports to which TCP may connect.
    pub connect: BTreeSet<u16>,
}

impl Openings {
    /// Returns what a configuration needs: its own folders, port 443, and the ports it names.
    pub fn of(config: &Config) -> Self {
        let folder = |file: &Path| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        // A file may be a link; the ones that renew certificates leave one beside the configuration.
        let folders = |file: &Path| {
            let real = file.canonicalize().ok();
            [Some(folder(file)), real.as_deref().map(folder)].into_iter().flatten()
        };
        let admin_users = config.admin.as_ref().and_then(|admin| admin.users_file.as_ref());
        let users = config.roles.users_files.iter().chain(admin_users);
        let named = users.chain(&config.file).chain(&config.relay.ca);
        let tls = config.identities().flat_map(|tls| tls.files());
        let read = SYSTEM
            .iter()
            .map(PathBuf::from)
            .chain(named.flat_map(|file| folders(file)))
            .chain(tls.flat_map(folders));
        let relays = config.relay.proxies.iter().map(|proxy| proxy.port());
        let fixed = config.dns.hosts.values().flatten().filter_map(|address| address.port);
        let servers = config.dns.servers.iter().map(|server| server.port());
        Self {
            read: read.collect(),
            connect: [HTTPS, DNS].into_iter().chain(fixed).chain(relays).chain(servers).collect(),
        }
    }
}

impl Openings {
    /// Says which needs of `wanted` are shut: the sandbox that leaves these open was closed at the start,
    /// and nothing opens it again. `sandbox` is how much of it is in force.
    pub fn shut(&self, wanted: &Self, files: &Files, sandbox: Sandbox) -> Vec<String> {
        let mut shut = Vec::new();
        if sandbox != Sandbox::Absent {
            let read: Vec<PathBuf> =
                self.read.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
            let real = |file: &PathBuf| file.canonicalize().ok();
            let is_open = |real: &PathBuf| read.iter().any(|folder| real.starts_with(folder));
            let closed = files.all().filter(|file| real(file).is_some_and(|real| !is_open(&real)));
            shut.extend(closed.map(|file| {
                format!("{}: the sandbox, closed at the start, opens only the folders of the files of that time; move it there, or restart", file.display())
            }));
        }
        if sandbox == Sandbox::Full {
            shut.extend(wanted.connect.difference(&self.connect).map(|port| {
                format!("port {port}: the sandbox, closed at the start, lets TCP connect only to the ports of that time; restart for this one")
            }));
        }
        shut
    }
}

/// How much of the sandbox is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// All of it.
    Full,
    /// What this kernel knows of it.
    Partial,
    /// Nothing: the kernel has no Landlock, or it is off.
    Absent,
}
