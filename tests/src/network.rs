//! Hosts with networks of their own: namespaces of the kernel, joined by pairs of interfaces.
//!
//! Names carry the process's number; addresses are each namespace's own, so nothing here can meet another
//! test's. All is gone when the value is dropped, and what a killed run has left goes at the next start.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use rustix::thread::LinkNameSpaceType;
use rustix::thread::move_into_link_name_space;
use tokio::net::TcpListener;
use tokio::net::UdpSocket;

const PREFIX: &str = "lagw";
/// What is needed of the machine beside root's rights.
const PROGRAMS: [&str; 4] = ["ip", "nft", "setpriv", "haproxy"];

/// The hosts of one test.
pub struct Network {
    name: String,
    hosts: Vec<&'static str>,
}

/// One end of a link: the host, its interface, and the interface's addresses with their lengths.
pub type End<'a> = (&'static str, &'a str, &'a [&'a str]);

impl Network {
    /// Makes hosts that know nobody, or says `skipped: …`.
    pub fn new(hosts: &[&'static str]) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for program in PROGRAMS {
            let mut shell = Command::new("sh");
            // Debian keeps some where only root looks.
            shell
                .args(["-c", "PATH=$PATH:/usr/sbin:/sbin; command -v \"$0\"", program])
                .stdout(Stdio::null());
            if !shell.status().is_ok_and(|status| status.success()) {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut network =
            Self { name: format!("{PREFIX}{}-{number}", std::process::id()), hosts: Vec::new() };
        for host in hosts {
            let made = run(Command::new("ip").args(["netns", "add", &network.of(host)]), None);
            if !made.status.success() {
                println!("skipped: no network namespace: {}", String::from_utf8_lossy(&made.stderr).trim());
                return None;
            }
            network.hosts.push(host);
            network.ip(host, &["link set lo up"]);
        }
        Some(network)
    }

    /// Returns the name of a host's namespace.
    fn of(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// Runs commands of `ip` at a host.
    pub fn ip(&self, host: &str, commands: &[&str]) {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.of(host), "-batch", "-"]);
        let done = run(&mut ip, Some(&commands.join("\n")));
        assert!(done.status.success(), "{host}: {commands:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Joins two hosts.
    pub fn link(&self, one: End<'_>, other: End<'_>) {
        let (peer, inner) = (self.of(other.0), other.1);
        self.ip(one.0, &[&format!("link add {} type veth peer name {inner} netns {peer}", one.1)]);
        for (host, interface, addresses) in [one, other] {
            let mut commands = vec![format!("link set {interface} up")];
            for address in addresses {
                // Nobody else has it.
                let nodad = if address.contains(':') { " nodad" } else { "" };
                commands.push(format!("addr add {address} dev {interface}{nodad}"));
            }
            self.ip(host, &commands.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    /// Gives a host addresses that no link carries.
    pub fn addresses(&self, host: &str, addresses: &[&str]) {
        let add = |address: &&str| match address.contains(':') {
            true => format!("addr add {address}/128 dev lo nodad"),
            false => format!("addr add {address}/32 dev lo"),
        };
        let commands: Vec<String> = addresses.iter().map(add).collect();
        self.ip(host, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Returns the words that start a program at a host.
    pub fn starter(&self, host: &str) -> Vec<String> {
        ["ip", "netns", "exec", &self.of(host)].map(str::to_owned).to_vec()
    }

    /// Runs a program at a host to its end, which must be a good one.
    pub fn run(&self, host: &str, program: &[&str], input: Option<&str>) -> String {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.of(host)]).args(program);
        let done = run(&mut command, input);
        assert!(done.status.success(), "{host}: {program:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("a text")
    }

    /// Loads packet filter rules.
    pub fn load(&self, host: &str, rules: &str) {
        self.run(host, &["nft", "-f", "-"], Some(rules));
    }

    /// Returns the packets that a counter has counted.
    pub fn counted(&self, host: &str, table: &str, counter: &str) -> u64 {
        let text = self.run(host, &["nft", "list", "counter", "inet", table, counter], None);
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no counter in {text}"))
    }

    /// Lets packets pass through a host, or not.
    pub fn forward(&self, host: &str, passes: bool) {
        self.enter(host, || {
            for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                let file = Path::new("/proc/sys/net").join(file);
                std::fs::write(file, if passes { "1" } else { "0" }).expect("a setting of our own namespace");
            }
        });
    }

    /// Does something at a host, in a thread of its own, to its end. What it opens stays at that host.
    pub fn enter<T: Send>(&self, host: &str, act: impl FnOnce() -> T + Send) -> T {
        let place = self.place(host);
        let inside = || {
            enter(&place);
            act()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).expect("no panic at a host")
    }

    /// Returns what a thread needs to move to a host, with [`enter`].
    pub fn place(&self, host: &str) -> File {
        File::open(Path::new("/run/netns").join(self.of(host))).expect("a namespace of our own")
    }

    /// Listens at a host. Must be called in a runtime.
    pub fn listen(&self, host: &str, address: &str) -> TcpListener {
        let address: SocketAddr = address.parse().expect("an address");
        let listener = self.enter(host, || std::net::TcpListener::bind(address)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        TcpListener::from_std(listener).expect("a runtime")
    }

    /// Takes datagrams at a host. Must be called in a runtime.
    pub fn datagrams(&self, host: &str, address: &str) -> UdpSocket {
        let address: SocketAddr = address.parse().expect("an address");
        let socket = self.enter(host, || std::net::UdpSocket::bind(address)).expect("a free port");
        socket.set_nonblocking(true).expect("a socket option");
        UdpSocket::from_std(socket).expect("a runtime")
    }
}

/// Moves this thread, and those it starts from now on, to a host.
pub fn enter(place: &File) {
    move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).expect("root's right");
}

impl Drop for Network {
    fn drop(&mut self) {
        // The interfaces go with them.
        for host in &self.hosts {
            run(Command::new("ip").args(["netns", "del", &self.of(host)]), None);
        }
    }
}

/// Removes what runs have left that are no more.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process =
            name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            run(Command::new("ip").args(["netns", "del", &name]), None);
        }
    }
}

fn run(command: &mut Command, input: Option<&str>) -> Output {
    use std::io::Write;
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program of the machine");
    let mut stdin = child.stdin.take().expect("a piped input");
    // One that does not read its input may be gone already.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    child.wait_with_output().expect("an output")
}
