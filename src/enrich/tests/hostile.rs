//! Whatever the bytes: no panic, JSON stays JSON, a planted secret does not survive.

use super::super::walk::Tape;
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,40}",
        Just("\\".repeat(5)),
        Just("password=".to_owned()),
        Just("https://u:p@h/?token=".to_owned()),
        Just("{\"a\":\"\\\"".to_owned()),
        Just("%22%3D%".to_owned()),
        Just("data:image/png;base64,QUJD".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----".to_owned()),
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null)
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key =
            prop_oneof![".{0,12}", Just("password".to_owned()), Just("value".to_owned()), Just("data".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner.clone()), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

/// Puts `secret` behind `before` into every string.
fn plant(value: &mut Value, before: &str, secret: &str) {
    match value {
        Value::String(text) => *text = format!("{text}{before}{secret} "),
        Value::Array(all) => all.iter_mut().for_each(|value| plant(value, before, secret)),
        Value::Object(all) => all.values_mut().for_each(|value| plant(value, before, secret)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_walk_accepts_what_serde_accepts(text in "[\\[\\]{},:\"\\\\ntrue0-9.eE+ \u{1}-]{0,24}") {
        let serde = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(Tape::default().parse(&text), serde);
    }

    #[test]
    fn any_text_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), limit in 0usize..400) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let enricher = Enricher::new(EnrichOptions { payload_limit: limit, ..EnrichOptions::new([1; 32]) });
        enricher.text(&text, "x");
        let mut call = Call { arguments: Some(text.clone()), result: Some(json!(text).to_string()), ..Call::default() };
        enricher.call(&mut call);
        let stored = call.result.unwrap_or_default();
        prop_assert!(serde_json::from_str::<Value>(&stored).is_ok(), "{}", stored);
        result_text(&text, limit);
    }

    #[test]
    fn json_stays_json_and_no_secret_survives(value in any_json(), nest in any::<bool>(), before in prop_oneof![Just(" "), Just("\n"), Just("\\n"), Just("\""), Just("%22")], limit in 256usize..4000) {
        let secret = format!("ghp_{}", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2cD4");
        let mut value = value;
        plant(&mut value, before, &secret);
        if nest {
            value = json!({"content": [{"type": "text", "text": value.to_string()}]});
        }
        let text = value.to_string();
        let enricher = Enricher::new(EnrichOptions { payload_limit: limit, ..EnrichOptions::new([1; 32]) });
        let mut call = Call { result: Some(text.clone()), result_state: PayloadState::Present, error_message: Some(text.clone()), ..Call::default() };
        let enriched = enricher.call(&mut call);
        let stored = call.result.unwrap_or_default();
        prop_assert!(serde_json::from_str::<Value>(&stored).is_ok(), "{}", stored);
        prop_assert!(stored.len() <= limit.max(512), "{} > {}", stored.len(), limit);
        let body = &secret[4..];
        prop_assert!(!stored.contains(body), "{} -> {}", text, stored);
        prop_assert!(!call.error_message.unwrap_or_default().contains(body));
        for observable in &enriched.observables {
            prop_assert!(!observable.value.contains(body) && !observable.path.contains(body), "{:?}", observable);
        }
    }
}
