//! Who may read what of the admin listener.
//!
//! ```text
//! network in `from`? -> TLS, where it is set -> Host is ours? -> open to all? -> certificate, else password
//! ```

use std::net::IpAddr;
use std::time::Duration;

use common::host_port::HostName;
use http::HeaderMap;
use http::Request;
use http::header;

use crate::config::Open;
use crate::connect::AdminAccess;
use crate::connect::Stations;
use crate::connect::prove;
use crate::observe::metrics::AdminRefusal;
use crate::policy::accounts::Identity;
use crate::policy::accounts::Offered;
use crate::policy::basic;
use crate::refusal::Refusal;

/// Who asks, as far as the connection tells.
pub(super) struct Visitor {
    pub(super) address: IpAddr,
    pub(super) over_tls: bool,
    /// Names in the certificate.
    pub(super) certificate: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Metrics or health, which tell no names of clients.
    Bare(Open),
    /// The page and the API.
    Page,
}

/// Why it is not shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) reason: AdminRefusal,
    pub(super) retry_after: Option<Duration>,
}

impl From<AdminRefusal> for Denied {
    fn from(reason: AdminRefusal) -> Self {
        Self { reason, retry_after: None }
    }
}

/// What a visitor must show to be shown a part.
#[derive(Debug, PartialEq, Eq)]
enum Needed {
    Nothing,
    Credentials,
    /// There is nothing he could show.
    Impossible,
}

/// Says whether an address is answered at all.
pub(super) fn is_from(access: &AdminAccess, address: IpAddr) -> bool {
    let address = address.to_canonical();
    !access.shut && (address.is_loopback() || access.from.iter().any(|net| net.contains(&address)))
}

/// Says whether a visitor may be shown a part. A wrong password costs what it costs at the proxy's listeners.
pub(super) async fn check<B>(
    stations: &Stations,
    visitor: &Visitor,
    part: Part,
    request: &Request<B>,
) -> Result<(), Denied> {
    let live = stations.live.load_full();
    let access = &live.admin;
    // A reload may have taken away what was there when the connection began.
    if !is_from(access, visitor.address) {
        return Err(AdminRefusal::Network.into());
    }
    // Probes of health often name no host, or any.
    let asks_any = matches!(part, Part::Bare(open) if open == Open::Health || access.open.contains(&open));
    if !asks_any && !is_own_host(access, request) {
        return Err(AdminRefusal::Host.into());
    }
    match needed(access, visitor, part) {
        Needed::Nothing => Ok(()),
        Needed::Impossible => Err(AdminRefusal::NotShown.into()),
        Needed::Credentials => identify(stations, access, visitor, request.headers()).await,
    }
}

fn needed(access: &AdminAccess, visitor: &Visitor, part: Part) -> Needed {
    let is_local = visitor.address.to_canonical().is_loopback();
    match part {
        Part::Bare(open) if access.open.contains(&open) => Needed::Nothing,
        Part::Bare(_) | Part::Page => match &access.accounts {
            // Whatever a reload wrote for an address that is bound already: nothing is shown in the clear.
            Some(_) if is_local || visitor.over_tls => Needed::Credentials,
            None if is_local => Needed::Nothing,
            Some(_) | None => Needed::Impossible,
        },
    }
}

async fn identify(
    stations: &Stations,
    access: &AdminAccess,
    visitor: &Visitor,
    headers: &HeaderMap,
) -> Result<(), Denied> {
    let Some(accounts) = &access.accounts else { return Err(AdminRefusal::NotShown.into()) };
    if accounts.by_certificate(&visitor.certificate).is_some() {
        return Ok(());
    }
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let offered = match (fields.next(), fields.next()) {
        (None, _) => Offered::Nothing,
        (Some(value), None) => basic::read(value.as_bytes()).map_or(Offered::Unreadable, Offered::Basic),
        (Some(_), Some(_)) => Offered::Unreadable,
    };
    // A password that is known is no exception here: a connection may ask as often as it likes, and telling a
    // right guess from a wrong one would cost a guesser nothing.
    if !matches!(offered, Offered::Nothing) {
        stations.limits.knock(visitor.address).map_err(|refusal| denied(&refusal))?;
    }
    let proven = match accounts.identify(offered, visitor.address) {
        Ok(Identity::Known(_)) => Ok(()),
        Ok(Identity::Unproven(check)) => prove(stations, check, visitor.address, None).await.map(drop),
        Err(refusal) => Err(refusal),
    };
    proven.map_err(|refusal| denied(&refusal))
}

