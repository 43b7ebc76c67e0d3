//! The model as a file: what it was calibrated on, and the refusal of what does not fit.

use super::baseline::Baseline;
use super::drift::{Drift, Reference};
use super::features::FEATURES;
use super::forest::Forest;
use super::learn::{Fitted, Lessons};
use super::normal::Normal;
use super::profile::BEHAVIOUR;
use super::read::Scorer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The model that comes with the program; docs/model.md says how it was grown.
const BUILTIN: &[u8] = include_bytes!("default.json.zst");

/// Version of the file's form; raised whenever an older program would read it wrongly.
const FORMAT_VERSION: u32 = 4;
const FORMAT: &str = "calltrail-model";
/// Version of the score: p-values of another one mean nothing.
const SCORER: &str = "order-behaviour-4";

/// What a model was trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// First and last call, in microseconds since the epoch.
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub sessions: u64,
    pub calls: u64,
    /// Sessions that were left out because of their alerts.
    pub left_out: u64,
    /// Versions of the lake's tables.
    pub lake_versions: BTreeMap<String, i64>,
}

/// A model that has seen a lake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    format: String,
    format_version: u32,
    scorer: String,
    features: Vec<String>,
    pub trained: Training,
    pub normal: Normal,
    /// Whether the forest was grown on this lake; else it is the one that comes with the program.
    pub own_forest: bool,
    pub forest: Option<Forest>,
    /// What is normal for each agent; `None` of too few sessions, and of a model for other lakes.
    pub baseline: Option<Baseline>,
    /// The window that training never replaces by itself.
    pub reference: Option<Reference>,
    /// What had moved since then when the model was trained.
    #[serde(skip)]
    pub drift: Vec<Drift>,
}

static DEFAULT: LazyLock<Option<Model>> = LazyLock::new(|| {
    let text = zstd::decode_all(BUILTIN).ok()?;
    Model::parse(std::str::from_utf8(&text).ok()?, "built-in").ok()
});

/// The model that comes with the program.
pub fn builtin_model() -> Option<&'static Model> {
    DEFAULT.as_ref()
}

/// The forest that comes with the program.
pub fn builtin() -> Option<&'static Forest> {
    DEFAULT.as_ref().and_then(|model| model.forest.as_ref())
}

/// What names the model that comes with the program in `scores` and in alerts.
pub fn builtin_id() -> String {
    format!("built-in-{SCORER}")
}

/// Microseconds of a day.
const DAY: f64 = 86_400e6;

/// Why a file is no model for this program.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read the model `{path}`: {cause}")]
    Read { path: String, cause: std::io::Error },
    #[error("`{path}` is no model: {cause}; make one with `calltrail train --out {path}`")]
    NoModel { path: String, cause: String },
    #[error("the model `{path}` {problem}; train it again with `calltrail train --out {path}`")]
    Mismatch { path: String, problem: String },
}

