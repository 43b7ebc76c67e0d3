//! Receivers that we did not write get every alert exactly as it was sent: rsyslog, syslog-ng, OpenSearch's `_bulk`, an OTLP collector, Kafka.
//! `tests/install.sh` installs them where it can.
#![cfg(unix)]

use crate::common::{Place, repository};
use crate::receiver::{certificates, closed_port, frames};
use crate::shipping::{Quick, alerts, fill, preview_here, ship_here};
use calltrail::sink::deliver::Retried;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ALERTS: usize = 300;

/// A program that ends with the test.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command, output: Stdio) -> Self {
        let errors = Stdio::null();
        Self(command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().expect("it starts"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until it is so.
fn wait_until(mut is: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if is() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    is()
}

fn listens(port: u16) -> bool {
    wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
}

fn target() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_calltrail"));
    binary.parent().and_then(Path::parent).expect("the target folder").to_path_buf()
}

/// The Python of the tests, with where its packages are; `None`, and says so, if one of them is missing.
fn python(package: &str) -> Option<(PathBuf, PathBuf)> {
    let python = target().join("test-venv/bin/python");
    let found = Command::new(&python)
        .args(["-c", &format!("import os, {package}; print(os.path.dirname({package}.__file__))")])
        .output();
    match found {
        Ok(found) if found.status.success() => {
            Some((python, String::from_utf8(found.stdout).expect("a path").trim().into()))
        }
        _ => {
            eprintln!("skipped: {package} is not installed");
            None
        }
    }
}

/// What was written to a file, line by line, when it has so many lines.
fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    wait_until(|| read().lines().count() >= count);
    read().lines().map(str::to_owned).collect()
}

#[test]
fn a_real_rsyslog_gets_every_alert_as_it_was_sent() {
    if !Path::new("/usr/sbin/rsyslogd").exists() {
        return eprintln!("skipped: rsyslog is not installed");
    }
    let place = Place::new();
    fill(&place, &alerts(ALERTS), ALERTS);
    certificates(&place.path("tls"), "localhost");
    let has_tls = ["x86_64", "aarch64"]
        .iter()
        .any(|machine| Path::new(&format!("/usr/lib/{machine}-linux-gnu/rsyslog/lmnsd_ossl.so")).exists());
    for transport in ["tcp", "tls"] {
        if transport == "tls" && !has_tls {
            eprintln!("skipped: rsyslog-openssl is not installed");
            continue;
        }
        let (port, out, tls) = (closed_port(), place.path(&format!("{transport}.log")), place.path("tls"));
        let driver = match transport {
            "tls" => format!(
                "global(defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile=\"{0}/ca.pem\" defaultNetstreamDriverCertFile=\"{0}/server.pem\" \
                 defaultNetstreamDriverKeyFile=\"{0}/server.key\")\nmodule(load=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n",
                tls.display()
            ),
            _ => "module(load=\"imtcp\")\n".to_owned(),
        };
        let config = place.write(
            &format!("{transport}.conf"),
            format!(
                "global(maxMessageSize=\"64k\" parser.escapeControlCharactersOnReceive=\"off\")\n{driver}\
                 template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\nruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{}\" template=\"raw\") }}\n\
                 input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\" ruleset=\"all\")\n",
                out.display()
            ),
        );
        let pid = place.path(&format!("{transport}.pid"));
        let mut command = Command::new("/usr/sbin/rsyslogd");
        let _rsyslog = Daemon::start(command.args(["-n", "-f"]).arg(&config).arg("-i").arg(pid), Stdio::null());
        assert!(listens(port), "rsyslog does not listen");
        let toml =
            format!("transport = \"{transport}\"\naddress = \"localhost:{port}\"\ntls = {{ ca = \"tls/ca.pem\" }}\n");
        let toml = if transport == "tcp" { toml.replace("tls = { ca = \"tls/ca.pem\" }\n", "") } else { toml };
        let toml = format!("[[sinks]]\nname = \"{transport}\"\ntype = \"syslog\"\nencoding = \"ocsf\"\n{toml}");
        let sent = frames(&preview_here(&place, &toml));
        let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
        assert_eq!((report.delivered, report.pending), (ALERTS as u64, 0), "{transport}: {report:?}");
        assert_eq!(lines(&out, ALERTS), sent, "{transport}");
    }
}

