//! The counters, and that they outlive other numbers.

use super::*;
use crate::policy::destinations::Destinations;

fn limits(change: impl FnOnce(&mut Settings)) -> Arc<Limits> {
    let number = |n| NonZeroU32::new(n).expect("not zero");
    let mut settings = Settings {
        tunnels: 100,
        tunnels_per_client: 100,
        connects_per_second: number(1000),
        burst: number(1000),
        connections_per_address: 3,
        requests_per_second_per_address: number(1),
        request_burst_per_address: number(5),
        failed_logins_per_minute: number(3),
    };
    change(&mut settings);
    Arc::new(Limits::new(settings))
}

fn role(tunnels: u32) -> Role {
    Role { name: "agents".into(), destinations: Destinations::default(), tunnels }
}

fn admit(limits: &Arc<Limits>, name: &str) -> Result<Slot, Refusal> {
    limits.admit(user(name), &role(u32::MAX))
}

fn user(name: &str) -> ClientKey {
    ClientKey::User(name.into())
}

#[test]
fn s05_exactly_as_many_tunnels_are_admitted_as_allowed_and_the_counts_return_to_zero() {
    let limits = limits(|s| (s.tunnels, s.tunnels_per_client) = (5, 3));
    let mut slots: Vec<Slot> = (0..3).map(|_| admit(&limits, "ann").expect("within")).collect();
    assert_eq!(admit(&limits, "ann").err(), Some(Refusal::ClientTunnels));
    slots.extend((0..2).map(|_| admit(&limits, "bob").expect("within")));
    assert_eq!(admit(&limits, "eve").err(), Some(Refusal::GatewayTunnels));
    slots.clear();
    assert_eq!(limits.tunnels(), 0);
    assert!(lock(&limits.tunnels).by_client.is_empty());
    assert!(admit(&limits, "ann").is_ok());
}

#[test]
fn a_role_has_its_own_number_of_tunnels() {
    let limits = limits(|_| ());
    let held = limits.admit(user("ann"), &role(1)).expect("within");
    assert_eq!(limits.admit(user("bob"), &role(1)).err(), Some(Refusal::RoleTunnels));
    drop(held);
    assert!(limits.admit(user("bob"), &role(1)).is_ok());
}

#[test]
fn one_address_has_its_own_number_of_connections_and_its_own_rate_of_requests() {
    let limits = limits(|_| ());
    let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let mut places: Vec<Arrival> = (0..3).map(|_| limits.arrive(here).expect("within")).collect();
    assert_eq!(limits.arrive(here).err(), Some(Refusal::AddressConnections));
    assert!(limits.arrive(there).is_ok());
    places.pop();
    assert!(limits.arrive(here).is_ok());
    let verdicts = (0..6).map(|_| limits.request(here).is_ok()).collect::<Vec<_>>();
    assert_eq!(verdicts, [true, true, true, true, true, false]);
    assert!(limits.request(there).is_ok());
}

#[test]
fn a_client_beyond_its_rate_is_told_when_to_come_back_and_others_are_not_touched() {
    let limits = limits(|s| {
        s.connects_per_second = NonZeroU32::MIN;
        s.burst = NonZeroU32::new(2).expect("not zero");
    });
    let verdicts: Vec<_> = (0..3).map(|_| admit(&limits, "ann").map(|_| ())).collect();
    assert_eq!(&verdicts[..2], &[Ok(()), Ok(())]);
    assert!(matches!(verdicts[2], Err(Refusal::RateLimited { retry_after }) if !retry_after.is_zero()));
    assert!(admit(&limits, "bob").is_ok());
}

#[test]
fn a07_a_network_is_barred_after_its_failed_logins_and_only_that_network() {
    let limits = limits(|_| ());
    let guesser: IpAddr = "10.0.0.1".parse().expect("an address");
    let mut tries = 0;
    while let Ok(knock) = limits.knock(guesser) {
        limits.failed(knock);
        tries += 1;
        assert!(tries < 10, "never barred");
    }
    assert_eq!(tries, 3, "the third failure bars");
    assert!(limits.knock("10.0.0.2".parse().expect("an address")).is_ok());
}

#[test]
fn ipv6_addresses_count_by_their_first_64_bits_and_mapped_ones_as_ipv4() {
    let key = |ip: &str| NetworkKey::of(ip.parse().expect("an address"));
    assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
    assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
    assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
}

#[test]
fn a_sweep_keeps_those_still_barred() {
    let limits = limits(|s| s.failed_logins_per_minute = NonZeroU32::MIN);
    let guesser: IpAddr = "10.0.0.1".parse().expect("an address");
    while let Ok(knock) = limits.knock(guesser) {
        limits.failed(knock);
    }
    limits.sweep();
    assert!(limits.knock(guesser).is_err());
}

#[test]
fn other_numbers_hold_at_once_and_what_is_counted_goes_on() {
    let limits = limits(|_| ());
    let guesser: IpAddr = "10.0.0.1".parse().expect("an address");
    while let Ok(knock) = limits.knock(guesser) {
        limits.failed(knock);
    }
    let held: Vec<Slot> = (0..3).map(|_| admit(&limits, "ann").expect("within")).collect();
    let mut settings = limits.bounds.load().settings.clone();
    settings.tunnels = 3;
    limits.change(settings.clone());
    assert_eq!(admit(&limits, "bob").err(), Some(Refusal::GatewayTunnels));
    settings.tunnels = 4;
    limits.change(settings);
    assert!(admit(&limits, "bob").is_ok());
    assert!(limits.knock(guesser).is_err(), "a reload frees nobody who is barred");
    drop(held);
    assert_eq!(limits.tunnels(), 0);
}

#[test]
fn only_the_rate_whose_numbers_changed_begins_anew() {
    let limits = limits(|s| s.burst = NonZeroU32::MIN);
    let from = IpAddr::from([10, 0, 0, 1]);
    let spent = || (0..9).map(|_| limits.request(from)).filter(Result::is_ok).count();
    // One comes back a second, and a busy machine may take that long.
    assert!((5..=6).contains(&spent()));
    let mut settings = limits.bounds.load().settings.clone();
    settings.tunnels = 7;
    settings.burst = NonZeroU32::new(9).expect("not zero");
    limits.change(settings.clone());
    assert!(spent() <= 1, "its own numbers are as they were");
    settings.request_burst_per_address = NonZeroU32::new(6).expect("not zero");
    limits.change(settings);
    assert!((6..=7).contains(&spent()));
}
