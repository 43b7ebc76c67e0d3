//! The files that are followed: what is new since the last look, and how far each was read.
//!
//! A file is told by its number in the file system, so that a renamed one is the same and a new one under its old name is another. The
//! files that were written last are held open: what is written to one after it was renamed or removed is still read.

use super::one_input::{Left, Tail};
use super::sources::SourceRow;
use crate::source::frame::{Place, keep_tail};
use crate::source::input::{Bytes, Input, Limits, Stat, content, is_plain};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

/// Files held open at most.
const MAX_HELD: usize = 256;
/// Files at most of which is known where reading stopped; others are recognised by their content, which means reading them.
const MAX_LIVE: usize = 4096;
/// A file that was renamed or removed, and is written no more for so long, is let go.
const LET_GO: Duration = Duration::from_secs(600);

/// A file's number, which stays with it when it is renamed.
pub(super) type Id = (u64, u64);

/// A file with something to read.
pub(super) struct Item {
    pub(super) input: Input,
    pub(super) stat: Stat,
    pub(super) tail: Tail,
    /// It is no longer found under its name.
    pub(super) behind: bool,
    id: Option<Id>,
    held: Option<Arc<File>>,
}

/// What is known of the file of an item.
pub(super) enum Seen<'w> {
    /// It was read up to a place, and what stands before that is the same.
    Grown(&'w Live),
    /// It was read, and is another now.
    CutOff {
        read: u64,
    },
    New,
}

/// How far a file was read.
pub(super) struct Live {
    pub(super) source_id: String,
    pub(super) place: Place,
    /// What the source's row said.
    bytes: u64,
    digest: String,
    grown: Duration,
}

/// A path at the last look.
struct Path {
    stat: Stat,
    id: Option<Id>,
    changed: Duration,
    /// An unfinished last line, or trouble: to be looked at again.
    unsettled: bool,
}

/// An open file and the name that it had last.
struct Held {
    file: Arc<File>,
    input: Input,
    /// Size when it was read; of no file if it was not.
    size: u64,
    grown: Duration,
    unsettled: bool,
}

/// Everything that is followed.
#[derive(Default)]
pub(super) struct Watched {
    paths: HashMap<String, Path>,
    lives: HashMap<Id, Live>,
    held: HashMap<Id, Held>,
    /// Paths that were ever met.
    count: u64,
}

impl Live {
    /// Whether the source is still where this file was left.
    pub(super) fn is_at(&self, row: &SourceRow) -> bool {
        let is_same = row.counts.bytes == self.bytes && row.digest == self.digest;
        is_same && self.place.offset == self.bytes - row.saved.tail()
    }
}

impl Item {
    /// The file's bytes from a place on.
    pub(super) fn reader(&self, offset: u64) -> io::Result<Bytes> {
        let file = match (&self.held, &self.input) {
            (Some(file), _) => Arc::clone(file),
            (None, Input::File(path)) => Arc::new(File::open(path)?),
            _ => return Err(io::Error::other("no file")),
        };
        Ok(Box::new(From { file, offset }))
    }

    /// The byte at a place; `None` behind the last one.
    pub(super) fn byte(&self, offset: u64) -> io::Result<Option<u8>> {
        let mut next = Vec::new();
        self.reader(offset)?.take(1).read_to_end(&mut next)?;
        Ok(next.first().copied())
    }

    /// The file's content from its start, as [`Input::open`] gives it.
    pub(super) fn content(&self, limits: Limits) -> io::Result<Bytes> {
        content(self.reader(0)?, limits)
    }

    /// Whether the bytes before a place are still those that were read.
    fn is_unchanged(&self, place: &Place) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let length = place.tail.len() as u64;
        self.reader(place.offset.saturating_sub(length))?.take(length).read_to_end(&mut bytes)?;
        Ok(bytes == place.tail)
    }

    fn is_plain(&self) -> bool {
        let mut head = Vec::new();
        self.reader(0).and_then(|reader| reader.take(16).read_to_end(&mut head)).is_ok_and(|_| is_plain(&head))
    }
}

