//! The alert's identity: the same thing seen again gets the same id.
//!
//! Receivers drop what they have already seen by this id, which turns delivery at least once into an effect
//! exactly once. So it must not depend on anything that an edit of the rule's wording changes (title, level,
//! message, version), nor on the order in which a query returned its rows.

use super::Finding;
use sha2::{Digest as _, Sha256};

/// Derives 32 hex digits from kind, rule id, entity and the set of evidence calls.
///
/// A finding without calls is told apart by its start instead: else the same rule could alert only once ever
/// for one entity.
pub fn alert_id(finding: &Finding) -> String {
    let mut hash = Sha256::new_with_prefix(b"calltrail.alert.1\0");
    // Every part is preceded by its length (or by the fact that it is missing), so no two lists of parts
    // give the same bytes.
    let mut part = |text: Option<&str>| match text {
        None => hash.update([0]),
        Some(text) => {
            hash.update([1]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    };
    part(Some(finding.kind.as_str()));
    part(Some(&finding.rule_id));
    for (_, value) in finding.entity.fields() {
        part(value);
    }
    let mut calls: Vec<&str> = finding.call_ids.iter().map(String::as_str).collect();
    calls.sort_unstable();
    calls.dedup();
    calls.iter().for_each(|call| part(Some(call)));
    if calls.is_empty() {
        part(None);
        part(Some(&finding.first_seen.to_string()));
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
