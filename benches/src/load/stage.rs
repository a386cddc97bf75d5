//! What every measurement stands on: a folder, a network, an origin, and how large the policy is.

use std::cell::Cell;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use benches::HOST;
use end_to_end::hello::hellos;
use end_to_end::pki::PemFiles;
use end_to_end::pki::Pki;
use tempfile::TempDir;

use super::network::Network;
use super::network::Shape;
use super::processes::Process;
use super::wire::COUNT;
use super::wire::Hellos;
use super::wire::TOTALS;

/// The name that proxies have in their certificate.
pub(crate) const PROXY: &str = "proxy.example";
/// The file of the authority that vouches for it.
pub(crate) const AUTHORITY: &str = "authority.pem";
const START: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// See above.
pub(crate) struct Stage {
    pub network: Network,
    pub origin: SocketAddr,
    /// Users with a password each.
    pub users: usize,
    /// Rules for hosts beside the bundle.
    pub rules: usize,
    /// Of proxies that speak TLS.
    pub certificate: PemFiles,
    _pki: Pki,
    _origin: Process,
    folder: TempDir,
    folders: Cell<u32>,
}

/// What an origin has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub connections: u64,
    pub up: u64,
    pub down: u64,
}

impl Stage {
    pub(crate) fn new(shape: &Shape, users: usize, rules: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Some peers become another user, who reads their files.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let network = Network::new(shape, folder.path(), &[HOST])?;
        let pki = Pki::new();
        let hellos = hellos(&pki, HOST);
        Hellos { client: hellos.client, server: hellos.server }.write(folder.path())?;
        fs::copy(pki.authority_file(), folder.path().join(AUTHORITY))?;
        let certificate = pki.pem_files("proxy", &[PROXY]);
        let origin = network.origin();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["origin", &origin.to_string()]).arg(folder.path());
        let process = Process::start(&network.far(command), &folder.path().join("origin.said"))?;
        let stage = Self {
            network,
            origin,
            users,
            rules,
            certificate,
            _pki: pki,
            _origin: process,
            folder,
            folders: Cell::new(0),
        };
        let deadline = Instant::now() + START;
        while stage.totals().is_err() {
            ensure!(Instant::now() < deadline, "the origin does not start");
            thread::sleep(LOOK);
        }
        Ok(stage)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a folder of its own for one start of a program.
    pub(crate) fn new_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.folders.set(self.folders.get() + 1);
        let folder = self.folder.path().join(format!("{name}-{}", self.folders.get()));
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Asks the origin what it has seen.
    pub(crate) fn totals(&self) -> anyhow::Result<Totals> {
        let mut stream = TcpStream::connect(self.origin)?;
        stream.set_read_timeout(Some(START))?;
        stream.write_all(&[COUNT])?;
        let mut told = [0; TOTALS];
        stream.read_exact(&mut told)?;
        let number = |at: usize| {
            let bytes = told.get(at..at + 8).context("a number")?;
            anyhow::Ok(u64::from_be_bytes(bytes.try_into()?))
        };
        Ok(Totals { connections: number(0)?, up: number(8)?, down: number(16)? })
    }
}
