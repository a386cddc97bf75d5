//! An identity that another program began: the legacy agent's certificate and GUID go on here.

use super::StartError;
use super::seal;
use super::start;
use crate::config::settings::Config;
use crate::upload::identity::Identity;
use crate::upload::identity::IdentityFolder;

/// Writes identities where there are none yet, and seals them to this machine. No agent may run with the folder.
pub fn adopt(config: &Config, identities: &[Identity]) -> Result<(), StartError> {
    start::make_folders(config)?;
    let _lock = start::lock(&config.state)?;
    seal::keep(config)?;
    for identity in identities {
        let folder = IdentityFolder::new(&config.state, &identity.workspace);
        if let Some(stored) = folder.load()? {
            let known = stored.identity.agent_id;
            if known != identity.agent_id {
                return Err(StartError::Config(format!(
                    "{}: workspace {} knows this machine as {known} already; it stays so",
                    folder.path().display(),
                    identity.workspace
                )));
            }
            continue;
        }
        folder.save(identity)?;
    }
    Ok(())
}
