//! The prefix of Wine as a machine on which one of our programs is installed. `INSTALLERS` names a folder with `NAME.msi` and
//! `NAME-next.msi`, a later version of the same.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;
use std::process::Stdio;

use end_to_end::patience::patiently;
use tokio::process::Command;

use crate::by_drive;

/// Bare when it is made and when it is dropped.
pub(crate) struct Machine {
    name: &'static str,
    drive: PathBuf,
    /// Where the program's configuration belongs.
    pub(crate) home: PathBuf,
}

impl Machine {
    pub(crate) fn bare(name: &'static str) -> Self {
        let drive = PathBuf::from(std::env::var("WINEPREFIX").expect("a prefix of Wine")).join("drive_c");
        let machine = Self { name, home: drive.join("ProgramData").join(name), drive };
        machine.clear();
        machine
    }

    fn clear(&self) {
        for version in ["-next.msi", ".msi"] {
            let mut remove = std::process::Command::new("wine");
            remove.args(["msiexec", "/x", &self.installer(&format!("{}{version}", self.name)), "/qn"]);
            let _ = remove.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_dir_all(&self.home);
    }

    fn installer(&self, name: &str) -> String {
        let folder = std::env::var("INSTALLERS").expect("the installers");
        by_drive(&Path::new(&folder).join(name)).replace('/', "\\")
    }

    /// Returns a file of the installed program, or its folder.
    pub(crate) fn installed(&self, name: &str) -> PathBuf {
        self.drive.join("Program Files").join(self.name).join(name)
    }

    /// Installs quietly; returns whether it went well.
    pub(crate) async fn install(&self, name: &str) -> bool {
        self.msiexec("/i", name).await
    }

    pub(crate) async fn msiexec(&self, what: &str, name: &str) -> bool {
        self.wine(&["msiexec", what, &self.installer(name), "/qn"]).await.status.success()
    }

    /// Runs the installed program, without naming a configuration.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Does the same, and returns all that came of it.
    pub(crate) async fn output(&self, arguments: &[&str]) -> Output {
        let program = format!(r"C:\Program Files\{name}\{name}.exe", name = self.name);
        let mut words = vec![program.as_str()];
        words.extend(arguments);
        self.wine(&words).await
    }

    async fn wine(&self, words: &[&str]) -> Output {
        let mut command = Command::new("wine");
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        patiently("a program of Windows ends", command.output()).await.expect("Wine is installed")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.clear();
    }
}
