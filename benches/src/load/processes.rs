//! Processes this program starts: none outlives it, and what a whole tree of them uses is known.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::bail;
use benches::usage::Memory;
use benches::usage::Processor;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// How long a process has to end once it is asked to.
const POLITE: Duration = Duration::from_secs(3);
/// How often it is asked whether something has happened that nobody announces.
const LOOK: Duration = Duration::from_millis(5);
/// Clock ticks a second in `/proc/PID/stat`; the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// Becomes another program that is killed when the one who started it dies.
pub(crate) fn leash(program: &Path, arguments: &[String]) -> io::Error {
    if let Err(error) = set_pdeathsig(Signal::SIGKILL) {
        return error.into();
    }
    Command::new(program).args(arguments).exec()
}

/// A process with all that it started; killed when this is dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program on a leash; what it says goes to this file.
    pub(crate) fn start(command: &Command, said: &Path) -> anyhow::Result<Self> {
        let output = fs::File::create(said)?;
        let mut leashed = leashed(command)?;
        leashed.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        Ok(Self { child: leashed.spawn()? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Ends it as an operator would, and then for good.
    pub(crate) fn end(&mut self) {
        let descendants = tree(self.pid());
        let _ = kill(process(self.pid()), Signal::SIGTERM);
        let deadline = Instant::now() + POLITE;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A process that changed its parent in the meantime; its number is too young to be another's.
        for pid in descendants.into_iter().filter(|pid| *pid != self.child.id()) {
            let _ = kill(process(pid), Signal::SIGKILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process of this program, which is spoken with line by line.
pub(crate) struct Partner {
    child: Child,
    says: ChildStdin,
    lines: Receiver<String>,
}

impl Partner {
    pub(crate) fn start(command: &Command) -> anyhow::Result<Self> {
        let mut leashed = leashed(command)?;
        let mut child = leashed.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let says = child.stdin.take().context("a piped input")?;
        let output = BufReader::new(child.stdout.take().context("a piped output")?);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, says, lines })
    }

    pub(crate) fn say(&mut self, word: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.says, "{word}")?)
    }

    /// Waits for the next line.
    pub(crate) fn hear(&mut self, within: Duration) -> anyhow::Result<String> {
        self.lines.recv_timeout(within).context("the load says nothing")
    }

    pub(crate) fn wait(mut self) -> anyhow::Result<ExitStatus> {
        drop(self.lines);
        let deadline = Instant::now() + POLITE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                self.child.kill()?;
                bail!("the load does not end");
            }
            thread::sleep(LOOK);
        }
    }

    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn leashed(command: &Command) -> anyhow::Result<Command> {
    let mut leashed = Command::new(std::env::current_exe()?);
    leashed.arg("leash").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        leashed.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = command.get_current_dir() {
        leashed.current_dir(folder);
    }
    Ok(leashed)
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed())
}

/// What a tree of processes has used so far, and has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// Processor time of all threads, also of processes that have ended.
    pub processor: Duration,
    /// Bytes, shared pages by their share.
    pub memory: u64,
    pub processes: usize,
}

impl Use {
    pub(crate) fn of(pid: u32) -> Self {
        let tree = tree(pid);
        // One that has just ended counts with its parent.
        let time = |pid: &u32| Some(Processor::find(*pid)?.total + of_ended(*pid));
        Self {
            processor: tree.iter().filter_map(time).sum(),
            memory: tree.iter().filter_map(|pid| Memory::find(*pid)).map(|memory| memory.proportional).sum(),
            processes: tree.len(),
        }
    }
}

/// Returns a process and all that descend from it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = stat(pid, 1) {
            children.entry(u32::try_from(parent).unwrap_or_default()).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// Returns the time of children that have ended and were waited for.
fn of_ended(pid: u32) -> Duration {
    let ticks = stat(pid, 13).unwrap_or_default() + stat(pid, 14).unwrap_or_default();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Returns a number of `/proc/PID/stat`, counted from the state, which follows the name.
fn stat(pid: u32, field: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_process_and_its_children_and_what_they_use() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("a child");
        let own = std::process::id();
        assert!(tree(own).contains(&child.id()));
        assert_eq!(tree(child.id()), [child.id()]);
        let used = Use::of(own);
        assert!(used.memory > 100 * 1024 && used.processes >= 2, "{used:?}");
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }
}
