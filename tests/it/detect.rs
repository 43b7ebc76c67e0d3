//! Detecting step by step: logs may come in any pieces, in any order, with a detection after each, and the current alerts are those
//! of one detection at the end. A detection that is killed has not happened. Alerts are proved again from the lake of their time.

use crate::common::{Place, block_on, copy_folder, repository, sample_logs};
use calltrail::alert::{Alert, alerts_to_batch};
use calltrail::detect::{Detected, Request, detect, rule_detectors, stored};
use calltrail::lake::{Lake, Location, Patience};
use calltrail::query::{QueryError, Session, SessionOptions, TimeRange};
use calltrail::rule::{Params, RuleSet};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Rules that look at what grows, at what is known of all sessions, and at what later calls explain.
const RULES: [(&str, &str); 4] = [
    (
        "session_grows",
        "SELECT session_id, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id) AS call_ids,
                CASE WHEN count(*) > 8 THEN 'high' ELSE 'low' END AS level, count(*) AS calls
         FROM calls WHERE event_kind = 'call' GROUP BY session_id HAVING count(*) > 4",
    ),
    (
        "tool_of_one_session",
        "SELECT server, tool, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id) AS call_ids
         FROM calls WHERE tool IS NOT NULL GROUP BY server, tool HAVING count(DISTINCT session_id) = 1",
    ),
    (
        "never_answered",
        "SELECT session_id, time AS first_seen, time AS last_seen, make_array(call_id) AS call_ids
         FROM calls WHERE event_kind = 'call' AND outcome = 'no_response'",
    ),
    (
        "definition_seen",
        "SELECT server, min(time) AS first_seen, max(time) AS last_seen, array_agg(session_id) AS call_ids
         FROM tool_definitions WHERE server IS NOT NULL GROUP BY server",
    ),
];

fn rules(place: &Place) -> (PathBuf, RuleSet) {
    for (id, sql) in RULES {
        let header = format!(
            "-- id = \"{id}\"\n-- title = \"{id}\"\n-- level = \"low\"\n-- status = \"test\"\n-- description = \"test\"\n-- tags = [\"owasp.mcp08\"]\n"
        );
        place.write(&format!("rules/test/{id}.sql"), header + sql + "\n");
    }
    let dir = place.path("rules");
    let own = RULES.map(|(id, _)| id);
    // Some of the built-in rules in turn, all of them on demand: planning them takes most of the time.
    let every = if std::env::var_os("CALLTRAIL_DETECT_ALL").is_some() { 1 } else { 9 };
    let mut number = 0;
    let set = RuleSet::load(std::slice::from_ref(&dir), true).expect("rules").filtered(|rule| {
        number += 1;
        own.contains(&rule.header.id.as_str()) || number % every == 0
    });
    (dir, set)
}

fn open(place: &Place) -> Lake {
    Lake::open(&Location::from(place.lake().to_string_lossy().as_ref())).expect("a lake")
}

fn detect_here(place: &Place, rules: &RuleSet, full: bool) -> Detected {
    detect_until(place, rules, full, &|| false)
}

fn detect_until(place: &Place, rules: &RuleSet, full: bool, cancelled: &(dyn Fn() -> bool + Sync)) -> Detected {
    let session = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    let detected = detect_in(session, place, rules, full, cancelled);
    assert!(detected.failed.is_empty(), "{:?}", detected.failed);
    detected
}

