//! Sessions of the lake, scored: the calls to blame, and why.

use super::baseline::{Baseline, Strangeness};
use super::forest::Forest;
use super::normal::Normal;
use super::rows::Tools;
use super::score::{Reason, explain, reasons, score};
use super::scored::{BEHAVIOUR_WEIGHT, Parts, Scored, ScoredCall, ScoredSession, rounded, session_score};
use super::sessions::{RawSession, each_session};
use super::watch::watch;
use crate::lineage::directive::Verbs;
use crate::query::{QueryError, Session};
use std::collections::HashSet;

/// Calls with a lower score are not worth a row.
const LEAST: f64 = 0.1;
/// Calls of one session that are kept, the worst.
const MAX_CALLS: usize = 50;
/// Reasons of one call that are told.
const MAX_REASONS: usize = 8;

/// What scores are made with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scorer<'a> {
    pub forest: Option<&'a Forest>,
    pub baseline: Option<&'a Baseline>,
    pub normal: Option<&'a Normal>,
}

/// Scores every session that the query session sees, or those that are named.
///
/// # Errors
/// The lake cannot be read.
pub async fn score_lake(
    session: &Session,
    tools: &mut Tools,
    scorer: Scorer<'_>,
    only: Option<&HashSet<String>>,
) -> Result<Scored, QueryError> {
    let verbs = tools.verbs.clone();
    let mut scored = Scored::default();
    let work = |raw: &RawSession| score_session(raw, &verbs, scorer);
    each_session(session, only, u64::MAX, tools, work, |(one, has_requests, last)| {
        if one.calls > 0 {
            scored.calls += one.calls as u64;
            scored.with_requests += u64::from(has_requests);
            scored.note_times([one.time, last]);
            scored.sessions.push(one);
        }
    })
    .await?;
    scored.sessions.sort_by(|a, b| a.session_id.cmp(&b.session_id));
    Ok(scored)
}

/// The session with its score, whether the log has requests of it, and the time of its last call.
fn score_session(raw: &RawSession, verbs: &Verbs, scorer: Scorer<'_>) -> (ScoredSession, bool, Option<i64>) {
    let watched = watch(raw, verbs);
    let strange = scorer.baseline.map(|baseline| baseline.judge(&watched.acts));
    let orders: Vec<f64> = watched.calls.iter().map(|(_, features)| score(features, scorer.forest)).collect();
    let order = orders.iter().copied().fold(0.0, f64::max);
    let level = strange.as_ref().map_or(0.0, |strange| strange.level);
    let most_to_blame = strange.iter().flat_map(|strange| &strange.calls).copied().fold(0.0, f64::max);
    let of_behaviour = |at: usize| {
        let share = strange.as_ref().and_then(|strange| strange.calls.get(at)).copied().unwrap_or_default();
        if most_to_blame > 0.0 { BEHAVIOUR_WEIGHT * level * share / most_to_blame } else { 0.0 }
    };
    let known = scorer.normal.is_some_and(|normal| normal.knows(watched.acts.kind));
    let values: Vec<f32> = watched.calls.iter().flat_map(|(_, features)| features.values.iter().copied()).collect();
    let folds = scorer.normal.map(|normal| normal.orders(known, &values)).unwrap_or_default();
    let mut one = ScoredSession {
        session_id: raw.id.clone(),
        agent: watched.agent.map(str::to_owned),
        time: watched.calls.iter().find_map(|(row, _)| row.time()),
        calls: watched.calls.len(),
        score: session_score(order, level),
        parts: Parts {
            order,
            behaviour: strange.as_ref().map(|strange| rounded(strange.level)),
            by_tails: strange.as_ref().map(|strange| rounded(strange.by_tails)),
            by_forest: strange.as_ref().map(|strange| rounded(strange.by_forest)),
            known,
            folds,
            nearest: Vec::new(),
        },
        ..ScoredSession::default()
    };
    let mut worst: Vec<(usize, f64)> = orders
        .iter()
        .enumerate()
        .map(|(at, order)| (at, rounded(order.max(of_behaviour(at)))))
        .filter(|(_, score)| *score >= LEAST)
        .collect();
    // Of equal ones the first.
    worst.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    worst.truncate(MAX_CALLS);
    if let Some(baseline) = scorer.baseline.filter(|_| one.score >= LEAST) {
        one.parts.nearest = baseline.nearest(&watched.acts);
    }
    for (at, of_call) in worst {
        let (row, features) = &watched.calls[at];
        let source = features.order.as_ref().and_then(|order| watched.calls.get(order.source)).map(|(row, _)| *row);
        let is_order = orders[at] >= of_behaviour(at);
        let mut call = ScoredCall {
            call_id: row.id().to_owned(),
            number: at + 1,
            tool: row.name.to_string(),
            time: row.time(),
            score: of_call,
            reasons: Vec::new(),
            message: String::new(),
            source_call_id: source.filter(|_| is_order).map(|row| row.id().to_owned()),
        };
        match (&strange, scorer.baseline) {
            (Some(strange), Some(baseline)) if !is_order => {
                call.reasons = behaviour_reasons(strange);
                call.message = baseline.explain(&watched.acts, strange, at, &row.name);
            }
            _ => {
                call.reasons = reasons(features, scorer.forest);
                call.message = explain(&row.name, features, source.map_or("an earlier call", |row| &row.name));
            }
        }
        one.worst.push(call);
    }
    (one, watched.has_requests, watched.calls.iter().rev().find_map(|(row, _)| row.time()))
}

fn behaviour_reasons(strange: &Strangeness) -> Vec<Reason> {
    let scaled = |reason: &Reason| Reason { contribution: BEHAVIOUR_WEIGHT * reason.contribution, ..reason.clone() };
    strange.reasons.iter().take(MAX_REASONS).filter(|reason| reason.contribution > 0.0).map(scaled).collect()
}
