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