fn detect_in(
    session: SessionOptions,
    place: &Place,
    rules: &RuleSet,
    full: bool,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Detected {
    let detectors = rule_detectors(rules, &Params::default(), &BTreeMap::new());
    let request = Request {
        range: TimeRange::default(),
        full,
        rules: None,
        session,
        suppressions: &[],
        cancelled,
        now: chrono::DateTime::from_timestamp(1_794_474_000, 0).expect("a time"),
        clock: || Duration::ZERO,
    };
    let patience = Patience::silent("test", Duration::from_secs(60));
    block_on(detect(&open(place), &patience, &detectors, request)).expect("it runs")
}

/// What the current alerts of a lake say, without the versions of the lake.
fn current(place: &Place) -> BTreeMap<String, String> {
    let alerts = block_on(stored(&open(place))).expect("alerts");
    assert_eq!(alerts.len(), alerts.iter().map(|alert| &alert.alert_id).collect::<BTreeSet<_>>().len(), "ids repeat");
    let ids: BTreeSet<&String> = alerts.iter().map(|alert| &alert.alert_id).collect();
    for alert in &alerts {
        assert!(alert.superseded_by.as_ref().is_none_or(|by| ids.contains(by)), "superseded by nobody: {alert:?}");
    }
    let alerts = alerts.into_iter().filter(Alert::is_current);
    alerts
        .map(|alert| (alert.alert_id.clone(), format!("{:?}", Alert { lake_versions: BTreeMap::new(), ..alert })))
        .collect()
}

#[track_caller]
fn assert_alerts(what: &str, expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) {
    let differ: Vec<String> = expected
        .keys()
        .chain(found.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|id| expected.get(*id) != found.get(*id))
        .map(|id| format!("  expected {:?}\n  found    {:?}", expected.get(id), found.get(id)))
        .collect();
    assert!(
        differ.is_empty(),
        "{what}: {} of {} alerts differ:\n{}",
        differ.len(),
        expected.len(),
        differ[..differ.len().min(3)].join("\n")
    );
}

/// A fixed row of numbers: a test that fails must fail again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

/// The logs in pieces: whole files and, for some, first a part of their lines. Each step is a set of files as they then are.
fn pieces(random: &mut Random) -> Vec<Vec<(String, Vec<u8>)>> {
    let root = repository("sample-logs");
    let mut steps: Vec<Vec<(String, Vec<u8>)>> = vec![Vec::new(); 2 + random.below(3)];
    for log in sample_logs() {
        let name = log.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
        let bytes = std::fs::read(&log).expect("readable");
        let step = random.below(steps.len());
        let lines: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
        if lines.len() > 3 && step + 1 < steps.len() && random.below(2) == 0 {
            let cut = lines[1 + random.below(lines.len() - 2)];
            steps[step].push((name.clone(), bytes[..cut].to_vec()));
            let later = step + 1 + random.below(steps.len() - step - 1);
            steps[later].push((name, bytes));
        } else {
            steps[step].push((name, bytes));
        }
    }
    steps
}

/// A lake without rows: fingerprints of secrets depend on its key, so every run starts from a copy.
fn empty_lake() -> Place {
    let place = Place::new();
    let nothing = place.write("empty/nothing.txt", "nothing that is a log\n");
    place.ingest_here([nothing]);
    place
}

fn write_logs(place: &Place, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = place.write(&format!("logs/{name}"), bytes);
        // Some formats have no other time.
        let written = std::time::UNIX_EPOCH + Duration::from_secs(1_794_470_000);
        let file = std::fs::File::options().write(true).open(path).expect("the file");
        file.set_modified(written).expect("its time");
    }
}

