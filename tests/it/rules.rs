//! The built-in rules: headers, SQL and cases hold, from the shipped binary alone.

use crate::common::{Place, repository};
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn built_in_rules_check_and_pass_their_cases() {
    let place = Place::new();
    place.run(0, ["rules", "check"]);
    let said = place.run(0, ["rules", "test", "--format", "table"]);
    let sql = crate::common::files(&repository("queries")).into_iter().filter(|path| {
        path.extension().is_some_and(|end| end == "sql") && !path.components().any(|part| part.as_os_str() == "views")
    });
    let listed = place.run(0, ["rules", "list"]).stdout;
    for rule in sql {
        let id = rule.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(listed.contains(&id), "{id} is not built in");
        assert!(rule.with_extension("test.toml").exists(), "{id} has no cases");
    }
    assert!(!said.stdout.contains("FAIL"), "{}", said.stdout);
}

#[test]
fn documents_tell_of_the_rules_that_exist() {
    let script = Command::new("python3").arg(repository("docs/rules_table.py")).arg("--check").output();
    let script = script.expect("python3");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));

    let rules: BTreeSet<String> = crate::common::files(&repository("queries"))
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "sql"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    let page = std::fs::read_to_string(repository("docs/detections.md")).expect("docs/detections.md");
    let rows: Vec<Vec<&str>> =
        page.lines().filter(|line| line.starts_with("| ")).skip(1).map(|line| line.split(" | ").collect()).collect();
    assert_eq!(rows.len(), 143, "109 detections on call logs, 14 on definitions, N1 to N20");
    for row in rows {
        let cover = row.last().expect("a cell").trim_end_matches('|').trim();
        assert!(row.len() == 3 && !cover.is_empty(), "docs/detections.md: {row:?} has neither a rule nor a reason");
        for named in cover.split('`').skip(1).step_by(2) {
            assert!(rules.contains(named), "docs/detections.md: {row:?} names {named}, which is no rule");
        }
    }
}

#[test]
fn a_new_rule_passes_as_it_is() {
    let place = Place::new();
    let new = place.run(0, ["rules", "new", "house/odd_export", "--dir", "mine", "--tag", "owasp.mcp10"]).stderr;
    assert!(new.contains("mine/house/odd_export.sql"), "{new}");
    place.run(2, ["rules", "new", "house/odd_export", "--dir", "mine"]);
    place.run(2, ["rules", "new", "house/path_traversal", "--dir", "mine"]);
    place.run(2, ["rules", "new", "house/Odd", "--dir", "mine"]);
    place.run(2, ["rules", "new", "../x", "--dir", "mine"]);
    place.run(2, ["rules", "new", "house/x", "--dir", "mine", "--tag", "attack.T9999"]);
    place.run(0, ["rules", "check", "mine"]);
    let tested = place.run(0, ["rules", "test", "mine"]).stdout;
    assert_eq!(tested.lines().filter(|line| line.starts_with("ok ")).count(), 3, "{tested}");
    let shown = place.run(0, ["rules", "show", "odd_export", "mine"]).stdout;
    assert!(shown.starts_with("-- id = \"odd_export\""), "{shown}");
    place.run(2, ["rules", "show", "no_such_rule"]);
}

