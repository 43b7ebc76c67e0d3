//! What scoring says of a session and of its calls, and how a session's score is made of its parts.

use super::score::Reason;
use serde::{Deserialize, Serialize};

/// What a session scores that is as strange as one in a thousand and carries out no order; eval/model.py measures others.
pub(super) const BEHAVIOUR_WEIGHT: f64 = 0.5;

/// One call with its score.
#[derive(Clone, Debug)]
pub struct ScoredCall {
    pub call_id: String,
    /// Number of the call in its session, from 1.
    pub number: usize,
    pub tool: String,
    pub time: Option<i64>,
    pub score: f64,
    pub reasons: Vec<Reason>,
    pub message: String,
    /// The call whose result holds the order that it carries out.
    pub source_call_id: Option<String>,
}

/// What a session's score was made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parts {
    /// The greatest score of a call as the carrying out of an order.
    pub order: f64,
    /// How strange the session is, 0..1, and the two views of that; none without a baseline.
    pub behaviour: Option<f64>,
    pub by_tails: Option<f64>,
    pub by_forest: Option<f64>,
    /// Whether the model knows other sessions of its kind of work.
    pub known: bool,
    /// The order score by each of the forests that p-values compare by; empty if they go by `order`.
    pub folds: Vec<f64>,
    /// Normal sessions that used tools like this one, with the cosine of the numbers of their calls.
    pub nearest: Vec<(String, f64)>,
}

/// One session with its score, and the calls to blame, the worst first.
#[derive(Clone, Debug, Default)]
pub struct ScoredSession {
    pub session_id: String,
    pub agent: Option<String>,
    /// Its first call, in microseconds since the epoch.
    pub time: Option<i64>,
    pub calls: usize,
    pub score: f64,
    pub parts: Parts,
    pub worst: Vec<ScoredCall>,
    /// Over the rows that it was scored from; 0 if nobody asked.
    pub digest: u64,
}

/// What one pass over the lake gave.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    pub sessions: Vec<ScoredSession>,
    pub calls: u64,
    /// Sessions whose log has requests of the user.
    pub with_requests: u64,
    /// First and last time of the calls, in microseconds.
    pub times: Option<(i64, i64)>,
}

impl Scored {
    pub(super) fn note_times(&mut self, times: impl IntoIterator<Item = Option<i64>>) {
        for time in times.into_iter().flatten() {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
    }
}

/// Few digits: what is written into a file is read back as it was.
pub(super) fn rounded(score: f64) -> f64 {
    (score * 1e6).round() / 1e6
}

/// The score of a session from its two parts.
pub(super) fn session_score(order: f64, behaviour: f64) -> f64 {
    rounded(order.max(BEHAVIOUR_WEIGHT * behaviour))
}
