//! Logs → lake: inputs are read one after the other, decoded on every core, paired in order, and written so that every call
//! is there once.
//!
//! A commit holds the rows, what was read of each source, and the halves that wait, or none of them. Whatever instant a process is
//! killed at, the next one goes on from the last commit.

mod call_file;
mod decode;
pub mod explain;
mod record;
mod rows;
mod sources;
mod unknown;
mod writer;

use crate::call::{Call, Nanos, Text};
use crate::enrich::Enricher;
use crate::lake::{Lake, LakeError, data_file};
use crate::source::frame::{Chunk, Framer};
use crate::source::input::{Input, Limits};
use crate::source::pairing::{Pairing, PairingOptions, Row, Saved, Scope, SourceContext};
use crate::source::registry::Formats;
use decode::{Counts, DecodedChunk, SourceView, decode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sources::{OpenTail, Recognised, SourceRow, Sources, Spool, head_key};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use unknown::shape_of;
use writer::Writer;

/// Chunks being decoded at once, per core: enough that no core waits, few enough to stay small.
const CHUNKS_PER_CORE: usize = 2;
/// Bytes of a file of unknown format that are looked at again when it has grown.
const MAX_UNKNOWN: u64 = 1 << 20;
/// Characters of a reject that are kept, to see what it was.
const FIRST_CHARS: usize = 200;
/// Records of the head that decide what a file is.
const HEAD_RECORDS: usize = 200;

/// Settings of an ingest.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    pub pairing: PairingOptions,
    /// How much may come out of a compressed input.
    pub limits: Limits,
    /// Input bytes after which what was read so far is committed.
    pub commit_bytes: u64,
    /// The time now (the only clock that ingest knows).
    pub now: Nanos,
}

/// Why an ingest stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("what the last ingest left open cannot be read: {0}: the lake's `_calltrail/state.zst` is damaged")]
    State(serde_json::Error),
}

/// An input that could not be read to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub path: String,
    pub cause: String,
}

/// What an ingest did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub files: u64,
    pub bytes: u64,
    pub lines: u64,
    pub calls: u64,
    pub duplicates: u64,
    pub rejects: u64,
    pub ignored: u64,
    pub prompts: u64,
    /// Files that were as the lake knows them.
    pub unchanged: u64,
    /// Files whose format nobody knows, with the shape of their first lines.
    pub unknown: Vec<Failure>,
    pub failures: Vec<Failure>,
}

/// How far an ingest is, for a progress bar.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    pub file: &'a str,
    pub files_done: u64,
    pub bytes: u64,
}

/// Reads inputs into a lake.
pub struct Ingester<'a> {
    lake: &'a Lake,
    runtime: &'a tokio::runtime::Handle,
    enricher: Arc<Enricher>,
    formats: Arc<Formats>,
    /// Of `formats`.
    fingerprint: String,
    options: IngestOptions,
    sources: Sources,
    pairing: Pairing,
    writer: Writer<'a>,
    summary: Summary,
    /// Bytes read since the last commit.
    uncommitted: u64,
    touched: bool,
    /// Hashes of the connections' identities that this run has seen.
    identities: HashSet<u64, ahash::RandomState>,
    out: Vec<Row>,
}

