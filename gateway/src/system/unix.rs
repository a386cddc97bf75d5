//! What differs between systems, on Unix; `system/windows` has the same names. What else differs stands beside its
//! concern: the sandbox, pipes, the control socket, the hand-over, the journal.

use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setpriority_process;
use rustix::process::setrlimit;
use rustix::thread::gettid;
use socket2::TcpKeepalive;
use thread_priority::NormalThreadSchedulePolicy;
use thread_priority::ThreadPriority;
use thread_priority::ThreadSchedulePolicy;
use thread_priority::set_thread_priority_and_policy;
use thread_priority::thread_native_id;

/// What an operator does so that the gateway takes what a reload cannot take.
pub const RESTART: &str = "a hand-over (SIGUSR2) or a restart";
/// How an operator is told to reload where no control socket answers.
pub const RELOAD_BY_HAND: &str = "send SIGHUP";
/// Whether the address of a listener that was just closed is taken at once only if that is asked for.
pub const REUSE_ADDRESS: bool = true;
/// Whether the connections of a listener have its options.
pub const OPTIONS_ARE_HANDED_DOWN: bool = true;
/// How an operator sees which addresses this machine has.
pub const ADDRESSES: &str = "ip addr";
/// Ports below this are for those who may bind them.
const PRIVILEGED: u16 = 1024;
/// How nice a thread is that must go on: a tenth of a processor that others want (`setpriority(2)`).
const NICENESS: i32 = 10;
/// Mode of a file that is for its owner only.
const PRIVATE: u32 = 0o600;

/// Too many open files, of the system and of the process: the same numbers on every Unix.
pub const EXHAUSTED: [i32; 2] = [23, 24];

/// Returns a keepalive that ends a connection after so many probes without an answer.
pub fn with_probes(keepalive: TcpKeepalive, probes: u32) -> TcpKeepalive {
    keepalive.with_retries(probes)
}

/// Returns where the configuration is looked for when none is named.
pub fn usual_place() -> PathBuf {
    PathBuf::from("/etc/la-gateway/gateway.toml")
}

/// Returns where the control socket is when none is named: in the service's own folder, where there is one.
pub fn usual_control_socket() -> PathBuf {
    PathBuf::from("/run/la-gateway/control.sock")
}

/// Returns how an operator sees who has a port.
pub fn who_has(port: u16) -> String {
    format!("ss -ltnp 'sport = :{port}'")
}

/// Returns why a port may not be bound, where the system keeps it for some.
pub fn forbidden(port: u16) -> Option<String> {
    let text = || format!("ports below {PRIVILEGED} need CAP_NET_BIND_SERVICE: see la-gateway.service");
    (port < PRIVILEGED).then(text)
}

/// Returns what a look at a file shows without reading it: another file, length or time is another stamp.
pub fn stamp(found: &Metadata) -> [i64; 7] {
    let whole = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
    [
        whole(found.dev()),
        whole(found.ino()),
        whole(found.size()),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ]
}

/// Makes a file that is not there yet and that is its owner's only.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)
}

/// Makes a file of the configuration, which may hold secrets, that is not there yet.
pub fn create_beside_configuration(path: &Path) -> io::Result<File> {
    create_private(path)
}

/// Returns standard output as a file: the library's own writes line by line.
pub fn standard_output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Raises the soft limit of open files to the hard one, and returns the limit that is in force.
pub fn raise_open_files() -> u64 {
    let found = getrlimit(Resource::Nofile);
    let (Some(soft), hard) = (found.current, found.maximum) else { return u64::MAX };
    match setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }) {
        Ok(()) => hard.unwrap_or(u64::MAX),
        Err(_) => soft,
    }
}

/// Has this thread run only where nobody else wants the processor, and away at once when somebody does (sched(7),
/// SCHED_IDLE). Where it is not allowed, it is only less polite.
pub fn run_when_idle() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
}

/// Has this thread run with a little of what others want.
pub fn run_nicely() {
    let _ = setpriority_process(Some(gettid()), NICENESS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_in_force_is_the_hard_one() {
        let raised = raise_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), raised);
    }
}
