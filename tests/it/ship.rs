//! Every alert arrives at least once, whatever receivers, networks and the system do; repeats carry the same id; nothing that is secret is said.

use crate::common::{Place, Said, block_on};
use crate::receiver::{Receiver, Reply, Request, certificates, closed_port, frames, tls};
use calltrail::alert::{Alert, CallEvidence, Entity, Finding, Kind, Level, Observable, alerts_to_batch};
use calltrail::config::Config;
use calltrail::lake::{Lake, Location, Patience, Transaction, data_file};
use calltrail::sink::deliver::{Clock, Opened, Report, Retried, Shipment, ship};
use calltrail::sink::destination::Surroundings;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const START: i64 = 1_795_342_489_123_456;

/// An alert like those of rules, the `n`th of ten sessions.
fn alert(n: usize) -> Alert {
    let call = CallEvidence {
        call_id: format!("call-{n}"),
        time: Some(START + n as i64),
        session_id: Some(format!("session-{}", n % 10)),
        tool: Some("http_post".to_owned()),
        server: Some("web".to_owned()),
        method: "tools/call".to_owned(),
        arguments: Some(format!(r#"{{"url":"https://paste.example/{n}","note":"a \"b\" | c=d ] ünï"}}"#)),
        outcome: "success".to_owned(),
        approval: "auto_allowed".to_owned(),
        ..CallEvidence::default()
    };
    let finding = Finding {
        kind: Kind::Rule,
        rule_id: if n.is_multiple_of(4) { "secret_then_egress".to_owned() } else { "tool_changed".to_owned() },
        rule_title: "Secret read, then data sent out".to_owned(),
        rule_version: "0f3a".to_owned(),
        rule_group: "exfiltration".to_owned(),
        settings: serde_json::Map::new(),
        level: if n.is_multiple_of(4) { Level::High } else { Level::Low },
        status: "stable".to_owned(),
        tags: vec!["owasp.mcp10".to_owned()],
        description: "A credential was read and then data left.".to_owned(),
        falsepositives: Vec::new(),
        entity: Entity { session_id: Some(format!("session-{}", n % 10)), ..Entity::default() },
        first_seen: START + n as i64,
        last_seen: START + n as i64,
        call_ids: vec![format!("call-{n}")],
        score: None,
        message: Some(format!("alert {n}: line\nbreak, pipe | and \u{202e}mark")),
        evidence: serde_json::Map::new(),
    };
    let observable = Observable { kind: "domain".to_owned(), value: "paste.example".to_owned() };
    Alert::new(finding, vec![call], vec![observable], BTreeMap::new())
}

/// A lake with these alerts in files of so many; the order of rows is not that of time.
fn fill(place: &Place, alerts: &[Alert], in_one_file: usize) -> BTreeSet<String> {
    let lake = open_or_create(place);
    block_on(async {
        let lock = lake.lock(&Patience::silent("test", Duration::from_secs(60))).await.expect("a turn");
        let mut transaction = Transaction::default();
        for (number, alerts) in alerts.chunks(in_one_file).enumerate() {
            let mut rows = alerts.to_vec();
            rows.sort_by(|a, b| a.alert_id.cmp(&b.alert_id));
            let batch = alerts_to_batch(&rows).expect("rows");
            let name = format!("part-{number}");
            let file = data_file::write(&lake.table_path("alerts"), &name, None, &[batch], 1).expect("a file");
            transaction.add("alerts", file.add);
        }
        transaction.commit(&lake).await.expect("a commit");
        lock.release().expect("released");
    });
    alerts.iter().map(|alert| alert.alert_id.clone()).collect()
}

fn open_or_create(place: &Place) -> Lake {
    let location = Location::from(place.lake().to_string_lossy().as_ref());
    let patience = Patience::silent("test", Duration::from_secs(60));
    block_on(Lake::open_or_create(&location, &patience)).expect("a lake")
}

fn alerts(count: usize) -> Vec<Alert> {
    (0..count).map(alert).collect()
}

/// Time that passes when somebody waits, and at once.
struct Quick {
    passed: Mutex<Duration>,
    waits: Mutex<Vec<Duration>>,
}

impl Quick {
    fn new() -> Arc<Self> {
        Arc::new(Self { passed: Mutex::default(), waits: Mutex::default() })
    }

    fn waits(&self) -> Vec<Duration> {
        self.waits.lock().expect("not poisoned").clone()
    }
}

#[async_trait::async_trait]
impl Clock for Quick {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(START).expect("a time") + TimeDelta::from_std(self.elapsed()).expect("a time")
    }

    fn elapsed(&self) -> Duration {
        *self.passed.lock().expect("not poisoned")
    }

    async fn sleep(&self, time: Duration) {
        self.waits.lock().expect("not poisoned").push(time);
        *self.passed.lock().expect("not poisoned") += time;
        tokio::task::yield_now().await;
    }

    fn random(&self) -> f64 {
        0.5
    }
}

/// Ships to the sinks of a configuration.
fn ship_here(place: &Place, toml: &str, clock: &Arc<Quick>, retried: Retried) -> Vec<Report> {
    let config = Config::parse(toml, &place.path("calltrail.toml")).expect("a configuration");
    let environment = |name: &str| (name == "TOKEN").then(|| "s3cr3t-t0k3n".to_owned());
    let around = Surroundings {
        environment: &environment,
        stdout: Arc::new(|| Box::new(std::io::sink())),
        host: Some("host.example".to_owned()),
        clock: || 1_795_342_489,
    };
    block_on(async {
        let sinks = config.sinks.into_iter().map(|setting| Opened::open(setting.sink, &around).expect("a sink"));
        let sinks = sinks.collect();
        let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        let (_keep, stop) = tokio::sync::watch::channel(false);
        let shipment = Shipment {
            retried,
            suppressions: Vec::new(),
            events: Vec::new(),
            clock,
            stop,
            lock_timeout: Duration::from_secs(60),
        };
        ship(Arc::new(open_or_create(place)), sinks, shipment).await.expect("shipped")
    })
}

/// Ids of alerts in the lines of a body, as our own JSON has them.
fn ids(body: &str) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<Value>(line).ok()?["alert_id"].as_str().map(str::to_owned);
    body.lines().filter_map(id).collect()
}

