//! What would become of an input: which format, why, what each record says, what is not understood. Nothing is kept.
//!
//! Records take the way that ingest takes, so secrets are replaced here too. Where a column comes from is known for
//! mappings; for built-in formats it is found by looking for the column's value in the record.

use super::decode::{self, Known, SourceView};
use super::one_input::HEAD_RECORDS;
use super::unknown::shape_of;
use crate::call::{Bits, Call, Outcome, Position, Text, filled_columns};
use crate::enrich::{EnrichOptions, Enricher};
use crate::source::frame::{Framer, Framing};
use crate::source::input::{Input, Limits};
use crate::source::json::{self, Object};
use crate::source::mapping::{Mapping, Origins};
use crate::source::registry::Formats;
use crate::source::{Decoded, Event, Hints, Record, time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Records that are counted, beyond those that are shown.
const SCANNED: u64 = 10_000;
/// Bytes of the input that are looked at.
const SCANNED_BYTES: u64 = 64 << 20;
/// Records of no known format that are kept for a draft, and bytes of them.
const SAMPLED: usize = 300;
const SAMPLED_BYTES: usize = 8 << 20;
/// Values of one record among which a column's origin is looked for.
const VALUES: usize = 300;
/// Pointers that are listed as not read.
const UNREAD: usize = 40;

/// Columns that the record's place says, or that follow from others.
const DERIVED: &[&str] = &[
    "source_file",
    "source_format",
    "source_line",
    "source_offset",
    "source_length",
    "response_line",
    "response_offset",
    "response_length",
    "arguments_bytes",
    "result_bytes",
    "capabilities",
];

/// What is known of an input.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub input: String,
    /// By its first bytes; `None`: none that is known.
    pub compression: Option<&'static str>,
    pub framing: Framing,
    /// `None`: nobody knows it.
    pub format: Option<Detected>,
    /// Records of the head by format, most first.
    pub votes: Vec<Vote>,
    /// Records of the head that were asked.
    pub head_records: u64,
    /// What an unknown input looks like.
    pub shape: Option<String>,
    /// Records that were looked at, and what they were.
    pub scanned: Scanned,
    /// The input goes on behind what was looked at.
    pub more: bool,
    pub rejects: Vec<Reason>,
    /// Places whose values are in no column, and in how many records.
    pub not_read: Vec<Unread>,
    pub records: Vec<Seen>,
    /// Records of no known format.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// A format that was detected.
#[derive(Clone, Debug, Serialize)]
pub struct Detected {
    pub id: String,
    pub title: String,
    pub evidence: String,
    pub is_mapping: bool,
}

/// Records that a format claimed.
#[derive(Clone, Debug, Serialize)]
pub struct Vote {
    pub format: String,
    pub records: u64,
}

/// How many records were what.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Scanned {
    pub records: u64,
    /// They said something.
    pub understood: u64,
    /// Known noise.
    pub noise: u64,
    pub rejected: u64,
    /// Of those, the ones of no known format.
    pub unknown: u64,
}

/// Why records were rejected.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    pub reason: String,
    pub records: u64,
    pub first_line: i64,
}

/// A place whose value is in no column.
#[derive(Clone, Debug, Serialize)]
pub struct Unread {
    pub place: String,
    pub records: u64,
}

/// One record.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub line: i64,
    pub offset: i64,
    pub length: i64,
    /// The format that claimed it.
    pub format: Option<String>,
    /// Why it is rejected.
    pub reject: Option<String>,
    /// Empty and not rejected: noise.
    pub events: Vec<SeenEvent>,
    pub not_read: Vec<String>,
}

/// One thing that a record says.
#[derive(Clone, Debug, Serialize)]
pub struct SeenEvent {
    /// `call`, `request`, `response`, `prompt`, …
    pub kind: &'static str,
    pub columns: Vec<Filled>,
}

/// One column.
#[derive(Clone, Debug, Serialize)]
pub struct Filled {
    pub column: &'static str,
    pub value: String,
    /// Where in the record, as far as known.
    pub from: Option<String>,
}

