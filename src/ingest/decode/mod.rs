//! One chunk of records → enriched events. Runs on every core; knows nothing of what stands before the chunk.

mod around;
mod pieces;
mod reading;
mod repair;

pub(super) use pieces::{Piece, pieces};
pub(super) use reading::{Known, one};

use crate::call::{Bits, Call, EventKind, Flag, Position, ToolDefinition};
use crate::enrich::Enricher;
use crate::source::format::LogFormat;
use crate::source::frame::csv::Head;
use crate::source::frame::{self, Chunk, Framing};
use crate::source::pairing::Item;
use crate::source::registry::Formats;
use crate::source::{Decoded, Event, Hints, PairKey};
use serde::Serialize;
use std::sync::Arc;

/// Bytes of a reject that are looked at for secrets before its first characters are kept.
pub(super) const FIRST_BYTES: usize = 64 << 10;

/// A piece of input that is no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RejectedPiece {
    pub(super) position: Position,
    pub(super) reason: String,
    pub(super) first_bytes: String,
}

/// What a chunk held. Lines count from 0 at the chunk's start.
#[derive(Debug, Default)]
pub(super) struct DecodedChunk {
    pub(super) items: Vec<Item>,
    pub(super) rejects: Vec<RejectedPiece>,
    pub(super) counts: Counts,
    /// The last record of the stream has no end and said nothing so far.
    pub(super) open_tail: Option<Unfinished>,
    /// The last record of the stream was read as it stands, and may go on.
    pub(super) cut: Option<CutRecord>,
    /// Bytes of the line end that it begins with.
    pub(super) line_end: u64,
    /// Verdicts on signed records.
    pub(super) signatures: SignatureCounts,
    /// The last line of the stream has no end but was read; whether it was a call's.
    pub(super) unterminated: Option<bool>,
    /// Digest of the stream up to the chunk's end, hex.
    pub(super) digest: String,
    /// The chunk's buffer, to be filled again.
    pub(super) buffer: Vec<u8>,
}

/// A last record without an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Else: noise.
    pub(super) is_rejected: bool,
}

/// A last record without a line end that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutRecord {
    /// In the stream.
    pub(super) offset: i64,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Its first item among those of the chunk.
    pub(super) first_item: usize,
}

/// Where the bytes of a source went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) bytes: u64,
    /// Of records that said something about calls, prompts, tools or sessions.
    pub(super) bytes_calls: u64,
    pub(super) bytes_rejected: u64,
    /// Of blank lines and known noise.
    pub(super) bytes_ignored: u64,
    pub(super) lines: u64,
    pub(super) ignored: u64,
    pub(super) rejects: u64,
}

/// Signed records by whether their signature fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SignatureCounts {
    pub verified: u64,
    pub wrong: u64,
    /// Not signed, or not in a way that is known.
    pub missing: u64,
}

impl SignatureCounts {
    fn note(&mut self, event: &Event) {
        if let Event::Call { call, .. } = event {
            self.verified += u64::from(call.flags.has(Flag::SignatureVerified as u32));
            self.wrong += u64::from(call.flags.has(Flag::SignatureWrong as u32));
            self.missing += u64::from(call.flags.has(Flag::SignatureMissing as u32));
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.verified += other.verified;
        self.wrong += other.wrong;
        self.missing += other.missing;
    }
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.bytes_calls += other.bytes_calls;
        self.bytes_rejected += other.bytes_rejected;
        self.bytes_ignored += other.bytes_ignored;
        self.lines += other.lines;
        self.ignored += other.ignored;
        self.rejects += other.rejects;
    }
}

/// What decoding needs to know of the source.
#[derive(Clone)]
pub(super) struct SourceView {
    pub(super) hints: Hints,
    pub(super) file: crate::call::Text,
    pub(super) formats: Arc<Formats>,
    /// Number of the format of most records; `None`: nobody knows the file.
    pub(super) known: Option<usize>,
    /// The columns of a table.
    pub(super) table: Option<Arc<Head>>,
}

impl SourceView {
    /// The format of most records.
    pub(super) fn format(&self) -> Option<&dyn LogFormat> {
        self.formats.get(self.known?)
    }
}

