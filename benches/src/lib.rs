//! What the benches work on: configurations of any size, credentials and hellos, as the gateway gets them; and what
//! a process uses of the machine it was measured on.
//!
//! Rules and users go through a configuration file, as an operator's do, so a bench measures what a
//! running gateway would look at.

pub mod machine;
pub mod usage;

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::host_port::HostPort;
use common::secret::Secret;
use la_gateway::config;
use la_gateway::config::Config;
use la_gateway::policy::accounts::Accounts;
use la_gateway::policy::basic::Credentials;
use la_gateway::policy::passwords::StoredHash;
use la_gateway::policy::passwords::Verified;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;

/// The host an agent connects to all day.
pub const HOST: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
/// That host as a request target.
pub const TARGET: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com:443";
/// The password of every user.
pub const PASSWORD: &str = "correct horse battery staple";

/// The cheapest hash that is accepted. Its cost is not what a look-up measures.
pub const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

/// Returns an address that was free a moment ago, so that a program finds it again after a restart.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("a bound address")
}

/// Returns a configuration with the log-analytics bundle (5 rules), `hosts` rules beside it, and `users`.
pub fn config(hosts: usize, users: usize) -> Config {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let listed: Vec<String> = (0..hosts).map(|at| format!("\"{}\"", listed_host(at))).collect();
    let gateway = format!(
        "[role.agents]\nusers_file = \"agents.users\"\nanonymous_from = [\"127.0.0.0/8\"]\nhosts = [{}]\n",
        listed.join(", ")
    );
    let mut accounts = String::new();
    for at in 0..users {
        writeln!(accounts, "{}:{HASH}", user(at)).expect("a string takes all text");
    }
    let file = folder.path().join("gateway.toml");
    fs::write(folder.path().join("agents.users"), accounts).expect("a file in our folder");
    fs::write(&file, gateway).expect("a file in our folder");
    config::load(Some(&file)).expect("a right configuration")
}

/// Returns the host of one of the rules beside the bundle; half of them are wildcards.
pub fn listed_host(at: usize) -> String {
    match at % 2 {
        0 => format!("host-{at}.site.example.com"),
        _ => format!("*.site-{at}.example.com"),
    }
}

/// Returns the name of one user.
pub fn user(at: usize) -> String {
    format!("site-{at}")
}

/// Returns the accounts of a configuration, in which every user's password was verified before.
pub fn verified_accounts(users: usize) -> Accounts {
    let verified = Verified::new([7; 32]);
    let hash: StoredHash = HASH.parse().expect("a stored hash");
    for at in 0..users {
        verified.remember(verified.digest(&hash, &credentials(at)));
    }
    config(0, users).roles.accounts(Arc::new(verified))
}

/// Returns the credentials of one user.
pub fn credentials(at: usize) -> Credentials {
    Credentials { user: user(at), password: Secret::new(PASSWORD.to_owned()) }
}

/// Returns the `Proxy-Authorization` of one user.
pub fn authorization(at: usize) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{PASSWORD}", user(at))))
}

/// Returns the target as the parser gives it.
pub fn target(text: &str) -> HostPort {
    text.parse().expect("a target")
}

/// Returns the first bytes of a client that offers TLS 1.3 and 1.2 to [`HOST`].
pub fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = HOST.try_into().expect("a server name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut wire = Vec::new();
    client.write_tls(&mut wire).expect("a vector takes all bytes");
    wire
}

/// Returns the same hello in records of at most `size` bytes each.
pub fn client_hello_in_records_of(size: usize) -> Vec<u8> {
    const HEADER: usize = 5;
    let hello = client_hello();
    let message = hello.get(HEADER..).unwrap_or_default();
    let record = |fragment: &[u8]| {
        let length = u16::try_from(fragment.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[0x16, 3, 1], &length[..], fragment].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use la_gateway::parse::TlsVersion;
    use la_gateway::parse::client_hello::ServerName;
    use la_gateway::parse::client_hello::read;
    use la_gateway::policy::accounts::Identity;
    use la_gateway::policy::accounts::Offered;

    #[test]
    fn the_inputs_are_what_they_say() {
        let config = config(495, 10);
        assert_eq!(config.roles.all.iter().map(|role| role.role.destinations.rules()).sum::<usize>(), 500);
        assert_eq!(config.roles.all.iter().map(|role| role.users).sum::<usize>(), 10);
        let known = verified_accounts(3).identify(Offered::Basic(credentials(2)), [10, 0, 0, 1].into());
        assert!(matches!(known, Ok(Identity::Known(_))), "{known:?}");
        for hello in [client_hello(), client_hello_in_records_of(100)] {
            let read = read(&hello).expect("TLS").expect("whole");
            assert_eq!(read.highest_version, TlsVersion::Tls13);
            assert!(matches!(read.server_name, ServerName::Name(name) if name.as_str() == HOST));
        }
    }
}
