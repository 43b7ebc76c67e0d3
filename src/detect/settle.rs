//! What a run's findings mean for the alerts that are there: which are new, which take the place of others, which no longer hold.
//!
//! A finding grows with its session, and its evidence is its identity; so the alert of yesterday's half is marked as superseded by
//! today's whole, and one that later data explained as resolved. Nothing is deleted. After a run over everything the alerts that
//! are current are those that a first run would make. Plain data: no lake, no clock.

use crate::alert::Alert;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How much a detector saw when it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All there is. Alerts that began before the time (microseconds) cannot be judged: retention took what they rest on.
    Everything { since: Option<i64> },
    /// A range of time: what it did not find may be true all the same.
    Part,
}

/// What changed, as ids of alerts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Were not there, or not current.
    pub(super) new: HashSet<String>,
    /// Rows that are not as they were; new ones too.
    pub(super) changed: HashSet<String>,
    pub(super) superseded: u64,
    pub(super) resolved: u64,
}

/// Brings the alerts of one detector in line with what it found.
pub(super) fn settle(stored: &mut BTreeMap<String, Alert>, found: Vec<Alert>, scope: Scope) -> Settled {
    let mut settled = Settled::default();
    match scope {
        Scope::Everything { since } => {
            let ids: HashSet<String> = found.iter().map(|alert| alert.alert_id.clone()).collect();
            let successors = Successors::of(&found);
            for alert in stored.values_mut().filter(|alert| alert.is_current() && !ids.contains(&alert.alert_id)) {
                if since.is_some_and(|since| alert.finding.first_seen < since) {
                    continue;
                }
                match successors.of_alert(alert) {
                    Some(successor) => {
                        alert.superseded_by = Some(successor.to_owned());
                        settled.superseded += 1;
                    }
                    None => {
                        alert.resolved = Some("not found again".to_owned());
                        settled.resolved += 1;
                    }
                }
                settled.changed.insert(alert.alert_id.clone());
            }
            for mut alert in found {
                let id = alert.alert_id.clone();
                if let Some(old) = stored.get(&id) {
                    alert.delivery.clone_from(&old.delivery);
                    alert.suppressed_by.clone_from(&old.suppressed_by);
                    if old.is_current() && says_the_same(old, &alert) {
                        continue;
                    }
                    if !old.is_current() {
                        settled.new.insert(id.clone());
                    }
                } else {
                    settled.new.insert(id.clone());
                }
                settled.changed.insert(id.clone());
                stored.insert(id, alert);
            }
        }
        Scope::Part => {
            for alert in found {
                let evidence: HashSet<&String> = alert.finding.call_ids.iter().collect();
                let holds =
                    |known: &Alert| known.finding.call_ids.iter().collect::<HashSet<_>>().is_superset(&evidence);
                let id = alert.alert_id.clone();
                let covered = !evidence.is_empty() && stored.values().any(|known| known.is_current() && holds(known));
                if stored.contains_key(&id) || covered {
                    continue;
                }
                for known in stored.values_mut().filter(|known| known.is_current()) {
                    let calls = &known.finding.call_ids;
                    if !calls.is_empty() && calls.iter().all(|call| evidence.contains(call)) {
                        known.superseded_by = Some(id.clone());
                        settled.superseded += 1;
                        settled.changed.insert(known.alert_id.clone());
                    }
                }
                settled.new.insert(id.clone());
                settled.changed.insert(id.clone());
                stored.insert(id, alert);
            }
        }
    }
    settled
}

/// Whether two alerts of one id differ in nothing but the versions of the lake that they were found in.
fn says_the_same(old: &Alert, new: &Alert) -> bool {
    let Alert { calls, calls_total, observables, observables_total, finding, incident_id, .. } = old;
    finding == &new.finding
        && calls == &new.calls
        && (calls_total, observables_total) == (&new.calls_total, &new.observables_total)
        && observables == &new.observables
        && incident_id == &new.incident_id
}

/// Finds the alert that took another's place: of those that share evidence with it the one that shares most, and of several the one
/// with the least id. Alerts without calls are told by entity and time.
struct Successors<'a> {
    by_call: HashMap<&'a str, Vec<&'a Alert>>,
    without_calls: Vec<&'a Alert>,
}

impl<'a> Successors<'a> {
    fn of(found: &'a [Alert]) -> Self {
        let mut by_call: HashMap<&str, Vec<&Alert>> = HashMap::new();
        for alert in found {
            for call in &alert.finding.call_ids {
                by_call.entry(call).or_default().push(alert);
            }
        }
        Self { by_call, without_calls: found.iter().filter(|alert| alert.finding.call_ids.is_empty()).collect() }
    }

    fn of_alert(&self, alert: &Alert) -> Option<&'a str> {
        let finding = &alert.finding;
        if finding.call_ids.is_empty() {
            let same = |other: &&&Alert| {
                let other = &other.finding;
                other.entity == finding.entity
                    && other.first_seen <= finding.last_seen
                    && finding.first_seen <= other.last_seen
            };
            return self.without_calls.iter().filter(same).map(|other| other.alert_id.as_str()).min();
        }
        let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
        for call in &finding.call_ids {
            for other in self.by_call.get(call.as_str()).into_iter().flatten() {
                *shared.entry(&other.alert_id).or_default() += 1;
            }
        }
        shared.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0))).map(|(id, _)| id)
    }
}
