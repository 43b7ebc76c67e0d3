//! Time and chance, handed in so that tests make both, and how long to wait after a failure.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// The world's clock and dice.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
    /// Time since some start; never goes back.
    fn elapsed(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, time: Duration);
    /// A number from 0 to below 1.
    fn random(&self) -> f64;
}

/// The longest time that a receiver may ask to be left alone: more would be an outage that nobody sees.
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// Exponential back-off with full jitter: any time from nothing to `first` doubled for each failure, at most `cap`.
pub fn backoff(first: Duration, cap: Duration, failures: u32, random: f64) -> Duration {
    let doubled = first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1).min(31)).unwrap_or(u32::MAX));
    doubled.min(cap).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_and_are_spread_over_all_of_it() {
        let (first, cap) = (Duration::from_secs(1), Duration::from_secs(60));
        let longest: Vec<u64> = (1..9).map(|failures| backoff(first, cap, failures, 1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(first, cap, 4, 0.25), Duration::from_secs(2));
        assert_eq!(backoff(first, cap, u32::MAX, 1.0), cap);
        assert_eq!(backoff(first, cap, 3, 0.0), Duration::ZERO);
    }
}
