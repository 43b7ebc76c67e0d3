//! An ingest without end: files that grow, are rotated, cut off or removed, files that come, and streams.
//!
//! It looks at the files every second or less often, by their size and time: that works on every file system, also where nobody
//! is told of changes (network, containers), and costs little beside a flush. What is new is read and committed
//! in one turn when it has waited for the flush interval, or when there is much of it. Between turns the lake is free.
//!
//! A turn that fails (a full disk, say) has not happened; it is tried again. Of files nothing can be lost that way, and of streams
//! what was not committed is still in memory.

use super::one_input::{Left, ReadError, Start, Tail};
use super::sources::hash;
use super::stream::Stream;
use super::watched::{Item, Seen, Watched};
use super::{IngestError, Ingester, Progress, Summary};
use crate::lake::LakeError;
use crate::source::input::Input;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// Looks at the files: at least so often, at most so often.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A look may take one part of so many of the time.
const LOOK_SHARE: u32 = 50;
/// A flush may take one part of so many of the time.
const FLUSH_SHARE: u32 = 5;
/// Flush intervals after which an unfinished line, and a request without an answer, are taken for what they are.
const SETTLED: u32 = 6;
/// Longest pause before a turn that failed is tried again.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Problems that are remembered, so that each is named once.
const MAX_NOTED: usize = 10_000;

/// What is followed, and how.
pub struct Follow<'f> {
    /// Finds the files that there are now, in the order in which they are to be read.
    pub find: &'f mut dyn FnMut() -> Vec<Input>,
    /// What comes once: standard input, named pipes.
    pub streams: Vec<Input>,
    /// Whether there are files to wait for when the streams have ended.
    pub files: bool,
    /// What is read becomes visible after so long.
    pub flush_every: Duration,
}

/// When open requests were read, to publish those that nobody answers.
#[derive(Default)]
struct Open {
    /// Time, and the records read until then.
    marks: VecDeque<(Duration, u64)>,
    due: u64,
}

