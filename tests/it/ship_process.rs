//! The program ships: a sink that is down, a kill at any instant, a daemon; and it says nothing that is secret.

use crate::common::{Place, Said};
use crate::receiver::{Receiver, Reply, closed_port};
use crate::shipping::{alert, alerts, fill, fill_more, ids};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The configuration of the tests that run the binary.
fn write_config(place: &Place, text: &str) -> String {
    place.write("calltrail.toml", text).to_string_lossy().into_owned()
}

#[test]
fn a_sink_that_is_down_delays_only_itself_and_no_secret_is_said() {
    let place = Place::new();
    fill(&place, &alerts(25), 10);
    let secret = place.write("token", "s3cr3t-t0k3n\n");
    let down = "retry = { give_up = \"200ms\", first = \"50ms\" }";
    let config = write_config(
        &place,
        &format!(
            "[[sinks]]\nname = \"file\"\ntype = \"file\"\npath = \"out/alerts.jsonl\"\nencoding = \"jsonl\"\n\
             [[sinks]]\nname = \"refused\"\ntype = \"splunk_hec\"\nurl = \"http://127.0.0.1:{port}\"\ntoken = {{ file = \"{secret}\" }}\n{down}\n\
             [[sinks]]\nname = \"nowhere\"\ntype = \"webhook\"\nurl = \"http://no-such-host.invalid/x\"\nheaders = {{ X-Api-Key = {{ file = \"{secret}\" }} }}\n{down}\n\
             [[sinks]]\nname = \"chat\"\ntype = \"slack\"\nurl = {{ env = \"CHAT_URL\" }}\n{down}\n\
             [[sinks]]\nname = \"pager\"\ntype = \"pagerduty\"\nurl = \"http://127.0.0.1:{port}\"\ntoken = {{ file = \"{secret}\" }}\n{down}\n",
            port = closed_port(),
            secret = secret.display(),
        ),
    );
    let url = format!("http://127.0.0.1:{}/services/s3cr3t-t0k3n", closed_port());
    let run = |code: i32, args: &[&str]| -> Said {
        let args = ["--config", config.as_str()].into_iter().chain(args.iter().copied());
        let said = Said::new(code, &place.command(args).env("CHAT_URL", &url).output().expect("the binary starts"));
        assert!(!said.stdout.contains("s3cr3t") && !said.stderr.contains("s3cr3t"), "{} {}", said.stdout, said.stderr);
        said
    };
    let preview = run(0, &["ship", "--dry-run"]);
    assert!(
        preview.stdout.contains(&alert(7).alert_id) && preview.stderr.contains("POST http://127.0.0.1:"),
        "{}",
        preview.stderr
    );
    run(0, &["sinks", "list", "--format", "json"]);
    let said = run(1, &["ship", "--format", "json"]);
    for report in said.lines() {
        let expected = if report["sink"] == "file" { (25, 0) } else { (0, 25) };
        assert_eq!(
            (report["delivered"].as_u64(), report["pending"].as_u64()),
            (Some(expected.0), Some(expected.1)),
            "{report}"
        );
        assert_eq!(report["problem"].is_null(), report["sink"] == "file", "{report}");
    }
    let text = std::fs::read_to_string(place.path("out/alerts.jsonl")).expect("a file");
    assert_eq!(ids(&text).len(), 25);
    // A line that a killed writer left half written is cut off; what it said comes again in whole.
    std::fs::write(place.path("out/alerts.jsonl"), format!("{text}{{\"alert_id\":\"torn")).expect("written");
    fill_more(&place, alert(1000));
    run(0, &["ship", "--sink", "file"]);
    let text = std::fs::read_to_string(place.path("out/alerts.jsonl")).expect("a file");
    assert_eq!(ids(&text).len(), 26);
    assert_eq!(text.lines().count(), 26, "nothing torn is left");
    let checked = run(1, &["sinks", "check"]);
    assert!(
        checked.stdout.contains("file") && checked.stdout.contains("delivered") && checked.stdout.contains("failed"),
        "{}",
        checked.stdout
    );
}

/// A receiver with Elasticsearch's semantics that fails a third of the time, sometimes after it has stored everything.
fn unreliable(documents: &Arc<Mutex<HashMap<String, HashMap<String, String>>>>) -> Receiver {
    let (documents, mut random) = (Arc::clone(documents), 0x9e37_79b9_7f4a_7c15_u64);
    Receiver::http(move |request| {
        let mut chance = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % 12
        };
        let fault = match chance() {
            0 => Some(Reply::Reset),
            1 => Some(Reply::Answer(500, "", "oops".to_owned())),
            2 => Some(Reply::Answer(503, "", "busy".to_owned())),
            _ => None,
        };
        if let Some(fault) = fault {
            return fault;
        }
        let index = request.path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let mut documents = documents.lock().expect("not poisoned");
        let store = documents.entry(index).or_default();
        let lines: Vec<&str> = request.body.lines().collect();
        let mut items = Vec::new();
        for pair in lines.chunks(2) {
            let action: Value = serde_json::from_str(pair[0]).expect("an action");
            let id = action["create"]["_id"].as_str().expect("an id").to_owned();
            let status = match store.get(&id) {
                Some(known) => {
                    assert_eq!(known, pair[1], "a repeat says the same");
                    409
                }
                None => 201,
            };
            store.insert(id, pair[1].to_owned());
            items.push(json!({"create": {"status": status}}));
        }
        // What was stored and not acknowledged is the case that a sender cannot tell from a loss.
        if chance() == 0 {
            return Reply::Reset;
        }
        Reply::Answer(200, "", json!({"errors": false, "items": items}).to_string())
    })
}

