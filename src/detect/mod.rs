//! Detectors over the lake → alerts: what each finds, with enough of the calls to judge it, kept in the lake once.
//!
//! A run without a range lets each detector that something is new for look at everything, and brings its alerts in line with what it
//! finds now; so after any number of runs the current alerts are those that one run at the end would make. A detector for which
//! nothing is new does not run. See `docs/detect.md`.

mod evidence;
mod gone;
mod incidents;
mod marks;
mod merge;
mod model;
mod replay;
mod rules;
mod settle;
mod store;

pub use gone::Standing;
pub use incidents::{incidents, incidents_of};
pub use marks::{Mark, RuleText, marks, rule_text};
pub use model::{MODEL_RULE, ModelDetector};
pub use replay::{Difference, Proof, Replay, RuleFrom, replay};
pub use rules::{RuleDetector, rule_detectors};
pub use store::{remark, stored};

use crate::alert::{Alert, Finding, Suppression, SuppressionUse, suppress};
use crate::lake::{Lake, LakeError, Patience};
use crate::query::{Cost, QueryError, Session, SessionOptions, TimeRange};
use crate::rule::RuleError;
use crate::visible::visible;
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::StreamExt as _;
use settle::Scope;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::thread;
use std::time::Duration;
use store::Answered;
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

/// Rules that run from which on it pays to read the columns that most of them need once, and keep them.
const WORTH_PACKING: usize = 4;
/// Pause between two looks at whether the run should end.
const LOOK: Duration = Duration::from_millis(100);

/// Something that finds things in a range of time: a rule, or the model.
#[async_trait]
pub trait Detector: Send + Sync {
    /// The rule's or model's id.
    fn id(&self) -> &str;
    /// What its answer depends on beside the rows of the lake.
    fn stamp(&self) -> Stamp;
    /// Microseconds that it looks back from what it finds.
    fn window(&self) -> i64;
    /// Whether what it does not find again is no longer true. The model's alerts stay: what is normal moves, and must not silence them.
    fn takes_back(&self) -> bool {
        true
    }
    /// What it sees in the range. An error concerns this detector only; the others run.
    async fn detect(&self, session: &Session, range: TimeRange) -> Result<Answer, RuleError>;
}

/// What a detector's answer depends on beside the rows of the lake: if it changes, the detector starts over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stamp {
    /// Hash of the rule's text or the model's file.
    pub version: String,
    /// Parameters, the user's level, and what SQL means to this program.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The folder that the rule stands in.
    pub group: String,
    /// Title, path and text, if an old version is to be run again.
    pub source: Option<[String; 3]>,
}

impl Stamp {
    fn text(&self) -> String {
        let mut all = self.settings.clone();
        all.insert("group".to_owned(), self.group.clone().into());
        serde_json::Value::Object(all).to_string()
    }
}

/// What a detector found.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub findings: Vec<Finding>,
    /// Stored tables that it reads.
    pub reads: BTreeSet<String>,
    pub cost: Cost,
}

/// What a run is to do.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Calls of this time only, whether new or not. Everything: what is new since the last such run.
    pub range: TimeRange,
    /// Every detector runs, whether there is something new for it or not.
    pub full: bool,
    /// Which rules there are: alerts of others are taken back. `None` where only some rules were asked for, which says nothing of the others.
    pub rules: Option<Standing<'a>>,
    pub session: SessionOptions,
    pub suppressions: &'a [Suppression],
    pub now: DateTime<Utc>,
    /// Time since some start, to measure with.
    pub clock: fn() -> Duration,
    /// Whether the run should end. What detectors have found by then is kept; the others run the next time.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Detected {
    /// Current alerts of the detectors, new or known, suppressed or not, by time. Of a run over a range, those that it found.
    pub alerts: Vec<Alert>,
    /// Ids of those that the lake did not have.
    pub new: HashSet<String>,
    /// Of detectors that did not run, the current alerts count.
    pub findings: u64,
    /// Alerts whose place another took, and those that no longer hold.
    pub superseded: u64,
    pub resolved: u64,
    /// Detectors that gave no answer, and why.
    pub failed: Vec<RuleError>,
    pub suppressions: SuppressionUse,
    /// What each detector cost, in the order given.
    pub profile: Vec<Profile>,
}

/// What one detector cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub id: String,
    /// `None`: it did not run, because nothing was new for it.
    pub ran: Option<Effort>,
    pub findings: usize,
}

