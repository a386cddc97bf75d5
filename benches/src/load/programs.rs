//! The programs that are measured, each with the same policy: one user of many with a Basic password, a list of hosts,
//! port 443. The gateway has everything on that an operator has; [`super::peers`] say what they leave out.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use benches::HASH;
use benches::HOST;
use benches::listed_host;

use super::network::Network;
use super::peers::Peer;
use super::peers::Place;
use super::processes::Process;
use super::scenarios::Scenario;
use super::stage::Stage;
use super::tunnel::Leg;
use super::tunnel::connect_request;

/// How long a program may take until it answers.
const START: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// The user that all load comes from.
pub(crate) const USER: usize = 7;
/// Pipes of the second floor.
const LARGE_PIPE: usize = 1 << 20;

/// A program under measurement.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare relay with pipes of this size.
    Floor(usize),
    /// La-gateway, this file.
    Gateway(PathBuf),
    /// Another proxy, from packages unpacked in this folder.
    Peer(Peer, PathBuf),
    /// Any other: a program that takes a port and a folder, and has its own configuration.
    Other(PathBuf),
}

/// A program that runs, and answered as its policy wants.
pub(crate) struct Running {
    pub process: Process,
    pub address: SocketAddr,
    /// Behind a program that is no proxy.
    _behind: Option<Process>,
}

impl Program {
    /// Finds a program by its name on the command line: `floor`, `floor-1m`, `gateway`, a peer, `NAME=FILE` for another
    /// gateway, or `NAME@FILE` for a program of any kind. Peers are looked for in a folder.
    pub(crate) fn find(name: &str, peers: &Path) -> anyhow::Result<Self> {
        let peer = Peer::ALL.into_iter().find(|peer| peer.name() == name);
        let kind = match (name, name.split_once('='), name.split_once('@'), peer) {
            ("floor", ..) => Kind::Floor(1 << 16),
            ("floor-1m", ..) => Kind::Floor(LARGE_PIPE),
            ("gateway", ..) => Kind::Gateway(gateway()?),
            (_, Some((_, file)), ..) => Kind::Gateway(PathBuf::from(file)),
            (_, _, Some((_, file)), _) => Kind::Other(PathBuf::from(file)),
            (.., Some(peer)) => Kind::Peer(peer, peers.to_owned()),
            _ => bail!("no program is called {name}"),
        };
        let name = name.split(['=', '@']).next().unwrap_or_default().to_owned();
        Ok(Self { name, kind })
    }

    /// Returns whether it is there at all, and can do this in this network.
    pub(crate) fn can(&self, scenario: Scenario, network: &Network) -> bool {
        match &self.kind {
            Kind::Floor(_) => !scenario.needs_tls(),
            Kind::Gateway(_) => true,
            Kind::Peer(..) | Kind::Other(_) if !network.has_names() => false,
            Kind::Other(_) => !scenario.needs_tls(),
            Kind::Peer(peer, root) if scenario.needs_tls() => {
                peer.speaks_tls() && peer.program(root).is_file()
            }
            Kind::Peer(peer, root) => peer.is_proxy() && peer.program(root).is_file(),
        }
    }

    /// Starts it, and waits until it answers as its policy wants.
    pub(crate) fn start(&self, stage: &Stage, leg: Leg) -> anyhow::Result<Running> {
        let plain = stage.network.address();
        let tls = (leg != Leg::Plain).then(|| stage.network.address());
        let folder = stage.new_folder(&self.name)?;
        let mut behind = None;
        let command = match &self.kind {
            Kind::Floor(pipe) => floor(stage, plain, *pipe)?,
            Kind::Gateway(file) => gateway_command(stage, file, (plain, tls), &folder)?,
            Kind::Other(file) => {
                let mut command = Command::new(file);
                command.arg(plain.port().to_string()).arg(&folder);
                command
            }
            Kind::Peer(peer, root) => {
                if !peer.is_proxy() {
                    behind = Some(Process::start(&floor(stage, plain, LARGE_PIPE)?, &folder.join("behind"))?);
                }
                peer.command(&Place { stage, folder: &folder, address: plain, tls, root })?
            }
        };
        let said = folder.join("said");
        let mut process = Process::start(&command, &said)?;
        let outcome = self.answers(&mut process, plain, tls);
        outcome.with_context(|| format!("{} said:\n{}", self.name, ends_with(&said)))?;
        Ok(Running { process, address: tls.unwrap_or(plain), _behind: behind })
    }

    /// Returns whether it has a policy of its own.
    fn judges(&self) -> bool {
        match &self.kind {
            Kind::Floor(_) => false,
            Kind::Gateway(_) | Kind::Other(_) => true,
            Kind::Peer(peer, _) => peer.is_proxy(),
        }
    }

