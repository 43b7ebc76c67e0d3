//! What rules cover: by taxonomy, and on the logs that a lake holds.
//!
//! Whether a rule can work is judged from its header (`needs`, `history`) and from how many of the calls carry what it
//! names. Nothing here runs a rule.

use super::needs::{FIELDS, LogField};
use super::{Rule, RuleSet};
use crate::alert::Level;
use crate::alert::taxonomy::{self, Framework};
use crate::query::{QueryError, Session};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Techniques of ATLAS and ATT&CK that logs of tool calls can show: what is listed as not covered.
const VISIBLE: &str = include_str!("coverage/visible.psv");

/// Share of the calls that must carry something for it to count as logged.
const LOGGED: f64 = 0.5;

/// One entry of a taxonomy and the rules that detect it.
#[derive(Debug)]
pub struct Entry<'a> {
    pub id: &'static str,
    pub title: &'static str,
    /// By id; a rule that names a sub-technique covers its technique too.
    pub rules: Vec<&'a Rule>,
}

/// Every entry of a taxonomy that rules cover or that logs of tool calls can show, by id.
pub fn by_taxonomy(rules: &RuleSet, framework: Framework) -> Vec<Entry<'_>> {
    let mut covering: BTreeMap<&'static str, Vec<&Rule>> = BTreeMap::new();
    for rule in rules.rules() {
        let mut ids: BTreeSet<&'static str> = BTreeSet::new();
        for (of, id) in rule.header.tags.iter().filter_map(|tag| taxonomy::pinned(tag, true)) {
            if of == framework {
                ids.insert(id);
                ids.extend(parent(framework, id));
            }
        }
        ids.into_iter().for_each(|id| covering.entry(id).or_default().push(rule));
    }
    let visible: BTreeSet<&str> = VISIBLE.lines().filter(|line| !line.starts_with('#')).collect();
    let whole = matches!(framework, Framework::OwaspMcp | Framework::OwaspAsi);
    let entries = framework.ids().iter().filter_map(|&(id, title)| {
        let rules = covering.remove(id).unwrap_or_default();
        (whole || visible.contains(id) || !rules.is_empty()).then_some(Entry { id, title, rules })
    });
    entries.collect()
}

/// The technique of a sub-technique.
fn parent(framework: Framework, id: &str) -> Option<&'static str> {
    let (main, sub) = id.rsplit_once('.')?;
    let is_sub = sub.len() == 3 && sub.bytes().all(|b| b.is_ascii_digit());
    let ids = framework.ids();
    ids.iter().find(|(known, _)| is_sub && *known == main).map(|(known, _)| *known)
}

/// A layer for the ATT&CK Navigator, or for ATLAS's: layer format 4.5. The score of a technique is how many rules detect
/// it; how far these have proved themselves and how bad what they see is stand in its metadata.
pub fn navigator(rules: &RuleSet, framework: Framework) -> Value {
    let (domain, versions, data) = match framework {
        Framework::Atlas => (
            "atlas-atlas",
            json!({"navigator": "4.6.4", "layer": "4.5"}),
            json!([{"name": "atlas_data_version", "value": taxonomy::ATLAS_VERSION}]),
        ),
        _ => (
            "enterprise-attack",
            json!({"attack": taxonomy::ATTACK_VERSION, "navigator": "5.1.0", "layer": "4.5"}),
            json!([]),
        ),
    };
    let covered: Vec<Entry<'_>> =
        by_taxonomy(rules, framework).into_iter().filter(|entry| !entry.rules.is_empty()).collect();
    let most = covered.iter().map(|entry| entry.rules.len()).max().unwrap_or(1);
    let techniques: Vec<Value> = covered
        .iter()
        .map(|entry| {
            let mut counts: BTreeMap<(u8, &str), usize> = BTreeMap::new();
            for rule in &entry.rules {
                *counts.entry((0, rule.header.status.as_str())).or_default() += 1;
                *counts.entry((1, rule.header.level.as_str())).or_default() += 1;
            }
            let metadata: Vec<Value> = counts
                .into_iter()
                .map(|((kind, name), count)| {
                    let kind = if kind == 0 { "status" } else { "level" };
                    json!({"name": format!("{kind} {name}"), "value": count.to_string()})
                })
                .collect();
            let ids: Vec<&str> = entry.rules.iter().map(|rule| rule.header.id.as_str()).collect();
            json!({
                "techniqueID": entry.id, "score": entry.rules.len(), "comment": ids.join(", "), "enabled": true,
                "metadata": metadata, "showSubtechniques": true,
            })
        })
        .collect();
    json!({
        "name": format!("CallTrail rules on {}", framework.title_text()),
        "versions": versions,
        "domain": domain,
        "description": format!("{} rules; the score of a technique is how many of them detect it", rules.len()),
        "metadata": data,
        "sorting": 3,
        "hideDisabled": false,
        "techniques": techniques,
        "gradient": {"colors": ["#ffffffff", "#66b1ffff"], "minValue": 0, "maxValue": most},
        "legendItems": [],
    })
}

