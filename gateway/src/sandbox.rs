//! The process sandbox: after start, no new privileges, files read-only and few, TCP to few ports.
//!
//! Landlock (Linux 5.13; TCP rules since 6.7) holds even for code that a bug lets in: it can then neither
//! write a file, nor read one outside the configuration and the system's own, nor connect anywhere but
//! to port 443, the relays, and the name servers. It is put on the first thread before any other
//! is started, for every thread inherits it. On an older kernel less of it is in force, and the record
//! says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use landlock::ABI;
use landlock::Access;
use landlock::AccessFs;
use landlock::AccessNet;
use landlock::CompatLevel;
use landlock::Compatible;
use landlock::NetPort;
use landlock::Ruleset;
use landlock::RulesetAttr;
use landlock::RulesetCreatedAttr;
pub use landlock::RulesetError;
use landlock::RulesetStatus;
use landlock::path_beneath_rules;

use crate::config::Config;
use crate::config::Files;
use crate::policy::destinations::HTTPS;

/// The newest Landlock whose rights are used: 4 brought TCP.
const WANTED: ABI = ABI::V4;
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

/// Closes the sandbox around this thread and those it starts from now on. It cannot be opened again.
pub fn close(openings: &Openings) -> Result<Sandbox, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::ConnectTcp)?
        .create()?
        .add_rules(path_beneath_rules(&openings.read, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(
            openings
                .connect
                .iter()
                .map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp))),
        )?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Sandbox::Full,
        RulesetStatus::PartiallyEnforced => Sandbox::Partial,
        RulesetStatus::NotEnforced => Sandbox::Absent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::TcpListener;
    use std::net::TcpStream;

    /// Landlock holds for one thread and those it starts, so each test closes a thread of its own.
    fn inside<T: Send + 'static>(openings: Openings, then: impl FnOnce(Sandbox) -> T + Send + 'static) -> T {
        std::thread::spawn(move || then(close(&openings).expect("closes"))).join().expect("the thread ends")
    }

    #[test]
    fn nothing_is_written_and_only_the_named_folders_are_read() {
        let open = tempfile::tempdir().expect("a folder");
        let shut = tempfile::tempdir().expect("a folder");
        for folder in [&open, &shut] {
            std::fs::write(folder.path().join("file"), "text").expect("written");
        }
        let openings = Openings { read: vec![open.path().to_owned()], connect: BTreeSet::new() };
        let (open_path, shut_path) = (open.path().join("file"), shut.path().join("file"));
        let done = inside(openings, move |sandbox| {
            (
                sandbox,
                std::fs::read_to_string(&open_path).map_err(|error| error.kind()),
                std::fs::read_to_string(shut_path).map_err(|error| error.kind()),
                std::fs::write(&open_path, "other").map_err(|error| error.kind()),
            )
        });
        match done {
            (Sandbox::Absent, ..) => println!("skipped: this kernel has no Landlock"),
            (_, read, other, written) => {
                assert_eq!(read.as_deref(), Ok("text"));
                assert_eq!((other, written), (Err(PermissionDenied), Err(PermissionDenied)));
            }
        }
    }

    #[test]
    fn tcp_connects_to_the_named_ports_only() {
        let [named, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("bound"));
        let [named_port, other_port] = [&named, &other].map(|l| l.local_addr().expect("an address").port());
        let openings = Openings { read: Vec::new(), connect: BTreeSet::from([named_port]) };
        let done = inside(openings, move |sandbox| {
            let to = |port| TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.kind());
            (sandbox, to(named_port), to(other_port))
        });
        match done {
            (Sandbox::Full, to_named, to_other) => {
                assert_eq!((to_named, to_other), (Ok(()), Err(PermissionDenied)))
            }
            (Sandbox::Partial | Sandbox::Absent, ..) => {
                println!("skipped: this kernel's Landlock has no TCP rules")
            }
        }
    }
}
