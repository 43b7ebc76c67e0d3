//! What the tests share: a place of its own for each test, the real binary in a clean environment, rows as JSON.

use calltrail::enrich::{EnrichOptions, Enricher};
use calltrail::ingest::{IngestOptions, Ingester, Summary, Unwatched};
use calltrail::lake::{Lake, Location, Patience};
use calltrail::query::output::{self, Format, Style};
use calltrail::query::{Session, SessionOptions};
use calltrail::source::input::{self, Limits};
use calltrail::source::pairing::PairingOptions;
use calltrail::source::registry::Formats;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What the library needs where it is called without the binary.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_stack_size(8 << 20).enable_all().build().expect("worker threads")
});

/// Waits for what the library does asynchronously.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A temporary folder with a lake in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// Writes a file of the place, with the folders above it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(&path, bytes).expect("file");
        path
    }

    /// The binary over this place's lake, in a clean environment; `CALLTRAIL_TEST_BINARY` names another one, such as a release build.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let other = std::env::var_os("CALLTRAIL_TEST_BINARY");
        let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_calltrail").into()));
        command
            .env_clear()
            .env("TMPDIR", self.dir.path())
            .env("CALLTRAIL_LAKE", self.lake())
            .current_dir(self.dir.path());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the binary and demands this exit code, and no trace of a panic.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, code: i32, args: impl IntoIterator<Item = S>) -> Said {
        Said::new(code, &self.command(args).output().expect("the binary starts"))
    }

    /// Ingests and gives the summary.
    #[track_caller]
    pub(crate) fn ingest<S: AsRef<OsStr>>(&self, paths: impl IntoIterator<Item = S>) -> Value {
        let args = ["ingest", "--format", "json"].into_iter().map(OsStr::new).map(OsStr::to_owned);
        self.run(0, args.chain(paths.into_iter().map(|path| path.as_ref().to_owned()))).json()
    }

    /// Ingests standard input.
    #[track_caller]
    pub(crate) fn ingest_stdin(&self, bytes: &[u8]) -> Value {
        use std::io::Write as _;
        let mut child =
            self.command(["ingest", "--format", "json", "-"]).stdin(Stdio::piped()).spawn().expect("the binary starts");
        child.stdin.take().expect("piped").write_all(bytes).expect("it reads");
        Said::new(0, &child.wait_with_output().expect("it ends")).json()
    }

    /// The rows of a query.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &str) -> Vec<Value> {
        self.run(0, ["query", "--format", "jsonl", sql]).lines()
    }

    /// [`Self::ingest`] by the library instead of the binary, whose start takes longer than reading a small log.
    #[track_caller]
    pub(crate) fn ingest_here<S: AsRef<OsStr>>(&self, paths: impl IntoIterator<Item = S>) -> Summary {
        let paths: Vec<String> = paths.into_iter().map(|path| path.as_ref().to_string_lossy().into_owned()).collect();
        let inputs = input::expand(&paths).expect("the logs are there").inputs;
        let location = Location::from(self.lake().to_string_lossy().as_ref());
        let patience = Patience::silent("test", Duration::from_secs(60));
        let lake = RUNTIME.block_on(Lake::open_or_create(&location, &patience)).expect("a lake");
        let enricher = Arc::new(Enricher::new(EnrichOptions::new(lake.key())));
        let options = IngestOptions {
            pairing: PairingOptions::default(),
            limits: Limits::default(),
            commit_bytes: u64::MAX,
            lock_timeout: Duration::from_secs(60),
        };
        let surroundings = Unwatched { now: 1_794_474_000_000_000_000 };
        let formats = Arc::new(Formats::default());
        let ingester = Ingester::new(&lake, RUNTIME.handle(), &surroundings, enricher, formats, options);
        ingester.run(&inputs).expect("the lake takes the rows")
    }

    /// Brings `flows` up to date by the library.
    #[track_caller]
    pub(crate) fn find_flows(&self) -> calltrail::lineage::Updated {
        let lake = Lake::open(&Location::from(self.lake().to_string_lossy().as_ref())).expect("the lake");
        let patience = Patience::silent("test", Duration::from_secs(60));
        let updated = RUNTIME.block_on(calltrail::lineage::update(&lake, &patience, 1_794_474_000_000));
        updated.expect("the lake takes the rows")
    }

    /// [`Self::rows`] of several queries by the library.
    #[track_caller]
    pub(crate) fn rows_here<const N: usize>(&self, queries: [&str; N]) -> [Vec<Value>; N] {
        RUNTIME.block_on(async {
            let lake = Lake::open(&Location::from(self.lake().to_string_lossy().as_ref())).expect("the lake");
            let providers = lake.providers().await.expect("its tables");
            let session = Session::new(providers, SessionOptions::default()).await.expect("a session");
            let mut answers = [const { Vec::new() }; N];
            for (sql, answer) in queries.into_iter().zip(&mut answers) {
                let batches = session.sql(sql).await.expect("a query");
                let style = Style { format: Format::Jsonl, ..Style::default() };
                let mut text = Vec::new();
                output::write(batches, style, &mut text).await.expect("rows");
                *answer = json_lines(&String::from_utf8(text).expect("UTF-8"));
            }
            answers
        })
    }

    /// The first column of the first row.
    #[track_caller]
    pub(crate) fn one(&self, sql: &str) -> Value {
        let rows = self.rows(sql);
        rows.first().and_then(Value::as_object).and_then(|row| row.values().next()).cloned().unwrap_or(Value::Null)
    }

    /// Everything the lake says about the logs, row by row, without what differs from run to run.
    #[track_caller]
    pub(crate) fn contents(&self) -> Contents {
        let table = |sql: &str| self.rows(sql).iter().map(ToString::to_string).collect();
        BTreeMap::from([
            ("calls", table("SELECT * EXCEPT (ingest_id, ingested_at) FROM calls ORDER BY call_id, time")),
            ("observables", table("SELECT * FROM observables ORDER BY call_id, origin, type, value, path")),
            ("prompts", table("SELECT * FROM prompts ORDER BY prompt_id")),
            ("tools", table("SELECT * FROM stored.tool_definitions ORDER BY definition_id")),
            ("connections", table("SELECT * FROM stored.connections ORDER BY identity")),
            (
                "rejects",
                table(
                    "SELECT * EXCEPT (source_id, ingested_at) FROM rejects ORDER BY reject_id, source_file, \"offset\"",
                ),
            ),
            (
                "sources",
                table(
                    "SELECT path, format, bytes, bytes_calls, bytes_rejected, bytes_ignored, lines, calls, duplicates, \
                     rejects, ignored, prompts, digest FROM sources ORDER BY path, bytes",
                ),
            ),
        ])
    }

    /// Demands that every byte of every source is accounted for.
    #[track_caller]
    pub(crate) fn assert_nothing_lost(&self) {
        let lost = self.rows(
            "SELECT path, bytes, bytes_calls, bytes_rejected, bytes_ignored FROM sources \
             WHERE bytes <> bytes_calls + bytes_rejected + bytes_ignored",
        );
        assert!(lost.is_empty(), "bytes are unaccounted for: {lost:?}");
    }
}