impl<'a> Ingester<'a> {
    /// Takes up where the last ingest stopped. The caller holds the lake's lock.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn new(
        lake: &'a Lake,
        runtime: &'a tokio::runtime::Handle,
        enricher: Arc<Enricher>,
        formats: Arc<Formats>,
        options: IngestOptions,
    ) -> Result<Self, IngestError> {
        let state = lake.state()?;
        let saved: Saved = if state.is_empty() {
            Saved::default()
        } else {
            serde_json::from_slice(&state).map_err(IngestError::State)?
        };
        let sources = runtime.block_on(Sources::load(lake))?;
        let mut known = HashMap::new();
        for (table, column) in
            [("tool_definitions", "definition_id"), ("connections", "identity"), ("prompts", "prompt_id")]
        {
            known.insert(table, runtime.block_on(known_ids(lake, table, column))?);
        }
        let files = runtime.block_on(lake.files("calls"))?;
        let ingest_id = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self {
            lake,
            runtime,
            enricher,
            fingerprint: formats.fingerprint(),
            formats,
            sources,
            pairing: Pairing::new(options.pairing, saved),
            writer: Writer::new(lake, files, known, ingest_id, options.now),
            options,
            summary: Summary::default(),
            uncommitted: 0,
            touched: false,
            identities: HashSet::default(),
            out: Vec::new(),
        })
    }

    /// Reads all inputs and commits.
    ///
    /// # Errors
    /// The lake refuses. Inputs that cannot be read are reported in the summary; the others are read.
    pub fn run(mut self, inputs: &[Input], progress: &mut dyn FnMut(Progress<'_>)) -> Result<Summary, IngestError> {
        for input in inputs {
            let name = input.name();
            progress(Progress { file: &name, files_done: self.summary.files, bytes: self.summary.bytes });
            self.summary.files += 1;
            if let Err(error) = self.read(input, progress) {
                match error {
                    ReadError::Ingest(error) => return Err(error),
                    ReadError::Io(cause) => {
                        self.summary.failures.push(Failure { path: name, cause: cause.to_string() });
                    }
                }
            }
            if self.uncommitted >= self.options.commit_bytes {
                self.commit()?;
            }
        }
        self.pairing.end_run(&mut self.out);
        self.drain(usize::MAX, None)?;
        self.commit()?;
        Ok(self.summary)
    }

    fn read(&mut self, input: &Input, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), ReadError> {
        let name = input.name();
        let stat = input.stat()?;
        if let Some(at) = self.sources.untouched(&name, &stat)
            && !self.may_be_known_now(at)
        {
            self.summary.unchanged += 1;
            return Ok(());
        }
        let mut spool = Spool::new(self.options.limits);
        let stream = input.open(self.options.limits)?;
        let recognised = self.sources.recognise(stream, |stream| spool.reopen(input, stream))?;
        let (at, reader, offset, digest) = match recognised {
            Recognised::Unchanged(at) | Recognised::Continues { row: at, .. } if self.may_be_known_now(at) => {
                self.sources.rename(at, &name);
                self.forget_unknown(at);
                (at, spool.reopen(input, Box::new(io::empty()))?, 0, blake3::Hasher::new())
            }
            Recognised::Unchanged(at) => {
                self.sources.rename(at, &name);
                self.sources.rows[at].stat(&stat);
                self.summary.unchanged += 1;
                self.touched = true;
                return Ok(());
            }
            Recognised::Continues { row, offset, reader, digest } => {
                self.sources.rename(row, &name);
                self.reopen_tail(row);
                (row, reader, offset, *digest)
            }
            Recognised::New(reader) => (usize::MAX, reader, 0, blake3::Hasher::new()),
        };
        self.touched = true;
        let known = self.sources.rows.get(at);
        let mut framer =
            Framer::new(reader, offset, digest, known.filter(|row| row.format.is_some()).and_then(|row| row.framing))?;
        let hints = input.hints();
        // A mapping that is no longer in the configuration leaves the file to whoever knows it.
        let known_format = known.and_then(|row| self.formats.named(row.format.as_deref()?));
        let format = known_format.or_else(|| self.format_of(&framer, &hints));
        let at = if known.is_some() { at } else { self.new_source(&name, &framer) };
        let row = &mut self.sources.rows[at];
        // Until the end is reached, the file counts as changed: a commit on the way must not make it look read.
        row.size = -1;
        row.framing = Some(framer.framing());
        row.format =
            format.and_then(|at| self.formats.get(at)).map(|f| f.id().to_owned()).or_else(|| row.format.take());
        row.last_read = self.options.now;
        if format.is_none() && !framer.head().is_empty() {
            let shape = shape_of(framer.head());
            self.summary.unknown.push(Failure { path: name.clone(), cause: shape.clone() });
            let failed = self.reject_all(at, &mut framer, &shape);
            self.sources.rows[at].stat(&stat);
            return failed.map_or(Ok(()), |cause| Err(ReadError::Io(cause)));
        }
        let file = Text::from(name.as_str());
        let view = Arc::new(SourceView { hints, file, formats: Arc::clone(&self.formats), known: format });
        let failed = self.pump(at, input, &mut framer, &view, progress)?;
        self.sources.rows[at].stat(&stat);
        match failed {
            Some(cause) => Err(ReadError::Io(cause)),
            None => Ok(()),
        }
    }

    /// Chunks out of the framer, onto the cores, back in order, through pairing. Gives the error that ended the stream early, if one did.
    fn pump<R: Read>(
        &mut self,
        at: usize,
        input: &Input,
        framer: &mut Framer<R>,
        view: &Arc<SourceView>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<io::Error>, ReadError> {
        let stream = number_of(&input.stream());
        let limit = rayon::current_num_threads() * CHUNKS_PER_CORE;
        let mut working: VecDeque<mpsc::Receiver<DecodedChunk>> = VecDeque::new();
        let mut ended = false;
        let mut failed = None;
        let mut context = self.sources.rows[at].saved.context.take().map(|context| *context).unwrap_or_default();
        loop {
            while !ended && working.len() < limit {
                match framer.next_chunk() {
                    Ok(Some(chunk)) => working.push_back(start(chunk, view, &self.enricher)),
                    Ok(None) => ended = true,
                    Err(cause) => {
                        failed = Some(cause);
                        ended = true;
                    }
                }
            }
            let Some(done) = working.pop_front() else { break };
            let mut decoded = done.recv().map_err(|_| io::Error::other("a decoder thread stopped without a result"))?;
            framer.recycle(std::mem::take(&mut decoded.buffer));
            let bytes = decoded.counts.bytes;
            self.take_chunk(at, stream, view, &mut context, decoded)?;
            self.uncommitted += bytes;
            self.summary.bytes += bytes;
            progress(Progress { file: view.file.as_str(), files_done: self.summary.files, bytes: self.summary.bytes });
            if self.uncommitted >= self.options.commit_bytes {
                self.sources.rows[at].saved.keep(&context);
                self.commit()?;
            }
        }
        if let Some(cause) = &failed {
            self.reject_rest(at, cause);
        }
        let number = number_of(&self.sources.rows[at].source_id);
        let mut scope = Scope { number, stream, mtime: view.hints.mtime, source: &mut context };
        self.pairing.end_source(&mut scope, &mut self.out);
        self.pairing.leave_source(&scope);
        self.sources.rows[at].saved.keep(&context);
        self.drain(at, Some(view))?;
        Ok(failed)
    }

    fn take_chunk(
        &mut self,
        at: usize,
        stream: u64,
        view: &SourceView,
        context: &mut SourceContext,
        decoded: DecodedChunk,
    ) -> Result<(), IngestError> {
        let DecodedChunk {
            items,
            rejects,
            mut counts,
            open_tail,
            digest,
            begins_with_line_end,
            unterminated,
            buffer: _,
        } = decoded;
        if let Some(was_call) = self.sources.rows[at].saved.unterminated.filter(|_| begins_with_line_end) {
            // The end of a line that was read before it was written.
            counts.lines -= 1;
            counts.bytes_ignored -= 1;
            *(if was_call { &mut counts.bytes_calls } else { &mut counts.bytes_ignored }) += 1;
            self.sources.rows[at].counts.lines -= 1;
        }
        let first_line = self.sources.rows[at].counts.lines as i64 + 1;
        let number = number_of(&self.sources.rows[at].source_id);
        let mut scope = Scope { number, stream, mtime: view.hints.mtime, source: context };
        for mut item in items {
            use crate::source::Event;
            match &mut item.event {
                Event::Request { call, .. } | Event::Response { call, .. } | Event::Call { call, .. } => {
                    call.source.line += first_line;
                    if let Some(response) = call.response.as_mut() {
                        response.line += first_line;
                    }
                }
                Event::Prompt(prompt) => prompt.source.line += first_line,
                _ => {}
            }
            self.pairing.accept(&mut scope, item, &mut self.out);
        }
        let (foreign, foreign_bytes) = self.pairing.take_foreign();
        self.summary.ignored += foreign;
        self.sources.rows[at].counts.ignored += foreign;
        for mut reject in rejects {
            reject.position.line += first_line;
            self.reject(at, &reject);
        }
        let row = &mut self.sources.rows[at];
        row.counts.add(counts);
        row.digest = digest;
        let foreign_bytes = foreign_bytes.min(row.counts.bytes_calls);
        row.counts.bytes_calls -= foreign_bytes;
        row.counts.bytes_ignored += foreign_bytes;
        if begins_with_line_end && row.saved.unterminated.is_some() {
            row.counts.lines += 1;
        }
        row.saved.unterminated = unterminated;
        row.saved.open_tail = open_tail.map(|(length, rejected)| OpenTail {
            length,
            lines: 1,
            reject_id: rejected.then(|| reject_id(&row.source_id, row.counts.bytes - length)),
        });
        self.summary.lines += counts.lines;
        self.summary.ignored += counts.ignored;
        self.summary.rejects += counts.rejects;
        self.drain(at, Some(view))
    }

    /// Hands finished rows to the writer.
    fn drain(&mut self, at: usize, view: Option<&SourceView>) -> Result<(), IngestError> {
        for row in std::mem::take(&mut self.out) {
            match row {
                Row::Call { mut call, observables } => {
                    // At the end of a run rows come from any source that was ever read.
                    let at = if view.is_some() { at } else { self.source_of(&call).unwrap_or(at) };
                    self.enricher.capabilities(&mut call);
                    self.connection(&call);
                    if self.writer.call(call, observables, at) {
                        let pairing = &self.pairing;
                        self.writer.flush(&|call: &mut Call| pairing.resolve_trace(call))?;
                    }
                }
                Row::Retract(id) => self.writer.retract(&id),
                Row::Prompt(prompt) => self.prompt(at, *prompt, view),
                Row::Tool { tool, time, connection } => self.tool(*tool, time, connection, view),
                Row::Instructions { server, time, text, connection } => {
                    self.instructions(server, time, &text, &connection, view);
                }
            }
        }
        Ok(())
    }

    /// The stream broke off: what follows in the file cannot be read, and a row says so.
    fn reject_rest(&mut self, at: usize, cause: &io::Error) {
        let source = &self.sources.rows[at];
        let position = crate::call::Position {
            line: source.counts.lines as i64 + 1,
            offset: source.counts.bytes as i64,
            length: 0,
        };
        let reason = format!("the input breaks off: {cause}");
        let piece = decode::RejectedPiece { position, reason, first_bytes: String::new() };
        self.sources.rows[at].counts.rejects += 1;
        self.summary.rejects += 1;
        self.reject(at, &piece);
    }

    /// A file that nobody knows becomes one reject with its shape. Gives the error that ended the stream early, if one did.
    fn reject_all<R: Read>(&mut self, at: usize, framer: &mut Framer<R>, shape: &str) -> Option<io::Error> {
        let first_bytes =
            String::from_utf8_lossy(&framer.head()[..framer.head().len().min(decode::FIRST_BYTES)]).into_owned();
        let start = self.sources.rows[at].counts;
        let mut length = 0;
        let mut lines = 0;
        let failed = loop {
            match framer.next_chunk() {
                Ok(Some(chunk)) => {
                    length += chunk.length();
                    lines += memchr::memchr_iter(b'\n', &chunk.bytes).count() as u64;
                    self.sources.rows[at].digest = chunk.digest.to_hex().to_string();
                }
                Ok(None) => break None,
                Err(cause) => break Some(cause),
            }
        };
        let position =
            crate::call::Position { line: start.lines as i64 + 1, offset: start.bytes as i64, length: length as i64 };
        let reason = format!("unknown format: {shape}");
        self.reject(at, &decode::RejectedPiece { position, reason, first_bytes });
        let row = &mut self.sources.rows[at];
        if length <= MAX_UNKNOWN {
            // Perhaps only the start of a file that somebody is writing: when it has grown, it is looked at from here again.
            let reject_id = reject_id(&row.source_id, start.bytes);
            row.saved.open_tail = Some(OpenTail { length, lines, reject_id: Some(reject_id) });
        }
        row.saved.unknown_to.clone_from(&self.fingerprint);
        row.saved.refused.push(start.bytes);
        row.counts.bytes += length;
        row.counts.bytes_rejected += length;
        row.counts.lines += lines;
        row.counts.rejects += 1;
        self.summary.bytes += length;
        self.summary.lines += lines;
        self.summary.rejects += 1;
        if let Some(cause) = &failed {
            self.reject_rest(at, cause);
        }
        failed
    }

    /// The format that most records of the head belong to.
    fn format_of<R: Read>(&self, framer: &Framer<R>, hints: &crate::source::Hints) -> Option<usize> {
        let formats = Arc::clone(&self.formats);
        let view = SourceView { hints: hints.clone(), file: Text::default(), formats, known: None };
        decode::most_votes(&decode::votes(framer.head(), framer.framing(), &view, HEAD_RECORDS))
    }

    /// Nobody knew the file, and since then formats were added or changed.
    fn may_be_known_now(&self, at: usize) -> bool {
        let row = &self.sources.rows[at];
        row.format.is_none() && row.counts.bytes > 0 && row.saved.unknown_to != self.fingerprint
    }

    /// What was refused as a whole is read again from its start: its rejects are void.
    fn forget_unknown(&mut self, at: usize) {
        let row = &mut self.sources.rows[at];
        let mut refused = std::mem::take(&mut row.saved).refused;
        // Lakes of before this was kept: the file was refused once, from its start.
        refused.push(0);
        let void: Vec<String> = refused.iter().map(|offset| reject_id(&row.source_id, *offset)).collect();
        row.counts = Counts::default();
        row.framing = None;
        void.iter().for_each(|id| self.writer.forget_reject(id));
    }

    fn new_source<R: Read>(&mut self, name: &str, framer: &Framer<R>) -> usize {
        let head = head_key(framer.head());
        let known = self.sources.rows.len().to_string();
        let row = SourceRow {
            source_id: digest_of(&[Some(&head), Some(name), Some(&known)]),
            path: name.to_owned(),
            head,
            digest: blake3::Hasher::new().finalize().to_hex().to_string(),
            first_read: self.options.now,
            ..SourceRow::default()
        };
        self.sources.insert(row)
    }

    /// The unfinished last record of an earlier read has grown on: its reject is void and it is read again.
    fn reopen_tail(&mut self, at: usize) {
        let row = &mut self.sources.rows[at];
        if let Some(tail) = row.saved.open_tail.take() {
            row.counts.bytes -= tail.length;
            row.counts.lines -= tail.lines;
            match tail.reject_id {
                Some(reject_id) => {
                    row.counts.bytes_rejected -= tail.length;
                    row.counts.rejects -= 1;
                    self.writer.forget_reject(&reject_id);
                }
                None => {
                    row.counts.bytes_ignored -= tail.length;
                    row.counts.ignored -= 1;
                }
            }
        }
    }

    fn commit(&mut self) -> Result<(), IngestError> {
        self.uncommitted = 0;
        let pairing = &self.pairing;
        let runtime = self.runtime;
        let mut transaction = runtime.block_on(self.writer.stage(&|call: &mut Call| pairing.resolve_trace(call)))?;
        for (at, written) in self.writer.take_counts() {
            self.summary.calls += written.calls;
            self.summary.duplicates += written.duplicates;
            if let Some(row) = self.sources.rows.get_mut(at) {
                row.calls += written.calls as i64;
                row.duplicates += written.duplicates as i64;
            }
        }
        if transaction.is_empty() && !self.touched {
            return Ok(());
        }
        self.touched = false;
        let mut link = String::new();
        for row in &mut self.sources.rows {
            row.chain = digest_of(&[Some(&link), Some(&row.source_id), Some(&row.digest)]);
            row.chain.clone_into(&mut link);
        }
        let now_ms = self.options.now / 1_000_000;
        let batches = self.sources.batches()?;
        let name = format!("part-{}", uuid::Uuid::new_v4().simple());
        let file = data_file::write(&self.lake.table_path("sources"), &name, None, &batches, now_ms)?;
        for old in std::mem::replace(&mut self.sources.files, vec![file.add.clone()]) {
            transaction.remove("sources", &old, now_ms);
        }
        transaction.add("sources", file.add);
        transaction.set_state(serde_json::to_vec(&self.pairing.save()).map_err(IngestError::State)?);
        runtime.block_on(transaction.commit(self.lake))?;
        Ok(())
    }
}

/// Why one input was not read to its end.
enum ReadError {
    Io(io::Error),
    Ingest(IngestError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<IngestError> for ReadError {
    fn from(error: IngestError) -> Self {
        Self::Ingest(error)
    }
}

fn start(chunk: Chunk, view: &Arc<SourceView>, enricher: &Arc<Enricher>) -> mpsc::Receiver<DecodedChunk> {
    let (send, receive) = mpsc::sync_channel(1);
    let (view, enricher) = (Arc::clone(view), Arc::clone(enricher));
    rayon::spawn(move || {
        // The receiver is gone only if the ingest has failed already.
        let _ = send.send(decode(chunk, &view, &enricher));
    });
    receive
}

async fn known_ids(lake: &Lake, table: &'static str, column: &str) -> Result<HashSet<u128>, LakeError> {
    use arrow::array::AsArray as _;
    let mut ids = HashSet::new();
    let path = lake.table_path(table);
    for file in lake.files(table).await? {
        data_file::read(&path, &file, &[column], |batch| {
            let column = batch.column_by_name(column).map(|array| array.as_string::<i32>());
            ids.extend(column.into_iter().flat_map(|c| c.iter().flatten().map(call_file::parse_id)));
            Ok(())
        })?;
    }
    Ok(ids)
}

fn reject_id(source_id: &str, offset: u64) -> String {
    digest_of(&[Some(source_id), Some(&offset.to_string())])
}

/// 32 hex digits over texts, lengths first.
fn digest_of(parts: &[Option<&str>]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.map_or(u64::MAX, |p| p.len() as u64)).to_be_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    crate::call::hex(&digest)[..32].to_owned()
}

fn hex_digest(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    crate::call::hex(&digest)
}

/// A number for a name, to compare by.
fn number_of(name: &str) -> u64 {
    let digest = blake3::hash(name.as_bytes());
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest is 32 bytes"))
}
