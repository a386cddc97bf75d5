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
    Accounts::new(users, networks, HashMap::new(), PercentEncoded::Accepted, Arc::new(Verified::new([1; 32])))
}

/// Returns the check of this password for a user whose own is `right`.
pub(crate) fn unproven(password: &str) -> PasswordCheck {
    let accounts = accounts(vec![account("ann", "right", &role("agents"))], &[]);
    match accounts.identify(offered("ann", password), OUTSIDE) {
        Ok(Identity::Unproven(check)) => check,
        other => panic!("{other:?}"),
    }
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
    let client = accounts.by_certificate(&names(&["CN=site-7,O=Example", "CN=site-7"])).expect("is listed");
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