/// What the logs of a lake carry.
#[derive(Debug, Default)]
pub struct Logs {
    pub formats: Vec<FormatLogs>,
    /// Microseconds between the first and the last call.
    pub span: i64,
}

/// What the logs of one format carry.
#[derive(Debug, Default)]
pub struct FormatLogs {
    pub format: String,
    /// Tool calls.
    pub calls: u64,
    /// Share of the tool calls that carry the field, from 0 to 1; by name of the field.
    shares: BTreeMap<&'static str, f64>,
    /// The same for the fields that OWASP MCP08 names, in its words.
    mcp08: BTreeMap<&'static str, f64>,
}

/// OWASP MCP08's fields: its word, and the condition on a tool call. Text that was summarised or redacted was logged.
const MCP08: [(&str, &str); 7] = [
    ("timestamp", "time IS NOT NULL"),
    ("agent_id", "agent IS NOT NULL OR gen_ai_agent_id IS NOT NULL"),
    ("session_id", "session_id IS NOT NULL AND session_source IN ('conversation', 'mcp_session', 'trace')"),
    ("tool_invoked", "tool IS NOT NULL"),
    ("parameters_used", "arguments_state IN ('present', 'truncated', 'summarised', 'redacted', 'none')"),
    ("response_summary", "result_state IN ('present', 'truncated', 'summarised', 'redacted', 'none')"),
    ("user_identity", "user_id IS NOT NULL OR user_name IS NOT NULL OR user_email IS NOT NULL"),
];

/// Whether a rule can work on some logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Something that it needs is nowhere.
    Blind,
    /// Something that it needs is missing from most calls.
    Partial,
    /// The log is shorter than the history that it needs.
    Waiting,
    Works,
    /// Its header does not say what it needs.
    Unstated,
}

impl Sight {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Partial => "partial",
            Self::Waiting => "waiting",
            Self::Works => "works",
            Self::Unstated => "unstated",
        }
    }
}

/// How one rule stands with the logs.
#[derive(Debug)]
pub struct RuleSight<'a> {
    pub rule: &'a Rule,
    pub sight: Sight,
    /// Formats on which it works.
    pub formats: Vec<String>,
    /// Words of `needs` for want of which it does not, as the header has them.
    pub missing: Vec<String>,
}

impl Logs {
    /// Looks at the calls, definitions, connections and prompts of a lake.
    ///
    /// # Errors
    /// A query fails.
    pub async fn measure(session: &Session) -> Result<Self, QueryError> {
        let counted = |name: &str, condition: &str| format!("count(*) FILTER (WHERE {condition}) AS \"{name}\"");
        let of_table = |table: &str| {
            let fields = FIELDS.iter().filter(|field| field.table == table && field.is_share());
            fields.map(|field| counted(field.name, field.present)).collect::<Vec<_>>().join(", ")
        };
        let mcp08: Vec<String> =
            MCP08.iter().map(|(name, condition)| counted(&format!("mcp08 {name}"), condition)).collect();
        let sql = format!(
            "SELECT coalesce(source_format, 'unknown') AS format, count(*) AS calls, {}, {}, \
             CAST(min(time) AS BIGINT) AS \"first\", CAST(max(time) AS BIGINT) AS \"last\" \
             FROM calls WHERE method = 'tools/call' AND event_kind = 'call' GROUP BY 1 ORDER BY 1",
            of_table("calls"),
            mcp08.join(", ")
        );
        let mut logs = Self::default();
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for row in session.rows::<Map<String, Value>>(&sql).await? {
            let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
            let calls = number("calls");
            let share = |name: &str| number(name) as f64 / calls.max(1) as f64;
            let of_calls = FIELDS.iter().filter(|field| field.table == "calls" && field.is_share());
            logs.formats.push(FormatLogs {
                format: row.get("format").and_then(Value::as_str).unwrap_or_default().to_owned(),
                calls,
                shares: of_calls.map(|field| (field.name, share(field.name))).collect(),
                mcp08: MCP08.iter().map(|(name, _)| (*name, share(&format!("mcp08 {name}")))).collect(),
            });
            first = first.min(row.get("first").and_then(Value::as_i64).unwrap_or(i64::MAX));
            last = last.max(row.get("last").and_then(Value::as_i64).unwrap_or(i64::MIN));
        }
        logs.span = last.checked_sub(first).unwrap_or(0).max(0);
        // Of these a log has some or none.
        for field in FIELDS.iter().filter(|field| !field.is_share()) {
            let sql = format!(
                "SELECT DISTINCT coalesce(source_format, 'unknown') AS format FROM {} WHERE {}",
                field.table, field.present
            );
            let having: BTreeSet<String> = session
                .rows::<Map<String, Value>>(&sql)
                .await?
                .iter()
                .filter_map(|row| row.get("format").and_then(Value::as_str).map(str::to_owned))
                .collect();
            for format in &mut logs.formats {
                format.shares.insert(field.name, f64::from(u8::from(having.contains(&format.format))));
            }
        }
        Ok(logs)
    }