/// What a receiver took: each id with the texts that came under it.
type Taken = Arc<Mutex<HashMap<String, Vec<String>>>>;

fn take(taken: &Taken, body: &str) {
    for line in body.lines() {
        for id in ids(line) {
            taken.lock().expect("not poisoned").entry(id).or_default().push(line.to_owned());
        }
    }
}

#[track_caller]
fn assert_all_arrived(what: &str, sent: &BTreeSet<String>, taken: &Taken) {
    let taken = taken.lock().expect("not poisoned");
    let ids: BTreeSet<String> = taken.keys().cloned().collect();
    assert!(ids == *sent, "{what}: {} of {} arrived", ids.intersection(sent).count(), sent.len());
    for (id, texts) in &*taken {
        assert!(texts.iter().all(|text| text == &texts[0]), "{what}: repeats of {id} differ");
    }
}

#[test]
fn every_fault_of_a_receiver_is_got_over() {
    let place = Place::new();
    let sent = fill(&place, &alerts(120), 50);
    let after = |seconds: &'static str| Reply::Answer(429, seconds, "slow down".to_owned());
    let date = "date: Wed, 21 Oct 2026 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2026 07:28:09 GMT\r\n";
    // The fault, and what is waited for because of it.
    let faults: &[(&str, Reply, Option<u64>)] = &[
        ("reset", Reply::Reset, None),
        ("half-close", Reply::HalfClose, None),
        ("torn answer", Reply::Torn, None),
        ("slow answer", Reply::Slow(Duration::from_millis(600)), None),
        ("429", after("retry-after: 7\r\n"), Some(7)),
        ("429 until a date", after(date), Some(9)),
        ("500", Reply::Answer(500, "", "oops".to_owned()), None),
        ("503", Reply::Answer(503, "", "busy".to_owned()), None),
        ("408", Reply::Answer(408, "", String::new()), None),
    ];
    for (name, fault, waited) in faults {
        let taken = Taken::default();
        let (fault, into, mut calls) = (fault.clone(), Arc::clone(&taken), 0);
        let receiver = Receiver::http(move |request| {
            calls += 1;
            // The second batch fails twice.
            if calls == 2 || calls == 3 {
                return fault.clone();
            }
            take(&into, &request.body);
            Reply::ok()
        });
        let toml = format!(
            "[[sinks]]\nname = \"{}\"\ntype = \"webhook\"\nurl = \"{}\"\nencoding = \"jsonl\"\nbody = \"lines\"\ntimeout = \"300ms\"\n\
             batch = {{ count = 50 }}\nretry = {{ first = \"4s\" }}\n",
            name.replace(' ', "-"),
            receiver.url()
        );
        let clock = Quick::new();
        let reports = ship_here(&place, &toml, &clock, Retried::Pending);
        assert_eq!((reports[0].delivered, reports[0].refused, reports[0].pending), (120, 0, 0), "{name}: {reports:?}");
        assert_eq!(reports[0].retries, 2, "{name}");
        assert_all_arrived(name, &sent, &taken);
        let expected = match waited {
            Some(seconds) => vec![Duration::from_secs(*seconds); 2],
            // Half of 4 s, half of 8 s.
            None => vec![Duration::from_secs(2), Duration::from_secs(4)],
        };
        assert_eq!(clock.waits(), expected, "{name}");
        // Nothing is sent twice by the next run.
        let again = ship_here(&place, &toml, &Quick::new(), Retried::Pending);
        assert_eq!((again[0].delivered, again[0].batches), (0, 0), "{name}");
    }
}

