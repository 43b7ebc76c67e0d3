//! Logs and lakes in an object store: the same rows as in a folder, one writer at a time, trouble that is told.
//!
//! The store is moto's S3 server, which `tests/install.sh` installs. It honours conditional writes, as S3 does.

use crate::common::{Place, Said, repository};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What says the same of a call wherever its log lay.
const CALLS: &str = "SELECT time, time_end, session_source, server, tool, method, outcome, jsonrpc_request_id, arguments_bytes, \
                     result_bytes, source_line FROM calls ORDER BY time, server, tool, method, source_line, jsonrpc_request_id, outcome";
/// Parts of the log whose ingest is killed.
const PARTS: usize = 12;
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=user/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
const SECRET: &str = "this-key-is-shown-to-nobody";

/// A server that speaks S3 on this machine.
struct S3 {
    server: Child,
    address: String,
}

impl S3 {
    /// `None`, and says so, where it is not installed.
    fn start() -> Option<Self> {
        let target = PathBuf::from(env!("CARGO_BIN_EXE_calltrail")).parent()?.parent()?.to_path_buf();
        let mut server = Command::new(target.join("test-venv/bin/python"))
            .args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = BufReader::new(server.stderr.take()?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if said.read_line(&mut line).unwrap_or(0) == 0 {
                eprintln!("skipped: no moto server; tests/install.sh installs it");
                return None;
            }
            if let Some((_, address)) = line.split_once("http://") {
                break address.split_whitespace().next()?.to_owned();
            }
        };
        // It writes a line for each request.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Some(Self { server, address })
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let host = &self.address;
        // The server takes any signature until it is told to look, but wants to see one.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nx-amz-acl: public-read\r\nAuthorization: {SIGNED}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        answer
    }

    fn put(&self, path: &str, body: &[u8]) {
        self.request("PUT", path, body);
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A user of the store.
struct User<'a> {
    place: &'a Place,
    endpoint: String,
}

impl User<'_> {
    fn command<S: AsRef<OsStr>>(&self, lake: &str, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.place.command(args);
        command.env("CALLTRAIL_LAKE", lake).env("AWS_ENDPOINT_URL", &self.endpoint).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", "user").env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "eu-central-1");
        command
    }

    #[track_caller]
    fn run<S: AsRef<OsStr>>(&self, code: i32, lake: &str, args: impl IntoIterator<Item = S>) -> Said {
        let said = Said::new(code, &self.command(lake, args).output().expect("the binary starts"));
        assert!(!said.stderr.contains(SECRET) && !said.stderr.contains("<Error>"), "{}", said.stderr);
        said
    }

    #[track_caller]
    fn ingest(&self, lake: &str, paths: &[&str]) -> serde_json::Value {
        self.run(0, lake, ["ingest", "--format", "json"].iter().chain(paths)).json()
    }

    #[track_caller]
    fn rows(&self, lake: &str, sql: &str) -> String {
        self.run(0, lake, ["query", "--format", "jsonl", sql]).stdout
    }
}

#[test]
fn logs_and_lake_in_an_object_store() {
    let Some(s3) = S3::start() else { return };
    let place = Place::new();
    // Short, so that the test need not wait long for a dead writer.
    place.write("calltrail.toml", "[storage]\nlease = \"3s\"\n");
    let user = User { place: &place, endpoint: format!("http://{}", s3.address) };
    s3.put("/lakes", b"");
    s3.put("/logs", b"");

    // The same logs in a folder and in a bucket: plain, compressed, rotated.
    let trace = std::fs::read(repository("sample-logs/mcp_trace/depots_trace.jsonl")).expect("sample");
    let audit = std::fs::read(repository("sample-logs/toolhive_audit/vmcp_audit.jsonl")).expect("sample");
    let half = trace.iter().take(trace.len() / 2).rposition(|b| *b == b'\n').expect("lines") + 1;
    let packed = zstd::encode_all(&audit[..], 1).expect("memory");
    let logs: [(&str, &[u8]); 4] = [
        ("trace.jsonl.1", &trace[..half]),
        ("trace.jsonl", &trace[half..]),
        ("deep/audit.jsonl.zst", &packed),
        (".hidden/audit.jsonl", b"no log\n"),
    ];
    for (name, bytes) in logs {
        s3.put(&format!("/logs/in/{name}"), bytes);
        place.write(&format!("in/{name}"), bytes);
    }
    let local = place.ingest([place.path("in")]);
    let lake = "s3://lakes/deep/lake";
    let first = user.ingest(lake, &["s3://logs/in/"]);
    for key in ["files", "bytes", "lines", "calls", "rejects", "prompts"] {
        assert_eq!(first[key], local[key], "{key}");
    }
    assert!(first["calls"].as_i64() > Some(10), "{first}");
    let rows = place.run(0, ["query", "--format", "jsonl", CALLS]).stdout;
    assert_eq!(user.rows(lake, CALLS), rows);
    let names = user.rows(lake, "SELECT DISTINCT source_file AS f FROM calls ORDER BY f");
    assert!(names.contains("\"s3://logs/in/deep/audit.jsonl.zst\""), "{names}");

    // Nothing new, by what the listing says; a copy, by its content; an object that grew.
    let again = user.ingest(lake, &["s3://logs/in/*.jsonl*", "s3://logs/in/d*", "s3://logs/in/trace.jsonl"]);
    assert_eq!((&again["calls"], &again["unchanged"]), (&0.into(), &3.into()), "{again}");
    s3.put("/logs/copy.jsonl", &trace[half..]);
    let url = format!("http://{}/logs/copy.jsonl", s3.address);
    assert_eq!(user.ingest(lake, &[&url])["unchanged"], 1);
    let grown = [&trace[half..], &trace[..half]].concat();
    s3.put("/logs/in/trace.jsonl", &grown);
    let grown = user.ingest(lake, &["s3://logs/in/trace.jsonl"]);
    assert_eq!(grown["bytes"], half, "{grown}");

    // Every command works on it.
    let info = user.run(0, lake, ["lake", "info", "--format", "json"]).json();
    assert_eq!(info["lake"], lake);
    assert_eq!(info["tables"][0]["rows"], first["calls"]);
    user.run(0, lake, ["lake", "verify"]);
    let detect = || user.run(0, lake, ["detect", "--rule", "path_traversal", "--format", "json"]).json();
    let (first, second) = (detect(), detect());
    assert_eq!(
        (&first["failed_rules"], &first["new_alerts"], &second["new_alerts"]),
        (&0.into(), &1.into(), &0.into())
    );
    user.run(0, lake, ["alerts", "list"]);
    user.run(0, lake, ["formats", "explain", "s3://logs/in/deep/audit.jsonl.zst"]);

    one_writer(&user, &s3);
    trouble(&user, &s3, lake);
}

