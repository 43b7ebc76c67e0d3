//! One input: recognised, framed, decoded on every core, its chunks taken back in order.

use super::decode::{self, Counts, DecodedChunk, SourceView, decode};
use super::refuse::may_grow_known;
use super::sources::{Recognised, SourceRow, Spool, head_key};
use super::unknown::{is_blank, shape_of};
use super::{IngestError, Ingester, Progress, digest_of, number_of, reject_id};
use crate::call::Text;
use crate::enrich::Enricher;
use crate::source::frame::csv::Head;
use crate::source::frame::{Chunk, Framer, MAX_RECORD, Place};
use crate::source::input::{Bytes, Input, Stat, is_passing, may_be_read_on};
use crate::source::pairing::Scope;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, mpsc};

/// Chunks being decoded at once, per core: enough that no core waits, few enough to stay small.
const CHUNKS_PER_CORE: usize = 2;
/// Their bytes, for each of so many chunks: a record that is a chunk by itself may have 64 MiB.
const CHUNK_BYTES: usize = 4 << 20;
/// Records of the head that decide what a file is.
pub(super) const HEAD_RECORDS: usize = 200;

impl Ingester<'_> {
    /// Reads what is new in an input. Gives where it was left, unless nothing was new.
    pub(super) fn read(&mut self, input: &Input, tail: Tail) -> Result<Option<Left>, ReadError> {
        let name = input.name();
        let stat = input.stat()?;
        if let Some(at) = self.sources.untouched(&name, &stat)
            && !self.may_be_known_now(at)
        {
            self.summary.unchanged += 1;
            return Ok(None);
        }
        let limits = self.options.limits;
        let mut spool = Spool::new(limits);
        let mut is_first = true;
        let mut open = |used| {
            if std::mem::take(&mut is_first) { input.open(limits) } else { spool.reopen(input, used) }
        };
        self.read_opened(input, &stat, &mut open, tail)
    }

    /// Reads what is new in an input, which `open` opens, again if need be; it is given the stream that it gave before.
    pub(super) fn read_opened(
        &mut self,
        input: &Input,
        stat: &Stat,
        open: &mut dyn FnMut(Bytes) -> io::Result<Bytes>,
        tail: Tail,
    ) -> Result<Option<Left>, ReadError> {
        let name = input.name();
        let stream = open(Box::new(io::empty()))?;
        let recognised = self.sources.recognise(stream, &mut *open)?;
        let (at, reader, start) = match recognised {
            Recognised::Unchanged(at) | Recognised::Continues { row: at, .. } if self.may_be_known_now(at) => {
                self.sources.rename(at, &name);
                self.forget_unknown(at);
                (Some(at), open(Box::new(io::empty()))?, Start::default())
            }
            Recognised::Unchanged(at) => {
                self.sources.rename(at, &name);
                self.mend(at);
                self.sources.rows[at].stat(stat);
                self.summary.unchanged += 1;
                self.touched = true;
                return Ok(None);
            }
            Recognised::Continues { row, offset, reader, digest } => {
                self.sources.rename(row, &name);
                self.reopen_tail(row, offset);
                (Some(row), reader, Start { offset, digest: *digest })
            }
            Recognised::New(reader) => (None, reader, Start::default()),
        };
        self.read_on(input, stat, at, reader, start, tail).map(Some)
    }

    /// Reads an input from where a reader stands in it; `at` is its source, if it is known.
    pub(super) fn read_on(
        &mut self,
        input: &Input,
        stat: &Stat,
        at: Option<usize>,
        reader: Bytes,
        start: Start,
        tail: Tail,
    ) -> Result<Left, ReadError> {
        let name = input.name();
        self.touched = true;
        let known = at.and_then(|at| self.sources.rows.get(at));
        let known_framing = known.filter(|row| row.format.is_some()).and_then(|row| row.framing);
        let digest = start.digest.finalize();
        let mut framer = Framer::new(reader, start.offset, start.digest, known_framing)?;
        let waits = tail == Tail::Waits;
        if waits {
            framer.wait_for_ends();
        }
        let hints = input.hints();
        // A mapping that is no longer in the configuration leaves the file to whoever knows it.
        let known_format = known.and_then(|row| self.formats.named(row.format.as_deref()?));
        let table = match start.offset {
            0 => framer.table(),
            _ => known.and_then(|row| Head::of(&row.saved.table)),
        };
        let table = table.map(Arc::new);
        let format = known_format.or_else(|| self.format_of(&framer, &hints, table.as_ref()));
        if waits
            && format.is_none()
            && at.is_none()
            && may_grow_known(framer.head().len() as u64, framer.is_within_first())
        {
            // Too little is there to tell what it is.
            return Ok(Left { source_id: String::new(), place: framer.place(false) });
        }
        let at = at.unwrap_or_else(|| self.new_source(&name, &framer));
        let row = &mut self.sources.rows[at];
        // Until the end is reached, the file counts as changed: a commit on the way must not make it look read.
        row.size = -1;
        // An unfinished record that was taken back is not in it, also if what it became is still unfinished and is left for later.
        row.digest = digest.to_hex().to_string();
        row.framing = Some(framer.framing());
        row.saved.table = table.as_ref().map(|table| table.row().to_owned()).unwrap_or_default();
        row.format =
            format.and_then(|at| self.formats.get(at)).map(|f| f.id().to_owned()).or_else(|| row.format.take());
        row.last_read = self.now;
        let tells_nothing = format.is_none() && (is_blank(framer.head()) || framer.head().len() > MAX_RECORD);
        if tells_nothing {
            row.saved.unknown_to.clone_from(&self.fingerprint);
        }
        let (at, failed, is_cut) = if format.is_none() && !tells_nothing {
            let shape = shape_of(framer.head());
            self.note_unknown(&name, &shape);
            (at, self.reject_all(at, input, &mut framer, &shape), false)
        } else {
            let file = Text::from(name.as_str());
            let formats = Arc::clone(&self.formats);
            let view = Arc::new(SourceView { hints, file, formats, known: format, table });
            self.pump(at, input, &mut framer, &view)?
        };
        let row = &mut self.sources.rows[at];
        let place = framer.place(row.saved.tail() > 0);
        if !(is_cut || waits && place.is_unfinished || failed.as_ref().is_some_and(may_be_read_on)) {
            row.stat(stat);
        }
        match failed {
            Some(cause) => Err(ReadError::Io(cause)),
            None => Ok(Left { source_id: row.source_id.clone(), place }),
        }
    }

    /// Chunks out of the framer, onto the cores, back in order, through pairing. Gives the source, which may have got another
    /// index, the error that ended the stream early, if one did, and whether reading stopped because the ingest should end.
    fn pump<R: Read>(
        &mut self,
        mut at: usize,
        input: &Input,
        framer: &mut Framer<R>,
        view: &Arc<SourceView>,
    ) -> Result<(usize, Option<io::Error>, bool), ReadError> {
        let stream = number_of(&input.stream());
        let number = number_of(&self.sources.rows[at].source_id);
        let limit = rayon::current_num_threads() * CHUNKS_PER_CORE;
        let mut working: VecDeque<(usize, mpsc::Receiver<DecodedChunk>)> = VecDeque::new();
        let mut working_bytes = 0;
        let mut ended = false;
        let mut is_cut = false;
        let mut failed = None;
        let mut context = self.sources.rows[at].saved.context.take().map(|context| *context).unwrap_or_default();
        loop {
            while !ended && working.len() < limit && working_bytes < limit * CHUNK_BYTES {
                if self.is_out_of_time() {
                    (ended, is_cut) = (true, true);
                    break;
                }
                match framer.next_chunk() {
                    Ok(Some(chunk)) => {
                        let bytes = chunk.bytes.len();
                        working_bytes += bytes;
                        working.push_back((bytes, start(chunk, view, &self.enricher)));
                    }
                    Ok(None) => ended = true,
                    Err(cause) => {
                        failed = Some(cause);
                        ended = true;
                    }
                }
            }
            let Some((bytes, done)) = working.pop_front() else { break };
            working_bytes -= bytes;
            let mut decoded = done.recv().map_err(|_| io::Error::other("a decoder thread stopped without a result"))?;
            framer.recycle(std::mem::take(&mut decoded.buffer));
            let bytes = decoded.counts.bytes;
            self.take_chunk(at, stream, view, &mut context, decoded)?;
            self.uncommitted += bytes;
            self.summary.bytes += bytes;
            self.surroundings.progress(Progress {
                file: view.file.as_str(),
                files_done: self.summary.files,
                bytes: self.summary.bytes,
            });
            if self.is_turn_over() {
                // Whoever has the next turn may publish what waits, and needs to know what the source says of it.
                let scope = Scope { number, stream, mtime: view.hints.mtime, source: &mut context };
                self.pairing.leave_source(&scope);
                self.sources.rows[at].saved.keep(&context);
                at = self.pass_turn_within(at, input)?;
            }
        }
        if let Some(cause) = failed.as_ref().filter(|cause| !is_passing(cause)) {
            self.reject_rest(at, cause);
        }
        let mut scope = Scope { number, stream, mtime: view.hints.mtime, source: &mut context };
        let cut = self.sources.rows[at].saved.cut.as_ref().map(|cut| cut.undo.offset());
        self.pairing.end_source_but(&mut scope, cut, &mut self.out);
        self.pairing.leave_source(&scope);
        self.sources.rows[at].saved.keep(&context);
        self.drain(at, Some(view))?;
        Ok((at, failed, is_cut))
    }

    /// Commits in the middle of a source and goes on with it, unless another ingest did so meanwhile. Gives its index.
    fn pass_turn_within(&mut self, at: usize, input: &Input) -> Result<usize, ReadError> {
        let mine = self.sources.rows[at].clone();
        self.pass_turn()?;
        let found = self.sources.with_id(&mine.source_id);
        if let Some(at) = found.filter(|at| self.sources.rows[*at].is_as_far_as(&mine)) {
            self.sources.rows[at].size = -1;
            return Ok(at);
        }
        if !input.comes_once() {
            return Err(ReadError::Overtaken);
        }
        // Another ingest took the same bytes for a file of its own. These cannot be had again, so they are a source by themselves.
        let source_id = digest_of(&[Some(&mine.source_id), Some(&self.sources.rows.len().to_string())]);
        Ok(self.sources.insert(SourceRow { source_id, ..mine }))
    }

    /// The format that most records of the head belong to.
    fn format_of<R: Read>(
        &self,
        framer: &Framer<R>,
        hints: &crate::source::Hints,
        table: Option<&Arc<Head>>,
    ) -> Option<usize> {
        let (formats, table) = (Arc::clone(&self.formats), table.map(Arc::clone));
        let view = SourceView { hints: hints.clone(), file: Text::default(), formats, known: None, table };
        decode::most_votes(&decode::votes(framer.head(), framer.framing(), &view, HEAD_RECORDS))
    }

    /// Nobody knew the file, and since then formats were added or changed.
    pub(super) fn may_be_known_now(&self, at: usize) -> bool {
        let row = &self.sources.rows[at];
        row.format.is_none() && row.counts.bytes > 0 && row.saved.unknown_to != self.fingerprint
    }

    /// What was refused as a whole is read again from its start: its rejects are void.
    fn forget_unknown(&mut self, at: usize) {
        let row = &mut self.sources.rows[at];
        let saved = std::mem::take(&mut row.saved);
        let mut refused = saved.refused;
        refused.extend(saved.broke_off);
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
            first_read: self.now,
            ..SourceRow::default()
        };
        self.sources.insert(row)
    }

    /// The unfinished last record of an earlier read has grown on: its reject, or what came of it, is void and it is read again. Reading
    /// goes on at an offset.
    pub(super) fn reopen_tail(&mut self, at: usize, offset: u64) {
        self.mend(at);
        let row = &mut self.sources.rows[at];
        if let Some(cut) = row.saved.cut.take()
            && offset < row.counts.bytes
        {
            row.counts.bytes -= cut.length;
            row.counts.lines -= cut.lines;
            row.counts.bytes_calls = row.counts.bytes_calls.saturating_sub(cut.length);
            row.saved.unterminated = None;
            let mut context = row.saved.context.take().map(|context| *context).unwrap_or_default();
            self.pairing.take_back(number_of(&row.source_id), cut.undo, &mut context, &mut self.out);
            row.saved.keep(&context);
        }
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
}

/// What becomes of a last record that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// It is read as it is, and once more when it has grown.
    Read,
    /// Its end is still to come.
    Waits,
}

/// Where reading starts.
#[derive(Default)]
pub(super) struct Start {
    pub(super) offset: u64,
    /// Digest up to there.
    pub(super) digest: blake3::Hasher,
}

/// Where reading stopped.
pub(super) struct Left {
    /// Empty: nothing could be read yet.
    pub(super) source_id: String,
    pub(super) place: Place,
}

/// Why one input was not read to its end.
pub(super) enum ReadError {
    Io(io::Error),
    /// Another ingest has read on in the same input.
    Overtaken,
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
