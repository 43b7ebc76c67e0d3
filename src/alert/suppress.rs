//! Silences: alerts that somebody has looked at and does not want to see, for a stated reason and time, and lists of what
//! is known and allowed.
//!
//! What a suppression hides stays in the lake, marked with the suppression's id. A suppression that could
//! hide more than its writer meant hides nothing: an alert with two destinations is not silenced because one
//! of them is known. The time at which an expiry counts is passed in.

use super::{Alert, Wildcard};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where a suppression was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `[[suppress]]` in `calltrail.toml`.
    #[default]
    Configuration,
    /// `[allow]` or `[rules.ID.allow]` in `calltrail.toml`: holds for good.
    AllowList,
    /// `calltrail alerts suppress`, kept in the lake.
    Lake,
}

/// Patterns of which one must fit; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Vec<Wildcard>);

impl Patterns {
    /// These patterns. None of them never fits.
    pub fn new(patterns: Vec<Wildcard>) -> Self {
        Self(patterns)
    }

    /// The patterns.
    pub fn list(&self) -> &[Wildcard] {
        &self.0
    }

    /// Whether one of them says nothing of what it lets through.
    pub fn is_any(&self) -> bool {
        self.0.iter().any(Wildcard::is_any)
    }
}

impl From<Wildcard> for Patterns {
    fn from(pattern: Wildcard) -> Self {
        Self(vec![pattern])
    }
}

impl std::fmt::Display for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(Wildcard::as_str).collect();
        f.write_str(&texts.join(", "))
    }
}

/// One silence. Every matcher that is set must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    pub id: String,
    pub origin: Origin,
    /// Rule ids.
    pub rule: Wildcard,
    /// This alert and no other.
    pub alert_id: Option<String>,
    pub session_id: Option<Patterns>,
    pub agent: Option<Patterns>,
    pub user_id: Option<Patterns>,
    pub server: Option<Patterns>,
    /// A pattern with a `/` is a server's pattern and a tool's, split at the first one.
    pub tool: Option<Patterns>,
    /// Every destination of the alert must fit: see [`Alert::destinations`].
    pub destination: Option<Patterns>,
    pub owner: String,
    pub reason: String,
    /// First instant at which it no longer holds; an allow-list has none.
    pub expires: Option<DateTime<Utc>>,
}

/// What one suppression did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceUse {
    pub id: String,
    /// Alerts that it fits.
    pub alerts: u64,
    /// Alerts that nothing else hides.
    pub alone: u64,
    pub expired: bool,
    /// Its patterns that fitted no value of these alerts.
    pub idle_patterns: Vec<String>,
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
    /// Each suppression, in the list's order.
    pub uses: Vec<SilenceUse>,
}

/// Marks each alert with the first suppression that fits it at the time `at`, and clears stale marks.
pub fn suppress<'a>(
    suppressions: &[Suppression],
    alerts: impl IntoIterator<Item = &'a mut Alert>,
    at: DateTime<Utc>,
) -> SuppressionUse {
    let mut done = SuppressionUse::default();
    let mut counts: Vec<Count> = suppressions.iter().map(|_| Count::default()).collect();
    for alert in alerts {
        alert.suppressed_by = None;
        let mut fitting = Vec::new();
        for (place, suppression) in suppressions.iter().enumerate().filter(|(_, s)| s.holds(at)) {
            let mut used = BTreeSet::new();
            if suppression.fitted(alert, &mut used) {
                counts[place].alerts += 1;
                counts[place].patterns.append(&mut used);
                fitting.push(place);
            }
        }
        if let &[only] = fitting.as_slice() {
            counts[only].alone += 1;
        }
        alert.suppressed_by = fitting.first().map(|first| suppressions[*first].id.clone());
        done.suppressed += u64::from(!fitting.is_empty());
    }
    for (suppression, count) in suppressions.iter().zip(counts) {
        let expired = !suppression.holds(at);
        if expired {
            done.expired.push(suppression.id.clone());
        } else if count.alerts == 0 {
            done.unused.push(suppression.id.clone());
        }
        let patterns = suppression.matchers().into_iter().flatten().flat_map(Patterns::list).map(Wildcard::as_str);
        done.uses.push(SilenceUse {
            id: suppression.id.clone(),
            alerts: count.alerts,
            alone: count.alone,
            expired,
            idle_patterns: patterns.filter(|pattern| !count.patterns.contains(pattern)).map(str::to_owned).collect(),
        });
    }
    done
}