/// Explains an input, showing its first `shown` records.
///
/// # Errors
/// The input cannot be read.
pub fn explain(input: &Input, formats: &Arc<Formats>, shown: usize) -> io::Result<Explanation> {
    let compression = compression(input)?;
    let mut framer = Framer::new(input.open(Limits::default())?, 0, blake3::Hasher::new(), None)?;
    let hints = input.hints();
    let mut view = view_of(formats, hints);
    view.table = framer.table().map(Arc::new);
    let votes = decode::votes(framer.head(), framer.framing(), &view, HEAD_RECORDS);
    view.known = decode::most_votes(&votes);
    let detected = view.known.and_then(|at| formats.get(at).map(|format| (at, format)));
    let mut counted: Vec<Vote> = votes
        .iter()
        .enumerate()
        .filter(|(_, records)| **records > 0)
        .filter_map(|(at, records)| Some(Vote { format: formats.get(at)?.id().to_owned(), records: *records }))
        .collect();
    counted.sort_by_key(|vote| std::cmp::Reverse(vote.records));
    let mut out = Explanation {
        input: input.name(),
        compression,
        framing: framer.framing(),
        format: detected.map(|(at, format)| Detected {
            id: format.id().to_owned(),
            title: format.title().to_owned(),
            evidence: format.evidence().to_owned(),
            is_mapping: formats.mapping(at).is_some(),
        }),
        votes: counted,
        head_records: 0,
        shape: detected.is_none().then(|| shape_of(framer.head())).filter(|shape| !shape.is_empty()),
        scanned: Scanned::default(),
        more: false,
        rejects: Vec::new(),
        not_read: Vec::new(),
        records: Vec::new(),
        unknown: Vec::new(),
    };
    let mut reader = Reader::new(&view, shown);
    while let Some(chunk) = framer.next_chunk()? {
        reader.read(&chunk, &mut out);
        if out.scanned.records >= SCANNED || reader.bytes >= SCANNED_BYTES {
            out.more = framer.next_chunk()?.is_some() || out.more;
            break;
        }
    }
    out.head_records = out.scanned.records.min(HEAD_RECORDS as u64);
    out.rejects = reader.rejects.into_values().collect();
    out.rejects.sort_by_key(|reason| (std::cmp::Reverse(reason.records), reason.first_line));
    let unread = reader.unread.into_iter().map(|(place, records)| Unread { place, records });
    out.not_read = unread.collect();
    out.not_read.sort_by_key(|unread| std::cmp::Reverse(unread.records));
    out.not_read.truncate(UNREAD);
    Ok(out)
}

/// How many of these records of an input mappings make something of.
pub fn understood(input: &Input, records: &[String], mappings: Vec<Mapping>) -> usize {
    let view = view_of(&Arc::new(Formats::new(mappings)), input.hints());
    let mut decoded = Decoded::default();
    let mut votes = vec![0; view.formats.count()];
    let mut reads = |text: &String| {
        decoded.clear();
        let known =
            decode::one(text, false, Position::default(), &view, &mut decoded, &mut votes, &mut Bits::default());
        matches!(known, Known::Events)
    };
    records.iter().filter(|text| reads(text)).count()
}

fn view_of(formats: &Arc<Formats>, hints: Hints) -> SourceView {
    SourceView { hints, file: Text::default(), formats: Arc::clone(formats), known: None, table: None }
}

/// The compression that the first bytes of a file show.
fn compression(input: &Input) -> io::Result<Option<&'static str>> {
    let head = input.first_bytes(6)?;
    let known: [(&[u8], &str); 4] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (b"BZh", "bzip2"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
    ];
    Ok(known.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name))
}

/// Goes through the records.
struct Reader<'a> {
    view: &'a SourceView,
    shown: usize,
    enricher: Enricher,
    /// Line ends before the chunk.
    lines: i64,
    bytes: u64,
    sampled: usize,
    rejects: BTreeMap<String, Reason>,
    unread: BTreeMap<String, u64>,
}

impl<'a> Reader<'a> {
    fn new(view: &'a SourceView, shown: usize) -> Self {
        // Nobody sees the same fingerprint twice, so it tells nothing of a secret.
        let key = *blake3::hash(uuid::Uuid::new_v4().as_bytes()).as_bytes();
        let enricher = Enricher::new(EnrichOptions::new(key));
        let (rejects, unread) = (BTreeMap::new(), BTreeMap::new());
        Self { view, shown, enricher, lines: 1, bytes: 0, sampled: 0, rejects, unread }
    }

