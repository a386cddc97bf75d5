use super::*;

use std::net::IpAddr;
use std::time::Duration;

use crate::policy::limits::NetworkKey;

const WAIT: Duration = Duration::from_secs(10);

fn gate(setups: u32, waiting: u32) -> Arc<Gate> {
    let metrics = Arc::new(Metrics::new().expect("registers"));
    Arc::new(Gate::new(Settings { setups, setups_per_client: setups, waiting, wait: WAIT }, metrics))
}

fn client(last: u8) -> ClientKey {
    ClientKey::Network(NetworkKey::of(IpAddr::from([10, 0, 0, last])))
}

async fn enter(gate: &Arc<Gate>, last: u8) -> Result<Setup, Refusal> {
    gate.enter(&client(last), Urgency::Bulk, &Seen::default()).await
}

/// Begins to wait, in a task of its own.
fn waiter(gate: &Arc<Gate>, last: u8) -> tokio::task::JoinHandle<Result<Setup, Refusal>> {
    let gate = Arc::clone(gate);
    tokio::spawn(async move { enter(&gate, last).await })
}

async fn until_waiting(gate: &Gate, count: usize) {
    while gate.lock().room.waiting() != count {
        tokio::task::yield_now().await;
    }
}

fn assert_empty(gate: &Gate) {
    let inner = gate.lock();
    assert_eq!((inner.room.in_progress(), inner.room.waiting(), inner.waiting.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_begins_when_a_set_up_ends_and_nothing_is_left_in_the_end() {
    let gate = gate(1, 5);
    let first = enter(&gate, 1).await.expect("at once");
    let second = waiter(&gate, 2);
    until_waiting(&gate, 1).await;
    drop(first);
    let second = second.await.expect("ran").expect("its turn");
    assert_eq!(gate.lock().room.in_progress(), 1);
    drop(second);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_an_end_and_a_full_room_has_none_and_both_say_when_to_come_again() {
    let gate = gate(1, 1);
    let first = enter(&gate, 1).await.expect("at once");
    let second = waiter(&gate, 2);
    until_waiting(&gate, 1).await;
    let began = Instant::now();
    let told = |refused: Option<Refusal>| match refused {
        Some(Refusal::SetupBusy { retry_after }) => (WAIT..WAIT * 3).contains(&retry_after),
        other => panic!("{other:?}"),
    };
    assert!(told(enter(&gate, 3).await.err()));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(told(second.await.expect("ran").err()));
    assert_eq!(began.elapsed(), WAIT);
    drop(first);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_while_waiting_or_in_the_moment_of_its_turn_leaves_the_set_up_to_the_next() {
    let gate = gate(1, 5);
    let first = enter(&gate, 1).await.expect("at once");
    let gone = waiter(&gate, 2);
    until_waiting(&gate, 1).await;
    let called = waiter(&gate, 3);
    until_waiting(&gate, 2).await;
    let last = waiter(&gate, 4);
    until_waiting(&gate, 3).await;
    gone.abort();
    assert!(gone.await.is_err());
    assert_eq!(gate.lock().room.waiting(), 2);
    // The call is on its way, and nobody takes it.
    drop(first);
    called.abort();
    assert!(called.await.is_err());
    drop(last.await.expect("ran").expect("its turn"));
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_its_place_for_another_is_turned_away_at_once() {
    let gate = gate(1, 2);
    let _first = enter(&gate, 1).await.expect("at once");
    let greedy = [waiter(&gate, 1), waiter(&gate, 1)];
    until_waiting(&gate, 2).await;
    let began = Instant::now();
    let other = waiter(&gate, 2);
    let [stays, gives_up] = greedy;
    assert!(matches!(gives_up.await.expect("ran").err(), Some(Refusal::SetupBusy { .. })));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(!stays.is_finished() && !other.is_finished());
}

#[tokio::test(start_paused = true)]
async fn greater_numbers_let_those_that_wait_begin() {
    let gate = gate(1, 5);
    let _first = enter(&gate, 1).await.expect("at once");
    let waiting = [waiter(&gate, 2), waiter(&gate, 3)];
    until_waiting(&gate, 2).await;
    gate.set(Settings { setups: 3, setups_per_client: 3, waiting: 5, wait: WAIT });
    for waiter in waiting {
        assert!(waiter.await.expect("ran").is_ok());
    }
}

/// Comes, waits perhaps, and is set up for a moment.
async fn visit(gate: Arc<Gate>, last: u8) -> bool {
    let urgency = if last.is_multiple_of(3) { Urgency::Control } else { Urgency::Bulk };
    let entered = gate.enter(&client(last), urgency, &Seen::default()).await;
    tokio::task::yield_now().await;
    entered.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_on_several_threads_of_which_some_go_away_leaves_nothing_behind() {
    let gate = gate(3, 1000);
    let mut crowd = tokio::task::JoinSet::new();
    let mut stay = 0;
    for turn in 0..900_u16 {
        let visiting = crowd.spawn(visit(Arc::clone(&gate), (turn % 40) as u8));
        match turn % 5 {
            0 => visiting.abort(),
            _ => stay += 1,
        }
        if turn % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut served = 0;
    while let Some(visited) = crowd.join_next().await {
        served += usize::from(visited.is_ok_and(|entered| entered));
    }
    assert!(served >= stay, "{served} of {stay}");
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_hears_any_more_goes_to_the_next() {
    let gate = gate(1, 5);
    let first = enter(&gate, 1).await.expect("at once");
    let arrival = gate.lock().room.arrive(&client(2), Urgency::Bulk);
    let Arrival::Waits(deaf, None) = arrival else { panic!("{arrival:?}") };
    // Its receiver is gone, and its place not yet given back.
    gate.lock().waiting.insert(deaf, oneshot::channel().0);
    let last = waiter(&gate, 3);
    until_waiting(&gate, 2).await;
    drop(first);
    drop(last.await.expect("ran").expect("its turn"));
    assert_empty(&gate);
}
