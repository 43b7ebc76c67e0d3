//! The bytes of a data file as the Parquet reader asks for them: of a file, or of an object that is fetched piece by piece.

use super::bucket::Bucket;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are fetched at once.
const BLOCK: u64 = 1 << 20;
/// Blocks that are kept: one for each column that is read, and some.
const BLOCKS: usize = 32;

/// A data file that is open for reading.
pub enum DataReader {
    File(File),
    /// A small object, whole.
    Bytes(Bytes),
    Object(Arc<Object>),
}

/// An object of which a few columns are read.
pub struct Object {
    bucket: Arc<Bucket>,
    path: String,
    size: u64,
    /// Latest first, by number.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Object {
    pub(super) fn new(bucket: Arc<Bucket>, path: String, size: u64) -> Self {
        Self { bucket, path, size, blocks: Mutex::default() }
    }

    fn block(&self, number: u64) -> Result<Bytes> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = blocks.iter().position(|(known, _)| *known == number) {
            let block = blocks.remove(at).expect("it was found there");
            blocks.push_front(block.clone());
            return Ok(block.1);
        }
        let start = number * BLOCK;
        let bytes = self.fetch(start, (start + BLOCK).min(self.size))?;
        blocks.push_front((number, bytes.clone()));
        blocks.truncate(BLOCKS);
        Ok(bytes)
    }

    fn fetch(&self, from: u64, to: u64) -> Result<Bytes> {
        let bytes = self.bucket.range(&self.path, from..to).map_err(|error| ParquetError::External(Box::new(error)))?;
        let end = from + bytes.len() as u64;
        if end != to {
            // Asked for more than there is, a store gives what there is.
            return Err(ParquetError::EOF(format!("it ends at {end}, and should have {} bytes", self.size)));
        }
        Ok(bytes)
    }

    fn bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start + length as u64;
        if end > self.size {
            return Err(ParquetError::EOF(format!("{end} is beyond the end at {}", self.size)));
        }
        let (first, last) = (start / BLOCK, end.saturating_sub(1) / BLOCK);
        if first + 1 < last {
            // A large piece is not worth keeping.
            return self.fetch(start, end);
        }
        let head = self.block(first)?;
        let from = usize::try_from(start - first * BLOCK).unwrap_or(usize::MAX);
        if first >= last {
            return Ok(head.slice(from..from + length));
        }
        let tail = self.block(last)?;
        let of_tail = length - (head.len() - from);
        Ok([&head[from..], &tail[..of_tail]].concat().into())
    }
}

/// Reads an object from a place on, block by block.
struct Stream {
    object: Arc<Object>,
    at: u64,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.object.size.saturating_sub(self.at);
        let in_block = BLOCK - self.at % BLOCK;
        let length = (buffer.len() as u64).min(left).min(in_block);
        if length == 0 {
            return Ok(0);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = self.object.bytes(self.at, length).map_err(std::io::Error::other)?;
        buffer[..length].copy_from_slice(&bytes);
        self.at += length as u64;
        Ok(length)
    }
}

impl Length for DataReader {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Object(object) => object.size,
        }
    }
}

impl ChunkReader for DataReader {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(match self {
            Self::File(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start))?;
                Box::new(BufReader::new(file))
            }
            Self::Bytes(bytes) => Box::new(ChunkReader::get_read(bytes, start)?),
            Self::Object(object) => Box::new(Stream { object: Arc::clone(object), at: start }),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::File(file) => ChunkReader::get_bytes(file, start, length),
            Self::Bytes(bytes) => ChunkReader::get_bytes(bytes, start, length),
            Self::Object(object) => object.bytes(start, length),
        }
    }
}