#[test]
fn any_pieces_in_any_order_give_the_alerts_of_one_run() {
    let empty = empty_lake();
    let logs = empty.path("logs");
    let root = repository("sample-logs");
    let whole: Vec<_> = sample_logs()
        .into_iter()
        .map(|log| {
            (
                log.strip_prefix(&root).expect("below").to_string_lossy().into_owned(),
                std::fs::read(&log).expect("readable"),
            )
        })
        .collect();
    let untouched = empty.path("untouched");
    copy_folder(&empty.lake(), &untouched);
    let (_, rules) = rules(&empty);

    write_logs(&empty, &whole);
    empty.ingest_here([&logs]);
    let first = detect_here(&empty, &rules, false);
    let expected = current(&empty);
    assert!(
        first.new.len() == expected.len() && expected.len() > 20,
        "{} new, {} alerts",
        first.new.len(),
        expected.len()
    );

    // Nothing is new: nobody runs. Everything again: nothing changes.
    let before = actions(&empty);
    let idle = detect_here(&empty, &rules, false);
    assert!(idle.new.is_empty() && idle.profile.iter().all(|of_rule| of_rule.ran.is_none()), "{:?}", idle.profile);
    assert_eq!((idle.alerts.len(), idle.findings), (expected.len(), first.findings));
    assert_eq!(actions(&empty), before, "a run over nothing new writes nothing");
    let again = detect_here(&empty, &rules, true);
    assert!(again.new.is_empty() && again.superseded + again.resolved == 0, "{again:?}");
    assert_alerts("everything again", &expected, &current(&empty));
    empty.run(0, ["lake", "verify"]);

    let mut random = Random(7);
    let mut marked = (0, 0);
    for round in 0..rounds(3) {
        std::fs::remove_dir_all(empty.lake()).expect("removed");
        std::fs::remove_dir_all(&logs).expect("removed");
        copy_folder(&untouched, &empty.lake());
        let mut seen = BTreeSet::new();
        for step in pieces(&mut random) {
            write_logs(&empty, &step);
            empty.ingest_here([&logs]);
            let detected = detect_here(&empty, &rules, false);
            // An alert is new once, unless it was resolved in between.
            let alerts = block_on(stored(&open(&empty))).expect("alerts");
            assert!(
                detected.new.iter().all(|id| alerts.iter().any(|alert| &alert.alert_id == id && alert.is_current()))
            );
            seen.extend(detected.new);
            marked = (marked.0 + detected.superseded, marked.1 + detected.resolved);
            assert_eq!(alerts.len(), seen.len(), "nothing is deleted, nothing comes unannounced");
        }
        assert_alerts(&format!("round {round}"), &expected, &current(&empty));
    }
    assert!(marked.0 > 0 && marked.1 > 0, "nothing was superseded or resolved: {marked:?}");
}

