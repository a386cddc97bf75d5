//! The sandbox by Landlock.

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

use super::Openings;
use super::Sandbox;

/// The newest Landlock whose rights are used: 4 brought TCP.
const WANTED: ABI = ABI::V4;

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
    use std::collections::BTreeSet;
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
