//! The behaviour model: which sessions look as if the agent had obeyed somebody else, or had stopped being itself, and why.
//!
//! ```text
//! lake ─ rows ─▶ watch ─▶ features of each call ─ forest ─▶ order ──────┐
//!                   └───▶ acts ─ profile ─ baseline ─▶ strangeness ──────┴▶ score, reasons ─ calibration ─▶ p-value ─▶ table `scores`
//! ```
//!
//! See `docs/model.md`: what each feature is, what was measured, what the model cannot see.

mod act;
pub mod baseline;
mod bins;
mod budget;
pub mod calibration;
mod drift;
mod features;
mod forest;
mod hash;
mod history;
mod isolation;
mod kinds;
pub mod labels;
mod learn;
mod means;
mod normal;
mod planted;
mod profile;
mod read;
mod request;
mod rows;
mod saved;
mod score;
mod scored;
mod sequence;
mod sessions;
mod table;
mod watch;

pub use baseline::Baseline;
pub use budget::Budget;
pub use drift::{Drift, MEASURES, Reference};
pub use features::{CallFeatures, FEATURES, SessionWatch};
pub use forest::Forest;
pub use isolation::IsolationForest;
pub use learn::{Fitted, Lesson, Lessons};
pub use normal::Normal;
pub use profile::BEHAVIOUR;
pub use read::{Scorer, score_lake};
pub use rows::Tools;
pub use saved::{Model, ModelError, Training, builtin, builtin_id, builtin_model};
pub use score::{Reason, explain, reasons, score};
pub use scored::{Parts, Scored, ScoredCall, ScoredSession};
pub use table::{Judged, UpdateError, Updated, alerted, judge, p_values, store, update};
