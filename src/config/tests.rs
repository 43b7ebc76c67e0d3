//! Whole files: the example, every problem at once, paths.

use super::*;

fn problems(text: &str) -> Vec<String> {
    match Config::parse(text, Path::new("calltrail.toml")) {
        Err(ConfigError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn example_is_valid_also_where_it_is_off() {
    let config = Config::parse(Config::example(), Path::new("calltrail.toml")).unwrap();
    assert_eq!(config.query.memory_limit, 1 << 30);
    assert_eq!(config.suppress.len(), 1);
    assert_eq!(config.rules.len(), 1);
    // What is commented out must be valid too.
    let whole: String =
        Config::example().lines().map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n").collect();
    let config = Config::parse(&whole, Path::new("calltrail.toml")).unwrap();
    assert!(config.detect.since.is_some() && config.output.file.is_some());
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(Config::parse("", Path::new("calltrail.toml")).unwrap(), Config::default());
}

#[test]
fn a_missing_file_is_an_error_only_if_it_was_named() {
    let missing = std::env::temp_dir().join("no-such-folder").join("calltrail.toml");
    assert!(matches!(Config::load(Some(&missing)), Err(ConfigError::Read { .. })));
}

#[test]
fn every_problem_is_reported_with_its_line() {
    let text = r#"
lak = "x"
[ingest]
payload_limit = "64 apples"
session_gap = "0s"
keep_secrets = "yes"
capabilities = [{ tool = "x*", capabilities = ["egress", "fly"] }]
[detect]
fail_on = "severe"
[rules.some_rule]
level = "hi"
lvl = 1
[[suppress]]
id = "a"
rule = "*"
owner = ""
[[suppress]]
id = "b"
rule = "r"
color = "red"
owner = "o"
reason = "r"
expires = 2027-02-30
[output]
format = "pdf"
"#;
    // A date that does not exist is a syntax error, and then nothing else can be trusted.
    assert_eq!(problems(text).len(), 1);
    let found = problems(&text.replace("2027-02-30", "\"soon\""));
    let expected = [
        ("2: ", "unknown field `lak`"),
        ("4: ", "`64 apples` is not a size"),
        ("5: ", "`session_gap` is 0"),
        ("6: ", "expected a boolean"),
        ("7: ", "`fly` is no capability; there are reads_private"),
        ("9: ", "`severe` is no level; the levels are informational"),
        ("11: ", "`hi` is no level"),
        ("12: ", "unknown field `lvl`"),
        ("13: ", "the suppression lacks `reason`"),
        ("13: ", "the suppression lacks `expires`"),
        ("15: ", "hides every alert"),
        ("16: ", "must not be empty"),
        ("20: ", "unknown field `color`"),
        ("23: ", "`soon` is not a date"),
        ("25: ", "`pdf` is no format"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (problem, (line, message)) in found.iter().zip(expected) {
        assert!(
            problem.starts_with(&format!("calltrail.toml:{line}")) && problem.contains(message),
            "{problem} / {message}"
        );
    }
}

#[test]
fn paths_start_from_the_files_folder() {
    let text = r#"
lake = "./lake"
ingest.paths = ["logs/*.jsonl", "/var/log/mcp", "s3://bucket/x", "-"]
detect.rules = ["rules"]
output.file = "alerts.jsonl"
"#;
    let config = Config::parse(text, Path::new("/etc/calltrail/c.toml")).unwrap();
    assert_eq!(config.lake, "/etc/calltrail/lake");
    assert_eq!(config.ingest.paths, ["/etc/calltrail/logs/*.jsonl", "/var/log/mcp", "s3://bucket/x", "-"]);
    assert_eq!(config.detect.rules, [PathBuf::from("/etc/calltrail/rules")]);
    assert_eq!(Config::parse(text, Path::new("c.toml")).unwrap().lake, "./lake");
}

#[test]
fn a_suppression_holds_through_its_last_day() {
    let text = "[[suppress]]\nid='a'\nrule='r'\nowner='o'\nreason='why'\nexpires=2027-01-31";
    let config = Config::parse(text, Path::new("c.toml")).unwrap();
    assert_eq!(config.suppress[0].expires, "2027-02-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    let twice = format!("{text}\n{text}");
    assert_eq!(problems(&twice), ["calltrail.toml:8: a second suppression has the id `a`"]);
}