/// `CALLTRAIL_CRASH_ROUNDS` says how often, `CALLTRAIL_CRASH_ALERTS` of how many alerts.
#[test]
fn killed_at_any_instant_of_shipping_every_alert_arrives_once() {
    let setting =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, count) = (setting("CALLTRAIL_CRASH_ROUNDS", 3), setting("CALLTRAIL_CRASH_ALERTS", 1000));
    let place = Place::new();
    let sent = fill(&place, &alerts(count), 4000);
    let documents = Arc::default();
    let receiver = unreliable(&documents);
    let started_at = Instant::now();
    let mut undisturbed = Duration::ZERO;
    let (mut random, mut killed) = (0x2545_f491_4f6c_dd1d_u64 ^ u64::from(std::process::id()), 0);
    for round in 0..=rounds {
        // A sink of another name has everything before it.
        let config = write_config(
            &place,
            &format!(
                "[[sinks]]\nname = \"round-{round}\"\ntype = \"elasticsearch\"\nurl = \"{}\"\nindex = \"round-{round}\"\n\
                 batch = {{ count = 100 }}\nretry = {{ first = \"5ms\", cap = \"50ms\", tries = 8 }}\n",
                receiver.url()
            ),
        );
        let ship = || {
            let mut command = place.command(["--config", config.as_str(), "ship", "--format", "json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        if round > 0 {
            for _ in 0..1 + round % 2 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let instant = undisturbed.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64);
                let mut child = ship().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
                std::thread::sleep(instant);
                killed += u32::from(child.try_wait().expect("status").is_none());
                let _ = child.kill();
                child.wait().expect("ended");
            }
        }
        let said = Said::new(0, &ship().output().expect("the binary starts"));
        if round == 0 {
            undisturbed = started_at.elapsed();
        }
        assert_eq!(said.json()["pending"], 0, "{}", said.stdout);
        let documents: std::sync::MutexGuard<'_, HashMap<String, HashMap<String, String>>> =
            documents.lock().expect("not poisoned");
        let stored: BTreeSet<String> = documents[&format!("round-{round}")].keys().cloned().collect();
        assert_eq!(stored.len(), count, "round {round}: exactly one document an alert");
        assert!(stored == sent, "round {round}");
    }
    place.run(0, ["lake", "verify"]);
    assert!(rounds < 10 || killed > 0, "every shipping ended before it was killed");
}

#[test]
#[cfg(unix)]
fn a_daemon_ships_what_comes_tells_how_it_is_and_ends_in_order() {
    let place = Place::new();
    place.write("logs/a.jsonl", crate::crash::capture(30));
    let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&bodies);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").push(request.body.clone());
        Reply::ok()
    });
    let config = write_config(
        &place,
        &format!(
            "[ingest]\npaths = [\"logs\"]\n[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\nencoding = \"jsonl\"\nbody = \"lines\"\nown_events = true\nurl = \"{}\"\n",
            receiver.url()
        ),
    );
    let mut child = place
        .command([
            "--config",
            config.as_str(),
            "run",
            "--every",
            "1s",
            "--listen",
            "127.0.0.1:0",
            "--rule",
            "path_traversal",
        ])
        .spawn()
        .expect("the binary starts");
    let mut messages = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("piped")));
    let address = messages.by_ref().find_map(|line| {
        let line = line.expect("a line");
        Some(line.split_once("http://")?.1.split('/').next()?.to_owned())
    });
    let address = address.expect("it says where it listens");
    let rest = std::thread::spawn(move || messages.map_while(Result::ok).collect::<Vec<_>>());
    let ask = |path: &str| -> String {
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ask("/metrics").contains("calltrail_runs_total 2") {
        assert!(Instant::now() < deadline, "{}", ask("/metrics"));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(ask("/healthz").starts_with("HTTP/1.1 200"), "{}", ask("/healthz"));
    assert!(ask("/metrics").contains("calltrail_sink_pending{sink=\"hook\"} 0"), "{}", ask("/metrics"));
    let told = std::process::Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("kill");
    assert!(told.success());
    assert!(child.wait().expect("ended").success());
    let said = rest.join().expect("read");
    assert!(said.iter().any(|line| line.contains("ended by a signal")), "{said:?}");
    // The chain's head goes to the SIEM with each run: a witness outside of the lake.
    let bodies = bodies.lock().expect("not poisoned").concat();
    let mut heads = bodies.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        event["evidence"]["chain_head"].as_str().map(str::to_owned)
    });
    let head = heads.next_back().unwrap_or_else(|| panic!("no head in {bodies}"));
    place.run(0, ["lake", "verify", "--witness", &head]);
}

