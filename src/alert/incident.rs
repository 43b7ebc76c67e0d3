//! Which alerts are one thing to look at: those of one session, or else of one agent, user, server or tool on one day.
//!
//! The id is derived from that alone, so it does not change as an incident grows, nor with the order in which its alerts were found.

use super::{CallEvidence, Finding, Level};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// One row of the view `incidents`. Times are microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub incident_id: String,
    /// From 0 to 100, the sum of the four parts.
    pub risk: f64,
    /// The worst alert's level, by how far its rule has proved itself.
    pub risk_level: f64,
    /// Several kinds of things that go wrong.
    pub risk_groups: f64,
    /// Several rules of one kind.
    pub risk_rules: f64,
    /// A rule that few incidents have.
    pub risk_rarity: f64,
    pub level: Level,
    /// Title of the worst alert's rule.
    pub title: String,
    pub session_id: Option<String>,
    pub agent: Option<String>,
    pub user_id: Option<String>,
    pub servers: Option<Vec<String>>,
    pub first_seen: i64,
    pub last_seen: i64,
    pub alerts: u64,
    pub groups: Vec<String>,
    pub rules: Vec<String>,
    pub alert_ids: Vec<String>,
}

const DAY: i64 = 86_400_000_000;

/// 32 hex digits. `calls` are those of the finding, all of them if a session or agent that the finding does not name is to be taken
/// from them.
///
/// An agent, user, server or tool lives on, so its incidents end with the day (UTC) of the last thing seen.
pub(super) fn incident_id(finding: &Finding, calls: &[CallEvidence]) -> String {
    let all = calls.len() >= finding.call_ids.len();
    let shared = |of: fn(&CallEvidence) -> Option<&str>| {
        let values: BTreeSet<Option<&str>> = calls.iter().map(of).collect();
        values.into_iter().next().flatten().filter(|_| all && calls.iter().all(|call| of(call) == of(&calls[0])))
    };
    let entity = &finding.entity;
    let session = entity.session_id.as_deref().or_else(|| shared(|call| call.session_id.as_deref()));
    let day = finding.last_seen.div_euclid(DAY).to_string();
    let key = match session {
        Some(session) => ["session", session, ""],
        None => {
            let agent = entity.agent.as_deref().or_else(|| shared(|call| call.agent.as_deref()));
            let others = [
                ("agent", agent),
                ("user", entity.user_id.as_deref()),
                ("server", entity.server.as_deref()),
                ("tool", entity.tool.as_deref()),
            ];
            let (kind, value) = others
                .into_iter()
                .find_map(|(kind, value)| Some((kind, value?)))
                .unwrap_or(("rule", finding.rule_id.as_str()));
            [kind, value, &day]
        }
    };
    let mut hash = Sha256::new_with_prefix(b"calltrail.incident.1\0");
    for part in key {
        // Preceded by its length, so that no two keys give the same bytes.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