fn denied(refusal: &Refusal) -> Denied {
    let reason = match refusal {
        Refusal::CredentialsMissing => AdminRefusal::CredentialsMissing,
        Refusal::FailedLogins { .. } => AdminRefusal::FailedLogins,
        Refusal::PasswordWorkBusy | Refusal::Internal => AdminRefusal::Busy,
        _ => AdminRefusal::CredentialsRejected,
    };
    Denied { reason, retry_after: refusal.retry_after() }
}

/// Says whether a request is meant for this listener: an address, `localhost`, or a name that is written. A
/// page of somebody else's, whose name leads here all of a sudden, has that name in its requests.
fn is_own_host<B>(access: &AdminAccess, request: &Request<B>) -> bool {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return false };
    let Ok(field) = field.to_str() else { return false };
    let named = request.uri().authority().map_or(field, |authority| authority.as_str());
    let Ok(authority) = named.parse::<http::uri::Authority>() else { return false };
    if named.contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_named = |host: &HostName| access.names.contains(host);
    address.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<HostName>().is_ok_and(|host| is_named(&host))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::accounts::Accounts;
    use crate::policy::accounts::PercentEncoded;
    use crate::policy::passwords::Verified;

    #[test]
    fn what_must_be_shown_depends_on_where_one_comes_from_and_over_what() {
        let accounts = || {
            let verified = Arc::new(Verified::new([0; 32]));
            Accounts::new(Vec::new(), Vec::new(), Default::default(), PercentEncoded::Refused, verified)
        };
        let (metrics, page) = (Part::Bare(Open::Metrics), Part::Page);
        let cases = [
            ("127.0.0.1", false, false, metrics, Needed::Nothing),
            ("127.0.0.1", false, false, page, Needed::Nothing),
            ("::ffff:127.0.0.1", false, false, page, Needed::Nothing),
            ("127.0.0.1", false, true, page, Needed::Credentials),
            ("127.0.0.1", false, true, Part::Bare(Open::Health), Needed::Credentials),
            ("10.0.9.7", false, false, metrics, Needed::Nothing),
            ("10.0.9.7", false, false, Part::Bare(Open::Health), Needed::Impossible),
            ("10.0.9.7", true, false, page, Needed::Impossible),
            ("10.0.9.7", false, true, page, Needed::Impossible),
            ("10.0.9.7", true, true, page, Needed::Credentials),
        ];
        for (address, over_tls, has_accounts, part, expected) in cases {
            let access = AdminAccess {
                open: vec![Open::Metrics],
                accounts: has_accounts.then(accounts),
                ..AdminAccess::default()
            };
            let address = address.parse().expect("an address");
            let visitor = Visitor { address, over_tls, certificate: Vec::new() };
            assert_eq!(
                needed(&access, &visitor, part),
                expected,
                "{address} {over_tls} {has_accounts} {part:?}"
            );
        }
    }

    #[test]
    fn a_listener_that_is_switched_off_and_still_bound_answers_nobody() {
        let access = AdminAccess { shut: true, ..AdminAccess::default() };
        assert!(!is_from(&access, "127.0.0.1".parse().expect("an address")));
        assert!(is_from(&AdminAccess::default(), "127.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn a_host_field_names_an_address_this_machine_or_a_name_that_is_written() {
        let access =
            AdminAccess { names: vec!["gw.example.com".parse().expect("a name")], ..AdminAccess::default() };
        let is_own = |hosts: &[&str]| {
            let mut request = Request::builder().uri("/");
            for host in hosts {
                request = request.header("host", *host);
            }
            is_own_host(&access, &request.body(()).expect("a request"))
        };
        for own in
            ["127.0.0.1", "127.0.0.1:9180", "[::1]:9180", "10.0.0.5", "localhost:9180", "GW.example.com:1"]
        {
            assert!(is_own(&[own]), "{own}");
        }
        for other in
            ["evil.example", "gw.example.com.evil.example", "localhost.evil.example", "", "a@127.0.0.1"]
        {
            assert!(!is_own(&[other]), "{other}");
        }
        assert!(!is_own(&[]) && !is_own(&["127.0.0.1", "127.0.0.1"]));
    }
}