/// Rows as text by table.
pub(crate) type Contents = BTreeMap<&'static str, Vec<String>>;

/// Demands equal contents and says which rows differ.
#[track_caller]
pub(crate) fn assert_same(what: &str, expected: &Contents, found: &Contents) {
    let mut differences = Vec::new();
    for (table, expected) in expected {
        let found = &found[table];
        let (missing, extra) = (left_over(expected, found), left_over(found, expected));
        if !missing.is_empty() || !extra.is_empty() {
            differences.push(format!(
                "{table}: {} rows expected, {} found, {} missing, {} too many",
                expected.len(),
                found.len(),
                missing.len(),
                extra.len()
            ));
            for (sign, rows) in [('-', &missing), ('+', &extra)] {
                differences.extend(rows.iter().take(2).map(|row| format!("  {sign} {row}")));
            }
            if let (Some(a), Some(b)) = (missing.first(), extra.first()) {
                differences.extend(columns_that_differ(a, b).into_iter().map(|line| format!("    {line}")));
            }
        }
    }
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

/// The rows of `a` that `b` lacks, as often as it lacks them.
fn left_over<'a>(a: &'a [String], b: &[String]) -> Vec<&'a String> {
    let mut there: HashMap<&str, usize> = HashMap::new();
    b.iter().for_each(|row| *there.entry(row).or_default() += 1);
    let is_missing = |row: &&String| match there.get_mut(row.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    a.iter().filter(is_missing).collect()
}

