//! Who a client is: a certificate's name, else a Basic user, else a source network; each leads to one role.
//!
//! Credentials that are known from before cost one keyed digest. Others cost a password hash, which
//! is slow on purpose, so [`Accounts::identify`] hands back the work instead of doing it: the caller
//! knocks at the limits first, and runs it off the runtime. For a user that does not exist the work is
//! the same, against somebody else's hash, so that status, body and time tell nothing.

mod again;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use self::again::Known;
use super::basic;
use super::basic::Credentials;
use super::destinations::Destinations;
use super::passwords::Digest;
use super::passwords::HashMemory;
use super::passwords::StoredHash;
use super::passwords::Verified;
use crate::refusal::Refusal;

/// What a set of clients may do.
#[derive(Debug)]
pub struct Role {
    /// Its name in the configuration, as in `[role.agents]`.
    pub name: Arc<str>,
    /// Where it may go.
    pub destinations: Destinations,
    /// Most tunnels at once of all its clients.
    pub tunnels: u32,
}

/// An identified client. Only [`Accounts`] and a finished [`PasswordCheck`] make one.
#[derive(Clone, Debug)]
pub struct Client {
    user: Option<Arc<str>>,
    role: Arc<Role>,
    proof: Proof,
}

/// How a client was known.
#[derive(Clone, Debug)]
enum Proof {
    Network,
    Certificate,
    /// The hash that its password was checked against.
    Password(StoredHash),
}

impl Client {
    /// Returns the user or the certificate's name; `None` for a client known by its network.
    pub fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Returns the role.
    pub fn role(&self) -> &Arc<Role> {
        &self.role
    }
}

/// A user of the users file.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's name.
    pub user: Arc<str>,
    /// The stored password hash.
    pub hash: StoredHash,
    /// The user's role.
    pub role: Arc<Role>,
}

/// All users and networks of all roles.
#[derive(Debug)]
pub struct Accounts {
    users: HashMap<Arc<str>, Account>,
    decoys: Vec<StoredHash>,
    decoy_choice: RandomState,
    networks: Vec<(IpNet, Arc<Role>)>,
    certificates: HashMap<Arc<str>, Arc<Role>>,
    percent_encoded: PercentEncoded,
    verified: Arc<Verified>,
}

/// What is known about the sender of a request before any password is hashed.
#[derive(Debug)]
pub enum Identity {
    /// The client is known.
    Known(Client),
    /// A password must be checked first.
    Unproven(PasswordCheck),
}

/// A password check that has not been run: some 20 ms of work and 19 MiB with the default cost, twice
/// that where the credentials have a percent-decoded form.
pub struct PasswordCheck {
    tries: Vec<Try>,
    verified: Arc<Verified>,
}

/// One form of the credentials against one hash; `client` is whose hash it is, unless it is a decoy.
struct Try {
    hash: StoredHash,
    credentials: Credentials,
    client: Option<Client>,
    digest: Digest,
}

/// Whether a password may also be sent as it stands in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PercentEncoded {
    /// Passwords are tried as they are sent, and percent-decoded.
    Accepted,
    /// Passwords are taken as they are sent.
    Refused,
}

impl Accounts {
    /// Gathers the accounts; the most specific network wins where several hold an address.
    pub fn new(
        users: Vec<Account>,
        mut networks: Vec<(IpNet, Arc<Role>)>,
        certificates: HashMap<Arc<str>, Arc<Role>>,
        percent_encoded: PercentEncoded,
        verified: Arc<Verified>,
    ) -> Self {
        networks.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        let decoys = users.iter().map(|account| account.hash.clone()).collect();
        let users = users.into_iter().map(|account| (Arc::clone(&account.user), account)).collect();
        Self {
            users,
            decoys,
            decoy_choice: RandomState::new(),
            networks,
            certificates,
            percent_encoded,
            verified,
        }
    }

    /// Returns the client that one of a verified certificate's names stands for. A certificate that no
    /// role lists tells nothing: credentials and network decide.
    pub fn by_certificate(&self, names: &[String]) -> Option<Client> {
        let (name, role) = names.iter().find_map(|name| self.certificates.get_key_value(name.as_str()))?;
        Some(Client { user: Some(Arc::clone(name)), role: Arc::clone(role), proof: Proof::Certificate })
    }

