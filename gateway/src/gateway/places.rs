//! How many client connections may be open at once; the number may change while they are.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::listen::socket;

/// The places for client connections.
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: Mutex<u32>,
    /// Told when there are fewer: who waits already has to wait behind that.
    fewer: Arc<Notify>,
}

impl Places {
    pub(super) fn new(most: u32) -> Self {
        let free = Arc::new(Semaphore::new(permits(most)));
        Self { free, all: Mutex::new(most), fewer: Arc::default() }
    }

    /// Waits for a place, which is given back when dropped.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 {
            socket::say_paused(
                "as many connections are open as `[limits] connections` and the open files limit allow",
            );
        }
        loop {
            let fewer = self.fewer.notified();
            tokio::select! {
                biased;
                place = Arc::clone(&self.free).acquire_owned() => return place.ok(),
                () = fewer => {}
            }
        }
    }

    /// Returns a place, if one is free now.
    pub(super) fn take_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Changes their number. Of fewer places those that are taken go as they become free; nobody gets one
    /// in the meantime. Says whether the number is another one.
    pub(super) fn change(&self, most: u32) -> bool {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = (permits(*all), permits(most));
        *all = most;
        if after > before {
            self.free.add_permits(after - before);
        }
        if let Ok(fewer @ 1..) = u32::try_from(before.saturating_sub(after)) {
            tokio::spawn(take_away(Arc::clone(&self.free), fewer, Arc::clone(&self.fewer)));
        }
        before != after
    }
}

async fn take_away(free: Arc<Semaphore>, number: u32, fewer: Arc<Notify>) {
    let mut taking = pin!(free.acquire_many_owned(number));
    // In the queue first; then whoever was there stands behind it.
    let at_once = tokio::select! {
        biased;
        taken = &mut taking => Some(taken),
        () = ready(()) => None,
    };
    fewer.notify_waiters();
    let taken = match at_once {
        Some(taken) => taken,
        None => taking.await,
    };
    if let Ok(taken) = taken {
        taken.forget();
    }
}

fn permits(most: u32) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fewer_places_hold_once_the_taken_ones_are_free_and_more_hold_at_once() {
        let places = Places::new(3);
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(places.take().await.expect("a place"));
        }
        places.change(1);
        tokio::task::yield_now().await;
        taken.truncate(1);
        tokio::task::yield_now().await;
        assert_eq!(places.free.available_permits(), 0, "the one place is taken");
        places.change(2);
        taken.push(places.take().await.expect("a place"));
        drop(taken);
        assert_eq!(places.free.available_permits(), 2);
    }

    #[tokio::test]
    async fn who_waited_for_a_place_already_does_not_get_one_that_is_taken_away() {
        let places = Arc::new(Places::new(2));
        let (first, second) = (places.take().await, places.take().await);
        let waiting = {
            let places = Arc::clone(&places);
            tokio::spawn(async move { places.take().await })
        };
        tokio::task::yield_now().await;
        places.change(1);
        tokio::task::yield_now().await;
        drop(first);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished(), "one place is taken, and there is no other");
        drop(second);
        assert!(waiting.await.expect("no panic").is_some());
    }
}
