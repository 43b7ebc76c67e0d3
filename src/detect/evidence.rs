//! Findings → alerts: the calls behind findings, and what stands in them.
//!
//! Findings are taken in portions, so that what is looked up stays within bounds however many there are; and the more calls the alerts of one detector
//! show, the shorter is what they show of each. How short follows from that detector's findings alone, so that it does not matter what else a run found.

use super::merge::merged;
use crate::alert::{Alert, CallEvidence, Finding, MAX_CALLS, MAX_TEXT, Observable};
use crate::query::{QueryError, Session, TimeRange, WANTED};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Calls of one finding that are looked up; an alert shows the first and last few of them.
const MAX_EVIDENCE: usize = 200;
/// Calls that are looked up at once.
const PORTION: usize = 16_384;
/// Calls that the alerts of one detector show with texts of full length.
const FULL: usize = 4096;
/// Bytes that are shown of a text at least.
const LEAST_TEXT: usize = 64;

/// Makes alerts of the findings of each detector, each once, by their ids.
pub(super) async fn alerts(
    session: &Session,
    found: Vec<Vec<Finding>>,
    range: &TimeRange,
    versions: &BTreeMap<String, i64>,
) -> Result<Vec<Vec<Alert>>, QueryError> {
    let mut made: Vec<Vec<Alert>> = found.iter().map(|_| Vec::new()).collect();
    let mut waiting = Vec::new();
    for (of, findings) in found.into_iter().enumerate() {
        let findings = merged(findings);
        let room = room(findings.iter().map(|finding| evidence_of(finding).count()));
        waiting.extend(findings.into_iter().map(|finding| Wanted { finding, of, room }));
    }
    // What lies near each other in time lies in the same files.
    waiting.sort_by_key(|wanted| (wanted.finding.first_seen, wanted.of));
    let mut waiting = waiting.into_iter().peekable();
    while waiting.peek().is_some() {
        let (mut portion, mut calls) = (Vec::new(), 0);
        while let Some(wanted) = waiting.next_if(|next| portion.is_empty() || calls + next.size() <= PORTION) {
            calls += wanted.size();
            portion.push(wanted);
        }
        let evidence = Evidence::of(session, &portion).await?;
        for Wanted { mut finding, of, room } in portion {
            for (name, bound) in [("since", range.since), ("until", range.until)] {
                finding.settings.extend(bound.map(|micros| (name.to_owned(), micros.into())));
            }
            let (calls, observables) = evidence.for_finding(&finding, room);
            made[of].push(Alert::new(finding, calls, observables, versions.clone()));
        }
    }
    made.iter_mut().for_each(|alerts| alerts.sort_by(|a, b| a.alert_id.cmp(&b.alert_id)));
    Ok(made)
}

/// A finding that waits for its evidence.
struct Wanted {
    finding: Finding,
    /// Which detector's it is.
    of: usize,
    /// Bytes of a text that its alert shows.
    room: usize,
}

impl Wanted {
    fn size(&self) -> usize {
        self.finding.call_ids.len().clamp(1, MAX_EVIDENCE)
    }
}

/// Bytes of a text that alerts with so many calls each show: half for each doubling of all of them.
fn room(calls: impl Iterator<Item = usize>) -> usize {
    let shown: usize = calls.map(|calls| calls.min(MAX_CALLS)).sum();
    let halvings = shown.div_ceil(FULL).next_power_of_two().ilog2();
    (MAX_TEXT >> halvings.min(16)).max(LEAST_TEXT)
}

/// Calls and observables by call.
#[derive(Debug, Default)]
struct Evidence {
    /// Without their texts.
    calls: HashMap<String, CallEvidence>,
    /// Arguments and result of calls that alerts show.
    texts: HashMap<String, [Option<Excerpt>; 2]>,
    observables: HashMap<String, Vec<Observable>>,
}

