//! On Windows nobody follows a running gateway.

use std::io;

use super::Running;
use crate::control::HandOver;
use crate::gateway::launcher::Launcher;

/// Who comes after this gateway: nobody.
#[derive(Default)]
pub(super) struct Succession(());

impl Succession {
    /// Has nothing to keep.
    pub(super) fn be_launched(&mut self, launcher: Option<Launcher>) -> io::Result<()> {
        match launcher {
            Some(launcher) => match launcher {},
            None => Ok(()),
        }
    }

    /// Has nobody to wait for.
    pub(super) async fn settle(&mut self) {}

    /// Returns nobody.
    pub(super) fn successor(&self) -> Option<i32> {
        None
    }
}

impl Running {
    /// Never called.
    pub(super) async fn hand_over(&mut self, step: HandOver) {
        match step {}
    }
}
