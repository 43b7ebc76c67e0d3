//! The calls behind findings, and what stands in them.

use crate::alert::{CallEvidence, Finding, MAX_CALLS, MAX_TEXT, Observable};
use crate::query::{QueryError, Session, WANTED};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// Calls of one finding that are looked up; an alert shows the first and last few of them.
const MAX_EVIDENCE: usize = 200;

/// Calls and observables by call.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    calls: HashMap<String, CallEvidence>,
    observables: HashMap<String, Vec<Observable>>,
}

impl Evidence {
    /// Looks up what is behind some findings: who and when of all their calls, and the texts of those that alerts show.
    pub(super) async fn of(session: &Session, findings: &[Finding]) -> Result<Self, QueryError> {
        let mut evidence = Self::default();
        let mut wanted = BTreeSet::new();
        let mut times = Span::default();
        for finding in findings {
            times.add(Some(finding.first_seen));
            times.add(Some(finding.last_seen));
            wanted.extend(evidence_of(finding));
        }
        // Evidence may lie outside the times that a rule gives; what is not found where it should be is looked for everywhere.
        for span in [times, Span::unknown()] {
            if wanted.is_empty() {
                break;
            }
            let sql = format!(
                "SELECT c.call_id, CAST(c.time AS BIGINT) AS time, c.session_id, c.agent, c.user_id, c.server, c.tool, \
                 coalesce(c.method, 'unknown') AS method, coalesce(c.outcome, 'unknown') AS outcome, \
                 coalesce(c.approval, 'unknown') AS approval, c.source_file \
                 FROM {WANTED} AS w JOIN calls AS c ON c.call_id = w.call_id{}",
                span.condition()
            );
            for call in session.rows_of::<CallEvidence>(&sql, &wanted).await? {
                wanted.remove(call.call_id.as_str());
                evidence.calls.insert(call.call_id.clone(), call);
            }
        }
        evidence.add_texts(session, findings).await?;
        evidence.add_observables(session).await?;
        Ok(evidence)
    }

    async fn add_texts(&mut self, session: &Session, findings: &[Finding]) -> Result<(), QueryError> {
        let mut shown = BTreeSet::new();
        let mut times = Span::default();
        for finding in findings {
            let calls = evidence_of(finding).filter_map(|id| self.calls.get(id));
            let mut calls: Vec<(Option<i64>, &str)> = calls.map(|call| (call.time, call.call_id.as_str())).collect();
            calls.sort_unstable();
            calls.dedup();
            if calls.len() > MAX_CALLS {
                calls.drain(MAX_CALLS / 2..calls.len() - MAX_CALLS / 2);
            }
            calls.iter().for_each(|(time, _)| times.add(*time));
            shown.extend(calls.into_iter().map(|(_, id)| id.to_owned()));
        }
        let sql = format!(
            "SELECT c.call_id, substr(c.arguments, 1, {MAX_TEXT}) AS arguments, substr(c.result_text, 1, {MAX_TEXT}) AS result_text, c.source_line \
             FROM {WANTED} AS w JOIN calls AS c ON c.call_id = w.call_id{}",
            times.condition()
        );
        for texts in session.rows_of::<Texts>(&sql, &shown.iter().map(String::as_str).collect()).await? {
            if let Some(call) = self.calls.get_mut(&texts.call_id) {
                (call.arguments, call.result_text) = (texts.arguments, texts.result_text);
                call.source_line = texts.source_line;
            }
        }
        Ok(())
    }

    async fn add_observables(&mut self, session: &Session) -> Result<(), QueryError> {
        let mut times = Span::default();
        self.calls.values().for_each(|call| times.add(call.time));
        let sql = format!(
            "SELECT DISTINCT c.call_id, c.type, c.value FROM {WANTED} AS w JOIN observables AS c ON c.call_id = w.call_id{}",
            times.condition()
        );
        for row in session.rows_of::<Found>(&sql, &self.calls.keys().map(String::as_str).collect()).await? {
            self.observables.entry(row.call_id).or_default().push(row.observable);
        }
        Ok(())
    }

    /// The finding's calls, and all observables in them.
    pub(super) fn for_finding(&self, finding: &Finding) -> (Vec<CallEvidence>, Vec<Observable>) {
        let calls = finding.call_ids.iter().filter_map(|id| self.calls.get(id)).cloned().collect();
        let values = finding.call_ids.iter().filter_map(|id| self.observables.get(id)).flatten().cloned().collect();
        (calls, values)
    }
}

#[derive(Deserialize)]
struct Found {
    call_id: String,
    #[serde(flatten)]
    observable: Observable,
}

#[derive(Deserialize)]
struct Texts {
    call_id: String,
    arguments: Option<String>,
    result_text: Option<String>,
    source_line: Option<i64>,
}

/// Calls of a finding that are looked up. A rule may return any text as a call's id.
fn evidence_of(finding: &Finding) -> impl Iterator<Item = &str> {
    let is_call_id = |id: &&str| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    finding.call_ids.iter().take(MAX_EVIDENCE).map(String::as_str).filter(is_call_id)
}

/// The times within which calls lie, so that files of other times are not read.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    range: Option<(i64, i64)>,
    /// A call has no time.
    unknown: bool,
}

impl Span {
    fn unknown() -> Self {
        Self { range: None, unknown: true }
    }

    fn add(&mut self, time: Option<i64>) {
        let Some(time) = time else { return self.unknown = true };
        self.range = Some(self.range.map_or((time, time), |(since, until)| (since.min(time), until.max(time))));
    }

    /// The end of a condition on the table `c`.
    fn condition(self) -> String {
        let Some((since, until)) = self.range.filter(|_| !self.unknown) else { return String::new() };
        // Statistics of files are cut to milliseconds.
        let bound = |millis: i64| format!("arrow_cast({millis}000, 'Timestamp(Microsecond, Some(\"UTC\"))')");
        format!(" WHERE c.time BETWEEN {} AND {}", bound(since.div_euclid(1000)), bound(until.div_euclid(1000) + 1))
    }
}
