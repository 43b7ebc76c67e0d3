//! Rules as detectors.

use super::{Answer, Detector, Stamp};
use crate::alert::{Finding, Kind, Level};
use crate::query::{ENGINE, Session, TimeRange};
use crate::rule::{Params, RawFinding, Rule, RuleError, RuleSet, measured};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule with the user's settings.
#[derive(Clone, Debug)]
pub struct RuleDetector {
    rule: Rule,
    params: Params,
    /// The user's level in place of the rule's.
    level: Option<Level>,
}

impl RuleDetector {
    /// The rule with these settings.
    pub fn new(rule: Rule, params: Params, level: Option<Level>) -> Self {
        Self { rule, params, level }
    }

    fn finding(&self, raw: RawFinding, stamp: &Stamp) -> Finding {
        let header = &self.rule.header;
        Finding {
            kind: Kind::Rule,
            rule_id: raw.rule_id,
            rule_title: header.title.clone(),
            rule_version: stamp.version.clone(),
            rule_group: self.rule.group().to_owned(),
            settings: stamp.settings.clone(),
            level: self.level.unwrap_or(raw.level),
            status: header.status.as_str().to_owned(),
            tags: header.tags.clone(),
            description: header.description.clone(),
            falsepositives: header.falsepositives.clone(),
            entity: raw.entity,
            first_seen: raw.first_seen.or(raw.last_seen).unwrap_or_default(),
            last_seen: raw.last_seen.or(raw.first_seen).unwrap_or_default(),
            call_ids: raw.call_ids,
            score: raw.score,
            message: raw.message,
            evidence: raw.evidence,
        }
    }
}

#[async_trait]
impl Detector for RuleDetector {
    fn id(&self) -> &str {
        &self.rule.header.id
    }

    fn stamp(&self) -> Stamp {
        let mut settings = serde_json::Map::new();
        settings.insert("params".to_owned(), self.params.values(&self.rule).into());
        if let Some(level) = self.level {
            settings.insert("level".to_owned(), level.as_str().into());
        }
        // The text means what the views and functions make of it.
        settings.insert("engine".to_owned(), ENGINE.into());
        let path = self.rule.path.to_string_lossy().into_owned();
        let source = Some([self.rule.header.title.clone(), path, self.rule.sql.clone()]);
        Stamp { version: self.rule.version_hash.clone(), settings, group: self.rule.group().to_owned(), source }
    }

    fn window(&self) -> i64 {
        self.rule.header.window
    }

    async fn detect(&self, session: &Session, range: TimeRange) -> Result<Answer, RuleError> {
        let ran = measured(&self.rule, session, range, &self.params).await?;
        let stamp = self.stamp();
        let findings = ran.findings.into_iter().map(|raw| self.finding(raw, &stamp)).collect();
        Ok(Answer { findings, reads: ran.reads, cost: ran.cost })
    }
}

/// The rules as detectors.
pub fn rule_detectors(rules: &RuleSet, params: &Params, levels: &BTreeMap<String, Level>) -> Vec<Arc<dyn Detector>> {
    let of_rule = |rule: &Rule| {
        let level = levels.get(&rule.header.id).copied();
        Arc::new(RuleDetector::new(rule.clone(), params.clone(), level)) as Arc<dyn Detector>
    };
    rules.rules().iter().map(of_rule).collect()
}
