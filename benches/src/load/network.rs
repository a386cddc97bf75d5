//! Where all of it talks: a network namespace of its own, with port 443 and a hosts file, so that every proxy resolves
//! the same name and dials the same port; or, if wanted, this machine's loopback, for programs that need neither.
//!
//! The namespace comes with one of processes: when its first process dies, so does whatever was started in it.

use std::cell::Cell;
use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::ensure;
use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;
use nix::sys::resource::setrlimit;
use nix::unistd::geteuid;

/// Says to a process of this program that it is in its namespace.
const INSIDE: &str = "LOAD_BENCH_INSIDE";
/// Open files of every process, as far as they are allowed.
const FILES: u64 = 200_000;
/// Ports of clients and dialling proxies. Listeners are below.
const EPHEMERAL: &str = "2048 65000";
const FIRST_PORT: u16 = 1100;

/// What the loopback is like.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shape {
    /// Use this machine's own loopback; only floor and gateways can be measured then
    #[arg(long)]
    pub host_network: bool,
    /// Largest packet, instead of loopback's 64 KiB; below that segments are not joined either
    #[arg(long)]
    pub mtu: Option<u32>,
    /// Congestion control, instead of the machine's own, which may pace; a namespace may have "reno" and what is allowed
    #[arg(long)]
    pub congestion: Option<String>,
}

/// Addresses to listen at.
pub(crate) struct Network {
    inside: bool,
    next: Cell<u16>,
}

/// Runs this program again, with the same arguments, in its namespace; none if it is there already or stays outside.
pub(crate) fn enter(shape: &Shape) -> anyhow::Result<Option<ExitCode>> {
    if shape.host_network || std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let own = std::env::current_exe()?;
    let mut command = Command::new(&own);
    command.args(["leash", "unshare", "--net", "--mount", "--pid", "--mount-proc", "--kill-child"]);
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--").arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    let status = command.status().context("unshare, of util-linux")?;
    Ok(Some(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)))
}

impl Network {
    /// Makes the network ready; `names` get this machine's address.
    pub(crate) fn new(shape: &Shape, folder: &Path, names: &[&str]) -> anyhow::Result<Self> {
        raise_files()?;
        let network = Self { inside: !shape.host_network, next: Cell::new(FIRST_PORT) };
        if network.inside {
            up(shape)?;
            set("ip_local_port_range", EPHEMERAL)?;
            if let Some(congestion) = &shape.congestion {
                set("tcp_congestion_control", congestion)?;
            }
            name(folder, names)?;
        }
        Ok(network)
    }

    /// Returns whether names are resolved and port 443 can be listened at.
    pub(crate) fn has_names(&self) -> bool {
        self.inside
    }

    pub(crate) fn origin(&self) -> SocketAddr {
        if self.inside { (Ipv4Addr::LOCALHOST, 443).into() } else { benches::free_address() }
    }

    /// Returns an address that nobody listens at.
    pub(crate) fn address(&self) -> SocketAddr {
        if !self.inside {
            return benches::free_address();
        }
        let port = self.next.get();
        self.next.set(if port > 1900 { FIRST_PORT } else { port + 1 });
        (Ipv4Addr::LOCALHOST, port).into()
    }
}

fn up(shape: &Shape) -> anyhow::Result<()> {
    let mut ip = Command::new("ip");
    ip.args(["link", "set", "dev", "lo", "up"]);
    if let Some(mtu) = shape.mtu {
        ip.args(["mtu", &mtu.to_string(), "gso_max_segs", "1"]);
    }
    ensure!(ip.status().context("ip, of iproute2")?.success(), "the loopback does not come up");
    Ok(())
}

fn set(name: &str, value: &str) -> anyhow::Result<()> {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value).with_context(|| format!("{name} = {value}"))
}

/// Gives the names this machine's address, in this namespace alone.
fn name(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
    let hosts = hosts_file(folder);
    let mut text = String::from("127.0.0.1 localhost\n");
    names.iter().for_each(|name| text.push_str(&format!("127.0.0.1 {name}\n")));
    fs::write(&hosts, text)?;
    let mut mount = Command::new("mount");
    let status = mount.arg("--bind").arg(&hosts).arg("/etc/hosts").status().context("mount")?;
    ensure!(status.success(), "/etc/hosts cannot be replaced");
    Ok(())
}

/// Returns the file with the names, for programs that want to be told.
pub(crate) fn hosts_file(folder: &Path) -> std::path::PathBuf {
    folder.join("hosts")
}

fn raise_files() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES.max(hard)).is_err() {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES), hard)?;
    }
    Ok(())
}