impl Evidence {
    /// Looks up what is behind some findings: who and when of all their calls, and the texts of those that alerts show.
    async fn of(session: &Session, portion: &[Wanted]) -> Result<Self, QueryError> {
        let mut evidence = Self::default();
        let mut wanted = BTreeSet::new();
        let mut times = Span::default();
        for Wanted { finding, .. } in portion {
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
        evidence.add_texts(session, portion).await?;
        evidence.add_observables(session).await?;
        Ok(evidence)
    }

    async fn add_texts(&mut self, session: &Session, portion: &[Wanted]) -> Result<(), QueryError> {
        // Of each call as much as the alert wants that shows most of it.
        let mut shown: BTreeMap<String, usize> = BTreeMap::new();
        let mut times = Span::default();
        for Wanted { finding, room, .. } in portion {
            let calls = evidence_of(finding).filter_map(|id| self.calls.get(id));
            let mut calls: Vec<(Option<i64>, &str)> = calls.map(|call| (call.time, call.call_id.as_str())).collect();
            calls.sort_unstable();
            calls.dedup();
            if calls.len() > MAX_CALLS {
                calls.drain(MAX_CALLS / 2..calls.len() - MAX_CALLS / 2);
            }
            for (time, id) in calls {
                times.add(time);
                let most = shown.entry(id.to_owned()).or_default();
                *most = (*most).max(*room);
            }
        }
        let most = shown.values().max().copied().unwrap_or_default();
        let sql = format!(
            "SELECT c.call_id, substr(c.arguments, 1, {most}) AS arguments, octet_length(c.arguments) AS arguments_bytes, \
             substr(c.result_text, 1, {most}) AS result_text, octet_length(c.result_text) AS result_bytes, c.source_line \
             FROM {WANTED} AS w JOIN calls AS c ON c.call_id = w.call_id{}",
            times.condition()
        );
        for texts in session.rows_of::<Texts>(&sql, &shown.keys().map(String::as_str).collect()).await? {
            let room = shown.get(&texts.call_id).copied().unwrap_or(LEAST_TEXT);
            if let Some(call) = self.calls.get_mut(&texts.call_id) {
                call.source_line = texts.source_line;
            }
            let excerpts = [
                Excerpt::of(texts.arguments, texts.arguments_bytes, room),
                Excerpt::of(texts.result_text, texts.result_bytes, room),
            ];
            self.texts.insert(texts.call_id, excerpts);
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

    /// The finding's calls, with so many bytes of their texts, and all observables in them.
    fn for_finding(&self, finding: &Finding, room: usize) -> (Vec<CallEvidence>, Vec<Observable>) {
        let mut calls: Vec<CallEvidence> =
            finding.call_ids.iter().filter_map(|id| self.calls.get(id)).cloned().collect();
        for call in &mut calls {
            if let Some([arguments, result]) = self.texts.get(&call.call_id) {
                let shown = |text: &Option<Excerpt>| text.as_ref().map(|text| text.shown(room));
                (call.arguments, call.result_text) = (shown(arguments), shown(result));
            }
        }
        let values = finding.call_ids.iter().filter_map(|id| self.observables.get(id)).flatten().cloned().collect();
        (calls, values)
    }
}

/// The beginning of a text.
#[derive(Debug)]
struct Excerpt {
    start: String,
    /// Of the whole text.
    bytes: usize,
}

impl Excerpt {
    /// What is left of a text for the note that it was cut.
    const NOTE: usize = 32;

    fn of(text: Option<String>, bytes: Option<usize>, room: usize) -> Option<Self> {
        let mut start = text?;
        let bytes = bytes.unwrap_or(start.len()).max(start.len());
        start.truncate(start.floor_char_boundary(room));
        Some(Self { start, bytes })
    }

    /// At most so many bytes, which say how many are missing.
    fn shown(&self, room: usize) -> String {
        if self.bytes <= room {
            return self.start.clone();
        }
        let end = self.start.floor_char_boundary(room.saturating_sub(Self::NOTE));
        format!("{}… [{} bytes more]", &self.start[..end], self.bytes - end)
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
    arguments_bytes: Option<usize>,
    result_text: Option<String>,
    result_bytes: Option<usize>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_text_shrinks_with_the_number_of_calls_and_says_what_is_missing() {
        let room = |alerts: usize, calls: usize| room(std::iter::repeat_n(calls, alerts));
        assert_eq!([room(0, 0), room(1, 200), room(FULL, 1), room(FULL / 20, 200)], [MAX_TEXT; 4]);
        assert_eq!([room(FULL + 1, 1), room(2 * FULL, 1), room(2 * FULL + 1, 1)], [2048, 2048, 1024]);
        assert_eq!(room(100_000, MAX_EVIDENCE), LEAST_TEXT);
        // All that the alerts of one detector hold of texts, whatever they are about.
        let held = (1..100_000).step_by(97).map(|alerts| 2 * 20 * alerts * room(alerts, 20)).max();
        assert!(held.is_some_and(|bytes| bytes <= 300 << 20), "{held:?}");

        let long = Excerpt::of(Some("ä".repeat(MAX_TEXT)), Some(50_000), MAX_TEXT).expect("a text");
        for room in [MAX_TEXT, 100, LEAST_TEXT] {
            let shown = long.shown(room);
            let kept = shown.matches('ä').count() * 2;
            assert!(shown.len() <= room && shown.ends_with(&format!("… [{} bytes more]", 50_000 - kept)), "{shown}");
        }
        let whole = Excerpt::of(Some("x".repeat(MAX_TEXT)), Some(MAX_TEXT), MAX_TEXT).expect("a text");
        assert_eq!(whole.shown(MAX_TEXT), "x".repeat(MAX_TEXT));
    }
}
