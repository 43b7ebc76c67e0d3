//! Rules at random, over calls at random: our SQL and rsigma's evaluator find the same calls.
//!
//! Left out is where the evaluator differs from the specification (wildcards under `startswith` and `endswith`, the ends of
//! `base64offset`) or from us on purpose (line breaks under wildcards, the truth of texts inside lists): `probe` tests these.

use super::super::backend::Calls;
use crate::query::{Session, SessionOptions, TimeRange};
use crate::rule::{case, rows};
use arrow::array::{Array as _, AsArray as _};
use proptest::prelude::*;
use proptest::sample::select;
use rsigma_eval::{Event, EventValue, compile_rule, evaluate_rule};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// A row of `calls` as the evaluator sees it: columns, and what lies in the JSON of two of them.
struct Row(Map<String, Value>);

impl Row {
    fn json(&self, column: &str) -> Option<Value> {
        serde_json::from_str(self.0.get(column)?.as_str()?).ok()
    }
}

fn at(value: &Value, path: &str) -> Vec<Value> {
    match value {
        Value::Array(list) => list.iter().flat_map(|item| at(item, path)).collect(),
        Value::Object(map) => match (map.get(path), path.split_once('.')) {
            (Some(value), _) => vec![value.clone()],
            (None, Some((head, rest))) => map.get(head).map(|inner| at(inner, rest)).unwrap_or_default(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn owned(value: &Value) -> EventValue<'static> {
    match value {
        Value::String(text) => EventValue::Str(Cow::Owned(text.clone())),
        Value::Bool(is) => EventValue::Bool(*is),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| EventValue::Float(number.as_f64().expect("a number")), EventValue::Int)
        }
        Value::Array(list) => EventValue::Array(list.iter().map(owned).collect()),
        Value::Object(map) => {
            EventValue::Map(map.iter().map(|(key, value)| (Cow::Owned(key.clone()), owned(value))).collect())
        }
        Value::Null => EventValue::Null,
    }
}

fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|item| strings(item, out)),
        Value::Object(map) => map.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}

impl Event for Row {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let name = if path == "gen_ai.tool.name" { "tool" } else { path };
        if let Some(value) = self.0.get(name) {
            return (!value.is_null()).then(|| owned(value));
        }
        let (column, path) = name.split_once('.')?;
        let found: Vec<Value> = at(&self.json(column)?, path).into_iter().filter(|value| !value.is_null()).collect();
        match found.as_slice() {
            [] => None,
            [one] => Some(owned(one)),
            many => Some(EventValue::Array(many.iter().map(owned).collect())),
        }
    }
    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        self.all_string_values().iter().any(|text| pred(text))
    }
    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let mut out = Vec::new();
        for column in ["tool", "agent", "error_message", "client_address"] {
            out.extend(self.0.get(column).and_then(Value::as_str).map(str::to_owned));
        }
        for column in ["arguments", "result"] {
            strings(&self.json(column).unwrap_or_default(), &mut out);
        }
        out.into_iter().map(Cow::Owned).collect()
    }
    fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

const WORDS: &[&str] = &["qa", "QA", "qab", "abqa", "zz-qa", "x'y", "Ärq", "ärQ", "q\\a", "*q", "q?a", "q.a", "5", ""];
const TEXTS: &[&str] = &[
    "tool",
    "gen_ai.tool.name",
    "agent",
    "error_message",
    "arguments.path",
    "arguments.opts.name",
    "arguments.list",
    "arguments.items.k",
    "arguments.n",
    "capabilities",
    "arguments",
];

fn call() -> impl Strategy<Value = Value> {
    let word = || prop::option::of(select(WORDS));
    let number = select(vec![
        json!(5),
        json!(5.0),
        json!(5.5),
        json!("5"),
        json!("abc"),
        json!(true),
        json!("no"),
        Value::Null,
        json!([5, "qa"]),
        json!({"k": 1}),
        json!(-3),
    ]);
    let address = prop::option::of(select(vec!["10.0.0.1", "10.1.2.3", "192.168.7.7", "fd00::1", "host"]));
    let list = prop::collection::vec(select(WORDS), 0..3);
    (
        (word(), word(), word(), address, prop::option::of(select(vec![4_i64, 5, 500]))),
        (word(), word(), number, list, prop::option::of(word()), any::<bool>(), prop::option::of(any::<bool>())),
    )
        .prop_map(
            |((tool, agent, error, address, duration), (path, name, number, list, item, has_arguments, is_error))| {
                let items: Vec<Value> =
                    item.into_iter().map(|word| json!({"k": word})).chain([json!({"other": 1})]).collect();
                let arguments =
                    json!({"path": path, "opts": {"name": name}, "n": number, "list": list, "items": items});
                let mut row = json!({
                    "tool": tool, "agent": agent, "error_message": error, "client_address": address,
                    "duration_ns": duration, "is_error": is_error,
                });
                if has_arguments {
                    row["arguments"] = arguments;
                }
                row
            },
        )
}

