//! A rate that is kept: so many messages in a time.

use super::Rate;
use std::time::Duration;

/// What was not used is saved up to one time's worth.
pub(super) struct Limiter {
    rate: Rate,
    saved: f64,
    at: Duration,
}

impl Limiter {
    pub(super) fn new(rate: Rate, now: Duration) -> Self {
        Self { rate, saved: f64::from(rate.count), at: now }
    }

    /// Takes so many messages out; says how long they have to wait.
    pub(super) fn take(&mut self, messages: usize, now: Duration) -> Duration {
        let per_second = f64::from(self.rate.count) / self.rate.per.as_secs_f64();
        let gained = now.saturating_sub(self.at).as_secs_f64() * per_second;
        self.saved = (self.saved + gained).min(f64::from(self.rate.count)) - messages as f64;
        self.at = now;
        if self.saved >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.saved / per_second) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_time_and_a_burst_is_one_times_worth() {
        let mut limiter = Limiter::new(Rate { count: 10, per: Duration::from_secs(1) }, Duration::ZERO);
        assert_eq!(limiter.take(10, Duration::ZERO), Duration::ZERO);
        assert_eq!(limiter.take(5, Duration::ZERO), Duration::from_millis(500));
        assert_eq!(limiter.take(10, Duration::from_millis(500)), Duration::from_secs(1));
        // Nothing is saved beyond one second's worth.
        assert_eq!(limiter.take(20, Duration::from_secs(100)), Duration::from_secs(1));
    }
}
