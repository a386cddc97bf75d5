//! Named pipes that only this machine's administrators, LocalSystem and the owner may open.

use std::io;

use tokio::net::windows::named_pipe::NamedPipeServer;
use tokio::net::windows::named_pipe::ServerOptions;

use crate::security::Descriptor;

/// Whether somebody else may have made the pipe before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// Nobody has: one that is there is another program's, and an error.
    First,
    /// We have.
    Next,
}

/// Makes an instance of a pipe, for one caller.
pub fn listen(name: &str, instance: Instance) -> io::Result<NamedPipeServer> {
    let descriptor = Descriptor::owner_only()?;
    let mut attributes = descriptor.attributes();
    let mut options = ServerOptions::new();
    options.first_pipe_instance(instance == Instance::First).reject_remote_clients(true);
    // SAFETY: the pointer is to a whole SECURITY_ATTRIBUTES that lives, with its descriptor, until the call returns.
    unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) }
}
