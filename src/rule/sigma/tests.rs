mod agreement;
mod correlations;

use super::super::{Params, RawFinding, Rule, RuleSet, check, run};
use super::*;
use crate::query::{Session, SessionOptions, TimeRange};
use crate::rule::rows;
use std::fs;

const RULE: &str =
    "title: T\nlogsource:\n    product: mcp\ndetection:\n    sel:\n        tool: x\n    condition: sel\nlevel: low\n";

fn one(text: &str) -> Conversion {
    convert(&[(Path::new("r/x.yml"), text)])
}

/// Problems without the file's name.
fn problems(text: &str) -> Vec<String> {
    one(text).problems.iter().map(|problem| problem.to_string().replace("r/x.yml:", "")).collect()
}

fn with(item: &str) -> String {
    RULE.replace("tool: x", item)
}

#[test]
fn every_problem_of_a_file_is_named_with_its_line() {
    let text = r#"title: T
id: 1
status: stabel
logsource:
    product: mcp
level: severe
detection:
    one:
        arguments.path|endswth: x
        "tool|contian": [a, b]
        agent:
            nested: yes
    condition: one
"#;
    let found = problems(text);
    let lines: Vec<&str> = found.iter().filter_map(|problem| problem.split_once(':')).map(|(line, _)| line).collect();
    assert_eq!(lines, ["6", "3", "9", "10", "11"], "{found:#?}");

    let text = r#"title: T
tags:
    - attack.t1552.004
    - attack.t9999
    - cve.2026-1
    - attack.g0049
logsource:
    product: windows
    service: sysmon
detection:
    one:
        arguments.pth: x
        argumnts: y
        tool|expand: '%tools%'
        tool|re: '('
        time: 5
        is_error: 5
        duration_ns|cidr: 10.0.0.0/8
        agent|all: x
        capabilities: []
    two:
        - tool|wide|contains: x
        - markers: y
    condition: one and thre
"#;
    let found = problems(text);
    for expected in [
        "4: tag `attack.t9999`: no such id",
        "7: `logsource`",
        "13: one: unknown field `argumnts`; did you mean `arguments`?",
        "14: one.tool: `expand` is not supported",
        "15: one.tool: `(` is no regular expression",
        "16: one: `time` is a time",
        "17: one: `is_error` is true or false",
        "18: one: `duration_ns` is no text",
        "19: one.agent: `all` is for several values",
        "20: one.capabilities: the list of values is empty",
        "22: two.tool: `wide`, `utf16` and `utf16be` stand before",
        "23: two: `markers` is a list of objects",
        "24: the condition names `thre`",
        "`level` is missing",
    ] {
        let line = expected.split_once(": ").filter(|(line, _)| line.parse::<usize>().is_ok());
        assert!(
            found.iter().any(|problem| match line {
                Some((line, text)) => problem.starts_with(&format!("{line}: ")) && problem.contains(text),
                None => problem.contains(expected),
            }),
            "{expected}: {found:#?}"
        );
    }
    // The path is one into JSON: nobody knows the arguments of all tools.
    assert!(!found.iter().any(|problem| problem.contains("pth")), "{found:#?}");
}

