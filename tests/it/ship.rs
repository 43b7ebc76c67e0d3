//! Every alert arrives at least once, whatever receivers and networks do; repeats carry the same id and say the same.

use crate::common::{Place, block_on};
use crate::receiver::{Receiver, Reply};
use crate::shipping::{Quick, Taken, alerts, assert_all_arrived, fill, ids, open_or_create, ship_here, take};
use calltrail::alert::{Level, alerts_to_batch};
use calltrail::lake::{Patience, Transaction, data_file};
use calltrail::sink::deliver::Retried;
use serde_json::{Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
        // No wait at all is none that could be kept.
        ("429 at once", after("retry-after: 0\r\n"), None),
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
        format!(
            "[[sinks]]\nname = \"a{}\"\ntype = \"webhook\"\nurl = \"{}\"\nencoding = \"jsonl\"\nbody = \"lines\"\nbatch = {{ count = 7 }}\n{more}",
            more.len(),
            receiver.url()
        )
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
    let reports =
        ship_here(&place, &sink("rules = \"tool_*\"\ntags = [\"attack.*\"]\n"), &Quick::new(), Retried::Pending);
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
    let toml = format!(
        "[[sinks]]\nname = \"pager\"\ntype = \"pagerduty\"\nurl = \"{}\"\ntoken = {{ env = \"TOKEN\" }}\n",
        receiver.url()
    );
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
                } else if let Entry::Vacant(free) = store.entry(id) {
                    free.insert(pair[1].to_owned());
                    json!({"create": {"status": 201}})
                } else {
                    json!({"create": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}})
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
    assert_eq!(
        (&last["state"], &last["attempts"]),
        (&json!("refused"), &json!(4)),
        "once in a batch that was too large"
    );
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
    assert!(
        report.refusals.iter().any(|answer| answer.contains("422"))
            && report.refusals.iter().any(|answer| answer.contains("500"))
    );
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
    let toml = format!(
        "[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\nencoding = \"jsonl\"\nurl = \"{}\"\ndigest_above = 20\n",
        receiver.url()
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (150, 0));
    {
        let bodies = bodies.lock().expect("not poisoned");
        assert_eq!(bodies.len(), 1);
        let digest: Value = serde_json::from_str(&bodies[0]).expect("JSON");
        assert_eq!(
            digest["rule"]["title"].as_str().or(digest["rule_title"].as_str()),
            Some("150 alerts: 38 high, 112 low"),
            "{digest}"
        );
    }
    let toml = format!(
        "[[sinks]]\nname = \"slow\"\ntype = \"webhook\"\nencoding = \"jsonl\"\nurl = \"{}\"\nrate_limit = \"60/m\"\n",
        receiver.url()
    );
    let clock = Quick::new();
    let report = ship_here(&place, &toml, &clock, Retried::Pending).remove(0);
    assert_eq!(report.delivered, 150);
    let waited: Duration = clock.waits().iter().sum();
    assert!((85..=95).contains(&waited.as_secs()), "60 at once and 90 at one a second: {waited:?}");
}

#[test]
fn a_receiver_that_refuses_everything_gets_each_alert_as_often_as_it_may_and_no_more() {
    let place = Place::new();
    // More than may be set aside at once.
    let sent = fill(&place, &alerts(4500), 4500);
    let seen: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let into = Arc::clone(&seen);
    let receiver = Receiver::http(move |request| {
        let action =
            |line: &str| serde_json::from_str::<Value>(line).ok()?["create"]["_id"].as_str().map(str::to_owned);
        let ids: Vec<String> = request.body.lines().filter_map(action).collect();
        ids.iter().for_each(|id| *into.lock().expect("not poisoned").entry(id.clone()).or_default() += 1);
        let items: Vec<Value> =
            ids.iter().map(|_| json!({"create": {"status": 400, "error": {"type": "no"}}})).collect();
        Reply::Answer(200, "", json!({"errors": true, "items": items}).to_string())
    });
    let toml = format!("[[sinks]]\ntype = \"elasticsearch\"\nurl = \"{}\"\nretry = {{ tries = 2 }}\n", receiver.url());
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.refused, report.pending), (0, 4500, 0), "{report:?}");
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), sent);
    assert!(seen.values().all(|times| *times == 2));
}
