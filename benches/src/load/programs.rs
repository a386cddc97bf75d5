//! The programs that are measured, each with the same policy: one user of many with a Basic password, a list of hosts,
//! port 443. The gateway has everything on that an operator has; [`super::peers`] say what they leave out.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
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
use benches::authorization;
use benches::listed_host;

use super::processes::Process;
use super::stage::Stage;
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
}

/// A program that runs, and answered as its policy wants.
pub(crate) struct Running {
    pub process: Process,
    pub address: SocketAddr,
}

impl Program {
    /// Finds a program by its name on the command line: `floor`, `floor-1m`, `gateway`, `NAME=FILE` for another
    /// gateway, or a peer.
    pub(crate) fn find(name: &str) -> anyhow::Result<Self> {
        let kind = match name {
            "floor" => Kind::Floor(1 << 16),
            "floor-1m" => Kind::Floor(LARGE_PIPE),
            "gateway" => Kind::Gateway(gateway()?),
            _ => match name.split_once('=') {
                Some((_, file)) => Kind::Gateway(PathBuf::from(file)),
                None => bail!("no program is called {name}"),
            },
        };
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        Ok(Self { name: name.to_owned(), kind })
    }

    /// Returns whether it is one of the floors, which no program can be below.
    pub(crate) fn is_floor(&self) -> bool {
        matches!(self.kind, Kind::Floor(_))
    }

    /// Starts it, and waits until it answers as its policy wants.
    pub(crate) fn start(&self, stage: &Stage) -> anyhow::Result<Running> {
        let address = stage.network.address();
        let folder = stage.new_folder(&self.name)?;
        let command = match &self.kind {
            Kind::Floor(pipe) => floor(stage, address, *pipe)?,
            Kind::Gateway(file) => gateway_command(stage, file, address, &folder)?,
        };
        let said = folder.join("said");
        let mut process = Process::start(&command, &said)?;
        let outcome = self.answers(&mut process, address);
        outcome.with_context(|| format!("{} said:\n{}", self.name, ends_with(&said)))?;
        Ok(Running { process, address })
    }

    fn answers(&self, process: &mut Process, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        let right = connect_request(&authorization(USER), benches::TARGET);
        let mut status = ask(address, &right);
        while status.as_ref().ok() != Some(&200) {
            ensure!(!process.has_ended(), "{} ended", self.name);
            ensure!(Instant::now() < deadline, "{} gives no tunnel: {status:?}", self.name);
            thread::sleep(LOOK);
            status = ask(address, &right);
        }
        if self.is_floor() {
            return Ok(());
        }
        let wrong = [
            ("with another password", connect_request("Basic c2l0ZS03Om5v", benches::TARGET)),
            ("to another host", connect_request(&authorization(USER), "www.example.com:443")),
            ("to another port", connect_request(&authorization(USER), &format!("{HOST}:8443"))),
        ];
        for (what, request) in wrong {
            let status = ask(address, &request);
            ensure!(!matches!(status, Ok(200)), "{} gives a tunnel {what}", self.name);
        }
        Ok(())
    }
}

/// Asks a proxy for a tunnel, and returns the status.
fn ask(address: SocketAddr, request: &[u8]) -> anyhow::Result<u16> {
    use std::io::Read;
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START / 4))?;
    std::io::Write::write_all(&mut stream, request)?;
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
fn gateway() -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("la-gateway"));
    let file = std::env::var_os("LA_GATEWAY_PROGRAM").map(PathBuf::from).or_else(beside);
    let file = file.filter(|file| file.is_file());
    file.context("no gateway: build it beside this program, or name it in LA_GATEWAY_PROGRAM")
}

fn gateway_command(
    stage: &Stage,
    file: &Path,
    address: SocketAddr,
    folder: &Path,
) -> anyhow::Result<Command> {
    fs::write(folder.join("agents.users"), users(stage.users))?;
    let hosts: Vec<String> = (0..stage.rules).map(|at| format!("{:?}", listed_host(at))).collect();
    let text = format!(
        "[[listener]]\naddress = \"{address}\"\n[admin]\naddress = \"{}\"\n[control]\nsocket = \"control.sock\"\n\
         [readiness]\ncanaries = [{HOST:?}]\n[dns]\nhosts = {{ {HOST:?} = [\"{}\"] }}\n\
         [addresses]\nallow = [\"127.0.0.0/8\"]\n[log]\nformat = \"json\"\n{LIMITS}\
         [role.agents]\nusers_file = \"agents.users\"\nhosts = [{}]\n",
        stage.network.address(),
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
    let own = benches::user(USER);
    let mut text = end_to_end::users::users_file(&[(&own, benches::PASSWORD)]);
    for at in (0..count).filter(|at| *at != USER) {
        writeln!(text, "{}:{HASH}", benches::user(at)).expect("a string takes all text");
    }
    text
}