    fn read(&mut self, chunk: &crate::source::frame::Chunk, out: &mut Explanation) {
        if let Some((reason, length)) = chunk.refused {
            let position = Position { line: self.lines, offset: chunk.offset as i64, length: length as i64 };
            out.scanned.records += 1;
            self.rejected(position, None, reason.to_owned(), out);
            self.lines += 1;
        } else {
            for piece in decode::pieces(chunk) {
                let (text, lossy) = piece.text(chunk, None);
                if text.is_empty() {
                    continue;
                }
                if out.scanned.records >= SCANNED {
                    out.more = true;
                    break;
                }
                let position = piece.position(chunk);
                self.record(&text, lossy, Position { line: self.lines + position.line, ..position }, out);
            }
            self.lines += memchr::memchr_iter(b'\n', &chunk.bytes).count() as i64;
        }
        self.bytes += chunk.length();
    }

    fn record(&mut self, text: &str, lossy: bool, position: Position, out: &mut Explanation) {
        let mut decoded = Decoded::default();
        let mut votes = vec![0; self.view.formats.count()];
        let mut flags = Bits::default();
        let known = decode::one(text, lossy, position, self.view, &mut decoded, &mut votes, &mut flags);
        out.scanned.records += 1;
        let at = votes.iter().position(|votes| *votes > 0);
        let format = at.and_then(|at| self.view.formats.get(at)).map(|format| format.id().to_owned());
        match known {
            Known::Events => out.scanned.understood += 1,
            Known::Noise => out.scanned.noise += 1,
            Known::Rejected(reason) => {
                if format.is_none() {
                    self.unknown(text, out);
                }
                return self.rejected(position, format, reason, out);
            }
        }
        let shown = out.records.len() < self.shown;
        if decoded.events.is_empty() && !shown {
            return;
        }
        let object = Object::parse(text).ok();
        let record = Record { text, json: object.as_ref(), position, lossy, hints: &self.view.hints };
        let origins = at.and_then(|at| self.view.formats.mapping(at)).and_then(|mapping| mapping.origins(&record));
        let values = object.as_ref().map(|object| json::values(object, VALUES)).unwrap_or_default();
        let mut events: Vec<SeenEvent> = Vec::new();
        for event in decoded.events {
            let item = decode::enrich(event, position, flags, self.view, &self.enricher);
            events.push(seen_event(&item.event, origins.as_ref(), &values));
        }
        let not_read = match origins {
            Some(origins) => origins.unread,
            None if events.is_empty() => Vec::new(),
            None => in_no_column(&values, &events),
        };
        for place in &not_read {
            if self.unread.len() < 10 * UNREAD || self.unread.contains_key(place) {
                *self.unread.entry(place.clone()).or_default() += 1;
            }
        }
        if shown {
            let Position { line, offset, length } = position;
            out.records.push(Seen { line, offset, length, format, reject: None, events, not_read });
        }
    }

    fn unknown(&mut self, text: &str, out: &mut Explanation) {
        out.scanned.unknown += 1;
        // A mapping sees the rows of a table as objects.
        let object = self.view.table.as_ref().and_then(|table| table.object(text));
        let text = object.as_deref().unwrap_or(text);
        if out.unknown.len() < SAMPLED && self.sampled + text.len() <= SAMPLED_BYTES {
            self.sampled += text.len();
            out.unknown.push(text.to_owned());
        }
    }

    fn rejected(&mut self, position: Position, format: Option<String>, reason: String, out: &mut Explanation) {
        out.scanned.rejected += 1;
        let Position { line, offset, length } = position;
        let counted = self.rejects.entry(reason.clone()).or_insert_with(|| Reason {
            reason: reason.clone(),
            records: 0,
            first_line: line,
        });
        counted.records += 1;
        if out.records.len() < self.shown {
            let (reject, events, not_read) = (Some(reason), Vec::new(), Vec::new());
            out.records.push(Seen { line, offset, length, format, reject, events, not_read });
        }
    }
}

/// Pointer, raw JSON, whether nothing is inside.
type Values<'a> = [(String, &'a str, bool)];