/// Decodes one chunk.
pub(super) fn decode(chunk: Chunk, source: &SourceView, enricher: &Enricher) -> DecodedChunk {
    let mut decoded = decode_records(&chunk, source, enricher);
    decoded.buffer = chunk.bytes;
    decoded
}

fn decode_records(chunk: &Chunk, source: &SourceView, enricher: &Enricher) -> DecodedChunk {
    let mut out = DecodedChunk { digest: chunk.digest.to_hex().to_string(), ..DecodedChunk::default() };
    let votes = vec![0; source.formats.count()];
    out.counts.bytes = chunk.length();
    if let Some((reason, length)) = chunk.refused {
        let position = Position { line: 0, offset: chunk.offset as i64, length: length as i64 };
        out.reject(position, reason.to_owned(), &chunk.bytes, length);
        out.counts.lines = 1;
        return out;
    }
    out.line_end = match chunk.bytes.as_slice() {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    // Once for all its records, because nearly all logs are UTF-8 throughout.
    let valid = std::str::from_utf8(&chunk.bytes).ok();
    let mut work = Work { chunk, valid, source, enricher, votes, decoded: Decoded::default(), out };
    for piece in pieces(chunk) {
        work.piece(&piece);
    }
    let mut out = work.out;
    out.counts.lines = memchr::memchr_iter(b'\n', &chunk.bytes).count() as u64;
    if chunk.bytes.last().is_some_and(|b| *b != b'\n') && chunk.ends_open {
        out.counts.lines += 1;
    }
    if chunk.records.is_some() {
        // White space, commas and brackets between records.
        let used = out.counts.bytes_calls + out.counts.bytes_ignored + out.counts.bytes_rejected;
        out.counts.bytes_ignored += out.counts.bytes - used;
    }
    out
}

/// Decodes the records of a chunk.
struct Work<'a> {
    chunk: &'a Chunk,
    /// The chunk, if all of it is UTF-8.
    valid: Option<&'a str>,
    source: &'a SourceView,
    enricher: &'a Enricher,
    votes: Vec<u64>,
    decoded: Decoded,
    out: DecodedChunk,
}

impl Work<'_> {
    fn piece(&mut self, piece: &Piece) {
        let position = piece.position(self.chunk);
        let (text, lossy) = piece.text(self.chunk, self.valid);
        let mut flags = Bits::default();
        let mut known = self.one(&text, lossy, position, &mut flags);
        if let Some(parts) = &piece.parts
            && !matches!(known, Known::Events)
        {
            let lines = piece.apart(self.chunk);
            if parts.is_whole && lines.iter().any(|line| self.is_known(line)) {
                // The end of the first is missing: what follows it is whole by itself.
                self.decoded.clear();
                return lines.iter().for_each(|line| self.piece(line));
            }
            if !parts.is_whole {
                known = Known::Rejected("a line in parts, of which the last is missing".to_owned());
            }
        }
        let before = (self.out.items.len(), self.out.rejects.len(), self.out.counts.bytes_calls);
        self.take(piece, position, known, text.is_empty(), flags);
        self.decoded.clear();
        let (first_item, rejects, bytes_calls) = before;
        let has_calls = self.out.counts.bytes_calls > bytes_calls && self.out.rejects.len() == rejects;
        let is_last = self.chunk.ends_open && piece.end == self.chunk.bytes.len() && piece.parts.is_none();
        if is_last && has_calls && !is_whole(&text) {
            let Unfinished { bytes, lines, .. } = self.unfinished(piece, false);
            self.out.cut = Some(CutRecord { offset: position.offset, bytes, lines, first_item });
        }
    }

    fn unfinished(&self, piece: &Piece, is_rejected: bool) -> Unfinished {
        let lines = self.chunk.bytes[piece.start..].split_inclusive(|byte| *byte == b'\n').count();
        Unfinished { bytes: piece.bytes(), lines: lines as u64, is_rejected }
    }

    fn one(&mut self, text: &str, lossy: bool, position: Position, flags: &mut Bits) -> Known {
        if text.is_empty() {
            return Known::Noise;
        }
        one(text, lossy, position, self.source, &mut self.decoded, &mut self.votes, flags)
    }

    /// Whether a format makes something of the record.
    fn is_known(&mut self, piece: &Piece) -> bool {
        self.decoded.clear();
        let (text, lossy) = piece.text(self.chunk, self.valid);
        matches!(self.one(&text, lossy, piece.position(self.chunk), &mut Bits::default()), Known::Events)
    }

    fn take(&mut self, piece: &Piece, position: Position, known: Known, is_blank: bool, flags: Bits) {
        let is_last = self.chunk.ends_open && piece.end == self.chunk.bytes.len();
        let tail = is_last.then(|| self.unfinished(piece, matches!(known, Known::Rejected(_))));
        let (out, decoded, bytes) = (&mut self.out, &mut self.decoded, piece.bytes());
        if is_last && (piece.parts.is_none() || !self.chunk.bytes.ends_with(b"\n")) {
            out.unterminated = Some(matches!(known, Known::Events));
        }
        match known {
            Known::Events => {
                if decoded.events.iter().all(|event| matches!(event, Event::Foreign { .. })) {
                    out.counts.bytes_ignored += bytes;
                    out.counts.ignored += 1;
                } else {
                    out.counts.bytes_calls += bytes;
                }
                // The record's bytes are counted with what could be read of it.
                for part in decoded.rejected.drain(..) {
                    out.reject(position, part.reject.reason, part.text.as_bytes(), 0);
                }
                let origin = decoded.origin;
                for event in decoded.events.drain(..) {
                    out.signatures.note(&event);
                    let item = enrich(event, position, flags, self.source, self.enricher);
                    out.items.push(Item { origin, ..item });
                }
            }
            Known::Noise => {
                out.counts.bytes_ignored += bytes;
                out.counts.ignored += u64::from(!is_blank);
                if is_last && !is_blank {
                    out.unterminated = None;
                    out.open_tail = tail;
                }
            }
            Known::Rejected(reason) => {
                out.open_tail = tail;
                let reason = if is_last { format!("unfinished last record: {reason}") } else { reason };
                out.unterminated = None;
                out.reject(position, reason, &self.chunk.bytes[piece.start..piece.end], bytes);
            }
        }
    }
}

