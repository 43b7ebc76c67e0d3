//! An ingest that is killed at random instants and started again ends with the rows of an undisturbed run, and the lake verifies
//! before and after.
//!
//! `CALLTRAIL_CRASH_ROUNDS` says how many times (12). Every round starts from a copy of the same empty lake, because fingerprints
//! of secrets depend on its key.

use crate::common::{Contents, Place, assert_same, copy_folder, sample_logs};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Small enough that an ingest commits several times.
const COMMIT_EVERY: &str = "256KiB";

#[test]
fn killed_at_any_instant_and_started_again() {
    let rounds: u64 = std::env::var("CALLTRAIL_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let home = Place::new();
    home.write("logs/capture.jsonl", capture(1500));
    for log in sample_logs() {
        let name = log.file_name().expect("a name").to_string_lossy().into_owned();
        let copy = home.path("logs").join(log.parent().and_then(Path::file_name).expect("a folder")).join(name);
        std::fs::create_dir_all(copy.parent().expect("a folder")).expect("folder");
        std::fs::copy(&log, &copy).expect("copied");
    }
    // A lake needs no log to be made, only something to read.
    let nothing = home.write("empty/nothing.txt", "nothing that is a log\n");
    home.command(["ingest".as_ref(), nothing.as_os_str()]).output().expect("the binary starts");
    let empty = home.path("empty-lake");
    copy_folder(&home.lake(), &empty);

    let started = Instant::now();
    let expected = ingest_whole(&home);
    let undisturbed = started.elapsed();
    assert!(expected["calls"].len() > 1500, "{} calls", expected["calls"].len());

    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    let mut killed = 0;
    for round in 0..rounds {
        std::fs::remove_dir_all(home.lake()).expect("removed");
        copy_folder(&empty, &home.lake());
        // Sometimes the second run is killed too, where it mends what the first left.
        let kills = 1 + round % 2;
        let mut instants = Vec::new();
        for _ in 0..kills {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let instant = undisturbed.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64);
            killed += u32::from(kill_after(&home, instant));
            instants.push(instant);
            home.run(0, ["lake", "verify"]);
        }
        let found = ingest_whole(&home);
        assert_same(&format!("round {round}, killed after {instants:?} of {undisturbed:?}"), &expected, &found);
        home.assert_nothing_lost();
        home.run(0, ["lake", "verify"]);
    }
    assert!(rounds < 10 || killed > 0, "every ingest ended before it was killed");
}

fn ingest(home: &Place) -> std::process::Command {
    let logs = home.path("logs");
    home.command(["ingest", "--commit-every", COMMIT_EVERY].map(AsRef::as_ref).into_iter().chain([logs.as_os_str()]))
}

#[track_caller]
fn ingest_whole(home: &Place) -> Contents {
    let output = ingest(home).output().expect("the binary starts");
    crate::common::Said::new(0, &output);
    let mut contents = home.contents();
    // Which of two copies counts as the duplicate may depend on what was read before; bytes and rejects may not.
    contents.remove("sources");
    let sources = "SELECT path, bytes, bytes_calls, bytes_rejected, bytes_ignored, lines, rejects, digest FROM sources ORDER BY path";
    contents.insert("sources", home.rows(sources).iter().map(ToString::to_string).collect());
    contents
}

/// Starts an ingest and kills it; says whether it was still running.
fn kill_after(home: &Place, instant: Duration) -> bool {
    let mut child =
        ingest(home).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("starts");
    std::thread::sleep(instant);
    let running = child.try_wait().expect("status").is_none();
    let _ = child.kill();
    child.wait().expect("ended");
    running
}

/// A capture with late answers, ids that start over, secrets, broken lines and requests that nobody answers.
pub(crate) fn capture(calls: usize) -> String {
    let mut text = String::new();
    let mut waiting = std::collections::VecDeque::new();
    for call in 0..calls {
        let (hour, minute, second) = (call / 3600, call / 60 % 60, call % 60);
        let time = format!("2026-11-09T{hour:02}:{minute:02}:{second:02}");
        let id = call % 500;
        let filler = "pallet ".repeat(20 + call % 50);
        let key = format!("ghp{}{:036}", '_', call % 7);
        writeln!(text, r#"{{"timestamp":"{time}.000Z","direction":"client_to_server","message":{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"tool_{}","arguments":{{"n":{call},"to":"https://h{}.example/{call}"}}}}}}}}"#, call % 9, call % 40).expect("memory");
        if call % 97 == 0 {
            writeln!(text, "{{\"timestamp\":\"{time}\",\"direc").expect("memory");
        }
        if call % 101 != 0 {
            waiting.push_back(format!(r#"{{"timestamp":"{time}.400Z","direction":"server_to_client","message":{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{filler}{key} mail p{call}@depot.example"}}]}}}}}}"#));
        }
        while waiting.len() > call % 20 {
            writeln!(text, "{}", waiting.pop_front().expect("one waits")).expect("memory");
        }
    }
    waiting.iter().for_each(|line| writeln!(text, "{line}").expect("memory"));
    text
}
