//! Named pipes that only this machine's administrators, LocalSystem and the owner may open.

use std::io;
use std::os::windows::io::AsHandle;

use tokio::net::windows::named_pipe::NamedPipeClient;
use tokio::net::windows::named_pipe::NamedPipeServer;
use tokio::net::windows::named_pipe::ServerOptions;

use crate::security::Descriptor;
use crate::security::owner_of_pipe;

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
    let descriptor = Descriptor::own_user_only()?;
    let mut attributes = descriptor.attributes();
    let mut options = ServerOptions::new();
    options.first_pipe_instance(instance == Instance::First).reject_remote_clients(true);
    // SAFETY: the pointer is to a whole SECURITY_ATTRIBUTES that lives, with its descriptor, until the call returns.
    unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) }
}

/// Returns who made a pipe that was opened, as a SID's text: every user may make one of any name.
pub fn owner(pipe: &NamedPipeClient) -> io::Result<String> {
    owner_of_pipe(pipe.as_handle())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security;
    use tokio::net::windows::named_pipe::ClientOptions;

    #[test]
    fn a_pipes_caller_sees_who_made_it() {
        let name = format!(r"\\.\pipe\agent-lite-test-{}", std::process::id());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _server = listen(&name, Instance::First).unwrap();
            let client = ClientOptions::new().open(&name).unwrap();
            let owner = owner(&client).unwrap();
            assert!(security::is_trusted(&owner), "{owner}");
        });
    }
}
