//! Several rows of a rule about the same calls of the same entity, say one for each place that a call sent to: one alert, which says what all of
//! them say. If one of them stood for all, a list of what is allowed would hide the others with it.

use crate::alert::{Finding, alert_id};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The findings, each once.
pub(super) fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut by_id: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        by_id.entry(alert_id(&finding)).or_default().push(finding);
    }
    by_id.into_values().filter_map(one).collect()
}

/// One finding of those that are the same alert. The worst speaks for all, in whatever order the query gave them.
fn one(mut same: Vec<Finding>) -> Option<Finding> {
    if same.len() > 1 {
        same.sort_by_cached_key(|finding| {
            let evidence = Value::Object(finding.evidence.clone()).to_string();
            // The bits of a number have its order, or one that is as good.
            (Reverse(finding.level), finding.message.clone(), evidence, Reverse(finding.score.map(f64::to_bits)))
        });
    }
    same.into_iter().reduce(joined)
}

/// Texts that differ become a list of all of them; numbers stay those of the first.
fn joined(mut one: Finding, other: Finding) -> Finding {
    one.first_seen = one.first_seen.min(other.first_seen);
    one.last_seen = one.last_seen.max(other.last_seen);
    for (name, value) in other.evidence {
        match one.evidence.get_mut(&name) {
            None => {
                one.evidence.insert(name, value);
            }
            Some(known) if *known != value => {
                if let (Some(mut all), Some(more)) = (texts(known), texts(&value)) {
                    all.extend(more);
                    *known = all.into_iter().collect();
                }
            }
            Some(_) => {}
        }
    }
    one
}

fn texts(value: &Value) -> Option<BTreeSet<String>> {
    match value {
        Value::String(text) => Some(BTreeSet::from([text.clone()])),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Level;
    use crate::alert::tests::sample;
    use serde_json::json;

    #[test]
    fn what_is_one_alert_says_what_all_its_rows_say() {
        let row = |level, place: &str, bytes: i64, calls: &[&str]| {
            let mut finding = sample().finding;
            (finding.level, finding.message) = (level, Some(format!("sent to {place}")));
            finding.call_ids = calls.iter().map(ToString::to_string).collect();
            finding.evidence = serde_json::Map::new();
            finding.evidence.insert("destination".to_owned(), place.into());
            finding.evidence.insert("bytes".to_owned(), bytes.into());
            finding.score = Some(bytes as f64);
            finding
        };
        let mut twin = row(Level::High, "c.example", 5, &["y", "x"]);
        twin.score = Some(6.0);
        let rows = [
            twin,
            row(Level::Low, "a.example", 7, &["x", "y"]),
            row(Level::High, "c.example", 5, &["y", "x"]),
            row(Level::Low, "b.example", 9, &["x", "y"]),
            row(Level::Low, "a.example", 1, &["z"]),
        ];
        let found = merged(rows.to_vec());
        assert_eq!(found, merged(rows.into_iter().rev().collect()));
        assert_eq!(found.len(), 2);
        let both = found.iter().find(|finding| finding.call_ids.len() == 2).expect("one of the two");
        assert_eq!((both.level, both.message.as_deref()), (Level::High, Some("sent to c.example")));
        assert_eq!(both.evidence["destination"], json!(["a.example", "b.example", "c.example"]));
        assert_eq!((&both.evidence["bytes"], both.score), (&json!(5), Some(6.0)), "whichever row came first");
    }
}
