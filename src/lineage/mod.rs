//! Sessions → flows: which data of a call's result went into a later call's arguments.
//!
//! Texts are compared as words ([`words`]), arguments first: they are small, and what they hold decides what to look for in results,
//! which are read once each. Nothing of a payload is kept but the short values that `flows` shows.

mod batch;
mod decode;
pub mod directive;
mod flow;
mod groups;
mod index;
mod joined;
mod known;
mod memory;
mod obeyed;
mod plan;
mod round;
mod scan;
mod seen;
mod session;
mod sink;
mod step;
mod value;
mod window;
mod words;

pub use batch::flows_to_batch;
pub use decode::Encoding;
pub use flow::{End, Flow, Kind};
pub use index::{CallText, Moment};
pub use memory::{PromptText, flows_of};
pub use round::prompt_texts;
pub use scan::Scratch;
pub use session::Session;
pub use step::{Updated, is_up_to_date, update};

#[cfg(test)]
mod tests;
