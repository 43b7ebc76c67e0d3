//! What is normal for each agent, and how far a session is from it: the part of the model that needs no order in sight.
//!
//! A session's numbers ([`profile`](super::profile)) are compared with those of the sessions that were learned from. So that these do not know themselves, the history
//! is built four times over, each time without a quarter of the sessions, which is then measured by it (cross-conformal prediction; Vovk, Annals of Mathematics and
//! Artificial Intelligence 74, 2015). Two views of the numbers are ranked: how far out in the tails they lie one by one (ECOD; Li, Zhao, Hu, Botta, Ionescu and Chen, IEEE
//! TKDE 35, 2023; upper tails, because the numbers are 0 for what is usual), and how soon an isolation forest sets them apart together.

use super::act::Acts;
use super::hash;
use super::history::History;
use super::isolation::IsolationForest;
use super::kinds::{self, FOLDS, KNOWN, NEW};
use super::profile::{BEHAVIOUR, OF_CALL, Profile, WIDTH, profile};
use super::score::Reason;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Sessions below which there is no baseline.
pub const ENOUGH: usize = 40;
/// Values kept of one number's distribution, and of the distances.
const KEPT: usize = 2_000;
/// Normal sessions that are kept to be named as the nearest ones, and tools of each.
const LANDMARKS: usize = 300;
const MAX_TOOLS: usize = 24;
/// Sessions that are named.
const NEAREST: usize = 3;
/// Powers of ten that count as wholly strange: one in a thousand.
const DECADES: f64 = 3.0;

/// A session that is normal, to be compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Landmark {
    session_id: String,
    tools: Vec<(u64, u32)>,
}

/// What is normal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    history: History,
    /// Sorted values of each number, of sessions that the history did not know.
    tails: Vec<Vec<f32>>,
    forest: IsolationForest,
    /// Sorted distances of the same sessions, by tails and by the forest.
    by_tails: Vec<f32>,
    by_forest: Vec<f32>,
    landmarks: Vec<Landmark>,
}

/// How strange a session is.
#[derive(Clone, Debug, Default)]
pub struct Strangeness {
    /// 0..1: 1 is what one normal session in a thousand is, or rarer.
    pub level: f64,
    /// The two views, 0..1 in the same way.
    pub by_tails: f64,
    pub by_forest: f64,
    /// The numbers behind it, what each adds to the level, the greatest first.
    pub reasons: Vec<Reason>,
    /// Share of each call in it.
    pub(super) calls: Vec<f64>,
    profile: Profile,
}

/// Surprise that a value is so great, -ln of the share of normal sessions that have as much: 0 of what all have.
fn tail(sorted: &[f32], value: f32) -> f64 {
    let below = sorted.partition_point(|known| *known < value);
    let (n, above) = (sorted.len() as f64, (sorted.len() - below) as f64);
    if below == 0 { 0.0 } else { -((above + 1.0) / (n + 1.0)).ln() }
}

fn tails_of(tails: &[Vec<f32>], session: &[f32; WIDTH]) -> [f32; WIDTH] {
    let mut out = [0.0; WIDTH];
    for ((out, sorted), value) in out.iter_mut().zip(tails).zip(session) {
        *out = tail(sorted, *value) as f32;
    }
    out
}

/// Sorted, and of many evenly spread ranks.
fn kept(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    if values.len() <= KEPT {
        return values;
    }
    let last = (values.len() - 1) as f64;
    (0..KEPT).map(|i| values[(i as f64 / (KEPT - 1) as f64 * last).round() as usize]).collect()
}

