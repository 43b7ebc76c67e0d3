//! Compressed streams → their content, told by the first bytes, within limits.
//!
//! A small file can claim to hold terabytes. Two limits end such a stream with an error where it stands, so that what was read
//! before is kept. Compressed content of compressed content is refused: nobody writes logs so, and each level multiplies.

use super::{Bytes, READ_SIZE};
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the start that tell the compression.
const MAGIC: usize = 16;
/// Memory that an xz stream may ask for its dictionary; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;
/// Content below this is read whatever its ratio: it is nothing to be afraid of.
const SMALL: u64 = 256 << 20;

/// How much may come out of a compressed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of decompressed content of one input.
    pub decompressed: u64,
    /// Times that the content may be larger than the compressed bytes it comes from. Text logs reach 1000 at most.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { decompressed: 1 << 40, ratio: 10_000 }
    }
}

/// The ways of compression that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    /// Tells the compression by the first bytes; `None` for plain content.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or a skippable one, which parallel compressors put first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            // The first block, or the end of a stream without any: `BZh9` alone could start a text.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// The content; several members or frames one after the other are one content.
    fn reader(self, raw: BufReader<Counted>) -> io::Result<Bytes> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(raw, stream))
            }
        })
    }
}

/// Wraps a stream into the decompressor that its first bytes ask for; gives the first bytes of the content and the whole content.
/// Whatever is wrong with it comes as an error of the reader, where it stands.
///
/// # Errors
/// The decompressor cannot be set up.
pub(super) fn decompress(raw: Bytes, limits: Limits) -> io::Result<(Vec<u8>, Bytes)> {
    let (head, raw) = peek(raw);
    let Some(compression) = Compression::of(&head) else { return Ok((head, raw)) };
    let packed = Arc::new(AtomicU64::new(0));
    let counted = BufReader::with_capacity(READ_SIZE, Counted { inner: raw, bytes: Arc::clone(&packed) });
    let guarded = Guarded { inner: compression.reader(counted)?, packed, unpacked: 0, limits };
    let (head, content) = peek(Box::new(guarded));
    if Compression::of(&head).is_some() {
        return Ok((Vec::new(), broken("compressed twice: decompress it once, then read it again")));
    }
    Ok((head, content))
}

/// The first bytes of a stream, and the whole stream. A pipe gives its first bytes in pieces, so one read is not enough.
fn peek(mut stream: Bytes) -> (Vec<u8>, Bytes) {
    let mut head = Vec::with_capacity(MAGIC);
    let rest = match stream.by_ref().take(MAGIC as u64).read_to_end(&mut head) {
        Ok(_) => stream,
        Err(error) => Box::new(Broken(Some(error))),
    };
    (head.clone(), Box::new(Cursor::new(head).chain(rest)))
}

/// A stream that cannot be read, for this reason.
fn broken(reason: &str) -> Bytes {
    Box::new(Broken(Some(io::Error::other(reason.to_owned()))))
}

/// A stream that has broken off.
pub(crate) struct Broken(pub(crate) Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Counts the compressed bytes.
struct Counted {
    inner: Bytes,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Ends the content where it exceeds a limit.
struct Guarded {
    inner: Bytes,
    packed: Arc<AtomicU64>,
    unpacked: u64,
    limits: Limits,
}

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.unpacked += read as u64;
        let Limits { decompressed, ratio } = self.limits;
        if self.unpacked > decompressed {
            let reason = format!(
                "decompresses to more than {decompressed} bytes: raise `decompressed_limit` under [ingest] if it may"
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        let packed = self.packed.load(Ordering::Relaxed);
        if self.unpacked > SMALL && self.unpacked / ratio.max(1) > packed {
            let reason = format!(
                "decompresses to more than {ratio} times its size, as a decompression bomb does: raise `ratio_limit` under [ingest] if it may"
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        Ok(read)
    }
}
