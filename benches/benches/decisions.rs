//! The cost of each decision about a CONNECT, one by one. See `README.md` beside this folder.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;

use benches::HOST;
use benches::TARGET;
use common::host_port::HostPort;
use divan::Bencher;
use divan::black_box;
use http::Request;
use http::request::Parts;
use la_gateway::answer;
use la_gateway::observe::access::RequestIds;
use la_gateway::parse::client_hello;
use la_gateway::parse::request;
use la_gateway::parse::server_hello;
use la_gateway::policy::accounts::Offered;
use la_gateway::policy::accounts::Role;
use la_gateway::policy::addresses::Addresses;
use la_gateway::policy::basic;

const AGENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 0, 1));
/// Rules of the bundle that stand beside the rules a bench asks for.
const BUNDLE: usize = 5;

fn main() {
    divan::main();
}

#[divan::bench(args = [TARGET, "packages.example.com:443", "20.42.65.90:443"])]
fn target_is_parsed(text: &str) -> bool {
    black_box(text).parse::<HostPort>().is_ok()
}

#[divan::bench(args = [5, 500, 5_000])]
fn authorize_the_bundles_host_among(bencher: Bencher<'_, '_>, rules: usize) {
    authorize(bencher, rules, TARGET, Verdict::Permitted);
}

#[divan::bench(args = [500, 5_000])]
fn authorize_a_listed_host_among(bencher: Bencher<'_, '_>, rules: usize) {
    let at = (rules - BUNDLE) / 2 / 2 * 2;
    authorize(bencher, rules, &format!("{}:443", benches::listed_host(at)), Verdict::Permitted);
}

#[divan::bench(args = [5, 500, 5_000])]
fn refuse_an_unknown_host_among(bencher: Bencher<'_, '_>, rules: usize) {
    authorize(bencher, rules, "www.site-7.example.org:443", Verdict::Refused);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Permitted,
    Refused,
}

fn authorize(bencher: Bencher<'_, '_>, rules: usize, target: &str, expected: Verdict) {
    let role = role(rules);
    let target = benches::target(target);
    assert_eq!(role.destinations.rules(), rules);
    assert!(role.destinations.authorize(&target).is_ok() == (expected == Verdict::Permitted), "{target}");
    bencher.bench_local(|| role.destinations.authorize(black_box(&target)));
}

#[divan::bench(args = ["20.42.65.90:443", "[2603:1030::1]:443", "[64:ff9b::142a:415a]:443", "10.1.2.3:443", "10.9.0.1:443"])]
fn vet(bencher: Bencher<'_, '_>, address: &str) {
    let addresses = Addresses::new(["10.9.0.0/16".parse().expect("a range")].to_vec());
    let address: SocketAddr = address.parse().expect("an address and a port");
    bencher.bench_local(|| addresses.vet(black_box(address)));
}

#[divan::bench]
fn basic_header_is_read(bencher: Bencher<'_, '_>) {
    let value = benches::authorization(7);
    bencher.bench_local(|| basic::read(black_box(value.as_bytes())));
}

#[divan::bench(args = [10, 10_000])]
fn verified_password_is_found_among(bencher: Bencher<'_, '_>, users: usize) {
    let accounts = benches::verified_accounts(users);
    bencher
        .with_inputs(|| benches::credentials(users / 2))
        .bench_local_values(|credentials| accounts.identify(Offered::Basic(credentials), black_box(AGENT)));
}

/// In one record, and in as many as a hello of this kind could be cut into.
#[divan::bench(args = [16_384, 64, 1])]
fn client_hello_is_read_in_records_of(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = benches::client_hello_in_records_of(size);
    assert!(matches!(client_hello::read(&bytes), Ok(Some(_))));
    bencher.bench_local(|| client_hello::read(black_box(&bytes)));
}

#[divan::bench]
fn server_hello_is_read(bencher: Bencher<'_, '_>) {
    let bytes = tls13_server_hello();
    assert!(matches!(server_hello::read(&bytes), Ok(Some(_))));
    bencher.bench_local(|| server_hello::read(black_box(&bytes)));
}

#[divan::bench]
fn head_is_read(bencher: Bencher<'_, '_>) {
    let head = head(HOST);
    bencher.bench_local(|| request::read(black_box(&head)).is_ok());
}

#[divan::bench]
fn head_becomes_a_refusal(bencher: Bencher<'_, '_>) {
    let (role, ids, head) = (role(500), RequestIds::default(), head("evil.example"));
    bencher.bench_local(|| {
        let connect = request::read(black_box(&head)).expect("a CONNECT");
        let refusal = role.destinations.authorize(&connect.target).expect_err("no rule allows it");
        answer::refused(&refusal, ids.next())
    });
}

#[divan::bench]
fn head_becomes_a_permit(bencher: Bencher<'_, '_>) {
    let (role, head) = (role(500), head(HOST));
    bencher.bench_local(|| {
        let connect = request::read(black_box(&head)).expect("a CONNECT");
        let permit = role.destinations.authorize(&connect.target).expect("the bundle allows it");
        (permit, answer::established())
    });
}

fn role(rules: usize) -> Arc<Role> {
    let config = benches::config(rules - BUNDLE, 1);
    Arc::clone(&config.roles.all.first().expect("one role").role)
}

fn head(host: &str) -> Parts {
    let request = Request::connect(format!("{host}:443"))
        .header("Host", format!("{host}:443"))
        .header("Proxy-Authorization", benches::authorization(7))
        .header("User-Agent", "agent/1.0");
    request.body(()).expect("a request").into_parts().0
}

/// A ServerHello as TLS 1.3 has it: the session id given back, the version, and a share of a key.
fn tls13_server_hello() -> Vec<u8> {
    let extensions = [&[0, 43, 0, 2, 3, 4, 0, 51, 0, 36, 0, 29, 0, 32][..], &[7; 32]].concat();
    let version_to_compression = [&[3, 3][..], &[8; 32], &[32], &[5; 32], &[0x13, 0x01, 0]].concat();
    let body = [&version_to_compression[..], &length(extensions.len()), &extensions].concat();
    let message = [&[2, 0][..], &length(body.len()), &body].concat();
    [&[22, 3, 3][..], &length(message.len()), &message].concat()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a short hello").to_be_bytes()
}
