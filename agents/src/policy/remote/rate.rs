//! A rate limit: calls are spread evenly, none is refused, each is told when it may go.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Hands out times that lie at least one interval apart.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Rate {
    pub(super) fn new(calls_per_minute: Option<u32>) -> Self {
        let interval = calls_per_minute.map_or(Duration::ZERO, |calls| Duration::from_mins(1) / calls.max(1));
        Self { interval, next: Mutex::new(None) }
    }

    /// How long a call that comes at `now` has to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        if self.interval.is_zero() {
            return Duration::ZERO;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.interval);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spread() {
        let rate = Rate::new(Some(60));
        let now = Instant::now();
        let waits: Vec<u64> = (0..3).map(|_| rate.wait(now).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2]);
        assert_eq!(rate.wait(now + Duration::from_secs(10)), Duration::ZERO);
        assert_eq!(Rate::new(None).wait(now), Duration::ZERO);
    }
}
