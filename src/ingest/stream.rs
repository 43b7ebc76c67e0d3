//! A stream that may never end: standard input, a named pipe. Another thread reads it; what was not committed stays in memory, so
//! that a turn that failed can be done again.

use super::one_input::{Start, Tail};
use super::sources::SourceRow;
use crate::source::input::{Bytes, Input, is_plain};
use std::io::{self, Read};
use std::sync::{Arc, mpsc};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Reads that wait; beyond, the writer of the stream waits.
const WAITING: usize = 64;
/// Bytes by which a compression is told.
const MAGIC: usize = 16;

/// A stream and how far it is in the lake.
pub(super) struct Stream {
    input: Input,
    receive: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// Bytes that are not in the lake yet.
    pending: Arc<Vec<u8>>,
    /// How many of them were there at the last turn.
    seen: usize,
    /// Much came at the last look.
    busy: bool,
    ended: bool,
    /// The end was read too.
    closed: bool,
    problem: Option<String>,
    source_id: Option<String>,
    /// Bytes before `pending`, and their digest.
    offset: u64,
    digest: blake3::Hasher,
}

impl Stream {
    /// Bytes that are read without waiting for the flush interval, and at once.
    pub(super) const MUCH: usize = 32 << 20;

    pub(super) fn open(input: Input) -> Self {
        let (send, receive) = mpsc::sync_channel(WAITING);
        let source = input.clone();
        // It ends with the stream, or with the process: a read that nobody answers cannot be called off.
        std::thread::spawn(move || read_all(&source, &send));
        Self {
            input,
            receive,
            pending: Arc::default(),
            seen: 0,
            busy: false,
            ended: false,
            closed: false,
            problem: None,
            source_id: None,
            offset: 0,
            digest: blake3::Hasher::new(),
        }
    }

    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    pub(super) fn source_id(&self) -> Option<&str> {
        self.source_id.as_deref()
    }

    /// Whether nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes what has come; gives the bytes that wait if something is new.
    pub(super) fn news(&mut self) -> Option<usize> {
        let before = self.pending.len();
        // A record may be longer than that: what was seen and still waits is its start, and without its end nothing would be read any more.
        let room = if self.seen >= Self::MUCH { self.seen + Self::MUCH } else { Self::MUCH };
        while !self.ended && self.pending.len() < room {
            match self.receive.try_recv() {
                Ok(Ok(bytes)) => Arc::make_mut(&mut self.pending).extend_from_slice(&bytes),
                Ok(Err(cause)) => {
                    self.problem = Some(format!("cannot be read on: {cause}"));
                    self.ended = true;
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => self.ended = true,
            }
            if self.offset == 0 && self.pending.len() >= MAGIC && !is_plain(&self.pending) {
                self.problem =
                    Some("is compressed or in UTF-16, and cannot be followed: convert it on the way here".to_owned());
                self.pending = Arc::default();
                self.ended = true;
            }
        }
        self.busy = self.pending.len() >= before + WAITING * READ / 4;
        let is_new = self.pending.len() > self.seen || (self.ended && !self.closed);
        is_new.then_some(self.pending.len())
    }

    /// Whether the stream brings more than can be waited for.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// What was wrong with the stream.
    pub(super) fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    /// A reader over what waits, and where it stands in the stream; `None` if there is nothing to read.
    pub(super) fn begin(&mut self, tail: Tail) -> Option<(Bytes, Start)> {
        let is_new = self.pending.len() > self.seen || tail == Tail::Read;
        self.seen = self.pending.len();
        let reader = Waiting { bytes: Arc::clone(&self.pending), at: 0 };
        let start = Start { offset: self.offset, digest: self.digest.clone() };
        (is_new && !self.pending.is_empty()).then(|| (Box::new(reader) as Bytes, start))
    }

    /// Notes which source the stream is.
    pub(super) fn is_source(&mut self, source_id: String) {
        if !source_id.is_empty() {
            self.source_id = Some(source_id);
        }
    }

    /// A turn has failed: what was read in it is to be read again.
    pub(super) fn read_again(&mut self) {
        self.seen = 0;
    }

    /// Lets go of the bytes that are in the lake, as its row says.
    pub(super) fn committed(&mut self, row: Option<&SourceRow>) {
        self.closed |= self.ended && self.pending.is_empty();
        let Some(row) = row else { return };
        let Some(new) = row.counts.bytes.checked_sub(self.offset).and_then(|new| usize::try_from(new).ok()) else {
            return self.begin_anew();
        };
        let Some(bytes) = self.pending.get(..new) else { return self.begin_anew() };
        self.digest.update(bytes);
        if self.digest.finalize().to_hex().as_str() != row.digest {
            return self.begin_anew();
        }
        Arc::make_mut(&mut self.pending).drain(..new);
        self.offset += new as u64;
        self.seen = self.seen.saturating_sub(new);
        self.closed |= self.ended && self.pending.is_empty();
    }

    /// Another ingest went on with the source, having met the same bytes in a file: the rest of the stream is a source by itself.
    fn begin_anew(&mut self) {
        self.source_id = None;
        self.offset = 0;
        self.digest = blake3::Hasher::new();
        self.seen = 0;
    }
}

fn read_all(input: &Input, send: &mpsc::SyncSender<io::Result<Vec<u8>>>) {
    let mut stream = match input.open_raw() {
        Ok(stream) => stream,
        Err(cause) => {
            let _ = send.send(Err(cause));
            return;
        }
    };
    let mut buffer = vec![0; READ];
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => Ok(buffer[..read].to_vec()),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => Err(cause),
        };
        let failed = read.is_err();
        // Nobody listens any more: the ingest has ended.
        if send.send(read).is_err() || failed {
            return;
        }
    }
}

/// Reads bytes that the stream keeps.
struct Waiting {
    bytes: Arc<Vec<u8>>,
    at: usize,
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_record_longer_than_what_is_kept_at_once_does_not_stop_the_stream() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("long.jsonl");
        std::fs::write(&path, vec![b'x'; Stream::MUCH + (4 << 20)]).expect("written");
        let mut stream = Stream::open(Input::File(path));
        let began = Instant::now();
        while !stream.has_ended() {
            assert!(began.elapsed() < Duration::from_secs(60), "{} bytes wait", stream.pending.len());
            stream.news();
            // Nothing of it can be read before its end is there.
            drop(stream.begin(Tail::Waits));
            stream.committed(None);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(stream.pending.len(), Stream::MUCH + (4 << 20));
    }
}