impl Watched {
    /// Paths that were met so far.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// What is new: files that came or changed, those with a line that has been unfinished for `settled` (or at the `last` look), and
    /// those that went on growing under no name. In the order in which they are to be read.
    pub(super) fn look(&mut self, inputs: Vec<Input>, now: Duration, settled: Duration, last: bool) -> Vec<Item> {
        let mut items = Vec::new();
        let mut present = HashSet::new();
        let mut paths = HashMap::with_capacity(inputs.len());
        for input in inputs {
            // What is gone again is gone.
            let Some((stat, id)) = look_at(&input) else { continue };
            present.extend(id);
            let name = input.name();
            let old = self.paths.remove(&name);
            self.count += u64::from(old.is_none());
            let is_same = old.as_ref().is_some_and(|old| old.stat == stat && old.id == id);
            let is_settled = |path: &Path| path.unsettled && (last || now.saturating_sub(path.changed) >= settled);
            let tail = if last || old.as_ref().is_some_and(|old| is_same && is_settled(old)) {
                Tail::Read
            } else {
                Tail::Waits
            };
            let is_new = !is_same || tail == Tail::Read && old.as_ref().is_some_and(|old| old.unsettled);
            let path = match old {
                Some(old) if is_same => old,
                // Read anew until that has been done.
                _ => Path { stat: Stat::default(), id: None, changed: now, unsettled: false },
            };
            paths.insert(name, path);
            if let Some(id) = id {
                self.hold(id, &input, now, is_new);
            }
            if is_new {
                let held = id.and_then(|id| Some(Arc::clone(&self.held.get(&id)?.file)));
                items.push(Item { input, stat, tail, behind: false, id, held });
            }
        }
        self.paths = paths;
        let mut behind = self.left_behind(&present, now, settled, last);
        behind.append(&mut items);
        behind
    }

    /// Files that are open and found under no name any more, if something is new in them.
    fn left_behind(&mut self, present: &HashSet<Id>, now: Duration, settled: Duration, last: bool) -> Vec<Item> {
        let mut items = Vec::new();
        self.held.retain(|id, held| {
            if present.contains(id) {
                return true;
            }
            let Ok(meta) = held.file.metadata() else { return false };
            let quiet = now.saturating_sub(held.grown);
            let is_due = held.unsettled && (last || quiet >= settled);
            if meta.len() != held.size || is_due {
                let tail = if is_due || last { Tail::Read } else { Tail::Waits };
                let (input, file) = (held.input.clone(), Some(Arc::clone(&held.file)));
                items.push(Item { input, stat: Stat::of(&meta), tail, behind: true, id: Some(*id), held: file });
                return true;
            }
            quiet < LET_GO
        });
        items
    }

    /// Holds a file open, if it was written of late.
    fn hold(&mut self, id: Id, input: &Input, now: Duration, is_new: bool) {
        if let Some(held) = self.held.get_mut(&id) {
            held.input.clone_from(input);
            if is_new {
                held.grown = now;
            }
            return;
        }
        if !is_new {
            return;
        }
        if self.held.len() >= MAX_HELD {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.grown).map(|(id, held)| (*id, held.grown));
            match oldest {
                Some((oldest, grown)) if grown < now => self.held.remove(&oldest),
                // All of them were written since the last look, or this is the first one.
                _ => return,
            };
        }
        if let Input::File(path) = input
            && let Ok(file) = File::open(path)
        {
            let held =
                Held { file: Arc::new(file), input: input.clone(), size: u64::MAX, grown: now, unsettled: false };
            self.held.insert(id, held);
        }
    }

    /// What is known of an item's file.
    pub(super) fn seen(&self, item: &Item) -> Seen<'_> {
        let Some(live) = item.id.and_then(|id| self.lives.get(&id)) else { return Seen::New };
        match item.is_unchanged(&live.place) {
            Ok(true) => Seen::Grown(live),
            _ => Seen::CutOff { read: live.bytes },
        }
    }

    /// Notes what was read and committed; `row` is the source as it is now.
    pub(super) fn read(
        &mut self,
        item: Item,
        left: Result<Option<Left>, String>,
        row: Option<&SourceRow>,
        now: Duration,
    ) {
        let is_failed = left.is_err();
        let left = left.ok().flatten();
        let unsettled =
            is_failed || item.tail == Tail::Waits && left.as_ref().is_some_and(|left| left.place.is_unfinished);
        if let Some(id) = item.id {
            if let Some(held) = self.held.get_mut(&id) {
                held.size = item.stat.size;
                held.unsettled = unsettled;
                held.grown = now;
            }
            match (left, row) {
                (Some(Left { source_id, mut place }), Some(row)) if item.is_plain() => {
                    // What was read is known; the file may have been written anew since.
                    if let Some(before) = self.lives.remove(&id).map(|live| live.place)
                        && before.offset + place.tail.len() as u64 == place.offset
                    {
                        let new = std::mem::replace(&mut place.tail, before.tail);
                        keep_tail(&mut place.tail, &new);
                    }
                    // Nothing was handed out of a file that had been read before: it could not be told from one that was cut off.
                    if place.offset == 0 || !place.tail.is_empty() {
                        let (bytes, digest) = (row.counts.bytes, row.digest.clone());
                        self.lives.insert(id, Live { source_id, place, bytes, digest, grown: now });
                    }
                }
                // Nothing was new: what was known still holds.
                (None, _) if !is_failed => {}
                _ => {
                    self.lives.remove(&id);
                }
            }
        }
        if !item.behind
            && let Some(path) = self.paths.get_mut(&item.input.name())
        {
            *path = Path { stat: item.stat, id: item.id, changed: now, unsettled };
        }
    }

    /// Keeps what was written last.
    pub(super) fn trim(&mut self, now: Duration) {
        if self.lives.len() > MAX_LIVE {
            let mut ages: Vec<Duration> = self.lives.values().map(|live| now.saturating_sub(live.grown)).collect();
            ages.sort_unstable();
            let limit = ages[MAX_LIVE / 2];
            self.lives.retain(|_, live| now.saturating_sub(live.grown) < limit);
        }
    }
}