fn rounds(default: u32) -> u32 {
    std::env::var("CALLTRAIL_DETECT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Commits of the tables that a detection writes.
fn actions(place: &Place) -> usize {
    let commits =
        |table: &str| std::fs::read_dir(place.lake().join(table).join("_delta_log")).expect("a table").count();
    ["alerts", "rule_runs", "rule_versions"].into_iter().map(commits).sum()
}

#[test]
fn a_killed_detection_has_not_happened() {
    let place = empty_lake();
    let (dir, _) = rules(&place);
    let logs: Vec<PathBuf> = sample_logs().into_iter().take(12).collect();
    place.ingest_here(&logs);
    let untouched = place.path("untouched");
    copy_folder(&place.lake(), &untouched);
    let own = || {
        let rules = RULES.iter().flat_map(|(id, _)| ["--rule", *id]);
        let args: Vec<&str> =
            ["detect", "-q", "--rules", dir.to_str().expect("UTF-8")].into_iter().chain(rules).collect();
        place.command(args)
    };
    let started = std::time::Instant::now();
    assert!(own().status().expect("it starts").success());
    let whole = started.elapsed();
    let expected = current(&place);
    assert!(expected.len() > 5, "{}", expected.len());

    let mut random = Random(u64::from(std::process::id()));
    for round in 0..rounds(8) {
        std::fs::remove_dir_all(place.lake()).expect("removed");
        copy_folder(&untouched, &place.lake());
        // Most of the time goes into planning; what is written is written at the end.
        let after = whole.mul_f64(0.5 + random.below(600) as f64 / 1000.0);
        let mut child = own().spawn().expect("it starts");
        std::thread::sleep(after);
        let _ = child.kill();
        child.wait().expect("ended");
        place.run(0, ["lake", "verify"]);
        let found = current_after_recovery(&place, own);
        assert_alerts(&format!("round {round}, killed after {after:?} of {whole:?}"), &expected, &found);
        place.run(0, ["lake", "verify"]);
    }
}

fn current_after_recovery(place: &Place, detect: impl Fn() -> std::process::Command) -> BTreeMap<String, String> {
    assert!(detect().status().expect("it starts").success());
    current(place)
}

/// Rows of the table and back say the same.
#[test]
fn a_detection_that_is_told_to_end_keeps_what_it_has_found_and_the_next_goes_on() {
    let place = empty_lake();
    let (_, rules) = rules(&place);
    let rules = rules.filtered(|rule| RULES.iter().any(|(id, _)| *id == rule.header.id));
    place.ingest_here(sample_logs());
    let untouched = place.path("untouched");
    copy_folder(&place.lake(), &untouched);
    detect_here(&place, &rules, false);
    let undisturbed = current(&place);
    std::fs::remove_dir_all(place.lake()).expect("removed");
    copy_folder(&untouched, &place.lake());
    // One rule ends, then the wish comes.
    let looks = AtomicUsize::new(0);
    let ended = detect_until(&place, &rules, false, &|| looks.fetch_add(1, Ordering::SeqCst) > 0);
    let ran = |detected: &Detected| detected.profile.iter().filter(|of_rule| of_rule.ran.is_some()).count();
    assert!(ran(&ended) <= 1, "{:?}", ended.profile);
    let rest = detect_here(&place, &rules, false);
    assert_eq!(ran(&ended) + ran(&rest), rules.rules().len(), "those that ran do not run again");
    assert_alerts("after a stop", &undisturbed, &current(&place));
}

#[test]
fn alerts_survive_the_table() {
    let place = empty_lake();
    let (_, rules) = rules(&place);
    place.ingest_here(sample_logs().iter().take(5).map(Path::new));
    let detected = detect_here(&place, &rules, false);
    assert!(alerts_to_batch(&detected.alerts).is_ok());
    assert_eq!(block_on(stored(&open(&place))).expect("alerts"), detected.alerts);
}

#[test]
fn alerts_are_proved_again_from_the_lake_of_their_time() {
    let place = empty_lake();
    let (dir, _) = rules(&place);
    place.write("calltrail.toml", "[detect]\nrules = [\"rules\"]\n");
    let own: Vec<&str> = RULES.iter().flat_map(|(id, _)| ["--rule", *id]).collect();
    let detect = || place.run(0, ["detect", "--format", "json"].into_iter().chain(own.iter().copied())).json();
    let text = crate::crash::capture(30);
    let half: String = text.lines().take(text.lines().count() / 2).map(|line| format!("{line}\n")).collect();
    place.write("logs/tracker.jsonl", &half);
    place.ingest([place.path("logs")]);
    detect();
    place.write("logs/tracker.jsonl", &text);
    place.ingest([place.path("logs")]);
    let later = detect();
    assert!(later["superseded"].as_u64() > Some(0), "{later}");

    let replay = |id: &str, code: i32| place.run(code, ["alerts", "show", id, "--replay", "--format", "json"]).json();
    let alerts = place.rows(
        "SELECT alert_id, superseded_by FROM alerts WHERE rule_id = 'session_grows' ORDER BY superseded_by IS NULL",
    );
    let old = alerts[0]["alert_id"].as_str().expect("an id").to_owned();
    assert_eq!(alerts[0]["superseded_by"], alerts.last().expect("two")["alert_id"], "{alerts:?}");
    for alert in &alerts {
        let proof = replay(alert["alert_id"].as_str().expect("an id"), 0);
        assert_eq!((&proof["result"]["proof"], &proof["rule_from"]), (&"same".into(), &"current".into()), "{proof}");
    }
    // The rule changes: the lake has its old text.
    let path = dir.join("test/session_grows.sql");
    let rule = std::fs::read_to_string(&path).expect("the rule");
    std::fs::write(&path, rule.replace("count(*) > 4", "count(*) > 4000")).expect("written");
    let proof = replay(&old, 0);
    assert_eq!((&proof["result"]["proof"], &proof["rule_from"]), (&"same".into(), &"lake".into()), "{proof}");
    let changed = detect();
    assert!(changed["resolved"].as_u64() > Some(0), "{changed}");
    let said = place.run(0, ["alerts", "show", &old, "--replay"]).stdout;
    assert!(said.contains("proved") && said.contains("as the lake keeps it"), "{said}");
    // What retention removes cannot be run again, and is not called untrue.
    place.run(0, ["lake", "retain", "--older-than", "2026-11-10"]);
    let proof = replay(&old, 1);
    assert_eq!(proof["result"]["proof"], "impossible", "{proof}");
    assert!(proof["result"]["reasons"].to_string().contains("calls"), "{proof}");
    let full = place.run(0, ["detect", "--full", "--format", "json"].into_iter().chain(own.iter().copied())).json();
    assert_eq!(full["resolved"], 0, "alerts on what retention removed stay: {full}");
}

/// Of each session the calls that are followed by one of the same tool: a join of all calls with all calls.
const REPEATED: &str = "SELECT a.session_id, min(a.time) AS first_seen, max(b.time) AS last_seen, array_agg(DISTINCT a.call_id) AS call_ids,
        count(*) AS pairs, min(b.call_id) AS other
    FROM calls a JOIN calls b ON b.session_id = a.session_id AND b.time > a.time
    WHERE a.tool = b.tool AND a.event_kind = 'call' GROUP BY a.session_id HAVING count(*) > 200";

/// A capture of sessions that go on beside each other.
fn many_sessions(sessions: usize, calls: usize) -> String {
    let mut random = Random(7);
    let mut log = String::new();
    for call in 1..=calls {
        for session in 0..sessions {
            let tool = ["read_file", "write_file", "send_mail", "list_folder"][random.below(4)];
            let seconds = call * 600 + session;
            let head = format!(
                r#""ts":"2026-11-02T{:02}:{:02}:{:02}Z","session_id":"session-{session:020}","agent":"agent-{}","server":"files""#,
                8 + seconds / 3600,
                seconds / 60 % 60,
                seconds % 60,
                session % 5,
            );
            log += &format!(
                "{{{head},\"direction\":\"client_to_server\",\"message\":{{\"jsonrpc\":\"2.0\",\"id\":{call},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{{\"path\":\"/srv/{session}/{call}\"}}}}}}}}\n\
                 {{{head},\"direction\":\"server_to_client\",\"message\":{{\"jsonrpc\":\"2.0\",\"id\":{call},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"done\"}}]}}}}}}\n"
            );
        }
    }
    log
}

#[test]
fn a_lake_larger_than_the_memory_gives_the_same_alerts() {
    let place = empty_lake();
    let (dir, _) = rules(&place);
    let rule = std::fs::read_to_string(dir.join("test/never_answered.sql")).expect("a rule");
    let header = rule.split("SELECT").next().expect("a header").replace("never_answered", "repeated");
    place.write("rules/test/repeated.sql", format!("{header}{REPEATED}\n"));
    let rules = RuleSet::load(&[dir], true).expect("rules").filtered(|rule| rule.header.id == "repeated");
    place.write("logs/many.jsonl", many_sessions(500, 40));
    place.ingest_here([place.path("logs")]);
    let small = Place::new();
    copy_folder(&place.lake(), &small.lake());

    detect_here(&place, &rules, false);
    let expected = current(&place);
    assert!((20..250).contains(&expected.len()), "{}", expected.len());

    let options = SessionOptions { threads: Some(1), memory_limit: Some(3 << 20), ..SessionOptions::default() };
    let whole = block_on(async {
        let session = Session::new(open(&small).providers().await.expect("tables"), options).await.expect("a session");
        session.collect(REPEATED).await.map(|_| ())
    });
    assert!(matches!(whole, Err(QueryError::Memory(_))), "it must not fit: {whole:?}");
    let detected = detect_in(options, &small, &rules, false, &|| false);
    assert!(detected.failed.is_empty(), "{:?}", detected.failed);
    assert_alerts("in little memory", &expected, &current(&small));
}

/// Rules that would work for hours, each in another way: handing on rows all the time, or hardly ever one.
const RUNAWAYS: [(&str, &str); 3] = [
    ("hands_on_rows", "observables a CROSS JOIN observables b CROSS JOIN observables c CROSS JOIN observables d"),
    (
        "refuses_all_pairs",
        "(observables a CROSS JOIN observables b) JOIN (observables c CROSS JOIN observables d)
         ON strpos(a.value || b.value, c.value || d.value || 'nowhere') > 0",
    ),
    (
        "refuses_all_with_a_key",
        "observables a JOIN observables b ON b.origin = a.origin JOIN (observables c JOIN observables d ON d.origin = c.origin)
         ON c.origin = b.origin AND strpos(a.value || b.value, c.value || d.value || 'nowhere') > 0",
    ),
];

#[test]
fn a_rule_that_runs_away_is_ended_and_the_others_run() {
    let place = empty_lake();
    let (dir, _) = rules(&place);
    for (id, from) in RUNAWAYS {
        let rule = std::fs::read_to_string(dir.join("test/never_answered.sql")).expect("a rule");
        let header = rule.split("SELECT").next().expect("a header").replace("never_answered", id);
        let query = "SELECT min(a.session_id) AS session_id, min(b.time) AS first_seen, max(d.time) AS last_seen, array_agg(DISTINCT c.call_id) AS call_ids";
        place.write(&format!("rules/test/{id}.sql"), format!("{header}{query} FROM {from}\n"));
    }
    place.write("calltrail.toml", "[detect]\nrules = [\"rules\"]\nrule_timeout = \"1500ms\"\n");
    place.ingest_here(sample_logs());
    let own = RUNAWAYS.iter().map(|(id, _)| *id).chain(["never_answered", "session_grows"]);
    let args = ["detect", "--format", "json"].into_iter().chain(own.flat_map(|id| ["--rule", id]));
    let started = std::time::Instant::now();
    let said = place.run(1, args);
    let took = started.elapsed();
    for (id, _) in RUNAWAYS {
        let error = format!("rule {id}: not done after 1.5s");
        assert!(said.stderr.contains(&error) && said.stderr.contains("rule_timeout"), "{}", said.stderr);
    }
    let detected = said.json();
    assert_eq!(detected["failed_rules"], 3, "{detected}");
    assert!(detected["new_alerts"].as_u64() > Some(5), "the others found theirs: {detected}");
    assert!(took < Duration::from_secs(60), "three times 1.5 s, and it took {took:?}");
}

#[test]
fn alerts_of_one_session_are_one_incident() {
    let place = crate::keep::scattered();
    let counted = place.one("SELECT count(*) FROM alerts");
    assert_eq!(place.one("SELECT sum(alerts) FROM incidents"), counted);
    let odd = "SELECT * FROM incidents WHERE NOT (risk BETWEEN 0 AND 100) OR abs(risk - risk_level - risk_groups - risk_rules - risk_rarity) > 0.1";
    assert_eq!(place.rows(odd), Vec::<serde_json::Value>::new());
    let several = "SELECT session_id, count(*) FROM incidents WHERE session_id IS NOT NULL GROUP BY session_id HAVING count(*) > 1";
    assert_eq!(place.rows(several), Vec::<serde_json::Value>::new());
    let listed = place.run(0, ["alerts", "incidents", "--format", "jsonl"]).lines();
    let risks: Vec<f64> = listed.iter().map(|incident| incident["risk"].as_f64().expect("a risk")).collect();
    assert!(risks.len() > 3 && risks.is_sorted_by(|a, b| a >= b), "{risks:?}");
    let table = place.run(0, ["alerts", "incidents", "--alerts"]).stdout;
    assert_eq!(table.matches("RISK ").count(), listed.len(), "{table}");
}
