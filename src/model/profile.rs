//! A session measured against what its agent does: one number for each way to be strange, all of them 0 for what is usual.
//!
//! Bits are surprise: 10 bits is what happens once in a thousand times. No number is about names, payloads or times of day; what the log does not have counts as usual.

use super::act::{Act, Acts};
use super::history::{History, Measure};
use crate::call::Outcome;

/// Name and meaning of each number of a session, in order.
pub const BEHAVIOUR: &[(&str, &str)] = &[
    (
        "sequence_mean",
        "mean bits of surprise of the calls (server, tool and names of arguments), each behind the three before it",
    ),
    ("sequence_most", "the same of the most surprising call"),
    ("tool_new", "bits of surprise that the agent uses a tool for the first time; by how often it does that"),
    ("tool_new_everywhere", "the same for all agents together"),
    (
        "destination_new",
        "bits of surprise that the agent names a host, or the domain of an e-mail address, for the first time",
    ),
    ("destination_new_everywhere", "the same for all agents together"),
    ("arguments_new", "bits of surprise that a tool gets arguments of names that it never got together"),
    (
        "sent_most",
        "standard deviations by which arguments are larger than the agent's with that tool, else all agents'; of ln bytes, robust",
    ),
    ("received_most", "the same of results"),
    ("outcomes", "mean bits of surprise of how the calls of each tool ended"),
    ("denials", "ln(1 + denied calls)"),
    ("repeats", "ln(1 + calls that repeat one of the four before them)"),
    ("payloads_missing", "mean bits of surprise of what the log has of the payloads, for each tool"),
    (
        "faster",
        "standard deviations by which calls a minute are more than the agent's, else all agents'; of logarithms, robust",
    ),
    ("longer", "the same of calls in the session"),
];

/// How many there are.
pub(super) const WIDTH: usize = 15;
/// Numbers of one call: those of the session but the last two, which are about the session as a whole.
pub(super) const OF_CALL: usize = 13;

/// The numbers of one session and of each of its calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) session: [f32; WIDTH],
    pub(super) calls: Vec<[f32; OF_CALL]>,
}

/// Measures a session.
pub(super) fn profile(history: &History, session: &Acts) -> Profile {
    let symbols: Vec<u64> = session.calls.iter().map(Act::symbol).collect();
    let mut calls = Vec::with_capacity(symbols.len());
    for (at, act) in session.calls.iter().enumerate() {
        let before = &symbols[at.saturating_sub(super::sequence::ORDER)..at];
        let surprise = history.surprise(session, before, act);
        let (tool, tool_all) = history.tool_newness(session, act);
        let destinations = act.destinations.iter().map(|(hash, _)| history.destination_newness(session, act, *hash));
        let (destination, destination_all) =
            destinations.fold((0.0, 0.0), |(a, b): (f64, f64), (c, d)| (a.max(c), b.max(d)));
        let excess = |measure| history.excess(session, act, measure).map_or(0.0, |(deviation, _)| deviation.max(0.0));
        let (outcome, states) = history.ending_surprise(act);
        let flag = |is: bool| f64::from(u8::from(is));
        let of_call = [
            surprise,
            surprise,
            tool,
            tool_all,
            destination,
            destination_all,
            history.shape_newness(act),
            excess(Measure::Sent),
            excess(Measure::Received),
            outcome,
            flag(act.outcome == Outcome::Denied),
            flag(act.repeats),
            states,
        ];
        calls.push(of_call.map(|value| value as f32));
    }
    let n = calls.len().max(1) as f32;
    let sum = |feature: usize| calls.iter().map(|call: &[f32; OF_CALL]| call[feature]).sum::<f32>();
    let most = |feature: usize| calls.iter().map(|call| call[feature]).fold(0.0, f32::max);
    let deviation = |measure| history.session_deviation(session, measure).unwrap_or_default().max(0.0) as f32;
    let mut values = [0.0; WIDTH];
    for (feature, value) in values.iter_mut().enumerate() {
        *value = match feature {
            0 | 9 | 12 => sum(feature) / n,
            10 | 11 => sum(feature).ln_1p(),
            13 => deviation(Measure::Rate),
            14 => deviation(Measure::Length),
            _ => most(feature),
        };
    }
    Profile { session: values, calls }
}

impl Profile {
    /// What share each call has in one number of the session: of a sum or mean its part, of a greatest value all of it.
    pub(super) fn shares(&self, feature: usize) -> Vec<f64> {
        let n = self.calls.len();
        if feature >= OF_CALL {
            return vec![1.0 / n.max(1) as f64; n];
        }
        let values = self.calls.iter().map(|call| f64::from(call[feature]));
        if matches!(feature, 0 | 9..=12) {
            let sum: f64 = values.clone().sum();
            return values.map(|value| if sum > 0.0 { value / sum } else { 0.0 }).collect();
        }
        let most = values.clone().fold(0.0, f64::max);
        let first = values.clone().position(|value| value >= most && most > 0.0);
        (0..n).map(|at| if first == Some(at) { 1.0 } else { 0.0 }).collect()
    }
}