impl Ingester<'_> {
    /// Reads what is there and what comes, until it should end or all streams have ended.
    ///
    /// # Errors
    /// The lake cannot be used, or the last turn failed.
    pub fn follow(mut self, follow: Follow<'_>) -> Result<Summary, IngestError> {
        let Follow { find, streams, files, flush_every } = follow;
        let settled = flush_every.saturating_mul(SETTLED);
        let mut watched = Watched::default();
        let mut streams: Vec<Stream> = streams.into_iter().map(Stream::open).collect();
        self.summary.files = streams.len() as u64;
        let mut open = Open::default();
        let mut noted = HashSet::new();
        // Since when something waits to be read; at first everything does.
        let mut waiting: Option<Duration> = None;
        let mut gap = Duration::ZERO;
        let mut failures = 0;
        loop {
            let last = self.surroundings.is_stopping() || (!files && streams.iter().all(Stream::has_ended));
            let looked = self.surroundings.elapsed();
            let items = if files { watched.look(find(), looked, settled, last) } else { Vec::new() };
            self.summary.files = (streams.len() + watched.count()) as u64;
            let streaming = streams.iter_mut().filter_map(|stream| stream.news()).max();
            let forgotten = open.settle(looked, settled, last) && self.pairing.has_unpublished(open.due);
            if !items.is_empty() || streaming.is_some() || forgotten {
                waiting.get_or_insert(looked);
            }
            let is_much = failures == 0
                && streaming.is_some_and(|bytes| bytes as u64 >= self.options.commit_bytes || bytes >= Stream::MUCH);
            let is_due = waiting.is_some_and(|since| looked.saturating_sub(since) >= gap) || is_much;
            if last || is_due {
                match self.flush(&mut watched, items, &mut streams, open.due, last, &mut noted) {
                    Ok(()) => {
                        (waiting, failures) = (None, 0);
                        let took = self.surroundings.elapsed().saturating_sub(looked);
                        gap = flush_every.max(took.saturating_mul(FLUSH_SHARE));
                        open.marks.push_back((looked, self.pairing.sequence()));
                    }
                    Err(error) => {
                        self.abandon_turn();
                        streams.iter_mut().for_each(Stream::read_again);
                        if last || !may_pass(&error) {
                            return Err(error);
                        }
                        // Waiting was ended by the wish to end: the last turn is still to come.
                        if !self.surroundings.is_stopping() {
                            failures += 1;
                            waiting = Some(self.surroundings.elapsed());
                            gap = flush_every.saturating_mul(1 << failures.min(6)).min(MAX_BACKOFF);
                            self.surroundings.warn(&format!(
                                "{error}; nothing is lost, trying again in {} s",
                                gap.as_secs_f64().ceil()
                            ));
                        }
                        continue;
                    }
                }
            }
            if last {
                return Ok(self.summary);
            }
            if !streams.iter().any(Stream::is_busy) {
                let took = self.surroundings.elapsed().saturating_sub(looked);
                let pause = (flush_every / 10).clamp(LOOK.0, LOOK.1);
                self.surroundings.wait(if is_due { pause } else { pause.max(took.saturating_mul(LOOK_SHARE)) });
            }
        }
    }

    /// Reads what is new, in one turn or several.
    fn flush(
        &mut self,
        watched: &mut Watched,
        items: Vec<Item>,
        streams: &mut [Stream],
        open_until: u64,
        last: bool,
        noted: &mut HashSet<(String, String)>,
    ) -> Result<(), IngestError> {
        self.begin_turn()?;
        let mut done = Vec::new();
        for item in items {
            if self.is_out_of_time() {
                break;
            }
            let name = item.input.name();
            self.surroundings.progress(Progress {
                file: &name,
                files_done: self.summary.files,
                bytes: self.summary.bytes,
            });
            let left = match self.read_item(watched, &item) {
                Ok(left) => Ok(left),
                Err(ReadError::Ingest(error)) => return Err(error),
                Err(ReadError::Overtaken) => Err("another ingest reads it too".to_owned()),
                // Gone between the look and the read.
                Err(ReadError::Io(cause)) if cause.kind() == std::io::ErrorKind::NotFound => continue,
                Err(ReadError::Io(cause)) => Err(cause.to_string()),
            };
            if let Err(cause) = &left {
                self.note(noted, &name, &format!("cannot be read: {cause}"));
            }
            done.push((item, left));
            if self.is_turn_over() {
                self.pass_turn()?;
            }
        }
        for stream in &mut *streams {
            self.read_stream(stream, last, noted)?;
            if self.is_turn_over() {
                self.pass_turn()?;
            }
        }
        for unknown in std::mem::take(&mut self.summary.unknown) {
            self.note(noted, &unknown.path, &format!("unknown format: {}", unknown.cause));
        }
        self.publish_open(if last { u64::MAX } else { open_until })?;
        self.end_turn()?;
        let now = self.surroundings.elapsed();
        for (item, left) in done {
            let row = left.as_ref().ok().and_then(|left| self.sources.with_id(&left.as_ref()?.source_id));
            watched.read(item, left, row.map(|at| &self.sources.rows[at]), now);
        }
        for stream in streams {
            let row = stream.source_id().and_then(|id| self.sources.with_id(id));
            stream.committed(row.map(|at| &self.sources.rows[at]));
        }
        watched.trim(now);
        Ok(())
    }

    /// Reads one file on from where it was left, or as any other input if that is not known or no longer true.
    fn read_item(&mut self, watched: &Watched, item: &Item) -> Result<Option<Left>, ReadError> {
        let name = item.input.name();
        match watched.seen(item) {
            Seen::Grown(live) => {
                let found = self.sources.with_id(&live.source_id).filter(|at| live.is_at(&self.sources.rows[*at]));
                if let Some(at) = found
                    && !self.may_be_known_now(at)
                {
                    self.sources.rename(at, &name);
                    let mut start = Start { offset: live.place.offset, digest: live.place.digest.clone() };
                    let row = &self.sources.rows[at];
                    if let Some(cut) = &row.saved.cut
                        && item.byte(row.counts.bytes)?.is_some_and(|next| !cut.goes_on(next))
                    {
                        hash(&mut item.reader(start.offset)?, cut.length, &mut start.digest)?;
                        start.offset += cut.length;
                    }
                    self.reopen_tail(at, start.offset);
                    let reader = item.reader(start.offset)?;
                    match self.read_on(&item.input, &item.stat, Some(at), reader, start, item.tail) {
                        Err(ReadError::Overtaken) => {}
                        read => return read.map(Some),
                    }
                }
            }
            Seen::CutOff { read } => self.surroundings.warn(&format!(
                "{name}: was cut off or written anew after {read} bytes of it had been read, and is read from its start. What was written to it in \
                 between is known only if a copy of it is among the paths"
            )),
            Seen::New => {}
        }
        // Each time that another ingest was faster, it has read on.
        loop {
            match self.read_file(item) {
                Err(ReadError::Overtaken) => {}
                read => return read,
            }
        }
    }

    fn read_file(&mut self, item: &Item) -> Result<Option<Left>, ReadError> {
        if item.behind {
            let limits = self.options.limits;
            return self.read_opened(&item.input, &item.stat, &mut |_| item.content(limits), item.tail);
        }
        self.read(&item.input, item.tail)
    }

    /// Reads what a stream has brought.
    fn read_stream(
        &mut self,
        stream: &mut Stream,
        last: bool,
        noted: &mut HashSet<(String, String)>,
    ) -> Result<(), IngestError> {
        let row = stream.source_id().and_then(|id| self.sources.with_id(id));
        stream.committed(row.map(|at| &self.sources.rows[at]));
        let name = stream.input().name();
        if let Some(problem) = stream.take_problem() {
            self.note(noted, &name, &problem);
        }
        let tail = if last || stream.has_ended() { Tail::Read } else { Tail::Waits };
        let Some((reader, start)) = stream.begin(tail) else { return Ok(()) };
        let input = stream.input().clone();
        match self.read_on(
            &input,
            &crate::source::input::Stat::default(),
            row.filter(|_| start.offset > 0),
            reader,
            start,
            tail,
        ) {
            Ok(left) => stream.is_source(left.source_id),
            Err(ReadError::Ingest(error)) => return Err(error),
            Err(ReadError::Io(cause)) => self.note(noted, &name, &format!("cannot be read: {cause}")),
            Err(ReadError::Overtaken) => {}
        }
        Ok(())
    }

    /// Says what is wrong with an input, once.
    fn note(&self, noted: &mut HashSet<(String, String)>, name: &str, what: &str) {
        if noted.len() >= MAX_NOTED {
            noted.clear();
        }
        if noted.insert((name.to_owned(), what.to_owned())) {
            self.surroundings.warn(&format!("{name}: {what}"));
        }
    }
}

impl Open {
    /// Notes which requests have waited long enough; says whether there are more of them than before.
    fn settle(&mut self, now: Duration, settled: Duration, last: bool) -> bool {
        let before = self.due;
        while let Some((_, until)) = self.marks.front().filter(|(time, _)| last || now.saturating_sub(*time) >= settled)
        {
            self.due = *until;
            self.marks.pop_front();
        }
        self.due > before
    }
}

/// Whether trying again may help.
fn may_pass(error: &IngestError) -> bool {
    match error {
        IngestError::Lake(error) => matches!(
            error,
            LakeError::Locked { .. }
                | LakeError::TakenOver(_)
                | LakeError::Io { .. }
                | LakeError::Delta { .. }
                | LakeError::Parquet(_)
        ),
        IngestError::State(_) | IngestError::StateNotKept(_) => false,
    }
}
