//! The model as a file: what it was calibrated on, and the refusal of what does not fit.

use super::calibration::Calibration;
use super::features::{FEATURES, LEARNED};
use super::forest::Forest;
use super::read::Scored;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The model that comes with the program; docs/model.md says how it was grown.
const BUILTIN: &[u8] = include_bytes!("default.json.zst");

/// Version of the file's form; raised whenever an older program would read it wrongly.
const FORMAT_VERSION: u32 = 1;
const FORMAT: &str = "calltrail-model";
/// Version of the score: p-values of another one mean nothing.
const SCORER: &str = "order-match-2";

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
    pub calibration: Calibration,
    /// Whether the forest was grown on this lake; else it is the one that comes with the program.
    pub own_forest: bool,
    pub forest: Option<Forest>,
}

static DEFAULT: LazyLock<Option<Forest>> = LazyLock::new(|| {
    let text = zstd::decode_all(BUILTIN).ok()?;
    Model::parse(std::str::from_utf8(&text).ok()?, "built-in").ok()?.forest
});

/// The forest that comes with the program.
pub fn builtin() -> Option<&'static Forest> {
    DEFAULT.as_ref()
}

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
    /// The model of these sessions.
    pub fn train(scored: &Scored, mut trained: Training, own_forest: Option<Forest>) -> Self {
        trained.sessions = scored.sessions.len() as u64;
        trained.calls = scored.calls;
        trained.since = scored.times.map(|(first, _)| first);
        trained.until = scored.times.map(|(_, last)| last);
        let scores = scored.sessions.iter().map(|session| (session.agent.clone(), session.score));
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            scorer: SCORER.to_owned(),
            features: FEATURES.iter().map(|(name, _)| (*name).to_owned()).collect(),
            trained,
            calibration: Calibration::new(scores),
            own_forest: own_forest.is_some(),
            forest: own_forest.or_else(|| builtin().cloned()),
        }
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
        if model.scorer != SCORER || !model.features.iter().eq(FEATURES.iter().map(|(name, _)| name)) {
            return Err(mismatch("was made with other features or another score".to_owned()));
        }
        if model.forest.as_ref().is_some_and(|forest| !forest.is_sound(LEARNED)) {
            return Err(no_model("its forest is damaged".to_owned()));
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

    #[test]
    fn a_model_is_read_back_and_others_are_refused() {
        let model = Model::train(&Scored::default(), Training::default(), None);
        let text = model.to_json();
        let read = Model::parse(&text, "m.json").expect("its own text");
        assert_eq!((&read, read.id()), (&model, model.id()));
        assert!(
            builtin().is_some_and(|forest| forest.is_sound(LEARNED)),
            "the built-in model is not of this version: make it anew"
        );
        for (wrong, message) in [
            ("{}", "is no model"),
            ("[", "is no model"),
            (&text.replace(FORMAT, "other"), "its format is `other`"),
            (
                &text.replace("\"format_version\":1", "\"format_version\":9"),
                "has format version 9, this program reads 1",
            ),
            (&text.replace("\"rule\"", "\"role\""), "other features"),
        ] {
            let refused = Model::parse(wrong, "m.json").expect_err("refused").to_string();
            assert!(refused.contains(message) && refused.contains("calltrail train"), "{refused}");
        }
    }
}
