//! Which alerts are current after a run over a range, after a rule was taken away, and after the program changed what SQL means.

use crate::common::{Place, block_on};
use async_trait::async_trait;
use calltrail::alert::{Alert, Origin, Suppression, Wildcard};
use calltrail::detect::{
    Answer, Detected, Detector, Proof, Request, RuleDetector, Stamp, detect, replay, rule_detectors, stored,
};
use calltrail::lake::{Lake, Location, Patience};
use calltrail::query::{ENGINE, Session, SessionOptions, TimeRange};
use calltrail::rule::{Params, RuleError, RuleSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const BY_SESSION: &str =
    "SELECT session_id, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id) AS call_ids
FROM calls WHERE event_kind = 'call' GROUP BY session_id";

fn rule(place: &Place, id: &str, having: &str) {
    let header = format!(
        "-- id = \"{id}\"\n-- title = \"{id}\"\n-- level = \"low\"\n-- status = \"test\"\n-- description = \"test\"\n-- tags = [\"owasp.mcp08\"]\n"
    );
    place.write(&format!("rules/test/{id}.sql"), format!("{header}{BY_SESSION} {having}\n"));
}

/// One session with a call at nine, ten and eleven, and one with a single call.
fn place() -> Place {
    let place = Place::new();
    let mut log = String::new();
    for (number, (session, hour)) in [("long", 9), ("short", 9), ("long", 10), ("long", 11)].into_iter().enumerate() {
        let head = format!(
            r#""ts":"2026-11-02T{hour:02}:00:0{number}Z","session_id":"session-{session}","agent":"agent-1","server":"files""#
        );
        log += &format!(
            "{{{head},\"direction\":\"client_to_server\",\"message\":{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"tools/call\",\"params\":{{\"name\":\"read_file\",\"arguments\":{{\"path\":\"/srv/{number}\"}}}}}}}}\n\
             {{{head},\"direction\":\"server_to_client\",\"message\":{{\"jsonrpc\":\"2.0\",\"id\":{number},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"done\"}}]}}}}}}\n"
        );
    }
    let logs = place.write("logs/a.jsonl", log);
    place.ingest_here([logs]);
    assert_eq!(
        place.rows_here(["SELECT count(DISTINCT session_id) AS sessions, count(*) AS calls FROM calls"])[0][0]
            .to_string(),
        r#"{"sessions":2,"calls":4}"#
    );
    place
}

fn open(place: &Place) -> Lake {
    Lake::open(&Location::from(place.lake().to_string_lossy().as_ref())).expect("a lake")
}

fn rules(place: &Place) -> RuleSet {
    RuleSet::load(&[place.path("rules")], false).expect("rules")
}

fn run(place: &Place, detectors: &[Arc<dyn Detector>], range: TimeRange, suppressions: &[Suppression]) -> Detected {
    let request = Request {
        range,
        full: false,
        rules: None,
        session: SessionOptions { threads: Some(1), ..SessionOptions::default() },
        suppressions,
        cancelled: &|| false,
        now: chrono::DateTime::from_timestamp(1_794_474_000, 0).expect("a time"),
        clock: || Duration::ZERO,
    };
    let patience = Patience::silent("test", Duration::from_secs(60));
    let detected = block_on(detect(&open(place), &patience, detectors, request)).expect("it runs");
    assert!(detected.failed.is_empty(), "{:?}", detected.failed);
    detected
}

fn current(place: &Place) -> BTreeSet<String> {
    let alerts = block_on(stored(&open(place))).expect("alerts").into_iter().filter(Alert::is_current);
    alerts.map(|alert| alert.alert_id).collect()
}

#[test]
fn what_a_range_alone_shows_is_judged_by_the_next_run() {
    let place = place();
    rule(&place, "single", "HAVING count(*) = 1");
    rule(&place, "any", "");
    let detectors = rule_detectors(&rules(&place), &Params::default(), &BTreeMap::new());
    let everything = TimeRange::default();
    // Half past ten: of the long session only the last call is seen.
    let late = TimeRange { since: Some(1_793_615_400_000_000), until: None };
    let allowed = [Suppression {
        id: "all".into(),
        origin: Origin::AllowList,
        rule: Wildcard::new("*"),
        alert_id: None,
        session_id: None,
        agent: Some(Wildcard::new("agent-1").into()),
        user_id: None,
        server: None,
        tool: None,
        destination: None,
        owner: "o".into(),
        reason: "r".into(),
        expires: None,
    }];

    assert_eq!(run(&place, &detectors, everything, &[]).new.len(), 3);
    let expected = current(&place);
    let part = run(&place, &detectors, late, &allowed);
    assert_eq!((part.alerts.len(), part.new.len()), (2, 1), "{part:?}");
    // One of them is a part of a known alert and not in the lake: it is hidden all the same.
    assert!(part.alerts.iter().all(|alert| alert.suppressed_by.as_deref() == Some("all")), "{:?}", part.alerts);
    assert_eq!(current(&place).len(), 4);

    let whole = run(&place, &detectors, everything, &[]);
    let ran: Vec<&str> = whole.profile.iter().filter(|of| of.ran.is_some()).map(|of| of.id.as_str()).collect();
    assert_eq!((ran, whole.resolved, whole.new.len()), (vec!["single"], 1, 0));
    assert_eq!(current(&place), expected);
    let idle = run(&place, &detectors, everything, &[]);
    assert!(idle.profile.iter().all(|of| of.ran.is_none()) && idle.resolved == 0, "{idle:?}");
    // What a range finds that the whole has found already changes nothing.
    run(&place, &detectors, TimeRange { since: Some(0), until: None }, &[]);
    let idle = run(&place, &detectors, everything, &[]);
    assert!(idle.profile.iter().all(|of| of.ran.is_none()), "{idle:?}");
}

/// A rule as a program ran it whose functions were others.
struct Aged {
    rule: RuleDetector,
    /// It saw something else, too.
    otherwise: bool,
}

#[async_trait]
impl Detector for Aged {
    fn id(&self) -> &str {
        self.rule.id()
    }

    fn stamp(&self) -> Stamp {
        let mut stamp = self.rule.stamp();
        stamp.settings.insert("engine".to_owned(), "0.0.9+old".into());
        stamp
    }

    fn window(&self) -> i64 {
        self.rule.window()
    }

    async fn detect(&self, session: &Session, range: TimeRange) -> Result<Answer, RuleError> {
        let mut answer = self.rule.detect(session, range).await?;
        for finding in &mut answer.findings {
            finding.settings = self.stamp().settings;
            if self.otherwise {
                finding.call_ids.pop();
            }
        }
        Ok(answer)
    }
}

#[test]
fn another_meaning_of_sql_runs_rules_again_and_refutes_nothing() {
    let place = place();
    rule(&place, "any", "");
    let set = rules(&place);
    let now = rule_detectors(&set, &Params::default(), &BTreeMap::new());
    let aged = |otherwise: bool| -> Vec<Arc<dyn Detector>> {
        let rule = RuleDetector::new(set.rules()[0].clone(), Params::default(), None);
        vec![Arc::new(Aged { rule, otherwise })]
    };
    let everything = TimeRange::default();
    let proofs = || {
        let alerts = block_on(stored(&open(&place))).expect("alerts").into_iter().filter(Alert::is_current);
        let prove = |alert| block_on(replay(&open(&place), &set, SessionOptions::default(), &alert)).expect("it runs");
        alerts.map(prove).collect::<Vec<_>>()
    };

    assert_eq!(run(&place, &aged(true), everything, &[]).new.len(), 2);
    for proof in proofs() {
        let Proof::Impossible { reasons } = &proof.result else { panic!("{proof:?}") };
        assert!(reasons[0].contains("0.0.9+old") && reasons[0].contains(ENGINE), "{reasons:?}");
    }
    let again = run(&place, &now, everything, &[]);
    assert!(again.profile[0].ran.is_some() && again.new.len() == 2, "{again:?}");
    assert!(proofs().iter().all(|proof| proof.result == Proof::Same && proof.engine.as_deref() == Some(ENGINE)));
    assert!(run(&place, &now, everything, &[]).profile[0].ran.is_none(), "nothing changed since");
    // What comes out the same by other means is proved all the same.
    run(&place, &aged(false), everything, &[]);
    assert!(proofs().iter().all(|proof| proof.result == Proof::Same && proof.engine.as_deref() == Some("0.0.9+old")));
}

#[test]
fn a_rule_that_is_gone_or_switched_off_has_no_current_alerts() {
    let place = place();
    for id in ["dropped", "kept", "renamed"] {
        rule(&place, id, "");
    }
    let built_in = RuleSet::load(&[], true).expect("built-in rules");
    let ids = built_in.rules().iter().map(|rule| &rule.header.id);
    let off: String = ids.map(|id| format!("[rules.{id}]\nenabled = false\n")).collect();
    let config = |dirs: &str, more: &str| {
        let text = format!("[detect]\nrules = [{dirs}]\n[model]\nenabled = false\n{off}{more}");
        place.write("calltrail.toml", text);
    };
    let detect = |more: &[&str]| place.run(0, ["detect", "--format", "json"].iter().chain(more)).json();
    let current = || {
        let rows = place.rows(
            "SELECT DISTINCT rule_id FROM alerts WHERE superseded_by IS NULL AND resolved IS NULL ORDER BY rule_id",
        );
        rows.iter().map(|row| row["rule_id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let why = |id: &str| place.one(&format!("SELECT min(resolved) FROM alerts WHERE rule_id = '{id}'"));

    config("\"rules\"", "");
    assert_eq!(detect(&[])["new_alerts"], 6);
    // Who asks for one rule, or for a range, says nothing of the others.
    config("\"rules\"", "[rules.dropped]\nenabled = false\n");
    detect(&["--rule", "kept"]);
    detect(&["--since", "2026-11-02"]);
    assert_eq!(current(), ["dropped", "kept", "renamed"]);
    let detected = detect(&[]);
    assert_eq!((&detected["resolved"], why("dropped")), (&2.into(), "its rule is switched off".into()), "{detected}");
    assert_eq!(current(), ["kept", "renamed"]);
    config("\"rules\"", "");
    assert_eq!(detect(&[])["new_alerts"], 2, "it is back, and nothing else is new");
    assert_eq!(current(), ["dropped", "kept", "renamed"]);

    std::fs::remove_file(place.path("rules/test/renamed.sql")).expect("removed");
    rule(&place, "other", "");
    let detected = detect(&[]);
    assert_eq!((&detected["resolved"], &detected["new_alerts"]), (&2.into(), &2.into()), "{detected}");
    assert_eq!(
        (current(), why("renamed")),
        (vec!["dropped".into(), "kept".into(), "other".into()], "its rule is no longer there".into())
    );
    // A folder that is not named this time is another matter.
    config("", "");
    assert_eq!(detect(&[])["resolved"], 0);
    assert_eq!(current(), ["dropped", "kept", "other"]);
}
