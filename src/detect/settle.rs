//! What a run's findings mean for the alerts that are there: which are new, which take the place of others, which no longer hold.
//!
//! A finding grows with its session, and its evidence is its identity; so the alert of yesterday's half is marked as superseded by
//! today's whole, and one that later data explained as resolved. Nothing is deleted. After a run over everything the alerts that
//! are current are those that a first run would make. Plain data: no lake, no clock.

use crate::alert::Alert;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How much a detector saw when it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All there is. Alerts that began before the time (microseconds) cannot be judged: retention took what they rest on.
    Everything { since: Option<i64> },
    /// A range of time: what it did not find may be true all the same.
    Part,
    /// What it once found about an entity stays, and is told again only for another call to blame.
    Kept,
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

impl Settled {
    /// Another alert takes the place of those of these that are current.
    fn supersede<'a>(&mut self, known: impl Iterator<Item = &'a mut Alert>, by: &str) {
        for known in known.filter(|known| known.is_current()) {
            known.superseded_by = Some(by.to_owned());
            self.superseded += 1;
            self.changed.insert(known.alert_id.clone());
        }
    }

    /// An alert that was not there.
    fn add(&mut self, stored: &mut BTreeMap<String, Alert>, alert: Alert) {
        self.new.insert(alert.alert_id.clone());
        self.changed.insert(alert.alert_id.clone());
        stored.insert(alert.alert_id.clone(), alert);
    }
}