#[cfg(unix)]
fn look_at(input: &Input) -> Option<(Stat, Option<Id>)> {
    use std::os::unix::fs::MetadataExt as _;
    let Input::File(path) = input else { return None };
    let meta = std::fs::metadata(path).ok()?;
    Some((Stat::of(&meta), meta.is_file().then(|| (meta.dev(), meta.ino()))))
}

/// Without numbers, every file that changed is recognised by its content.
#[cfg(not(unix))]
fn look_at(input: &Input) -> Option<(Stat, Option<Id>)> {
    Some((input.stat().ok()?, None))
}

/// Reads a file from an offset on, whoever else reads it.
struct From {
    file: Arc<File>,
    offset: u64,
}

impl Read for From {
    #[cfg(unix)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt as _;
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }

    #[cfg(not(unix))]
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::source::frame::Framer;

    /// What was read is compared with the file as it is at the next look, not with what the file had become when the reading was noted.
    #[test]
    fn a_file_that_is_written_anew_while_it_is_read_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let input = Input::File(path.clone());
        let mut watched = Watched::default();
        let mut contents = ["first\n", "first\nsecond\n", "another\nand\nlonger\n"].into_iter();
        std::fs::write(&path, contents.next().expect("one")).expect("written");
        for (after, grown) in [(contents.next(), true), (contents.next(), false)] {
            let item =
                watched.look(vec![input.clone()], Duration::ZERO, Duration::ZERO, false).pop().expect("it is new");
            let (offset, digest) = match watched.seen(&item) {
                Seen::Grown(live) => (live.place.offset, live.place.digest.clone()),
                _ => Default::default(),
            };
            let mut framer = Framer::new(item.reader(offset).expect("open"), offset, digest, None).expect("read");
            while framer.next_chunk().expect("read").is_some() {}
            std::fs::write(&path, after.expect("one")).expect("written");
            let left = Left { source_id: "s".to_owned(), place: framer.place(false) };
            watched.read(item, Ok(Some(left)), Some(&SourceRow::default()), Duration::ZERO);
            let again =
                watched.look(vec![input.clone()], Duration::ZERO, Duration::ZERO, false).pop().expect("it is new");
            assert_eq!(matches!(watched.seen(&again), Seen::Grown(_)), grown);
        }
    }

    /// After a restart a file is read on from where the last process stopped. If only half a line has come since, none of its bytes were seen.
    #[test]
    fn a_file_of_which_nothing_was_seen_is_not_taken_for_one_that_grew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let input = Input::File(path.clone());
        let mut watched = Watched::default();
        std::fs::write(&path, "first\nhal").expect("written");
        let look =
            |watched: &mut Watched| watched.look(vec![input.clone()], Duration::ZERO, Duration::ZERO, false).pop();
        let item = look(&mut watched).expect("it is new");
        let mut framer = Framer::new(item.reader(6).expect("open"), 6, blake3::Hasher::new(), None).expect("read");
        framer.wait_for_ends();
        assert!(framer.next_chunk().expect("read").is_none());
        let left = Left { source_id: "s".to_owned(), place: framer.place(false) };
        watched.read(item, Ok(Some(left)), Some(&SourceRow::default()), Duration::ZERO);
        std::fs::write(&path, "new\n").expect("written");
        let again = look(&mut watched).expect("it is another");
        assert!(matches!(watched.seen(&again), Seen::New));
    }
}
