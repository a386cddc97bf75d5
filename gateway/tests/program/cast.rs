//! The program and a folder for its files.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

/// Longest wait for anything. Reached only when the thing does not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that goes away with the test. The program runs in it.
pub(crate) struct Folder(TempDir);

/// What a run to the end left behind.
#[derive(Debug)]
pub(crate) struct Done {
    /// The exit code; -1 after a signal.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Makes a folder with this `gateway.toml`.
    pub(crate) fn with(config: &str) -> Self {
        let folder = Self::new();
        folder.write("gateway.toml", config);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Returns the names of the files in the folder, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// Runs the program to its end, with nothing on its standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_with_input(arguments, "")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Done {
        let mut child = self.spawn(arguments);
        // A program that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let (out, err) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
        let texts = [out.recv_timeout(PATIENCE), err.recv_timeout(PATIENCE)];
        let [Ok(out), Ok(err)] = texts else {
            child.kill().unwrap();
            panic!("{arguments:?} does not end: {texts:?}");
        };
        Done { code: child.wait().unwrap().code().unwrap_or(-1), out, err }
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_la-gateway"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Starts the gateway with the folder's `gateway.toml` and waits until it serves.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&["--config", "gateway.toml"])
    }

    pub(crate) fn start_with(&self, arguments: &[&str]) -> Running {
        let mut child = self.spawn(arguments);
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let errors = drain(child.stderr.take().unwrap());
        let mut running = Running { child, lines, seen: Vec::new(), errors };
        running.wait_for_line("policy: ");
        running.wait_for_line("listening");
        // Records come before the signals are listened for; an answer comes after.
        let answer = running.ask(running.address("proxy"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        // Its record stands behind those of all listeners.
        running.wait_for_line("not_connect");
        running
    }
}

/// A running gateway. Dropping it ends it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    errors: Receiver<String>,
}

impl Running {
    /// Waits for a line of standard output with this text, from the start on.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(why @ (RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
                    let errors = self.errors.try_recv().unwrap_or_default();
                    panic!("no line with `{text}` ({why}); {:#?}\n{errors}", self.seen);
                }
            }
        }
    }

    /// Returns every line so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Returns the bound address of the first listener of this kind.
    pub(crate) fn address(&self, kind: &str) -> SocketAddr {
        let of_kind = [format!("kind=\"{kind}\""), format!("\"kind\":\"{kind}\"")];
        let line = self.seen.iter().find(|line| of_kind.iter().any(|kind| line.contains(kind)));
        let line = line.unwrap_or_else(|| panic!("no {kind} listener: {:#?}", self.seen));
        let behind = line.split_once("address=").or_else(|| line.split_once("\"address\":\"")).unwrap().1;
        behind.split([' ', '"']).next().unwrap().parse().unwrap()
    }

    /// Sends a request and returns the answer up to the end of the connection.
    pub(crate) fn ask(&self, to: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends a signal by its name, as in `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("/bin/sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().unwrap();
        assert!(sent.success(), "no signal could be sent");
    }

    /// Waits for the end. Returns all of its output and how it ended.
    pub(crate) fn done(mut self) -> Done {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        let err = self.errors.recv_timeout(PATIENCE).expect("the program ends");
        Done { code: self.child.wait().unwrap().code().unwrap_or(-1), out: self.seen.join("\n"), err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(mut output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, text) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.read_to_end(&mut bytes);
        sender.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    text
}
