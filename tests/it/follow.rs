//! `ingest --follow`: files that grow, are rotated, cut off, removed; a slow pipe; a signal; a disk that is full for a while.
//! Each ends with the rows of one ingest of the same bytes.

#[cfg(target_os = "linux")]
use crate::common::SmallDisk;
use crate::common::{Contents, Place, Said, assert_same};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// An ingest that follows, and what it has said so far.
struct Follower {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Follower {
    fn start(place: &Place, stdin: Stdio, paths: &[&str]) -> Self {
        Self::start_with(place, stdin, "100ms", paths)
    }

    fn start_with(place: &Place, stdin: Stdio, flush_every: &str, paths: &[&str]) -> Self {
        let args = ["ingest", "--format", "json", "--follow", "--flush-every", flush_every];
        let mut child = place.command(args.iter().chain(paths)).stdin(stdin).spawn().expect("the binary starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (stderr, heard) = (child.stderr.take().expect("piped"), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut heard = heard.lock().expect("heard");
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Self { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().expect("heard").clone()
    }

    /// Ends it with a signal, and gives its summary.
    #[track_caller]
    fn terminate(self) -> Value {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        self.end()
    }

    #[track_caller]
    fn end(self) -> Value {
        let said = Arc::clone(&self.said);
        let output = self.child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", said.lock().expect("heard"));
        Said::new(0, &output).json()
    }
}

/// Waits for a query to give this. A lake that is not there yet, or is being written to, gives nothing.
#[track_caller]
fn wait_for(place: &Place, follower: &Follower, sql: &str, wanted: impl Into<Value>) {
    let wanted = wanted.into();
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::new();
    while Instant::now() < deadline {
        let output = place.command(["query", "--format", "jsonl", sql]).output().expect("the binary starts");
        last = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let row = serde_json::from_str::<serde_json::Map<String, Value>>(last.lines().next().unwrap_or_default());
        if row.is_ok_and(|row| row.values().next() == Some(&wanted)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("`{sql}` did not become {wanted}: {last}\nit said: {}", follower.said());
}

fn wait_for_text(follower: &Follower, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !follower.said().contains(wanted) {
        assert!(Instant::now() < deadline, "it did not say {wanted:?}: {}", follower.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A request and its answer.
fn call(id: usize) -> [String; 2] {
    let line = |half: usize, direction: &str, message: &str| {
        let (minute, second) = (id / 30, id % 30 * 2 + half);
        format!(
            r#"{{"timestamp":"2026-11-09T08:{minute:02}:{second:02}.000Z","direction":"{direction}","message":{message}}}"#
        ) + "\n"
    };
    [
        line(
            0,
            "client_to_server",
            &format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"look_up","arguments":{{"shelf":{id}}}}}}}"#
            ),
        ),
        line(
            1,
            "server_to_client",
            &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"shelf {id}"}}]}}}}"#),
        ),
    ]
}

fn calls(ids: std::ops::Range<usize>) -> String {
    ids.flat_map(call).collect()
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::File::options().create(true).append(true).open(path).expect("log");
    file.write_all(text.as_bytes()).expect("written");
}

fn answered(count: u64) -> (&'static str, Value) {
    ("SELECT count(*) FROM calls WHERE outcome = 'success'", count.into())
}

/// Rows without what names the file, which may have had another name when they were read.
#[track_caller]
fn rows(place: &Place) -> Contents {
    place.assert_nothing_lost();
    let calls =
        "SELECT * EXCEPT (ingest_id, ingested_at, source_file, source_line, source_offset) FROM calls ORDER BY call_id";
    let text = |sql: &str| place.rows(sql).iter().map(ToString::to_string).collect();
    Contents::from([
        ("calls", text(calls)),
        ("observables", text("SELECT * FROM observables ORDER BY call_id, origin, type, value, path")),
        (
            "sources",
            text(
                "SELECT bytes, bytes_calls, bytes_rejected, bytes_ignored, lines, digest FROM sources ORDER BY digest",
            ),
        ),
    ])
}

#[test]
fn a_log_that_grows_and_is_rotated() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("logs")).expect("folder");
    let log = place.path("logs/x.log");
    append(&log, &calls(0..3));
    let follower = Follower::start(&place, Stdio::null(), &["logs"]);
    let (sql, wanted) = answered(3);
    wait_for(&place, &follower, sql, wanted);

    // Half a line waits; the request of a call whose answer comes later is there meanwhile.
    let [asked, answer] = call(3);
    append(&log, &(asked + &answer[..30]));
    wait_for(&place, &follower, "SELECT count(*) FROM calls WHERE outcome = 'no_response'", 1);
    append(&log, &answer[30..]);
    let (sql, wanted) = answered(4);
    wait_for(&place, &follower, sql, wanted);
    assert_eq!(place.one("SELECT count(*) FROM calls"), 4);

    // Renamed while there is more to come; the answer stands in the new file.
    let [asked, answer] = call(4);
    std::fs::rename(&log, place.path("logs/x.log.1")).expect("rotation");
    append(&place.path("logs/x.log.1"), &asked);
    append(&log, &answer);
    let (sql, wanted) = answered(5);
    wait_for(&place, &follower, sql, wanted);

    // A compressed copy of the old part adds nothing.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&std::fs::read(place.path("logs/x.log.1")).expect("log")).expect("memory");
    place.write("logs/x.log.2.gz", gzip.finish().expect("memory"));
    std::fs::remove_file(place.path("logs/x.log.1")).expect("removed");
    append(&log, &calls(5..6));
    let (sql, wanted) = answered(6);
    wait_for(&place, &follower, sql, wanted);
    let summary = follower.terminate();
    assert_eq!(summary["calls"], 6, "{summary}");
    assert_eq!(place.one("SELECT count(*) FROM calls"), 6);

    let whole = Place::new();
    std::fs::create_dir_all(whole.path("logs")).expect("folder");
    std::fs::copy(place.path("logs/x.log.2.gz"), whole.path("logs/x.log.2.gz")).expect("copied");
    std::fs::copy(&log, whole.path("logs/x.log")).expect("copied");
    whole.ingest(["logs"]);
    assert_same("followed", &rows(&whole), &rows(&place));
    // And nothing is left for the next ingest.
    let again = place.ingest(["logs"]);
    assert_eq!((&again["calls"], &again["lines"]), (&0.into(), &0.into()), "{again}");
}

