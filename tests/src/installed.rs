//! Real programs of the machine, which may be missing.

use std::io;
use std::process::Output;

use tokio::process::Child;
use tokio::process::Command;

use crate::patience::patiently;

/// Runs a program to its end, or says `skipped: …` and returns `None` where it is not installed.
pub async fn output(command: &mut Command) -> Option<Output> {
    let name = name(command);
    let output = patiently("a program ends by itself", command.kill_on_drop(true).output()).await;
    or_skipped(&name, output)
}

/// Starts a program that is killed when it is dropped, or says `skipped: …` and returns `None`.
pub fn start(command: &mut Command) -> Option<Child> {
    let name = name(command);
    or_skipped(&name, command.kill_on_drop(true).spawn())
}

fn or_skipped<T>(name: &str, started: io::Result<T>) -> Option<T> {
    match started {
        Ok(started) => Some(started),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("skipped: {name} is not installed");
            None
        }
        Err(error) => panic!("{name} does not start: {error}"),
    }
}

fn name(command: &Command) -> String {
    command.as_std().get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_missing_is_no_failure() {
        assert!(output(&mut Command::new("no-such-program-here")).await.is_none());
        assert!(start(&mut Command::new("no-such-program-here")).is_none());
        let said = output(Command::new("sh").args(["-c", "echo said"])).await.expect("a shell");
        assert_eq!(said.stdout, b"said\n");
    }
}
