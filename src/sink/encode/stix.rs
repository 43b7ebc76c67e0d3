//! Alerts as a STIX 2.1 bundle: for each an incident, the observables, observed data over them, and sightings of the techniques. An
//! indicator is made only of a destination that the rule itself names: an observable is evidence, and a value in evidence need not be bad.
//!
//! Ids are name-based, so that the same alert is the same objects again. Identity and techniques are common to all alerts of a bundle. A bundle
//! holds no alert's id as its own: it is the external id of the incident.

use super::Shown;
use super::facts::{Known, Name, PRODUCT, PROGRAM, attacks, name, observed, percent, says, span, stamp, title};
use super::name_based::{OURS, uuid};
use super::object::Attributes;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::IpAddr;
use uuid::Uuid;

/// The namespace that the specification gives for ids of observables.
const OBSERVABLES: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);
/// When the identity was made; it never changes.
const BEGINNING: &str = "2026-01-01T00:00:00.000Z";

/// Makes one bundle of some alerts.
pub fn document<'a>(alerts: impl IntoIterator<Item = Shown<'a>>) -> Value {
    let mut bundle = Bundle::default();
    let identity = bundle.add(
        Attributes::new()
            .with("type", "identity")
            .with("spec_version", "2.1")
            .with("id", id("identity", &[PROGRAM]))
            .with("created", BEGINNING)
            .with("modified", BEGINNING)
            .with("name", PRODUCT)
            .with("identity_class", "system"),
    );
    let mut ids = vec!["bundle"];
    for shown in alerts {
        ids.push(&shown.alert.alert_id);
        add_alert(&mut bundle, &identity, &shown);
    }
    json!({"type": "bundle", "id": id("bundle", &ids), "objects": bundle.objects})
}

/// Objects, each once.
#[derive(Default)]
struct Bundle {
    objects: Vec<Value>,
    seen: HashSet<String>,
}

impl Bundle {
    /// Adds an object if it is not there, and gives its id.
    fn add(&mut self, object: Attributes<'_>) -> String {
        let object = Value::from(object);
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        if self.seen.insert(id.clone()) {
            self.objects.push(object);
        }
        id
    }
}

fn id(kind: &str, parts: &[&str]) -> String {
    let parts: Vec<&str> = std::iter::once(kind).chain(parts.iter().copied()).collect();
    format!("{kind}--{}", uuid(OURS, &parts))
}

fn add_alert(bundle: &mut Bundle, identity: &str, shown: &Shown<'_>) {
    let alert = shown.alert;
    let (start, end) = span(alert);
    let time = stamp(alert.time());
    let domain_object = |kind: &'static str, parts: &[&str]| {
        Attributes::new()
            .with("type", kind)
            .with("spec_version", "2.1")
            .with("id", id(kind, parts))
            .with("created_by_ref", identity)
            .with("created", time.as_str())
            .with("modified", time.as_str())
    };
    let own = alert.alert_id.as_str();
    let reference = json!([{"source_name": PROGRAM, "external_id": own}]);
    let notes = shown.full_bytes.map(|bytes| format!(" [cut from {bytes} bytes]")).unwrap_or_default();
    let incident = domain_object("incident", &[own])
        .with("name", title(alert))
        .with("description", format!("{}{notes}", says(alert)))
        .list("labels", alert.finding.tags.iter().filter(|tag| !tag.is_empty()).map(String::as_str))
        .with("external_references", reference.clone());
    let incident = bundle.add(incident.maybe("confidence", percent(alert)));

    let observables: Vec<String> = observables(shown).into_iter().map(|object| bundle.add(object)).collect();
    let observed_data = (!observables.is_empty()).then(|| {
        bundle.add(
            domain_object("observed-data", &[own])
                .with("first_observed", stamp(start))
                .with("last_observed", stamp(end))
                .with("number_observed", alert.calls_total.clamp(1, 999_999_999))
                .with("object_refs", distinct(observables))
                .with("external_references", reference.clone()),
        )
    });

    let (_, techniques) = attacks(alert);
    let patterns: Vec<String> = techniques.iter().map(|known| bundle.add(attack_pattern(known, identity))).collect();
    let mut sighted = patterns.clone();
    if let Some(pattern) = pattern(shown) {
        let indicator = domain_object("indicator", &[own])
            .with("name", title(alert))
            .with("description", says(alert))
            .with("indicator_types", json!(["anomalous-activity"]))
            .with("pattern", pattern)
            .with("pattern_type", "stix")
            .with("pattern_version", "2.1")
            .with("valid_from", stamp(start))
            .with("external_references", reference)
            .maybe("confidence", percent(alert));
        let indicator = bundle.add(indicator);
        for attack in &patterns {
            let relation = domain_object("relationship", &[own, "indicates", attack])
                .with("relationship_type", "indicates")
                .with("source_ref", indicator.as_str())
                .with("target_ref", attack.as_str());
            bundle.add(relation);
        }
        sighted.insert(0, indicator);
    }
    for attack in &patterns {
        let relation = domain_object("relationship", &[own, "related-to", attack])
            .with("relationship_type", "related-to")
            .with("source_ref", incident.as_str())
            .with("target_ref", attack.as_str());
        bundle.add(relation);
    }
    for of in &sighted {
        let sighting = domain_object("sighting", &[own, of])
            .with("first_seen", stamp(start))
            .with("last_seen", stamp(end))
            .with("count", 1)
            .with("sighting_of_ref", of.as_str())
            .list("observed_data_refs", observed_data.clone())
            .with("where_sighted_refs", json!([identity]));
        bundle.add(sighting);
    }
}

