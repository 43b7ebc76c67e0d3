//! Whether what is normal moves: sessions against a reference window that training never replaces by itself.
//!
//! A baseline that is learned anew each week follows whoever changes it slowly enough. So the first window that a model was trained on is kept, with plain measures
//! that depend on no baseline, and each later training is compared with it: the two-sample test of Kolmogorov and Smirnov for each measure, of all sessions and of each
//! agent, at a bound that counts the tests (Bonferroni), and only where the distributions lie apart by a share that matters.

use super::act::{Act, Acts};
use super::hash;
use crate::call::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is compared, with its meaning.
pub const MEASURES: &[(&str, &str)] = &[
    ("calls", "calls of a session"),
    ("sent", "bytes of its largest arguments"),
    ("received", "bytes of its largest result"),
    ("tools", "tools that it used"),
    ("destinations", "hosts that it named"),
    ("failed", "share of its calls that failed or were denied"),
    ("acting", "share of its calls that send, pay, delete, change or run"),
    ("new_tools", "share of its calls with tools that the other half of the reference window did not use"),
    ("new_destinations", "share of its hosts that the other half of the reference window did not name"),
];
const WIDTH: usize = 9;
/// Sessions from which on an agent is compared by itself, and agents.
const ENOUGH: usize = 50;
const MAX_AGENTS: usize = 200;
/// Values of one measure that are kept, and things that are known.
const KEPT: usize = 500;
const MAX_KNOWN: usize = 100_000;
/// Chance of a false alarm in one training of which nothing has changed.
const FALSE_ALARM: f64 = 0.01;
/// Distance of two distributions below which nobody needs to know.
const MATTERS: f64 = 0.15;

/// The window that is compared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// First and last call, in microseconds since the epoch.
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub sessions: u64,
    /// Sorted values of each measure, by agent; of all sessions under no name.
    windows: BTreeMap<String, Vec<Vec<f32>>>,
    /// Tools and hosts of the two halves of the window.
    known: [BTreeSet<u64>; 2],
}

/// One measure that moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// `None`: all sessions together.
    pub agent: Option<String>,
    pub measure: &'static str,
    /// Greatest distance between the two distributions, 0..1.
    pub distance: f64,
    /// Medians, as the measure is meant.
    pub was: f64,
    pub is: f64,
    pub sessions: u64,
}

fn half(session: &Acts) -> usize {
    (hash::name(&["half", &session.session_id]) & 1) as usize
}

fn measure(session: &Acts, known: &BTreeSet<u64>) -> [f32; WIDTH] {
    let calls = &session.calls;
    let n = calls.len().max(1) as f32;
    let most =
        |of: fn(&Act) -> Option<f32>| calls.iter().filter_map(of).filter(|value| value.is_finite()).fold(0.0, f32::max);
    let share = |of: &dyn Fn(&Act) -> bool| calls.iter().filter(|act| of(act)).count() as f32 / n;
    let tools: BTreeSet<u64> = calls.iter().map(|act| act.tool).collect();
    let hosts: BTreeSet<u64> = calls.iter().flat_map(|act| act.destinations.iter().map(|(hash, _)| *hash)).collect();
    let failed = |act: &Act| !matches!(act.outcome, Outcome::Success | Outcome::Unknown | Outcome::NoResponse);
    [
        (calls.len() as f32).ln_1p(),
        most(|act| act.sent),
        most(|act| act.received),
        (tools.len() as f32).ln_1p(),
        (hosts.len() as f32).ln_1p(),
        share(&failed),
        share(&|act| act.acts),
        share(&|act| !known.contains(&act.tool)),
        hosts.iter().filter(|host| !known.contains(host)).count() as f32 / hosts.len().max(1) as f32,
    ]
}

/// The distance of Kolmogorov and Smirnov of two sorted samples.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        i += a[i..].partition_point(|known| *known <= value);
        j += b[j..].partition_point(|known| *known <= value);
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

