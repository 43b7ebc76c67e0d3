//! An alert as our own JSON, for scripts. Names are those of the `alerts` table; times are RFC 3339.
//!
//! `format` states the version of this shape: members are added under the same version, a change of what a
//! member means is a new one.

use super::Shown;
use crate::alert::{Alert, CallEvidence, Entity, Kind, Level, Observable, time_text};
use serde::Serialize;
use std::collections::BTreeMap;

/// Name and version of the shape.
pub const FORMAT: &str = "calltrail.alert/1";

/// What is written.
#[derive(Serialize)]
pub struct Wire<'a> {
    format: &'static str,
    alert_id: &'a str,
    time: String,
    level: Level,
    kind: Kind,
    rule_id: &'a str,
    rule_title: &'a str,
    rule_version: &'a str,
    status: &'a str,
    message: Option<&'a str>,
    #[serde(flatten)]
    entity: &'a Entity,
    first_seen: String,
    last_seen: String,
    score: Option<f64>,
    tags: &'a [String],
    description: &'a str,
    falsepositives: &'a [String],
    call_ids: &'a [String],
    calls_total: u64,
    calls: Vec<WireCall<'a>>,
    observables: &'a [Observable],
    observables_total: u64,
    evidence: &'a serde_json::Map<String, serde_json::Value>,
    lake_versions: &'a BTreeMap<String, i64>,
    suppressed_by: Option<&'a str>,
    rule_group: &'a str,
    settings: &'a serde_json::Map<String, serde_json::Value>,
    incident_id: &'a str,
    superseded_by: Option<&'a str>,
    resolved: Option<&'a str>,
    /// Only where the alert was cut to fit a target.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_from_bytes: Option<usize>,
}

/// A call with its time as text.
#[derive(Serialize)]
struct WireCall<'a> {
    call_id: &'a str,
    time: Option<String>,
    session_id: Option<&'a str>,
    agent: Option<&'a str>,
    user_id: Option<&'a str>,
    server: Option<&'a str>,
    tool: Option<&'a str>,
    method: &'a str,
    arguments: Option<&'a str>,
    result_text: Option<&'a str>,
    outcome: &'a str,
    approval: &'a str,
    source_file: Option<&'a str>,
    source_line: Option<i64>,
}

impl<'a> Wire<'a> {
    /// The alert's wire form.
    pub fn of(alert: &'a Alert) -> Self {
        let finding = &alert.finding;
        Self {
            format: FORMAT,
            alert_id: &alert.alert_id,
            time: time_text(alert.time()),
            level: finding.level,
            kind: finding.kind,
            rule_id: &finding.rule_id,
            rule_title: &finding.rule_title,
            rule_version: &finding.rule_version,
            status: &finding.status,
            message: finding.message.as_deref(),
            entity: &finding.entity,
            first_seen: time_text(finding.first_seen),
            last_seen: time_text(finding.last_seen),
            score: finding.score,
            tags: &finding.tags,
            description: &finding.description,
            falsepositives: &finding.falsepositives,
            call_ids: &finding.call_ids,
            calls_total: alert.calls_total,
            calls: alert.calls.iter().map(WireCall::of).collect(),
            observables: &alert.observables,
            observables_total: alert.observables_total,
            evidence: &finding.evidence,
            lake_versions: &alert.lake_versions,
            suppressed_by: alert.suppressed_by.as_deref(),
            rule_group: &finding.rule_group,
            settings: &finding.settings,
            incident_id: &alert.incident_id,
            superseded_by: alert.superseded_by.as_deref(),
            resolved: alert.resolved.as_deref(),
            truncated_from_bytes: None,
        }
    }

    /// The wire form of an alert that may have been cut.
    pub fn shown(shown: &Shown<'a>) -> Self {
        Self { truncated_from_bytes: shown.full_bytes, ..Self::of(shown.alert) }
    }
}

impl<'a> WireCall<'a> {
    fn of(call: &'a CallEvidence) -> Self {
        Self {
            call_id: &call.call_id,
            time: call.time.map(time_text),
            session_id: call.session_id.as_deref(),
            agent: call.agent.as_deref(),
            user_id: call.user_id.as_deref(),
            server: call.server.as_deref(),
            tool: call.tool.as_deref(),
            method: &call.method,
            arguments: call.arguments.as_deref(),
            result_text: call.result_text.as_deref(),
            outcome: &call.outcome,
            approval: &call.approval,
            source_file: call.source_file.as_deref(),
            source_line: call.source_line,
        }
    }
}
