//! An alert as a document of the Elastic Common Schema 9.4.0, and as the two lines of a `_bulk` request.
//!
//! Only fields of the schema are used, so the document fits a strict mapping: what ECS has no field for is under `labels`, and the whole
//! alert, as our own JSON, is the text of `event.original`. `kibana.alert.*` belongs to Kibana's detection engine and is not written.

use super::facts::{Name, PRODUCT, PROGRAM, VERSION, attacks, name, names, observed, precise, risk, says, span, title};
use super::object::Attributes;
use super::{Shown, json_text, jsonl};
use crate::alert::Kind;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;

/// Version of the schema that documents follow.
pub const ECS_VERSION: &str = "9.4.0";

/// Makes the document.
pub fn encode(shown: &Shown<'_>) -> io::Result<Value> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let (start, end) = span(alert);
    // What was cut is no original, and the room is needed.
    let whole = shown.full_bytes.is_none().then(|| json_text(&jsonl::Wire::of(alert))).transpose()?;
    let event = Attributes::new()
        .with("kind", "signal")
        .with("category", json!(["intrusion_detection"]))
        .with("type", json!(["info"]))
        .with("id", alert.alert_id.as_str())
        .with("code", finding.rule_id.as_str())
        .text("action", Some(&finding.rule_group))
        .with("module", PROGRAM)
        .with("dataset", "calltrail.alert")
        .with("provider", PRODUCT)
        .with("created", precise(alert.time()))
        .with("start", precise(start))
        .with("end", precise(end))
        .with("duration", end.saturating_sub(start).saturating_mul(1000))
        .with("severity", risk(finding.level))
        .with("risk_score", risk(finding.level))
        .maybe("original", whole);
    let rule = Attributes::new()
        .with("id", finding.rule_id.as_str())
        .with("name", title(alert))
        .text("version", Some(&finding.rule_version))
        .text("category", Some(&finding.rule_group))
        .text("description", Some(&finding.description))
        .with("ruleset", if finding.kind == Kind::Model { "calltrail.model" } else { "calltrail.rule" });
    let agent = name(alert, Name::Agent);
    let tool = name(alert, Name::Tool);
    let gen_ai = Attributes::new()
        .maybe("agent", agent.map(|agent| json!({"name": agent})))
        .maybe("tool", tool.map(|tool| json!({"name": tool})))
        .maybe("operation", tool.map(|_| json!({"name": "execute_tool"})));
    let labels = Attributes::new()
        .with("level", finding.level.as_str())
        .text("rule_status", Some(&finding.status))
        .maybe("session_id", name(alert, Name::Session))
        .maybe("mcp_server", name(alert, Name::Server))
        .maybe("mcp_tool", tool)
        .text("incident_id", Some(&alert.incident_id))
        .text("suppressed_by", alert.suppressed_by.as_deref())
        .maybe("truncated_from_bytes", shown.full_bytes.map(|bytes| bytes.to_string()));
    let observer = Attributes::new()
        .with("vendor", PRODUCT)
        .with("product", PRODUCT)
        .with("version", VERSION)
        .with("type", "ids")
        .text("hostname", shown.options.host.as_deref());
    let user = name(alert, Name::User);
    let hosts: BTreeSet<&str> = observed(alert, "domain").into_iter().collect();
    // The field's type is an address: one text that is none, and the document would be refused.
    let ips: BTreeSet<&str> =
        observed(alert, "ip").into_iter().filter(|ip| ip.parse::<std::net::IpAddr>().is_ok()).collect();
    let related = Attributes::new()
        .list("user", names(alert, Name::User))
        .list("hosts", hosts)
        .list("ip", ips)
        .list("hash", observed(alert, "hash"));
    let file = alert.calls.iter().rev().find_map(|call| call.source_file.as_deref());
    Ok(Attributes::new()
        .with("@timestamp", precise(alert.time()))
        .with("ecs", json!({"version": ECS_VERSION}))
        .with("message", says(alert))
        .list("tags", finding.tags.iter().filter(|tag| !tag.is_empty()).map(String::as_str))
        .with("event", event)
        .with("rule", rule)
        .object("threat", threat(shown))
        .with("labels", labels)
        .maybe("user", user.map(|id| json!({"id": id})))
        .object("gen_ai", gen_ai)
        .maybe("url", observed(alert, "url").first().map(|url| json!({"original": url})))
        .maybe("file", observed(alert, "file_path").first().map(|path| json!({"path": path})))
        .maybe("log", file.filter(|file| !file.is_empty()).map(|file| json!({"file": {"path": file}})))
        .object("related", related)
        .with("observer", observer)
        .into())
}

/// ATT&CK, or ATLAS where a rule has no tag of ATT&CK: the framework is one text for all ids.
fn threat<'a>(shown: &Shown<'a>) -> Attributes<'a> {
    let (tactics, techniques) = attacks(shown.alert);
    let is_attack = |id: &str| !id.starts_with("AML.");
    let attack = tactics.iter().chain(&techniques).any(|known| is_attack(&known.id));
    let pick = |known: Vec<super::facts::Known>| {
        let known: Vec<_> = known.into_iter().filter(|known| is_attack(&known.id) == attack).collect();
        let subs: Vec<_> = known.iter().filter_map(|known| known.sub.as_ref()).collect();
        let subs = Attributes::new()
            .list("id", subs.iter().map(|(id, _)| id.clone()))
            .list("name", subs.iter().filter_map(|(_, name)| *name));
        Attributes::new()
            .list("id", known.iter().map(|known| known.id.clone()))
            .list("name", known.iter().filter_map(|known| known.name))
            .object("subtechnique", subs)
    };
    let found = Attributes::new().object("tactic", pick(tactics)).object("technique", pick(techniques));
    if found.is_empty() {
        return found;
    }
    found.with("framework", if attack { "MITRE ATT&CK" } else { "MITRE ATLAS" })
}

/// Action and document of one item of a `_bulk` request. The document's id is the alert's, and `create` refuses an id that is there (409),
/// so that sending twice has no effect.
pub fn bulk(shown: &Shown<'_>) -> io::Result<String> {
    let action =
        Attributes::new().text("_index", shown.options.index.as_deref()).with("_id", shown.alert.alert_id.as_str());
    let action = json_text(&Value::from(Attributes::new().with("create", action)))?;
    Ok(format!("{action}\n{}", json_text(&encode(shown)?)?))
}
