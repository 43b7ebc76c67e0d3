//! What agents, clients, servers and the fleet did so far: counts, and robust means of sizes.
//!
//! Each kind of thing that can be new is counted once a session, so that no single session, however long, makes a thing usual. How much it means that a thing is new
//! is the chance of a new one where it appears (Witten and Bell): an agent that opens new hosts in every session says nothing with one more.

use super::act::{Act, Acts};
use super::hash::mix;
use super::sequence::Sequence;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Things counted in one scope, and scopes.
const MAX_THINGS: usize = 20_000;
const MAX_SCOPES: usize = 50_000;
/// Values that the robust mean of one tool is taken from.
const MAX_VALUES: usize = 512;
/// Measures that are kept: a log that makes up tool names must not fill the memory, nor the model's file.
const MAX_MEASURES: usize = 400_000;
/// Least spread of ln bytes, and of ln of a rate: below, every byte more would be an event.
const LEAST_SPREAD: f32 = 0.35;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f32 = 1.4826;

/// What kind of thing is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Tool = 1,
    Destination = 2,
    Shape = 3,
    Outcome = 4,
    States = 5,
}

/// A number that values are compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    Sent = 1,
    Received = 2,
    Rate = 3,
    Length = 4,
}

/// How often each thing was seen in one scope.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    total: u32,
    of: BTreeMap<u64, u32>,
}

/// Median and spread of a measure; few digits, so that a model is read back as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Usual {
    median: f32,
    sigma: f32,
    values: u32,
}

/// Everything that was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) sessions: u32,
    sequence: Sequence,
    symbols: usize,
    counts: BTreeMap<u64, Counts>,
    usual: BTreeMap<u64, Usual>,
}

/// The scopes of a call, the most general first.
fn scopes(session: &Acts, act: &Act) -> [u64; 4] {
    [0, mix(1, act.server), mix(2, session.client), mix(3, session.agent)]
}

fn place(thing: Thing, scope: u64) -> u64 {
    mix(thing as u64, scope)
}

/// Calls a minute, as a logarithm; of a session with one call, or without times, none.
pub(super) fn rate(session: &Acts) -> Option<f32> {
    let times = || session.calls.iter().filter_map(|act| act.time);
    let span = times().max()?.saturating_sub(times().min()?);
    let minutes = span as f64 / 6e7;
    (session.calls.len() > 1 && minutes > 0.0).then(|| ((session.calls.len() - 1) as f64 / minutes).ln() as f32)
}

