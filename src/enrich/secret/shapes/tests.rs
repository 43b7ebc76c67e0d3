//! No token survives: tokens are drawn from the shapes' own expressions and put wherever a log can hold one.
//!
//! Rare characters decide whether a token is found (no digit, a dash at its end, a `+` early on), so each shape is also
//! drawn without digits and with more of its punctuation than chance would give.

use super::{SHAPES, pattern};
use crate::call::Call;
use crate::enrich::{EnrichOptions, Enricher};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::json;

#[test]
fn every_pattern_compiles() {
    for (i, shape) in SHAPES.iter().enumerate() {
        assert!(pattern(i).is_some(), "{}", shape.kind);
    }
}

/// Alphabets of letters and digits that a shape's own are replaced by.
const ALPHABETS: &[&str] = &["A-Za-z0-9", "A-Za-z", "Ab7"];

/// A log's text around a token, and whether it is one string (else it is no JSON).
const AROUND: &[(&str, &str)] = &[
    ("", ""),
    ("the key is ", " today"),
    ("Posts. For example with ", " as the key."),
    ("line one\n\"", "\"\n\tline\ttwo"),
    ("_", "_, "),
    ("**", "**"),
    ("`", "`"),
    ("(", ")"),
    ("(see ", "), then"),
    ("is it ", "?"),
    ("one,", ",three;"),
    ("«", "»"),
    ("密钥", "。"),
    ("<key>", "</key>"),
    ("a\t", "\tb"),
    ("log\\n", "\\nlog"),
    ("\\u0022", "\\u0022"),
    ("{\\\"k\\\":\\\"", "\\\"}"),
    ("export KEY=", "\nexport X=1"),
    ("KEY='", "';"),
    ("https://api.example/v1?first=1&key=", "&last=2"),
    ("https://api.example/bot/", "/send"),
    ("https://api.example/?q=%22", "%22"),
    ("{\"jsonrpc\":\"2.0\",\"id\":6,\"params\":{\"name\": ", ""),
    ("{\"jsonrpc\":\"2.0\",\"id\":7,\"params\":{\"name\":\"t\",\"arguments\":{\"a\":\"", ""),
    ("{\"jsonrpc\":\"2.0\",\"id\":7,\"params\":{\"", "\":1,"),
];

/// Tokens of one shape.
fn tokens(source: &str, alphabet: &str, runner: &mut TestRunner, count: usize) -> Vec<String> {
    let source = source
        .replace("{w}", "[A-Za-z0-9_-]")
        .replace("{a}", "[A-Za-z0-9]")
        .replace("{h}", "[0-9a-f]")
        .replace("{e}", "")
        .replace("\\b", "")
        .replace("A-Za-z0-9", alphabet);
    let source = if alphabet.contains('7') { source } else { source.replace("A-Z0-9", "A-Z") };
    let strategy = string_regex(&source).expect("an expression without look-around");
    (0..count).map(|_| strategy.new_tree(runner).expect("no filter").current()).collect()
}

#[test]
fn no_token_survives() {
    let count = std::env::var("TOKENS").map_or(1, |n| n.parse().expect("number"));
    let enricher = Enricher::new(EnrichOptions::new([7; 32]));
    let mut runner = TestRunner::deterministic();
    let mut failed = std::collections::BTreeMap::<String, (usize, String)>::new();
    for shape in SHAPES {
        for alphabet in ALPHABETS {
            for token in tokens(shape.pattern, alphabet, &mut runner, count) {
                for (before, after) in AROUND {
                    let text = format!("{before}{token}{after}");
                    let inner = json!({"a": text}).to_string();
                    let mut call = Call {
                        arguments: Some(json!({"value": text, "body": inner}).to_string()),
                        result: Some(json!({text.clone(): {"x": 1}}).to_string()),
                        error_message: Some(text.clone()),
                        ..Call::default()
                    };
                    let enriched = enricher.call(&mut call);
                    let outs = [
                        ("arguments", call.arguments.unwrap_or_default()),
                        ("key", call.result.unwrap_or_default()),
                        ("error", call.error_message.unwrap_or_default()),
                        ("text", enricher.text(&text, "description").text),
                        ("observables", format!("{:?}", enriched.observables)),
                    ];
                    for (place, out) in outs {
                        let left = token.as_bytes().windows(12).any(|piece| memchr::memmem::find(out.as_bytes(), piece).is_some());
                        if left {
                            let e = failed.entry(format!("{} {alphabet} {before:?} {place}", shape.kind)).or_default();
                            e.0 += 1;
                            e.1 = format!("{token} -> {out}");
                        }
                    }
                }
            }
        }
    }
    let mut all = String::new();
    for (k, (n, e)) in &failed { all.push_str(&format!("{k}: {n}: {}\n", e.chars().take(400).collect::<String>())); }
    assert!(failed.is_empty(), "{all}");
}