/// Effort of a detector that ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// By the clock, planning included.
    pub seconds: f64,
    pub cost: Cost,
}

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// A task that ends when nobody waits for it any more.
struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The next of what is waited for; `None` also if waiting has become pointless.
async fn unless<T>(cancelled: &(dyn Fn() -> bool + Sync), next: impl Future<Output = Option<T>>) -> Option<T> {
    let mut next = std::pin::pin!(next);
    loop {
        if cancelled() {
            return None;
        }
        if let Ok(next) = tokio::time::timeout(LOOK, next.as_mut()).await {
            return next;
        }
    }
}

/// Runs the detectors that have something to look at, makes alerts of what they find, and keeps them.
///
/// # Errors
/// The lake or the calls behind the findings cannot be read, or other writers had the lake for too long. Then nothing is kept. A
/// detector that fails is in [`Detected::failed`].
pub async fn detect(
    lake: &Lake,
    patience: &Patience<'_>,
    detectors: &[Arc<dyn Detector>],
    request: Request<'_>,
) -> Result<Detected, DetectError> {
    let moment = lake.moment().await?;
    let whole = request.range.is_everything();
    let marks = if whole { marks(lake).await? } else { BTreeMap::new() };
    let mut news = BTreeMap::new();
    let mut pending = Vec::new();
    for detector in detectors {
        let holds = match marks.get(detector.id()).filter(|_| !request.full) {
            Some(mark) => mark.still_holds(&detector.stamp(), lake, &moment.versions, &mut news)?,
            None => false,
        };
        pending.push(!holds);
    }

    let (range, clock) = (request.range, request.clock);
    let mut detected = Detected::default();
    let mut answers = Vec::new();
    if pending.contains(&true) {
        let count = pending.iter().filter(|pending| **pending).count();
        let cores = request.session.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        // Several rules at once, each on one thread, take less than one after the other on all of them.
        let threads = Some(if count >= cores { 1 } else { cores });
        let options = SessionOptions { threads, packed: count >= WORTH_PACKING, ..request.session };
        let mut session = Arc::new(Session::new(moment.providers.clone(), options).await?);
        // What took longest last time begins first, so that none is left alone at the end.
        let last = |detector: &dyn Detector| marks.get(detector.id()).map_or(f64::INFINITY, |mark| mark.seconds);
        let mut waiting: Vec<&Arc<dyn Detector>> =
            detectors.iter().zip(&pending).filter(|(_, pending)| **pending).map(|(detector, _)| detector).collect();
        waiting.sort_by(|a, b| last(b.as_ref()).total_cmp(&last(a.as_ref())));
        let running = waiting.into_iter().map(|detector| {
            let (detector, session) = (Arc::clone(detector), Arc::clone(&session));
            let span = tracing::info_span!("rule", id = %visible(detector.id()));
            let running = async move { ran(detector, &session, range, clock).await };
            Task(tokio::spawn(running.instrument(span)))
        });
        let mut running = futures::stream::iter(running).buffer_unordered(cores.max(1));
        let (mut answered, mut again) = (Vec::new(), Vec::new());
        while let Some(ended) = unless(request.cancelled, running.next()).await {
            // A panic of a rule is a fault of ours, and must not pass for a run that found nothing.
            let (detector, answer, seconds) = ended.map_err(|error| QueryError::Execution(error.to_string()))?;
            match answer {
                Err(error) if error.is_memory() => again.push(detector),
                answer => note(&mut detected, &mut answered, detector, answer, seconds),
            }
        }
        drop(running);
        if !again.is_empty() {
            // One by one, with all of the memory, nothing kept for others, and joins that can spill.
            let plain = SessionOptions { threads: Some(cores), ..request.session };
            let alone = Session::new(moment.providers.clone(), SessionOptions { sort_joins: true, ..plain }).await?;
            session = Arc::new(Session::new(moment.providers, plain).await?);
            again.sort_by(|a, b| a.id().cmp(b.id()));
            for detector in again.into_iter().take_while(|_| !(request.cancelled)()) {
                let (detector, answer, seconds) = ran(detector, &alone, range, clock).await;
                note(&mut detected, &mut answered, detector, answer, seconds);
            }
        }
        answered.sort_by(|a, b| a.0.id().cmp(b.0.id()));
        detected.failed.sort_by(|a, b| a.rule_id.cmp(&b.rule_id));
        let findings: Vec<Vec<Finding>> =
            answered.iter_mut().map(|(_, answer, _)| std::mem::take(&mut answer.findings)).collect();
        let counts: Vec<usize> = findings.iter().map(Vec::len).collect();
        let made = evidence::alerts(&session, findings, &range, &moment.versions).await?;
        let kept_from = lake.kept_from()?.map(midnight);
        for (((detector, answer, effort), alerts), found) in answered.into_iter().zip(made).zip(counts) {
            let stamp = detector.stamp();
            let mark = Mark::new(detector.id(), &stamp, &answer.reads, &moment.versions, request.now);
            answers.push(Answered {
                id: detector.id().to_owned(),
                found: alerts,
                scope: match whole {
                    _ if !detector.takes_back() => Scope::Kept,
                    true => Scope::Everything { since: kept_from.map(|day| day.saturating_add(detector.window())) },
                    false => Scope::Part,
                },
                mark: whole.then(|| mark.with_cost(effort.seconds, &effort.cost, found)),
                text: RuleText::of(detector.id(), stamp, request.now),
            });
        }
    }

    let of_range = answers.iter().filter(|_| !whole).flat_map(|answer| &answer.found);
    let found: Vec<Alert> = of_range.cloned().collect();
    let rules = request.rules.filter(|_| whole);
    let stored = store::keep(lake, patience, answers, rules, request.suppressions, request.now).await?;
    detected.new = stored.settled.new;
    detected.superseded = stored.settled.superseded;
    detected.resolved = stored.settled.resolved;
    detected.suppressions = stored.suppressions;
    if whole {
        let own: HashSet<&str> = detectors.iter().map(|detector| detector.id()).collect();
        let is_own = |alert: &Alert| alert.is_current() && own.contains(alert.finding.rule_id.as_str());
        detected.alerts = stored.alerts.into_values().filter(is_own).collect();
    } else {
        let known = |alert: Alert| stored.alerts.get(&alert.alert_id).cloned().unwrap_or(alert);
        detected.alerts = found.into_iter().map(known).collect();
        // What is a part of a known alert is not in the lake, and what is over is not marked there.
        suppress(request.suppressions, &mut detected.alerts, request.now);
    }
    detected.alerts.sort_by(|a, b| (a.time(), &a.alert_id).cmp(&(b.time(), &b.alert_id)));
    for (detector, _) in detectors.iter().zip(&pending).filter(|(_, pending)| !**pending) {
        let of_rule = |alert: &&Alert| alert.finding.rule_id == detector.id();
        let findings = detected.alerts.iter().filter(of_rule).count();
        detected.profile.push(Profile { id: detector.id().to_owned(), ran: None, findings });
    }
    detected.profile.sort_by(|a, b| a.id.cmp(&b.id));
    detected.findings = detected.profile.iter().map(|profile| profile.findings as u64).sum();
    Ok(detected)
}

