//! Two ingesters of one lake at once, each taking turns: the rows are those of one that read everything undisturbed.

use crate::common::{Contents, Place, Said, assert_same};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// Small enough that each ingester has many turns.
const COMMIT_EVERY: &str = "64KiB";

fn line(second: usize, direction: &str, message: &str) -> String {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        r#"{{"timestamp":"2026-11-09T{hour:02}:{minute:02}:{second:02}.000Z","direction":"{direction}","message":{message}}}"#
    ) + "\n"
}

fn request(second: usize, id: usize, of: &str) -> String {
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"look_up","arguments":{{"of":"{of}","n":{id},"url":"https://{of}.example/{id}"}}}}}}"#
    );
    line(second, "client_to_server", &message)
}

fn answer(second: usize, id: usize, of: &str) -> String {
    let filler = "pallet ".repeat(40 + id % 50);
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{of} {id} {filler}"}}]}}}}"#
    );
    line(second, "server_to_client", &message)
}

/// A log of whole calls, some of which nobody answers.
fn whole(calls: usize, of: &str) -> String {
    (0..calls).fold(String::new(), |mut text, id| {
        text += &request(2 * id, id, of);
        if id % 41 != 0 {
            text += &answer(2 * id + 1, id, of);
        }
        text
    })
}

/// Requests in one part of a rotated log, their answers in the next.
fn halves(calls: usize, of: &str) -> (String, String) {
    let part = |line: fn(usize, usize, &str) -> String, at: usize| {
        (0..calls).fold(String::new(), |mut text, id| {
            write!(text, "{}", line(at + id, id, of)).expect("memory");
            text
        })
    };
    (part(request, 0), part(answer, calls))
}

/// A place with logs and an empty lake, which can be emptied again: fingerprints depend on its key.
fn place() -> Place {
    let place = Place::new();
    place.write("logs/a.jsonl", whole(350, "a"));
    place.write("logs/b.jsonl", whole(350, "b"));
    let (asked, answered) = halves(300, "c");
    place.write("logs/c.log.1", asked);
    place.write("logs/c.log", answered);
    let nothing = place.write("empty/nothing.txt", "nothing that is a log\n");
    place.command(["ingest".as_ref(), nothing.as_os_str()]).output().expect("the binary starts");
    assert!(
        Command::new("cp").arg("-r").arg(place.lake()).arg(place.path("empty-lake")).status().expect("cp").success()
    );
    place
}

fn empty(place: &Place) {
    std::fs::remove_dir_all(place.lake()).expect("removed");
    assert!(
        Command::new("cp").arg("-r").arg(place.path("empty-lake")).arg(place.lake()).status().expect("cp").success()
    );
}

fn ingest(place: &Place, paths: &[&str]) -> Command {
    place.command(["ingest", "--commit-every", COMMIT_EVERY].iter().chain(paths))
}

fn start(place: &Place, paths: &[&str]) -> Child {
    ingest(place, paths).spawn().expect("the binary starts")
}

#[track_caller]
fn end(child: Child) {
    Said::new(0, &child.wait_with_output().expect("it ends"));
}

#[track_caller]
fn contents(place: &Place) -> Contents {
    place.assert_nothing_lost();
    let mut contents = place.contents();
    // Which of two readers of one file counted a call first may differ; bytes and lines may not.
    contents.remove("sources");
    let sources = "SELECT path, bytes, bytes_calls, bytes_rejected, bytes_ignored, lines, rejects, digest FROM sources ORDER BY path";
    contents.insert("sources", place.rows(sources).iter().map(ToString::to_string).collect());
    contents
}

#[test]
fn two_ingesters_at_once_do_what_one_does() {
    let place = place();
    Said::new(0, &ingest(&place, &["logs"]).output().expect("the binary starts"));
    let expected = contents(&place);
    assert_eq!(expected["calls"].len(), 1000);

    let pairs: [(&[&str], &[&str]); 3] = [
        // One reads requests, the other their answers.
        (&["logs/a.jsonl", "logs/c.log.1"], &["logs/b.jsonl", "logs/c.log"]),
        // Both read everything.
        (&["logs"], &["logs"]),
        (&["logs/a.jsonl", "logs/b.jsonl", "logs/c.log.1"], &["logs/b.jsonl", "logs/c.log", "logs/a.jsonl"]),
    ];
    for (one, other) in pairs {
        empty(&place);
        let children = [start(&place, one), start(&place, other)];
        children.into_iter().for_each(end);
        assert_same(&format!("{one:?} beside {other:?}"), &expected, &contents(&place));
    }

    // One of them is killed at some instant and started again, while the other goes on.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    for round in 0..4 {
        empty(&place);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let instant = Duration::from_millis((random >> 33) % 2500);
        let mut killed = start(&place, &["logs"]);
        let other = start(&place, &["logs/b.jsonl", "logs/c.log"]);
        std::thread::sleep(instant);
        killed.kill().expect("killed");
        killed.wait().expect("ended");
        let again = start(&place, &["logs"]);
        end(other);
        end(again);
        assert_same(&format!("round {round}, killed after {instant:?}"), &expected, &contents(&place));
    }
}

#[test]
fn two_first_ingesters_make_one_lake() {
    let place = Place::new();
    place.write("a.jsonl", whole(20, "a"));
    place.write("b.jsonl", whole(20, "b"));
    let children = ["a.jsonl", "b.jsonl"].map(|path| start(&place, &[path]));
    children.into_iter().for_each(end);
    assert_eq!(place.one("SELECT count(*) FROM calls"), 40);
    assert!(Path::new(&place.lake().join("_calltrail/lake.json")).exists());
}