    /// Tool calls of all formats.
    pub fn calls(&self) -> u64 {
        self.formats.iter().map(|format| format.calls).sum()
    }

    /// Share of all tool calls that carry a field.
    pub fn share(&self, field: &LogField) -> f64 {
        self.mean(|format| format.share(field))
    }

    fn mean(&self, of: impl Fn(&FormatLogs) -> f64) -> f64 {
        let sum: f64 = self.formats.iter().map(|format| of(format) * format.calls as f64).sum();
        sum / self.calls().max(1) as f64
    }

    /// MCP08's fields with the share of all tool calls that carry them.
    pub fn mcp08(&self) -> Vec<(&'static str, f64)> {
        MCP08
            .iter()
            .map(|(name, _)| (*name, self.mean(|format| format.mcp08.get(name).copied().unwrap_or(0.0))))
            .collect()
    }

    /// How each rule stands, by id.
    pub fn sights<'a>(&self, rules: &'a RuleSet) -> Vec<RuleSight<'a>> {
        rules.rules().iter().map(|rule| self.sight(rule)).collect()
    }

    fn sight<'a>(&self, rule: &'a Rule) -> RuleSight<'a> {
        let Some(needs) = &rule.header.needs else {
            return RuleSight { rule, sight: Sight::Unstated, formats: Vec::new(), missing: Vec::new() };
        };
        let best = |format: &FormatLogs| {
            let shares =
                needs.iter().map(|need| need.any_of().iter().map(|field| format.share(field)).fold(0.0, f64::max));
            shares.fold(1.0, f64::min)
        };
        let works: Vec<&FormatLogs> = self.formats.iter().filter(|format| best(format) >= LOGGED).collect();
        let sees_some = self.formats.iter().any(|format| best(format) > 0.0);
        let missing = needs.iter().filter(|need| need.any_of().iter().all(|field| self.share(field) < LOGGED));
        let missing: Vec<String> = missing.map(ToString::to_string).collect();
        let sight = match (works.is_empty(), sees_some) {
            (true, false) => Sight::Blind,
            _ if !missing.is_empty() || works.is_empty() => Sight::Partial,
            _ if self.span < rule.header.history => Sight::Waiting,
            _ => Sight::Works,
        };
        RuleSight { rule, sight, formats: works.into_iter().map(|format| format.format.clone()).collect(), missing }
    }

    /// What to log so that more rules can work: each field with the rules for which it is the only one missing or one of
    /// several, most rules first.
    pub fn advice<'a>(&self, sights: &[RuleSight<'a>]) -> Vec<(&'static LogField, Vec<&'a str>)> {
        let mut wanted: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
        for sight in sights.iter().filter(|sight| matches!(sight.sight, Sight::Blind | Sight::Partial)) {
            for word in sight.missing.iter().flat_map(|missing| missing.split('|')) {
                wanted.entry(word).or_default().push(&sight.rule.header.id);
            }
        }
        let mut advice: Vec<(&'static LogField, Vec<&str>)> =
            FIELDS.iter().filter_map(|field| Some((field, wanted.remove(field.name)?))).collect();
        advice.sort_by_key(|(_, rules)| std::cmp::Reverse(rules.len()));
        advice
    }
}

impl FormatLogs {
    /// Share of the format's tool calls that carry a field.
    pub fn share(&self, field: &LogField) -> f64 {
        self.shares.get(field.name).copied().unwrap_or(0.0)
    }

    /// How many of MCP08's seven fields its log holds.
    pub fn mcp08_held(&self) -> usize {
        self.mcp08.values().filter(|share| **share >= LOGGED).count()
    }
}

/// How many of MCP08's fields these shares hold.
pub fn held(shares: &[(&'static str, f64)]) -> usize {
    shares.iter().filter(|(_, share)| *share >= LOGGED).count()
}

/// Counts of rules by level, mildest first.
pub fn by_level<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Vec<(Level, usize)> {
    let mut counts: BTreeMap<Level, usize> = BTreeMap::new();
    rules.into_iter().for_each(|rule| *counts.entry(rule.header.level).or_default() += 1);
    counts.into_iter().collect()
}
