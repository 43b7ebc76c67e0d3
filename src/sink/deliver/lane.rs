//! One sink's way from the feed to its destination: batches, limits, waiting, splitting, setting aside, giving up.
//!
//! One batch is under way at a time, so alerts arrive in the order of their time, but for those that are set aside: alone among the others they
//! would hold everything up.

use super::clock::{MAX_WAIT, backoff};
use super::feed::{Batcher, Feed, Item, item};
use super::ledger::{Event, Row, State};
use super::limiter::Limiter;
use super::outbox;
use super::recorder::Rows;
use super::{Opened, Report, Shipment, Sink, digest};
use crate::lake::{Claim, Lake, LakeError, Patience};
use crate::sink::destination::{Destination, Outcome, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::Instrument as _;

/// Messages in a row that the receiver fails at, each alone, before it counts as broken itself.
const STRIKES: u32 = 3;
/// Different answers that a report names.
const MAX_ANSWERS: usize = 5;
/// Messages set aside, and their bytes, from which on they get their further tries before others are sent: they are in memory.
const MAX_ASIDE: usize = 2000;
const MAX_ASIDE_BYTES: usize = 8 << 20;

pub(super) struct Lane {
    sink: Sink,
    destination: Box<dyn Destination>,
    shipment: Arc<Shipment>,
    rows: Rows,
    steps: Arc<AtomicU64>,
    report: Report,
    /// Nobody else ships to the sink meanwhile.
    claim: Option<Claim>,
    not_before: Option<i64>,
    limiter: Option<Limiter>,
    /// Failures since the last success.
    failures: u32,
    /// Messages set aside since the last success because the receiver failed at them.
    strikes: u32,
    last_progress: Duration,
    aside: Vec<(Item, String)>,
}

/// What became of a batch, besides what is settled.
#[derive(Default)]
struct Left {
    again: Vec<Item>,
    suspects: Vec<Item>,
    answer: String,
    /// The receiver was there and failed.
    answered: bool,
    progress: bool,
}

impl Lane {
    pub(super) fn new(opened: Opened, shipment: Arc<Shipment>, rows: Rows, steps: Arc<AtomicU64>) -> Self {
        let Opened { sink, destination } = opened;
        let report = Report { sink: sink.name.clone(), ..Report::default() };
        let limiter = sink.rate.map(|rate| Limiter::new(rate, shipment.clock.elapsed()));
        let last_progress = shipment.clock.elapsed();
        Self {
            sink,
            destination,
            shipment,
            rows,
            steps,
            report,
            claim: None,
            not_before: None,
            limiter,
            failures: 0,
            strikes: 0,
            last_progress,
            aside: Vec::new(),
        }
    }

    /// Ships everything, or as much as can be.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub(super) async fn run(mut self, lake: Arc<Lake>) -> Result<Report, LakeError> {
        let is_alone = self.claim(&lake).await?;
        // Not before: who was waited for has sent what waited then.
        let (outbox, mut survey) = outbox::look(lake, self.sink.clone(), self.shipment.retried).await?;
        tracing::debug!(%survey, refused = survey.refused, "looked at what waits");
        (self.report.pending, self.report.set_aside) = (survey.due, survey.refused);
        (self.report.oldest_pending, self.not_before) = (survey.oldest, survey.not_before);
        self.steps.fetch_max(survey.next_step.unsigned_abs(), Ordering::Relaxed);
        self.last_progress = self.shipment.clock.elapsed();
        if is_alone && self.may_begin().await && self.own_events().await {
            let mut feed = Feed::start(Arc::new(outbox), &mut survey, &self.shipment);
            if self.alerts(&mut feed).await? {
                self.retry_aside().await;
            }
        }
        let aside = std::mem::take(&mut self.aside);
        self.keep_pending(aside, None).await;
        if let Err(cause) = self.destination.close().await {
            self.note(format!("closing: {cause}"));
        }
        if self.report.pending == 0 {
            self.report.oldest_pending = None;
        }
        // Another process may begin when it sees what this one has done.
        self.rows.flush().await;
        Ok(self.report)
    }

    /// Waits until nobody else ships to the sink. False if somebody does so for too long.
    async fn claim(&mut self, lake: &Lake) -> Result<bool, LakeError> {
        let what = format!("sink `{}`", self.sink.name);
        let (shipment, name) = (Arc::clone(&self.shipment), format!("ship-{}", self.sink.name));
        let (notice, cancelled) = (|text: &str| (shipment.notice)(text), || *shipment.stop.borrow());
        let patience =
            Patience { purpose: "ship", limit: shipment.lock_timeout, notice: &notice, cancelled: &cancelled };
        match lake.claim(&name, &what, &patience).await {
            Ok(claim) => {
                self.claim = Some(claim);
                Ok(true)
            }
            Err(error @ LakeError::Claimed { .. }) => {
                self.report.problem = Some(error.to_string());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits as long as the receiver asked for, if that is not too long.
    async fn may_begin(&mut self) -> bool {
        let Some(until) = self.not_before else { return true };
        let left = until.saturating_sub(self.shipment.clock.now().timestamp_micros());
        let left = Duration::from_micros(u64::try_from(left).unwrap_or(0)).min(MAX_WAIT);
        if left > self.sink.retry.give_up {
            self.report.problem = Some(format!("the receiver asked to be left alone for another {} s", left.as_secs()));
            return false;
        }
        self.wait(left).await
    }

    /// The tool's own events go first: they say that what follows is alive. They are not kept if nobody takes them.
    async fn own_events(&mut self) -> bool {
        if !self.sink.own_events {
            return true;
        }
        let events: Vec<Item> = self
            .shipment
            .events
            .iter()
            .map(|event| Item { is_own: true, ..item(&self.sink, &event.alert(), Event::Raised, 0) })
            .filter(|item| item.broken.is_none())
            .collect();
        events.is_empty() || self.deliver(events).await
    }

    async fn alerts(&mut self, feed: &mut Feed) -> Result<bool, LakeError> {
        let mut batches = Batcher::new(&self.sink);
        while let Some(fed) = feed.next().await {
            let fed = fed?;
            self.report.suppressed += fed.suppressed;
            self.report.pending = self.report.pending.saturating_sub(fed.suppressed);
            for item in fed.items {
                if let Some(cause) = item.broken.clone() {
                    self.refuse(item, format!("it cannot be encoded: {cause}")).await;
                } else if let Some(full) = batches.add(item, self.shipment.clock.now())
                    && !(self.deliver(full).await && self.bound_aside().await)
                {
                    return Ok(false);
                }
            }
        }
        Ok(match batches.take() {
            Some(last) => self.deliver(last).await,
            None => !self.is_stopped(),
        })
    }

    /// A receiver that refuses everything must not fill the memory. False: nothing more can be sent in this run.
    async fn bound_aside(&mut self) -> bool {
        let bytes = || self.aside.iter().map(|(item, _)| item.message.bytes()).sum::<usize>();
        (self.aside.len() < MAX_ASIDE && bytes() < MAX_ASIDE_BYTES) || self.retry_aside().await
    }

    /// What was refused once gets its further tries, when everything else is through or so much has gathered. False: nothing more can be sent.
    async fn retry_aside(&mut self) -> bool {
        let mut round = 0;
        while !self.aside.is_empty() {
            round += 1;
            let Retries { first, cap } = self.retries();
            if !self.wait(backoff(first, cap, round, self.shipment.clock.random())).await {
                return false;
            }
            let mut batches = Batcher::new(&self.sink);
            let mut full = Vec::new();
            for (item, _) in std::mem::take(&mut self.aside) {
                full.extend(batches.add(item, self.shipment.clock.now()));
            }
            full.extend(batches.take());
            let mut going = true;
            for batch in full {
                if going {
                    going = self.deliver(batch).await;
                } else {
                    self.aside.extend(batch.into_iter().map(|item| (item, String::new())));
                }
            }
            if !going {
                return false;
            }
        }
        true
    }

    /// Sends a batch until each of its messages is settled or set aside. False: nothing more can be sent in this run.
    async fn deliver(&mut self, batch: Vec<Item>) -> bool {
        let mut work = vec![batch];
        while let Some(batch) = work.pop() {
            let messages = digest::messages(&self.sink, &batch);
            if !self.may_send(messages.len()).await {
                work.push(batch);
                return self.stop(work, None).await;
            }
            let bytes = messages.iter().map(|message| message.bytes() as u64).sum::<u64>();
            let span = tracing::info_span!("batch", alerts = batch.len(), messages = messages.len(), bytes);
            let outcome = self.destination.send(&messages).instrument(span.clone()).await;
            span.in_scope(|| tell(&outcome));
            self.report.batches += 1;
            self.report.bytes += bytes;
            let Outcome { verdicts, wait, stop, note } = outcome;
            if let Some(note) = note {
                self.note(note);
            }
            let mut left = self.settle(batch, &verdicts).await;
            if let Some(cause) = stop {
                self.report.problem = Some(cause);
                left.again.append(&mut left.suspects);
                work.push(left.again);
                return self.stop(work, None).await;
            }
            if left.progress {
                (self.failures, self.last_progress) = (0, self.shipment.clock.elapsed());
            }
            push_halves(&mut work, left.suspects);
            if left.again.is_empty() {
                continue;
            }
            self.report.retries += 1;
            self.failures += 1;
            let Retries { first, cap } = self.retries();
            // Who asks for no wait at all would be asked again and again without a pause.
            let wait = wait.map(|wait| wait.min(MAX_WAIT)).filter(|wait| !wait.is_zero());
            let pause = wait.unwrap_or_else(|| backoff(first, cap, self.failures, self.shipment.clock.random()));
            let is_persistent = left.answered && self.failures >= self.sink.retry.tries;
            match (is_persistent, left.again.len()) {
                (false, _) => work.push(left.again),
                (true, 1) => {
                    self.strike(left.again, &left.answer).await;
                    self.failures = 0;
                    if self.strikes >= STRIKES {
                        self.report.problem = Some(left.answer);
                        return self.stop(work, None).await;
                    }
                }
                (true, _) => {
                    push_halves(&mut work, left.again);
                    self.failures = 0;
                }
            }
            let without_progress = self.shipment.clock.elapsed().saturating_sub(self.last_progress);
            if without_progress + pause > self.sink.retry.give_up {
                self.report.problem = Some(left.answer);
                return self.stop(work, wait).await;
            }
            if !self.wait(pause).await {
                return self.stop(work, None).await;
            }
        }
        true
    }

    /// Notes what is settled; gives what is not.
    async fn settle(&mut self, batch: Vec<Item>, verdicts: &[Verdict]) -> Left {
        let mut left = Left::default();
        let is_alone = batch.len() == 1;
        // A digest is one message, and its verdict is that of all.
        let of_all = if verdicts.len() == 1 { verdicts.first() } else { None };
        let mut delivered = Vec::new();
        for (at, mut item) in batch.into_iter().enumerate() {
            item.attempts += 1;
            match of_all.or_else(|| verdicts.get(at)) {
                Some(Verdict::Delivered) => {
                    left.progress = true;
                    self.strikes = 0;
                    delivered.push(item);
                }
                Some(Verdict::Refused(answer)) => {
                    left.progress = true;
                    self.refused_once(item, answer.clone()).await;
                }
                Some(Verdict::Suspect(answer)) if is_alone => {
                    left.progress = true;
                    self.refused_once(item, answer.clone()).await;
                }
                Some(Verdict::Suspect(answer)) => {
                    left.answer.clone_from(answer);
                    left.suspects.push(item);
                }
                Some(Verdict::Again { answer, answered }) => {
                    left.answer.clone_from(answer);
                    left.answered = *answered;
                    left.again.push(item);
                }
                None => left.again.push(item),
            }
        }
        let own = delivered.iter().filter(|item| item.is_own).count();
        let alerts = (delivered.len() - own) as u64;
        self.report.delivered += alerts;
        self.report.pending = self.report.pending.saturating_sub(alerts);
        self.record(delivered.into_iter().map(|item| (item, State::Delivered, None, None)).collect()).await;
        left
    }

    /// A message that was refused: further tries, then it is set aside for good.
    async fn refused_once(&mut self, mut item: Item, answer: String) {
        item.refusals += 1;
        if item.refusals >= self.sink.retry.tries {
            self.refuse(item, answer).await;
        } else {
            self.aside.push((item, answer));
        }
    }

    /// A message that the receiver fails at again and again: it gets one more round, at the end.
    async fn strike(&mut self, items: Vec<Item>, answer: &str) {
        for mut item in items {
            let is_last = item.refusals + 1 >= self.sink.retry.tries;
            // Only if the receiver takes others is it the message's fault.
            if is_last && self.strikes == 0 && self.report.delivered > 0 {
                self.refuse(item, answer.to_owned()).await;
            } else {
                item.refusals = self.sink.retry.tries.saturating_sub(1);
                self.aside.push((item, answer.to_owned()));
                self.strikes += 1;
            }
        }
    }

    async fn refuse(&mut self, item: Item, answer: String) {
        if !item.is_own {
            self.report.refused += 1;
            self.report.pending = self.report.pending.saturating_sub(1);
        }
        if self.report.refusals.len() < MAX_ANSWERS && !self.report.refusals.contains(&answer) {
            self.report.refusals.push(answer.clone());
        }
        self.record(vec![(item, State::Refused, Some(answer), None)]).await;
    }

    /// Ends the run for this sink; what was in hand keeps its count of attempts.
    async fn stop(&mut self, work: Vec<Vec<Item>>, wait: Option<Duration>) -> bool {
        if self.is_stopped() && self.report.problem.is_none() {
            self.report.problem = Some("stopped before everything was sent".to_owned());
        }
        let answer = self.report.problem.clone().unwrap_or_default();
        let mut left: Vec<(Item, String)> = work.into_iter().flatten().map(|item| (item, answer.clone())).collect();
        left.append(&mut self.aside);
        self.keep_pending(left, wait).await;
        false
    }

    async fn keep_pending(&mut self, items: Vec<(Item, String)>, wait: Option<Duration>) {
        let next = wait.and_then(|wait| chrono::TimeDelta::from_std(wait).ok());
        let next = next.map(|wait| (self.shipment.clock.now() + wait).timestamp_micros());
        let tried = items.into_iter().filter(|(item, _)| item.attempts > 0);
        let rows =
            tried.map(|(item, answer)| (item, State::Pending, Some(answer).filter(|answer| !answer.is_empty()), next));
        self.record(rows.collect()).await;
    }

    async fn record(&mut self, items: Vec<(Item, State, Option<String>, Option<i64>)>) {
        let time = self.shipment.clock.now().timestamp_micros();
        let rows: Vec<Row> = items
            .into_iter()
            .filter(|(item, ..)| !item.is_own)
            .map(|(item, state, answer, next_attempt)| Row {
                sink: self.sink.name.clone(),
                alert_id: item.message.id,
                event: item.event,
                state,
                attempts: item.attempts,
                time,
                next_attempt,
                answer,
                step: i64::try_from(self.steps.fetch_add(1, Ordering::Relaxed)).unwrap_or(i64::MAX),
            })
            .collect();
        if !rows.is_empty() {
            self.rows.send(rows).await;
        }
    }

    /// Waits for the rate limit. False if the run is to end.
    async fn may_send(&mut self, messages: usize) -> bool {
        let now = self.shipment.clock.elapsed();
        let wait = self.limiter.as_mut().map_or(Duration::ZERO, |limiter| limiter.take(messages, now));
        if wait > Duration::ZERO {
            // Time that is waited on purpose is no time without progress.
            self.last_progress = self.last_progress.max(now) + wait;
        }
        if !self.claim.as_ref().is_none_or(Claim::is_held) {
            self.report.problem =
                Some("another calltrail has taken over, because this one was out of reach".to_owned());
            return false;
        }
        self.wait(wait).await && !self.rows.is_closed()
    }

    /// Waits, unless the run is to end.
    async fn wait(&self, time: Duration) -> bool {
        let mut stop = self.shipment.stop.clone();
        if *stop.borrow() {
            return false;
        }
        if time > Duration::ZERO {
            tokio::select! {
                () = self.shipment.clock.sleep(time) => {}
                // Whoever could say stop is gone, and nobody will.
                Ok(()) = stop.changed() => {}
            }
        }
        !self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        *self.shipment.stop.borrow()
    }

    fn note(&mut self, note: String) {
        if self.report.notes.len() < MAX_ANSWERS && !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }

    fn retries(&self) -> Retries {
        Retries { first: self.sink.retry.first, cap: self.sink.retry.cap }
    }
}

/// What became of a batch, for diagnostics. What receivers answer is in the report, without credentials.
fn tell(outcome: &Outcome) {
    let count = |is: fn(&Verdict) -> bool| outcome.verdicts.iter().filter(|verdict| is(verdict)).count();
    let delivered = count(|verdict| matches!(verdict, Verdict::Delivered));
    let again = count(|verdict| matches!(verdict, Verdict::Again { .. }));
    let refused = count(|verdict| matches!(verdict, Verdict::Refused(_) | Verdict::Suspect(_)));
    tracing::info!(delivered, again, refused, stops = outcome.stop.is_some(), "answered");
}

struct Retries {
    first: Duration,
    cap: Duration,
}

/// Puts a batch back in two, the first half first.
fn push_halves(work: &mut Vec<Vec<Item>>, mut items: Vec<Item>) {
    if items.is_empty() {
        return;
    }
    let second = items.split_off(items.len().div_ceil(2));
    if !second.is_empty() {
        work.push(second);
    }
    work.push(items);
}