    fn answers(
        &self,
        process: &mut Process,
        address: SocketAddr,
        tls: Option<SocketAddr>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        let right = connect_request(&authorization(), benches::TARGET);
        let mut status = ask(address, &right);
        while status.as_ref().ok() != Some(&200) {
            ensure!(!process.has_ended(), "{} ended", self.name);
            ensure!(Instant::now() < deadline, "{} gives no tunnel: {status:?}", self.name);
            thread::sleep(LOOK);
            status = ask(address, &right);
        }
        while tls.is_some_and(|tls| TcpStream::connect(tls).is_err()) {
            ensure!(!process.has_ended() && Instant::now() < deadline, "{} does not listen", self.name);
            thread::sleep(LOOK);
        }
        if !self.judges() {
            return Ok(());
        }
        let wrong = [
            ("with another password", connect_request("Basic c2l0ZS03Om5v", benches::TARGET)),
            ("to another host", connect_request(&authorization(), "www.example.com:443")),
            ("to another port", connect_request(&authorization(), &format!("{HOST}:8443"))),
        ];
        for (what, request) in wrong {
            let status = ask(address, &request);
            ensure!(!matches!(status, Ok(200)), "{} gives a tunnel {what}", self.name);
        }
        Ok(())
    }
}

/// Returns the user that all load comes from, with the password.
pub(crate) fn user_and_password() -> (String, &'static str) {
    (benches::user(USER), "correct-horse-battery-staple")
}

/// Returns the same as a field of a request.
pub(crate) fn authorization() -> String {
    let (user, password) = user_and_password();
    end_to_end::users::basic(&user, password)
}

/// Asks a proxy for a tunnel, and returns the status.
fn ask(address: SocketAddr, request: &[u8]) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START / 4))?;
    stream.write_all(request)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(std::str::from_utf8(head.get(9..).unwrap_or_default())?.parse()?)
}

fn ends_with(said: &Path) -> String {
    let text = fs::read_to_string(said).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
}

fn floor(stage: &Stage, address: SocketAddr, pipe: usize) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", &address.to_string(), &stage.origin.to_string(), &pipe.to_string()]);
    Ok(command)
}

/// Returns the gateway that LA_GATEWAY_PROGRAM names, or the one beside this program.
pub(crate) fn gateway() -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("la-gateway"));
    let file = std::env::var_os("LA_GATEWAY_PROGRAM").map(PathBuf::from).or_else(beside);
    let file = file.filter(|file| file.is_file());
    file.context("no gateway: build it beside this program, or name it in LA_GATEWAY_PROGRAM")
}

fn gateway_command(
    stage: &Stage,
    file: &Path,
    (plain, tls_listener): (SocketAddr, Option<SocketAddr>),
    folder: &Path,
) -> anyhow::Result<Command> {
    fs::write(folder.join("agents.users"), users(stage.users))?;
    let hosts: Vec<String> = (0..stage.rules).map(|at| format!("{:?}", listed_host(at))).collect();
    let files = &stage.certificate;
    let tls = |address| {
        format!(
            "[[listener]]\naddress = \"{address}\"\nplain = false\ntls = {{ certificate = {:?}, key = {:?} }}\n",
            files.certificate, files.key
        )
    };
    let text = format!(
        "[[listener]]\naddress = \"{plain}\"\n{}[admin]\naddress = \"{}\"\n[control]\nsocket = \"control.sock\"\n\
         [readiness]\ncanaries = [{HOST:?}]\n[dns]\nhosts = {{ {HOST:?} = [\"{}\"] }}\n\
         [addresses]\nallow = [\"127.0.0.0/8\", \"10.83.0.0/24\"]\n[log]\nformat = \"json\"\n{LIMITS}\
         [role.agents]\nusers_file = \"agents.users\"\nhosts = [{}]\n",
        tls_listener.map(tls).unwrap_or_default(),
        // On the loopback in each network: nobody else is to read there.
        SocketAddr::from((Ipv4Addr::LOCALHOST, stage.network.address().port())),
        stage.origin,
        hosts.join(", ")
    );
    fs::write(folder.join("gateway.toml"), text)?;
    let mut command = Command::new(file);
    command.arg("--config").arg(folder.join("gateway.toml")).current_dir(folder);
    Ok(command)
}

/// High enough for one client to be a whole fleet.
const LIMITS: &str = "[limits]\nconnections = 90000\ntunnels = 80000\ntunnels_per_client = 80000\n\
    connects_per_second = 1000000\nburst = 1000000\nconnections_per_address = 90000\n\
    requests_per_second_per_address = 1000000\nrequest_burst_per_address = 1000000\nsetups = 4000\n\
    setups_per_client = 4000\nsetups_waiting = 20000\n";

/// Returns a users file; only the password of the user that all load comes from is known.
fn users(count: usize) -> String {
    let (own, password) = user_and_password();
    let mut text = end_to_end::users::users_file(&[(&own, password)]);
    for at in (0..count).filter(|at| *at != USER) {
        text.push_str(&format!("{}:{HASH}\n", benches::user(at)));
    }
    text
}
