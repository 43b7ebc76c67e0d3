//! What has been read of each input, and how an input is recognised again: unchanged, grown, renamed, copied.

mod files;

pub(super) use files::{Rows, chain_of, ends_of};

use super::decode::Counts;
use crate::call::Nanos;
use crate::lake::{Lake, LakeError, data_file, tables};
use crate::source::frame::Framing;
use crate::source::input::{Broken, Bytes, Input, Limits, Stat};
use crate::source::pairing::{SourceContext, Undo};
use arrow::array::{ArrayRef, AsArray as _, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use deltalake::kernel::Add;
use files::Files;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Seek as _};
use std::sync::Arc;

/// Bytes of the head by which candidates are found.
const HEAD: usize = 1024;

/// One input as read so far.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceRow {
    pub(super) source_id: String,
    pub(super) path: String,
    pub(super) format: Option<String>,
    pub(super) framing: Option<Framing>,
    pub(super) size: i64,
    pub(super) mtime: Option<Nanos>,
    pub(super) counts: Counts,
    pub(super) calls: i64,
    pub(super) duplicates: i64,
    pub(super) prompts: i64,
    /// BLAKE3 of the decompressed bytes read so far.
    pub(super) digest: String,
    /// Digest over this row's digest and the chain of the row before it in the file.
    pub(super) chain: String,
    /// Digest of the first bytes, and how many they are.
    pub(super) head: String,
    pub(super) saved: SavedSource,
    pub(super) first_read: Nanos,
    pub(super) last_read: Nanos,
}

impl SourceRow {
    /// Whether both say that the same was read.
    pub(super) fn is_as_far_as(&self, other: &Self) -> bool {
        self.counts.bytes == other.counts.bytes && self.digest == other.digest
    }

    /// Notes how the file was when its end was reached.
    pub(super) fn stat(&mut self, stat: &Stat) {
        self.size = stat.size as i64;
        self.mtime = stat.mtime;
        self.saved.etag.clone_from(&stat.etag);
    }
}

/// What reading on needs, stored as JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SavedSource {
    /// `None`: as at the start of a source. Most small ones stay so.
    pub(super) context: Option<Box<SourceContext>>,
    /// The last line had no end yet but was whole; whether its bytes were a call's.
    pub(super) unterminated: Option<bool>,
    /// The last record was unfinished: how long it was, and its reject, which is void once the record is whole.
    pub(super) open_tail: Option<OpenTail>,
    /// The last line had no end yet, was read as it stands, and may have been a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cut: Option<Cut>,
    /// Nobody knew the file: the formats that were asked, and where each refused piece of it starts.
    #[serde(default)]
    pub(super) unknown_to: String,
    #[serde(default)]
    pub(super) refused: Vec<u64>,
    /// Tag of the version that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// The first row of a table, which names the columns of those behind it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) table: String,
    /// Where the stream broke off. The reject that says so is void once it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broke_off: Option<u64>,
}

impl SavedSource {
    /// Keeps what the source's records said about later ones.
    pub(super) fn keep(&mut self, context: &SourceContext) {
        self.context = (*context != SourceContext::default()).then(|| Box::new(context.clone()));
    }

    /// Bytes of a last record that is read again when it has grown.
    pub(super) fn tail(&self) -> u64 {
        let cut = self.cut.as_ref().map(|cut| cut.length);
        self.open_tail.as_ref().map(|tail| tail.length).or(cut).unwrap_or(0)
    }
}

/// A last record that was read and may go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cut {
    pub(super) length: u64,
    pub(super) lines: u64,
    /// What it did.
    pub(super) undo: Undo,
}

impl Cut {
    /// Whether the record goes on with this byte: a line end shows that it was whole.
    pub(super) fn goes_on(&self, next: u8) -> bool {
        !matches!(next, b'\n' | b'\r')
    }
}

/// An unfinished last record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OpenTail {
    pub(super) length: u64,
    pub(super) lines: u64,
    /// `None`: it was taken for noise.
    pub(super) reject_id: Option<String>,
}

