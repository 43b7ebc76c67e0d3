//! Bytes → records → events: reading logs, whatever their format. Pure and synchronous; no lake, no clock.
//!
//! `input` finds and opens inputs, `frame` cuts bytes into records with their position, `format` turns one
//! record into [`Event`]s, `pairing` (sequential) turns events into whole [`Call`]s. A format keeps no state:
//! what one record says about later ones it emits as [`Event::Context`], and `pairing` applies it.

pub mod format;
pub mod frame;
pub mod input;
pub mod json;
pub mod mapping;
pub mod pairing;
pub mod registry;
pub mod sqlite;
pub mod time;

use crate::call::{Call, IdType, Nanos, Outcome, Position, Prompt, Side, Text, ToolDefinition};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// One record of a log: a line, or one JSON document.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The text, line end removed, invalid UTF-8 replaced (then `lossy`).
    pub text: &'a str,
    /// Its members if it is a JSON object; already validated as JSON.
    pub json: Option<&'a json::Object<'a>>,
    /// Where it stands.
    pub position: Position,
    /// Whether bytes had to be replaced.
    pub lossy: bool,
    /// What the input's name says.
    pub hints: &'a Hints,
}

/// What the name of an input tells a format. Nothing in it is trusted more than the records themselves.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// File name without folder and compression suffix.
    pub file_name: String,
    /// Server alias that the file name carries (`mcp-server-NAME.log`, `stdio_NAME.jsonl` does not).
    pub server: Option<Text>,
    /// Modification time of the file, for records without a time.
    pub mtime: Option<Nanos>,
}

/// What one record turned out to be.
#[derive(Debug, Default)]
pub struct Decoded {
    /// In the order of the record.
    pub events: Vec<Event>,
    /// Parts of the record that could not be read, beside those that could.
    pub rejected: Vec<RejectedPart>,
    /// Stands for the format that read the record; see [`origin`].
    pub origin: u64,
}

/// A number that stands for a format: what its records say of lanes and ids holds among them only (FNV-1a of its id).
pub fn origin(format: &str) -> u64 {
    format.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Parts of one record that are rejected one by one: a record of 64 MiB may have ten millions.
const MAX_REJECTED: usize = 1000;

/// A part of a record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedPart {
    pub text: String,
    pub reject: Reject,
}

/// A record that a format claimed and cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Short, lower case, without data of the log: it becomes a column to group by.
    pub reason: String,
}

impl Reject {
    /// A reject with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The stream of messages inside a source that a record belongs to: what keeps concurrent connections apart
/// before any id is compared. Empty: the source itself is the lane. Formats build it from what the record says
/// (session id, process id, HTTP path, server name), never from its position.
pub type Lane = Text;

/// A JSON-RPC id, exactly as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Id {
    pub kind: IdType,
    pub text: Text,
}

/// How the two halves of a call find each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PairKey {
    /// A JSON-RPC id: unique per requesting side inside one connection of one lane, reused freely elsewhere.
    JsonRpc { lane: Lane, side: Side, id: Id },
    /// An id that is unique by itself within the session (`toolu_…`), wherever the halves stand.
    Global { session: Text, id: Text },
}

/// What a record says.
#[derive(Debug)]
pub enum Event {
    /// A request, or a notification (then `key` is `None`).
    Request { key: Option<PairKey>, lane: Lane, call: Box<Call> },
    /// A response. Only response-side fields of the call are filled: `result*`, `outcome`, `error_*`, `time_end`,
    /// `response` position is filled by the caller. `maybe_foreign`: the log pairs other things by the same ids
    /// (built-in tools), so without a request this is not an orphan of ours.
    Response { key: PairKey, lane: Lane, call: Box<Call>, maybe_foreign: bool },
    /// A call that the record holds whole. `lane` is the scope whose context fills what is empty.
    Call { lane: Lane, call: Box<Call> },
    /// A call begins that a record behind it holds whole, unless the program is ended before: then this is all that is known of it.
    Begins { key: PairKey, call: Box<Call> },
    /// A call that the record holds whole, perhaps after its beginning was told of.
    Ends { key: PairKey, call: Box<Call> },
    /// Something about a call whose halves stand elsewhere: names, measured duration, approval. Only the fields
    /// that the record knows are filled; they win over what the halves derive.
    Amend { key: PairKey, call: Box<Call> },
    /// Something that is paired by the same ids is none of ours (a built-in tool), so its response is not waited for.
    Foreign { key: PairKey },
    /// `notifications/cancelled`: the request will not be answered, because it was cancelled or took too long (`outcome`). The
    /// notification itself is a `Request` of its own.
    Cancel { key: PairKey, time: Option<Nanos>, outcome: Outcome },
    /// Fills empty fields of later calls in the same lane, or of the whole source as far as it is of the context's own
    /// `source_format`: a file may hold several.
    Context { lane: Lane, whole_source: bool, call: Box<Call> },
    /// Names the conversation that a trace belongs to; calls with `SessionSource::Trace` take it.
    Trace { trace_id: Text, session_id: Text, agent: Option<Text> },
    /// The user's requests of the source from this place on (`usize::MAX`: behind all others). Calls name the one that they
    /// belong to by its place (`More::turn`).
    Turns { from: usize, turns: Vec<Turn> },
    /// What is new about one of them.
    Turn { at: usize, turn: Turn },
    /// A connection starts or ends; ids may start over.
    Connection { lane: Lane, opens: bool, time: Option<Nanos> },
    /// What the user asked.
    Prompt(Box<Prompt>),
    /// Tool definitions that do not stand in a `tools/list` response (those are read when it is paired).
    Tools { lane: Lane, session: Option<Text>, time: Option<Nanos>, tools: Vec<ToolDefinition> },
    /// Instructions that a server put into the model's context.
    Instructions { lane: Lane, session: Option<Text>, server: Option<Text>, time: Option<Nanos>, text: String },
}

/// A request of the user in a log that counts them, as far as it tells about the calls below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub time: Option<Nanos>,
    pub model: Option<Text>,
}

/// A line of another log that a record carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub text: String,
    /// When the carrier says that it was written.
    pub time: Option<Nanos>,
}

impl Decoded {
    /// Adds a part that cannot be read. Of very many, the last one stands for the rest.
    pub fn reject(&mut self, text: &str, reject: Reject) {
        match self.rejected.len().cmp(&MAX_REJECTED) {
            Ordering::Less => self.rejected.push(RejectedPart { text: text.to_owned(), reject }),
            Ordering::Equal => {
                let reject = Reject::new("further parts that cannot be read");
                self.rejected.push(RejectedPart { text: text.to_owned(), reject });
            }
            Ordering::Greater => {}
        }
    }

    /// Empties the lists, keeping their memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.rejected.clear();
    }
}
