//! Alerts to sinks: at least once, by time, each sink at its own pace.
//!
//! [`ship`] runs every sink on its own ([`lane`]): one process at a time ships to it, looks at what waits ([`outbox`]), and writes down what became
//! of each alert ([`ledger`]) while it goes on. It can be stopped, or killed, at any instant: what is not written down is sent again, with the same id.

mod clock;
mod digest;
mod events;
mod feed;
mod lane;
mod ledger;
mod limiter;
mod outbox;
mod recorder;

pub use clock::{Clock, MAX_WAIT, backoff};
pub use events::{OwnEvent, test_alert};
pub use ledger::{Event, Row, State, mark};

use super::destination::{Auth, Destination, Preview, Target};
use super::encode::{Options, RoutingKey};
use super::{Encoding, destination};
use crate::alert::{Level, Suppression, Wildcard};
use crate::lake::{Lake, LakeError};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use lane::Lane;
use outbox::Outbox;
use recorder::Recorder;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tracing::Instrument as _;

/// One `[[sinks]]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    /// Its `type`, as the configuration has it.
    pub kind: &'static str,
    pub enabled: bool,
    pub target: Target,
    pub encoding: Encoding,
    pub options: Options,
    pub filter: Filter,
    pub batch: BatchLimits,
    pub retry: Retry,
    /// How long one request may take.
    pub timeout: Duration,
    pub rate: Option<Rate>,
    /// More alerts than this at once become one message.
    pub digest_above: Option<usize>,
    /// Whether it is told when an alert no longer holds.
    pub send_resolved: bool,
    /// Whether it gets the tool's own events.
    pub own_events: bool,
}

/// Which alerts a sink gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub min_level: Level,
    /// Rules by id; none: all.
    pub rules: Vec<Wildcard>,
    pub except_rules: Vec<Wildcard>,
    /// Tags of which one must fit; none: all.
    pub tags: Vec<Wildcard>,
    /// Alerts of this time on, in microseconds.
    pub since: Option<i64>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            min_level: Level::Informational,
            rules: Vec::new(),
            except_rules: Vec::new(),
            tags: Vec::new(),
            since: None,
        }
    }
}

impl Filter {
    /// Whether an alert gets through.
    pub fn admits(&self, level: Level, rule: &str, tags: &[&str], time: i64) -> bool {
        let fits = |patterns: &[Wildcard], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        level >= self.min_level
            && (self.rules.is_empty() || fits(&self.rules, rule))
            && !fits(&self.except_rules, rule)
            && (self.tags.is_empty() || tags.iter().any(|tag| fits(&self.tags, tag)))
            && self.since.is_none_or(|since| time >= since)
    }
}

/// When a batch is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    pub count: usize,
    pub bytes: usize,
    /// How long its first alert waits for others.
    pub age: Duration,
}

/// How failures are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Times that an alert which is refused, or at which the receiver fails, is sent before it is set aside.
    pub tries: u32,
    /// The first wait; it doubles with each failure in a row.
    pub first: Duration,
    pub cap: Duration,
    /// Without any success for so long, a run leaves the rest to the next one.
    pub give_up: Duration,
}

/// At most so many messages in this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
}

/// Which alerts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// Those that wait.
    Pending,
    /// Those that were set aside too.
    Refused,
}

/// Hears what people who wait may want to know.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// Says when to stop: the batch in hand is finished, nothing new is begun.
pub type Stop = tokio::sync::watch::Receiver<bool>;

/// A sink with its destination opened.
pub struct Opened {
    pub sink: Sink,
    pub destination: Box<dyn Destination>,
}

impl Opened {
    /// Opens a sink: reads its credentials and certificates, connects to nothing.
    ///
    /// # Errors
    /// Everything that is missing or does not fit, each with the sink's name.
    pub fn open(mut sink: Sink, around: &destination::Surroundings<'_>) -> Result<Self, Vec<String>> {
        let mut opened = destination::open(&sink.target, sink.encoding, sink.timeout, around);
        if let Target::Http(http) = &sink.target
            && let Auth::InMessage { key } = &http.auth
        {
            match key.read(around.environment) {
                Ok(key) => sink.options.routing_key = Some(RoutingKey(key)),
                // The destination has said so already.
                Err(cause) => opened = opened.and_then(|_| Err(vec![cause])),
            }
        }
        sink.options.host = sink.options.host.or_else(|| around.host.clone());
        match opened {
            Ok(destination) => Ok(Self { sink, destination }),
            Err(problems) => Err(problems.iter().map(|problem| format!("sink `{}`: {problem}", sink.name)).collect()),
        }
    }
}

