//! Where all of it talks: a network namespace of its own, with port 443 and a hosts file, so that every proxy resolves
//! the same name and dials the same port; or, if wanted, this machine's loopback, for programs that need neither.
//!
//! With [`Shape::veth`], clients and origin stand in a second namespace, and programs between them in the first, with a
//! pair of virtual cards in between: what passes has packets of a wire's size on both legs.
//!
//! The namespace comes with one of processes: when its first process dies, so does whatever was started in it.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
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
/// The addresses of the pair's two ends: where programs listen, and where clients and origin are.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 83, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 83, 0, 2);

/// What the loopback is like.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shape {
    /// Use this machine's own loopback; only floor and gateways can be measured then
    #[arg(long)]
    pub host_network: bool,
    /// Largest packet, instead of loopback's 64 KiB; below that segments are not joined either
    #[arg(long)]
    pub mtu: Option<u32>,
    /// Clients and origin in a namespace of their own, behind a veth pair of MTU 1500; with --mtu, nothing is joined there
    #[arg(long, conflicts_with = "host_network")]
    pub veth: bool,
    /// Congestion control, instead of the machine's own, which may pace; a namespace may have "reno" and what is allowed
    #[arg(long)]
    pub congestion: Option<String>,
}

/// Addresses to listen at.
pub(crate) struct Network {
    inside: bool,
    next: Cell<u16>,
    /// The second namespace, as a file, if there is one.
    far: Option<PathBuf>,
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
        let network = Self {
            inside: !shape.host_network,
            next: Cell::new(FIRST_PORT),
            far: shape.veth.then(|| folder.join("far")),
        };
        if network.inside {
            up(shape)?;
            set("ip_local_port_range", EPHEMERAL)?;
            if let Some(congestion) = &shape.congestion {
                set("tcp_congestion_control", congestion)?;
            }
            if let Some(far) = &network.far {
                pair(shape, far)?;
            }
            name(folder, names, network.origin().ip())?;
        }
        Ok(network)
    }

    /// Returns the command as it is run where clients and origin are.
    pub(crate) fn far(&self, command: Command) -> Command {
        let Some(far) = &self.far else { return command };
        let mut there = Command::new("nsenter");
        there.arg(in_network(far)).arg("--").arg(command.get_program()).args(command.get_args());
        there
    }

    fn near(&self) -> Ipv4Addr {
        if self.far.is_some() { NEAR } else { Ipv4Addr::LOCALHOST }
    }

    /// Returns whether names are resolved and port 443 can be listened at.
    pub(crate) fn has_names(&self) -> bool {
        self.inside
    }

    pub(crate) fn origin(&self) -> SocketAddr {
        match (self.inside, &self.far) {
            (true, Some(_)) => (FAR, 443).into(),
            (true, None) => (Ipv4Addr::LOCALHOST, 443).into(),
            (false, _) => benches::free_address(),
        }
    }

    /// Returns an address that nobody listens at.
    pub(crate) fn address(&self) -> SocketAddr {
        if !self.inside {
            return benches::free_address();
        }
        let port = self.next.get();
        self.next.set(if port > 1900 { FIRST_PORT } else { port + 1 });
        (self.near(), port).into()
    }
}

impl Drop for Network {
    /// Lets go of the file that holds the second namespace, so that its folder can be removed.
    fn drop(&mut self) {
        if let Some(far) = &self.far {
            let _ = Command::new("umount").arg("--lazy").arg(far).status();
        }
    }
}

fn up(shape: &Shape) -> anyhow::Result<()> {
    let mut ip = Command::new("ip");
    ip.args(["link", "set", "dev", "lo", "up"]);
    if let (Some(mtu), false) = (shape.mtu, shape.veth) {
        ip.args(["mtu", &mtu.to_string(), "gso_max_segs", "1"]);
    }
    succeed(ip)
}

/// Makes the second namespace and the pair of cards. It is held by a mount on this file, in this process's own
/// namespace of mounts, so it goes when that goes.
fn pair(shape: &Shape, far: &Path) -> anyhow::Result<()> {
    fs::write(far, "")?;
    let mut make = Command::new("unshare");
    make.arg(in_network(far)).arg("true");
    succeed(make)?;
    let mtu = shape.mtu.unwrap_or(1500).to_string();
    let ip = |line: &str| {
        let mut ip = Command::new("ip");
        ip.args(line.split_whitespace());
        ip
    };
    let there = |line: &str| {
        let mut there = Command::new("nsenter");
        there.arg(in_network(far)).arg("--").args(line.split_whitespace());
        there
    };
    succeed(ip("link add near type veth peer name far"))?;
    let mut give = ip("link set dev far netns");
    give.arg(far);
    succeed(give)?;
    succeed(ip(&format!("address add {NEAR}/24 dev near")))?;
    succeed(there(&format!("ip address add {FAR}/24 dev far")))?;
    let whole = if shape.mtu.is_some() { "gso_max_segs 1" } else { "" };
    succeed(ip(&format!("link set dev near up mtu {mtu} {whole}")))?;
    succeed(there(&format!("ip link set dev far up mtu {mtu} {whole}")))?;
    succeed(there("ip link set dev lo up"))?;
    let mut ports = Command::new("nsenter");
    ports.arg(in_network(far)).args(["--", "sh", "-c"]);
    ports.arg(format!("echo {EPHEMERAL} > /proc/sys/net/ipv4/ip_local_port_range"));
    succeed(ports)
}

/// Says the namespace to nsenter and unshare.
fn in_network(file: &Path) -> OsString {
    let mut option = OsString::from("--net=");
    option.push(file);
    option
}

fn succeed(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn set(name: &str, value: &str) -> anyhow::Result<()> {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value).with_context(|| format!("{name} = {value}"))
}

/// Gives the names the origin's address, in this namespace alone.
fn name(folder: &Path, names: &[&str], address: IpAddr) -> anyhow::Result<()> {
    let hosts = hosts_file(folder);
    let mut text = String::from("127.0.0.1 localhost\n");
    names.iter().for_each(|name| text.push_str(&format!("{address} {name}\n")));
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
