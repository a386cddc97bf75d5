//! The table and its states, with times that are made up.

use super::*;
use crate::policy::limits::NetworkKey;

const MINUTE: Duration = Duration::from_secs(60);
const SILENT: Duration = Duration::from_secs(15 * 60);
const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

/// A fleet and a clock of its own.
struct Play {
    fleet: Fleet,
    now: Instant,
}

impl Play {
    fn new(clients: usize) -> Self {
        let metrics = Metrics::new().expect("registers");
        let settings = FleetSettings { clients, silent_after: Some(SILENT) };
        let fleet = Fleet::new(settings, ["agents", "others"], &metrics).expect("registers");
        Self { now: fleet.began, fleet }
    }

    fn user(&self, name: &str) -> Sighting {
        self.fleet.enter(ClientKey::User(name.into()), "agents", [10, 0, 0, 1].into(), self.now)
    }

    fn anonymous(&self, number: u32) -> Sighting {
        let from = IpAddr::V4(number.into());
        self.fleet.enter(ClientKey::Network(NetworkKey::of(from)), "agents", from, self.now)
    }

    /// Lets time go by, with sweeps; `seen` is done once a minute.
    fn minutes(&mut self, minutes: u32, seen: impl Fn(&Self)) {
        for _ in 0..minutes {
            self.now += MINUTE;
            seen(self);
            self.fleet.sweep(self.now);
        }
    }

    fn clients(&self, state: ClientState) -> Vec<String> {
        let query = Query { state: Some(state), limit: MOST_OF_A_PAGE, ..Query::default() };
        self.fleet.clients(&query, self.now).clients.into_iter().map(|client| client.id).collect()
    }

    fn ids(&self) -> Vec<String> {
        let query = Query { limit: MOST_OF_A_PAGE, ..Query::default() };
        self.fleet.clients(&query, self.now).clients.into_iter().map(|client| client.id).collect()
    }

    fn of(&self, id: &str) -> ClientView {
        let query = Query { limit: MOST_OF_A_PAGE, ..Query::default() };
        let found = self.fleet.clients(&query, self.now).clients.into_iter().find(|client| client.id == id);
        found.unwrap_or_else(|| panic!("no {id}"))
    }
}

fn host(text: &str) -> HostName {
    text.parse().expect("a host name")
}

fn ods(number: usize) -> HostName {
    host(&format!("{number:08x}-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com"))
}

#[test]
fn an_agent_that_was_regular_becomes_silent_and_comes_back() {
    let mut play = Play::new(100);
    play.minutes(20, |play| {
        play.user("ann");
        play.user("bob");
    });
    assert_eq!(play.clients(ClientState::Silent), [""; 0]);
    play.minutes(16, |play| drop(play.user("bob")));
    assert_eq!(play.clients(ClientState::Silent), ["user:ann"]);
    let snapshot = play.fleet.snapshot(play.now);
    assert_eq!((snapshot.active, snapshot.silent), (1, 1));
    assert_eq!(snapshot.silent_clients[0].id, "user:ann");
    assert_eq!(snapshot.silent_clients[0].unseen_seconds, 16 * 60);
    play.user("ann");
    assert_eq!(play.clients(ClientState::Silent), [""; 0]);
}

#[test]
fn who_was_seen_a_few_times_only_is_not_missed() {
    let mut play = Play::new(100);
    (0..50).for_each(|_| drop(play.user("curl")));
    play.minutes(2, |play| drop(play.user("curl")));
    play.minutes(120, |_| ());
    assert_eq!(play.clients(ClientState::Silent), [""; 0]);
}

#[test]
fn bytes_in_an_open_tunnel_are_a_sign_of_life_and_an_open_tunnel_alone_is_none() {
    let mut play = Play::new(100);
    let sighting = play.user("ann");
    let mut tunnel = play.fleet.tunnel(&sighting, &ods(1));
    let share = tunnel.share.as_ref().expect("is in the table");
    play.fleet.sweep(play.now);
    for minute in 1..=60_u32 {
        let now = play.now + MINUTE * minute;
        share.add(Traffic { up: 1, down: 0 }, play.fleet.moment(now));
        play.fleet.sweep(now);
    }
    play.now += MINUTE * 60;
    assert_eq!(play.clients(ClientState::Active), ["user:ann"]);
    play.minutes(16, |_| ());
    assert_eq!(play.clients(ClientState::Silent), ["user:ann"]);
    assert_eq!(play.of("user:ann").open_tunnels, 1);
    tunnel.tell(Traffic::default());
    drop(tunnel);
    assert_eq!(play.of("user:ann").open_tunnels, 0);
}

