//! Mappings: the examples of the documentation on logs of that kind, halves in different files, drafts that work when they are
//! pasted, and explanations of files that nobody should write.

use crate::common::{Place, Said, repository};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::Stdio;

/// The TOML of docs/mapping.md, which is then known to work.
fn documented() -> String {
    let text = std::fs::read_to_string(repository("docs/mapping.md")).expect("docs/mapping.md");
    let blocks: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2, "two examples");
    blocks.concat()
}

fn data(name: &str) -> std::path::PathBuf {
    repository("tests/data/mapping").join(name)
}

#[test]
fn documented_examples_read_their_logs() {
    let place = Place::new();
    place.write("calltrail.toml", documented());
    let summary = place.ingest([data("gateway.jsonl"), data("toolgate.log")]);
    assert_eq!((&summary["calls"], &summary["rejects"], &summary["ignored"]), (&json!(8), &json!(4), &json!(2)));
    let rows = place.rows(
        "SELECT source_format AS f, source_line AS line, event_kind AS kind, time, duration_ns / 1000 AS us, session_id AS session, \
         user_id, server, tool, arguments, arguments_state AS args, result_text AS result, outcome, approval, error_message AS error, \
         extra_json AS extra FROM calls ORDER BY f, line",
    );
    let expected = [
        json!({"f": "acme_gateway", "line": 2, "kind": "call", "time": "2026-11-12T09:00:02Z", "us": 499_500, "session": "c-771",
            "user_id": "dana", "server": "crm", "tool": "find_customer", "arguments": "{\"query\":\"acme\"}", "args": "present",
            "result": "1 hit", "outcome": "success", "approval": "auto_allowed", "error": null, "extra": "{\"region\":\"eu-1\"}"}),
        // The same id in another conversation, answered first.
        json!({"line": 3, "session": "c-772", "us": 1000, "tool": "send_email", "outcome": "denied", "approval": "policy_denied",
            "error": "recipient is not on the list", "result": null}),
        // Broken arguments are kept as text, an unknown word is an unknown outcome.
        json!({"line": 6, "arguments": "{\"format\":\"csv\"", "args": "unparsable", "outcome": "unknown", "error": "disk full"}),
        // Values of other types than they should have, and no answer.
        json!({"line": 10, "server": "[\"crm\"]", "user_id": null, "args": "none", "outcome": "no_response", "approval": "unknown"}),
        json!({"line": 11, "kind": "orphan", "outcome": "success", "us": null}),
        json!({"f": "toolgate", "line": 2, "kind": "call", "time": "2026-11-12T09:00:01.079Z", "us": 41_000, "session": "sess-41",
            "user_id": "dana", "server": "crm", "tool": "find_customer", "arguments": "{\"query\": \"acme inc\"}", "outcome": "success",
            "error": null, "extra": null}),
        json!({"line": 3, "outcome": "denied", "error": "recipient is not on the list"}),
        json!({"line": 4, "args": "not_logged", "outcome": "tool_error", "us": 1_500_000}),
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, want) in rows.iter().zip(&expected) {
        for (column, want) in want.as_object().expect("an object") {
            assert_eq!(&row[column], want, "{column} of {row}");
        }
    }
    let rejects = place.rows("SELECT line, reason, source_format FROM rejects ORDER BY source_format, line");
    let reasons: Vec<_> = rejects.iter().map(|r| (r["line"].as_i64(), r["reason"].as_str())).collect();
    assert_eq!(
        reasons,
        [
            (Some(8), Some("time is not written as the mapping says")),
            (Some(9), Some("the record has no pairing id")),
            (Some(5), Some("a line of no known format")),
            (Some(6), Some("time_end is not written as the mapping says")),
        ]
    );
    place.assert_nothing_lost();
    let again = place.ingest([data("gateway.jsonl"), data("toolgate.log")]);
    assert_eq!((&again["calls"], &again["unchanged"]), (&json!(0), &json!(2)));
}