/// Every known source.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) rows: Rows,
    by_path: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
    by_head: HashMap<String, Vec<usize>>,
    /// Lengths of the heads.
    head_lengths: BTreeSet<usize>,
    /// Files of the table that hold them.
    files: Files,
}

/// How an input relates to what is known.
pub(super) enum Recognised {
    /// Nothing new in it.
    Unchanged(usize),
    /// The start is known (source, bytes to go on from); the reader stands there.
    Continues { row: usize, offset: u64, reader: Bytes, digest: Box<blake3::Hasher> },
    /// Never seen.
    New(Bytes),
}

impl Sources {
    pub(super) async fn load(lake: &Lake) -> Result<Self, LakeError> {
        let mut sources = Self::default();
        let adds = lake.files("sources").await?;
        let mut files: Vec<_> = adds.iter().map(|_| (BTreeSet::new(), Vec::new())).collect();
        let mut rows = Vec::new();
        for (file, add) in adds.iter().enumerate() {
            let of_file = read_file(lake, add)?;
            // Where the chain is broken, `lake verify` says so as long as the file is there.
            files[file].1 = ends_of(&of_file).unwrap_or_default();
            rows.extend(of_file.into_iter().map(|row| (file, row)));
        }
        rows.sort_by(|(_, a), (_, b)| (a.first_read, &a.source_id).cmp(&(b.first_read, &b.source_id)));
        for (file, row) in rows {
            files[file].0.insert(sources.insert(row));
        }
        for (add, (rows, ends)) in adds.into_iter().zip(files) {
            sources.files.push(add, rows, ends);
        }
        sources.rows.are_stored();
        Ok(sources)
    }

    /// The rows of each file in the order in which they were written.
    pub(super) async fn stored(lake: &Lake) -> Result<Vec<Vec<SourceRow>>, LakeError> {
        lake.files("sources").await?.iter().map(|add| read_file(lake, add)).collect()
    }