fn columns_that_differ(a: &str, b: &str) -> Vec<String> {
    let parse = |text| serde_json::from_str::<serde_json::Map<String, Value>>(text).unwrap_or_default();
    let (a, b) = (parse(a), parse(b));
    a.iter()
        .filter(|(key, value)| b.get(*key) != Some(value))
        .map(|(key, value)| format!("{key}: {value} / {:?}", b.get(key)))
        .collect()
}

/// What a run of the binary said.
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn new(code: i32, output: &Output) -> Self {
        let said = Self {
            stdout: String::from_utf8(output.stdout.clone()).expect("data is UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert_eq!(output.status.code(), Some(code), "exit code; it said: {}{}", said.stderr, said.stdout);
        assert!(
            !said.stderr.contains("panicked") && !said.stderr.contains("RUST_BACKTRACE"),
            "it panicked: {}",
            said.stderr
        );
        said
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.stdout))
    }

    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }
}

/// JSON lines as values.
#[track_caller]
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
    text.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Data of third parties beside the repository; says so where a checkout has none.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = repository("..").join("shared").join(path);
    let there = path.exists();
    if !there {
        eprintln!("skipped: no {}", path.display());
    }
    there.then_some(path)
}

/// Every file below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name();
    entries
        .into_iter()
        .map(|entry| entry.expect("readable"))
        .filter(|e| e.file_type().is_file())
        .map(|e| e.into_path())
        .collect()
}

/// The sample logs, without what is expected of them.
pub(crate) fn sample_logs() -> Vec<PathBuf> {
    logs("sample-logs")
}

/// The logs below a folder of the repository, without what is expected of them.
pub(crate) fn logs(folder: &str) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.ends_with(".jsonl") || name.ends_with(".log")) && !name.ends_with(".expected.jsonl")
    };
    files(&repository(folder)).into_iter().filter(is_log).collect()
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for file in files(from) {
        let copy: PathBuf = to.join(file.strip_prefix(from).expect("below the folder"));
        std::fs::create_dir_all(copy.parent().expect("a folder")).expect("folder");
        std::fs::copy(&file, &copy).expect("copied");
    }
    // Tables without rows have folders without files too.
    for entry in walkdir::WalkDir::new(from).into_iter().flatten().filter(|entry| entry.file_type().is_dir()) {
        std::fs::create_dir_all(to.join(entry.path().strip_prefix(from).expect("below the folder"))).expect("folder");
    }
}

/// A file system of one megabyte in a folder, unmounted at the end.
#[cfg(target_os = "linux")]
pub(crate) struct SmallDisk(PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// `None`, and says so, where that is not allowed.
    pub(crate) fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: a file system of a fixed size cannot be mounted here");
            return None;
        }
        Some(Self(folder.to_path_buf()))
    }

    pub(crate) fn grow(&self) {
        let larger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(larger.is_ok_and(|status| status.success()), "the disk grows");
    }

    /// Text that does not compress much, so that the disk fills in the middle of a commit.
    pub(crate) fn noise(n: u32) -> String {
        (0..40u32).map(|part| blake3::hash(&(n * 64 + part).to_le_bytes()).to_hex().to_string()).collect()
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