#[test]
fn bytes_are_told_apart_by_workspace_and_family_and_count_while_they_move() {
    let play = Play::new(100);
    let sighting = play.user("ann");
    let cases = [
        (format!("{GUID}.ods.opinsights.azure.com"), 5, 1),
        (format!("{GUID}.oms.opinsights.azure.com"), 70, 20),
        ("acct.blob.core.windows.net".to_owned(), 900, 300),
    ];
    let mut tunnels = Vec::new();
    for (name, up, down) in cases {
        let mut tunnel = play.fleet.tunnel(&sighting, &host(&name));
        tunnel.tell(Traffic { up: up - 1, down });
        tunnel.tell(Traffic { up, down });
        tunnels.push(tunnel);
    }
    for open in [3, 0] {
        let ann = play.of("user:ann");
        assert_eq!((ann.bytes.bytes_up, ann.bytes.bytes_down), (975, 321));
        assert_eq!((ann.families["ods"].bytes_up, ann.families["oms"].bytes_down), (5, 20));
        assert_eq!(ann.families["blob"].bytes_up, 900);
        assert_eq!((ann.workspaces[GUID].bytes_up, ann.workspaces.len()), (75, 1));
        assert_eq!((ann.tunnels, ann.open_tunnels), (3, open));
        tunnels.clear();
    }
    let metric = play.fleet.metrics.bytes("agents", Family::Blob);
    assert_eq!((metric.0.get(), metric.1.get()), (900, 300));
}

#[test]
fn workspaces_and_addresses_of_one_client_are_bounded_and_the_rest_is_summed() {
    let play = Play::new(100);
    for number in 0..100 {
        let from = IpAddr::from([10, 0, 0, number]);
        let sighting = play.fleet.enter(ClientKey::User("ann".into()), "agents", from, play.now);
        play.fleet.tunnel(&sighting, &ods(usize::from(number))).tell(Traffic { up: 1, down: 2 });
    }
    let ann = play.of("user:ann");
    assert_eq!((ann.addresses.len(), ann.more_addresses), (MOST_ADDRESSES, true));
    assert_eq!(ann.addresses[0], "10.0.0.99");
    assert_eq!(ann.workspaces.len(), MOST_WORKSPACES);
    assert_eq!(ann.other_workspaces.bytes_down, 2 * (100 - MOST_WORKSPACES as u64));
    assert_eq!((ann.bytes.bytes_up, ann.families["ods"].bytes_up), (100, 100));
}

#[test]
fn refusals_are_counted_with_their_last_reason_and_the_role_is_the_last_one() {
    let play = Play::new(100);
    let sighting = play.user("ann");
    sighting.refused("host_denied");
    sighting.refused("rate_limited");
    play.fleet.enter(ClientKey::User("ann".into()), "others", [10, 0, 0, 1].into(), play.now);
    let ann = play.of("user:ann");
    assert_eq!((ann.refused, ann.last_refusal, ann.role.as_str()), (2, Some("rate_limited"), "others"));
}

#[test]
fn ten_thousand_made_up_clients_push_out_no_agent_and_the_table_stays_bounded() {
    let mut play = Play::new(200);
    let agents: Vec<String> = (0..150).map(|number| format!("agent-{number:03}")).collect();
    play.minutes(20, |play| agents.iter().for_each(|name| drop(play.user(name))));
    let held = play.anonymous(1);
    let tunnel = play.fleet.tunnel(&held, &ods(1));
    drop(held);
    for number in 0..10_000 {
        drop(play.anonymous(0x0a00_0000 + number));
        assert!(play.fleet.snapshot(play.now).clients <= 200);
        play.now += Duration::from_millis(1);
    }
    let ids = play.ids();
    assert!(agents.iter().all(|name| ids.contains(&format!("user:{name}"))), "an agent was pushed out");
    assert!(ids.contains(&"address:0.0.0.1".to_owned()), "a client with a tunnel was pushed out");
    assert!(play.fleet.snapshot(play.now).forgotten > 9_000);
    drop(tunnel);

    // Users that were made up push out no regular one either.
    for number in 0..10_000 {
        drop(play.user(&format!("made-up-{number}")));
    }
    let (ids, snapshot) = (play.ids(), play.fleet.snapshot(play.now));
    assert!(agents.iter().all(|name| ids.contains(&format!("user:{name}"))), "an agent was pushed out");
    assert!(snapshot.clients <= 200, "{snapshot:?}");
}