#[test]
fn halves_meet_across_files_and_runs() {
    const MAPPING: &str = r#"
[[mapping]]
id = "halves"
equals = { "/is" = "q" }
side = "request"
pair = { id = "/id", unique = true }
columns = { time = "/t", tool = "/tool", arguments = "/a" }
[[mapping]]
id = "halves"
equals = { "/is" = "a" }
side = "response"
pair = { id = "/id", unique = true }
columns = { time = "/t", server = "/server", result = "/r" }
"#;
    let place = Place::new();
    place.write("calltrail.toml", MAPPING);
    let asked =
        place.write("asked.jsonl", "{\"is\":\"q\",\"id\":\"01J9\",\"t\":1794474001,\"tool\":\"x\",\"a\":{\"n\":1}}\n");
    let answered = place
        .write("answered.jsonl", "{\"is\":\"a\",\"id\":\"01J9\",\"t\":1794474003,\"server\":\"s\",\"r\":{\"ok\":1}}\n");
    place.ingest([asked]);
    assert_eq!(place.one("SELECT outcome FROM calls"), "no_response");
    place.ingest([answered]);
    let rows = place.rows("SELECT outcome, server, tool, result, duration_ns FROM calls");
    let want =
        json!({"outcome": "success", "server": "s", "tool": "x", "result": "{\"ok\":1}", "duration_ns": 2_000_000_000});
    assert_eq!(rows, [want]);
}