#[test]
fn coverage_by_taxonomy_as_layer_and_on_logs() {
    let place = Place::new();
    let by = place.run(0, ["rules", "coverage", "--format", "json"]).json();
    let entries = |taxonomy: usize| by["taxonomies"][taxonomy]["entries"].as_array().expect("a list").clone();
    assert_eq!((entries(0).len(), entries(1).len()), (10, 10));
    let has = |taxonomy: usize, id: &str, rule: &str| {
        let entry = entries(taxonomy).into_iter().find(|entry| entry["id"] == id);
        entry
            .is_some_and(|entry| entry["rules"].as_array().is_some_and(|rules| rules.iter().any(|known| known == rule)))
    };
    assert!(
        has(0, "mcp05", "path_traversal") && has(2, "AML.T0049", "path_traversal") && has(3, "T1083", "path_traversal")
    );
    // A rule on a sub-technique covers its technique.
    assert!(has(3, "T1552.001", "credential_file_read") && has(3, "T1552", "credential_file_read"));
    for (taxonomy, domain, id) in [("attack", "enterprise-attack", "T1083"), ("atlas", "atlas-atlas", "AML.T0049")] {
        let layer = place.run(0, ["rules", "coverage", "--navigator", taxonomy]).json();
        assert_eq!((&layer["domain"], &layer["versions"]["layer"]), (&domain.into(), &"4.5".into()));
        let techniques = layer["techniques"].as_array().expect("a list");
        let known = techniques.iter().find(|technique| technique["techniqueID"] == id).expect(id);
        assert!(
            known["score"].as_u64() >= Some(1) && known["comment"].as_str().expect("text").contains("path_traversal")
        );
        let most = techniques.iter().filter_map(|technique| technique["score"].as_u64()).max();
        assert_eq!(layer["gradient"]["maxValue"].as_u64(), most);
        for technique in techniques {
            // The format's types: ids and texts, numbers for scores, name and value of metadata as texts.
            assert!(
                technique["techniqueID"].is_string()
                    && technique["score"].is_u64()
                    && technique["enabled"].is_boolean()
            );
            for fact in technique["metadata"].as_array().expect("a list") {
                assert!(fact["name"].is_string() && fact["value"].is_string(), "{fact}");
            }
        }
    }

    // A log with everything, and one that is metadata alone.
    let whole = r#"{"ts":"2026-01-05T09:00:00Z","who":"ana","session":"s1","agent":"a1","tool":"read_file","server":"files","args":{"path":"/x"},"out":{"content":[]},"ok":"yes"}"#;
    let bare = r#"{"at":"2026-01-05T09:00:00Z","name":"read_file","server":"files"}"#;
    let config = r#"
[[mapping]]
id = "whole"
exists = ["/tool", "/args"]
[mapping.columns]
time = "/ts"
user_id = "/who"
session_id = "/session"
agent = "/agent"
tool = "/tool"
server = "/server"
arguments = "/args"
result = "/out"
outcome = { from = "/ok", values = { yes = "success" } }
[[mapping]]
id = "bare"
exists = ["/name", "/at"]
[mapping.columns]
time = "/at"
tool = "/name"
server = "/server"
"#;
    place.write("calltrail.toml", config);
    place.write("logs/whole.jsonl", format!("{whole}\n"));
    let read = |place: &Place| {
        place.run(0, ["ingest", "-q", "logs"]);
        place.run(0, ["rules", "coverage", "--logs", "--format", "json"]).json()
    };
    let sight = |on: &serde_json::Value, id: &str| {
        let rules = on["rules"].as_array().expect("a list");
        rules.iter().find(|rule| rule["id"] == id).expect(id)["sight"].as_str().expect("text").to_owned()
    };
    let on = read(&place);
    assert_eq!((&on["calls"], &on["mcp08"]["of"]), (&1.into(), &7.into()), "{on}");
    assert_eq!(on["mcp08"]["held"], 7, "{on}");
    assert_eq!(sight(&on, "path_traversal"), "works");
    let bare: String = (0..9).map(|n| bare.replace("09:00:00", &format!("09:0{n}:00")) + "\n").collect();
    place.write("logs/bare.jsonl", bare);
    let on = read(&place);
    assert_eq!(on["calls"], 10, "{on}");
    assert_eq!((sight(&on, "path_traversal"), on["fields"]["arguments"].as_f64()), ("partial".to_owned(), Some(0.1)));
    assert!(on["mcp08"]["held"].as_u64() < Some(4), "{on}");
    let advice = on["advice"].as_array().expect("a list");
    assert!(
        advice
            .iter()
            .any(|entry| entry["field"] == "arguments" && entry["rules"].as_array().is_some_and(|r| r.len() > 3))
    );
    let table = place.run(0, ["rules", "coverage", "--lake", "lake"]).stdout;
    assert!(
        table.contains("OWASP MCP08 field coverage: ") && table.contains("What to log for more of them"),
        "{table}"
    );
}
