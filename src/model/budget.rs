//! How many alerts there may be: from p-values to sessions that are told, under what the user can afford.

use super::calibration::benjamini_hochberg;
use std::collections::BTreeMap;

/// What the user can afford. All limits that are set hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// False alarms a day, on average.
    pub per_day: Option<f64>,
    /// Share of false alarms among the sessions of one day that are told.
    pub false_discovery_rate: Option<f64>,
    /// Share of normal sessions that may be told, whatever the others allow.
    pub rate: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_day: Some(1.0), false_discovery_rate: None, rate: 0.01 }
    }
}

const DAY: i64 = 86_400_000_000;

impl Budget {
    /// The greatest p-value that is told, where there are so many sessions a day.
    pub fn limit(&self, sessions_per_day: f64) -> f64 {
        let of_day = self.per_day.map(|alarms| alarms / sessions_per_day.max(1.0));
        of_day.unwrap_or(1.0).min(self.rate).clamp(0.0, 1.0)
    }

    /// Which sessions are told, given time (microseconds) and p-value of each. A day's false discoveries are those of the sessions that began on it (UTC).
    pub fn told(&self, sessions: &[(Option<i64>, f64)], sessions_per_day: f64) -> Vec<bool> {
        let limit = self.limit(sessions_per_day);
        let day = |time: Option<i64>| time.map(|time| time.div_euclid(DAY));
        let mut limits: BTreeMap<Option<i64>, f64> = BTreeMap::new();
        if let Some(rate) = self.false_discovery_rate {
            let mut days: BTreeMap<Option<i64>, Vec<f64>> = BTreeMap::new();
            sessions.iter().for_each(|(time, p)| days.entry(day(*time)).or_default().push(*p));
            limits = days.into_iter().map(|(day, p)| (day, benjamini_hochberg(&p, rate).unwrap_or(-1.0))).collect();
        }
        sessions
            .iter()
            .map(|(time, p)| *p <= limit && limits.get(&day(*time)).is_none_or(|of_day| p <= of_day))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_of_a_day_are_a_share_of_its_sessions() {
        let budget = Budget { per_day: Some(2.0), false_discovery_rate: None, rate: 0.01 };
        assert_eq!((budget.limit(1000.0), budget.limit(50.0), budget.limit(0.0)), (0.002, 0.01, 0.01));
        assert_eq!(Budget { per_day: None, ..budget }.limit(1e9), 0.01);
        // A thousand sessions a day of a normal year: two a day are told.
        let mut state = 3_u64;
        let sessions: Vec<(Option<i64>, f64)> = (0..100_000)
            .map(|n| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (Some(n / 1000 * DAY), (state >> 11) as f64 / (1_u64 << 53) as f64)
            })
            .collect();
        let told = budget.told(&sessions, 1000.0).iter().filter(|told| **told).count();
        assert!((150..250).contains(&told), "{told} in a hundred days");
    }

    #[test]
    fn false_discoveries_are_counted_by_day() {
        let budget = Budget { per_day: None, false_discovery_rate: Some(0.1), rate: 0.5 };
        // One of a hundred on the first day is not enough at 0.005; on the second one of ten is.
        let day = |day: i64, n: i64| (0..n).map(move |at| (Some(day * DAY + at), if at == 0 { 0.005 } else { 0.6 }));
        let sessions: Vec<_> = day(0, 100).chain(day(1, 10)).collect();
        let told = budget.told(&sessions, 1.0);
        assert_eq!(told.iter().enumerate().filter(|(_, told)| **told).map(|(at, _)| at).collect::<Vec<_>>(), [100]);
        assert!(budget.told(&[], 1.0).is_empty());
    }
}
