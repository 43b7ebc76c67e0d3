//! Bringing the table `flows` up to date: what is new in the lake since the last time, session by session.
//!
//! A session whose calls or prompts have changed is looked at anew, and its rows replaced, so the rows are always those of one look at
//! everything. Sessions are taken in rounds of bounded size; each round is one change of the lake, and between two of them others have
//! their turn. Killed in between, the next step goes on.

use super::known::{Known, Versions};
use super::plan::{Plan, calls_files};
use super::round::{FlowWriter, Work, remove};
use crate::lake::{Lake, LakeError, Patience, Transaction};
use std::collections::HashSet;

/// Times that a step starts over because others went on writing; what is left is for the next step.
const ATTEMPTS: usize = 3;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// Sessions that were looked at, and their calls.
    pub sessions: u64,
    pub calls: u64,
    /// Rows that were written.
    pub flows: u64,
}

/// Whether `flows` holds what the lake's calls have.
///
/// # Errors
/// A table cannot be read.
pub async fn is_up_to_date(lake: &Lake) -> Result<bool, LakeError> {
    let versions = Versions::of(lake).await?;
    let seen = Known::read(lake).await?.seen;
    // An empty lake has nothing to look at.
    Ok(seen == Some(versions) || versions == Versions { calls: 0, prompts: 0 })
}

/// Brings `flows` up to date.
///
/// # Errors
/// Others had the lake for too long, or it refuses. What was done until then is kept.
pub async fn update(lake: &Lake, patience: &Patience<'_>, now_ms: i64) -> Result<Updated, LakeError> {
    let mut done = Updated::default();
    for _ in 0..ATTEMPTS {
        if is_up_to_date(lake).await? {
            break;
        }
        attempt(lake, patience, now_ms, &mut done).await?;
    }
    Ok(done)
}

async fn attempt(lake: &Lake, patience: &Patience<'_>, now_ms: i64, done: &mut Updated) -> Result<(), LakeError> {
    let mut lock = lake.lock(patience).await?;
    let mut known = Known::read(lake).await?;
    let plan = Plan::new(lake, &known).await?;
    done.calls += plan.calls;
    let mut gone = plan.gone.clone();
    // Without a round there is still to note that nothing changed.
    for at in 0..plan.rounds.len().max(1) {
        if at > 0 {
            lock.release()?;
            lock = lake.lock(patience).await?;
            known = Known::read(lake).await?;
        }
        let versions = Versions::of(lake).await?;
        let is_as_planned = versions.calls == plan.versions.calls;
        let mut transaction = Transaction::default();
        let mut states: Vec<_> = std::mem::take(&mut gone).into_iter().map(|session| (session, None)).collect();
        if let Some(round) = plan.rounds.get(at) {
            let all = if is_as_planned { Vec::new() } else { calls_files(lake).await? };
            let files = if is_as_planned { &plan.files[round.files.clone()] } else { &all[..] };
            let mut writer = FlowWriter::new(lake);
            let found = Work::new(lake, round, files).await?.run(round, &mut writer).await?;
            writer.finish(&mut transaction, now_ms)?;
            done.sessions += found.len() as u64;
            done.flows += found.iter().filter_map(|(_, state)| Some(state.as_ref()?.flows)).sum::<u64>();
            states.extend(found);
        }
        let has_rows = |session: &u64| known.sessions.get(session).is_some_and(|state| state.flows > 0);
        let replaced: HashSet<u64, ahash::RandomState> =
            states.iter().map(|(session, _)| *session).filter(|session| has_rows(session)).collect();
        remove(lake, &replaced, &mut transaction, now_ms).await?;
        let is_last = at + 1 >= plan.rounds.len();
        let seen = Some(versions).filter(|versions| is_last && *versions == plan.versions);
        known.note(lake, &mut transaction, &states, seen, now_ms)?;
        transaction.commit(lake).await?;
    }
    lock.release()
}