impl History {
    /// Counts sessions.
    pub(super) fn fit<'a>(sessions: impl Iterator<Item = &'a Acts>) -> Self {
        let mut history = Self::default();
        let mut values: HashMap<u64, Vec<f32>, ahash::RandomState> = HashMap::default();
        let mut symbols: HashSet<u64, ahash::RandomState> = HashSet::default();
        for session in sessions {
            history.sessions += 1;
            let sequence: Vec<u64> = session.calls.iter().map(Act::symbol).collect();
            if symbols.len() < MAX_THINGS {
                symbols.extend(&sequence);
            }
            history.sequence.learn(&sequence, |at| scopes(session, &session.calls[at]));
            let mut seen: HashSet<(u64, u64), ahash::RandomState> = HashSet::default();
            let mut once = |history: &mut Self, thing: Thing, scope: u64, value: u64| {
                let place = place(thing, scope);
                if !seen.insert((place, value))
                    || history.counts.len() >= MAX_SCOPES && !history.counts.contains_key(&place)
                {
                    return;
                }
                let counts = history.counts.entry(place).or_default();
                if counts.of.len() < MAX_THINGS || counts.of.contains_key(&value) {
                    *counts.of.entry(value).or_default() += 1;
                    counts.total += 1;
                }
            };
            let mut value = |measure: Measure, scope: u64, value: f32| {
                // The first values count: later ones of the same length of time would weigh the present more than the past.
                let place = mix(measure as u64, scope);
                if values.len() >= MAX_MEASURES && !values.contains_key(&place) {
                    return;
                }
                let known = values.entry(place).or_default();
                if known.len() < MAX_VALUES * 8 {
                    known.push(value);
                }
            };
            for act in &session.calls {
                let [fleet, server, client, agent] = scopes(session, act);
                for scope in [fleet, client, agent] {
                    once(&mut history, Thing::Tool, scope, act.tool);
                }
                for scope in [fleet, server, client, agent] {
                    act.destinations.iter().for_each(|(hash, _)| once(&mut history, Thing::Destination, scope, *hash));
                }
                for scope in [act.tool, mix(act.tool, agent)] {
                    once(&mut history, Thing::Shape, scope, act.shape);
                    once(&mut history, Thing::Outcome, scope, act.outcome as u64);
                    once(&mut history, Thing::States, scope, states(act));
                    act.sent.iter().for_each(|sent| value(Measure::Sent, scope, *sent));
                    act.received.iter().for_each(|received| value(Measure::Received, scope, *received));
                }
            }
            for scope in [0, mix(3, session.agent)] {
                value(Measure::Length, scope, (session.calls.len() as f32).ln_1p());
                rate(session).iter().for_each(|rate| value(Measure::Rate, scope, *rate));
            }
        }
        history.symbols = symbols.len();
        history.usual = values.into_iter().filter_map(|(place, values)| Some((place, Usual::of(values)?))).collect();
        history
    }

    /// Bits of surprise of a call's tool and shape behind the calls before it.
    pub(super) fn surprise(&self, session: &Acts, before: &[u64], act: &Act) -> f64 {
        if self.sessions == 0 {
            return 0.0;
        }
        -self.sequence.probability(before, act.symbol(), scopes(session, act), self.symbols).log2()
    }

    /// Bits of surprise that a thing is new in a scope; 0 if it is not new, or nothing is known of the scope.
    fn newness(&self, thing: Thing, scope: u64, value: u64) -> Option<f64> {
        let counts = self.counts.get(&place(thing, scope))?;
        if counts.of.contains_key(&value) {
            return Some(0.0);
        }
        let kinds = counts.of.len() as f64;
        Some(-(kinds / (f64::from(counts.total) + kinds)).log2())
    }

    /// How new a tool is for the agent, else its client; and how new for everybody.
    pub(super) fn tool_newness(&self, session: &Acts, act: &Act) -> (f64, f64) {
        let [fleet, _, client, agent] = scopes(session, act);
        self.own_and_all(Thing::Tool, [agent, client], fleet, act.tool)
    }

    /// The same of a destination; the server speaks where agent and client are unknown.
    pub(super) fn destination_newness(&self, session: &Acts, act: &Act, destination: u64) -> (f64, f64) {
        let [fleet, server, client, agent] = scopes(session, act);
        self.own_and_all(Thing::Destination, [agent, client, server], fleet, destination)
    }

    fn own_and_all<const N: usize>(&self, thing: Thing, own: [u64; N], fleet: u64, value: u64) -> (f64, f64) {
        let all = self.newness(thing, fleet, value).unwrap_or_default();
        (own.into_iter().find_map(|scope| self.newness(thing, scope, value)).unwrap_or(all), all)
    }

    /// How new the names of a call's arguments are for its tool.
    pub(super) fn shape_newness(&self, act: &Act) -> f64 {
        if act.shape == 0 { 0.0 } else { self.newness(Thing::Shape, act.tool, act.shape).unwrap_or_default() }
    }

    /// Bits of surprise of how a call ended, and of which payloads the log has of it, for its tool.
    pub(super) fn ending_surprise(&self, act: &Act) -> (f64, f64) {
        let of = |thing: Thing, value: u64| {
            let Some(counts) = self.counts.get(&place(thing, act.tool)) else { return 0.0 };
            let (count, kinds) = (counts.of.get(&value).copied().unwrap_or_default(), counts.of.len() as f64);
            // The unseen ones together are one more kind.
            -((f64::from(count) + kinds / (kinds + 1.0)) / (f64::from(counts.total) + kinds)).log2()
        };
        (of(Thing::Outcome, act.outcome as u64), of(Thing::States, states(act)))
    }

    /// How many standard deviations a call's size lies above what is usual for the agent with this tool, else for the tool. The median is the one compared with.
    pub(super) fn excess(&self, session: &Acts, act: &Act, measure: Measure) -> Option<(f64, f64)> {
        let value = match measure {
            Measure::Sent => act.sent?,
            _ => act.received?,
        };
        let own = mix(act.tool, mix(3, session.agent));
        let usual = [own, act.tool].into_iter().find_map(|scope| self.of(measure, scope))?;
        Some((usual.deviation(value), f64::from(usual.median)))
    }

    /// How many standard deviations a session's number of calls or their rate lies off what is usual for the agent, else for all.
    pub(super) fn session_deviation(&self, session: &Acts, measure: Measure) -> Option<f64> {
        let value = match measure {
            Measure::Length => (session.calls.len() as f32).ln_1p(),
            _ => rate(session)?,
        };
        let usual = [mix(3, session.agent), 0].into_iter().find_map(|scope| self.of(measure, scope))?;
        Some(usual.deviation(value))
    }

    fn of(&self, measure: Measure, scope: u64) -> Option<&Usual> {
        self.usual.get(&mix(measure as u64, scope)).filter(|usual| usual.values >= ENOUGH_VALUES)
    }

    /// Sessions of the agent in which something was done.
    pub(super) fn knows_agent(&self, agent: u64) -> bool {
        self.counts.contains_key(&place(Thing::Tool, mix(3, agent)))
    }

    /// Contexts, scopes and measures that are known, for who looks at the model.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.sequence.size(), self.counts.len(), self.usual.len()]
    }
}

