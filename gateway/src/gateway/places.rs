//! How many client connections may be open at once; the number may change while they are.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::listen::socket;

/// The places for client connections.
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: Mutex<u32>,
}

impl Places {
    pub(super) fn new(most: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(permits(most))), all: Mutex::new(most) }
    }

    /// Waits for a place, which is given back when dropped.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 {
            socket::say_paused(
                "as many connections are open as `[limits] connections` and the open files limit allow",
            );
        }
        Arc::clone(&self.free).acquire_owned().await.ok()
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
            let free = Arc::clone(&self.free);
            tokio::spawn(async move {
                if let Ok(taken) = free.acquire_many_owned(fewer).await {
                    taken.forget();
                }
            });
        }
        before != after
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
}