/// An item of a detection, as a line of YAML (which JSON is).
fn item() -> impl Strategy<Value = (String, Value)> {
    let texts = || select(TEXTS);
    let plain = || select(WORDS).prop_map(|word| word.replace('\\', r"\\").replace('*', r"\*").replace('?', r"\?"));
    let wild = || select(vec!["q*", "*A", "?a", "*q*", "q\\*a", "a?q*", "*", "x'?", "*\\\\*"]).prop_map(str::to_owned);
    let some = |value: BoxedStrategy<String>| prop::collection::vec(value, 1..4).prop_map(Value::from);
    let named = |field: &str, modifier: &str| {
        if modifier.is_empty() { field.to_owned() } else { format!("{field}|{modifier}") }
    };
    let equality = (texts(), select(vec!["", "cased"]), some(prop_oneof![plain(), wild()].boxed()));
    let substring = ["contains", "startswith", "endswith", "contains|cased", "endswith|cased"];
    let substring = (texts(), select(substring.to_vec()), some(plain().boxed()));
    let encoding = select(vec!["windash|contains", "base64|contains", "wide|base64offset|contains"]);
    let patterns = select(vec!["^q", "a$", "q.a", "[ÄB]", "^$", "q|z", "(?:x')y"]);
    let networks = select(vec!["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"]);
    let numbers = select(vec![json!(5), json!(5.5), json!(-3), json!([4, 500])]);
    let numeric = (select(vec!["duration_ns", "arguments.n", "tool"]), select(vec!["", "gt", "gte", "lt", "lte"]));
    let nullable = ["tool", "duration_ns", "is_error", "arguments.path", "arguments.n", "arguments.items.k"];
    let references = select(vec!["agent", "error_message", "arguments.opts.name"]);
    prop_oneof![
        4 => equality.prop_map(move |(f, m, v)| (named(f, m), v)),
        4 => substring.prop_map(move |(f, m, v)| (named(f, m), v)),
        1 => (texts(), some(wild().boxed())).prop_map(move |(f, v)| (named(f, "contains"), v)),
        1 => (texts(), prop::collection::vec(plain(), 2..4)).prop_map(move |(f, v)| (named(f, "contains|all"), v.into())),
        1 => (texts(), plain()).prop_map(move |(f, v)| (named(f, "neq"), v.into())),
        1 => (texts(), encoding).prop_map(move |(f, m)| (named(f, m), "z-q".into())),
        2 => (texts(), select(vec!["re", "re|i", "re|m", "re|i|s"]), patterns)
            .prop_map(move |(f, m, v)| (named(f, m), v.into())),
        1 => (select(vec!["client_address", "arguments.path"]), networks)
            .prop_map(move |(f, v)| (named(f, "cidr"), v.into())),
        2 => (numeric, numbers).prop_map(move |((f, m), v)| (named(f, m), v)),
        2 => (select(vec!["is_error", "arguments.n", "error_message"]), any::<bool>())
            .prop_map(|(f, v)| (f.to_owned(), v.into())),
        2 => (texts(), any::<bool>()).prop_map(move |(f, v)| (named(f, "exists"), v.into())),
        2 => select(nullable.to_vec()).prop_map(|f| (f.to_owned(), Value::Null)),
        1 => (select(vec!["tool", "agent", "arguments.path"]), references)
            .prop_map(move |(f, v)| (named(f, "fieldref"), v.into())),
    ]
}

