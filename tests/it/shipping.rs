//! What the tests of shipping share: lakes with alerts, time that passes at once, what a receiver took.

use crate::common::{Place, block_on};
use calltrail::alert::{Alert, CallEvidence, Entity, Finding, Kind, Level, Observable, alerts_to_batch};
use calltrail::config::Config;
use calltrail::lake::{Lake, Location, Patience, Transaction, data_file};
use calltrail::sink::deliver::{Clock, Opened, Report, Retried, Shipment, preview, ship};
use calltrail::sink::destination::Surroundings;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Microseconds: the time of the first alert.
const START: i64 = 1_795_342_489_123_456;

/// An alert like those of rules, the `n`th of ten sessions.
pub(crate) fn alert(n: usize) -> Alert {
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
pub(crate) fn fill(place: &Place, alerts: &[Alert], in_one_file: usize) -> BTreeSet<String> {
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

pub(crate) fn open_or_create(place: &Place) -> Lake {
    let location = Location::from(place.lake().to_string_lossy().as_ref());
    let patience = Patience::silent("test", Duration::from_secs(60));
    block_on(Lake::open_or_create(&location, &patience)).expect("a lake")
}

pub(crate) fn alerts(count: usize) -> Vec<Alert> {
    (0..count).map(alert).collect()
}

/// Time that passes when somebody waits, and at once.
pub(crate) struct Quick {
    passed: Mutex<Duration>,
    waits: Mutex<Vec<Duration>>,
}

impl Quick {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { passed: Mutex::default(), waits: Mutex::default() })
    }

    pub(crate) fn waits(&self) -> Vec<Duration> {
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

/// Opens the sinks of a configuration.
fn opened(place: &Place, toml: &str) -> Vec<Opened> {
    let config = Config::parse(toml, &place.path("calltrail.toml")).expect("a configuration");
    let environment = |name: &str| (name == "TOKEN").then(|| "s3cr3t-t0k3n".to_owned());
    let around = Surroundings {
        environment: &environment,
        stdout: Arc::new(|| Box::new(std::io::sink())),
        host: Some("host.example".to_owned()),
        clock: || 1_795_342_489,
    };
    // Clients of HTTP want a runtime from the start.
    block_on(async {
        config.sinks.into_iter().map(|setting| Opened::open(setting.sink, &around).expect("a sink")).collect()
    })
}

/// Ships to the sinks of a configuration.
pub(crate) fn ship_here(place: &Place, toml: &str, clock: &Arc<Quick>, retried: Retried) -> Vec<Report> {
    let (sinks, lake) = (opened(place, toml), Arc::new(open_or_create(place)));
    block_on(async {
        let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        let (_keep, stop) = tokio::sync::watch::channel(false);
        let shipment = Shipment {
            retried,
            suppressions: Vec::new(),
            events: Vec::new(),
            clock,
            stop,
            notice: Arc::new(|_| {}),
            lock_timeout: Duration::from_secs(60),
        };
        ship(lake, sinks, shipment).await.expect("shipped")
    })
}

/// The bytes that shipping to the one sink of a configuration would put on the wire.
pub(crate) fn preview_here(place: &Place, toml: &str) -> Vec<u8> {
    let (sinks, lake) = (opened(place, toml), Arc::new(open_or_create(place)));
    let now = DateTime::from_timestamp_micros(START).expect("a time");
    let shown = block_on(preview(&lake, &sinks[0], Retried::Pending, &[], now, 10_000)).expect("read");
    shown.1.into_iter().flat_map(|preview| preview.bytes).collect()
}

/// Ids of alerts in the lines of a body, as our own JSON has them.
pub(crate) fn ids(body: &str) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<Value>(line).ok()?["alert_id"].as_str().map(str::to_owned);
    body.lines().filter_map(id).collect()
}

/// What a receiver took: each id with the texts that came under it.
pub(crate) type Taken = Arc<Mutex<HashMap<String, Vec<String>>>>;

pub(crate) fn take(taken: &Taken, body: &str) {
    for line in body.lines() {
        for id in ids(line) {
            taken.lock().expect("not poisoned").entry(id).or_default().push(line.to_owned());
        }
    }
}

#[track_caller]
pub(crate) fn assert_all_arrived(what: &str, sent: &BTreeSet<String>, taken: &Taken) {
    let taken = taken.lock().expect("not poisoned");
    let ids: BTreeSet<String> = taken.keys().cloned().collect();
    assert!(ids == *sent, "{what}: {} of {} arrived", ids.intersection(sent).count(), sent.len());
    for (id, texts) in &*taken {
        assert!(texts.iter().all(|text| text == &texts[0]), "{what}: repeats of {id} differ");
    }
}

/// One alert more, in a file of its own.
pub(crate) fn fill_more(place: &Place, alert: Alert) {
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
