//! What differs between systems, on Windows; `system/unix` has the same names. What else differs stands beside its
//! concern: the sandbox, pipes, the control socket, the hand-over, the journal.

use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::AsHandle;
use std::path::Path;
use std::path::PathBuf;

use agent_lite_windows::security;
use agent_lite_windows::threads;
use socket2::TcpKeepalive;

/// What an operator does so that the gateway takes what a reload cannot take.
pub const RESTART: &str = "a restart";
/// How an operator is told to reload where no control pipe answers.
pub const RELOAD_BY_HAND: &str = "use `la-gateway service reload`";
/// Whether the address of a listener that was just closed is taken at once only if that is asked for. On Windows that
/// option lets other programs take a port away from who listens on it.
pub const REUSE_ADDRESS: bool = false;
/// Whether the connections of a listener have its options: Windows does not promise it.
pub const OPTIONS_ARE_HANDED_DOWN: bool = false;
/// How an operator sees which addresses this machine has.
pub const ADDRESSES: &str = "ipconfig";
/// The name of the service, and of its folder.
pub const NAME: &str = "la-gateway";

/// Too many open files, and no room for another socket: WSAEMFILE, WSAENOBUFS.
pub const EXHAUSTED: [i32; 2] = [10_024, 10_055];

/// Returns the keepalive as it is: Windows ends a connection after ten probes, and lets a program say another number only
/// since version 1703 of Windows 10, which Windows Server 2016 is older than.
pub fn with_probes(keepalive: TcpKeepalive, _probes: u32) -> TcpKeepalive {
    keepalive
}

/// Returns `C:\ProgramData\la-gateway`, or where else programs keep their data.
pub fn usual_folder() -> PathBuf {
    let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
    PathBuf::from(data).join(NAME)
}

/// Returns where the configuration is looked for when none is named.
pub fn usual_place() -> PathBuf {
    usual_folder().join("gateway.toml")
}

/// Returns the name of the control pipe when none is named.
pub fn usual_control_socket() -> PathBuf {
    PathBuf::from(r"\\.\pipe\la-gateway")
}

/// Returns how an operator sees who has a port.
pub fn who_has(port: u16) -> String {
    format!("Get-NetTCPConnection -State Listen -LocalPort {port}")
}

/// Returns why a port may not be bound, where the system keeps it for some.
pub fn forbidden(_port: u16) -> Option<String> {
    Some("another program has it for itself, or Windows keeps it: netsh interface ipv4 show excludedportrange tcp".to_owned())
}

/// Returns what a look at a file shows without reading it: another length or time is another stamp.
pub fn stamp(found: &Metadata) -> [i64; 7] {
    let whole = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
    [
        found.file_attributes().into(),
        whole(found.file_size()),
        whole(found.last_write_time()),
        whole(found.creation_time()),
        0,
        0,
        0,
    ]
}

/// Makes a file that is not there yet and that is its owner's and the administrators' only.
pub fn create_private(path: &Path) -> io::Result<File> {
    security::create_file(path)
}

/// Makes a file of the configuration, which may hold secrets, that is not there yet. It inherits who may read it from its
/// folder: the service, which has an account of its own, must.
pub fn create_beside_configuration(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Returns standard output as a file: the library's own writes line by line.
pub fn standard_output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

/// Returns the limit of open files: Windows has none that a program would reach.
pub fn raise_open_files() -> u64 {
    u64::MAX
}

/// Has this thread run only where nobody else wants the processor.
pub fn run_when_idle() {
    let _ = threads::run_when_idle();
}

/// Has this thread run with a little of what others want.
pub fn run_nicely() {
    let _ = threads::run_nicely();
}
