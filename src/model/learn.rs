//! Learning from a lake: one pass over its sessions, then the forest, the baseline, and the scores that normal sessions have.
//!
//! Scores that p-values rest on are made as those of unseen sessions, of kinds of work that are known and of new ones ([`kinds`]): each quarter is scored by a forest and a
//! history of the other three.

use super::act::Acts;
use super::baseline::Baseline;
use super::features::FEATURES;
use super::forest::{Example, Forest, TREES};
use super::hash;
use super::kinds::{self, FOLDS, KNOWN, NEW};
use super::labels::{Label, Labels};
use super::normal::{Normal, Scores};
use super::planted::{Examples, RawCall, Sample, Story};
use super::rows::{Row, Tools};
use super::saved::builtin;
use super::score::greatest;
use super::scored::{Parts, Scored, ScoredSession, session_score};
use super::sessions::{RawSession, each_session};
use super::watch::watch;
use crate::query::{QueryError, Session};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Sessions that a forest of one's own needs.
pub(super) const OWN_FOREST: usize = 300;
/// Calls and requests of all sessions that are learned from; of more, those with the last ids are passed over.
const MAX_ROWS: u64 = 4_000_000;

/// One session to learn from.
#[derive(Clone, Debug, Default)]
pub struct Lesson {
    pub session_id: String,
    pub agent: Option<String>,
    /// The features of all calls, one call after the other.
    values: Vec<f32>,
    pub(super) acts: Acts,
    /// Examples, if the user has labelled the session.
    labelled: Vec<Example>,
    /// It must not become normal.
    is_malicious: bool,
}

/// All sessions to learn from.
pub struct Lessons {
    pub sessions: Vec<Lesson>,
    sample: Sample,
    pub calls: u64,
    /// Sessions that were passed over because of their alerts, or because there were too many calls.
    pub left_out: u64,
    pub passed_over: u64,
    pub(super) times: Scored,
    seed: u64,
    /// Features that are not learned from.
    without: BTreeSet<String>,
}

/// What was learned.
pub struct Fitted {
    /// Grown on these sessions; `None` of too few.
    pub forest: Option<Forest>,
    pub baseline: Option<Baseline>,
    /// Sessions that it rests on.
    pub sessions: u64,
    pub(super) normal: Normal,
}