impl Model {
    /// The model of what was learned. `reference` is the window of an earlier model that this one goes on with; a model for other lakes keeps nothing that is
    /// peculiar to this one.
    pub fn new(
        lessons: &Lessons,
        fitted: Fitted,
        mut trained: Training,
        reference: Option<Reference>,
        portable: bool,
    ) -> Self {
        let times = lessons.times.times;
        trained.sessions = fitted.sessions;
        trained.calls = lessons.calls;
        trained.left_out = lessons.left_out;
        (trained.since, trained.until) = (times.map(|(first, _)| first), times.map(|(_, last)| last));
        let drift = reference.as_ref().map(|reference| reference.drift(lessons.normal())).unwrap_or_default();
        let reference =
            reference.unwrap_or_else(|| Reference::new(lessons.normal().collect::<Vec<_>>().into_iter(), times));
        let Fitted { forest, baseline, normal, .. } = fitted;
        if portable {
            trained.lake_versions.clear();
        }
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            scorer: SCORER.to_owned(),
            features: Self::feature_names(),
            trained,
            normal,
            own_forest: forest.is_some(),
            forest: forest.or_else(|| builtin().cloned()),
            baseline: baseline.filter(|_| !portable),
            reference: (!portable).then_some(reference),
            drift,
        }
    }

    fn feature_names() -> Vec<String> {
        FEATURES.iter().chain(BEHAVIOUR).map(|(name, _)| (*name).to_owned()).collect()
    }

    /// What sessions are scored with.
    pub fn scorer(&self) -> Scorer<'_> {
        Scorer { forest: self.forest.as_ref(), baseline: self.baseline.as_ref(), normal: Some(&self.normal) }
    }

    /// Sessions a day in the time that it was trained on.
    pub fn sessions_per_day(&self) -> f64 {
        let span = self.trained.since.zip(self.trained.until).map_or(0, |(since, until)| until.saturating_sub(since));
        self.trained.sessions as f64 / (span as f64 / DAY).max(1.0)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and finite numbers are JSON")
    }

    /// Names the model by its content: the same lake and program give the same id.
    pub fn id(&self) -> String {
        format!("{SCORER}-{}", &blake3::hash(self.to_json().as_bytes()).to_hex()[..12])
    }

    /// Reads a model's text; `path` is for the message.
    ///
    /// # Errors
    /// It is no model, or one of another version, or of other features.
    pub fn parse(text: &str, path: &str) -> Result<Self, ModelError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            format_version: u32,
        }
        let path = path.to_owned();
        let no_model = |cause: String| ModelError::NoModel { path: path.clone(), cause };
        let head: Head = serde_json::from_str(text).map_err(|cause| no_model(cause.to_string()))?;
        if head.format != FORMAT {
            return Err(no_model(format!("its format is `{}`", crate::visible::visible(&head.format))));
        }
        let mismatch = |problem: String| ModelError::Mismatch { path: path.clone(), problem };
        if head.format_version != FORMAT_VERSION {
            return Err(mismatch(format!(
                "has format version {}, this program reads {FORMAT_VERSION}",
                head.format_version
            )));
        }
        let model: Self = serde_json::from_str(text).map_err(|cause| no_model(cause.to_string()))?;
        if model.scorer != SCORER || model.features != Self::feature_names() {
            return Err(mismatch("was made with other features or another score".to_owned()));
        }
        if model.forest.as_ref().is_some_and(|forest| !forest.is_sound(FEATURES.len())) || !model.normal.is_sound() {
            return Err(no_model("its forest is damaged".to_owned()));
        }
        if model.baseline.as_ref().is_some_and(|baseline| !baseline.is_sound()) {
            return Err(no_model("its baseline is damaged".to_owned()));
        }
        Ok(model)
    }

    /// Reads a model's file.
    ///
    /// # Errors
    /// As for [`Self::parse`], or the file cannot be read.
    pub fn load(path: &std::path::Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|cause| ModelError::Read { path: name.clone(), cause })?;
        Self::parse(&text, &name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::normal::Scores;

    #[test]
    fn a_model_is_read_back_and_others_are_refused() {
        let scores = [0.25, 0.5].map(|new| Scores { agent: None, folds: [0, 1], known: None, new });
        let model = Model {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            scorer: SCORER.to_owned(),
            features: Model::feature_names(),
            trained: Training::default(),
            normal: Normal::new(&scores, Vec::new(), [Vec::new(), Vec::new()], true),
            own_forest: false,
            forest: None,
            baseline: Some(Baseline::default()),
            reference: Some(Reference::default()),
            drift: Vec::new(),
        };
        let damaged = model.to_json();
        assert!(
            Model::parse(&damaged, "m.json").is_err_and(|error| error.to_string().contains("its baseline is damaged"))
        );
        let model = Model { baseline: None, ..model };
        let text = model.to_json();
        let read = Model::parse(&text, "m.json").expect("its own text");
        assert_eq!((&read, read.id()), (&model, model.id()));
        assert!(
            builtin().is_some_and(|forest| forest.is_sound(FEATURES.len())),
            "the built-in model is not of this version: make it anew"
        );
        for (wrong, message) in [
            ("{}", "is no model"),
            ("[", "is no model"),
            (&text.replace(FORMAT, "other"), "its format is `other`"),
            (
                &text.replace("\"format_version\":4", "\"format_version\":9"),
                "has format version 9, this program reads 4",
            ),
            (&text.replace("\"rule\"", "\"role\""), "other features"),
        ] {
            let refused = Model::parse(wrong, "m.json").expect_err("refused").to_string();
            assert!(refused.contains(message) && refused.contains("calltrail train"), "{refused}");
        }
    }
}