#[test]
fn of_two_that_ship_at_once_one_waits_and_nothing_comes_twice() {
    let place = Place::new();
    let sent = fill(&place, &alerts(60), 60);
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&taken);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let receiver = Receiver::http(move |request| {
        let _ = begun.send(());
        // Longer than what is waited for in silence, all together.
        std::thread::sleep(Duration::from_secs(1));
        into.lock().expect("not poisoned").extend(ids(&request.body));
        Reply::ok()
    });
    let config = write_config(
        &place,
        &format!(
            "[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\nencoding = \"jsonl\"\nbody = \"lines\"\nbatch = {{ count = 10 }}\n\
             [[sinks]]\nname = \"file\"\ntype = \"file\"\npath = \"out.jsonl\"\nencoding = \"jsonl\"\n",
            receiver.url()
        ),
    );
    let ship = |more: &[&str]| {
        let mut command = place.command(["--config", config.as_str(), "ship", "--format", "json"]);
        command.args(more).spawn().expect("the binary starts")
    };
    let first = ship(&[]);
    has_begun.recv_timeout(Duration::from_secs(60)).expect("the first has begun");
    let (second, hasty) = (ship(&[]), ship(&["--sink", "hook", "--lock-timeout", "1s"]));
    let hasty = Said::new(1, &hasty.wait_with_output().expect("ended"));
    let report = hasty.json();
    assert_eq!((&report["delivered"], &report["pending"]), (&json!(0), &json!(60)), "{report}");
    let problem = report["problem"].as_str().expect("a reason");
    assert!(problem.contains("another calltrail") && problem.contains("sink `hook`"), "{problem}");
    let delivered = |said: &Said| said.lines().iter().map(|report| report["delivered"].as_u64()).collect::<Vec<_>>();
    let first = Said::new(0, &first.wait_with_output().expect("ended"));
    let second = Said::new(0, &second.wait_with_output().expect("ended"));
    assert_eq!((delivered(&first), delivered(&second)), (vec![Some(60); 2], vec![Some(0); 2]));
    assert!(second.stderr.contains("waiting for sink `hook`"), "{}", second.stderr);
    let taken = taken.lock().expect("not poisoned");
    assert_eq!(taken.len(), 60, "nothing came twice");
    assert_eq!(taken.iter().cloned().collect::<BTreeSet<_>>(), sent);
    place.run(0, ["lake", "verify"]);
}

#[test]
#[cfg(unix)]
fn a_daemon_that_is_told_to_end_ends_between_files_and_the_next_goes_on() {
    let place = Place::new();
    // Both runs begin with one lake: ids and fingerprints depend on its key.
    place.run(3, ["ingest", &place.write("empty.txt", "no log\n").to_string_lossy()]);
    let empty = place.path("empty");
    crate::common::copy_folder(&place.lake(), &empty);
    for n in 0..12 {
        let text = crate::crash::capture(1000).replace("2026-11-09", &format!("2026-10-{:02}", n + 1));
        place.write(&format!("logs/{n:02}.jsonl"), text);
    }
    let config = write_config(
        &place,
        "[ingest]\npaths = [\"logs\"]\n[[sinks]]\nname = \"file\"\ntype = \"file\"\npath = \"out.jsonl\"\nencoding = \"jsonl\"\n",
    );
    let run = ["--config", config.as_str(), "run", "--rule", "path_traversal"];
    let mut command = place.command(run.iter().copied().chain(["--every", "1h"]));
    let mut child = command.env("CALLTRAIL_LOG", "calltrail=info").spawn().expect("the binary starts");
    let mut messages = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("piped")));
    // The first file is read, and says how long that took.
    let first = messages.by_ref().map_while(Result::ok).find(|line| line.contains("input{") && line.contains("close"));
    assert!(first.is_some(), "no span of an input");
    let told = std::process::Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("kill");
    assert!(told.success());
    let said: Vec<String> = messages.map_while(Result::ok).collect();
    assert!(child.wait().expect("ended").success(), "{said:?}");
    assert!(said.iter().any(|line| line.contains("ended by a signal")), "{said:?}");
    let read = place.one("SELECT count(*) FROM sources WHERE calls > 0").as_u64().expect("a number");
    assert!(read < 12, "it has read everything: {said:?}");
    place.assert_nothing_lost();
    place.run(0, run);
    let found = place.contents();
    std::fs::remove_dir_all(place.lake()).expect("removed");
    crate::common::copy_folder(&empty, &place.lake());
    place.run(0, run);
    crate::common::assert_same("after a stop", &place.contents(), &found);
}
