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
    assert_eq!(config.suppress.len(), 2, "a suppression and an allow-list");
    assert_eq!(config.rules.len(), 1);
    // What is commented out must be valid too.
    let whole: String =
        Config::example().lines().map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n").collect();
    let config = Config::parse(&whole, Path::new("calltrail.toml")).unwrap();
    assert!(config.detect.since.is_some() && config.output.file.is_some());
    assert_eq!(config.mappings.len(), 1);
    assert_eq!(
        config.sinks.iter().map(|setting| setting.sink.name.as_str()).collect::<Vec<_>>(),
        ["splunk", "elastic", "siem", "chat"]
    );
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
rule_timeout = "0s"
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
        ("9: ", "`rule_timeout` is 0"),
        ("10: ", "`severe` is no level; the levels are informational"),
        ("12: ", "`hi` is no level"),
        ("13: ", "unknown field `lvl`"),
        ("14: ", "the suppression lacks `reason`"),
        ("14: ", "the suppression lacks `expires`"),
        ("16: ", "hides every alert"),
        ("17: ", "must not be empty"),
        ("21: ", "unknown field `color`"),
        ("24: ", "`soon` is not a date"),
        ("26: ", "`pdf` is no format"),
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
fn every_problem_of_a_mapping_names_its_key() {
    let text = r##"
[[mapping]]
id = "Bad id"
exists = ["/a", "b", "/c~2"]
zone = "Mars/Base"
side = "sideways"
columns = { tool = "/t", tol = "/x", session = "/s", time = { from = "/t", format = "%H:%M" }, duration = "/d" }
constants = { outcome = "fine", time = "now" }
[[mapping]]
id = "jsonrpc"
regex = '(?P<tool>\S+'
columns = { server = "nogroup", duration = "latency", outcome = { from = "ok", values = { t = "great" } } }
[[mapping]]
id = "groups"
regex = '(?P<tool>\S+) (?P<latency>\d+) (?P<duration>\d+) (?P<typo>.)'
columns.server = "gone"
columns.outcome = { from = "tool", values = { ok = "great" } }
columns.agent = "/agent"
columns.user_id = { from = "tool", regex = "(" }
[[mapping]]
id = "empty"
side = "request"
[[mapping]]
id = "more"
exists = ["/a"]
pair = { id = "/id" }
text = "/log"
columns.arguments = { from = "/a", values = { a = "b" } }
columns.tool = { from = [], colour = "red" }
columns.method = { from = "/m", unit = "ms" }
"##;
    let expected = [
        ("3: ", "`Bad id` is no id of a mapping"),
        ("4: ", "mapping `Bad id`: exists: `b` is no JSON pointer: it must begin with /, like /b"),
        ("4: ", "exists: `/c~2` is no JSON pointer: `~` must be followed by 0 or 1"),
        ("5: ", "zone: `Mars/Base` is no time zone"),
        ("6: ", "side: `sideways` is no side; there are whole, request, response"),
        ("7: ", "columns.tol: `tol` is no column that a mapping can fill; there are time, "),
        ("7: ", "columns.session: `session` is no column that a mapping can fill; did you mean session_id"),
        ("7: ", "columns.time: `%H:%M` has no date"),
        ("7: ", "columns.duration: a duration needs its unit, as in duration = { from = \"/d\", unit = \"ms\" }"),
        ("8: ", "constants.outcome: `fine` is no outcome; there are unknown, no_response, success"),
        ("8: ", "constants.time: `time` differs from call to call"),
        ("10: ", "`jsonrpc` is a built-in format"),
        ("11: ", "regex: `(?P<tool>\\S+` is no regex: unclosed group"),
        ("12: ", "columns.duration: a duration needs its unit, as in duration = { from = \"latency\", unit = \"ms\" }"),
        ("12: ", "columns.outcome: `great` is no outcome"),
        ("15: ", "regex: group latency: `latency` is no column that a mapping can fill; did you mean duration"),
        ("15: ", "regex: group duration: a duration needs its unit"),
        ("15: ", "regex: group typo: `typo` is no column"),
        ("16: ", "columns.server: `regex` has no group `gone`"),
        ("17: ", "columns.outcome: `great` is no outcome"),
        ("18: ", "columns.agent: `/agent` is a JSON pointer, and the records are text"),
        ("19: ", "columns.user_id: `(` is no regex"),
        ("20: ", "mapping `empty`: nothing says how its records are recognised"),
        ("20: ", "mapping `empty`: columns: nothing fills `tool` or `method`"),
        ("22: ", "side: half a call needs `pair`"),
        ("23: ", "text: it names the string that `regex` looks at, and there is no `regex`"),
        ("23: ", "columns: nothing fills `tool` or `method`"),
        ("26: ", "pair: a whole call has no other half"),
        ("28: ", "columns.arguments: `values` is for columns with few values"),
        ("29: ", "a place such as"),
        ("30: ", "columns.method: `unit` is for times and durations"),
    ];
    let found = problems(text);
    for (line, message) in expected {
        let is_there = |p: &&String| p.starts_with(&format!("calltrail.toml:{line}")) && p.contains(message);
        assert!(found.iter().any(|p| is_there(&p)), "{line}{message} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
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
    assert_eq!(config.suppress[0].expires, Some("2027-02-01T00:00:00Z".parse().unwrap()));
    let twice = format!("{text}\n{text}");
    assert_eq!(problems(&twice), ["calltrail.toml:8: a second suppression has the id `a`"]);
}

#[test]
fn allow_lists_are_suppressions_that_hold_for_good() {
    let text = r#"
[allow]
destinations = ["*.corp.example"]
tools = ["docs/search_*"]
[rules.secret_then_egress]
params = { min_bytes = 1, min_byte = 2 }
[rules.secret_then_egress.allow]
destinations = ["registry.example"]
[[suppress]]
id = "one"
alert_id = "0123"
owner = "o"
reason = "r"
expires = 2027-01-01
[[suppress]]
id = "two"
rule = "r"
server = ["a", "b*"]
owner = "o"
reason = "r"
expires = 2027-01-01
"#;
    let config = Config::parse(text, Path::new("calltrail.toml")).unwrap();
    let shown: Vec<(String, &str, Option<String>)> = (config.suppress.iter())
        .map(|s| (s.id.clone(), s.rule.as_str(), s.destination.as_ref().or(s.server.as_ref()).map(ToString::to_string)))
        .collect();
    assert_eq!(
        shown,
        [
            ("one".to_owned(), "*", None),
            ("two".to_owned(), "r", Some("a, b*".to_owned())),
            (
                "rules.secret_then_egress.allow.destinations".to_owned(),
                "secret_then_egress",
                Some("registry.example, *.corp.example".to_owned())
            ),
            ("allow.tools".to_owned(), "*", None),
            ("allow.destinations".to_owned(), "*", Some("*.corp.example".to_owned())),
        ]
    );
    assert_eq!(
        config.places.located("rules.secret_then_egress.params.min_byte", "no such parameter"),
        "calltrail.toml:6: rules.secret_then_egress.params.min_byte: no such parameter"
    );
    let wrong = problems(
        "[allow]\ntools = [\"*\", \" \", \"*/?*\"]\nhosts = []\n[rules.x.allow]\nagents = [\"**\", \"?*\", \"-\"]\n",
    );
    let expected = [
        ("2: ", "`*` allows everything"),
        ("2: ", "a pattern is empty"),
        ("2: ", "`*/?*` allows everything"),
        ("3: ", "unknown field `hosts`"),
        ("5: ", "`**` allows everything"),
        ("5: ", "`?*` allows everything"),
    ];
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for ((line, message), found) in expected.iter().zip(&wrong) {
        assert!(found.starts_with(&format!("calltrail.toml:{line}")) && found.contains(message), "{found}");
    }
}

#[test]
fn every_problem_of_sinks_is_reported_and_no_credential_repeated() {
    let text = r#"
[[sinks]]
type = "splunk"
[[sinks]]
name = "hec"
type = "splunk_hec"
url = "https://user:hunter2@splunk.example:8088"
token = "hunter2"
topic = "x"
encoding = "slack"
[[sinks]]
name = "a b"
type = "file"
path = "x"
[[sinks]]
name = "es"
type = "elasticsearch"
url = "ftp://elastic.example"
headers = { Authorization = "hunter2" }
rate_limit = "fast"
batch = { count = 0 }
[[sinks]]
name = "chat"
type = "slack"
url = "https://hooks.slack.example/services/hunter2"
[[sinks]]
name = "s"
type = "syslog"
address = "nowhere"
facility = 24
tls = { key = "k" }
[[sinks]]
name = "one"
type = "stdout"
min_level = "bad"
[[sinks]]
type = "sentinel"
url = { env = "DCE" }
[[sinks]]
name = "hook"
url = "https://hook.example"
[[sinks]]
type = "kafka"
brokers = ["broker.example:9092"]
topic = "alerts"
user = "me"
password = { env = "P" }
mechanism = "plain"
[[sinks]]
name = "topic"
type = "kafka"
brokers = ["broker.example:9093"]
topic = "alerts"
mechanism = "gssapi"
tls = { server_name = "other.example" }
[[sinks]]
name = "short"
type = "syslog"
address = "syslog.example:6514"
max_message = 479
[[sinks]]
name = "nowhere"
type = "kafka"
brokers = []
topic = " "
[[sinks]]
name = "no-port"
type = "kafka"
brokers = ["broker.example"]
topic = "alerts"
[[sinks]]
name = "archive"
type = "file"
path = ""
rotate_at = "big"
[[sinks]]
name = "no-path"
type = "file"
rotate_at = "big"
encoding = "xml"
[[sinks]]
name = "azure"
type = "sentinel"
url = "https://dce.example"
dcr = "d"
stream = "s"
tenant = "t"
client_id = "c"
client_secret = { env = "S" }
authority = "login.example"
"#;
    let found = problems(text);
    let expected = [
        (3, "`splunk` is no type of sink; there are stdout, file, syslog"),
        (7, "a URL with a name or password in it"),
        (8, "`token` is a credential and must not stand here"),
        (9, "`topic` means nothing to a sink of type `splunk_hec`"),
        (12, "a sink's name has letters"),
        (18, "no URL that begins with http:// or https://"),
        (19, "`headers.Authorization` is a credential"),
        (20, "`fast` is no rate"),
        (21, "`count` is 0"),
        (25, "`url` is a credential"),
        (29, "`nowhere` is no address"),
        (30, "24 is no facility"),
        (31, "`certificate` and `key` belong together"),
        (35, "`bad` is no level"),
        (36, "the sink lacks `dcr`"),
        (36, "the sink lacks `client_secret`"),
        (39, "the sink lacks `type`"),
        (48, "`plain` shows the password"),
        (54, "`gssapi` is no mechanism; there are plain, scram-sha-256, scram-sha-512"),
        (55, "`server_name` is for syslog only"),
        (60, "`max_message` is 479"),
        (64, "`brokers` names none"),
        (65, "`topic` is empty"),
        (69, "`broker.example` is no address"),
        (74, "`path` is empty"),
        (75, "`big` is not a size"),
        (76, "the sink lacks `path`"),
        (79, "`big` is not a size"),
        (80, "`xml` is no encoding"),
        (90, "this is no URL that begins with http:// or https://"),
    ];
    for (line, message) in expected {
        let line = format!("calltrail.toml:{line}: ");
        assert!(
            found.iter().any(|p| p.starts_with(&line) && p.contains(message)),
            "{line}{message} is not in {found:#?}"
        );
    }
    assert!(found.iter().all(|problem| !problem.contains("hunter2")), "{found:#?}");
    let fine = "[[sinks]]\ntype = \"splunk_hec\"\nurl = \"https://splunk.example\"\ntoken = { env = \"T\" }\nencoding = \"slack\"\n";
    assert!(problems(fine)[0].contains("`slack` is no encoding for a sink of type `splunk_hec`"));
    let twice = "[[sinks]]\ntype = \"stdout\"\n[[sinks]]\ntype = \"stdout\"\n";
    assert!(problems(twice)[0].contains("two sinks named `stdout`"));
}