#[test]
fn alerts_of_a_session_arrive_in_their_order_and_what_is_hidden_or_over_does_not() {
    let place = Place::new();
    let mut all = alerts(90);
    all[3].suppressed_by = Some("quiet".to_owned());
    all[4].resolved = Some("not found again".to_owned());
    all[5].superseded_by = Some(all[6].alert_id.clone());
    fill(&place, &all, 20);
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&order);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").extend(ids(&request.body));
        Reply::ok()
    });
    let sink = |more: &str| {
        format!("[[sinks]]\nname = \"a{}\"\ntype = \"webhook\"\nurl = \"{}\"\nencoding = \"jsonl\"\nbody = \"lines\"\nbatch = {{ count = 7 }}\n{more}", more.len(), receiver.url())
    };
    let reports = ship_here(&place, &sink(""), &Quick::new(), Retried::Pending);
    assert_eq!((reports[0].delivered, reports[0].batches), (87, 13));
    let expected: Vec<String> =
        all.iter().enumerate().filter(|(n, _)| !(3..6).contains(n)).map(|(_, alert)| alert.alert_id.clone()).collect();
    assert_eq!(*order.lock().expect("not poisoned"), expected);

    order.lock().expect("not poisoned").clear();
    let reports = ship_here(&place, &sink("min_level = \"high\"\n"), &Quick::new(), Retried::Pending);
    let high = all.iter().filter(|alert| alert.finding.level == Level::High && alert.is_current()).count();
    assert_eq!(reports[0].delivered, high as u64);
    let reports = ship_here(&place, &sink("rules = \"tool_*\"\ntags = [\"attack.*\"]\n"), &Quick::new(), Retried::Pending);
    assert_eq!((reports[0].delivered, reports[0].pending), (0, 0));
}

#[test]
fn a_resolved_alert_is_taken_back_where_it_was_told() {
    let place = Place::new();
    let all = alerts(2);
    fill(&place, &all, 10);
    let actions: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&actions);
    let receiver = Receiver::http(move |request| {
        let event: Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!(event["routing_key"], "s3cr3t-t0k3n");
        into.lock().expect("not poisoned").push(event["event_action"].as_str().expect("an action").to_owned());
        Reply::Answer(202, "", "{\"status\":\"success\"}".to_owned())
    });
    let toml = format!("[[sinks]]\nname = \"pager\"\ntype = \"pagerduty\"\nurl = \"{}\"\ntoken = {{ env = \"TOKEN\" }}\n", receiver.url());
    assert_eq!(ship_here(&place, &toml, &Quick::new(), Retried::Pending)[0].delivered, 2);
    // The alert's row is replaced, as detection does when its finding no longer comes out.
    let mut over = all[0].clone();
    over.resolved = Some("not found again".to_owned());
    let lake = open_or_create(&place);
    block_on(async {
        let lock = lake.lock(&Patience::silent("test", Duration::from_secs(60))).await.expect("a turn");
        let mut transaction = Transaction::default();
        for file in lake.files("alerts").await.expect("files") {
            transaction.remove("alerts", &file, 1);
        }
        let batch = alerts_to_batch(&[over, all[1].clone()]).expect("rows");
        let file = data_file::write(&lake.table_path("alerts"), "part-after", None, &[batch], 1).expect("a file");
        transaction.add("alerts", file.add);
        transaction.commit(&lake).await.expect("a commit");
        lock.release().expect("released");
    });
    for told in [1, 0] {
        assert_eq!(ship_here(&place, &toml, &Quick::new(), Retried::Pending)[0].delivered, told);
    }
    assert_eq!(*actions.lock().expect("not poisoned"), ["trigger", "trigger", "resolve"]);
}