#[test]
fn a_real_syslog_ng_gets_every_alert_as_it_was_sent() {
    let root = target().join("test-syslog-ng");
    let binary = root.join("usr/sbin/syslog-ng");
    let modules = files_named(&root.join("usr/lib/syslog-ng"), "libaffile.so");
    let (true, Some(modules)) = (binary.exists(), modules) else {
        return eprintln!("skipped: syslog-ng is not unpacked");
    };
    let place = Place::new();
    fill(&place, &alerts(ALERTS), ALERTS);
    certificates(&place.path("tls"), "localhost");
    let [tcp, tls, udp] = [closed_port(), closed_port(), closed_port()];
    let folder = place.path("tls").display().to_string();
    let mut text = format!(
        "@version: 3.38\noptions {{ use-dns(no); keep-hostname(yes); log-msg-size(131072); stats-freq(0); flush-lines(1); time-reap(1); }};\n\
         source tcp {{ syslog(ip(\"127.0.0.1\") port({tcp}) transport(\"tcp\") flags(store-raw-message)); }};\n\
         source udp {{ syslog(ip(\"127.0.0.1\") port({udp}) transport(\"udp\") flags(store-raw-message) so-rcvbuf(4194304)); }};\n\
         source tls {{ syslog(ip(\"127.0.0.1\") port({tls}) transport(\"tls\") flags(store-raw-message) tls(key-file(\"{folder}/server.key\") \
         cert-file(\"{folder}/server.pem\") ca-file(\"{folder}/ca.pem\") peer-verify(required-trusted))); }};\n"
    );
    for name in ["tcp", "udp", "tls"] {
        let out = place.path("out").display().to_string();
        text.push_str(&format!(
            "destination {name} {{ file(\"{out}/{name}.log\" template(\"$RAWMSG\\n\") create-dirs(yes)); }};\n\
             log {{ source({name}); destination({name}); }};\n"
        ));
    }
    let config = place.write("syslog-ng.conf", text);
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = ["usr/lib/syslog-ng", &format!("usr/lib/{machine}"), &format!("lib/{machine}")]
        .map(|folder| root.join(folder).display().to_string());
    let mut command = Command::new(&binary);
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    command.arg(format!("--module-path={}", modules.display())).args(["--no-caps", "-F", "-f"]).arg(&config);
    for (option, name) in [("-R", "persist"), ("-c", "control"), ("-p", "pid")] {
        command.arg(option).arg(place.path(name));
    }
    let _daemon = Daemon::start(&mut command, Stdio::null());
    assert!(listens(tcp) && listens(tls), "syslog-ng does not listen");
    let secured = "tls = { ca = \"tls/ca.pem\", certificate = \"tls/client.pem\", key = \"tls/client.key\" }\n";
    for (name, port, more) in [("tcp", tcp, ""), ("tls", tls, secured), ("udp", udp, "")] {
        let mut before = 0;
        for encoding in ["ocsf", "cef", "syslog", "leef"] {
            let toml = format!(
                "[[sinks]]\nname = \"{name}-{encoding}\"\ntype = \"syslog\"\nencoding = \"{encoding}\"\ntransport = \"{name}\"\n\
                 address = \"localhost:{port}\"\nfacility = 10\n{more}"
            )
            .replace("localhost", if name == "udp" { "127.0.0.1" } else { "localhost" });
            let shown = preview_here(&place, &toml);
            let sent: BTreeSet<String> = match name {
                "udp" => String::from_utf8(shown).expect("UTF-8").lines().map(str::to_owned).collect(),
                _ => frames(&shown).into_iter().collect(),
            };
            assert_eq!(sent.len(), ALERTS, "{name} {encoding}");
            let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
            assert_eq!((report.delivered, report.pending), (ALERTS as u64, 0), "{name} {encoding}: {report:?}");
            let all = lines(&place.path(&format!("out/{name}.log")), before + ALERTS);
            let found: BTreeSet<String> = all[before..].iter().cloned().collect();
            assert_eq!(all.len() - before, ALERTS, "{name} {encoding}: each once");
            before = all.len();
            let (lost, other) = (sent.difference(&found).next(), found.difference(&sent).next());
            assert_eq!(other, lost, "{name} {encoding}");
        }
    }
}