/// Whether nothing can be missing at the end of a record: it ends as its JSON does. Other text may stop anywhere.
fn is_whole(text: &str) -> bool {
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    text.find('{').is_some_and(|start| is_json(&text[start..])) || text.starts_with('[') && is_json(text)
}

/// Whether an archive begins (POSIX ustar): what its first file holds would look like that file's lines.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Records per format among the first records of a stream, so many of them at most.
pub(super) fn votes(head: &[u8], framing: Framing, source: &SourceView, most: usize) -> Vec<u64> {
    let mut votes = vec![0; source.formats.count()];
    if is_tar(head) {
        return votes;
    }
    let records = frame::records_of(head, framing);
    let digest = blake3::Hasher::new().finalize();
    let chunk = Chunk { bytes: head.to_vec(), offset: 0, records, refused: None, ends_open: true, digest };
    let mut decoded = Decoded::default();
    for piece in pieces(&chunk).into_iter().take(most) {
        let (text, lossy) = piece.text(&chunk, None);
        one(&text, lossy, piece.position(&chunk), source, &mut decoded, &mut votes, &mut Bits::default());
        decoded.clear();
    }
    votes
}

/// Number of the format with most votes; of equals the more specific one.
pub(super) fn most_votes(votes: &[u64]) -> Option<usize> {
    let voted = votes.iter().enumerate().filter(|(_, votes)| **votes > 0);
    voted.max_by_key(|(at, votes)| (**votes, std::cmp::Reverse(*at))).map(|(at, _)| at)
}

impl DecodedChunk {
    fn reject(&mut self, position: Position, reason: String, bytes: &[u8], length: u64) {
        self.counts.bytes_rejected += length;
        self.counts.rejects += 1;
        let first_bytes = String::from_utf8_lossy(&bytes[..bytes.len().min(FIRST_BYTES)]).into_owned();
        self.rejects.push(RejectedPiece { position, reason, first_bytes });
    }
}