#[test]
fn bulk_items_are_judged_one_by_one_and_poison_is_set_aside() {
    let place = Place::new();
    let all = alerts(60);
    let sent = fill(&place, &all, 60);
    let poison = all[17].alert_id.clone();
    let busy = all[23].alert_id.clone();
    let documents: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    let (store, bad, mut busy_for, healed) = (Arc::clone(&documents), poison.clone(), 2, Arc::new(Mutex::new(false)));
    let is_healed = Arc::clone(&healed);
    let receiver = Receiver::http(move |request| {
        assert_eq!(request.path, "/logs-calltrail-default/_bulk");
        assert_eq!(request.header("authorization"), "ApiKey s3cr3t-t0k3n");
        assert!(request.body.ends_with('\n'), "a bulk request ends with a line end");
        let lines: Vec<&str> = request.body.lines().collect();
        if lines.len() > 80 {
            return Reply::Answer(413, "", "too large".to_owned());
        }
        let items: Vec<Value> = lines
            .chunks(2)
            .map(|pair| {
                let action: Value = serde_json::from_str(pair[0]).expect("an action");
                let id = action["create"]["_id"].as_str().expect("an id").to_owned();
                let mut store = store.lock().expect("not poisoned");
                if id == bad && !*is_healed.lock().expect("not poisoned") {
                    json!({"create": {"status": 400, "error": {"type": "document_parsing_exception", "reason": "s3cr3t-t0k3n is no date"}}})
                } else if id == busy && busy_for > 0 {
                    busy_for -= 1;
                    json!({"create": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue"}}})
                } else if store.contains_key(&id) {
                    json!({"create": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}})
                } else {
                    store.insert(id, pair[1].to_owned());
                    json!({"create": {"status": 201}})
                }
            })
            .collect();
        Reply::Answer(200, "", json!({"errors": true, "items": items}).to_string())
    });
    let toml = format!(
        "[[sinks]]\nname = \"es\"\ntype = \"elasticsearch\"\nurl = \"{}\"\nindex = \"logs-calltrail-default\"\n\
         token = {{ env = \"TOKEN\" }}\nretry = {{ tries = 3 }}\n",
        receiver.url()
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.refused, report.pending), (59, 1, 0), "{report:?}");
    assert_eq!(report.refusals, ["status 400 document_parsing_exception: [secret] is no date"]);
    assert_eq!(documents.lock().expect("not poisoned").len(), 59);
    // It stays aside, with what was said of it, until somebody asks for it.
    let rows = place.rows("SELECT state, attempts, answer FROM deliveries WHERE state <> 'delivered' ORDER BY step");
    let last = rows.last().expect("a row");
    assert_eq!((&last["state"], &last["attempts"]), (&json!("refused"), &json!(3)));
    let of_alert = place.one(&format!("SELECT delivery FROM alerts WHERE alert_id = '{poison}'"));
    assert_eq!(of_alert, json!("{\"es\":\"refused\"}"));
    let again = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((again.batches, again.set_aside), (0, 1));
    *healed.lock().expect("not poisoned") = true;
    let healed = ship_here(&place, &toml, &Quick::new(), Retried::Refused).remove(0);
    assert_eq!((healed.delivered, healed.refused), (1, 0));
    assert_eq!(documents.lock().expect("not poisoned").keys().cloned().collect::<BTreeSet<_>>(), sent);
}

