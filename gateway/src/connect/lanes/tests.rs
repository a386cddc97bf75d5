//! Who waits for whom, with a paused clock. A check takes [`CHECK`].

use tokio::task::JoinSet;
use tokio::time::advance;
use tokio::time::sleep;

use super::*;
use crate::policy::guessing::FIRST_FAILURES;

const CHECK: Duration = Duration::from_millis(20);
const WIDTH: usize = 3;

fn address(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

/// Returns lanes to which an address is suspect.
fn suspect(from: IpAddr) -> Arc<Lanes> {
    let lanes = Lanes::new(WIDTH);
    lock(&lanes.networks).wrong(NetworkKey::of(from), Instant::now().into_std());
    lanes
}

/// Has so many requests of one address wait; returns them once they do.
async fn crowd(lanes: &Arc<Lanes>, from: IpAddr, count: usize) -> JoinSet<Result<(), Refusal>> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        let lanes = Arc::clone(lanes);
        all.spawn(async move {
            let turn = lanes.turn(from).await?;
            sleep(CHECK).await;
            turn.wrong();
            Ok(())
        });
    }
    tokio::task::yield_now().await;
    all
}

#[tokio::test(start_paused = true)]
async fn checks_of_a_suspect_network_go_on_one_at_once_with_a_rest_as_long_as_each_took() {
    let lanes = suspect(address(1));
    let began = Instant::now();
    let mut all = crowd(&lanes, address(1), 10).await;
    let mut ends = Vec::new();
    while let Some(done) = all.join_next().await {
        assert_eq!(done.expect("no panic"), Ok(()));
        ends.push(began.elapsed());
    }
    for (before, after) in ends.iter().zip(ends.iter().skip(1)) {
        assert!(*after - *before >= CHECK * 2, "{ends:?}");
    }
    assert!(ends.last() < Some(&(CHECK * 25)), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_suspect_crowd_holds_up_nobody_else() {
    let lanes = suspect(address(1));
    let mut crowd = crowd(&lanes, address(1), LONGEST_SLOW_QUEUE + 2).await;
    let began = Instant::now();
    let turns: Vec<_> =
        [lanes.turn(address(2)).await, lanes.turn(address(2)).await, lanes.turn(address(3)).await]
            .into_iter()
            .collect::<Result<_, _>>()
            .expect("there is room for these");
    assert_eq!((turns.len(), began.elapsed()), (WIDTH, Duration::ZERO));
    // One is being checked; one is more than may wait.
    assert_eq!(
        crowd.join_next().await.map(|done| done.expect("no panic")),
        Some(Err(Refusal::PasswordWorkBusy))
    );
}

#[tokio::test(start_paused = true)]
async fn of_first_guesses_from_many_networks_at_once_few_are_hurried() {
    let lanes = Lanes::new(WIDTH);
    let began = Instant::now();
    let mut all = JoinSet::new();
    for number in 0..100 {
        let lanes = Arc::clone(&lanes);
        all.spawn(async move {
            let turn = lanes.turn(address(number)).await?;
            sleep(CHECK).await;
            let lane = turn.lane;
            turn.wrong();
            Ok::<Lane, Refusal>(lane)
        });
    }
    let lanes: Vec<Lane> =
        all.join_all().await.into_iter().map(|lane| lane.expect("all get a turn")).collect();
    let quick = lanes.iter().filter(|lane| **lane == Lane::Quick).count();
    let most = usize::try_from(FIRST_FAILURES).expect("a small number") + WIDTH;
    assert!((1..=most).contains(&quick), "{quick}");
    assert!(began.elapsed() >= CHECK * 2 * (100 - 20), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_logs_in_anew_has_the_whole_width() {
    let lanes = Lanes::new(WIDTH);
    let began = Instant::now();
    let mut all = JoinSet::new();
    for number in 0..1000 {
        let lanes = Arc::clone(&lanes);
        all.spawn(async move {
            let turn = lanes.turn(address(number)).await?;
            sleep(CHECK).await;
            turn.right();
            Ok::<(), Refusal>(())
        });
    }
    assert!(all.join_all().await.iter().all(Result::is_ok));
    assert!(began.elapsed() < CHECK * 350, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_longest_wait_in_both_lanes_together() {
    let lanes = suspect(address(1));
    let turn = lanes.turn(address(1)).await.expect("the first");
    let held: Vec<_> = all_quick(&lanes).await;
    let began = Instant::now();
    let late = Arc::clone(&lanes);
    let waits = tokio::spawn(async move { late.turn(address(2)).await.map(drop) });
    tokio::task::yield_now().await;
    advance(LONGEST_WAIT / 2).await;
    // It becomes suspect while it waits in the quick lane, and goes on waiting in the slow one.
    lock(&lanes.networks).wrong(NetworkKey::of(address(2)), Instant::now().into_std());
    drop(held);
    assert_eq!(waits.await.expect("no panic"), Err(Refusal::PasswordWorkBusy));
    assert!(began.elapsed() <= LONGEST_WAIT + Duration::from_millis(1), "{:?}", began.elapsed());
    drop(turn);
}

/// Takes all places of the quick lane.
async fn all_quick(lanes: &Arc<Lanes>) -> Vec<Turn> {
    let mut held = Vec::new();
    for number in 0..WIDTH {
        held.push(lanes.turn(address(100 + u32::try_from(number).expect("small"))).await.expect("a place"));
    }
    held
}
