//! The order of the house, as a table that the compiler does not know: who may use whom, and what the pure parts must not know.

use crate::common::{files, repository};
use std::collections::BTreeSet;

/// Each module and what it may use. A later stage uses earlier ones; nothing uses `cli`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("visible", &[]),
    ("call", &[]),
    ("source", &["call"]),
    ("enrich", &["call", "source"]),
    ("lake", &["call"]),
    ("ingest", &["call", "source", "enrich", "lake", "visible"]),
    ("lineage", &["call", "source", "enrich", "lake"]),
    ("query", &["call", "source", "enrich", "lake", "visible"]),
    ("alert", &["call", "lake", "visible"]),
    ("rule", &["call", "source", "enrich", "lake", "lineage", "query", "alert"]),
    ("model", &["call", "source", "lake", "lineage", "query", "visible"]),
    ("detect", &["call", "lake", "lineage", "model", "query", "rule", "alert", "visible"]),
    ("sink", &["lake", "alert", "visible"]),
    ("config", &["call", "source", "lake", "alert", "sink"]),
    (
        "cli",
        &[
            "call", "source", "enrich", "lake", "ingest", "lineage", "model", "query", "alert", "rule", "detect",
            "sink", "config", "visible",
        ],
    ),
];

/// What only some modules may name.
const ONLY: &[(&str, &[&str])] = &[
    ("deltalake", &["lake", "ingest", "lineage"]),
    ("datafusion", &["lake", "query", "rule", "alert", "detect"]),
    ("tokio", &["ingest", "lake", "query", "rule", "detect", "alert", "sink", "cli"]),
    ("SystemTime::now", &["cli"]),
    ("Utc::now", &["cli"]),
    ("Instant::now", &["cli"]),
    ("std::env", &["cli", "config"]),
    ("clap", &["cli"]),
];

/// Code without comments, without what is tested only.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Each source file with its top module.
fn sources() -> Vec<(String, String, String)> {
    let root = repository("src");
    let rust = files(&root).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.map(|path| {
        let name = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        let module = name.split(['/', '.']).next().unwrap_or_default().to_owned();
        (module, code(&std::fs::read_to_string(&path).expect("readable")), name)
    })
    .filter(|(module, _, name)| !matches!(module.as_str(), "lib" | "main") && !name.contains("tests"))
    .collect()
}

#[test]
fn a_later_stage_uses_earlier_ones_and_never_the_reverse() {
    let mut wrong = BTreeSet::new();
    for (module, code, name) in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == module) else {
            wrong.insert(format!("src/{name}: the table does not know `{module}`"));
            continue;
        };
        for used in code.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let is_module = MAY_USE.iter().any(|(known, _)| *known == used);
            if is_module && used != module && !allowed.contains(&used.as_str()) {
                wrong.insert(format!("src/{name}: `{module}` may not use `{used}`"));
            }
        }
        for (what, by) in ONLY {
            let named = code.match_indices(what).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                let after = code[at + what.len()..].chars().next();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"' || c == '.')
                    && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            if named && !by.contains(&module.as_str()) {
                wrong.insert(format!("src/{name}: only {by:?} may name `{what}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_test_file_is_declared() {
    let main = std::fs::read_to_string(repository("tests/it/main.rs")).expect("main.rs");
    for file in files(&repository("tests/it")) {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(name == "main" || main.contains(&format!("mod {name};")), "tests/it/main.rs does not declare {name}");
    }
}

#[test]
fn documents_name_paths_that_exist() {
    const ROOTS: &[&str] = &["src/", "tests/", "queries/", "sample-logs/", "docs/", "benches/", ".ci/"];
    let mut wrong = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let Ok(text) = std::fs::read_to_string(repository(document)) else { continue };
        for word in text.split(|c: char| c.is_whitespace() || matches!(c, '`' | '(' | ')' | '"' | '\'' | ',')) {
            let path = word.trim_end_matches(['.', ':', ';']);
            let is_pattern = path.contains(['<', '>', '*', '{', '…', '$']) || path.chars().any(char::is_uppercase);
            if ROOTS.iter().any(|root| path.starts_with(root))
                && !is_pattern
                && !repository(path.split('#').next().unwrap_or(path)).exists()
            {
                wrong.push(format!("{document} names {path}, which does not exist"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