#[test]
fn a_batch_that_is_too_large_or_holds_poison_is_split_until_the_rest_is_through() {
    let place = Place::new();
    let all = alerts(64);
    fill(&place, &all, 64);
    let (bad, crasher) = (all[40].alert_id.clone(), all[9].alert_id.clone());
    let taken = Taken::default();
    let into = Arc::clone(&taken);
    let receiver = Receiver::http(move |request| {
        let ids = ids(&request.body);
        if ids.len() > 20 {
            return Reply::Answer(413, "", "too large".to_owned());
        }
        if ids.contains(&bad) {
            return Reply::Answer(422, "", "what is that".to_owned());
        }
        if ids.contains(&crasher) {
            return Reply::Answer(500, "", "crash".to_owned());
        }
        take(&into, &request.body);
        Reply::ok()
    });
    let toml = format!(
        "[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\nencoding = \"jsonl\"\nbody = \"lines\"\nretry = {{ tries = 2, give_up = \"10m\" }}\n",
        receiver.url()
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.refused, report.pending), (62, 2, 0), "{report:?}");
    assert_eq!(taken.lock().expect("not poisoned").len(), 62);
    assert!(report.refusals.iter().any(|answer| answer.contains("422")) && report.refusals.iter().any(|answer| answer.contains("500")));
}

#[test]
fn splunk_counts_when_it_acknowledges_and_a_wrong_token_stops_at_once() {
    let place = Place::new();
    let all = alerts(30);
    let sent = fill(&place, &all, 30);
    let received: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let into = Arc::clone(&received);
    let (mut number, mut polls) = (0, 0);
    let receiver = Receiver::http(move |request| {
        assert_eq!(request.header("authorization"), "Splunk s3cr3t-t0k3n");
        let channel = request.header("x-splunk-request-channel").to_owned();
        if request.path.starts_with("/services/collector/ack?channel=") {
            assert!(request.path.ends_with(&channel) && !channel.is_empty());
            polls += 1;
            let asked: Value = serde_json::from_str(&request.body).expect("JSON");
            let id = asked["acks"][0].as_i64().expect("a number");
            // The first request is lost on the way to the disk; the others take their time.
            let is_done = id != 0 && polls % 2 == 0;
            return Reply::Answer(200, "", json!({"acks": {id.to_string(): is_done}}).to_string());
        }
        assert_eq!(request.path, "/services/collector/event");
        let events = serde_json::Deserializer::from_str(&request.body).into_iter::<Value>();
        for event in events.map(|event| event.expect("an event")) {
            assert!(event["event"].is_object() && event["time"].is_number(), "{event}");
            into.lock().expect("not poisoned").push((event["fields"]["alert_id"].to_string(), event.to_string()));
        }
        number += 1;
        Reply::Answer(200, "", json!({"text": "Success", "code": 0, "ackId": number - 1}).to_string())
    });
    let toml = |url: &str| {
        format!("[[sinks]]\nname = \"splunk\"\ntype = \"splunk_hec\"\nurl = \"{url}\"\ntoken = {{ env = \"TOKEN\" }}\nacknowledge = true\nacknowledge_within = \"700ms\"\n")
    };
    let refusing = Receiver::http(|_| Reply::Answer(403, "", r#"{"text":"Invalid token s3cr3t-t0k3n","code":4}"#.to_owned()));
    let report = ship_here(&place, &toml(&refusing.url()), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.refused, report.pending, report.batches), (0, 0, 30, 1));
    let problem = report.problem.expect("a reason");
    assert!(problem.contains("403") && !problem.contains("s3cr3t"), "{problem}");

    let report = ship_here(&place, &toml(&receiver.url()), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending, report.retries), (30, 0, 1), "{report:?}");
    let received = received.lock().expect("not poisoned");
    assert_eq!(received.len(), 60, "the batch that was not acknowledged came again");
    assert_eq!(received.iter().collect::<BTreeSet<_>>().len(), sent.len(), "byte for byte");
}

