//! Row D10: relays that lead back to the gateway.

use std::net::SocketAddr;

use end_to_end::azure::FakeAzure;
use end_to_end::client::Tunnel;
use end_to_end::client::refused;
use end_to_end::gateway::Gateway;
use end_to_end::pki::Pki;
use end_to_end::scripted::Play;
use end_to_end::scripted::ScriptedRelay;

use crate::relays::ESTABLISHED;
use crate::relays::exchange;
use crate::relays::through;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::assert_refusal;
use crate::stage::lonely_address;

/// A place for a gateway that others must know before it is there.
fn place() -> SocketAddr {
    SocketAddr::new(lonely_address().into(), 8080)
}

/// Starts a gateway at its place, with these relays.
async fn at(place: SocketAddr, relays: &[SocketAddr]) -> Gateway {
    let urls: Vec<String> = relays.iter().map(|relay| format!("http://{relay}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    Gateway::start(&through(&urls, &format!("[[listener]]\naddress = \"{place}\"\n"))).await
}

/// Waits for so many requests' records, and returns their reasons in the order of the alphabet.
///
/// A refused request's record is written when its connection is closed: that may be after our answer.
async fn reasons(gateway: &Gateway, count: usize) -> Vec<String> {
    let what = format!("{count} records");
    gateway.log().wait_for(&what, |_| (gateway.access_records().len() >= count).then_some(())).await;
    let records = gateway.access_records();
    let mut reasons: Vec<String> = records.iter().map(|record| record.text("reason").to_owned()).collect();
    reasons.sort_unstable();
    reasons
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_gateway_that_is_its_own_relay_does_not_even_dial_itself() {
    let own = place();
    let name = "myself.example";
    let listener = format!("[[listener]]\naddress = \"{own}\"\n");
    for url in [format!("http://{own}"), format!("https://{own}"), format!("http://{name}:{}", own.port())] {
        let gateway = Gateway::start(&through(&[&url], &listener).host(name, &[own])).await;
        let series = gateway.metrics().await;
        for count in 1..4 {
            let (answer, client) = refused(gateway.proxy(), GOOD_TARGET, &[]).await;
            assert_refusal(&answer, 403);
            let record = gateway.only_record_of(client).await;
            record.assert_texts(&[("reason", "self_connection"), ("verdict", "refused")]);
            assert_eq!(gateway.records_once(count).await, count, "{url}");
        }
        assert_eq!(gateway.metrics().await.series(), series.series());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_gateway_that_is_its_own_second_relay_still_serves_through_the_first() {
    let (own, pki) = (place(), Pki::new());
    let azure = FakeAzure::start(&pki, &[GOOD]).await;
    let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), azure.address())).await;
    let gateway = at(own, &[own, relay.address()]).await;
    for _ in 0..2 {
        let client = exchange(gateway.proxy(), &pki).await;
        gateway.only_record_of(client).await.assert_texts(&[("verdict", "carried")]);
    }
    assert_eq!((gateway.records_once(2).await, relay.connections()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_gateway_behind_a_balancer_that_is_its_relay_knows_its_name_after_one_hop() {
    let own = place();
    let balancer = ScriptedRelay::start(Play::Forward(own)).await;
    let gateway = at(own, &[balancer.address()]).await;
    let series = gateway.metrics().await;
    let (answer, client) = refused(gateway.proxy(), GOOD_TARGET, &[]).await;
    assert_refusal(&answer, 502);
    let outer = gateway.only_record_of(client).await;
    outer.assert_texts(&[("reason", "relay_failed"), ("route", "relay")]);
    let inner =
        gateway.wait_for_record("the inner request's record", |record| record.is("reason", "loop")).await;
    assert_eq!((inner.number("status"), inner.number("event_id")), (508, 119));
    inner.assert_texts(&[("route", ""), ("verdict", "refused"), ("fault", "gateway")]);
    assert_eq!((reasons(&gateway, 2).await.len(), balancer.connections()), (2, 1));
    assert_eq!(gateway.metrics().await.series(), series.series());
    gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_two_gateways_that_are_each_others_relay_refuse_after_two_hops() {
    let (a, b) = (place(), place());
    let (first, second) = (at(a, &[b]).await, at(b, &[a]).await);
    for count in 1..4 {
        let (answer, client) = refused(first.proxy(), GOOD_TARGET, &[]).await;
        assert_refusal(&answer, 502);
        first.only_record_of(client).await.assert_texts(&[("reason", "relay_failed")]);
        assert_eq!(
            reasons(&first, 2 * count).await,
            [vec!["loop"; count], vec!["relay_failed"; count]].concat()
        );
        assert_eq!(reasons(&second, count).await, vec!["relay_failed"; count]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_loop_that_does_not_lead_through_the_first_gateway_ends_too() {
    let (a, b, c) = (place(), place(), place());
    let (first, second, third) = (at(a, &[b]).await, at(b, &[c]).await, at(c, &[b]).await);
    let (answer, client) = refused(first.proxy(), GOOD_TARGET, &[]).await;
    assert_refusal(&answer, 502);
    first.only_record_of(client).await.assert_texts(&[("reason", "relay_failed")]);
    assert_eq!(reasons(&first, 1).await, ["relay_failed"]);
    assert_eq!(reasons(&second, 2).await, ["loop", "relay_failed"]);
    assert_eq!(reasons(&third, 1).await, ["relay_failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_three_gateways_that_all_are_each_others_relays_ask_each_way_once() {
    let (a, b, c) = (place(), place(), place());
    let gateways = [at(a, &[b, c]).await, at(b, &[c, a]).await, at(c, &[a, b]).await];
    for count in 1..3 {
        let (answer, client) = refused(a, GOOD_TARGET, &[]).await;
        assert_refusal(&answer, 502);
        gateways[0].only_record_of(client).await.assert_texts(&[("reason", "relay_failed")]);
        // The ways are a, ab, ac, abc, acb; six more requests end at a gateway they have passed.
        for (gateway, ways, loops) in [(&gateways[0], 1, 4), (&gateways[1], 2, 1), (&gateways[2], 2, 1)] {
            let expected = [vec!["loop"; loops * count], vec!["relay_failed"; ways * count]].concat();
            assert_eq!(reasons(gateway, expected.len()).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_the_names_of_other_proxies_pass_and_our_own_does_not() {
    let pki = Pki::new();
    let azure = FakeAzure::start(&pki, &[GOOD]).await;
    let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), azure.address())).await;
    let gateway = Gateway::start(&through(&[&format!("http://{}", relay.address())], "")).await;
    let row = |count: u64| {
        let names: Vec<String> = (0..count).map(|number| format!("1.1 la-gateway-{number:016x}")).collect();
        names.join(", ")
    };
    let passing = ["1.1 squid", "1.0 fred, 1.1 p.example.net (Apache/1.1)", "1.1 la-gateway", &row(8)];
    for via in passing {
        let tunnel = Tunnel::open(gateway.proxy(), GOOD_TARGET, &[("Via", via)]).await;
        let client = tunnel.address;
        drop(tunnel.tls(GOOD, pki.client_config()).await);
        gateway.only_record_of(client).await.assert_texts(&[("verdict", "carried")]);
    }
    let connections = relay.connections();
    let requests = relay.requests();
    let told = requests.last().and_then(|text| text.split_once("Via: ")).expect("a Via field").1.trim();
    let (others, own) = told.rsplit_once(", ").expect("several names");
    assert_eq!(others, row(8));
    let upper = format!("1.1 squid, {} (x)", own.to_uppercase());
    for via in [own, &upper, &row(9)] {
        let (answer, client) = refused(gateway.proxy(), GOOD_TARGET, &[("Via", via)]).await;
        assert_refusal(&answer, 508);
        let record = gateway.only_record_of(client).await;
        record.assert_texts(&[("reason", "loop"), ("route", ""), ("address", "")]);
        assert_eq!(relay.connections(), connections, "{via}");
    }
    exchange(gateway.proxy(), &pki).await;
}