/// Values from which on a median says something.
const ENOUGH_VALUES: u32 = 8;

fn states(act: &Act) -> u64 {
    (act.states.0 as u64) << 8 | act.states.1 as u64
}

impl Usual {
    fn of(mut values: Vec<f32>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        if values.is_empty() {
            return None;
        }
        let median = median(&mut values);
        let mut off: Vec<f32> = values.iter().map(|value| (value - median).abs()).collect();
        let sigma = (self::median(&mut off) * MAD_TO_SIGMA).max(LEAST_SPREAD);
        Some(Self { median, sigma, values: values.len() as u32 })
    }

    fn deviation(self, value: f32) -> f64 {
        if value.is_finite() {
            ((f64::from(value) - f64::from(self.median)) / f64::from(self.sigma)).clamp(-50.0, 50.0)
        } else {
            0.0
        }
    }
}

/// The lower median; of nothing 0.
fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let at = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(agent: u64, tools: &[u64]) -> Acts {
        let call = |tool: &u64| Act { tool: *tool, shape: 1, sent: Some(3.0), ..Act::default() };
        Acts { agent, calls: tools.iter().map(call).collect(), ..Acts::default() }
    }

    #[test]
    fn newness_is_the_chance_of_a_new_thing_and_one_session_counts_once() {
        let mut sessions: Vec<Acts> = (0..30).map(|_| session(1, &[5, 5, 5, 6])).collect();
        sessions.extend((0..10).map(|n| session(2, &[100 + n])));
        let history = History::fit(sessions.iter());
        // Agent 1: two tools in 60 counts; agent 2 had a new tool each time, ten in ten.
        let new = |agent: u64| history.tool_newness(&session(agent, &[]), &Act { tool: 999, ..Act::default() });
        assert!((new(1).0 - -(2.0_f64 / 62.0).log2()).abs() < 1e-12);
        assert!((new(2).0 - 1.0).abs() < 1e-12);
        assert!((new(1).1 - -(12.0_f64 / 82.0).log2()).abs() < 1e-12, "everybody");
        // A stranger is told by its client, and that by all.
        assert!((new(3).0 - new(1).1).abs() < 1e-12 || new(3).0 > 0.0);
        let known = history.tool_newness(&session(1, &[]), &Act { tool: 100, ..Act::default() });
        assert!(known.0 > 4.0 && known.1 == 0.0, "new for the agent only: {known:?}");
        assert!(history.knows_agent(1) && !history.knows_agent(3));
    }

    #[test]
    fn medians_are_robust_and_strange_numbers_have_results() {
        let mut values = vec![2.0; 60];
        values.extend([1e9; 40]);
        let usual = Usual::of(values).expect("values");
        assert_eq!((usual.median, usual.sigma), (2.0, LEAST_SPREAD), "two in five are wild");
        assert_eq!(usual.deviation(f32::INFINITY), 0.0);
        assert_eq!(usual.deviation(1e30), 50.0);
        assert_eq!(Usual::of(vec![f32::NAN]), None);
        assert_eq!(Usual::of(vec![4.0]).map(|usual| usual.median), Some(4.0));
        let empty = History::fit([].iter());
        let one = session(1, &[5]);
        assert_eq!(empty.surprise(&one, &[], &one.calls[0]), 0.0);
        assert_eq!(empty.tool_newness(&one, &one.calls[0]), (0.0, 0.0));
        assert_eq!(empty.ending_surprise(&one.calls[0]), (0.0, 0.0));
        assert_eq!(empty.session_deviation(&one, Measure::Rate), None);
    }
}