#[test]
fn syslog_over_tls_ends_in_order_and_believes_nobody_else() {
    let place = Place::new();
    fill(&place, &alerts(400), 400);
    certificates(&place.path("good"), "localhost");
    certificates(&place.path("other"), "localhost");
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (into, good) = (Arc::clone(&received), place.path("good"));
    let receiver = Receiver::tcp(move |stream| {
        let mut stream = tls(&good, true, stream);
        let mut bytes = Vec::new();
        // Slow enough that the sender is done long before everything was read; an end without close_notify is an error.
        let mut part = [0; 4096];
        loop {
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&part[..read]),
                Err(_) => return,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        into.lock().expect("not poisoned").extend(bytes);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    let toml = |name: &str, ca: &str, more: &str| {
        format!(
            "[[sinks]]\nname = \"{name}\"\ntype = \"syslog\"\naddress = \"localhost:{}\"\nfacility = 10\nretry = {{ give_up = \"1s\" }}\nbatch = {{ count = 150 }}\n\
             tls = {{ ca = \"{ca}/ca.pem\"{more} }}\n",
            receiver.port
        )
    };
    let client = ", certificate = \"good/client.pem\", key = \"good/client.key\"";
    for (name, ca, more) in [("wrong-authority", "other", client), ("no-client", "good", "")] {
        let report = ship_here(&place, &toml(name, ca, more), &Quick::new(), Retried::Pending).remove(0);
        assert_eq!((report.delivered, report.pending), (0, 400), "{name}: {report:?}");
        assert!(report.problem.is_some(), "{name}");
    }
    assert!(received.lock().expect("not poisoned").is_empty(), "nothing goes to a receiver that is not believed");
    let report = ship_here(&place, &toml("right", "good", client), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending, report.retries), (400, 0, 0), "{report:?}");
    let frames = frames(&received.lock().expect("not poisoned"));
    assert_eq!(frames.len(), 400);
    for frame in &frames {
        // Facility 10; the severities are those of high and low.
        assert!(frame.starts_with("<82>1 ") || frame.starts_with("<81>1 ") || frame.starts_with("<8"), "{frame}");
        assert!(frame.contains("CEF:0|") && !frame.contains('\n') && frame.len() <= 8096, "{frame}");
    }
}

#[test]
fn a_reset_in_the_middle_of_a_syslog_batch_sends_it_again() {
    let place = Place::new();
    fill(&place, &alerts(2000), 2000);
    let received: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (into, first) = (Arc::clone(&received), Mutex::new(true));
    let receiver = Receiver::tcp(move |mut stream| {
        if std::mem::take(&mut *first.lock().expect("not poisoned")) {
            // What is not read makes the system reset the line.
            let _ = stream.read(&mut [0; 1000]);
            return;
        }
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        into.lock().expect("not poisoned").push(bytes);
    });
    let toml = format!(
        "[[sinks]]\nname = \"s\"\ntype = \"syslog\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:{}\"\nencoding = \"ocsf\"\n",
        receiver.port
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.retries), (2000, 1), "{report:?}");
    let count: usize = received.lock().expect("not poisoned").iter().map(|bytes| frames(bytes).len()).sum();
    assert_eq!(count, 2000);
}

#[test]
fn sentinel_gets_a_token_and_a_new_one_when_it_is_taken_back() {
    let place = Place::new();
    fill(&place, &alerts(10), 10);
    let (mut tokens, mut records) = (0, 0);
    let counts: Arc<Mutex<(u32, usize)>> = Arc::default();
    let into = Arc::clone(&counts);
    let receiver = Receiver::http(move |request| {
        let reply = if request.path == "/tenant/oauth2/v2.0/token" {
            assert!(request.body.contains("client_secret=s3cr3t-t0k3n") && request.body.contains("grant_type=client_credentials"));
            tokens += 1;
            Reply::Answer(200, "", json!({"access_token": format!("token-{tokens}"), "expires_in": 3600}).to_string())
        } else {
            assert_eq!(request.path, "/dataCollectionRules/dcr-1/streams/Custom-Alerts?api-version=2023-01-01");
            if request.header("authorization") == "Bearer token-1" {
                Reply::Answer(401, "", "expired".to_owned())
            } else {
                records += serde_json::from_str::<Vec<Value>>(&request.body).expect("an array").len();
                Reply::Answer(204, "", String::new())
            }
        };
        *into.lock().expect("not poisoned") = (tokens, records);
        reply
    });
    let url = receiver.url();
    let toml = format!(
        "[[sinks]]\ntype = \"sentinel\"\nurl = \"{url}\"\nauthority = \"{url}\"\ndcr = \"dcr-1\"\nstream = \"Custom-Alerts\"\ntenant = \"tenant\"\n\
         client_id = \"id\"\nclient_secret = {{ env = \"TOKEN\" }}\n"
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (10, 0), "{report:?}");
    assert_eq!(*counts.lock().expect("not poisoned"), (2, 10));
}

