//! One input: recognised, framed, decoded on every core, its chunks taken back in order.

use super::decode::{self, Counts, DecodedChunk, SourceView, decode};
use super::sources::{Recognised, SourceRow, Spool, head_key};
use super::unknown::shape_of;
use super::{Failure, IngestError, Ingester, Progress, digest_of, number_of, reject_id};
use crate::call::Text;
use crate::enrich::Enricher;
use crate::source::frame::{Chunk, Framer};
use crate::source::input::Input;
use crate::source::pairing::Scope;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, mpsc};

/// Chunks being decoded at once, per core: enough that no core waits, few enough to stay small.
const CHUNKS_PER_CORE: usize = 2;
/// Records of the head that decide what a file is.
pub(super) const HEAD_RECORDS: usize = 200;

impl Ingester<'_> {
    pub(super) fn read(&mut self, input: &Input, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), ReadError> {
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
}

/// Why one input was not read to its end.
pub(super) enum ReadError {
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