#[test]
fn correlations_and_filters_are_looked_through_too() {
    let base = "title: B\nname: base\nlogsource: {product: mcp}\ndetection: {sel: {tool: x}, condition: sel}\n---\n";
    let text = format!(
        "{base}title: C\nlevel: low\ncorrelation:\n    type: value_count\n    rules: [base, basse]\n    group_by: agent\n    group-by: [agnt, capabilities]\n    \
         timespan: 5m\n    aliases:\n        who:\n            bose: agent\n    condition:\n        gte: 3\n        more: 4\n---\n\
         title: F\nlogsource: {{product: mcp}}\nfilter:\n    rules: [bsae]\n    sel: {{agnt: x}}\n    condition: not sel\n"
    );
    let found = problems(&text);
    for expected in [
        "10: there is no rule with the id or name `basse`",
        "11: unknown key `group_by`",
        "12: unknown field `agnt`",
        "12: `capabilities` is a list",
        "16: `bose` is none of the correlation's rules",
        "17: `value_count` counts the values of a field",
        "19: unknown key `more`",
        "24: there is no rule with the id or name `bsae`",
        "25: sel: unknown field `agnt`",
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(&expected[..3]) && problem.contains(&expected[4..])),
            "{expected}: {found:#?}"
        );
    }
    let sum = text.split("---\n").take(2).collect::<Vec<_>>().join("---\n").replace("value_count", "value_sum");
    assert!(problems(&sum).iter().any(|problem| problem.contains("`value_sum` is not supported")));
    let chain = format!(
        "{base}title: C\nname: c\nlevel: low\ncorrelation: {{type: temporal, rules: [base], timespan: 5m}}\n---\n\
         title: D\nname: d\nlevel: low\ncorrelation: {{type: event_count, rules: [c], timespan: 5m, condition: {{gte: 2}}}}\n"
    );
    assert!(problems(&chain).iter().any(|problem| problem.contains("correlations of correlations")));
}

#[test]
fn one_file_gives_one_text_however_often_it_is_read() {
    let text = with("tool|contains: [a, b]\n        arguments.x: [1, null, q]\n    zel_1: {agent: a}\n    zel_2: {agent: b}\n    zel_3: {server: c}")
        .replace("condition: sel", "condition: sel and 1 of zel_*");
    let first = one(&text).rules.remove(0).text;
    for _ in 0..20 {
        assert_eq!(one(&text).rules.remove(0).text, first);
    }
}

#[test]
fn which_rules_run_by_themselves() {
    let base =
        "title: B\nname: base\nlevel: low\nlogsource: {product: mcp}\ndetection: {sel: {tool: x}, condition: sel}\n";
    let correlation = "title: C\nname: c\nlevel: low\ncorrelation: {type: event_count, rules: [base], timespan: 5m, condition: {gte: 2}}\n";
    let ids = |files: &[(&Path, &str)]| {
        let conversion = convert(files);
        assert_eq!(conversion.problems, []);
        conversion.rules.into_iter().map(|rule| rule.id).collect::<Vec<_>>()
    };
    let together = format!("{base}---\n{correlation}");
    let path = Path::new("r/x.yml");
    assert_eq!(ids(&[(path, &together)]), ["x"]);
    assert_eq!(ids(&[(path, &format!("{together}generate: true\n"))]), ["base", "c"]);
    assert_eq!(ids(&[(path, base), (Path::new("r/y.yml"), correlation)]), ["y"]);
    assert_eq!(ids(&[(path, base)]), ["x"]);
    // Cases of a rule that does not run by itself would never be run.
    assert_eq!(convert(&[(path, base), (Path::new("r/y.yml"), correlation)]).idle, [path]);
    assert_eq!(convert(&[(path, &together)]).idle, Vec::<PathBuf>::new());
    let nameless = format!("{base}---\n{}", base.replace("name: base\n", ""));
    assert!(problems(&nameless).iter().any(|problem| problem.contains("`name` is missing")));
}