fn detection() -> impl Strategy<Value = Value> {
    let items = || prop::collection::vec(item(), 1..3).prop_map(|items| Value::Object(items.into_iter().collect()));
    prop_oneof![
        5 => items(),
        1 => prop::collection::vec(items(), 1..3).prop_map(Value::from),
        1 => prop::collection::vec(select(vec!["qab", "Ärq", "zz", "nothing"]), 1..3).prop_map(|words| json!(words)),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let leaf =
        select(vec!["sel_a", "sel_b", "other", "1 of sel_*", "all of sel_*", "1 of them", "all of them", "2 of them"])
            .prop_map(str::to_owned);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("not ({one})")),
            (inner.clone(), select(vec!["and", "or", "and not"]), inner)
                .prop_map(|(one, operator, other)| format!("({one}) {operator} ({other})")),
        ]
    })
}

fn rule() -> impl Strategy<Value = String> {
    (detection(), detection(), detection(), condition()).prop_map(|(a, b, other, condition)| {
        json!({
            "title": "random", "logsource": {"product": "mcp"}, "level": "low",
            "detection": {"sel_a": a, "sel_b": b, "other": other, "condition": condition},
        })
        .to_string()
    })
}

async fn compare(calls: &[Value], rules: &[String]) -> Result<usize, TestCaseError> {
    let (mut cases, _) = case::read("[[case]]\nname = 'x'\nfires = 0");
    cases[0].calls.text = calls.iter().map(|call| format!("{call}\n")).collect();
    let lake = rows::lake(&cases[0]).map_err(TestCaseError::fail)?;
    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    let session = Session::new(lake.tables, options).await.expect("a session");
    let session = session.for_rule(TimeRange::default()).await.expect("a session");
    let mut events = Vec::new();
    for batch in session.collect("SELECT * FROM calls ORDER BY source_line").await.expect("rows") {
        let lines = crate::query::output::json_lines(&batch).expect("JSON");
        events.extend(lines.lines().map(|line| Row(serde_json::from_str(line).expect("an object"))));
    }
    let mut compared = Vec::new();
    for text in rules {
        let parsed = rsigma_parser::parse_sigma_yaml(text).expect("YAML").rules.remove(0);
        let backend = Calls::default();
        let sql =
            backend.condition(&parsed.detection).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        // A test that does not fit the type of a field is refused by us and false there.
        if !backend.faults().is_empty() {
            continue;
        }
        // Not its engine, whose index of exact values loses rules with a `not`.
        let Ok(compiled) = compile_rule(&parsed) else { continue };
        compared.push((
            text,
            sql,
            events.iter().map(|event| evaluate_rule(&compiled, event).is_some()).collect::<Vec<bool>>(),
        ));
    }
    if compared.is_empty() {
        return Ok(0);
    }
    let columns: Vec<String> = compared.iter().enumerate().map(|(at, (_, sql, _))| format!("{sql} AS c{at}")).collect();
    let query = format!("SELECT {} FROM calls ORDER BY source_line", columns.join(", "));
    let batches = session.collect(&query).await.map_err(|error| TestCaseError::fail(format!("{error}\n{query}")))?;
    let whole = arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one schema");
    for (at, (text, sql, expected)) in compared.iter().enumerate() {
        let column = whole.column(at).as_boolean();
        prop_assert_eq!(column.null_count(), 0, "a third truth value: {}\n{}", text, sql);
        for (row, expected) in expected.iter().enumerate() {
            prop_assert_eq!(
                column.value(row),
                *expected,
                "{}\n{}\n{}",
                text,
                sql,
                Value::Object(
                    events[row].0.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
                )
            );
        }
    }
    // As a filter the optimiser takes it apart.
    let (_, sql, expected) = &compared[0];
    let count: Vec<Map<String, Value>> =
        session.rows(&format!("SELECT count(*) AS n FROM calls WHERE {sql}")).await.expect("a count");
    prop_assert_eq!(count[0]["n"].as_u64(), Some(expected.iter().filter(|is| **is).count() as u64), "{}", sql);
    Ok(compared.len())
}

#[test]
fn sql_and_rsigma_find_the_same_calls() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let total = std::cell::Cell::new(0);
    let mut config = ProptestConfig::default();
    // Each case is a lake of its own; PROPTEST_CASES asks for more.
    if config.cases == 256 {
        config.cases = 12;
    }
    config.failure_persistence = None;
    proptest!(config, |(calls in prop::collection::vec(call(), 16..32), rules in prop::collection::vec(rule(), 8..9))| {
        total.set(total.get() + runtime.block_on(compare(&calls, &rules))?);
    });
    assert!(total.get() > 40, "too few rules were compared: {}", total.get());
}