#[derive(Default)]
struct Count<'a> {
    alerts: u64,
    alone: u64,
    patterns: BTreeSet<&'a str>,
}

impl Suppression {
    /// Whether it is about this alert, its expiry aside.
    pub fn fits(&self, alert: &Alert) -> bool {
        self.fitted(alert, &mut BTreeSet::new())
    }

    /// Whether it is not over yet.
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.expires.is_none_or(|expires| at < expires)
    }

    /// In the order of [`super::Entity::fields`], then the destination.
    fn matchers(&self) -> [Option<&Patterns>; 6] {
        [&self.session_id, &self.agent, &self.user_id, &self.server, &self.tool, &self.destination].map(Option::as_ref)
    }

    /// As [`Self::fits`], and notes which patterns did.
    fn fitted<'a>(&'a self, alert: &Alert, used: &mut BTreeSet<&'a str>) -> bool {
        let field = |field: usize| Some(values(alert, field)?.into_iter().map(Value::Text).collect());
        let tools = || Some(tools(alert)?.into_iter().map(|(server, tool)| Value::Tool(server, tool)).collect());
        let destinations = || Some(alert.destinations()?.into_iter().map(Value::Text).collect());
        self.rule.matches(&alert.finding.rule_id)
            && self.alert_id.as_ref().is_none_or(|id| *id == alert.alert_id)
            && self.matchers().into_iter().enumerate().all(|(place, matcher)| {
                matcher.is_none_or(|patterns| {
                    let values = match place {
                        4 => tools(),
                        5 => destinations(),
                        entity => field(entity),
                    };
                    all_match(patterns, values, used)
                })
            })
    }
}

/// What a pattern is held against.
enum Value<'a> {
    Text(&'a str),
    /// Server, if known, and tool.
    Tool(Option<&'a str>, &'a str),
}

impl Value<'_> {
    fn fits(&self, pattern: &Wildcard) -> bool {
        match *self {
            Self::Text(text) => pattern.matches(text),
            Self::Tool(server, tool) => match pattern.as_str().split_once('/') {
                Some((of_server, of_tool)) => {
                    server.is_some_and(|server| Wildcard::new(of_server).matches(server))
                        && Wildcard::new(of_tool).matches(tool)
                }
                None => pattern.matches(tool),
            },
        }
    }
}

/// The alert's values for one field of the entity: the entity's own, else those of its calls.
///
/// Of several agents or users in a session a rule names one, often the first in the alphabet. That this one is known says nothing of the others, so
/// those of the calls count too.
fn values(alert: &Alert, field: usize) -> Option<Vec<&str>> {
    let of_calls = alert
        .calls
        .iter()
        .map(|call| [&call.session_id, &call.agent, &call.user_id, &call.server, &call.tool][field].as_deref());
    let (name, own) = alert.finding.entity.fields()[field];
    if let Some(own) = own {
        let others = of_calls.flatten().filter(|_| matches!(name, "agent" | "user_id"));
        return Some(std::iter::once(own).chain(others).collect());
    }
    if alert.calls.len() as u64 != alert.calls_total {
        return None;
    }
    of_calls.collect()
}

/// The alert's tools with their servers.
fn tools(alert: &Alert) -> Option<Vec<(Option<&str>, &str)>> {
    let entity = &alert.finding.entity;
    match (entity.server.as_deref(), entity.tool.as_deref()) {
        (server @ Some(_), Some(tool)) => Some(vec![(server, tool)]),
        (None, Some(tool)) => {
            let complete = alert.calls.len() as u64 == alert.calls_total;
            let calls = alert.calls.iter().filter(|call| complete && call.tool.as_deref() == Some(tool));
            let found: Vec<_> = calls.map(|call| (call.server.as_deref(), tool)).collect();
            Some(if found.is_empty() { vec![(None, tool)] } else { found })
        }
        (_, None) if alert.calls.len() as u64 != alert.calls_total => None,
        (_, None) => alert.calls.iter().map(|call| Some((call.server.as_deref(), call.tool.as_deref()?))).collect(),
    }
}

fn all_match<'a>(patterns: &'a Patterns, values: Option<Vec<Value<'_>>>, used: &mut BTreeSet<&'a str>) -> bool {
    let Some(values) = values.filter(|values| !values.is_empty()) else { return false };
    values.iter().all(|value| match patterns.0.iter().find(|pattern| value.fits(pattern)) {
        Some(pattern) => {
            used.insert(pattern.as_str());
            true
        }
        None => false,
    })
}