fn distinct(ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

fn attack_pattern<'a>(known: &'a Known, identity: &'a str) -> Attributes<'a> {
    let (external, name) = known.last();
    let source = if external.starts_with("AML.") { "mitre-atlas" } else { "mitre-attack" };
    Attributes::new()
        .with("type", "attack-pattern")
        .with("spec_version", "2.1")
        .with("id", id("attack-pattern", &[external]))
        .with("created_by_ref", identity)
        .with("created", BEGINNING)
        .with("modified", BEGINNING)
        .with("name", name.unwrap_or(external))
        .with("external_references", json!([{"source_name": source, "external_id": external}]))
}

/// The alert's observables that the format has an object for and whose values it would accept.
fn observables<'a>(shown: &Shown<'a>) -> Vec<Attributes<'a>> {
    let alert = shown.alert;
    let mut list = Vec::new();
    let mut add = |kind: &'static str, property: &'static str, value: &'a str| {
        // RFC 8785 writes a string as serde_json does.
        let name = json!({property: value}).to_string();
        list.push(
            Attributes::new()
                .with("type", kind)
                .with("spec_version", "2.1")
                .with("id", format!("{kind}--{}", uuid(OBSERVABLES, &[&name])))
                .with(property, value),
        );
    };
    for ip in observed(alert, "ip") {
        if let Some(kind) = address_kind(ip) {
            add(kind, "value", ip);
        }
    }
    observed(alert, "domain").into_iter().filter(|name| is_domain(name)).for_each(|name| {
        add("domain-name", "value", name);
    });
    observed(alert, "url").into_iter().filter(|url| is_url(url)).for_each(|url| add("url", "value", url));
    observed(alert, "email").into_iter().filter(|text| is_email(text)).for_each(|text| {
        add("email-addr", "value", text);
    });
    for path in observed(alert, "file_path") {
        let name = path.rsplit(['/', '\\']).find(|part| !part.is_empty());
        if let Some(name) = name {
            add("file", "name", name);
        }
    }
    if let Some(user) = name(alert, Name::User) {
        add("user-account", "user_id", user);
    }
    list
}

/// The destinations that the rule names, as a pattern.
fn pattern(shown: &Shown<'_>) -> Option<String> {
    let evidence = &shown.alert.finding.evidence;
    if !evidence.contains_key("destination") && !evidence.contains_key("destinations") {
        return None;
    }
    let destinations = shown.alert.destinations()?;
    let terms = destinations.into_iter().filter_map(|to| {
        let kind = address_kind(to).or_else(|| is_domain(to).then_some("domain-name"))?;
        let quoted = to.replace('\\', "\\\\").replace('\'', "\\'");
        Some(format!("{kind}:value = '{quoted}'"))
    });
    let terms: Vec<String> = terms.collect();
    (!terms.is_empty()).then(|| format!("[{}]", terms.join(" OR ")))
}

fn address_kind(text: &str) -> Option<&'static str> {
    match text.parse().ok()? {
        IpAddr::V4(_) => Some("ipv4-addr"),
        IpAddr::V6(_) => Some("ipv6-addr"),
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label) && text.parse::<IpAddr>().is_err()
}

fn is_url(text: &str) -> bool {
    text.is_ascii()
        && !text.contains(|c: char| c.is_ascii_control() || " \"<>\\^`{|}".contains(c))
        && url::Url::parse(text).is_ok()
}

fn is_email(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && local.chars().all(allowed) && is_domain(host))
}
