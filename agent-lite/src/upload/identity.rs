//! What makes this agent known to a workspace, on the disk.
//!
//! ```text
//! <state>/identity/<workspace>/        0700
//!     agent.key  agent.crt             the pair that works; the key 0600
//!     agent.key.new  agent.crt.new     a pair the service may or may not know yet
//!     identity.json                    written last: without it nothing here counts
//! ```
//!
//! A renewal writes the new pair beside the old one, asks the service, proves the new pair, and then renames first
//! the key and then the certificate. After a crash at any step [`IdentityFolder::load`] finds a pair that belongs
//! together, and says whether another is there to be tried.

mod files;
mod make;
mod pair;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use uuid::Uuid;

pub(crate) use self::files::make_folder;
pub(crate) use self::files::read as read_file;
pub(crate) use self::files::remove as remove_file;
pub(crate) use self::files::rename as rename_file;
pub(crate) use self::files::write as write_file;
pub(in crate::upload) use self::make::make_pair;
pub(in crate::upload) use self::make::timestamp;
pub use self::pair::Pair;
use crate::upload::identity::files::read;
use crate::upload::identity::files::remove;
use crate::upload::identity::files::write;

const KEY: &str = "agent.key";
const CERTIFICATE: &str = "agent.crt";
const NEW_KEY: &str = "agent.key.new";
const NEW_CERTIFICATE: &str = "agent.crt.new";
const IDENTITY: &str = "identity.json";

/// An agent in a workspace.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The agent's GUID, made at the first onboarding.
    pub agent_id: Uuid,
    /// The workspace's GUID, lower case.
    pub workspace: String,
    /// `opinsights.azure.com` and its like.
    pub domain: String,
    /// Where certificates are renewed; the service says it.
    pub update_endpoint: Option<String>,
    /// The certificate and its key.
    pub pair: Pair,
}

/// An identity as the disk has it.
#[derive(Debug)]
pub struct Stored {
    /// The identity with the pair that worked last.
    pub identity: Identity,
    /// A newer pair, from a renewal that did not end: try it first.
    pub pending: Option<Pair>,
}

/// Why an identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk says no.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What was touched.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no identity.
    #[error("{}: {reason}; onboard this workspace again", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No certificate and key belong together.
    #[error("{}: no certificate and key in it belong together; onboard this workspace again", .0.display())]
    NoPair(PathBuf),
    /// The program ends.
    #[error("the program was stopped in the middle of it")]
    Stopped,
}

/// `identity.json`.
#[derive(Serialize, Deserialize)]
struct Page {
    agent_id: String,
    workspace: String,
    domain: String,
    certificate_update_endpoint: Option<String>,
}

/// The folder of one workspace's identity. Its methods touch the disk and wait for it.
#[derive(Clone, Debug)]
pub struct IdentityFolder(PathBuf);

impl IdentityFolder {
    /// Names the folder below the state folder; makes nothing.
    pub fn new(state: &Path, workspace: &str) -> Self {
        Self(state.join("identity").join(workspace))
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the identity and mends what a crash left; there is none before onboarding.
    pub fn load(&self) -> Result<Option<Stored>, IdentityError> {
        let file = self.0.join(IDENTITY);
        let Some(text) = read(&file)? else { return Ok(None) };
        let unreadable = |reason: String| IdentityError::Unreadable { path: file.clone(), reason };
        let page: Page = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let agent_id = page.agent_id.parse().map_err(|_| unreadable("agent_id is no GUID".to_owned()))?;
        let (pair, pending) = self.pairs()?;
        let identity = Identity {
            agent_id,
            workspace: page.workspace,
            domain: page.domain,
            update_endpoint: page.certificate_update_endpoint,
            pair,
        };
        Ok(Some(Stored { identity, pending }))
    }

    /// Writes a whole identity, its pair too; one that was there is replaced, whole at every step.
    pub fn save(&self, identity: &Identity) -> Result<(), IdentityError> {
        files::make_folder(&self.0)?;
        self.propose(&identity.pair)?;
        self.commit()?;
        self.note(identity)
    }

    /// Writes `identity.json` anew.
    pub fn note(&self, identity: &Identity) -> Result<(), IdentityError> {
        let page = Page {
            agent_id: identity.agent_id.to_string(),
            workspace: identity.workspace.clone(),
            domain: identity.domain.clone(),
            certificate_update_endpoint: identity.update_endpoint.clone(),
        };
        let path = self.0.join(IDENTITY);
        let text = serde_json::to_string_pretty(&page)
            .map_err(|error| IdentityError::Disk { path: path.clone(), source: error.into() })?;
        write(&path, &text)
    }

    /// Writes a new pair beside the one that works.
    pub fn propose(&self, pair: &Pair) -> Result<(), IdentityError> {
        files::write_secret(&self.0.join(NEW_KEY), &pair.key)?;
        write(&self.0.join(NEW_CERTIFICATE), &pair.certificate)
    }

    /// Puts the new pair in the place of the old one.
    pub fn commit(&self) -> Result<(), IdentityError> {
        for (from, to) in [(NEW_KEY, KEY), (NEW_CERTIFICATE, CERTIFICATE)] {
            files::rename(&self.0.join(from), &self.0.join(to))?;
        }
        Ok(())
    }

    /// Removes the new pair.
    pub fn withdraw(&self) -> Result<(), IdentityError> {
        remove(&self.0.join(NEW_CERTIFICATE))?;
        remove(&self.0.join(NEW_KEY))
    }

    fn pairs(&self) -> Result<(Pair, Option<Pair>), IdentityError> {
        let [key, certificate, new_key, new_certificate] = [
            files::read_secret(&self.0.join(KEY))?,
            read(&self.0.join(CERTIFICATE))?,
            files::read_secret(&self.0.join(NEW_KEY))?,
            read(&self.0.join(NEW_CERTIFICATE))?,
        ];
        let pending = Pair::of(new_certificate.as_ref(), new_key.as_ref());
        if let Some(pair) = Pair::of(certificate.as_ref(), key.as_ref()) {
            return Ok((pair, pending));
        }
        if let Some(pair) = Pair::of(new_certificate.as_ref(), key.as_ref()) {
            // The crash came between the two renames of a commit.
            files::rename(&self.0.join(NEW_CERTIFICATE), &self.0.join(CERTIFICATE))?;
            return Ok((pair, None));
        }
        match pending {
            Some(pair) => {
                self.commit()?;
                Ok((pair, None))
            }
            None => Err(IdentityError::NoPair(self.0.clone())),
        }
    }
}