#[test]
fn otlp_does_not_send_again_what_a_partial_success_refused() {
    let place = Place::new();
    fill(&place, &alerts(12), 12);
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let into = Arc::clone(&requests);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").push(request.clone());
        Reply::Answer(200, "", r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#.to_owned())
    });
    let toml = format!("[[sinks]]\ntype = \"otlp\"\nurl = \"{}\"\n", receiver.url());
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.batches), (12, 1), "{report:?}");
    assert_eq!(report.notes, ["2 of 12 records refused: too old"]);
    let requests = requests.lock().expect("not poisoned");
    assert_eq!(requests[0].path, "/v1/logs");
    let body: Value = serde_json::from_str(&requests[0].body).expect("JSON");
    assert!(body["resourceLogs"].is_array(), "{body}");
}

#[test]
fn a_storm_becomes_a_digest_and_a_rate_is_kept() {
    let place = Place::new();
    fill(&place, &alerts(150), 150);
    let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&bodies);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").push(request.body.clone());
        Reply::Answer(200, "", "ok".to_owned())
    });
    let toml = format!("[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\nencoding = \"jsonl\"\nurl = \"{}\"\ndigest_above = 20\n", receiver.url());
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (150, 0));
    {
        let bodies = bodies.lock().expect("not poisoned");
        assert_eq!(bodies.len(), 1);
        let digest: Value = serde_json::from_str(&bodies[0]).expect("JSON");
        assert_eq!(digest["rule"]["title"].as_str().or(digest["rule_title"].as_str()), Some("150 alerts: 38 high, 112 low"), "{digest}");
    }
    let toml = format!("[[sinks]]\nname = \"slow\"\ntype = \"webhook\"\nencoding = \"jsonl\"\nurl = \"{}\"\nrate_limit = \"60/m\"\n", receiver.url());
    let clock = Quick::new();
    let report = ship_here(&place, &toml, &clock, Retried::Pending).remove(0);
    assert_eq!(report.delivered, 150);
    let waited: Duration = clock.waits().iter().sum();
    assert!((85..=95).contains(&waited.as_secs()), "60 at once and 90 at one a second: {waited:?}");
}

#[test]
fn a_signed_request_can_be_checked() {
    let place = Place::new();
    fill(&place, &alerts(1), 1);
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let into = Arc::clone(&requests);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").push(request.clone());
        Reply::ok()
    });
    let toml = format!("[[sinks]]\ntype = \"webhook\"\nurl = \"{}\"\nsign_with = {{ env = \"TOKEN\" }}\n", receiver.url());
    ship_here(&place, &toml, &Quick::new(), Retried::Pending);
    let requests = requests.lock().expect("not poisoned");
    let request = &requests[0];
    // What `openssl dgst -sha256 -hmac` says of "ID.TIME.BODY" is held against it by a receiver; here ring does.
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cr3t-t0k3n");
    let signed = format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.body);
    let packed = request.header("webhook-signature").strip_prefix("v1,").expect("a version").to_owned();
    let signature = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, packed).expect("base64");
    ring::hmac::verify(&key, signed.as_bytes(), &signature).expect("the signature fits");
    assert_eq!(request.header("webhook-id"), alert(0).alert_id);
}

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
        let args = ["--config", config.as_str()].iter().chain(args);
        let said = Said::new(code, &place.command(args).env("CHAT_URL", &url).output().expect("the binary starts"));
        assert!(!said.stdout.contains("s3cr3t") && !said.stderr.contains("s3cr3t"), "{} {}", said.stdout, said.stderr);
        said
    };
    let preview = run(0, &["ship", "--dry-run"]);
    assert!(preview.stdout.contains(&alert(7).alert_id) && preview.stderr.contains("POST http://127.0.0.1:"), "{}", preview.stderr);
    run(0, &["sinks", "list", "--format", "json"]);
    let said = run(1, &["ship", "--format", "json"]);
    for report in said.lines() {
        let expected = if report["sink"] == "file" { (25, 0) } else { (0, 25) };
        assert_eq!((report["delivered"].as_u64(), report["pending"].as_u64()), (Some(expected.0), Some(expected.1)), "{report}");
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
    assert!(checked.stdout.contains("file") && checked.stdout.contains("delivered") && checked.stdout.contains("failed"), "{}", checked.stdout);
}

