//! Places and times as their standards have them; records and logs of any kind never panic.

use super::draft::draft;
use super::moment::Moment;
use super::place::{Found, Value};
use super::*;
use crate::config::Config;
use crate::source::{Hints, time};
use proptest::prelude::*;
use std::path::Path;

fn mapping(toml: &str) -> Mapping {
    Config::parse(toml, Path::new("calltrail.toml")).expect("a mapping").mappings.remove(0)
}

fn decode(mapping: &Mapping, text: &str) -> Option<Result<Vec<Event>, Reject>> {
    let hints = Hints { mtime: Some(1_794_474_001_000_000_000), ..Hints::default() };
    let object = Object::parse(text).ok();
    let position = crate::call::Position::default();
    let record = Record { text, json: object.as_ref(), position, lossy: false, hints: &hints };
    // What is said of a record must hold for any record, also one that nobody claims.
    mapping.tolerates(&record);
    mapping.origins(&record);
    mapping.claims(&record).then(|| {
        let mut out = Decoded::default();
        mapping.decode(&record, &mut out).map(|()| out.events)
    })
}

fn call(mapping: &Mapping, text: &str) -> Call {
    match decode(mapping, text).expect("claimed").expect("read").remove(0) {
        Event::Call { call, .. } | Event::Request { call, .. } | Event::Response { call, .. } => *call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pointers_are_those_of_rfc_6901() {
    // The document of the standard's section 5.
    let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"in":"{\"x\":[{\"y\":9}]}","bad":"{\"x\":"}"#;
    let object = Object::parse(text).expect("JSON");
    let found = Found { json: Some(&object), groups: None };
    let at = |pointer: &str| {
        let place = Place::parse(pointer, Roots { json: true, regex: None }).expect("a pointer");
        place.value(&found).map(|value| match value {
            Value::Json(raw) => raw.into_owned(),
            Value::Text(text) => text.to_owned(),
        })
    };
    for (pointer, want) in [
        ("/foo", Some(r#"["bar","baz"]"#)),
        ("/foo/0", Some("\"bar\"")),
        ("/foo/01", None),
        ("/foo/+1", None),
        ("/foo/-", None),
        ("/foo/2", None),
        ("/", Some("0")),
        ("/a~1b", Some("1")),
        ("/c%d", Some("2")),
        ("/e^f", Some("3")),
        ("/g|h", Some("4")),
        ("/i\\j", Some("5")),
        ("/k\"l", Some("6")),
        ("/ ", Some("7")),
        ("/m~0n", Some("8")),
        ("/in/x/0/y", Some("9")),
        ("/bad/x", None),
        ("/foo/0/x", None),
    ] {
        assert_eq!(at(pointer).as_deref(), want, "{pointer}");
    }
    for (pointer, json) in [("/a~", true), ("/a~2", true), ("", true), ("a", true), ("/a", false)] {
        assert!(Place::parse(pointer, Roots { json, regex: None }).is_err(), "{pointer}");
    }
}

#[test]
fn times_are_read_as_the_mapping_says() {
    let mtime = Some(time::rfc3339("2027-01-02T00:00:00Z").expect("a time"));
    let read = |format: &str, unit: &str, zone: &str, text: &str| -> Option<Moment> {
        let unit = EpochUnit::parse(unit).expect("a unit");
        let zone = (!zone.is_empty()).then(|| Zone::parse(zone).expect("a zone"));
        TimeFormat::parse(format, unit).expect("a format").read(text, zone, mtime)
    };
    for (format, unit, zone, text, want) in [
        ("auto", "auto", "", "2026-11-12T10:00:00.5+01:00", "2026-11-12T09:00:00.5Z"),
        ("auto", "auto", "Europe/Berlin", "2026-07-12 10:00:00,250", "2026-07-12T08:00:00.25Z"),
        ("auto", "auto", "Europe/Berlin", "2026-11-12 10:00:00,500 +0200", "2026-11-12T08:00:00.5Z"),
        ("auto", "auto", "", "1794474000.25", "2026-11-12T09:00:00.25Z"),
        ("rfc3339", "auto", "", "2026-11-12 10:00:00", ""),
        ("epoch", "ms", "", "1794474000250", "2026-11-12T09:00:00.25Z"),
        // The unit is as said, however unlikely.
        ("epoch", "s", "", "100000000001", "5138-11-16T09:46:41Z"),
        ("epoch", "ns", "", "1794474000000000001", "2026-11-12T09:00:00.000000001Z"),
        ("epoch", "s", "", "0.000000001", "1970-01-01T00:00:00.000000001Z"),
        ("epoch", "s", "", "-1.5", "1969-12-31T23:59:58.5Z"),
        ("epoch", "s", "", "99999999999999999999", ""),
        ("epoch", "s", "", "NaN", ""),
        ("%d/%b/%Y:%H:%M:%S %z", "auto", "", "12/Nov/2026:10:00:00 +0100", "2026-11-12T09:00:00Z"),
        ("%Y-%m-%d %H:%M:%S,%3f", "auto", "-05:00", "2026-11-12 04:00:00,007", "2026-11-12T09:00:00.007Z"),
        // Without a year: that of the file's last change, unless that would lie ahead of it.
        ("%b %e %H:%M:%S", "auto", "UTC", "Jan  1 00:00:00", "2027-01-01T00:00:00Z"),
        ("%b %e %H:%M:%S", "auto", "UTC", "Dec 31 00:00:00", "2026-12-31T00:00:00Z"),
        ("%b %e %H:%M:%S", "auto", "UTC", "Feb 29 00:00:00", "2024-02-29T00:00:00Z"),
        // An hour that was left out, and one that stands twice.
        ("auto", "auto", "Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),
        ("auto", "auto", "Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
    ] {
        let want = chrono::DateTime::parse_from_rfc3339(want).ok().and_then(|time| time.timestamp_nanos_opt());
        assert_eq!(read(format, unit, zone, text).map(|moment| moment.nanos), want, "{format} {unit} {zone} {text}");
    }
    assert!(read("auto", "auto", "", "2026-11-12 10:00:00").is_some_and(|moment| moment.zone_assumed));
    assert!(read("auto", "auto", "UTC", "2026-11-12 10:00:00").is_some_and(|moment| !moment.zone_assumed));
    for (text, unit, want) in [
        ("41.5", "ms", Some(41_500_000)),
        ("0.000000001", "s", Some(1)),
        ("1m30s", "text", Some(90_000_000_000)),
        ("12ms", "s", Some(12_000_000)),
        ("12", "text", None),
        ("-4", "ms", None),
        ("1e400", "h", None),
    ] {
        assert_eq!(DurationUnit::parse(unit).expect("a unit").read(text), want, "{text} {unit}");
    }
}

const JSON: &str = r#"
[[mapping]]
id = "any"
exists = ["/tool"]
columns.tool = { from = "/tool", regex = '^(?:mcp__)?([^.]*)' }
columns.time = ["/t", "/in/t"]
columns.duration = { from = "/d", unit = "s" }
columns.arguments = "/a"
columns.result = "/r"
columns.outcome = { from = "/o", values = { ok = "success", "*" = "tool_error" } }
columns.http_response_status_code = "/s"
columns.is_error = "/e"
columns.error_message = "/m"
columns.jsonrpc_request_id = "/id"
extra = ["/x", "/a/y"]
"#;

const TEXT: &str = r#"
[[mapping]]
id = "any"
regex = '^(?P<time>\S+) (?P<tool>\S+) (?P<arguments>\{.*\}|\S+)(?: (?P<rest>.*))?$'
ignore = ['^#']
columns.error_message = "rest/error"
columns.time = { from = "time", format = "%b-%d-%H:%M:%S", zone = "America/New_York" }
"#;

#[test]
fn outcomes_follow_from_what_the_record_says() {
    let mapping = mapping(JSON);
    let outcome = |text: &str| call(&mapping, text).outcome.as_str();
    for (text, want) in [
        (r#"{"tool":"t","o":"OK","m":"ignored"}"#, "success"),
        (r#"{"tool":"t","o":"boom"}"#, "tool_error"),
        (r#"{"tool":"t","o":"ok","r":{"isError":true}}"#, "tool_error"),
        (r#"{"tool":"t","s":403}"#, "denied"),
        (r#"{"tool":"t","s":"504"}"#, "timeout"),
        (r#"{"tool":"t","s":200,"m":"but"}"#, "tool_error"),
        (r#"{"tool":"t","s":200,"m":null}"#, "success"),
        (r#"{"tool":"t","m":false}"#, "success"),
        (r#"{"tool":"t","e":"yes"}"#, "tool_error"),
    ] {
        assert_eq!(outcome(text), want, "{text}");
    }
    let call = call(&mapping, r#"{"tool":"mcp__x.y","id":7,"in":"{\"t\":1794474001}","x":[1],"a":{"y":null}}"#);
    assert_eq!(
        (call.tool.as_deref(), call.tool_raw.as_deref(), call.method.as_str()),
        (Some("x"), Some("mcp__x.y"), "tools/call")
    );
    assert_eq!((call.jsonrpc_id_type, call.time), (Some(IdType::Int), Some(1_794_474_001_000_000_000)));
    assert_eq!(call.more.and_then(|more| more.extra_json).as_deref(), Some(r#"{"x":[1],"a/y":null}"#));
}

#[test]
fn a_long_line_is_nobodys() {
    let mapping = mapping(TEXT);
    let line = |length: usize| format!("Nov-12-10:00:00 t {}", "x".repeat(length));
    assert!(decode(&mapping, &line(1000)).is_some());
    assert!(decode(&mapping, &line(MAX_TEXT)).is_none());
    assert!(regex(&"(a{1,100}){1,100}".repeat(100)).is_err_and(|error| error.contains("too large")));
}

/// A value for a record: any JSON, also nonsense of the kind that logs hold.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        Just("-0.0".to_owned()),
        Just(r#""\ud800""#.to_owned()),
        Just(r#""{\"t\":""#.to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<bool>().prop_map(|b| b.to_string()),
        ".{0,12}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(("[a-z]{0,2}", inner), 0..3).prop_map(|all| {
                let members: Vec<_> = all.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_through_a_mapping_never_panics(text in prop_oneof![".{0,200}", "[A-Za-z]{3}-\\d\\d-\\d\\d:\\d\\d:\\d\\d \\S{1,5} [{]?.{0,40}"], bytes in any::<Vec<u8>>()) {
        let (json, line) = (mapping(JSON), mapping(TEXT));
        for text in [text.as_str(), &String::from_utf8_lossy(&bytes)] {
            decode(&json, text);
            decode(&line, text);
        }
    }

    #[test]
    fn any_record_gives_valid_json_or_says_so(members in prop::collection::vec(("tool|t|d|a|r|o|s|e|m|id|x|in", value()), 0..8)) {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        if let Some(Ok(events)) = decode(&mapping(JSON), &format!("{{{}}}", members.join(","))) {
            for event in events {
                let Event::Call { call, .. } = event else { continue };
                for (payload, state) in [(&call.arguments, call.arguments_state), (&call.result, call.result_state)] {
                    let valid = payload.as_ref().is_none_or(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok());
                    prop_assert!(valid || state == PayloadState::Unparsable, "{payload:?}");
                }
                let extra = call.more.as_ref().and_then(|more| more.extra_json.as_deref()).unwrap_or("{}");
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(extra).is_ok(), "{extra}");
            }
        }
    }

    #[test]
    fn a_draft_is_a_valid_configuration(
        keys in prop::collection::vec("tool|time|ts|status|args|name|phase|id|call_id|session|[a-z/~\"\\\\]{1,4}", 1..6),
        values in prop::collection::vec(value(), 12..24),
        lines in prop::collection::vec("([A-Z]{3,5} )?(tool|time|args|status|x[\"'(]?)=(\"[^\"]{0,9}\"?|[{].{0,9}[}]?|[^ ]{0,5})( .{0,20})?", 0..6),
    ) {
        let record = |values: &[String]| {
            let members = keys.iter().zip(values).map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_str())));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        };
        let records: Vec<String> = values.chunks(keys.len()).map(record).collect();
        for records in [records, lines] {
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            if let Some(toml) = draft(&records, "x'\u{202e}y.log") {
                let read = Config::parse(&toml, Path::new("draft"));
                prop_assert!(read.is_ok(), "{read:?}\n{toml}");
            }
        }
    }
}