/// The folder below another that holds a file of this name.
fn files_named(folder: &Path, name: &str) -> Option<PathBuf> {
    let found = walkdir::WalkDir::new(folder).into_iter().flatten().find(|entry| entry.file_name() == name)?;
    Some(found.path().parent()?.to_path_buf())
}

#[test]
fn a_real_bulk_endpoint_has_each_document_once_and_as_it_was_sent() {
    let Some((python, folder)) = python("osmem_server") else { return };
    let place = Place::new();
    let sent = fill(&place, &alerts(ALERTS), ALERTS);
    let port = closed_port();
    let mut command = Command::new(folder.join("bin/osmem-server"));
    let _server =
        Daemon::start(command.args(["-addr", &format!("127.0.0.1:{port}"), "-no-stdin-watch"]), Stdio::null());
    assert!(listens(port), "osmem-server does not listen");
    // The second sink has the same index: every document is there already.
    for (name, kind) in [("first", "elasticsearch"), ("second", "opensearch")] {
        let toml = format!(
            "[[sinks]]\nname = \"{name}\"\ntype = \"{kind}\"\nurl = \"http://127.0.0.1:{port}\"\nbatch = {{ count = 70 }}\n"
        );
        let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
        assert_eq!((report.delivered, report.refused, report.pending), (ALERTS as u64, 0, 0), "{name}: {report:?}");
    }
    let ask = |path: &str| -> Value {
        let program = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())";
        let url = format!("http://127.0.0.1:{port}/calltrail-alerts/{path}");
        let said = Command::new(&python).args(["-c", program, &url]).output().expect("Python starts");
        serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)))
    };
    ask("_refresh");
    assert_eq!(ask("_count")["count"], ALERTS);
    let found = ask(&format!("_search?size={ALERTS}"));
    let documents = found["hits"]["hits"].as_array().expect("hits");
    let of_id: BTreeMap<String, Value> = documents
        .iter()
        .map(|hit| (hit["_id"].as_str().unwrap_or_default().to_owned(), hit["_source"].clone()))
        .collect();
    assert_eq!(of_id.keys().cloned().collect::<BTreeSet<_>>(), sent);
    let toml = format!("[[sinks]]\nname = \"third\"\ntype = \"elasticsearch\"\nurl = \"http://127.0.0.1:{port}\"\n");
    let shown = String::from_utf8(preview_here(&place, &toml)).expect("UTF-8");
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2 * ALERTS);
    for pair in lines.chunks(2) {
        let id = pair[0]["create"]["_id"].as_str().expect("an id");
        assert_eq!(of_id[id], pair[1]);
    }
}

#[test]
fn a_real_collector_of_otlp_understands_every_alert() {
    let Some((_, folder)) = python("rotel") else { return };
    let place = Place::new();
    let sent = fill(&place, &alerts(ALERTS), ALERTS);
    let (port, other, out) = (closed_port(), closed_port(), place.path("rotel.log"));
    let mut command = Command::new(folder.join("rotel-agent"));
    command.args(["start", "--otlp-http-endpoint", &format!("127.0.0.1:{port}")]);
    command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{other}"), "--exporter", "blackhole"]);
    command.args(["--debug-log", "logs", "--debug-log-verbosity", "detailed"]);
    let file = std::fs::File::create(&out).expect("a file");
    let _collector = Daemon::start(&mut command, file.into());
    assert!(listens(port), "rotel does not listen");
    let toml = format!("[[sinks]]\ntype = \"otlp\"\nurl = \"http://127.0.0.1:{port}\"\n");
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (ALERTS as u64, 0), "{report:?}");
    assert!(report.notes.is_empty(), "{report:?}");
    let said = || std::fs::read_to_string(&out).unwrap_or_default();
    let all = wait_until(|| {
        let said = said();
        sent.iter().all(|id| said.contains(id.as_str()))
    });
    assert!(all, "it has not shown all: {}", said().chars().take(3000).collect::<String>());
}