fn fill_more(place: &Place, alert: Alert) {
    let lake = open_or_create(place);
    block_on(async {
        let lock = lake.lock(&Patience::silent("test", Duration::from_secs(60))).await.expect("a turn");
        let batch = alerts_to_batch(&[alert]).expect("rows");
        let file = data_file::write(&lake.table_path("alerts"), "part-more", None, &[batch], 1).expect("a file");
        let mut transaction = Transaction::default();
        transaction.add("alerts", file.add);
        transaction.commit(&lake).await.expect("a commit");
        lock.release().expect("released");
    });
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
    let setting = |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, count) = (setting("CALLTRAIL_CRASH_ROUNDS", 4), setting("CALLTRAIL_CRASH_ALERTS", 1500));
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
        let documents: std::sync::MutexGuard<'_, HashMap<String, HashMap<String, String>>> = documents.lock().expect("not poisoned");
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
        .command(["--config", config.as_str(), "run", "--every", "1s", "--listen", "127.0.0.1:0", "--rule", "path_traversal"])
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
    let head = bodies.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        event["evidence"]["chain_head"].as_str().map(str::to_owned)
    });
    let head = head.last().unwrap_or_else(|| panic!("no head in {bodies}"));
    place.run(0, ["lake", "verify", "--witness", &head]);
}

/// rsyslog is there where `tests/install.sh` could install it.
#[test]
#[cfg(unix)]
fn a_real_rsyslog_gets_every_alert_as_it_was_sent() {
    if !Path::new("/usr/sbin/rsyslogd").exists() {
        return eprintln!("skipped: rsyslog is not installed");
    }
    let place = Place::new();
    fill(&place, &alerts(300), 300);
    certificates(&place.path("tls"), "localhost");
    let has_tls = ["x86_64", "aarch64"].iter().any(|machine| Path::new(&format!("/usr/lib/{machine}-linux-gnu/rsyslog/lmnsd_ossl.so")).exists());
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
                "{driver}template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\nruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{}\" template=\"raw\") }}\n\
                 input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\" ruleset=\"all\")\n",
                out.display()
            ),
        );
        let mut rsyslog = std::process::Command::new("/usr/sbin/rsyslogd")
            .args(["-n", "-f"])
            .arg(&config)
            .arg("-i")
            .arg(place.path(&format!("{transport}.pid")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let toml = format!(
            "[[sinks]]\nname = \"{transport}\"\ntype = \"syslog\"\ntransport = \"{transport}\"\naddress = \"localhost:{port}\"\nencoding = \"ocsf\"\ntls = {{ ca = \"tls/ca.pem\" }}\n"
        );
        let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
        let lines = || std::fs::read_to_string(&out).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_secs(10);
        while lines().lines().count() < 300 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = rsyslog.kill();
        let _ = rsyslog.wait();
        assert_eq!((report.delivered, report.pending), (300, 0), "{transport}: {report:?}");
        let text = lines();
        assert_eq!(text.lines().count(), 300, "{transport}");
        let found: BTreeSet<&str> = text.lines().filter_map(|line| line.split("alert_id=\"").nth(1)?.get(..32)).collect();
        if !found.is_empty() {
            assert_eq!(found.len(), 300, "{transport}");
        }
        for line in text.lines() {
            let json = line.find('{').map(|at| &line[at..]).unwrap_or_default();
            assert!(serde_json::from_str::<Value>(json).is_ok(), "{transport}: {line}");
        }
    }
}