/// What a run is to do.
pub struct Shipment {
    pub retried: Retried,
    /// What is hidden now, also if that was decided after the last detection.
    pub suppressions: Vec<Suppression>,
    /// The tool's own events, for sinks that want them.
    pub events: Vec<OwnEvent>,
    pub clock: Arc<dyn Clock>,
    pub stop: Stop,
    /// Is told once, after some seconds, that another process ships to the same sink.
    pub notice: Notice,
    /// How long other writers of the lake are waited for.
    pub lock_timeout: Duration,
}

/// What became of a sink's alerts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub sink: String,
    pub delivered: u64,
    /// Refused in this run.
    pub refused: u64,
    /// Those that still wait.
    pub pending: u64,
    /// Hidden by a suppression that is younger than the alert.
    pub suppressed: u64,
    /// Those that were refused before and are not tried again.
    pub set_aside: u64,
    /// Requests or batches.
    pub batches: u64,
    pub bytes: u64,
    /// Times that something had to be sent again.
    pub retries: u64,
    /// Time of the oldest alert that waits, in microseconds.
    pub oldest_pending: Option<i64>,
    /// Why something waits.
    pub problem: Option<String>,
    /// What refused alerts were answered with, each once.
    pub refusals: Vec<String>,
    pub notes: Vec<String>,
}

impl Report {
    /// Whether everything arrived.
    pub fn is_complete(&self) -> bool {
        self.pending == 0 && self.refused == 0
    }
}

/// Why nothing could be shipped, or not be written down.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("a task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Ships what waits.
///
/// # Errors
/// The lake cannot be read or written. What was sent before is sent again by the next run.
pub async fn ship(lake: Arc<Lake>, sinks: Vec<Opened>, shipment: Shipment) -> Result<Vec<Report>, ShipError> {
    let shipment = Arc::new(shipment);
    let steps = Arc::new(AtomicU64::new(1));
    let (recorder, rows) = Recorder::new(Arc::clone(&lake), &shipment);
    let recording = tokio::spawn(recorder.run().in_current_span());
    let running = sinks.into_iter().map(|opened| {
        let span = tracing::info_span!("sink", name = %opened.sink.name, encoding = opened.sink.encoding.as_str());
        let lane = Lane::new(opened, Arc::clone(&shipment), rows.clone(), Arc::clone(&steps));
        tokio::spawn(lane.run(Arc::clone(&lake)).instrument(span))
    });
    let running: Vec<_> = running.collect();
    drop(rows);
    let mut reports = Vec::new();
    for ended in join_all(running).await {
        reports.push(ended??);
    }
    // What was delivered is written down before anything is said of it.
    recording.await??;
    Ok(reports)
}

/// What waits for a sink, as it would be sent, up to so many alerts.
///
/// # Errors
/// The lake cannot be read.
pub async fn preview(
    lake: &Arc<Lake>,
    opened: &Opened,
    retried: Retried,
    suppressions: &[Suppression],
    now: DateTime<Utc>,
    limit: usize,
) -> Result<(Report, Vec<Preview>), ShipError> {
    let outbox = Outbox::open(lake, &opened.sink, retried).await?;
    let survey = outbox.survey().await?;
    let mut report = Report {
        sink: opened.sink.name.clone(),
        pending: survey.due,
        set_aside: survey.refused,
        oldest_pending: survey.oldest,
        ..Report::default()
    };
    let mut batches = feed::Batcher::new(&opened.sink);
    let mut previews = Vec::new();
    let mut left = limit;
    for number in survey.parts {
        let part = outbox.part(number).await?;
        let shown = &part.due[..part.due.len().min(left)];
        left -= shown.len();
        for window in shown.chunks(feed::FIRST_WINDOW) {
            let fed = feed::items(&outbox, window, suppressions, now)?;
            report.suppressed += fed.suppressed;
            report.pending -= fed.suppressed;
            for item in fed.items {
                if let Some(full) = batches.add(item, now) {
                    previews.push(opened.destination.preview(&digest::messages(&opened.sink, &full)));
                }
            }
        }
        if left == 0 {
            break;
        }
    }
    if let Some(last) = batches.take() {
        previews.push(opened.destination.preview(&digest::messages(&opened.sink, &last)));
    }
    Ok((report, previews))
}

/// Sends one event that says it is a test, and says what came back.
pub async fn check(opened: &mut Opened, now: DateTime<Utc>) -> destination::Outcome {
    let alert = test_alert(now);
    let outcome = match feed::encoded(&opened.sink, &alert) {
        Ok(message) => opened.destination.send(&[message]).await,
        Err(cause) => destination::Outcome::all(1, destination::Verdict::Refused(cause)),
    };
    match opened.destination.close().await {
        Ok(()) => outcome,
        Err(cause) => destination::Outcome { note: Some(format!("closing: {cause}")), ..outcome },
    }
}