#[test]
fn built_in_formats_win_unless_the_mapping_says_otherwise() {
    let mapping = |first: bool| {
        format!(
            "[[mapping]]\nid = \"mine\"\nfirst = {first}\nexists = [\"/jsonrpc\", \"/method\"]\ncolumns = {{ method = \"/method\" }}"
        )
    };
    for (first, want) in [(false, "jsonrpc"), (true, "mine")] {
        let place = Place::new();
        place.write("calltrail.toml", mapping(first));
        let log = place.write("tap.jsonl", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
        place.ingest([log]);
        assert_eq!(place.one("SELECT source_format FROM calls"), want);
    }
}

/// Logs that no format knows, and how many calls a drafted mapping must find in each.
fn unknown_logs() -> [(&'static str, String, u64, Value); 13] {
    let json = |at: u32, status: &str| {
        format!(
            "{{\"@timestamp\":\"2026-11-12T09:00:{at:02}.5Z\",\"msg\":\"tool done\",\"toolName\":\"find_{at}\",\"sessionId\":\"s\",\
             \"params\":{{\"n\":{at}}},\"status\":\"{status}\",\"durationMs\":{at}}}\n"
        )
    };
    let whole: String = (1..9).map(|at| json(at, if at == 3 { "denied" } else { "ok" })).collect();
    let halves: String = (1..9)
        .map(|at| {
            format!(
                "{{\"ts\":17944740{at:02},\"phase\":\"call_start\",\"call_id\":{at},\"tool\":\"t\",\"input\":{{\"n\":{at}}}}}\n\
                 {{\"ts\":17944740{at:02}.5,\"phase\":\"call_end\",\"call_id\":{at},\"output\":\"fine\",\"success\":true}}\n"
            )
        })
        .collect();
    let pairs: String = (1..9)
        .map(|at| {
            format!(
                "2026-11-12T09:00:{at:02},120 INFO call session=ab-1 tool=crm/find_{at} args={{\"q\": {{\"n\": {at}}}, \"s\": \"a b\"}} \
                 status=ok took=41ms\n2026-11-12T09:00:{at:02},130 INFO idle n={at}\n"
            )
        })
        .collect();
    let fixed: String = (1..9)
        .map(|at| {
            format!("[2026-11-12 09:00:{at:02}] INFO  sess-0{at} lee -> crm.find_customer_{at} {{\"q\": \"acme {at}\"}} ok {at}ms\n")
        })
        .collect();
    let prefixed: String = (1..9)
        .map(|at| format!("Nov 12 09:00:{at:02} gw1 toolgw[233]: {{\"tool\":\"t\",\"server\":\"crm\",\"args\":{{\"n\":{at}}},\"ok\":true}}\n"))
        .collect();
    let wrapped: String = pairs
        .lines()
        .map(|line| {
            json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-11-12T09:00:02.1Z"}).to_string() + "\n"
        })
        .collect();
    let rpc: String = (1..9)
        .map(|at| {
            let answer = if at == 4 { json!({"error": {"code": -32000, "message": "busy"}}) } else { json!({"result": {"n": at}}) };
            let request = json!({"id": at, "method": "tools/call", "params": {"name": format!("find_{at}"), "arguments": {"n": at}}});
            json!({"@t": format!("2026-11-12T09:00:{at:02}.5Z"), "mcp": {"request": request, "response": answer}}).to_string() + "\n"
        })
        .collect();
    let web: String = (1..9)
        .map(|at| {
            format!(
                "10.0.0.{at} - lee [12/Nov/2026:09:00:{at:02} +0000] \"POST /servers/crm/tools/find_{at}?a=b HTTP/1.1\" {} 51 \"-\" \"bot/1\" args={{\"n\":{at}}} {at}.5 ms\n",
                if at == 4 { 502 } else { 200 }
            )
        })
        .collect();
    // Ids start over in each session.
    let restarts: String = (1..9)
        .map(|at| {
            format!(
                "{{\"ts\":17944740{at:02},\"event\":\"mcp.request\",\"id\":{},\"sess\":\"s{}\",\"name\":\"find\",\"input\":{{\"n\":{at}}}}}\n\
                 {{\"ts\":17944740{at:02}.5,\"event\":\"mcp.response\",\"id\":{},\"sess\":\"s{}\",\"status\":\"ok\"}}\n",
                at % 2, at / 2, at % 2, at / 2
            )
        })
        .collect();
    let mut table = "at,user,server,tool,arguments,status,duration_ms\n".to_owned();
    table.extend((1..9).map(|at| {
        format!(
            "2026-11-12T09:00:{at:02}Z,lee,crm,find,\"{{\"\"n\"\": {at}}}\",{},{at}\n",
            if at == 3 { "denied" } else { "ok" }
        )
    }));
    let health: String = (1..9)
        .map(|at| {
            format!(
                "10.0.0.{at} - lee [12/Nov/2026:09:00:{at:02} +0000] \"POST /mcp/crm/tools/find_{at} HTTP/1.1\" 200 51 \"-\" \"bot/1\"\n\
                 10.0.0.{at} - - [12/Nov/2026:09:00:{at:02} +0000] \"GET /healthz HTTP/1.1\" 200 2 \"-\" \"probe\"\n"
            )
        })
        .collect();
    let headers: String = (1..9)
        .map(|at| {
            format!(
                "[2026-11-12T09:00:{at:02}.250Z] \"POST /mcp HTTP/1.1\" {} - 120 \"tools/call\" \"find{at}\"\n",
                if at == 4 { 403 } else { 200 }
            )
        })
        .collect();
    let traces: String = (1..9)
        .map(|at| format!("2026-11-{at:02} 09:00:{at:02},120 ERROR call crm.find_{at} {{\"n\": {at}}} failed\n  ValueError: {at}\n"))
        .collect();
    let want = |outcome: &str, with_time: bool| json!({"calls": 8, "with_arguments": 8, "outcomes": outcome, "timed": with_time});
    let bare = |outcome: &str| json!({"calls": 8, "with_arguments": 0, "outcomes": outcome, "timed": true});
    [
        ("whole.jsonl", whole, 8, want("denied,success", true)),
        ("halves.jsonl", halves, 8, want("success", true)),
        ("pairs.log", pairs, 8, want("success", true)),
        ("fixed.log", fixed, 8, want("success", true)),
        ("prefixed.log", prefixed, 8, want("success", true)),
        ("wrapped.jsonl", wrapped, 8, want("success", true)),
        ("rpc.jsonl", rpc, 8, want("protocol_error,success", true)),
        ("web.log", web, 8, want("success,transport_error", true)),
        ("restarts.jsonl", restarts, 8, want("success", true)),
        ("table.csv", table, 8, want("denied,success", true)),
        ("health.log", health, 8, bare("success")),
        ("headers.log", headers, 8, bare("denied,success")),
        ("traces.log", traces, 8, want("tool_error", true)),
    ]
}

#[test]
fn a_drafted_mapping_reads_the_file_that_nobody_knew() {
    for (name, log, calls, want) in unknown_logs() {
        let place = Place::new();
        let path = place.write(name, &log);
        let said = place.run(3, ["ingest".as_ref(), path.as_os_str()]);
        assert!(said.stderr.contains("formats explain"), "{}", said.stderr);
        let explained = place.run(0, ["formats", "explain", "--format", "json", name]).json();
        assert_eq!(explained["format"], Value::Null);
        let draft = explained["draft"].as_str().unwrap_or_else(|| panic!("{name}: no draft in {explained}"));
        place.write("calltrail.toml", draft);
        // The file is as it was, but now somebody knows it: what was refused is read.
        let summary = place.ingest([&path]);
        assert_eq!(summary["calls"], calls, "{name}: {summary}\n{draft}");
        let found = place.rows(
            "SELECT count(*) AS calls, count(*) FILTER (WHERE json_length(arguments) > 0) AS with_arguments, \
             array_to_string(array_sort(array_agg(DISTINCT outcome)), ',') AS outcomes, bool_and(time_source <> 'file_mtime') AS timed \
             FROM calls",
        );
        assert_eq!(found[0], want, "{name}\n{draft}");
        assert_eq!(place.one("SELECT count(*) FROM rejects WHERE reason LIKE 'unknown format%'"), 0, "{name}");
        place.assert_nothing_lost();
        let again = place.ingest([&path]);
        assert_eq!(again["unchanged"], 1, "{name}: {again}");
    }
}

#[test]
fn a_file_that_stays_unknown_is_refused_once() {
    let place = Place::new();
    let path = place.write("diary.txt", "dear diary\n".repeat(200_000));
    place.run(3, ["ingest".as_ref(), path.as_os_str()]);
    place.write("calltrail.toml", documented());
    place.run(3, ["ingest".as_ref(), path.as_os_str()]);
    let said = place.run(0, ["ingest".as_ref(), path.as_os_str()]);
    assert!(said.stderr.contains("1 files unchanged"), "{}", said.stderr);
    assert_eq!(place.one("SELECT count(*) FROM rejects"), 1);
    place.assert_nothing_lost();
}

#[test]
fn explanations_are_fit_for_a_terminal() {
    let place = Place::new();
    let hostile = "{\"\\u001b[31mtool\":\"\\u001b]0;owned\\u0007\",\"tool\":\"\\u202ex\\u001b[2J\",\"time\":1794474001,\"args\":{\"a\\u0000\":1}}\n";
    let mut known = std::fs::read_to_string(data("gateway.jsonl")).expect("readable");
    known.push_str(hostile);
    place.write("calltrail.toml", documented());
    let cases: [(&str, Vec<u8>); 7] = [
        ("hostile.jsonl", hostile.repeat(3).into_bytes()),
        ("known.jsonl", known.into_bytes()),
        ("raw.log", b"\x1b[31m2026-11-12 tool=\x1b]0;x\x07 args={} status=\x9b2J\n".repeat(3)),
        ("binary.bin", (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("empty.jsonl", Vec::new()),
        ("newlines.log", b"\n\n\n".to_vec()),
        ("deep.jsonl", format!("{}{}\n", "{\"a\":".repeat(20_000), "1".to_owned() + &"}".repeat(20_000)).into_bytes()),
    ];
    for (name, bytes) in cases {
        place.write(name, &bytes);
        for args in
            [&["formats", "explain", name, "--records", "50"][..], &["formats", "explain", "--format", "json", name]]
        {
            let said = place.run(0, args);
            let raw =
                said.stdout.chars().find(|c| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}'));
            assert_eq!(raw, None, "{name}: {}", said.stdout.chars().take(2000).collect::<String>());
        }
    }
    let said = place.run(0, ["formats", "explain", "known.jsonl", "--records", "50"]);
    for part in ["acme_gateway 10", "← /tool/name", "rejected: the record has no pairing id", "line 12      rejected"]
    {
        assert!(said.stdout.contains(part), "{part} is not in\n{}", said.stdout);
    }
}

#[test]
fn explain_reads_built_in_formats_and_standard_input_and_refuses_folders() {
    let place = Place::new();
    let sample = repository("sample-logs/toolhive_audit/vmcp_audit.jsonl");
    let file = place.run(0, ["formats".as_ref(), "explain".as_ref(), sample.as_os_str()]);
    assert!(file.stdout.contains("toolhive_audit") && file.stdout.contains("← /"), "{}", file.stdout);
    let packed = zstd::encode_all(&std::fs::read(&sample).expect("readable")[..], 1).expect("memory");
    let mut child = place
        .command(["formats", "explain", "--format", "json", "--records", "1", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("piped").write_all(&packed).expect("it reads");
    let piped = Said::new(0, &child.wait_with_output().expect("it ends")).json();
    assert_eq!((&piped["format"]["id"], &piped["compression"]), (&json!("toolhive_audit"), &json!("zstd")));
    assert_eq!(piped["records"].as_array().map(Vec::len), Some(1));
    place.write("folder/a.log", "x");
    place.run(2, ["formats", "explain", "folder"]);
    place.run(3, ["formats", "explain", "nothing.log"]);
}