#[test]
fn a_flood_does_not_hide_who_is_silent_and_makes_room_only_when_he_is_gone() {
    let mut play = Play::new(50);
    let agents: Vec<String> = (0..50).map(|number| format!("agent-{number:03}")).collect();
    play.minutes(20, |play| agents.iter().for_each(|name| drop(play.user(name))));
    play.minutes(20, |_| ());
    (0..1000).for_each(|number| drop(play.anonymous(number)));
    let snapshot = play.fleet.snapshot(play.now);
    assert_eq!((snapshot.silent, snapshot.silent_clients.len(), snapshot.not_entered), (50, 50, 1000));
    play.user("new");
    assert!(play.ids().contains(&"user:new".to_owned()), "a user makes room among the silent");
    play.minutes(150, |_| ());
    play.anonymous(7);
    assert!(play.ids().contains(&"address:0.0.0.7".to_owned()), "who is gone makes room for anybody");
}

#[test]
fn pages_hold_every_client_once_and_can_be_narrowed() {
    let play = Play::new(1_000);
    for number in 0..250 {
        let role = if number % 2 == 0 { "agents" } else { "others" };
        let key = ClientKey::User(format!("user-{number:03}").as_str().into());
        play.fleet.enter(key, role, [10, 0, 0, 1].into(), play.now);
    }
    let mut query = Query::default();
    let mut seen = Vec::new();
    loop {
        let page = play.fleet.clients(&query, play.now);
        assert!(page.matching == 250 && page.clients.len() <= USUAL_PAGE);
        seen.extend(page.clients.into_iter().map(|client| client.id));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert!(seen.len() == 250 && seen.is_sorted_by(|a, b| a < b), "{}", seen.len());
    let query = Query { role: Some("others".into()), limit: 1000, ..Query::default() };
    assert_eq!(play.fleet.clients(&query, play.now).clients.len(), 125);
}

#[test]
fn a_user_that_is_no_more_is_forgotten_once_his_tunnels_have_ended() {
    let play = Play::new(10);
    let tunnel = play.fleet.tunnel(&play.user("ann"), &ods(1));
    drop((play.user("bob"), play.anonymous(7)));
    play.fleet.keep_users(|name| name == "bob");
    assert_eq!(play.ids(), ["address:0.0.0.7", "user:ann", "user:bob"]);
    drop(tunnel);
    play.fleet.keep_users(|name| name == "bob");
    assert_eq!(play.ids(), ["address:0.0.0.7", "user:bob"]);
}

#[test]
fn a_reload_keeps_the_table_and_ends_the_series_of_roles_that_are_no_more() {
    let metrics = Metrics::new().expect("registers");
    let settings = FleetSettings { clients: 10, silent_after: None };
    let fleet = Fleet::new(settings, ["agents", "others"], &metrics).expect("registers");
    let now = Instant::now();
    let sighting = fleet.enter(ClientKey::User("ann".into()), "agents", [10, 0, 0, 1].into(), now);
    fleet.configure(FleetSettings { clients: 5, silent_after: Some(MINUTE) }, ["others", "third"]);
    fleet.tunnel(&sighting, &ods(1)).tell(Traffic { up: 9, down: 9 });
    fleet.sweep(now);
    let text = metrics.text(None).expect("encodes");
    assert!(!text.contains("role=\"agents\"") && text.contains("role=\"third\""), "{text}");
    let snapshot = fleet.snapshot(now);
    assert_eq!((snapshot.clients, snapshot.most_clients, snapshot.silent_after_seconds), (1, 5, 60));
    assert_eq!(snapshot.roles["agents"].bytes.bytes_up, 9);
}

/// Keeps the value of `more` of every event, 0 where there is none.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u64>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Told {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct More(u64);
        impl tracing::field::Visit for More {
            fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
                if field.name() == "more" {
                    self.0 = value;
                }
            }

            fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
        }
        let mut more = More(0);
        event.record(&mut more);
        self.0.lock().expect("no panic under the lock").push(more.0);
    }
}

#[test]
fn when_many_fall_silent_at_once_some_are_named_and_the_rest_is_counted() {
    use tracing_subscriber::layer::SubscriberExt;
    let mut play = Play::new(1_000);
    let agents: Vec<String> = (0..120).map(|number| format!("agent-{number:03}")).collect();
    play.minutes(20, |play| agents.iter().for_each(|name| drop(play.user(name))));
    let told = Told::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(told.clone()), || {
        play.minutes(20, |_| ());
        play.minutes(1, |play| agents.iter().for_each(|name| drop(play.user(name))));
    });
    let wanted = [vec![0; MOST_NAMED], vec![70]].concat().repeat(2);
    assert_eq!(*told.0.lock().expect("no panic under the lock"), wanted, "silent once, back once");
}