fn seen_event(event: &Event, origins: Option<&Origins>, values: &Values<'_>) -> SeenEvent {
    let (kind, call): (_, Option<&Call>) = match event {
        Event::Request { call, .. } | Event::Begins { call, .. } => ("request", Some(call)),
        Event::Response { call, .. } => ("response", Some(call)),
        Event::Call { call, .. } | Event::Ends { call, .. } => (call.event_kind.as_str(), Some(call)),
        Event::Amend { call, .. } => ("amendment", Some(call)),
        Event::Context { call, .. } => ("context", Some(call)),
        Event::Foreign { .. } => ("not of MCP", None),
        Event::Cancel { .. } => ("cancellation", None),
        Event::Trace { .. } => ("trace", None),
        Event::Turns { .. } | Event::Turn { .. } => ("request of the user", None),
        Event::Connection { opens: true, .. } => ("connection opens", None),
        Event::Connection { .. } => ("connection ends", None),
        Event::Prompt(_) => ("prompt", None),
        Event::Tools { .. } => ("tool definitions", None),
        Event::Instructions { .. } => ("instructions", None),
    };
    let columns = call.map(filled_columns).unwrap_or_default();
    let columns = columns.into_iter().filter(|(column, _)| !DERIVED.contains(column));
    let mut columns: Vec<Filled> = columns
        .map(|(column, value)| Filled { column, from: origin(column, &value, origins, values), value })
        .collect();
    let mut add =
        |column, value: String| columns.push(Filled { column, from: origin(column, &value, None, values), value });
    match event {
        Event::Prompt(prompt) => {
            add("text", prompt.text.clone());
            prompt.session_id.iter().for_each(|session| add("session_id", session.to_string()));
        }
        Event::Tools { tools, .. } => {
            add("tools", tools.iter().map(|tool| tool.tool.as_str()).collect::<Vec<_>>().join(", "));
        }
        Event::Instructions { text, .. } => add("instructions", text.clone()),
        Event::Trace { trace_id, session_id, .. } => {
            add("trace_id", trace_id.to_string());
            add("session_id", session_id.to_string());
        }
        Event::Response { call, .. } | Event::Call { call, .. } if call.outcome == Outcome::Unknown => {
            add("outcome", "unknown".to_owned());
        }
        _ => {}
    }
    SeenEvent { kind, columns }
}

/// Where a column's value stands in the record.
fn origin(column: &str, value: &str, origins: Option<&Origins>, values: &Values<'_>) -> Option<String> {
    if let Some(origins) = origins {
        // What the mapping calls otherwise than the lake does.
        let name = match column {
            "duration_ns" => "duration",
            "tool_raw" => "tool",
            "approval_wait_ns" => "approval_wait",
            // The time of a response is when the call ended.
            "time_end" if !origins.columns.iter().any(|(known, _)| *known == "time_end") => "time",
            other => other,
        };
        let of =
            |wanted: &str| origins.columns.iter().find(|(known, _)| *known == wanted).map(|(_, place)| place.clone());
        return of(name).or_else(|| of(column));
    }
    let moment = matches!(column, "time" | "time_end").then(|| time::rfc3339(value)).flatten();
    let holds = |raw: &str| match moment {
        Some(moment) => {
            let text = json::string(raw).unwrap_or(raw.into());
            time::rfc3339(&text).or_else(|| time::number(&text)) == Some(moment)
        }
        None => raw == value || json::string(raw).is_some_and(|text| text == value),
    };
    let mut found = values.iter().filter(|(_, raw, _)| holds(raw)).map(|(pointer, ..)| pointer);
    let (first, second) = (found.next(), found.next());
    // A value that stands at several places says nothing, unless the place has the column's name.
    let named = || values.iter().find(|(pointer, raw, _)| holds(raw) && pointer.ends_with(column)).map(|(p, ..)| p);
    if second.is_none() { first.cloned() } else { named().cloned() }
}

/// Places whose values no column shows.
fn in_no_column(values: &Values<'_>, events: &[SeenEvent]) -> Vec<String> {
    let columns: Vec<&Filled> = events.iter().flat_map(|event| &event.columns).collect();
    let shows = |pointer: &str, raw: &str| {
        let text = json::string(raw).unwrap_or(raw.into());
        columns.iter().any(|column| {
            let inside =
                |outer: &str| pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            column.from.as_deref().is_some_and(inside) || (text.len() > 2 && column.value.contains(text.as_ref()))
        })
    };
    let leaves = values.iter().filter(|(_, _, is_leaf)| *is_leaf);
    leaves.filter(|(pointer, raw, _)| !shows(pointer, raw)).map(|(pointer, ..)| pointer.clone()).collect()
}