impl Baseline {
    /// Learns what is normal, and how strange each of these sessions is for the others; `None` of too few sessions.
    pub(super) fn fit(sessions: &[&Acts], seed: u64, without: &BTreeSet<String>) -> Option<(Self, Vec<[f64; 2]>)> {
        if sessions.len() < ENOUGH {
            return None;
        }
        let folds = kinds::folds(sessions);
        let history_without = |way: usize, left_out: u64| {
            let of_others = sessions.iter().zip(&folds).filter(|(_, parts)| parts[way] != left_out);
            History::fit(of_others.map(|(session, _)| *session))
        };
        // As of a kind of work that is known, and as of a new one.
        let [measured, measured_as_new] = [KNOWN, NEW].map(|way| -> Vec<[f32; WIDTH]> {
            let histories: Vec<History> =
                (0..FOLDS).into_par_iter().map(|left_out| history_without(way, left_out)).collect();
            let measure =
                |(session, parts): (&&Acts, &[u64; 2])| profile(&histories[parts[way] as usize], session).session;
            sessions.par_iter().zip(&folds).map(measure).collect()
        });
        // Nothing is far out of a distribution without values.
        let of = |at: usize| {
            measured.iter().filter(|_| !without.contains(BEHAVIOUR[at].0)).map(|values| values[at]).collect()
        };
        let tails: Vec<Vec<f32>> = (0..WIDTH).map(|at| kept(of(at))).collect();
        let far: Vec<[f32; WIDTH]> = measured.par_iter().map(|values| tails_of(&tails, values)).collect();
        let forest = IsolationForest::fit(far.as_flattened(), WIDTH, seed)?;
        let by_forest = kept(forest.scores(far.as_flattened()).into_iter().map(|score| score as f32).collect());
        let by_tails = kept(far.iter().map(|values| values.iter().sum()).collect());
        // Of all of them, which is what is kept.
        let history = history_without(KNOWN, FOLDS);
        let baseline = Self { history, tails, forest, by_tails, by_forest, landmarks: landmarks(sessions) };
        let level = |far: &[f32; WIDTH]| combined(baseline.levels(far));
        let levels = far
            .par_iter()
            .zip(&measured_as_new)
            .map(|(far, new)| [level(far), level(&tails_of(&baseline.tails, new))])
            .collect();
        Some((baseline, levels))
    }

    /// Whether its parts fit each other.
    pub fn is_sound(&self) -> bool {
        self.tails.len() == WIDTH && self.forest.is_sound()
    }

    /// How strange the two views find a session.
    fn levels(&self, far: &[f32; WIDTH]) -> [f64; 2] {
        let level =
            |sorted: &[f32], value: f32| (tail(sorted, value) / std::f64::consts::LN_10 / DECADES).clamp(0.0, 1.0);
        [level(&self.by_tails, far.iter().sum()), level(&self.by_forest, self.forest.score(far) as f32)]
    }

    /// How strange a session is.
    pub(super) fn judge(&self, session: &Acts) -> Strangeness {
        let profile = profile(&self.history, session);
        let far = tails_of(&self.tails, &profile.session);
        let sum: f32 = far.iter().sum();
        let [by_tails, by_forest] = self.levels(&far);
        let strange = combined([by_tails, by_forest]);
        let mut reasons = Vec::new();
        let mut calls = vec![0.0; session.calls.len()];
        for (feature, part) in far.iter().enumerate().filter(|(_, part)| **part > 0.0) {
            let share = f64::from(*part / sum);
            for (call, of_call) in calls.iter_mut().zip(profile.shares(feature)) {
                *call += share * of_call;
            }
            let name = BEHAVIOUR[feature].0.to_owned();
            let usual = self.tails[feature].get(self.tails[feature].len() / 2).copied().map(f64::from);
            let contribution = share * strange;
            reasons.push(Reason { feature: name, value: f64::from(profile.session[feature]), usual, contribution });
        }
        reasons.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        Strangeness { level: strange, by_tails, by_forest, reasons, calls, profile }
    }

    /// Normal sessions that used tools most like this one, with the cosine of the numbers of their calls.
    pub(super) fn nearest(&self, session: &Acts) -> Vec<(String, f64)> {
        let own = tools(session);
        let mut found: Vec<(String, f64)> = self
            .landmarks
            .iter()
            .filter(|landmark| landmark.session_id != session.session_id)
            .map(|landmark| (landmark.session_id.clone(), (cosine(&own, &landmark.tools) * 1e3).round() / 1e3))
            .filter(|(_, cosine)| *cosine > 0.0)
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(NEAREST);
        found
    }