/// Adds position, source and everything that can be told of the payload by itself.
pub(super) fn enrich(event: Event, position: Position, flags: Bits, source: &SourceView, enricher: &Enricher) -> Item {
    let mut item = Item { event, observables: Vec::new(), identity: None, origin: 0 };
    redact_keys(&mut item.event, enricher);
    let place = |call: &mut Call| {
        call.source = position;
        call.source_file = Some(source.file.clone());
        call.flags = call.flags.union(flags);
    };
    match &mut item.event {
        Event::Request { call, .. }
        | Event::Call { call, .. }
        | Event::Begins { call, .. }
        | Event::Ends { call, .. } => {
            place(call);
            let enriched = enricher.call(call);
            item.observables = enriched.observables;
            // An error about a message that nobody could read has no arguments, and nothing else to tell it by.
            let of_error = enriched.result_identity.filter(|_| call.event_kind == EventKind::Connection);
            item.identity = enriched.arguments_identity.or(of_error);
        }
        Event::Response { call, .. } => {
            place(call);
            call.response = Some(position);
            let enriched = enricher.call(call);
            item.observables = enriched.observables;
            item.identity = enriched.result_identity;
        }
        // What it fills into calls is not looked at again.
        Event::Context { call, .. } | Event::Amend { call, .. } => enricher.context(call),
        Event::Prompt(prompt) => {
            prompt.source = position;
            [&mut prompt.session_id, &mut prompt.agent, &mut prompt.client_name]
                .into_iter()
                .flatten()
                .for_each(|name| enricher.name(name));
            let enriched = enricher.text(&prompt.text, "prompt");
            prompt.text = enriched.text;
            item.observables = enriched.observables;
        }
        Event::Trace { session_id, agent, .. } => {
            enricher.name(session_id);
            agent.iter_mut().for_each(|name| enricher.name(name));
        }
        Event::Tools { tools, session, .. } => {
            session.iter_mut().for_each(|name| enricher.name(name));
            for tool in tools {
                enrich_tool(tool, enricher);
            }
        }
        Event::Instructions { text, server, session, .. } => {
            [server, session].into_iter().flatten().for_each(|name| enricher.name(name));
            *text = enricher.text(text, "instructions").text;
        }
        _ => {}
    }
    item
}

/// Redacts what halves find each other by, which is kept with them while they wait: names of sessions mostly.
fn redact_keys(event: &mut Event, enricher: &Enricher) {
    let (key, lane) = match event {
        Event::Request { key, lane, .. } => (key.as_mut(), Some(lane)),
        Event::Response { key, lane, .. } => (Some(key), Some(lane)),
        Event::Begins { key, .. }
        | Event::Ends { key, .. }
        | Event::Amend { key, .. }
        | Event::Foreign { key }
        | Event::Cancel { key, .. } => (Some(key), None),
        Event::Call { lane, .. }
        | Event::Context { lane, .. }
        | Event::Connection { lane, .. }
        | Event::Tools { lane, .. }
        | Event::Instructions { lane, .. } => (None, Some(lane)),
        Event::Trace { .. } | Event::Turns { .. } | Event::Turn { .. } | Event::Prompt(_) => (None, None),
    };
    let of_key = key.map(|(PairKey::JsonRpc { lane, .. } | PairKey::Global { session: lane, .. })| lane);
    lane.into_iter().chain(of_key).for_each(|name| enricher.name(name));
}

/// Redacts, hashes and reads a tool definition.
fn enrich_tool(tool: &mut ToolDefinition, enricher: &Enricher) {
    tool.server.iter_mut().chain([&mut tool.tool]).for_each(|name| enricher.name(name));
    let mut call = Call {
        arguments: Some(std::mem::take(&mut tool.definition)),
        arguments_state: crate::call::PayloadState::Present,
        ..Call::default()
    };
    enricher.call(&mut call);
    tool.hash = call.arguments_hash;
    tool.definition = call.arguments.unwrap_or_default();
    tool.markers = call.markers;
    for marker in &mut tool.markers {
        marker.origin = crate::call::Text::const_new("description");
    }
    if let Some(description) = tool.description.as_mut() {
        *description = enricher.text(description, "description").text;
    }
    for json in [&mut tool.input_schema, &mut tool.annotations].into_iter().flatten() {
        *json = enricher.json(json);
    }
    tool.capabilities = enricher.tool_capabilities(tool);
}

#[cfg(test)]
mod tests;