    /// Says whether any role has users, and so whether credentials can be asked for.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Returns the role of a user, for `explain`, where no password is at hand.
    pub fn client_named(&self, user: &str) -> Option<Client> {
        self.users.get(user).map(client_of)
    }

    /// Identifies the sender of a request from its credentials and its network address.
    ///
    /// Where no role has users, credentials are ignored and the network decides.
    pub fn identify(&self, credentials: Offered, from: IpAddr) -> Result<Identity, Refusal> {
        match credentials {
            _ if !self.has_users() => {
                self.by_network(from).ok_or(Refusal::ClientNetworkDenied).map(Identity::Known)
            }
            Offered::Nothing => self.by_network(from).ok_or(Refusal::CredentialsMissing).map(Identity::Known),
            Offered::Unreadable => Err(Refusal::CredentialsRejected),
            Offered::Basic(credentials) => self.by_password(credentials),
        }
    }

    fn by_network(&self, from: IpAddr) -> Option<Client> {
        let from = from.to_canonical();
        let (_, role) = self.networks.iter().find(|(net, _)| net.contains(&from))?;
        Some(Client { user: None, role: Arc::clone(role), proof: Proof::Network })
    }

    fn by_password(&self, sent: Credentials) -> Result<Identity, Refusal> {
        let decoded = match self.percent_encoded {
            PercentEncoded::Accepted => basic::percent_decoded(&sent),
            PercentEncoded::Refused => None,
        };
        let tries = std::iter::once(sent).chain(decoded).map(|credentials| self.attempt(credentials));
        let tries = tries.collect::<Option<Vec<Try>>>().ok_or(Refusal::CredentialsRejected)?;
        let check = PasswordCheck { tries, verified: Arc::clone(&self.verified) };
        Ok(match check.settled() {
            Some(client) => Identity::Known(client),
            None => Identity::Unproven(check),
        })
    }

    fn attempt(&self, credentials: Credentials) -> Option<Try> {
        let account = self.users.get(credentials.user.as_str());
        let hash = match account {
            Some(account) => &account.hash,
            None => self.decoy(&credentials.user)?,
        };
        let digest = self.verified.digest(hash, &credentials);
        Some(Try { hash: hash.clone(), credentials, client: account.map(client_of), digest })
    }

    /// Returns the hash that stands in for an unknown user: always the same one for the same name.
    fn decoy(&self, user: &str) -> Option<&StoredHash> {
        let at = self.decoy_choice.hash_one(user) % (self.decoys.len().max(1) as u64);
        self.decoys.get(usize::try_from(at).unwrap_or_default())
    }
}

/// What a request offers as credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// No `Proxy-Authorization` field.
    Nothing,
    /// A field that holds no Basic credentials.
    Unreadable,
    /// Basic credentials.
    Basic(Credentials),
}

fn client_of(account: &Account) -> Client {
    let (user, role) = (Some(Arc::clone(&account.user)), Arc::clone(&account.role));
    Client { user, role, proof: Proof::Password(account.hash.clone()) }
}

impl PasswordCheck {
    /// Returns the user that the credentials name, if there is one of that name.
    pub fn user(&self) -> Option<&Arc<str>> {
        self.tries.iter().find_map(|one| one.client.as_ref()?.user())
    }

    /// Returns the client if one of its forms was verified before.
    pub fn settled(&self) -> Option<Client> {
        let known = self.tries.iter().find(|one| one.client.is_some() && self.verified.knows(one.digest))?;
        known.client.clone()
    }

    /// Runs the check. Slow on purpose: call it off the runtime.
    pub fn run(self, memory: &mut HashMemory) -> Result<Client, Refusal> {
        for one in self.tries {
            let right = one.hash.verify(&one.credentials.password, memory);
            if let Some(client) = one.client.filter(|_| right) {
                self.verified.remember(one.digest);
                return Ok(client);
            }
        }
        Err(Refusal::CredentialsRejected)
    }
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordCheck")
    }
}

#[cfg(test)]
pub(crate) mod tests;
