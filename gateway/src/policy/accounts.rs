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
mod tests {
    use super::*;
    use common::secret::Secret;

    const SALT: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$";

    fn role(name: &str) -> Arc<Role> {
        Arc::new(Role { name: name.into(), destinations: Destinations::default(), tunnels: u32::MAX })
    }

    fn account(user: &str, password: &str, role: &Arc<Role>) -> Account {
        let argon = argon2::Argon2::new(
            argon2::Algorithm::Argon2id,
            argon2::Version::V0x13,
            argon2::Params::new(256, 1, 1, None).expect("parameters"),
        );
        let hash = argon2::PasswordHasher::hash_password_with_salt(&argon, password.as_bytes(), b"somesalt")
            .map(|hash: argon2::password_hash::phc::PasswordHash| hash.to_string())
            .expect("hashes");
        assert!(hash.starts_with(SALT), "{hash}");
        Account { user: user.into(), hash: hash.parse().expect("a hash"), role: Arc::clone(role) }
    }

    fn offered(user: &str, password: &str) -> Offered {
        Offered::Basic(Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }

    fn accounts(users: Vec<Account>, networks: &[(&str, &Arc<Role>)]) -> Accounts {
        let networks =
            networks.iter().map(|(net, role)| (net.parse().expect("a range"), Arc::clone(role))).collect();
        Accounts::new(
            users,
            networks,
            HashMap::new(),
            PercentEncoded::Accepted,
            Arc::new(Verified::new([1; 32])),
        )
    }

    fn prove(identity: Result<Identity, Refusal>) -> Result<Client, Refusal> {
        match identity? {
            Identity::Known(client) => Ok(client),
            Identity::Unproven(check) => check.run(&mut HashMemory::default()),
        }
    }

    const INSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, 9));
    const OUTSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 99, 0, 9));

    #[test]
    fn a_right_password_gives_the_users_role_and_costs_a_hash_only_once() {
        let agents = role("agents");
        let accounts = accounts(vec![account("ann", "pw", &agents)], &[]);
        let first = accounts.identify(offered("ann", "pw"), OUTSIDE);
        assert!(matches!(&first, Ok(Identity::Unproven(check)) if check.settled().is_none()));
        let client = prove(first).expect("the password is right");
        assert_eq!((client.user().map(|u| &**u), &*client.role().name), (Some("ann"), "agents"));
        assert!(matches!(accounts.identify(offered("ann", "pw"), OUTSIDE), Ok(Identity::Known(_))));
    }

    #[test]
    fn a06_an_unknown_user_costs_a_hash_and_is_refused_like_a_wrong_password() {
        let accounts = accounts(vec![account("ann", "pw", &role("agents"))], &[]);
        let wrong = accounts.identify(offered("ann", "no"), OUTSIDE);
        let unknown = accounts.identify(offered("eve", "pw"), OUTSIDE);
        assert!(matches!(wrong, Ok(Identity::Unproven(_))) && matches!(unknown, Ok(Identity::Unproven(_))));
        assert_eq!(prove(wrong).map(|_| ()), Err(Refusal::CredentialsRejected));
        assert_eq!(prove(unknown).map(|_| ()), Err(Refusal::CredentialsRejected));
        // Even with the decoy's own password, and a second time.
        assert_eq!(
            prove(accounts.identify(offered("eve", "pw"), OUTSIDE)).map(|_| ()),
            Err(Refusal::CredentialsRejected)
        );
    }

    #[test]
    fn a_password_is_right_in_its_own_form_and_percent_encoded_and_a_wrong_one_in_neither() {
        let mut accounts = accounts(vec![account("ann", "p@ss", &role("agents"))], &[]);
        assert!(prove(accounts.identify(offered("ann", "p@ss"), OUTSIDE)).is_ok());
        assert!(prove(accounts.identify(offered("ann", "p%40ss"), OUTSIDE)).is_ok());
        assert!(matches!(accounts.identify(offered("ann", "p%40ss"), OUTSIDE), Ok(Identity::Known(_))));
        assert!(prove(accounts.identify(offered("ann", "p%2540ss"), OUTSIDE)).is_err());
        accounts.percent_encoded = PercentEncoded::Refused;
        assert!(matches!(accounts.identify(offered("ann", "p%40ss"), OUTSIDE), Ok(Identity::Unproven(_))));
        assert!(prove(accounts.identify(offered("ann", "p%40ss"), OUTSIDE)).is_err());
    }

    #[test]
    fn the_first_listed_name_of_a_certificate_gives_the_role_and_an_unlisted_one_tells_nothing() {
        let sites = role("sites");
        let listed = HashMap::from([(Arc::from("CN=site-7"), Arc::clone(&sites))]);
        let accounts =
            Accounts::new(vec![], vec![], listed, PercentEncoded::Accepted, Arc::new(Verified::new([1; 32])));
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let client =
            accounts.by_certificate(&names(&["CN=site-7,O=Example", "CN=site-7"])).expect("is listed");
        assert_eq!((client.user().map(|u| &**u), &*client.role().name), (Some("CN=site-7"), "sites"));
        assert!(accounts.by_certificate(&names(&["CN=site-8", "DNS:site-7"])).is_none());
        assert!(accounts.by_certificate(&[]).is_none());
    }

    #[test]
    fn without_credentials_the_most_specific_network_gives_the_role() {
        let (wide, narrow) = (role("wide"), role("narrow"));
        let accounts = accounts(vec![], &[("10.20.0.0/16", &wide), ("10.20.0.0/24", &narrow)]);
        let name = |from: &str| {
            prove(accounts.identify(Offered::Nothing, from.parse().expect("an address")))
                .map(|client| client.role().name.to_string())
        };
        assert_eq!(name("10.20.0.9"), Ok("narrow".into()));
        assert_eq!(name("::ffff:10.20.1.9"), Ok("wide".into()));
        assert_eq!(name("10.99.0.9"), Err(Refusal::ClientNetworkDenied));
    }

    #[test]
    fn a01_credentials_are_asked_for_only_where_some_role_has_users() {
        let (agents, sites) = (role("agents"), role("sites"));
        let with_users = accounts(vec![account("ann", "pw", &agents)], &[("10.20.0.0/16", &sites)]);
        assert!(prove(with_users.identify(Offered::Nothing, INSIDE)).is_ok());
        assert_eq!(
            prove(with_users.identify(Offered::Nothing, OUTSIDE)).map(|_| ()),
            Err(Refusal::CredentialsMissing)
        );
        // Wrong credentials are refused even where the network alone would do.
        assert_eq!(
            prove(with_users.identify(offered("ann", "no"), INSIDE)).map(|_| ()),
            Err(Refusal::CredentialsRejected)
        );
        assert_eq!(
            prove(with_users.identify(Offered::Unreadable, INSIDE)).map(|_| ()),
            Err(Refusal::CredentialsRejected)
        );
        let without = accounts(vec![], &[("10.20.0.0/16", &sites)]);
        assert!(prove(without.identify(offered("any", "thing"), INSIDE)).is_ok());
    }
}
