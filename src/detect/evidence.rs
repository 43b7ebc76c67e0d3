//! The calls behind findings, and what stands in them.

use crate::alert::{CallEvidence, Finding, Observable};
use crate::query::{QueryError, Session};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// Calls of one finding that are looked up; an alert shows the first and last few of them.
const MAX_EVIDENCE: usize = 200;
/// Ids in one look-up query.
const LOOKUP: usize = 1000;

/// Calls and observables by call.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    calls: HashMap<String, CallEvidence>,
    observables: HashMap<String, Vec<Observable>>,
}

impl Evidence {
    /// Looks up what is behind some findings.
    pub(super) async fn of(session: &Session, findings: &[Finding]) -> Result<Self, QueryError> {
        // In the order of their times, so that each query is about a narrow range of files.
        let mut spans: HashMap<&str, (i64, i64)> = HashMap::new();
        for finding in findings {
            let span = (finding.first_seen.min(finding.last_seen), finding.last_seen.max(finding.first_seen));
            for id in finding.call_ids.iter().take(MAX_EVIDENCE).filter(|id| is_call_id(id)) {
                let known = spans.entry(id).or_insert(span);
                *known = (known.0.min(span.0), known.1.max(span.1));
            }
        }
        let mut wanted: Vec<(&str, (i64, i64))> = spans.into_iter().collect();
        wanted.sort_unstable_by_key(|(id, span)| (*span, *id));
        let mut evidence = Self::default();
        for ids in wanted.chunks(LOOKUP) {
            evidence.look_up(session, ids).await?;
        }
        Ok(evidence)
    }

    async fn look_up(&mut self, session: &Session, ids: &[(&str, (i64, i64))]) -> Result<(), QueryError> {
        let since = ids.iter().map(|(_, span)| span.0).min().unwrap_or_default();
        let until = ids.iter().map(|(_, span)| span.1).max().unwrap_or_default();
        let mut left: HashSet<&str> = ids.iter().map(|(id, _)| *id).collect();
        // Evidence may lie outside the times that a rule gives; what is not found where it should be is looked for everywhere.
        for within in [Some((since, until)), None] {
            let times = match within {
                Some((since, until)) => {
                    // Statistics of files are cut to milliseconds.
                    let bound =
                        |millis: i64| format!("arrow_cast({millis}000, 'Timestamp(Microsecond, Some(\"UTC\"))')");
                    let (since, until) = (since.div_euclid(1000), until.div_euclid(1000) + 1);
                    format!(" AND time BETWEEN {} AND {}", bound(since), bound(until))
                }
                None => String::new(),
            };
            let sql = format!(
                "SELECT call_id, CAST(time AS BIGINT) AS time, session_id, agent, user_id, server, tool, \
                 substr(arguments, 1, 4096) AS arguments, substr(result_text, 1, 4096) AS result_text, \
                 coalesce(method, 'unknown') AS method, coalesce(outcome, 'unknown') AS outcome, \
                 coalesce(approval, 'unknown') AS approval, source_file, source_line FROM calls WHERE call_id IN ({}){times}",
                list(&left)
            );
            let mut found = HashSet::new();
            for call in session.rows::<CallEvidence>(&sql).await? {
                if let Some(id) = left.take(call.call_id.as_str()) {
                    found.insert(id);
                }
                self.calls.insert(call.call_id.clone(), call);
            }
            let sql = format!(
                "SELECT DISTINCT call_id, type, value FROM observables WHERE call_id IN ({}){times}",
                list(&found)
            );
            if !found.is_empty() {
                for row in session.rows::<Found>(&sql).await? {
                    self.observables.entry(row.call_id).or_default().push(row.observable);
                }
            }
            if left.is_empty() {
                break;
            }
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

/// Call ids are hex digits; a rule may return any text, and the look-up puts ids into SQL.
fn is_call_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

fn list(ids: &HashSet<&str>) -> String {
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",")
}
