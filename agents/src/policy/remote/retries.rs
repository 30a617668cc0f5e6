//! How often a call is tried, and how long it waits in between.

use std::time::{Duration, Instant};

use super::config::RemoteConfig;
use super::error::RemoteError;
use super::rate::Rate;

/// The longest wait between two attempts.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// The attempts of one call, which share its deadline.
#[derive(Debug)]
pub(super) struct Retries<'a> {
    config: &'a RemoteConfig,
    rate: &'a Rate,
    deadline: Instant,
    attempts: u32,
}

impl<'a> Retries<'a> {
    /// The clock runs from here.
    pub(super) fn new(config: &'a RemoteConfig, rate: &'a Rate) -> Self {
        Self { config, rate, deadline: Instant::now() + config.deadline, attempts: 0 }
    }

    /// Waits for its turn, then runs one attempt for as long as the deadline leaves.
    pub(super) async fn attempt<T>(
        &mut self,
        attempt: impl Future<Output = Result<T, RemoteError>>,
    ) -> Result<T, RemoteError> {
        let wait = self.rate.wait(Instant::now());
        if Instant::now() + wait >= self.deadline {
            return Err(self.over());
        }
        tokio::time::sleep(wait).await;
        self.attempts += 1;
        let outcome = tokio::time::timeout_at(self.deadline.into(), attempt).await;
        outcome.unwrap_or_else(|_| Err(self.over()))
    }

    /// Waits before another attempt after `error`, which comes back where there is to be none: it will not pass, or attempts or
    /// time are spent.
    pub(super) async fn after(&self, error: RemoteError) -> Result<(), RemoteError> {
        if !error.is_transient() || self.attempts > self.config.retries {
            return Err(error);
        }
        let doubled = self.config.back_off.saturating_mul(1 << (self.attempts.max(1) - 1).min(16));
        let pause = error.retry_after().unwrap_or(doubled.min(LONGEST_BACK_OFF));
        tracing::debug!(%error, attempts = self.attempts, ?pause, "trying the server again");
        if Instant::now() + pause >= self.deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn over(&self) -> RemoteError {
        RemoteError::Deadline { limit: self.config.deadline, attempts: self.attempts }
    }
}