#[test]
fn a_named_log_that_is_cut_off_or_taken_away() {
    let place = Place::new();
    let log = place.path("x.log");
    let follower = Follower::start(&place, Stdio::null(), &["x.log"]);
    wait_for_text(&follower, "x.log");
    append(&log, &calls(0..3));
    let (sql, wanted) = answered(3);
    wait_for(&place, &follower, sql, wanted);
    // Cut off and written anew, shorter than before, then longer than before in one go.
    for (from, to, count) in [(10, 11, 4), (20, 25, 9)] {
        std::fs::write(&log, calls(from..to)).expect("written");
        let (sql, wanted) = answered(count);
        wait_for(&place, &follower, sql, wanted);
    }
    assert!(follower.said().contains("was cut off"), "{}", follower.said());
    // Taken away while somebody still writes to it.
    let mut writer = std::fs::File::options().append(true).open(&log).expect("log");
    std::fs::rename(&log, place.path("elsewhere.log")).expect("renamed");
    append(&log, &calls(30..31));
    writer.write_all(calls(40..42).as_bytes()).expect("written");
    let (sql, wanted) = answered(12);
    wait_for(&place, &follower, sql, wanted);
    follower.terminate();
    place.assert_nothing_lost();
}

/// The unfinished line was refused by an earlier ingest. It grows, and is unfinished still when the follower is killed.
#[test]
fn a_line_that_comes_in_three_pieces() {
    let place = Place::new();
    let log = place.path("x.log");
    let [asked, answer] = call(3);
    append(&log, &(calls(0..3) + &asked + &answer[..30]));
    place.ingest(["x.log"]);
    assert_eq!(place.one("SELECT count(*) FROM rejects"), 1);
    append(&log, &answer[30..60]);
    // Nothing is taken for finished while this is looked at.
    let mut follower = Follower::start_with(&place, Stdio::null(), "60s", &["x.log"]);
    wait_for(&place, &follower, "SELECT count(*) FROM rejects", 0);
    follower.child.kill().expect("killed");
    follower.child.wait().expect("ended");
    append(&log, &answer[60..]);
    place.ingest(["x.log"]);

    let whole = Place::new();
    std::fs::copy(&log, whole.path("x.log")).expect("copied");
    whole.ingest(["x.log"]);
    assert_same("in pieces", &rows(&whole), &rows(&place));
    assert_eq!(place.one("SELECT count(*) FROM rejects"), 0);
}

#[test]
fn a_pipe_that_is_slow() {
    let place = Place::new();
    let mut follower = Follower::start(&place, Stdio::piped(), &["-"]);
    let mut pipe = follower.child.stdin.take().expect("piped");
    let [asked, answer] = call(1);
    pipe.write_all((calls(0..1) + &asked + &answer[..20]).as_bytes()).expect("it reads");
    pipe.flush().expect("it reads");
    wait_for(&place, &follower, "SELECT count(*) FROM calls WHERE outcome = 'no_response'", 1);
    pipe.write_all((answer[20..].to_owned() + &calls(2..3)).as_bytes()).expect("it reads");
    let (sql, wanted) = answered(3);
    wait_for(&place, &follower, sql, wanted);
    // No line end at the end.
    pipe.write_all(calls(3..4).trim_end().as_bytes()).expect("it reads");
    drop(pipe);
    let summary = follower.end();
    assert_eq!((&summary["calls"], &summary["rejects"]), (&4.into(), &0.into()), "{summary}");

    let whole = Place::new();
    whole.ingest_stdin(calls(0..4).trim_end().as_bytes());
    assert_same("piped", &rows(&whole), &rows(&place));
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_for_a_while() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.lake()) else { return };
    let noisy = |ids: std::ops::Range<usize>| -> String {
        let loud = |id: usize| {
            call(id)[0].replace("\"shelf\":", &format!("\"noise\":\"{}\",\"shelf\":", SmallDisk::noise(id as u32)))
        };
        ids.map(|id| loud(id) + &call(id)[1]).collect()
    };
    append(&place.path("x.log"), &calls(1000..1001));
    let mut follower = Follower::start(&place, Stdio::piped(), &["x.log", "-"]);
    let mut pipe = follower.child.stdin.take().expect("piped");
    let (sql, wanted) = answered(1);
    wait_for(&place, &follower, sql, wanted);
    pipe.write_all(noisy(0..450).as_bytes()).expect("it reads");
    append(&place.path("x.log"), &noisy(450..900));
    wait_for_text(&follower, "trying again");
    disk.grow();
    let (sql, wanted) = answered(901);
    wait_for(&place, &follower, sql, wanted);
    drop(pipe);
    follower.terminate();
    assert_eq!(place.one("SELECT count(*) FROM calls"), 901);
    place.assert_nothing_lost();
}
