//! On Windows there is no hand-over: the service manager knows one process a service, and the old one would be killed with
//! its tunnels as soon as it said that it has stopped.

use std::convert::Infallible;
use std::path::Path;

use super::client::ClientError;
use crate::listen::inherited::Inherited;

/// The gateway that runs now. There is none that could be followed.
pub struct Predecessor {
    /// Its process.
    pub pid: u32,
    never: Infallible,
}

impl Predecessor {
    /// Says that there is no hand-over.
    pub fn ask(_path: &Path, _inherited: &mut Inherited) -> Result<Self, ClientError> {
        let text = "Windows has no hand-over: stop the service, which drains, and start it again";
        Err(ClientError::Refused(text.to_owned()))
    }

    /// Never called.
    pub async fn ready(self) -> Result<(), ClientError> {
        match self.never {}
    }
}
