//! Silences: alerts that somebody has looked at and does not want to see, for a stated reason and time.
//!
//! What a suppression hides stays in the lake, marked with the suppression's id. A suppression that could
//! hide more than its writer meant hides nothing: an alert with two destinations is not silenced because one
//! of them is known. The time at which an expiry counts is passed in.

use super::{Alert, Wildcard};
use chrono::{DateTime, Utc};

/// One silence. Every matcher that is set must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    pub id: String,
    /// Rule ids.
    pub rule: Wildcard,
    pub session_id: Option<Wildcard>,
    pub agent: Option<Wildcard>,
    pub user_id: Option<Wildcard>,
    pub server: Option<Wildcard>,
    pub tool: Option<Wildcard>,
    /// Every destination of the alert must fit: see [`Alert::destinations`].
    pub destination: Option<Wildcard>,
    pub owner: String,
    pub reason: String,
    /// First instant at which it no longer holds.
    pub expires: DateTime<Utc>,
}

/// What a list of suppressions did to a list of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuppressionUse {
    /// Alerts hidden.
    pub suppressed: u64,
    /// Ids of suppressions that are over and were not applied.
    pub expired: Vec<String>,
    /// Ids of suppressions that hold and fitted no alert.
    pub unused: Vec<String>,
}

/// Marks each alert with the first suppression that fits it at the time `at`, and clears stale marks.
pub fn suppress(suppressions: &[Suppression], alerts: &mut [Alert], at: DateTime<Utc>) -> SuppressionUse {
    let mut done = SuppressionUse::default();
    let (holding, expired): (Vec<_>, Vec<_>) = suppressions.iter().partition(|s| at < s.expires);
    done.expired = expired.into_iter().map(|s| s.id.clone()).collect();
    let mut used = vec![false; holding.len()];
    for alert in alerts {
        alert.suppressed_by = None;
        for (suppression, used) in holding.iter().zip(&mut used) {
            if suppression.fits(alert) {
                *used = true;
                alert.suppressed_by.get_or_insert_with(|| suppression.id.clone());
            }
        }
        done.suppressed += u64::from(alert.suppressed_by.is_some());
    }
    done.unused = holding.iter().zip(used).filter(|(_, used)| !used).map(|(s, _)| s.id.clone()).collect();
    done
}

impl Suppression {
    /// Whether it is about this alert, its expiry aside.
    pub fn fits(&self, alert: &Alert) -> bool {
        let matchers = [&self.session_id, &self.agent, &self.user_id, &self.server, &self.tool];
        self.rule.matches(&alert.finding.rule_id)
            && matchers
                .iter()
                .enumerate()
                .all(|(field, matcher)| matcher.as_ref().is_none_or(|matcher| all_match(matcher, values(alert, field))))
            && self.destination.as_ref().is_none_or(|matcher| all_match(matcher, alert.destinations()))
    }
}

/// The alert's values for one field of the entity: the entity's own, else those of its calls.
fn values(alert: &Alert, field: usize) -> Option<Vec<&str>> {
    if let Some(value) = alert.finding.entity.fields()[field].1 {
        return Some(vec![value]);
    }
    if alert.calls.len() as u64 != alert.calls_total {
        return None;
    }
    let of_call = alert
        .calls
        .iter()
        .map(|call| [&call.session_id, &call.agent, &call.user_id, &call.server, &call.tool][field].as_deref());
    of_call.collect()
}

fn all_match(matcher: &Wildcard, values: Option<Vec<&str>>) -> bool {
    values.is_some_and(|values| !values.is_empty() && values.iter().all(|value| matcher.matches(value)))
}
