//! Input that nobody should write: each is read, or refused with the exit code of the command line's contract and a
//! message that names the place; no byte goes unaccounted for.

#[cfg(target_os = "linux")]
use crate::common::SmallDisk;
use crate::common::{Place, Said};
use serde_json::Value;
use std::process::Command;

fn call(id: &str, arguments: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#)
        + "\n"
}

fn answer(id: &str, text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#) + "\n"
}

/// What a hostile log must come to.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    code: i32,
    calls: u64,
    rejects: u64,
    flag: Option<&'static str>,
}

fn case(
    name: &'static str,
    bytes: impl Into<Vec<u8>>,
    (calls, rejects): (u64, u64),
    flag: Option<&'static str>,
) -> Case {
    Case { name, bytes: bytes.into(), code: 0, calls, rejects, flag }
}

fn nothing(name: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name, bytes: bytes.into(), code: 3, calls: 0, rejects: 0, flag: None }
}

fn cases() -> Vec<Case> {
    let good = call("1", "{}") + &answer("1", "ok");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let long = call("2", &format!("{{\"text\":\"{}\"}}", "x".repeat(70 << 20)));
    vec![
        case("truncated.jsonl", good.clone() + &call("2", "{}")[..40], (1, 1), None),
        case(
            "invalid_utf8.jsonl",
            [
                good.as_bytes(),
                call("2", "{\"a\":\"?\"}")
                    .replace('?', "\u{1}")
                    .replace('\u{1}', "~")
                    .as_bytes()
                    .iter()
                    .map(|b| if *b == b'~' { 0xff } else { *b })
                    .collect::<Vec<_>>()
                    .as_slice(),
            ]
            .concat(),
            (2, 0),
            Some("lossy_utf8"),
        ),
        case(
            "deep.jsonl",
            good.clone() + &call("2", &format!("{{\"a\":{}}}", deep(100_000))),
            (2, 0),
            Some("deep_nesting"),
        ),
        case("never_closed.jsonl", good.clone() + &"[{\"a\":".repeat(100_000) + "\n", (1, 1), None),
        case(
            "duplicate_keys.jsonl",
            good.clone() + &call("2", "{}").replace("\"id\":2", "\"id\":7,\"id\":2") + &answer("2", "ok"),
            (2, 0),
            Some("duplicate_key"),
        ),
        case(
            "large_ids.jsonl",
            call("9007199254740993", "{}")
                + &call("9007199254740992", "{}")
                + &answer("9007199254740993", "a")
                + &answer("9007199254740992", "b"),
            (2, 0),
            None,
        ),
        case(
            "number_and_text_ids.jsonl",
            call("1", "{}") + &call("\"1\"", "{}") + &answer("\"1\"", "text") + &answer("1", "number"),
            (2, 0),
            None,
        ),
        case(
            "nan.jsonl",
            good.clone() + &call("2", "{\"a\":NaN,\"b\":[Infinity,-Infinity],\"c\":\"NaN\"}"),
            (2, 0),
            Some("non_json_number"),
        ),
        case(
            "bad_escapes.jsonl",
            good.clone() + &call("2", "{\"a\":\"tab\there\",\"b\":\"C:\\Users\",\"c\":\"\\x22\"}"),
            (2, 0),
            Some("json_repaired"),
        ),
        case("surrogate.jsonl", good.clone() + &call("2", r#"{"a":"\ud83d"}"#), (2, 0), Some("lone_surrogate")),
        case("long_line.jsonl", good.clone() + &long + &call("3", "{}"), (2, 1), None),
        case(
            "long_first_line.jsonl",
            call("2", &format!("{{\"text\":\"{}\"}}", "x".repeat(3 << 20))) + &answer("2", "ok"),
            (1, 0),
            Some("payload_capped"),
        ),
        case("too_long_first_line.jsonl", long + &good, (1, 1), None),
        case("blank.jsonl", "\u{feff}\n \t\n\n", (0, 0), None),
        nothing("binary.bin", (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>()),
        nothing("prose.txt", "dear diary\ntoday nothing was logged\n"),
    ]
}

#[test]
fn hostile_logs_are_read_or_refused_by_name() {
    let mut wrong = Vec::new();
    for case in cases() {
        let place = Place::new();
        let path = place.write(case.name, &case.bytes);
        let output = place.command(["ingest".as_ref(), path.as_os_str()]).output().expect("the binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut demand = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("{}: {what}; it said: {}", case.name, stderr.chars().take(300).collect::<String>()));
            }
        };
        demand(
            output.status.code() == Some(case.code),
            format!("exit code {:?}, expected {}", output.status.code(), case.code),
        );
        demand(!stderr.contains("panicked"), "it panicked".to_owned());
        demand(case.code == 0 || stderr.contains(case.name), "the message does not name the file".to_owned());
        if !place.lake().join("_calltrail/lake.json").exists() {
            demand(false, "no lake".to_owned());
            continue;
        }
        let count = |sql: &str| place.one(sql);
        let calls = count("SELECT count(*) FROM calls WHERE event_kind = 'call'");
        demand(calls == case.calls, format!("{calls} calls, expected {}", case.calls));
        if case.code == 0 {
            let rejects = count("SELECT count(*) FROM rejects");
            demand(rejects == case.rejects, format!("{rejects} rejects, expected {}", case.rejects));
        }
        if let Some(flag) = case.flag {
            let flagged = count(&format!("SELECT count(*) FROM calls WHERE array_has(parse_flags, '{flag}')"));
            demand(flagged == 1, format!("{flagged} calls flagged {flag}, expected 1"));
        }
        let sources = place.rows("SELECT bytes, bytes_calls + bytes_rejected + bytes_ignored AS known FROM sources");
        demand(
            sources.len() == 1 && sources[0]["bytes"] == case.bytes.len() && sources[0]["known"] == case.bytes.len(),
            format!("of {} bytes `sources` says {sources:?}", case.bytes.len()),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ids_are_compared_as_written() {
    let place = Place::new();
    let log = call("9007199254740993", "{\"n\":1}")
        + &call("9007199254740992", "{\"n\":2}")
        + &call("\"9007199254740992\"", "{\"n\":3}")
        + &answer("9007199254740992", "two")
        + &answer("\"9007199254740992\"", "three")
        + &answer("9007199254740993", "one");
    place.ingest([place.write("ids.jsonl", log)]);
    let rows = place.rows("SELECT json_get_int(arguments, 'n') AS n, result_text FROM calls ORDER BY n");
    let pairs: Vec<_> = rows.iter().map(|row| (row["n"].as_i64(), row["result_text"].as_str())).collect();
    assert_eq!(pairs, [(Some(1), Some("one")), (Some(2), Some("two")), (Some(3), Some("three"))]);
}

#[test]
fn an_empty_file_is_no_failure_and_a_damaged_one_is_named() {
    let place = Place::new();
    let log = call("1", "{}") + &answer("1", "ok");
    let empty = place.write("empty.jsonl", "");
    let good = place.write("good.jsonl", &log);
    assert_eq!(place.ingest([&empty, &good])["calls"], 1);

    // A compressed file that was cut off: what came before the cut is read, the rest is a failure with a name.
    let place = Place::new();
    let many: String = (0..40_000)
        .map(|n| call(&n.to_string(), &format!("{{\"n\":\"{}\"}}", blake3::hash(&[n as u8, (n >> 8) as u8]))))
        .collect();
    for (name, packed) in [
        ("cut.jsonl.zst", zstd::encode_all(many.as_bytes(), 1).expect("memory")),
        ("cut.jsonl.gz", gzip(many.as_bytes())),
    ] {
        let cut = place.write(name, &packed[..packed.len() * 9 / 10]);
        let good = place.write("good.jsonl", &log);
        let said = place.run(1, ["ingest".as_ref(), cut.as_os_str(), good.as_os_str()]);
        assert!(said.stderr.contains(name), "{}", said.stderr);
        assert!(
            place
                .rows("SELECT path FROM sources")
                .iter()
                .any(|row| row["path"].as_str().is_some_and(|p| p.ends_with("good.jsonl"))),
            "the good file beside {name} was not read"
        );
        place.assert_nothing_lost();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("memory");
    gzip.finish().expect("memory")
}

#[test]
fn bombs_and_archives_in_archives_are_rejects() {
    let place = Place::new();
    let config = place.write("calltrail.toml", "[ingest]\ndecompressed_limit = \"1MiB\"\n");
    let log: String = (0..20_000).map(|n| call(&n.to_string(), "{}")).collect();
    let bomb = place.write("bomb.jsonl.gz", gzip(log.as_bytes()));
    let nested = place.write("nested.jsonl.gz", gzip(&gzip(log.as_bytes())));
    for (path, reason) in [(&bomb, "decompressed_limit"), (&nested, "compressed twice")] {
        let said = place.run(1, ["ingest".as_ref(), "--config".as_ref(), config.as_os_str(), path.as_os_str()]);
        assert!(said.stderr.contains(reason) && said.stderr.contains(&*path.to_string_lossy()), "{}", said.stderr);
        let rejects = format!("SELECT count(*) FROM rejects WHERE reason LIKE '%{reason}%'");
        assert_eq!(place.one(&rejects), 1, "no reject says {reason}");
    }
    let calls = place.one("SELECT count(*) FROM calls").as_u64().expect("a number");
    assert!((1000..20_000).contains(&calls), "{calls} calls of what came before the limit");
    place.assert_nothing_lost();
    // The limit is raised, as the message says: the rest is read, and nothing is said of it any more.
    place.write("calltrail.toml", "[ingest]\ndecompressed_limit = \"1GiB\"\n");
    place.ingest([&bomb]);
    assert_eq!(place.one("SELECT count(*) FROM calls"), 20_000);
    assert_eq!(place.one("SELECT count(*) FROM rejects WHERE reason LIKE '%decompressed_limit%'"), 0);
    place.assert_nothing_lost();
}

#[cfg(unix)]
#[test]
fn paths_that_lead_nowhere_are_named() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.write("logs/good.jsonl", call("1", "{}"));
    symlink(place.path("logs"), place.path("logs/loop")).expect("link");
    assert!(Command::new("mkfifo").arg(place.path("logs/pipe")).status().is_ok_and(|status| status.success()));
    let said = place.run(0, ["ingest", "logs"]);
    assert!(said.stderr.contains("logs/loop") && said.stderr.contains("logs/pipe"), "{}", said.stderr);
    assert_eq!(place.one("SELECT count(*) FROM calls"), 1);
    symlink(place.path("gone.jsonl"), place.path("logs/dangling.jsonl")).expect("link");
    for path in ["logs", "logs/dangling.jsonl"] {
        let output = place.command(["ingest", path]).output().expect("the binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 3)), "{path}: {:?} {stderr}", output.status);
        assert!(stderr.contains("dangling.jsonl"), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    let said = place.run(3, ["ingest", "nothing/*.jsonl"]);
    assert!(said.stderr.contains("nothing/*.jsonl"), "{}", said.stderr);
}

#[cfg(unix)]
#[test]
fn what_a_log_says_reaches_no_terminal_raw_and_who_stops_listening_stops_nothing() {
    let place = Place::new();
    let hidden = "\u{202e}\u{9b}31m";
    let wrapped = |direction: &str, message: String| {
        let (head, message) = (r#""timestamp":"2026-11-20T10:00:00Z""#, message.trim_end().to_owned());
        format!(
            r#"{{{head},"session_id":"s{hidden}","direction":"{direction}","server":"x{hidden}","message":{message}}}"#
        ) + "\n"
    };
    let log: Vec<String> = [("1", "../../../../etc/passwd"), ("2", "..%2f..%2f..%2fetc/shadow")]
        .into_iter()
        .flat_map(|(id, path)| {
            let asked = call(id, &format!("{{\"path\":\"{path}\"}}"));
            [wrapped("client_to_server", asked), wrapped("server_to_client", answer(id, "root:x:0:0"))]
        })
        .collect();
    let log = place.write(&format!("{hidden}.jsonl"), log.concat());
    let unknown = place.write(&format!("{hidden}.txt"), "dear diary\n");
    let ingested =
        place.run(0, ["ingest".as_ref(), "--format".as_ref(), "json".as_ref(), log.as_os_str(), unknown.as_os_str()]);
    assert!(ingested.json()["unknown"][0].is_object(), "{}", ingested.stdout);
    let ran = place.run(0, ["detect", "--rule", "credential_file_read"]);
    let id = place.one("SELECT alert_id FROM alerts").as_str().expect("an alert").to_owned();
    let mut said = vec![ingested, ran];
    let suppress =
        ["alerts", "suppress", &id, "--owner", "o", "--reason", "r", "--until", "9d", "--like", "session_id"];
    for args in [&["alerts", "incidents"][..], &suppress, &["alerts", "suppressions"]] {
        for format in if args.len() > 2 { &["table"][..] } else { &["table", "json", "jsonl"] } {
            said.push(place.run(0, args.iter().chain(&["--format", format])));
        }
    }
    assert!(said[3].stdout.contains("\\u202e") && said[7].stdout.contains("\\u202e"), "{}", said[7].stdout);
    for Said { stdout, stderr } in said {
        let is_hidden = |c: char| c != '\n' && calltrail::visible::is_hidden(c);
        assert!(!stdout.contains(is_hidden) && !stderr.contains(is_hidden), "{stdout:?} {stderr:?}");
    }

    let mut deaf = place.command(["alerts", "suppressions", "--format", "json"]).spawn().expect("the binary starts");
    drop(deaf.stderr.take());
    let output = deaf.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "the summary is for people, the data is for the caller");
    assert!(output.stdout.ends_with(b"]\n"));
}

#[test]
fn a_lake_that_stands_among_the_logs_is_not_read() {
    let place = Place::new();
    place.write("good.jsonl", call("1", "{}"));
    for run in ["first", "second"] {
        let said = place.run(0, ["ingest", "."]);
        assert!(run == "first" || said.stderr.contains("is a lake"), "{}", said.stderr);
        assert_eq!(place.one("SELECT count(*) FROM sources"), 1, "{run}");
    }
    place.run(3, ["ingest", "lake"]);
}

#[test]
fn a_range_that_ends_before_it_starts_is_refused() {
    let place = Place::new();
    place.ingest([place.write("good.jsonl", call("1", "{}"))]);
    for command in [["detect", ""], ["score", ""], ["alerts", "list"]] {
        let args = command.into_iter().filter(|word| !word.is_empty());
        let said = place.run(2, args.chain(["--since", "2026-11-10", "--until", "2026-11-09"]));
        assert!(said.stderr.contains("--until is before --since"), "{}", said.stderr);
    }
}

#[test]
fn lakes_that_cannot_be_used_are_named() {
    let place = Place::new();
    let log = place.write("good.jsonl", call("1", "{}"));
    let ingest = ["ingest".as_ref(), log.as_os_str()];
    let said = place.run(2, ["query", "SELECT 1"]);
    assert!(said.stderr.contains("lake"), "{}", said.stderr);

    place.write("lake/diary.txt", "not a lake");
    let said = place.run(2, ingest);
    assert!(said.stderr.contains(&*place.lake().to_string_lossy()), "{}", said.stderr);
    std::fs::remove_dir_all(place.lake()).expect("removed");

    place.run(0, ingest);
    let identity = place.lake().join("_calltrail/lake.json");
    let text = std::fs::read_to_string(&identity).expect("lake.json");
    let mut newer: Value = serde_json::from_str(&text).expect("JSON");
    newer["format"] = 99.into();
    std::fs::write(&identity, newer.to_string()).expect("written");
    for args in [&ingest[..], &["query".as_ref(), "SELECT 1".as_ref()], &["detect".as_ref()]] {
        let said = place.run(1, args);
        assert!(said.stderr.contains("newer") && said.stderr.contains("99"), "{}", said.stderr);
    }
    std::fs::write(&identity, "{").expect("written");
    let said = place.run(1, ingest);
    assert!(said.stderr.contains("lake.json"), "{}", said.stderr);
    std::fs::write(&identity, text).expect("written");

    let lock = std::fs::File::options().write(true).open(place.lake().join("_calltrail/lock")).expect("lock");
    lock.lock().expect("locked");
    let impatient = [&ingest[..], &["--lock-timeout".as_ref(), "100ms".as_ref()]].concat();
    let said = place.run(1, impatient);
    assert!(said.stderr.contains("another calltrail") && said.stderr.contains("--lock-timeout"), "{}", said.stderr);
    place.run(0, ["query", "SELECT count(*) FROM calls"]);
    lock.unlock().expect("unlocked");
    place.run(0, ingest);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let lake = place.lake();
    let Some(disk) = SmallDisk::mount(&lake) else { return };
    let text: String = (0..900)
        .map(|n| {
            call(&n.to_string(), &format!("{{\"n\":\"{}\"}}", SmallDisk::noise(n))) + &answer(&n.to_string(), "ok")
        })
        .collect();
    let log = place.write("large.jsonl", &text);
    let args = ["ingest".as_ref(), "--commit-every".as_ref(), "256KiB".as_ref(), log.as_os_str()];
    let said = place.run(1, args);
    assert!(said.stderr.contains(&*lake.to_string_lossy()) || said.stderr.contains("No space left"), "{}", said.stderr);
    disk.grow();
    place.run(0, args);
    let whole = Place::new();
    // The same path, because rows name it.
    Said::new(0, &whole.command(args).output().expect("the binary starts"));
    let ids = "SELECT call_id, outcome, arguments_hash, source_offset FROM calls ORDER BY call_id";
    assert_eq!(place.rows(ids), whole.rows(ids));
    place.assert_nothing_lost();
}
