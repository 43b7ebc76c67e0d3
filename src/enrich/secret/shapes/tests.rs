//! No token survives: tokens are drawn from the shapes' own expressions and put wherever a log can hold one.
//!
//! Rare characters decide whether a token is found (no digit, a dash at its end, a `+` early on), so each shape is also
//! drawn without digits and with more of its punctuation than chance would give.

use super::{SHAPES, pattern};
use crate::call::Call;
use crate::enrich::{EnrichOptions, Enricher};
use memchr::memmem;
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
const ALPHABETS: &[&str] = &["A-Za-z0-9", "A-Za-z", "Az7"];

/// What stands around a token.
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

/// A token of one shape.
fn token(source: &str, alphabet: &str, runner: &mut TestRunner) -> String {
    let source = source
        .replace("{w}", "[A-Za-z0-9_-]")
        .replace("{a}", "[A-Za-z0-9]")
        .replace("{h}", "[0-9a-f]")
        .replace("{e}", "")
        .replace("A-Za-z0-9", alphabet);
    let source = if alphabet.contains('7') { source } else { source.replace("A-Z0-9", "A-Z") };
    let strategy = string_regex(&source).expect("an expression without look-around");
    strategy.new_tree(runner).expect("no filter").current()
}

#[test]
fn no_token_survives() {
    let enricher = Enricher::new(EnrichOptions::new([7; 32]));
    let mut runner = TestRunner::deterministic();
    for (shape, alphabet) in SHAPES.iter().flat_map(|shape| ALPHABETS.iter().map(move |alphabet| (shape, alphabet))) {
        let token = token(shape.pattern, alphabet, &mut runner);
        for (before, after) in AROUND {
            let text = format!("{before}{token}{after}");
            let body = json!({"a": text}).to_string();
            let mut call = Call {
                arguments: Some(json!({"value": text, "body": body}).to_string()),
                result: Some(json!({text.clone(): 1}).to_string()),
                error_message: Some(text.clone()),
                ..Call::default()
            };
            let enriched = enricher.call(&mut call);
            let outs = [call.arguments, call.result, call.error_message, Some(enricher.text(&text, "x").text)];
            let all = format!("{outs:?} {:?}", enriched.observables);
            let left = token.as_bytes().windows(12).any(|part| memmem::find(all.as_bytes(), part).is_some());
            assert!(!left, "{}: {token:?} in {text:?} -> {all}", shape.kind);
        }
    }
}
