//! Alerts in parts are the same alerts.

use super::*;
use crate::alert::{Wildcard, alerts_to_batch};
use crate::lake::{Location, Patience, Transaction};
use crate::sink::Encoding;
use crate::sink::deliver::ledger::Row;
use crate::sink::deliver::{BatchLimits, Filter, Retry};
use crate::sink::destination::Target;
use crate::sink::encode::Options;
use std::time::Duration;

fn sink() -> Sink {
    let second = Duration::from_secs(1);
    Sink {
        name: "out".to_owned(),
        kind: "stdout",
        enabled: true,
        target: Target::Stdout,
        encoding: Encoding::Jsonl,
        options: Options::default(),
        filter: Filter::default(),
        batch: BatchLimits { count: 10, bytes: 1 << 20, age: second },
        retry: Retry { tries: 1, first: second, cap: second, give_up: second },
        timeout: second,
        rate: None,
        digest_above: None,
        send_resolved: true,
        own_events: false,
    }
}

/// Alerts of which several have one time, the later ones in the first file.
async fn lake(folder: &std::path::Path, alerts: &[Alert]) -> Arc<Lake> {
    let patience = Patience::silent("test", Duration::from_secs(60));
    let lake = Lake::open_or_create(&Location::from(folder.to_string_lossy().as_ref()), &patience).await.unwrap();
    let lock = lake.lock(&patience).await.unwrap();
    let mut transaction = Transaction::default();
    for (number, alerts) in alerts.rchunks(40).enumerate() {
        let batch = alerts_to_batch(alerts).unwrap();
        let name = format!("part-{number}");
        transaction.add("alerts", data_file::write(&lake.table_path(TABLE), &name, None, &[batch], 1).unwrap().add);
    }
    transaction.commit(&lake).await.unwrap();
    lock.release().unwrap();
    Arc::new(lake)
}

fn alerts() -> Vec<Alert> {
    let numbered = |n: i64| {
        let mut alert = crate::alert::tests::sample();
        alert.alert_id = format!("{:032x}", (n * 7919) % 1000);
        alert.finding.last_seen = 1_795_000_000_000_000 + n / 4;
        alert.resolved = (n % 10 == 0).then(|| "not found again".to_owned());
        alert.suppressed_by = (n % 10 == 1).then(|| "quiet".to_owned());
        alert
    };
    (0..100).map(numbered).collect()
}

async fn all_parts(outbox: &Outbox) -> Vec<String> {
    let survey = outbox.survey().await.unwrap();
    let mut ids = Vec::new();
    let mut due = 0;
    for (at, number) in survey.parts.iter().enumerate() {
        let part = outbox.part(*number).await.unwrap();
        assert!(at > 0 || part.due == survey.first, "the first part is kept");
        assert!(part.due.is_sorted_by_key(|due| due.time));
        due += part.due.len() as u64;
        ids.extend(outbox.load(&part.due).unwrap().0.into_iter().map(|alert| alert.alert_id));
    }
    assert_eq!(due, survey.due);
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_together_hold_each_alert_once_and_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let alerts = alerts();
    let lake = lake(&folder.path().join("lake"), &alerts).await;
    // Delivered, set aside, and tried once.
    let row = |n: usize, state, attempts, step| Row {
        sink: if n == 30 { "other" } else { "out" }.to_owned(),
        alert_id: alerts[n].alert_id.clone(),
        event: Event::Raised,
        state,
        attempts,
        time: 1,
        next_attempt: (state == State::Pending).then_some(77),
        answer: None,
        step,
    };
    let rows = [
        row(2, State::Delivered, 1, 1),
        row(3, State::Pending, 1, 2),
        row(3, State::Refused, 5, 3),
        row(4, State::Pending, 3, 4),
        // Told, and no longer true.
        row(20, State::Delivered, 1, 5),
        row(30, State::Delivered, 1, 6),
    ];
    let patience = Patience::silent("test", Duration::from_secs(60));
    ledger::add(&lake, &patience, &rows, chrono::DateTime::UNIX_EPOCH).await.unwrap();

    let mut expected: Vec<&Alert> = alerts.iter().collect();
    expected.sort_by_key(|alert| (alert.time(), alert.alert_id.clone()));
    let is_due = |alert: &&&Alert| match alerts.iter().position(|known| known == **alert).unwrap() {
        2 | 3 => false,
        20 => true,
        n => n % 10 > 1,
    };
    let expected: Vec<String> = expected.iter().filter(is_due).map(|alert| alert.alert_id.clone()).collect();
    for part in [3, 7, 25, 99, 100, 1000] {
        let outbox = Outbox::in_parts(&lake, &sink(), Retried::Pending, part).await.unwrap();
        assert_eq!(outbox.parts() > 1, part < 100, "{part}");
        assert_eq!(all_parts(&outbox).await, expected, "{part}");
        let survey = outbox.survey().await.unwrap();
        assert_eq!((survey.refused, survey.not_before, survey.next_step), (1, Some(77), 7), "{part}");
        for number in 0..outbox.parts() {
            let due = outbox.part(number).await.unwrap().due;
            assert!(due.len() <= part, "{part}");
            for due in due {
                let alert = &outbox.load(&[due]).unwrap().0[0];
                assert_eq!(due.attempts, if alert.alert_id == alerts[4].alert_id { 3 } else { 0 });
                assert_eq!(due.event == Event::Resolved, alert.resolved.is_some());
            }
        }
        let outbox = Outbox::in_parts(&lake, &sink(), Retried::Refused, part).await.unwrap();
        assert_eq!(outbox.survey().await.unwrap().due as usize, expected.len() + 1, "{part}");
        let mut picky = sink();
        picky.filter.tags = vec![Wildcard::new("atlas.*")];
        let outbox = Outbox::in_parts(&lake, &picky, Retried::Pending, part).await.unwrap();
        assert_eq!(all_parts(&outbox).await, expected, "{part}");
        picky.filter.tags = vec![Wildcard::new("nist.*")];
        let outbox = Outbox::in_parts(&lake, &picky, Retried::Pending, part).await.unwrap();
        assert_eq!(outbox.survey().await.unwrap().due, 0, "{part}");
    }
}
