//! Alerts of the lake made ready for a sink, a window ahead of it: read, held against suppressions, encoded. Memory holds a few windows,
//! however many wait.

use super::outbox::{Due, Outbox, Survey};
use super::{BatchLimits, Event, Shipment, Sink};
use crate::alert::{Alert, Suppression, suppress};
use crate::lake::LakeError;
use crate::sink;
use crate::sink::destination::{Message, Target};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
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
    /// What it took in memory, alerts and messages, the larger of both.
    bytes: usize,
}

/// What comes from the lake.
pub(super) struct Feed {
    windows: mpsc::Receiver<Result<Fed, LakeError>>,
}

impl Feed {
    /// Begins to read on a thread of its own.
    pub(super) fn start(outbox: Arc<Outbox>, survey: &mut Survey, shipment: &Arc<Shipment>) -> Self {
        let (sender, windows) = mpsc::channel(1);
        let shipment = Arc::clone(shipment);
        let (parts, first) = (survey.parts.clone(), std::mem::take(&mut survey.first));
        let (runtime, span) = (Handle::current(), tracing::Span::current());
        tokio::task::spawn_blocking(move || {
            let _span = span.entered();
            let mut first = Some(first);
            for part in parts {
                // The first was kept when all were looked at.
                let due = match first.take() {
                    Some(due) => Ok(due),
                    None => runtime.block_on(outbox.part(part)).map(|part| part.due),
                };
                let fed = match due {
                    Ok(due) => feed(&outbox, &due, &shipment, &sender),
                    Err(error) => {
                        // Nobody listens any more if the sink has ended.
                        let _ = sender.blocking_send(Err(error));
                        false
                    }
                };
                if !fed {
                    return;
                }
            }
        });
        Self { windows }
    }

    /// The next window; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Fed, LakeError>> {
        self.windows.recv().await
    }
}

/// Sends a part window by window. False: nothing more is wanted.
fn feed(outbox: &Outbox, due: &[Due], shipment: &Shipment, sender: &mpsc::Sender<Result<Fed, LakeError>>) -> bool {
    let mut rest = due;
    let mut size = FIRST_WINDOW;
    while !rest.is_empty() {
        if *shipment.stop.borrow() {
            return false;
        }
        let (window, after) = rest.split_at(size.min(rest.len()));
        let fed = items(outbox, window, &shipment.suppressions, shipment.clock.now());
        if let Ok(fed) = &fed {
            let each = (fed.bytes / window.len()).max(1);
            size = (WINDOW_BYTES / each).clamp(16, MAX_WINDOW).min(size * 4);
        }
        let failed = fed.is_err();
        if sender.blocking_send(fed).is_err() || failed {
            return false;
        }
        rest = after;
    }
    true
}

/// Reads and encodes a window.
pub(super) fn items(
    outbox: &Outbox,
    window: &[Due],
    suppressions: &[Suppression],
    now: DateTime<Utc>,
) -> Result<Fed, LakeError> {
    let (mut alerts, read) = outbox.load(window)?;
    suppress(suppressions, alerts.iter_mut().filter(|alert| alert.is_current()), now);
    let (mut fed, mut encoded) = (Fed::default(), 0);
    for (due, alert) in window.iter().zip(alerts) {
        if alert.suppressed_by.is_some() {
            fed.suppressed += 1;
            continue;
        }
        let item = item(outbox.sink(), &alert, due.event, i64::from(due.attempts));
        encoded += item.message.bytes();
        fed.items.push(item);
    }
    fed.bytes = read.max(encoded);
    Ok(fed)
}

/// An alert made ready.
pub(super) fn item(sink: &Sink, alert: &Alert, event: Event, attempts: i64) -> Item {
    let title = alert.finding.rule_title.clone();
    match encoded(sink, alert) {
        Ok(message) => Item { event, attempts, message, title, refusals: 0, is_own: false, broken: None },
        Err(cause) => {
            let message = bare(alert);
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
    Ok(Message { parts: parts.into(), ..bare(alert) })
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
        parts: Arc::default(),
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