    /// The source at this path.
    pub(super) fn at_path(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// The source with this id.
    pub(super) fn with_id(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Adds a source; gives its index.
    pub(super) fn insert(&mut self, row: SourceRow) -> usize {
        let at = self.rows.len();
        self.by_path.insert(row.path.clone(), at);
        self.by_id.insert(row.source_id.clone(), at);
        self.head_lengths.extend(row.head.rsplit_once(':').and_then(|(_, length)| length.parse::<usize>().ok()));
        self.by_head.entry(row.head.clone()).or_default().push(at);
        self.rows.push(row);
        at
    }

    /// Notes that a source is now found under another path.
    pub(super) fn rename(&mut self, at: usize, path: &str) {
        if self.rows[at].path != path {
            path.clone_into(&mut self.rows[at].path);
        }
        self.by_path.insert(path.to_owned(), at);
    }

    /// A source that is on disk as it was when last read.
    pub(super) fn untouched(&self, path: &str, stat: &Stat) -> Option<usize> {
        let at = *self.by_path.get(path)?;
        let row = &self.rows[at];
        // The table keeps microseconds. Times of object stores are whole seconds; the tag tells versions of the same second apart.
        let micros = |time: Option<Nanos>| time.map(|nanos| nanos.div_euclid(1000));
        let same =
            row.size == stat.size as i64 && micros(row.mtime) == micros(stat.mtime) && row.saved.etag == stat.etag;
        (same && row.mtime.is_some()).then_some(at)
    }

    /// Looks whether the start of an input is a known source. `reopen` gives the stream once more.
    pub(super) fn recognise(
        &self,
        mut reader: Bytes,
        mut reopen: impl FnMut(Bytes) -> io::Result<Bytes>,
    ) -> io::Result<Recognised> {
        let mut head = Vec::with_capacity(HEAD);
        if let Err(error) = reader.by_ref().take(HEAD as u64).read_to_end(&mut head) {
            // What was read before the stream broke off still counts.
            reader = Box::new(Broken(Some(error)));
        }
        let mut candidates: Vec<usize> = Vec::new();
        // An empty source is the start of everything and says nothing.
        for length in self.head_lengths.range(1..=head.len().max(1)).filter(|length| **length <= head.len()) {
            candidates.extend(self.by_head.get(&head_key(&head[..*length])).into_iter().flatten());
        }
        let whole: Bytes = Box::new(io::Cursor::new(head).chain(reader));
        if candidates.is_empty() {
            return Ok(Recognised::New(whole));
        }
        // The longest known start first: it leaves least to read.
        candidates.sort_by_key(|at| std::cmp::Reverse(self.rows[*at].counts.bytes));
        let mut stream = reopen(whole)?;
        for at in candidates {
            match self.matches(at, stream)? {
                Ok(recognised) => return Ok(recognised),
                Err(used) => stream = reopen(used)?,
            }
        }
        Ok(Recognised::New(stream))
    }

    /// Whether the stream starts with all bytes of a known source.
    fn matches(&self, at: usize, mut stream: Bytes) -> io::Result<Result<Recognised, Bytes>> {
        let row = &self.rows[at];
        let tail = row.saved.tail();
        let mut digest = blake3::Hasher::new();
        let until_tail = row.counts.bytes - tail;
        if hash(&mut stream, until_tail, &mut digest)? < until_tail {
            return Ok(Err(stream));
        }
        let mut tail_bytes = Vec::new();
        stream.by_ref().take(tail).read_to_end(&mut tail_bytes)?;
        let mut full = digest.clone();
        full.update(&tail_bytes);
        if full.finalize().to_hex().as_str() != row.digest {
            return Ok(Err(stream));
        }
        let mut next = [0];
        if stream.read(&mut next)? == 0 {
            return Ok(Ok(Recognised::Unchanged(at)));
        }
        if row.saved.cut.as_ref().is_some_and(|cut| !cut.goes_on(next[0])) {
            let reader = Box::new(io::Cursor::new(next).chain(stream));
            return Ok(Ok(Recognised::Continues { row: at, offset: row.counts.bytes, reader, digest: Box::new(full) }));
        }
        tail_bytes.push(next[0]);
        let reader = Box::new(io::Cursor::new(tail_bytes).chain(stream));
        Ok(Ok(Recognised::Continues { row: at, offset: until_tail, reader, digest: Box::new(digest) }))
    }
}

fn read_file(lake: &Lake, file: &Add) -> Result<Vec<SourceRow>, LakeError> {
    let mut rows = Vec::new();
    data_file::read(&lake.table_path("sources"), file, &[], |batch| {
        read_rows(&batch, &mut rows);
        Ok(())
    })?;
    Ok(rows)
}

fn batch_of(rows: &[&SourceRow]) -> Result<RecordBatch, LakeError> {
    let schema = tables::table("sources").expect("sources is a table").schema();
    let columns = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => {
            let mut b = StringBuilder::new();
            rows.iter().for_each(|row| b.append_option(text_column(row, field.name())));
            Arc::new(b.finish()) as ArrayRef
        }
        DataType::Int64 => {
            let mut b = Int64Builder::new();
            rows.iter().for_each(|row| b.append_value(int_column(row, field.name())));
            Arc::new(b.finish())
        }
        _ => {
            let mut b = TimestampMicrosecondBuilder::new().with_data_type(field.data_type().clone());
            rows.iter().for_each(|row| b.append_option(time_column(row, field.name()).map(|t| t.div_euclid(1000))));
            Arc::new(b.finish())
        }
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}

/// The digest of a head, with its length: a source first seen when it was short has a short head.
pub(super) fn head_key(head: &[u8]) -> String {
    let head = &head[..head.len().min(HEAD)];
    format!("{}:{}", &blake3::hash(head).to_hex()[..32], head.len())
}

pub(super) fn hash(stream: &mut dyn Read, bytes: u64, digest: &mut blake3::Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match stream.read(&mut buffer[..want]) {
            Ok(0) => break,
            Ok(read) => {
                digest.update(&buffer[..read]);
                left -= read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes - left)
}

fn text_column(row: &SourceRow, name: &str) -> Option<String> {
    Some(match name {
        "source_id" => row.source_id.clone(),
        "path" => row.path.clone(),
        "format" => return row.format.clone(),
        "framing" => match row.framing? {
            Framing::Lines => "lines".to_owned(),
            Framing::Documents => "documents".to_owned(),
            Framing::Rows => "rows".to_owned(),
            Framing::Streams => "streams".to_owned(),
        },
        "digest" => row.digest.clone(),
        "chain" => row.chain.clone(),
        "head" => row.head.clone(),
        _ => serde_json::to_string(&row.saved).expect("saved state is JSON"),
    })
}

fn int_column(row: &SourceRow, name: &str) -> i64 {
    let counts = &row.counts;
    match name {
        "size" => row.size,
        "bytes" => counts.bytes as i64,
        "bytes_calls" => counts.bytes_calls as i64,
        "bytes_rejected" => counts.bytes_rejected as i64,
        "bytes_ignored" => counts.bytes_ignored as i64,
        "lines" => counts.lines as i64,
        "rejects" => counts.rejects as i64,
        "ignored" => counts.ignored as i64,
        "calls" => row.calls,
        "duplicates" => row.duplicates,
        _ => row.prompts,
    }
}

fn time_column(row: &SourceRow, name: &str) -> Option<Nanos> {
    match name {
        "mtime" => row.mtime,
        "first_read" => Some(row.first_read),
        _ => Some(row.last_read),
    }
}

fn read_rows(batch: &RecordBatch, rows: &mut Vec<SourceRow>) {
    let text = |name: &str, at: usize| {
        let array = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        (!arrow::array::Array::is_null(array, at)).then(|| array.value(at).to_owned())
    };
    let int = |name: &str, at: usize| {
        batch.column_by_name(name).and_then(|a| a.as_primitive_opt::<Int64Type>()).map_or(0, |a| a.value(at))
    };
    let time = |name: &str, at: usize| {
        let array = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        (!arrow::array::Array::is_null(array, at)).then(|| array.value(at).saturating_mul(1000))
    };
    for at in 0..batch.num_rows() {
        rows.push(SourceRow {
            source_id: text("source_id", at).unwrap_or_default(),
            path: text("path", at).unwrap_or_default(),
            format: text("format", at),
            framing: text("framing", at).map(|framing| match framing.as_str() {
                "documents" => Framing::Documents,
                "rows" => Framing::Rows,
                "streams" => Framing::Streams,
                _ => Framing::Lines,
            }),
            size: int("size", at),
            mtime: time("mtime", at),
            counts: Counts {
                bytes: int("bytes", at) as u64,
                bytes_calls: int("bytes_calls", at) as u64,
                bytes_rejected: int("bytes_rejected", at) as u64,
                bytes_ignored: int("bytes_ignored", at) as u64,
                lines: int("lines", at) as u64,
                ignored: int("ignored", at) as u64,
                rejects: int("rejects", at) as u64,
            },
            calls: int("calls", at),
            duplicates: int("duplicates", at),
            prompts: int("prompts", at),
            digest: text("digest", at).unwrap_or_default(),
            chain: text("chain", at).unwrap_or_default(),
            head: text("head", at).unwrap_or_default(),
            saved: text("context", at).and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default(),
            first_read: time("first_read", at).unwrap_or_default(),
            last_read: time("last_read", at).unwrap_or_default(),
        });
    }
}

/// What comes once only is kept in an unnamed file if it has to be read again.
pub(super) struct Spool {
    limits: Limits,
    kept: Option<std::fs::File>,
}

impl Spool {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, kept: None }
    }

    pub(super) fn reopen(&mut self, input: &Input, mut stream: Bytes) -> io::Result<Bytes> {
        if !input.comes_once() {
            return input.open(self.limits);
        }
        if self.kept.is_none() {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut stream, &mut file)?;
            self.kept = Some(file);
        }
        let Some(file) = &self.kept else { return Ok(stream) };
        let mut again = file.try_clone()?;
        again.rewind()?;
        Ok(Box::new(io::BufReader::new(again)))
    }
}
