//! The list with a paused clock.

use std::future::poll_fn;
use std::task::Wake;

use tokio::time::sleep;

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn each_of_many_tunnels_ends_at_its_own_time_and_never_before() {
    let watch = IdleWatch::new();
    let keeping = tokio::spawn({
        let watch = Arc::clone(&watch);
        async move { watch.keep().await }
    });
    let tasks: Vec<_> = (0..3 * AT_ONCE as u64)
        .map(|number| {
            let (limit, moves) = (LIMIT + Duration::from_millis(7 * number), number % 5);
            let mut watched = watch.watch(limit);
            tokio::spawn(async move {
                for _ in 0..moves {
                    sleep(limit - Duration::from_millis(1)).await;
                    watched.progress();
                }
                let quiet = Instant::now();
                poll_fn(|cx| watched.poll_idle(cx)).await;
                (limit, quiet.elapsed())
            })
        })
        .collect();
    for task in tasks {
        let (limit, lasted) = task.await.unwrap();
        assert!((limit..=limit + TICK).contains(&lasted), "{limit:?}: {lasted:?}");
    }
    assert!(watch.lock().is_empty());
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_moves_bytes_when_it_is_woken_as_idle_goes_on_and_is_watched_anew() {
    let watch = IdleWatch::new();
    let mut watched = watch.watch(LIMIT);
    let began = Instant::now();
    // As after the whole process stood still: bytes wait in the sockets, and the list is looked at first.
    let mut waiting = 2;
    let ending = poll_fn(|cx| {
        if waiting > 0 && began.elapsed() >= LIMIT * (3 - waiting) {
            waiting -= 1;
            watched.progress();
        }
        watched.poll_idle(cx)
    });
    tokio::select! {
        () = ending => {}
        never = watch.keep() => match never {},
    }
    let lasted = began.elapsed();
    assert!((LIMIT * 3..=LIMIT * 3 + 3 * TICK).contains(&lasted), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_counts_from_the_last_progress_and_a_higher_one_changes_nothing() {
    let watch = IdleWatch::new();
    for (at, limit, ends) in [(10, 30, 30), (40, 30, 40), (10, 90, 60)] {
        let mut watched = watch.watch(LIMIT);
        let began = Instant::now();
        let ending = async {
            sleep(Duration::from_secs(at)).await;
            watched.at_most(Duration::from_secs(limit));
            poll_fn(|cx| watched.poll_idle(cx)).await;
        };
        tokio::select! {
            () = ending => {}
            never = watch.keep() => match never {},
        }
        let (lasted, ends) = (began.elapsed(), Duration::from_secs(ends));
        assert!((ends..=ends + TICK).contains(&lasted), "{limit} s at {at} s: {lasted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lowered_while_a_tunnel_is_looked_at_holds_all_the_same() {
    let watch = IdleWatch::new();
    let mut watched = watch.watch(LIMIT);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(watched.poll_idle(cx).is_pending());
    tokio::time::advance(LIMIT).await;
    while watch.look(watch.now()) {}
    // Found idle; but one side closed meanwhile, and nothing more comes.
    watched.progress();
    watched.at_most(LIMIT / 2);
    assert!(watched.poll_idle(cx).is_pending());
    tokio::time::advance(LIMIT / 2).await;
    while watch.look(watch.now()) {}
    assert!(watched.poll_idle(cx).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_gone_leaves_no_line_and_none_stands_twice() {
    let watch = IdleWatch::new();
    let first = watch.watch(LIMIT);
    let second = watch.watch(LIMIT);
    assert_eq!(watch.lock().len(), 2);
    second.at_most(LIMIT / 2);
    first.progress();
    while watch.look(watch.now()) {}
    assert_eq!(watch.lock().len(), 2);
    // Looked at, found busy, and put further down.
    tokio::time::advance(LIMIT / 4).await;
    first.progress();
    second.progress();
    tokio::time::advance(LIMIT * 4 / 5).await;
    first.progress();
    while watch.look(watch.now()) {}
    assert_eq!(watch.lock().len(), 1, "the second is over");
    drop(first);
    assert_eq!(watch.lock().len(), 0);
    second.at_most(Duration::ZERO);
    drop(second);
    assert_eq!(watch.lock().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_waker_that_polled_last_is_woken() {
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let watch = IdleWatch::new();
    let mut watched = watch.watch(LIMIT);
    let wakers = [Arc::new(Count(AtomicU64::new(0))), Arc::new(Count(AtomicU64::new(0)))];
    for waker in &wakers {
        let waker = Waker::from(Arc::clone(waker));
        assert!(watched.poll_idle(&mut Context::from_waker(&waker)).is_pending());
    }
    tokio::time::advance(LIMIT).await;
    while watch.look(watch.now()) {}
    assert_eq!(wakers.map(|waker| waker.0.load(Relaxed)), [0, 1]);
    assert!(watched.poll_idle(&mut Context::from_waker(Waker::noop())).is_ready());
}