/// While one writes, others wait; when it dies, the next one finishes.
fn one_writer(user: &User<'_>, s3: &S3) {
    // Parts of a rotated log, so that requests are answered in the part behind theirs.
    let capture = crate::crash::capture(160);
    let lines: Vec<&str> = capture.lines().collect();
    let parts: Vec<_> = lines.chunks(lines.len().div_ceil(PARTS)).collect();
    for (number, part) in parts.iter().enumerate() {
        s3.put(&format!("/logs/parts/capture.jsonl.{}", PARTS - number), (part.join("\n") + "\n").as_bytes());
    }
    let (whole, lake) = ("s3://lakes/whole", "s3://lakes/killed");
    user.ingest(whole, &["s3://logs/parts"]);
    let expected = user.rows(whole, CALLS);
    assert!(expected.lines().count() > 150, "{expected}");

    let ingest = ["ingest", "--commit-every", "1", "s3://logs/parts/"];
    let mut writer = user.command(lake, ingest).spawn().expect("it starts");
    let some = || {
        let output =
            user.command(lake, ["query", "--format", "csv", "SELECT count(*) FROM calls"]).output().expect("starts");
        String::from_utf8_lossy(&output.stdout).lines().nth(1).is_some_and(|count| count != "0")
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    while !some() {
        assert!(Instant::now() < deadline, "nothing was committed");
    }
    writer.kill().expect("killed");
    writer.wait().expect("ended");
    let finished = user.run(0, lake, ["ingest", "--format", "json", "--lock-timeout", "1m", "s3://logs/parts"]);
    assert_eq!(user.rows(lake, CALLS), expected, "{}", finished.stdout);
    assert_ne!(finished.json()["unchanged"], PARTS, "it was not killed in the middle");
    user.run(0, lake, ["lake", "verify"]);

    // One that waits for its input holds the lake; when it is dead, another takes over.
    let mut holder = user.command(lake, ["ingest", "-"]).stdin(Stdio::piped()).spawn().expect("it starts");
    let other = |timeout| ["ingest", "--lock-timeout", timeout, "s3://logs/copy.jsonl"];
    let deadline = Instant::now() + Duration::from_secs(120);
    let refused = loop {
        assert!(Instant::now() < deadline, "nobody was refused");
        let output = user.command(lake, other("0s")).output().expect("it starts");
        if !output.status.success() {
            break Said::new(1, &output);
        }
    };
    let part = "another calltrail (ingest) is writing to the lake at `s3://lakes/killed`";
    assert!(refused.stderr.contains(part), "{}", refused.stderr);
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    user.run(0, lake, other("1m"));
}

/// Each ends soon, with a message and an exit code.
fn trouble(user: &User<'_>, s3: &S3, lake: &str) {
    let there = "s3://logs/in/trace.jsonl";
    for (code, lake, path, part) in [
        (1, "s3://nowhere/lake", there, "the bucket or container does not exist"),
        (1, lake, "s3://nowhere/x.jsonl", "the bucket or container does not exist"),
        (3, lake, "s3://logs/none/", "no input matches `s3://logs/none/`"),
        (2, "ftp://host/lake", there, "`ftp://host/lake` is no place for a lake"),
        (1, lake, "ftp://host/log", "no object store for the scheme `ftp`"),
    ] {
        let said = user.run(code, lake, ["ingest", path]);
        assert!(said.stderr.contains(part), "{lake} {path}: {}", said.stderr);
    }
    let said = user.run(2, "s3://lakes/none", ["query", "SELECT 1"]);
    assert!(said.stderr.contains("no lake at `s3://lakes/none`"), "{}", said.stderr);
    let unreachable = User { place: user.place, endpoint: "http://127.0.0.1:1".to_owned() };
    let said = unreachable.run(1, lake, ["lake", "info"]);
    assert!(
        said.stderr.contains("the store cannot be reached: ") && said.stderr.contains("refused"),
        "{}",
        said.stderr
    );
    // From here on the server asks who is there.
    s3.request("POST", "/moto-api/reset-auth", b"0");
    let said = user.run(1, lake, ["lake", "info"]);
    assert!(said.stderr.contains("access is denied (InvalidAccessKeyId: "), "{}", said.stderr);
    let said = user.run(1, lake, ["ingest", there]);
    assert!(said.stderr.contains("cannot read `s3://logs/in/trace.jsonl`: access is denied"), "{}", said.stderr);
}
