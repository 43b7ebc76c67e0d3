//! Sigma rules from the shipped binary: checked, tested, run, tuned, silenced, proved again.

use crate::common::{Place, repository};

const CONFIG: &str = r#"
[[mapping]]
id = "house"
exists = ["/tool", "/session"]
[mapping.columns]
time = "/ts"
session_id = "/session"
agent = "/agent"
server = "/server"
tool = "/tool"
arguments = "/args"
outcome = { from = "/ok", values = { yes = "success", no = "denied" } }
"#;

/// A line of a log, `second` seconds after nine.
fn line(second: u32, tool: &str, path: &str, ok: &str) -> String {
    format!(
        "{{\"ts\":\"2026-01-05T09:{:02}:{:02}Z\",\"session\":\"s1\",\"agent\":\"a1\",\"server\":\"desk\",\"tool\":\"{tool}\",\"args\":{{\"path\":\"{path}\"}},\"ok\":\"{ok}\"}}\n",
        second / 60,
        second % 60
    )
}

#[test]
fn sigma_rules_are_rules_like_others() {
    let place = Place::new();
    let source = repository("tests/data/sigma/house");
    for file in crate::common::files(&source) {
        let text = std::fs::read_to_string(&file).expect("a file");
        place.write(&format!("mine/house/{}", file.file_name().expect("a name").to_string_lossy()), text);
    }
    place.run(0, ["rules", "check", "mine"]);
    let tested = place.run(0, ["rules", "test", "mine"]).stdout;
    assert_eq!(tested.lines().filter(|line| line.starts_with("ok ")).count(), 12, "{tested}");
    let shown = place.run(0, ["rules", "show", "private_key_read", "mine"]).stdout;
    assert!(shown.contains("-- needs = [\"arguments\"]") && shown.contains("FROM calls"), "{shown}");
    let listed = place.run(0, ["rules", "list", "mine", "--format", "json"]).json();
    let rule = listed.as_array().expect("a list").iter().find(|rule| rule["id"] == "private_key_read").expect("listed");
    assert_eq!((&rule["language"], &rule["level"], &rule["cases"]), (&"sigma".into(), &"medium".into(), &3.into()));

    let config = |more: &str| place.write("calltrail.toml", format!("{CONFIG}[detect]\nrules = [\"mine\"]\n{more}"));
    config("");
    let own = ["private_key_read", "key_then_upload", "many_denials", "many_tools_denied"];
    let only: Vec<&str> = own.iter().flat_map(|id| ["--rule", *id]).collect();
    let detect = || place.run(0, ["detect", "--format", "json"].into_iter().chain(only.iter().copied())).json();
    let alerts = |id: &str| {
        let all = place.run(0, ["alerts", "list", "--format", "jsonl"]).lines();
        all.into_iter().filter(|alert| alert["rule_id"] == id).collect::<Vec<_>>()
    };

    // The upload comes in a later run than the key that was read: the time span is the rule's window.
    place.write("logs/a.jsonl", line(0, "read_file", "/home/a/.ssh/id_rsa", "yes"));
    place.run(0, ["ingest", "-q", "logs"]);
    assert_eq!(detect()["new_alerts"], 1);
    let log: String = [line(0, "read_file", "/home/a/.ssh/id_rsa", "yes"), line(540, "http_post", "/up", "yes")]
        .into_iter()
        .chain((600..604).map(|second| line(second, "pay", "/x", "no")))
        .collect();
    place.write("logs/a.jsonl", log);
    place.run(0, ["ingest", "-q", "logs"]);
    let detected = detect();
    assert_eq!((&detected["new_alerts"], &detected["failed_rules"]), (&2.into(), &0.into()), "{detected}");
    let sequence = &alerts("key_then_upload")[0];
    assert_eq!(sequence["call_ids"].as_array().map(Vec::len), Some(2), "{sequence}");
    let within = ["detect", "--since", "2026-01-05T09:08:00Z", "--format", "json", "--rule", "key_then_upload"];
    let again = place.run(0, within).json();
    assert_eq!((&again["findings"], &again["new_alerts"]), (&1.into(), &0.into()), "{again}");

    // Proved again: by the rule of today, and by what the lake keeps of it.
    for (id, rule_from) in [("private_key_read", "current"), ("key_then_upload", "current")] {
        let alert = alerts(id)[0]["alert_id"].as_str().expect("an id").to_owned();
        let proof = place.run(0, ["alerts", "show", &alert, "--replay", "--format", "json"]).json();
        assert_eq!((&proof["result"]["proof"], &proof["rule_from"]), (&"same".into(), &rule_from.into()), "{proof}");
    }
    let old = alerts("key_then_upload")[0]["alert_id"].as_str().expect("an id").to_owned();
    let text = std::fs::read_to_string(place.path("mine/house/key_then_upload.yml")).expect("the rule");
    place.write("mine/house/key_then_upload.yml", text.replace("timespan: 10m", "timespan: 20m"));
    let proof = place.run(0, ["alerts", "show", &old, "--replay", "--format", "json"]).json();
    assert_eq!((&proof["result"]["proof"], &proof["rule_from"]), (&"same".into(), &"lake".into()), "{proof}");

    // Tuned and silenced without touching the file.
    config(
        "[rules.many_denials]\nlevel = \"critical\"\nparams = { gte = 4 }\n[rules.private_key_read.allow]\nagents = [\"a1\"]\n",
    );
    assert_eq!(detect()["suppressed"], 1);
    assert_eq!(alerts("many_denials")[0]["level"], "critical");
    assert!(alerts("private_key_read").is_empty());
    config("[rules.many_denials]\nparams = { gte = 5 }\n");
    detect();
    assert!(alerts("many_denials").is_empty());
    config("[rules.many_denials]\nparams = { gt = 5 }\n");
    place.run(2, ["rules", "check", "mine"]);

    // A filter of the user's, and a mistake with its place.
    config("");
    place.write(
        "mine/house/no_keys_of_a1.yml",
        "title: a1 may read keys\nlogsource:\n    product: mcp\nfilter:\n    rules: [5f0c2a52-9a3c-4d0f-8f0e-6f6d3c0a1b11]\n    of_a1:\n        agent: a1\n    condition: not of_a1\n",
    );
    detect();
    assert!(alerts("private_key_read").is_empty());
    place.write(
        "mine/house/wrong.yml",
        "title: W\nlevel: low\nlogsource:\n    product: mcp\ndetection:\n    s:\n        tol: x\n    condition: s\n",
    );
    let said = place.run(2, ["rules", "check", "mine"]).stderr;
    assert!(said.contains("mine/house/wrong.yml:7: s: unknown field `tol`; did you mean `tool`?"), "{said}");
    place.run(2, ["detect", "--rule", "private_key_read"]);
}

#[test]
fn the_examples_of_the_documentation_are_those_that_are_tested() {
    let page = std::fs::read_to_string(repository("docs/sigma.md")).expect("docs/sigma.md");
    for rule in ["private_key_read", "key_then_upload"] {
        for ending in ["yml", "test.toml"] {
            let file = repository(&format!("tests/data/sigma/house/{rule}.{ending}"));
            let text = std::fs::read_to_string(file).expect("a file");
            assert!(page.contains(&text), "docs/sigma.md has another {rule}.{ending}");
        }
    }
}