#[test]
fn kafka_over_tls_takes_nothing_from_who_does_not_believe_it_or_shows_no_certificate() {
    let Some((python, _)) = python("confluent_kafka") else { return };
    let place = Place::new();
    let sent = fill(&place, &alerts(60), 60);
    certificates(&place.path("tls"), "127.0.0.1");
    certificates(&place.path("other"), "127.0.0.1");
    let mut command = Command::new(python);
    command.arg(repository("tests/kafka.py")).args(["alerts", "60"]).arg(place.path("tls"));
    let mut consumer = Daemon::start(&mut command, Stdio::piped());
    let mut records = BufReader::new(consumer.0.stdout.take().expect("piped")).lines();
    let broker = records.next().and_then(Result::ok).expect("the mock cluster says where it is");
    let ship = |name: &str, tls: &str| {
        let toml = format!(
            "[[sinks]]\nname = \"{name}\"\ntype = \"kafka\"\nbrokers = [\"{broker}\"]\ntopic = \"alerts\"\n{tls}\n\
             timeout = \"4s\"\nretry = {{ give_up = \"3s\" }}\n"
        );
        ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0)
    };
    let ours = "certificate = \"tls/client.pem\", key = \"tls/client.key\"";
    for (name, tls) in [
        ("wrong-authority", format!("tls = {{ ca = \"other/ca.pem\", {ours} }}")),
        ("no-client", "tls = { ca = \"tls/ca.pem\" }".to_owned()),
        ("plain", String::new()),
    ] {
        let report = ship(name, &tls);
        assert_eq!((report.delivered, report.pending), (0, 60), "{name}: {report:?}");
        assert!(report.problem.is_some(), "{name}: {report:?}");
    }
    let report = ship("right", &format!("tls = {{ ca = \"tls/ca.pem\", {ours} }}"));
    assert_eq!((report.delivered, report.pending), (60, 0), "{report:?}");
    let came = records.take(60).map(|record| {
        let record: Value = serde_json::from_str(&record.expect("a line")).expect("JSON");
        record["headers"]["alert-id"].as_str().expect("a text").to_owned()
    });
    assert_eq!(came.collect::<BTreeSet<_>>(), sent);
}

#[test]
fn a_real_consumer_of_kafka_gets_every_alert_and_those_of_an_entity_in_order() {
    let Some((python, _)) = python("confluent_kafka") else { return };
    let place = Place::new();
    let all = alerts(ALERTS);
    fill(&place, &all, ALERTS);
    let mut command = Command::new(python);
    command.arg(repository("tests/kafka.py")).args(["alerts", &ALERTS.to_string()]);
    let mut consumer = Daemon::start(&mut command, Stdio::piped());
    let mut records = BufReader::new(consumer.0.stdout.take().expect("piped")).lines();
    let broker = records.next().and_then(Result::ok).expect("the mock cluster says where it is");
    let toml = format!(
        "[[sinks]]\ntype = \"kafka\"\nbrokers = [\"{broker}\"]\ntopic = \"alerts\"\nbatch = {{ count = 70 }}\n"
    );
    let shown = String::from_utf8(preview_here(&place, &toml)).expect("UTF-8");
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (ALERTS as u64, 0), "{report:?}");
    let mut of_key: BTreeMap<String, (BTreeSet<i64>, Vec<String>)> = BTreeMap::new();
    let mut values = BTreeSet::new();
    for record in records.take(ALERTS) {
        let record: Value = serde_json::from_str(&record.expect("a line")).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (partitions, ids) = of_key.entry(text(&record["key"])).or_default();
        partitions.insert(record["partition"].as_i64().expect("a number"));
        ids.push(text(&record["headers"]["alert-id"]));
        assert_eq!(record["headers"]["content-type"], "application/x-ndjson");
        values.insert(text(&record["value"]));
    }
    assert_eq!(values, shown.lines().map(str::to_owned).collect());
    assert_eq!(of_key.len(), 10);
    for (session, (partitions, ids)) in of_key {
        let expected: Vec<&str> = all
            .iter()
            .filter(|alert| alert.finding.entity.session_id.as_deref() == Some(session.as_str()))
            .map(|alert| alert.alert_id.as_str())
            .collect();
        assert_eq!((partitions.len(), ids), (1, expected.into_iter().map(str::to_owned).collect()), "{session}");
    }
}