/// Distance that two samples of one distribution exceed with this chance (Smirnov's asymptotic bound).
fn bound(n: usize, m: usize, chance: f64) -> f64 {
    let (n, m) = (n.max(1) as f64, m.max(1) as f64);
    (-(chance / 2.0).ln() / 2.0).sqrt() * ((n + m) / (n * m)).sqrt()
}

fn sorted(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    if values.len() <= KEPT {
        return values;
    }
    (0..KEPT).map(|i| values[(i as f64 / (KEPT - 1) as f64 * last).round() as usize]).collect()
}

/// Values of each measure by agent, and of all sessions under no name.
fn windows<'a>(
    sessions: impl Iterator<Item = (Option<&'a str>, &'a Acts)>,
    known: &[BTreeSet<u64>; 2],
) -> BTreeMap<String, Vec<Vec<f32>>> {
    let mut windows: BTreeMap<String, Vec<Vec<f32>>> = BTreeMap::new();
    for (agent, session) in sessions {
        let values = measure(session, &known[1 - half(session)]);
        for name in [Some(""), agent.filter(|agent| !agent.is_empty())].into_iter().flatten() {
            let window = windows.entry(name.to_owned()).or_insert_with(|| vec![Vec::new(); WIDTH]);
            window.iter_mut().zip(values).for_each(|(window, value)| window.push(value));
        }
    }
    windows.retain(|name, window| name.is_empty() || window[0].len() >= ENOUGH);
    windows
}