/// A detector, what it saw, and the seconds that it took.
type Ran = (Arc<dyn Detector>, Result<Answer, RuleError>, f64);

/// Runs one detector; says how many seconds it took.
async fn ran(detector: Arc<dyn Detector>, session: &Session, range: TimeRange, clock: fn() -> Duration) -> Ran {
    let started = clock();
    let answer = detector.detect(session, range).await;
    let findings = answer.as_ref().map_or(0, |answer| answer.findings.len());
    tracing::info!(findings, failed = answer.is_err(), "ran");
    (detector, answer, (clock() - started).as_secs_f64())
}

/// Keeps what a detector found, or why it found nothing.
fn note(
    detected: &mut Detected,
    answered: &mut Vec<(Arc<dyn Detector>, Answer, Effort)>,
    detector: Arc<dyn Detector>,
    answer: Result<Answer, RuleError>,
    seconds: f64,
) {
    match answer {
        Ok(answer) => {
            let effort = Effort { seconds, cost: answer.cost };
            let findings = answer.findings.len();
            detected.profile.push(Profile { id: detector.id().to_owned(), ran: Some(effort), findings });
            answered.push((detector, answer, effort));
        }
        Err(error) => detected.failed.push(error),
    }
}

impl RuleText {
    fn of(id: &str, stamp: Stamp, now: DateTime<Utc>) -> Option<Self> {
        let Stamp { version, source, .. } = stamp;
        let [title, path, text] = source?;
        let rule_id = id.to_owned();
        Some(Self { rule_version: version, rule_id, title, path, text, first_run: now.timestamp_micros() })
    }
}

fn midnight(day: NaiveDate) -> i64 {
    day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros()
}
