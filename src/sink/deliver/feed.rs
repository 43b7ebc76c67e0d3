//! Alerts of the lake made ready for a sink, a window ahead of it: read, held against suppressions, encoded. Memory holds a few windows,
//! however many wait.

use super::outbox::{Due, Outbox};
use super::{BatchLimits, Event, Shipment, Sink};
use crate::alert::{Alert, Suppression, suppress};
use crate::lake::LakeError;
use crate::sink;
use crate::sink::destination::{Message, Target};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Alerts that are read at once, at first; then as many as have about [`WINDOW_BYTES`].
pub(super) const FIRST_WINDOW: usize = 128;
const MAX_WINDOW: usize = 1024;
const WINDOW_BYTES: usize = 4 << 20;

/// Alerts that one digest is made of, and their bytes.
const DIGEST_ALERTS: usize = 10_000;
const DIGEST_BYTES: usize = 32 << 20;

/// One alert on its way.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) event: Event,
    /// Times that it was sent.
    pub(super) attempts: i64,
    pub(super) message: Message,
    /// What a digest says of it.
    pub(super) title: String,
    /// Times that it was refused in this run.
    pub(super) refusals: u32,
    /// An event of the tool's own: nobody keeps count of it.
    pub(super) is_own: bool,
    /// Why it cannot be sent at all.
    pub(super) broken: Option<String>,
}

/// A window of them.
#[derive(Debug, Default)]
pub(super) struct Fed {
    pub(super) items: Vec<Item>,
    pub(super) suppressed: u64,
}

/// What comes from the lake.
pub(super) struct Feed {
    windows: mpsc::Receiver<Result<Fed, LakeError>>,
}

impl Feed {
    /// Begins to read on a thread of its own.
    pub(super) fn start(
        outbox: Arc<Outbox>,
        lane: usize,
        sink: &Sink,
        due: Vec<Due>,
        shipment: &Arc<Shipment>,
    ) -> Self {
        let (sender, windows) = mpsc::channel(1);
        let (sink, shipment) = (sink.clone(), Arc::clone(shipment));
        tokio::task::spawn_blocking(move || {
            let mut rest = &due[..];
            let mut size = FIRST_WINDOW;
            while !rest.is_empty() && !*shipment.stop.borrow() {
                let (window, after) = rest.split_at(size.min(rest.len()));
                let now = shipment.clock.now();
                let fed = items(&outbox, lane, &sink, window, &shipment.suppressions, now);
                if let Ok(fed) = &fed {
                    let bytes: usize = fed.items.iter().map(|item| item.message.bytes()).sum();
                    let each = (bytes / window.len()).max(1);
                    size = (WINDOW_BYTES / each).clamp(16, MAX_WINDOW).min(size * 4);
                }
                let failed = fed.is_err();
                if sender.blocking_send(fed).is_err() || failed {
                    return;
                }
                rest = after;
            }
        });
        Self { windows }
    }

    /// The next window; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Fed, LakeError>> {
        self.windows.recv().await
    }
}

/// Reads and encodes a window.
pub(super) fn items(
    outbox: &Outbox,
    lane: usize,
    sink: &Sink,
    window: &[Due],
    suppressions: &[Suppression],
    now: DateTime<Utc>,
) -> Result<Fed, LakeError> {
    let mut alerts = outbox.load(window)?;
    suppress(suppressions, alerts.iter_mut().filter(|alert| alert.is_current()), now);
    let mut fed = Fed::default();
    for (alert, due) in alerts.iter().zip(window) {
        if alert.suppressed_by.is_some() {
            fed.suppressed += 1;
            continue;
        }
        fed.items.push(item(sink, alert, due.event, outbox.attempts(lane, *due)));
    }
    Ok(fed)
}

/// An alert made ready.
pub(super) fn item(sink: &Sink, alert: &Alert, event: Event, attempts: i64) -> Item {
    let title = alert.finding.rule_title.clone();
    match encoded(sink, alert) {
        Ok(message) => Item { event, attempts, message, title, refusals: 0, is_own: false, broken: None },
        Err(cause) => {
            let message = Message { parts: Vec::new(), ..bare(alert) };
            Item { event, attempts, message, title, refusals: 0, is_own: false, broken: Some(cause) }
        }
    }
}

/// An alert as the sink's destination gets it.
pub(super) fn encoded(settings: &Sink, alert: &Alert) -> Result<Message, String> {
    let Sink { target, encoding, options, .. } = settings;
    let parts = match target {
        Target::Syslog(_) => sink::encode_for_syslog(alert, *encoding, options),
        _ => sink::encode(alert, *encoding, options),
    };
    let parts = parts.map_err(|cause| cause.to_string())?;
    Ok(Message { parts, ..bare(alert) })
}

fn bare(alert: &Alert) -> Message {
    let entity = &alert.finding.entity;
    let key = entity.fields().into_iter().find_map(|(_, value)| value).unwrap_or(&alert.alert_id);
    Message {
        id: alert.alert_id.clone(),
        key: key.to_owned(),
        rule: alert.finding.rule_id.clone(),
        level: alert.finding.level,
        time: alert.time(),
        parts: Vec::new(),
    }
}

/// Collects a batch.
pub(super) struct Batcher {
    limits: BatchLimits,
    items: Vec<Item>,
    bytes: usize,
    since: Option<DateTime<Utc>>,
}

impl Batcher {
    pub(super) fn new(sink: &Sink) -> Self {
        let mut limits = sink.batch;
        if let Some(rate) = sink.rate {
            limits.count = limits.count.min(rate.count as usize);
        }
        // A digest takes all that comes at once.
        if sink.digest_above.is_some() {
            limits = BatchLimits { count: DIGEST_ALERTS, bytes: DIGEST_BYTES, ..limits };
        }
        Self { limits, items: Vec::new(), bytes: 0, since: None }
    }

    /// Adds an item; gives the batch that it no longer fits into, or that it fills.
    pub(super) fn add(&mut self, item: Item, now: DateTime<Utc>) -> Option<Vec<Item>> {
        let bytes = item.message.bytes();
        let full = if self.bytes + bytes > self.limits.bytes { self.take() } else { None };
        self.bytes += bytes;
        self.since.get_or_insert(now);
        self.items.push(item);
        let is_full = self.items.len() >= self.limits.count || self.is_old(now);
        full.or_else(|| if is_full { self.take() } else { None })
    }

    /// Whether its first alert has waited long enough.
    fn is_old(&self, now: DateTime<Utc>) -> bool {
        let waited = self.since.map(|since| (now - since).to_std().unwrap_or_default());
        self.limits.age > Duration::ZERO && waited.is_some_and(|waited| waited >= self.limits.age)
    }

    /// What there is, if anything.
    pub(super) fn take(&mut self) -> Option<Vec<Item>> {
        (self.bytes, self.since) = (0, None);
        let items = std::mem::take(&mut self.items);
        if items.is_empty() { None } else { Some(items) }
    }
}
