//! Suppressions and allow-lists: what they hide is kept, marked and counted, and each says what it hid.

use crate::common::{Place, repository};
use serde_json::Value;

const RULE: &str = r#"-- id = "posted"
-- title = "Something was posted"
-- level = "medium"
-- status = "test"
-- description = "A tool that posts worked."
-- tags = ["attack.T1567"]
-- needs = []
-- params = { at_least = 1 }
SELECT session_id, agent, server, tool, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id) AS call_ids
FROM calls
WHERE event_kind = 'call' AND method = 'tools/call' AND server IS NOT NULL
GROUP BY session_id, agent, server, tool
HAVING count(*) >= $at_least
"#;

fn states(place: &Place, config: &str) -> Vec<(String, String, u64)> {
    let said = place.run(0, ["--config", config, "alerts", "suppressions", "--format", "json"]).json();
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_owned();
    let rows = said.as_array().expect("a list").iter();
    rows.map(|row| (text(row, "id"), text(row, "state"), row["alerts"].as_u64().expect("a number"))).collect()
}

#[test]
fn what_is_silenced_is_kept_marked_and_counted() {
    let place = Place::new();
    place.ingest_here([repository("sample-logs/jsonrpc")]);
    place.write("rules/house/posted.sql", RULE);
    place.write("none.toml", "");
    let detect = ["--config", "none.toml", "detect", "--rules", "rules", "--rule", "posted", "--format", "json"];
    let found = place.run(0, detect).json()["alerts"].as_u64().expect("a number");
    let list = |config: &str| place.run(0, ["--config", config, "alerts", "list", "--format", "jsonl"]).lines();
    let alerts = list("none.toml");
    assert!(found > 3 && alerts.len() as u64 == found, "{found} alerts, {} listed", alerts.len());

    // One alert by the command, then those like another one.
    let id = alerts[0]["alert_id"].as_str().expect("an id");
    let suppress = ["--config", "none.toml", "alerts", "suppress"];
    let with = |more: &[&str]| suppress.iter().chain(more).map(ToString::to_string).collect::<Vec<_>>();
    place.run(2, with(&[id, "--owner", "ana", "--reason", " ", "--until", "30d"]));
    place.run(2, with(&[id, "--owner", "ana", "--reason", "known", "--until", "2020-01-01"]));
    place.run(2, with(&[id, "--owner", "ana", "--reason", "known", "--until", "30d", "--like", "user_id,destination"]));
    place.run(0, with(&[id, "--owner", "ana", "--reason", "known", "--until", "30d", "--id", "first"]));
    place.run(2, with(&[id, "--owner", "ana", "--reason", "known", "--until", "30d", "--id", "first"]));
    let server = alerts[1]["server"].as_str().expect("a server");
    let other = alerts[1]["alert_id"].as_str().expect("an id");
    place.run(
        0,
        with(&[other, "--owner", "ana", "--reason", "like it", "--until", "30d", "--like", "server", "--id", "same"]),
    );
    let left = list("none.toml");
    assert!(left.iter().all(|alert| alert["server"] != server && alert["alert_id"] != id));
    let all = place.run(0, ["--config", "none.toml", "alerts", "list", "--suppressed", "--format", "jsonl"]).lines();
    assert_eq!(all.len() as u64, found, "what is hidden is kept");
    assert!(all.iter().filter(|alert| alert["alert_id"] == id).all(|alert| alert["suppressed_by"] == "first"));
    let hidden = found - left.len() as u64;
    // A later run marks them in the lake too.
    assert_eq!(place.run(0, detect).json()["suppressed"], hidden);
    place.run(0, ["--config", "none.toml", "alerts", "unsuppress", "same"]);
    place.run(2, ["--config", "none.toml", "alerts", "unsuppress", "no-such"]);
    assert_eq!(list("none.toml").len() as u64, found - 1);
    assert_eq!(
        states(&place, "none.toml"),
        [("first".to_owned(), "holds".to_owned(), 1), ("same".to_owned(), "expired".to_owned(), 0)]
    );

    // Allow-lists of the configuration, and suppressions that are over or fit nothing.
    let tool = left[0]["tool"].as_str().expect("a tool");
    let at = left[0]["server"].as_str().expect("a server");
    let config = format!(
        "[allow]\ntools = [\"{at}/{tool}\", \"{at}/no_such_tool\"]\n[rules.posted.allow]\nagents = [\"nobody\"]\n\
         [[suppress]]\nid = \"old\"\nrule = \"posted\"\nowner = \"o\"\nreason = \"r\"\nexpires = 2020-01-01\n"
    );
    place.write("allow.toml", config);
    let covered = |alert: &&Value| alert["tool"] == tool && alert["server"] == at;
    assert_eq!(list("allow.toml").iter().filter(covered).count(), 0);
    let expected = all.iter().filter(covered).count() as u64;
    let states = states(&place, "allow.toml");
    for (id, state, count) in
        [("allow.tools", "holds", expected), ("rules.posted.allow.agents", "never matched", 0), ("old", "expired", 0)]
    {
        let found = states.iter().find(|row| row.0 == id);
        assert!(found.is_some_and(|row| row.1 == state && (state == "expired" || row.2 == count)), "{id}: {states:?}");
    }
    let table = place.run(0, ["--config", "allow.toml", "alerts", "suppressions"]);
    assert!(table.stdout.contains(&format!("without effect: {at}/no_such_tool")), "{}", table.stdout);
    assert!(table.stderr.contains("2 have expired, 1 never matched"), "{}", table.stderr);
    let line = place.run(0, ["--config", "allow.toml", "detect", "--rules", "rules", "--rule", "posted"]).stderr;
    assert!(line.contains("allow.tools") && line.contains("suppression `old` has expired"), "{line}");
    // Incidents follow what holds now, not what held when rules last ran.
    for config in ["allow.toml", "none.toml"] {
        let incidents = place.run(0, ["--config", config, "alerts", "incidents", "--format", "jsonl"]).lines();
        let counted: u64 = incidents.iter().filter_map(|incident| incident["alerts"].as_u64()).sum();
        assert_eq!(counted, list(config).len() as u64, "{config}");
    }
}

#[test]
fn settings_of_rules_are_judged_with_their_place() {
    let place = Place::new();
    place.ingest_here([repository("sample-logs/jsonrpc")]);
    place.write("rules/house/posted.sql", RULE);
    let config = "[detect]\nrules = [\"rules\"]\n[rules.posted]\nparams = { at_least = \"x\", at_most = 1 }\n[rules.no_such_rule]\nlevel = \"low\"\n";
    place.write("calltrail.toml", config);
    for command in [vec!["detect"], vec!["rules", "check"]] {
        let said = place.run(2, command).stderr;
        for place in [
            "calltrail.toml:4: rules.posted.params.at_least: expected integer",
            "calltrail.toml:4: rules.posted.params.at_most: no such parameter; the rule has at_least",
            "calltrail.toml:5: rules.no_such_rule: no such rule",
        ] {
            assert!(said.contains(place), "{place}: {said}");
        }
    }
}
