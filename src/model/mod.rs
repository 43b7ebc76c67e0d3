//! The behaviour model: which sessions look as if the agent had obeyed somebody else, and why.
//!
//! ```text
//! lake ─ read ─▶ features of each call ─▶ score, reasons ─▶ session = its worst call ─ calibration ─▶ p-value ─▶ table `scores`
//! ```
//!
//! See `docs/model.md`: what each feature is, what was measured, what the model cannot see.

pub mod calibration;
mod features;
mod forest;
mod planted;
mod read;
mod saved;
mod score;
mod table;

pub use features::{CallFeatures, FEATURES, SessionWatch};
pub use forest::Forest;
pub use planted::Sample;
pub use read::{Scored, ScoredCall, ScoredSession, Tools, score_lake};
pub use saved::{Model, ModelError, Training, builtin};
pub use score::{Reason, explain, reasons, score};
pub use table::{Judged, alerted, judge, store};
