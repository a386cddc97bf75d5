//! Whether a client that was identified once would be again, under other accounts.

use std::net::IpAddr;
use std::sync::Arc;

use super::Accounts;
use super::Client;
use super::Proof;
use super::client_of;
use crate::refusal::Refusal;

/// What a client was known by, without the role that it had.
#[derive(Clone, Debug)]
pub struct Known {
    user: Option<Arc<str>>,
    proof: Proof,
}

impl Client {
    /// Returns what it is known by, to ask again later.
    pub fn known(&self) -> Known {
        Known { user: self.user.clone(), proof: self.proof.clone() }
    }
}

impl Accounts {
    /// Says whether a client can have this name: a user's, or one that a role lists for certificates.
    pub fn is_name(&self, name: &str) -> bool {
        self.users.contains_key(name) || self.certificates.contains_key(name)
    }

    /// Identifies a client again by what it was known by: its user with the very hash its password was
    /// checked against, its certificate's name, or its network.
    ///
    /// Credentials are not at hand any more, so where a request would have had a second chance, the
    /// network is all that is asked.
    pub fn again(&self, known: &Known, from: IpAddr) -> Result<Client, Refusal> {
        let by_network = || self.by_network(from).ok_or(Refusal::ClientNetworkDenied);
        let Some(user) = &known.user else { return by_network() };
        match &known.proof {
            Proof::Password(hash) if self.has_users() => {
                let same = self.users.get(user).filter(|account| account.hash == *hash);
                same.map(client_of).ok_or(Refusal::CredentialsRejected)
            }
            Proof::Certificate => match self.certificates.get(user) {
                Some(role) => Ok(Client {
                    user: Some(Arc::clone(user)),
                    role: Arc::clone(role),
                    proof: Proof::Certificate,
                }),
                None => by_network(),
            },
            Proof::Password(_) | Proof::Network => by_network(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::policy::accounts::Account;
    use crate::policy::accounts::PercentEncoded;
    use crate::policy::accounts::Role;
    use crate::policy::destinations::Destinations;
    use crate::policy::passwords::StoredHash;
    use crate::policy::passwords::Verified;

    const INSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, 9));
    const OUTSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 99, 0, 9));

    fn role(name: &str) -> Arc<Role> {
        Arc::new(Role { name: name.into(), destinations: Destinations::default(), tunnels: u32::MAX })
    }

    fn hash(salt: &str) -> StoredHash {
        let hash = format!("$argon2id$v=19$m=256,t=1,p=1${salt}$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A");
        hash.parse().expect("a hash")
    }

    fn accounts(users: &[(&str, &str)], certificates: &[&str], network: &str) -> Accounts {
        let account = |(user, salt): &(&str, &str)| Account {
            user: (*user).into(),
            hash: hash(salt),
            role: role("users"),
        };
        let listed = certificates.iter().map(|name| ((*name).into(), role("machines")));
        Accounts::new(
            users.iter().map(account).collect(),
            vec![(network.parse().expect("a range"), role("sites"))],
            listed.collect::<HashMap<_, _>>(),
            PercentEncoded::Accepted,
            Arc::new(Verified::new([1; 32])),
        )
    }

    fn role_again(accounts: &Accounts, client: &Client, from: IpAddr) -> Result<String, Refusal> {
        accounts.again(&client.known(), from).map(|client| client.role().name.to_string())
    }

    #[test]
    fn a13_a_removed_user_and_one_with_another_password_are_nobody_any_more() {
        let before = accounts(&[("ann", "c29tZXNhbHQ"), ("bob", "c29tZXNhbHQ")], &[], "10.20.0.0/16");
        let ann = before.client_named("ann").expect("a user");
        assert_eq!(role_again(&before, &ann, OUTSIDE), Ok("users".into()));
        let removed = accounts(&[("bob", "c29tZXNhbHQ")], &[], "10.20.0.0/16");
        assert_eq!(role_again(&removed, &ann, INSIDE), Err(Refusal::CredentialsRejected));
        let changed = accounts(&[("ann", "b3RoZXJzYWx0")], &[], "10.20.0.0/16");
        assert_eq!(role_again(&changed, &ann, INSIDE), Err(Refusal::CredentialsRejected));
        // As a request would be: where no role has users, the network decides.
        let nobody = accounts(&[], &[], "10.20.0.0/16");
        assert_eq!(role_again(&nobody, &ann, INSIDE), Ok("sites".into()));
        assert_eq!(role_again(&nobody, &ann, OUTSIDE), Err(Refusal::ClientNetworkDenied));
    }

    #[test]
    fn a13_a_certificate_counts_while_it_is_listed_and_a_network_while_it_has_a_role() {
        let before = accounts(&[], &["CN=site-7"], "10.20.0.0/16");
        let site = before.by_certificate(&["CN=site-7".to_owned()]).expect("is listed");
        let inside = before.by_network(INSIDE).expect("has a role");
        assert_eq!(role_again(&before, &site, OUTSIDE), Ok("machines".into()));
        assert_eq!(role_again(&before, &inside, INSIDE), Ok("sites".into()));
        let after = accounts(&[], &["CN=site-8"], "10.99.0.0/16");
        assert_eq!(role_again(&after, &site, INSIDE), Err(Refusal::ClientNetworkDenied));
        assert_eq!(role_again(&after, &inside, INSIDE), Err(Refusal::ClientNetworkDenied));
    }
}
