//! Orders that were read in a result and carried out: which sentence of an earlier result names a call's action and values.
//!
//! ```text
//! result text ─ sentences ─ directive strength ─▶ Directives ─▶ best match, its score, its reasons
//! call ─ tool's words, values, identifiers ──────────▲
//! ```
//!
//! Pure functions of the texts: no I/O, no clock, no state beyond one session. A high score says that the log looks as if the agent obeyed the sentence. The
//! same log is written when the user asked for exactly that.

mod call;
mod expected;
mod facts;
mod identifier;
mod idf;
mod order;
mod other_languages;
mod score;
mod strength;
mod text;
mod trigrams;
mod verbs;
mod words;

pub use call::{CallText, ToolText};
pub use identifier::{Identifier, Kind, identifiers};
pub use idf::Idf;
pub use order::Match;
pub use score::Directives;
pub use strength::STRICT;
pub use verbs::Verbs;
pub(crate) use verbs::groups;
pub use words::{Token, name_words, tokens};

#[cfg(test)]
mod tests;