impl Reference {
    /// The window of these sessions.
    pub(super) fn new<'a>(
        sessions: impl Iterator<Item = (Option<&'a str>, &'a Acts)> + Clone,
        times: Option<(i64, i64)>,
    ) -> Self {
        let mut known = [BTreeSet::new(), BTreeSet::new()];
        let mut count = 0;
        for (_, session) in sessions.clone() {
            count += 1;
            let own = &mut known[half(session)];
            for act in &session.calls {
                if own.len() < MAX_KNOWN {
                    own.insert(act.tool);
                    own.extend(act.destinations.iter().map(|(hash, _)| *hash));
                }
            }
        }
        let mut windows = windows(sessions, &known);
        while windows.len() > MAX_AGENTS {
            let Some(least) = windows.iter().min_by_key(|(_, window)| window[0].len()).map(|(name, _)| name.clone())
            else {
                break;
            };
            windows.remove(&least);
        }
        windows.values_mut().flatten().for_each(|values| *values = sorted(std::mem::take(values)));
        Self { since: times.map(|times| times.0), until: times.map(|times| times.1), sessions: count, windows, known }
    }

    /// What moved since, the farthest first.
    pub(super) fn drift<'a>(&self, sessions: impl Iterator<Item = (Option<&'a str>, &'a Acts)>) -> Vec<Drift> {
        let now = windows(sessions, &self.known);
        let compared: Vec<_> =
            now.iter().filter_map(|(name, now)| Some((name, self.windows.get(name)?, now))).collect();
        let chance = FALSE_ALARM / (compared.len().max(1) * WIDTH) as f64;
        let mut found = Vec::new();
        for (name, was, now) in compared {
            for (at, (measure, _)) in MEASURES.iter().enumerate() {
                let (Some(was), is) = (was.get(at), sorted(now[at].clone())) else { continue };
                let distance = distance(was, &is);
                if distance <= bound(was.len(), is.len(), chance).max(MATTERS) {
                    continue;
                }
                let median = |values: &[f32]| {
                    let middle = f64::from(values.get(values.len() / 2).copied().unwrap_or_default());
                    if at < 5 { middle.exp_m1().round() } else { (middle * 1e3).round() / 1e3 }
                };
                found.push(Drift {
                    agent: Some(name.clone()).filter(|name| !name.is_empty()),
                    measure,
                    distance: (distance * 1e3).round() / 1e3,
                    was: median(was),
                    is: median(&is),
                    sessions: now[at].len() as u64,
                });
            }
        }
        found.sort_by(|a, b| {
            b.distance.total_cmp(&a.distance).then(a.agent.cmp(&b.agent)).then(a.measure.cmp(b.measure))
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::baseline::Baseline;
    use crate::model::forest::Draw;

    #[test]
    fn distances_and_bounds_are_those_of_the_tables() {
        assert_eq!(distance(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), 0.0);
        assert_eq!(distance(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert!((distance(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]) - 0.5).abs() < 1e-12);
        assert_eq!(distance(&[], &[1.0]), 0.0);
        // c(0.05) = 1.358, c(0.01) = 1.628.
        assert!((bound(100, 100, 0.05) - 1.358 * (0.02_f64).sqrt()).abs() < 1e-3);
        assert!((bound(100, 100, 0.01) - 1.628 * (0.02_f64).sqrt()).abs() < 1e-3);
    }

    fn week(number: usize, sent: f32, draw: &mut Draw) -> Vec<Acts> {
        let call =
            |tool: u64, sent: f32| Act { tool, shape: 1, sent: Some(sent), received: Some(6.0), ..Act::default() };
        (0..200)
            .map(|n| {
                let noise = |draw: &mut Draw| (draw.unit() + draw.unit() - 1.0) as f32 * 0.5;
                let calls = (0..3 + draw.below(3)).map(|at| call(at as u64, sent + noise(draw))).collect();
                Acts { session_id: format!("{number}-{n}"), agent: 1, calls, ..Acts::default() }
            })
            .collect()
    }

    fn named(sessions: &[Acts]) -> impl Iterator<Item = (Option<&str>, &Acts)> + Clone {
        sessions.iter().map(|session| (Some("clerk"), session))
    }

    /// Somebody makes arguments a little larger each week, so that each week's baseline finds the next week normal. The reference does not follow.
    #[test]
    fn slow_poisoning_follows_the_baseline_and_not_the_reference() {
        let mut draw = Draw::new(9);
        let mut before = week(0, 5.0, &mut draw);
        let reference = Reference::new(named(&before), None);
        assert!(reference.drift(named(&week(100, 5.0, &mut draw))).is_empty(), "an honest week");
        let mut first_alarm = None;
        for number in 1..=20 {
            let now = week(number, 5.0 + 0.15 * number as f32, &mut draw);
            let (baseline, _) = Baseline::fit(&before.iter().collect::<Vec<_>>(), 1, &BTreeSet::new()).expect("enough");
            let strange = now.iter().filter(|session| baseline.judge(session).level > 0.67).count();
            assert!(strange < 40, "week {number}: {strange} of 200 are strange for the week before");
            let drift = reference.drift(named(&now));
            if first_alarm.is_none() && !drift.is_empty() {
                assert!(drift.iter().all(|drift| drift.measure == "sent"), "{drift:?}");
                assert!(drift.iter().any(|drift| drift.agent.as_deref() == Some("clerk") && drift.is > drift.was));
                first_alarm = Some(number);
            }
            assert!(first_alarm.is_none() || !drift.is_empty(), "once it is far it stays so");
            before = now;
        }
        assert!(
            first_alarm.is_some_and(|week| week <= 4),
            "{first_alarm:?}: arguments were {:.1} times as large",
            (0.15_f32 * 4.0).exp()
        );
    }

    #[test]
    fn a_few_poisoned_sessions_do_not_move_the_median() {
        let mut draw = Draw::new(4);
        let mut sessions = week(0, 5.0, &mut draw);
        for session in sessions.iter_mut().take(40) {
            session.calls.iter_mut().for_each(|call| call.sent = Some(12.0));
        }
        let (baseline, _) = Baseline::fit(&sessions.iter().collect::<Vec<_>>(), 1, &BTreeSet::new()).expect("enough");
        let mut one = week(1, 5.0, &mut draw).swap_remove(0);
        let honest = baseline.judge(&one).level;
        one.calls[1].sent = Some(14.0);
        assert!(baseline.judge(&one).level > honest, "a fifth of the sessions is not what is usual");
        let empty = Reference::default();
        assert!(
            empty.drift(named(&sessions)).is_empty() && Reference::new(named(&[]), None).drift(named(&[])).is_empty()
        );
    }
}
