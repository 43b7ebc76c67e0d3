//! The built-in rules: headers, SQL and cases hold, from the shipped binary alone.

use crate::common::{Place, repository};

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