#[test]
fn what_a_rule_needs_is_read_off_its_conditions() {
    let needs = |text: &str| {
        let rule = one(text).rules.remove(0);
        rule.text
            .lines()
            .filter(|line| line.starts_with("-- needs") || line.starts_with("-- helps"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(needs(RULE), ["-- needs = []"]);
    assert_eq!(needs(&with("arguments.path: x\n        approval: y")), [r#"-- needs = ["approvals", "arguments"]"#]);
    let either = with("- arguments.path: x\n        - result|contains: y");
    assert_eq!(needs(&either), [r#"-- needs = ["arguments|results"]"#]);
    assert_eq!(needs(&with("arguments.path: null")), ["-- needs = []", r#"-- helps = ["arguments"]"#]);
    assert_eq!(
        needs(&RULE.replace("condition: sel", "condition: not sel").replace("tool: x", "user_id: x")),
        ["-- needs = []", r#"-- helps = ["users"]"#]
    );
}

/// Rules in a folder, loaded.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, RuleSet) {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("a file");
    }
    let rules = RuleSet::load(&[dir.path().to_owned()], false).expect("loads");
    (dir, rules)
}

async fn findings(rule: &Rule, calls: &str) -> usize {
    found(rule, calls).await.len()
}

async fn found(rule: &Rule, calls: &str) -> Vec<RawFinding> {
    let (mut cases, _) = crate::rule::case::read("[[case]]\nname = 'x'\nfires = 0");
    calls.clone_into(&mut cases[0].calls.text);
    let lake = rows::lake(&cases[0]).expect("a lake");
    let session = Session::new(lake.tables, SessionOptions::default()).await.expect("a session");
    run(rule, &session, TimeRange::default(), &Params::default()).await.expect("runs")
}

#[tokio::test]
async fn nothing_in_a_rule_can_become_sql() {
    let hostile = "x' OR 1=1; DROP TABLE calls --\\";
    let text = format!(
        "title: \"T\\n'; SELECT 1\"\nid: \"1\\nSELECT\"\ndescription: |\n    a\n    '''\n    \"\"\" -- b\nlevel: low\nlogsource: {{product: mcp}}\ndetection:\n    sel:\n        tool: \"{}\"\n        \
         \"arguments.a' OR '1'='1\": y\n    condition: sel\nfields: [\"arguments.\\\"z', 'w\"]\n",
        hostile.replace('\\', "\\\\\\\\")
    );
    let (_dir, rules) = folder(&[("x.yml", &text)]);
    let rule = rules.get("x").expect("the rule");
    let call = |tool: &str, key: &str| {
        serde_json::json!({"at": "0s", "tool": tool, "arguments": {key: "y", "\"z', 'w": "kept"}}).to_string()
    };
    assert_eq!(findings(rule, &call(hostile, "a' OR '1'='1")).await, 1, "{}", rule.sql);
    assert_eq!(findings(rule, &call("x", "a' OR '1'='1")).await, 0);
    assert_eq!(findings(rule, &call(hostile, "a")).await, 0);
    // As the lake keeps it.
    let again = Rule::from_text(&rule.path, &rule.sql).expect("a rule");
    assert_eq!((&again.header, &again.version_hash, again.sigma), (&rule.header, &rule.version_hash, true));
}

#[tokio::test]
async fn filters_narrow_the_rules_that_they_name() {
    let filter = "title: F\nlogsource: {product: mcp}\nfilter:\n    rules: RULES\n    sel: {agent: tester}\n    condition: not sel\n";
    let rule = RULE.replace("title: T\n", "title: T\nname: named\n");
    let calls = "{\"at\":\"0s\",\"tool\":\"x\",\"agent\":\"tester\"}\n{\"at\":\"1s\",\"tool\":\"x\",\"agent\":null}\n";
    for (target, found) in [("any", 1), ("[named]", 1), ("[other]", 2)] {
        let other = RULE.replace("title: T\n", "title: O\nname: other\n");
        let (_dir, rules) = folder(&[("x.yml", &rule), ("y.yml", &other), ("f.yml", &filter.replace("RULES", target))]);
        assert_eq!(findings(rules.get("x").expect("the rule"), calls).await, found, "{target}");
    }
}

#[tokio::test]
async fn correlations_count_order_and_group() {
    let part = |name: &str, tool: &str| {
        format!(
            "title: {name}\nname: {name}\nlogsource: {{product: mcp}}\ndetection: {{sel: {{tool: {tool}}}, condition: sel}}\n---\n"
        )
    };
    let parts = part("a", "a") + &part("b", "b") + &part("c", "c");
    let rule = |correlation: &str| {
        let text =
            format!("{parts}title: X\nlevel: low\ncorrelation: {{rules: [a, b, c], timespan: 60s, {correlation}}}\n");
        let (_dir, rules) = folder(&[("x.yml", &text)]);
        rules.get("x").expect("the rule").clone()
    };
    let calls = |list: &[(u32, &str)]| {
        list.iter()
            .map(|(at, tool)| {
                format!("{{\"at\":\"{at}s\",\"tool\":\"{tool}\",\"arguments\":{{\"k\":\"{tool}{at}\"}}}}\n")
            })
            .collect::<String>()
    };
    // Each log is a session of its own.
    let logs: [&[(u32, &str)]; 5] = [
        &[(0, "a"), (30, "b"), (60, "c")],
        &[(0, "a"), (30, "b"), (61, "c")],
        &[(0, "c"), (30, "b"), (60, "a")],
        // The first `a` is too early, and there is a second.
        &[(0, "a"), (40, "a"), (50, "b"), (61, "c")],
        &[(0, "b"), (10, "a"), (20, "c")],
    ];
    let all: String = logs
        .iter()
        .enumerate()
        .map(|(at, log)| calls(log).replace("\"at\"", &format!("\"session_id\":\"{at}\",\"at\"")))
        .collect();
    for (correlation, expected) in [
        ("type: temporal_ordered, group-by: session_id", [1, 0, 0, 1, 0]),
        ("type: temporal, group-by: session_id", [1, 0, 1, 1, 1]),
        ("type: temporal, group-by: session_id, condition: a and not c", [1, 1, 0, 1, 1]),
        ("type: temporal, group-by: session_id, condition: {gte: 2}", [1, 1, 1, 1, 1]),
        ("type: event_count, group-by: [session_id, agent], condition: {gte: 4}", [0, 0, 0, 0, 0]),
        ("type: event_count, group-by: session_id, condition: {gt: 2, lt: 4}", [1, 0, 1, 1, 1]),
        ("type: value_count, group-by: session_id, condition: {field: arguments.k, gte: 3}", [1, 0, 1, 1, 1]),
        ("type: value_count, group-by: session_id, condition: {field: agent, gte: 2}", [0, 0, 0, 0, 0]),
        (
            "type: temporal, group-by: [k, session_id], aliases: {k: {a: tool, b: tool, c: arguments.k}}",
            [0, 0, 0, 0, 0],
        ),
        (
            "type: temporal, group-by: [k], aliases: {k: {a: session_id, b: gen_ai.conversation.id, c: session_id}}",
            [1, 0, 1, 1, 1],
        ),
    ] {
        let rule = rule(correlation);
        assert_eq!(rule.header.window, 60_000_000, "{correlation}");
        let found = found(&rule, &all).await;
        let counts =
            (0..5).map(|at| found.iter().filter(|finding| finding.entity.session_id == Some(at.to_string())).count());
        assert_eq!(counts.collect::<Vec<_>>(), expected, "{correlation}\n{}", rule.sql);
    }
    // Without groups all calls are one.
    let whole = rule("type: event_count, condition: {gte: 14}");
    assert_eq!(found(&whole, &all).await.len(), 1);
    // One call is not a sequence of itself.
    let twice = part("a", "a") + &part("b", "a");
    let text =
        format!("{twice}title: X\nlevel: low\ncorrelation: {{type: temporal_ordered, rules: [a, b], timespan: 60s}}\n");
    let (_dir, rules) = folder(&[("x.yml", &text)]);
    let rule = rules.get("x").expect("the rule");
    assert_eq!(
        (findings(rule, &calls(&[(0, "a")])).await, findings(rule, &calls(&[(0, "a"), (1, "a")])).await),
        (0, 1)
    );
}

#[tokio::test]
async fn the_rules_of_the_test_data_pass_their_check_and_cases() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sigma/house");
    let (count, problems) = check(std::slice::from_ref(&dir), false).await;
    assert_eq!((count, problems), (4, vec![]));
    for result in RuleSet::load(&[dir], false).expect("loads").test().await {
        assert_eq!(result.failure, None, "{}: {}", result.rule_id, result.name);
    }
}