impl Lessons {
    /// Reads the sessions; those in `without` are passed over unless the user has labelled them benign.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn read(
        session: &Session,
        tools: &mut Tools,
        without: &HashSet<String>,
        labels: &Labels,
        seed: u64,
    ) -> Result<Self, QueryError> {
        let verbs = tools.verbs.clone();
        let sample = std::sync::RwLock::new(Sample::new(seed));
        let mut lessons = Self {
            sessions: Vec::new(),
            sample: Sample::new(seed),
            calls: 0,
            left_out: 0,
            passed_over: 0,
            times: Scored::default(),
            seed,
            without: BTreeSet::new(),
        };
        let work = |raw: &RawSession| {
            let label = labels.get(&raw.id);
            if without.contains(&raw.id) && label.is_none() {
                return (Lesson { session_id: raw.id.clone(), ..Lesson::default() }, None, true);
            }
            let watched = watch(raw, &verbs);
            let mut lesson =
                Lesson { session_id: raw.id.clone(), agent: watched.agent.map(str::to_owned), ..Lesson::default() };
            for (_, features) in &watched.calls {
                lesson.values.extend_from_slice(&features.values);
            }
            if let Some(label) = label {
                let ids: Vec<&str> = watched.calls.iter().map(|(row, _)| row.id()).collect();
                lesson.label(label, &ids);
            }
            lesson.acts = watched.acts;
            let bytes = raw.rows.iter().map(|row| row.content().len() + row.result().len()).sum();
            let wanted = !lesson.is_malicious
                && sample.read().is_ok_and(|sample| sample.wants(&raw.id, watched.calls.len(), bytes));
            (lesson, wanted.then(|| story(raw)), false)
        };
        let passed_over = each_session(session, None, MAX_ROWS, tools, work, |(lesson, raw, is_left_out)| {
            let n = lesson.acts.calls.len();
            if is_left_out {
                lessons.left_out += 1;
            } else if n > 0 {
                lessons.calls += n as u64;
                let times = lesson.acts.calls.iter().filter_map(|act| act.time);
                lessons.times.note_times([times.clone().min(), times.max()]);
                if let (Some(raw), Ok(mut sample)) = (raw, sample.write()) {
                    sample.take(lesson.session_id.clone(), raw);
                }
                lessons.sessions.push(lesson);
            }
        })
        .await?;
        lessons.passed_over = passed_over;
        lessons.sessions.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        lessons.sample = sample.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(lessons)
    }

    /// Leaves features out of what is learned.
    #[must_use]
    pub fn without(self, features: BTreeSet<String>) -> Self {
        Self { without: features, ..self }
    }

    /// Learns from the sessions that `keep` accepts; `portable`, for other lakes.
    pub fn fit(&self, tools: &Tools, portable: bool, keep: impl Fn(&str) -> bool + Sync) -> Fitted {
        let kept: Vec<&Lesson> = self.sessions.iter().filter(|lesson| keep(&lesson.session_id)).collect();
        let folds = kinds::folds(&kept.iter().map(|lesson| &lesson.acts).collect::<Vec<_>>());
        let folds: HashMap<&str, [u64; 2]> =
            kept.iter().zip(folds).map(|(lesson, fold)| (lesson.session_id.as_str(), fold)).collect();
        let fold = |session: &str| folds.get(session).copied().unwrap_or_default();
        let honest: Vec<&Lesson> = kept.iter().copied().filter(|lesson| !lesson.is_malicious).collect();
        let labelled = kept
            .iter()
            .flat_map(|lesson| lesson.labelled.iter().map(|example| (fold(&lesson.session_id), example.clone())));
        let labelled: Examples = labelled.collect();
        let has_labels = labelled.iter().any(|(_, example)| example.positive);
        let (mut forest, mut of_folds) = (None, [Vec::new(), Vec::new()]);
        if honest.len() >= OWN_FOREST || has_labels {
            let mut examples = self.sample.examples(&tools.verbs, &keep, fold);
            examples.extend(labelled);
            // A constant column is never asked for.
            for (at, _) in FEATURES.iter().enumerate().filter(|(_, (name, _))| self.without.contains(*name)) {
                examples
                    .iter_mut()
                    .filter_map(|(_, example)| example.features.get_mut(at))
                    .for_each(|value| *value = 0.0);
            }
            let grown = |way: usize, left_out: u64, trees: usize| {
                let of_others = examples.iter().filter(|(parts, example)| parts[way] != left_out || example.positive);
                Forest::fit(&of_others.map(|(_, example)| example).collect::<Vec<_>>(), self.seed, trees)
            };
            // Half of the trees rank the sessions well enough, and there are twice as many forests.
            of_folds = [KNOWN, NEW].map(|way| (0..FOLDS).map(|left_out| grown(way, left_out, TREES / 2)).collect());
            // Of all of them, which is what is kept.
            forest = grown(KNOWN, FOLDS, TREES);
        }
        let fitted =
            Baseline::fit(&honest.iter().map(|lesson| &lesson.acts).collect::<Vec<_>>(), self.seed, &self.without);
        let (baseline, levels) = fitted.map_or((None, Vec::new()), |(baseline, levels)| (Some(baseline), levels));
        let kinds = kinds::known(&honest.iter().map(|lesson| &lesson.acts).collect::<Vec<_>>());
        let scores = honest.par_iter().enumerate().map(|(at, lesson)| {
            let parts = fold(&lesson.session_id);
            let levels: [f64; 2] = levels.get(at).copied().unwrap_or_default();
            let [known, new] = [KNOWN, NEW].map(|way| {
                let forest = of_folds[way].get(parts[way] as usize).and_then(Option::as_ref).or_else(|| builtin());
                session_score(lesson.order(forest), levels[way])
            });
            let known = kinds.binary_search(&lesson.acts.kind).is_ok().then_some(known);
            let folds = parts.map(|part| part as usize);
            Scores { agent: lesson.agent.clone(), folds, known, new }
        });
        let scores: Vec<Scores> = scores.collect();
        // A fold too poor for a forest was scored by the built-in one, and so would be what is compared with it: then one score stands for all.
        let whole =
            |forests: Vec<Option<Forest>>| forests.into_iter().collect::<Option<Vec<Forest>>>().unwrap_or_default();
        let normal = Normal::new(&scores, kinds, of_folds.map(whole), !portable);
        Fitted { sessions: scores.len() as u64, normal, forest, baseline }
    }

    /// Two halves of the sessions, parted in one of many ways: whether each is in the first.
    pub fn halves(&self, way: u32) -> Vec<bool> {
        let of = |lesson: &Lesson| hash::name(&[&lesson.session_id]).rotate_right(16 + way) & 1 == 0;
        self.sessions.iter().map(of).collect()
    }

    /// The same, with no kind of work in both.
    pub fn halves_of_kinds(&self, way: u32) -> Vec<bool> {
        let acts: Vec<&Acts> = self.sessions.iter().map(|lesson| &lesson.acts).collect();
        kinds::together(&acts, way).into_iter().map(|fold| fold % 2 == 0).collect()
    }

    /// The sessions that may count as normal, with their agents.
    pub(super) fn normal(&self) -> impl Iterator<Item = (Option<&str>, &Acts)> {
        self.sessions.iter().filter(|lesson| !lesson.is_malicious).map(|lesson| (lesson.agent.as_deref(), &lesson.acts))
    }
}

