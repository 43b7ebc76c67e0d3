//! What the encodings say of a plain alert, and what a terminal gets of a hostile one. `tests/it/encodings.rs` holds all of them against schemas and parsers.

use super::encode::{Options, Shown, json_text, ocsf, table};
use super::{Encoding, write};
use crate::alert::Alert;
use crate::alert::tests::{awkward, sample};
use crate::visible::is_hidden;
use serde_json::Value;

fn written(alerts: &[Alert], encoding: Encoding) -> String {
    let mut out = Vec::new();
    write(alerts, encoding, &Options::default(), table::Style::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn ocsf_says_what_the_alert_says() {
    let alert = sample();
    let event = ocsf::encode(&Shown { alert: &alert, options: &Options::default(), full_bytes: None });
    assert_eq!(event["type_uid"], 200_401);
    assert_eq!(event["finding_info"]["uid"], alert.alert_id.as_str());
    assert_eq!(
        (&event["severity"], &event["risk_level_id"], &event["confidence_score"]),
        (&"High".into(), &3.into(), &86.into())
    );
    assert_eq!(event["time"], 1_795_342_530_123_i64);
    let attacks = &event["finding_info"]["attacks"];
    assert_eq!(attacks[0]["technique"]["uid"], "AML.T0086");
    assert_eq!(attacks[0]["version"], "5.6.0");
    assert_eq!(attacks[1]["sub_technique"]["name"], "Exfiltration to Cloud Storage");
    assert_eq!(attacks[2]["tactic"]["uid"], "TA0010");
    assert_eq!(event["evidences"][1]["api"]["operation"], "tools/call http_post");
    assert_eq!(event["evidences"][0]["actor"]["session"]["uid"], "s-1");
    assert_eq!(event["observables"][1]["type_id"], 1);
}

#[test]
fn machine_encodings_are_one_line_each_and_safe_to_show() {
    let alerts = awkward();
    for encoding in [Encoding::Jsonl, Encoding::Ocsf] {
        let text = written(&alerts, encoding);
        assert_eq!(text.lines().count(), alerts.len());
        assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)));
        for (line, alert) in text.lines().zip(&alerts) {
            let value: Value = serde_json::from_str(line).unwrap();
            let message = alert.finding.message.as_ref().unwrap_or(&alert.finding.rule_title);
            if let Some(said) = value["message"].as_str() {
                assert_eq!(said, message, "escaping changes no value");
            }
        }
    }
    let json: Value = serde_json::from_str(&written(&alerts, Encoding::Json)).unwrap();
    assert_eq!(json.as_array().unwrap().len(), alerts.len());
    assert_eq!(written(&[], Encoding::Json), "[]\n");
    assert_eq!(json_text(&"\u{e0041}\u{9b}").unwrap(), "\"\\udb40\\udc41\\u009b\"");
}

#[test]
fn table_is_calm() {
    let text = written(&[sample()], Encoding::Table);
    let expected = "\
HIGH      2026-11-22 10:15:30Z  Secret read, then data sent out in the same session
          rule secret_then_egress · session s-1 · agent notes-agent · 2 calls · ID
          4312 bytes sent to paste.example
";
    assert_eq!(text.replace(&sample().alert_id, "ID"), expected);

    let hostile = table::encode(&awkward(), table::Style { width: 60, color: false });
    assert!(!hostile.chars().any(|c| c != '\n' && is_hidden(c)));
    assert!(hostile.len() < 20_000, "a megabyte of message is cut");
    let colored = table::encode(&[sample()], table::Style { width: 60, color: true });
    assert!(colored.starts_with("\x1b[31mHIGH\x1b[0m      2026"), "{colored:?}");
    assert_eq!(colored.matches('\x1b').count(), 2);
}