/// Brings the alerts of one detector in line with what it found.
pub(super) fn settle(stored: &mut BTreeMap<String, Alert>, found: Vec<Alert>, scope: Scope) -> Settled {
    let mut settled = Settled::default();
    match scope {
        Scope::Everything { since } => {
            let ids: HashSet<String> = found.iter().map(|alert| alert.alert_id.clone()).collect();
            let successors = Successors::of(&found);
            let is_cut = |alert: &Alert| since.is_some_and(|since| alert.finding.first_seen < since);
            for alert in stored.values_mut().filter(|alert| alert.is_current() && !ids.contains(&alert.alert_id)) {
                match successors.of_alert(alert) {
                    // A part of what was found before retention says less than the whole.
                    Some(successor) if !is_cut(alert) || covers(successor, alert) => {
                        alert.superseded_by = Some(successor.alert_id.clone());
                        settled.superseded += 1;
                    }
                    _ if is_cut(alert) => continue,
                    _ => {
                        alert.resolved = Some("not found again".to_owned());
                        settled.resolved += 1;
                    }
                }
                settled.changed.insert(alert.alert_id.clone());
            }
            for mut alert in found {
                let id = alert.alert_id.clone();
                let whole = |known: &Alert| known.is_current() && is_cut(known) && covers(known, &alert);
                if since.is_some() && !stored.contains_key(&id) && stored.values().any(whole) {
                    continue;
                }
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
            let mut by_call: HashMap<String, Vec<String>> = HashMap::new();
            let note = |alert: &Alert, by_call: &mut HashMap<String, Vec<String>>| {
                for call in &alert.finding.call_ids {
                    by_call.entry(call.clone()).or_default().push(alert.alert_id.clone());
                }
            };
            stored.values().for_each(|known| note(known, &mut by_call));
            for alert in found {
                let id = alert.alert_id.clone();
                // Only of those that share a call with it can one have all calls of the other.
                let sharing = alert.finding.call_ids.iter().filter_map(|call| by_call.get(call)).flatten();
                let sharing: BTreeSet<String> = sharing.cloned().collect();
                let covered = sharing
                    .iter()
                    .filter_map(|known| stored.get(known))
                    .any(|known| known.is_current() && covers(known, &alert));
                if stored.contains_key(&id) || covered {
                    continue;
                }
                for known in &sharing {
                    settled.supersede(stored.get_mut(known).into_iter().filter(|known| covers(&alert, known)), &id);
                }
                note(&alert, &mut by_call);
                settled.add(stored, alert);
            }
        }
        Scope::Kept => {
            for alert in found {
                let id = alert.alert_id.clone();
                let entity = &alert.finding.entity;
                let first = alert.finding.call_ids.first();
                let of_entity =
                    |known: &Alert| known.resolved.is_none() && known.finding.entity.session_id == entity.session_id;
                let told =
                    |known: &Alert| of_entity(known) && first.is_some_and(|call| known.finding.call_ids.contains(call));
                // One that was superseded counts too: two calls that take turns as the worst are no news.
                if stored.contains_key(&id) || stored.values().any(told) {
                    continue;
                }
                settled.supersede(stored.values_mut().filter(|known| of_entity(known)), &id);
                settled.add(stored, alert);
            }
        }
    }
    settled
}

/// Whether one alert has all the evidence of another, if that has any.
fn covers(one: &Alert, other: &Alert) -> bool {
    let calls: HashSet<&String> = one.finding.call_ids.iter().collect();
    let others = &other.finding.call_ids;
    !others.is_empty() && others.len() <= calls.len() && others.iter().all(|call| calls.contains(call))
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

    fn of_alert(&self, alert: &Alert) -> Option<&'a Alert> {
        let finding = &alert.finding;
        if finding.call_ids.is_empty() {
            let same = |other: &&&Alert| {
                let other = &other.finding;
                other.entity == finding.entity
                    && other.first_seen <= finding.last_seen
                    && finding.first_seen <= other.last_seen
            };
            return self.without_calls.iter().filter(same).copied().min_by(|a, b| a.alert_id.cmp(&b.alert_id));
        }
        let mut shared: BTreeMap<&str, (usize, &Alert)> = BTreeMap::new();
        for call in &finding.call_ids {
            for other in self.by_call.get(call.as_str()).into_iter().flatten() {
                shared.entry(&other.alert_id).or_insert((0, other)).0 += 1;
            }
        }
        let most = shared.into_iter().max_by(|a, b| a.1.0.cmp(&b.1.0).then(b.0.cmp(a.0)));
        most.map(|(_, (_, alert))| alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Level;
    use crate::alert::tests::sample;

    const ALL: Scope = Scope::Everything { since: None };

    fn alert(calls: &[&str], first_seen: i64) -> Alert {
        let mut finding = sample().finding;
        finding.call_ids = calls.iter().map(ToString::to_string).collect();
        (finding.first_seen, finding.last_seen) = (first_seen, first_seen + 10);
        Alert::new(finding, Vec::new(), Vec::new(), BTreeMap::new())
    }

    fn marks(stored: &BTreeMap<String, Alert>, alert: &Alert) -> (Option<String>, bool) {
        let stored = &stored[&alert.alert_id];
        (stored.superseded_by.clone(), stored.resolved.is_some())
    }

    #[test]
    fn an_alert_grows_goes_and_comes_back() {
        let (small, large, other) = (alert(&["a", "b"], 1), alert(&["a", "b", "c"], 1), alert(&["x"], 1));
        let mut stored = BTreeMap::new();
        let first = settle(&mut stored, vec![small.clone(), other.clone()], ALL);
        assert_eq!((first.new.len(), first.changed.len()), (2, 2));
        assert_eq!(settle(&mut stored, vec![small.clone(), other.clone()], ALL), Settled::default());

        let second = settle(&mut stored, vec![large.clone()], ALL);
        assert_eq!((second.superseded, second.resolved, second.new.len()), (1, 1, 1));
        assert_eq!(marks(&stored, &small), (Some(large.alert_id.clone()), false));
        assert_eq!(marks(&stored, &other), (None, true));
        // What is known stays marked as it is.
        assert_eq!(settle(&mut stored, vec![large.clone()], ALL), Settled::default());

        let third = settle(&mut stored, vec![small.clone(), other.clone()], ALL);
        assert_eq!((third.new.len(), third.superseded), (2, 1));
        assert!(stored[&small.alert_id].is_current() && stored[&other.alert_id].is_current());
        assert_eq!(marks(&stored, &large), (Some(small.alert_id.clone()), false));
    }

    #[test]
    fn what_an_alert_says_is_brought_up_to_date_and_its_delivery_kept() {
        let mut known = alert(&["a"], 1);
        known.delivery.insert("siem".to_owned(), crate::alert::Delivery::Delivered);
        let mut stored = BTreeMap::from([(known.alert_id.clone(), known.clone())]);
        let mut worse = alert(&["a"], 1);
        worse.finding.level = Level::Critical;
        let settled = settle(&mut stored, vec![worse], ALL);
        assert_eq!((settled.new.len(), settled.changed.len()), (0, 1));
        let now = &stored[&known.alert_id];
        assert_eq!((now.finding.level, &now.delivery), (Level::Critical, &known.delivery));
    }

    #[test]
    fn a_part_of_the_time_resolves_nothing() {
        let (small, large, other) = (alert(&["a"], 1), alert(&["a", "b"], 1), alert(&["x"], 1));
        let mut stored = BTreeMap::from([large.clone(), other.clone()].map(|alert| (alert.alert_id.clone(), alert)));
        assert_eq!(settle(&mut stored, vec![small], Scope::Part), Settled::default(), "the whole of it is known");
        let larger = alert(&["a", "b", "c"], 1);
        let settled = settle(&mut stored, vec![larger.clone()], Scope::Part);
        assert_eq!((settled.superseded, settled.resolved, settled.new.len()), (1, 0, 1));
        assert_eq!(marks(&stored, &large), (Some(larger.alert_id), false));
        assert!(stored[&other.alert_id].is_current());
    }

    #[test]
    fn what_the_model_found_stays_and_is_not_told_twice() {
        let (first, other) = (alert(&["a", "source"], 1), alert(&["b"], 1));
        let mut stored = BTreeMap::from([(first.alert_id.clone(), first.clone())]);
        // Nothing found, the same call with another source, the same again: no news.
        for found in [vec![], vec![alert(&["a"], 1)], vec![first.clone()]] {
            assert_eq!(settle(&mut stored, found, Scope::Kept), Settled::default());
        }
        let settled = settle(&mut stored, vec![other.clone()], Scope::Kept);
        assert_eq!((settled.new.len(), settled.superseded), (1, 1), "another call is to blame");
        assert_eq!(marks(&stored, &first), (Some(other.alert_id.clone()), false));
        assert_eq!(settle(&mut stored, vec![first.clone()], Scope::Kept), Settled::default(), "and back");
        let mut elsewhere = alert(&["z"], 1);
        elsewhere.finding.entity.session_id = Some("another".to_owned());
        let elsewhere = Alert::new(elsewhere.finding, Vec::new(), Vec::new(), BTreeMap::new());
        assert_eq!(settle(&mut stored, vec![elsewhere], Scope::Kept).superseded, 0);
    }

    #[test]
    fn what_retention_cut_off_takes_nothing_back() {
        let (old, lone) = (alert(&["a", "b", "c"], 1), alert(&["x"], 1));
        let mut stored = BTreeMap::from([old.clone(), lone.clone()].map(|alert| (alert.alert_id.clone(), alert)));
        let cut = Scope::Everything { since: Some(5) };
        assert_eq!(settle(&mut stored, vec![alert(&["b", "c"], 7)], cut), Settled::default());
        assert!(stored[&old.alert_id].is_current() && stored[&lone.alert_id].is_current() && stored.len() == 2);
        let grown = alert(&["a", "b", "c", "d"], 1);
        let settled = settle(&mut stored, vec![grown.clone()], cut);
        assert_eq!((settled.superseded, settled.resolved, settled.new.len()), (1, 0, 1));
        assert_eq!(marks(&stored, &old), (Some(grown.alert_id), false));
    }
}
