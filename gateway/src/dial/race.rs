//! Staggered attempts: the next begins when the last has had its time, or at once when one fails.
//!
//! The first to succeed wins, and the others are dropped. Nothing is spawned: the race is polled by
//! whoever waits for it, and ends with it.

use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep;

/// Races attempts at the items, in their order. Without a winner the greatest failure is returned,
/// `least` where there are no items.
pub(super) async fn race<T, S, E, Attempt>(
    items: Vec<T>,
    attempt: impl Fn(&T) -> Attempt,
    stagger: Duration,
    least: E,
) -> Result<(S, T), E>
where
    E: Ord + Copy,
    Attempt: Future<Output = Result<S, E>>,
{
    let mut race = Race { waiting: items.into_iter(), running: Vec::new(), attempt, worst: least, stagger };
    let mut delay = pin!(sleep(Duration::ZERO));
    poll_fn(|context| race.poll(delay.as_mut(), context)).await
}

struct Race<T, E, Begin, Attempt> {
    waiting: std::vec::IntoIter<T>,
    /// As many as there are items, at most.
    running: Vec<(T, Pin<Box<Attempt>>)>,
    attempt: Begin,
    worst: E,
    stagger: Duration,
}

impl<T, S, E, Begin, Attempt> Race<T, E, Begin, Attempt>
where
    E: Ord + Copy,
    Begin: Fn(&T) -> Attempt,
    Attempt: Future<Output = Result<S, E>>,
{
    fn poll(&mut self, mut delay: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<Result<(S, T), E>> {
        loop {
            let before = self.running.len();
            if let Some(winner) = self.poll_running(context) {
                return Poll::Ready(Ok(winner));
            }
            let failed = self.running.len() < before;
            if self.waiting.as_slice().is_empty() {
                return match self.running.is_empty() {
                    true => Poll::Ready(Err(self.worst)),
                    false => Poll::Pending,
                };
            }
            if !failed && delay.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if let Some(item) = self.waiting.next() {
                let attempt = Box::pin((self.attempt)(&item));
                self.running.push((item, attempt));
                delay.as_mut().reset(Instant::now() + self.stagger);
            }
        }
    }

    /// Returns the first attempt that has succeeded; takes out those that have failed.
    fn poll_running(&mut self, context: &mut Context<'_>) -> Option<(S, T)> {
        let mut turn = 0;
        while let Some((_, attempt)) = self.running.get_mut(turn) {
            match attempt.as_mut().poll(context) {
                Poll::Ready(Ok(won)) => {
                    let (item, _) = self.running.remove(turn);
                    return Some((won, item));
                }
                Poll::Ready(Err(failure)) => {
                    self.worst = self.worst.max(failure);
                    self.running.remove(turn);
                }
                Poll::Pending => turn += 1,
            }
        }
        None
    }
}