    /// What makes a call strange, in words; the greatest first.
    pub(super) fn explain(&self, session: &Acts, strange: &Strangeness, at: usize, tool: &str) -> String {
        let (Some(act), Some(values)) = (session.calls.get(at), strange.profile.calls.get(at)) else {
            return String::new();
        };
        let far: Vec<f64> = (0..OF_CALL).map(|feature| tail(&self.tails[feature], values[feature])).collect();
        let mut order: Vec<usize> =
            (1..OF_CALL).filter(|feature| far[*feature] > 0.5 && values[*feature] > 0.0).collect();
        order.sort_by(|a, b| far[*b].total_cmp(&far[*a]));
        let everybody = self.history.sessions;
        let who = if self.history.knows_agent(session.agent) { "this agent" } else { "its client or server" };
        let mut parts: Vec<String> = Vec::new();
        let mut told = [false; 4];
        for feature in order {
            let topic = match feature {
                1 => 3,
                2 | 3 => 0,
                4 | 5 => 1,
                _ => 2,
            };
            if topic != 2 && std::mem::replace(&mut told[topic], true) {
                continue;
            }
            let nobody = |everywhere: usize| {
                if values[everywhere] > 0.0 {
                    format!("never seen for {who} or any other ({everybody} sessions)")
                } else {
                    format!("never seen for {who}, though for others")
                }
            };
            let size = |ln: Option<f32>| bytes(f64::from(ln.unwrap_or_default()).exp_m1());
            let usual = |measure| self.history.excess(session, act, measure).map_or(0.0, |(_, median)| median).exp_m1();
            parts.push(match feature {
                1 => format!("{tool} is not what follows the calls before it ({:.0} bits of surprise)", values[1]),
                2 | 3 => format!("the tool {tool} was {}", nobody(3)),
                4 | 5 => {
                    let new = act.destinations.iter().max_by(|a, b| {
                        let of = |hash: u64| self.history.destination_newness(session, act, hash);
                        let (a, b) = (of(a.0), of(b.0));
                        (a.0 + a.1).total_cmp(&(b.0 + b.1))
                    });
                    let host = new.map_or("a host", |(_, host)| host.as_str());
                    let verb = match act.sent.filter(|_| act.acts) {
                        Some(sent) => format!("{tool} sent {} to", size(Some(sent))),
                        None => format!("{tool} names"),
                    };
                    format!("{verb} {host}, {}", nobody(5))
                }
                6 => format!("{tool} was never called with these arguments"),
                7 => format!(
                    "{} of arguments, where {} are usual",
                    size(act.sent),
                    bytes(usual(super::history::Measure::Sent))
                ),
                8 => format!(
                    "{} of result, where {} are usual",
                    size(act.received),
                    bytes(usual(super::history::Measure::Received))
                ),
                9 => format!("{tool} ended with {}, which it seldom does", act.outcome.as_str()),
                10 => "the call was denied".to_owned(),
                11 => "the same call was made just before".to_owned(),
                _ => "the log has other parts of its payloads than usual".to_owned(),
            });
            if parts.len() == 3 {
                break;
            }
        }
        if parts.is_empty() {
            format!("{tool} is part of a session that is unusual as a whole")
        } else {
            parts.join("; ")
        }
    }

    /// What was learned, for who looks at the model: sessions, contexts, scopes, measures, kept sessions.
    pub fn sizes(&self) -> [usize; 5] {
        let [contexts, scopes, measures] = self.history.sizes();
        [self.history.sessions as usize, contexts, scopes, measures, self.landmarks.len()]
    }
}

/// The two views as one; eval/model.py measures each of them and their mean.
fn combined([by_tails, by_forest]: [f64; 2]) -> f64 {
    f64::midpoint(by_tails, by_forest)
}

fn bytes(n: f64) -> String {
    match n {
        n if n < 1000.0 => format!("{n:.0} B"),
        n if n < 1e6 => format!("{:.1} kB", n / 1e3),
        n => format!("{:.1} MB", n / 1e6),
    }
}

fn tools(session: &Acts) -> Vec<(u64, u32)> {
    let mut counts: std::collections::BTreeMap<u64, u32> = std::collections::BTreeMap::new();
    for act in &session.calls {
        *counts.entry(act.tool).or_default() += 1;
    }
    counts.into_iter().take(MAX_TOOLS).collect()
}

fn cosine(a: &[(u64, u32)], b: &[(u64, u32)]) -> f64 {
    let length = |v: &[(u64, u32)]| v.iter().map(|(_, n)| f64::from(*n).powi(2)).sum::<f64>().sqrt();
    let of = |tool: u64| b.iter().find(|(known, _)| *known == tool).map_or(0.0, |(_, n)| f64::from(*n));
    let dot: f64 = a.iter().map(|(tool, n)| f64::from(*n) * of(*tool)).sum();
    let lengths = length(a) * length(b);
    if lengths > 0.0 { dot / lengths } else { 0.0 }
}

/// Sessions spread evenly by the hash of their id.
fn landmarks(sessions: &[&Acts]) -> Vec<Landmark> {
    let mut order: Vec<(u64, &Acts)> =
        sessions.iter().map(|session| (hash::name(&["landmark", &session.session_id]), *session)).collect();
    order.sort_unstable_by_key(|(hash, _)| *hash);
    let mut chosen: Vec<Landmark> = order
        .into_iter()
        .take(LANDMARKS)
        .map(|(_, session)| Landmark { session_id: session.session_id.clone(), tools: tools(session) })
        .collect();
    chosen.sort_by(|a, b| a.session_id.cmp(&b.session_id));
    chosen
}

#[cfg(test)]
mod tests;