impl Fitted {
    /// What p-values of other sessions are made with.
    pub fn normal(&self) -> &Normal {
        &self.normal
    }

    /// A session that was not learned from, with its score.
    pub fn score(&self, lesson: &Lesson) -> ScoredSession {
        let behaviour = self.baseline.as_ref().map(|baseline| baseline.judge(&lesson.acts).level);
        let order = lesson.order(self.forest.as_ref().or_else(|| builtin()));
        let known = self.normal.knows(lesson.acts.kind);
        ScoredSession {
            session_id: lesson.session_id.clone(),
            agent: lesson.agent.clone(),
            score: session_score(order, behaviour.unwrap_or_default()),
            parts: Parts {
                order,
                behaviour,
                known,
                folds: self.normal.orders(known, &lesson.values),
                ..Parts::default()
            },
            ..ScoredSession::default()
        }
    }
}

impl Lesson {
    /// The greatest score of a call as the carrying out of an order.
    fn order(&self, forest: Option<&Forest>) -> f64 {
        greatest(&self.values, forest)
    }

    /// Makes examples of what the user knows: calls before the first malicious one are honest, what follows it is left out.
    fn label(&mut self, label: &Label, ids: &[&str]) {
        let none = BTreeSet::new();
        let malicious = match label {
            Label::Benign => &none,
            Label::Malicious(calls) => calls,
        };
        self.is_malicious = !malicious.is_empty();
        let last = ids.iter().rposition(|id| malicious.contains(*id));
        let first = ids.iter().position(|id| malicious.contains(*id)).unwrap_or(ids.len());
        let weight = 1.0 / (ids.len().max(1) as f64).sqrt();
        for (at, values) in self.values.chunks(FEATURES.len()).enumerate() {
            let positive = malicious.contains(ids[at]);
            if positive || at < first && (last.is_some() || !self.is_malicious) {
                self.labelled.push(Example { features: values.to_vec(), positive, weight });
            }
        }
    }
}

fn story(raw: &RawSession) -> Story {
    let mut story = Story::default();
    for row in &raw.rows {
        match raw_call(row) {
            Some(call) => story.calls.push(call),
            None => story.requests.push((story.calls.len(), row.content().to_owned())),
        }
    }
    story
}

fn raw_call(row: &Row) -> Option<RawCall> {
    let tool = row.tool.clone()?;
    let (arguments, result) = (row.content().to_owned(), row.result().to_owned());
    Some(RawCall { tool, name: row.name.clone(), arguments, result, capabilities: row.capabilities() })
}
