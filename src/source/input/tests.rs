//! Compressions, encodings, names.

use super::*;
use std::io::Write as _;

#[test]
fn rotated_parts_are_read_oldest_first_and_share_a_stream() {
    let mut parts: Vec<_> = [
        "a.log",
        "a.log.1",
        "a.log.10.gz",
        "a.log.2.zst",
        "b.jsonl.001",
        "b.jsonl",
        "c.log-20261110",
        "c.log-20261109",
        "c.log",
        "d-2026-11-11.log",
        "d.log",
        "d-2026-11-10.log.gz",
    ]
    .map(PathBuf::from)
    .to_vec();
    parts.sort_by_cached_key(|p| part_order(p));
    let names: Vec<_> = parts.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    assert_eq!(
        names,
        [
            "a.log.10.gz",
            "a.log.2.zst",
            "a.log.1",
            "a.log",
            "b.jsonl",
            "b.jsonl.001",
            "c.log-20261109",
            "c.log-20261110",
            "c.log",
            "d-2026-11-10.log.gz",
            "d-2026-11-11.log",
            "d.log"
        ]
    );
    assert_eq!(Input::File("x/a.log.10.gz".into()).stream(), "x/a.log");
    assert_eq!(Input::File("x/a.log".into()).stream(), "x/a.log");
    assert_eq!(Input::File("x/d-2026-11-10.log.gz".into()).stream(), "x/d.log");
    for name in ["x/2026-11-10.log", "x/rollout-2026-11-10T09-12-33-ab.jsonl", "x/d-2026-11-1x.log"] {
        assert_eq!(Input::File(name.into()).stream(), name);
    }
    for name in ["mcp-server-git.log.1", "mcp-server-git-2026-11-10.log"] {
        assert_eq!(Input::File(name.into()).hints().server.as_deref(), Some("git"), "{name}");
    }
}

#[test]
fn a_digit_is_a_part_only_beside_the_live_file() {
    let folder = tempfile::tempdir().expect("temp dir");
    let input = |name: &str| Input::File(folder.path().join(name));
    for name in
        ["mcp-server-r54.log", "mcp-server-r541.log", "mcp-server-r542.log", "mcp-server-db1.log", "x1.log", "x.log"]
    {
        std::fs::write(folder.path().join(name), "").expect("writes");
    }
    let live = input("mcp-server-r54.log");
    let mut parts = vec![live.clone(), input("mcp-server-r541.log"), input("mcp-server-r542.log")];
    assert!(parts.iter().all(|part| part.stream() == live.name()));
    sort(&mut parts);
    assert_eq!(parts, [input("mcp-server-r542.log"), input("mcp-server-r541.log"), live]);
    for own in ["mcp-server-db1.log", "x1.log"].map(input) {
        assert_eq!(own.stream(), own.name());
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 0);
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory")
}

type Pack = fn(&[u8]) -> Vec<u8>;

const PACKS: [(&str, Pack); 4] = [("gzip", gzip), ("zstd", zstd), ("bzip2", bzip2), ("xz", xz)];

/// Gives its bytes in small pieces, as a pipe may.
struct Trickle(Vec<u8>, usize);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let give = buffer.len().min(3).min(self.0.len() - self.1);
        buffer[..give].copy_from_slice(&self.0[self.1..self.1 + give]);
        self.1 += give;
        Ok(give)
    }
}

/// What comes out, and how it ends.
fn decoded(raw: impl Into<Vec<u8>>, limits: Limits) -> (Vec<u8>, Option<String>) {
    let (head, content) = decompress::decompress(Box::new(Trickle(raw.into(), 0)), limits).expect("set up");
    let mut out = Vec::new();
    let end = utf16::to_utf8(&head, content).read_to_end(&mut out);
    (out, end.err().map(|error| error.to_string()))
}

#[test]
fn members_one_after_the_other_are_one_content() {
    for (name, pack) in PACKS {
        let raw = [pack(b"first\n"), pack(b""), pack(b"second\n")].concat();
        assert_eq!(decoded(raw, Limits::default()), (b"first\nsecond\n".to_vec(), None), "{name}");
    }
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd(b"text\n")].concat();
    assert_eq!(decoded(skippable, Limits::default()), (b"text\n".to_vec(), None));
    assert_eq!(decoded(*b"BZh9 is no archive\n", Limits::default()).0, b"BZh9 is no archive\n");
}

#[test]
fn damage_ends_the_content_where_it_stands() {
    let text: Vec<u8> =
        (0..8_000u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).to_hex().as_bytes().to_vec()).collect();
    for (name, pack) in PACKS {
        let whole = pack(&text);
        let (out, end) = decoded(&whole[..whole.len() - whole.len() / 3], Limits::default());
        assert!(end.is_some(), "{name} cut off was taken for whole");
        assert!(out.len() > text.len() / 4 && text.starts_with(&out), "{name} lost what came before the cut");
        let (out, end) = decoded([&whole[..], b"garbage behind the end"].concat(), Limits::default());
        assert!(out == text && end.is_some(), "{name} with garbage behind it: {end:?}");
    }
}

#[test]
fn compressed_twice_is_refused() {
    for (outer, pack) in PACKS {
        for (inner, pack_first) in PACKS {
            let (out, end) = decoded(pack(&pack_first(b"text\n")), Limits::default());
            assert!(out.is_empty() && end.is_some_and(|e| e.contains("compressed twice")), "{inner} in {outer}");
        }
    }
}

#[test]
fn bombs_end_at_their_limits() {
    let limits = Limits { decompressed: 1 << 20, ..Limits::default() };
    for (name, pack) in PACKS {
        let (out, end) = decoded(pack(&vec![b' '; 3 << 20]), limits);
        assert!(end.is_some_and(|e| e.contains("decompressed_limit")), "{name}");
        assert!(out.len() <= 1 << 20, "{name} gave {} bytes", out.len());
    }
    // Ten thousand times its size, and small enough for a test.
    let bomb = zstd::encode_all(io::repeat(b' ').take(400 << 20), 1).expect("memory");
    let (head, mut content) =
        decompress::decompress(Box::new(io::Cursor::new(bomb)), Limits::default()).expect("set up");
    let mut out = 0;
    let mut buffer = vec![0; 1 << 20];
    let end = loop {
        match content.read(&mut buffer) {
            Ok(0) => break None,
            Ok(read) => out += read,
            Err(error) => break Some(error.to_string()),
        }
    };
    assert_eq!(head, b"                ");
    assert!(end.is_some_and(|e| e.contains("ratio_limit")) && out < 300 << 20, "{out} bytes came out");
}

#[test]
fn utf16_becomes_utf8() {
    let text = "{\"tool\":\"Übersicht 日本 🦀\"}\r\n";
    let units: Vec<u16> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    // Without the mark, too.
    for raw in [&little, &big, &gzip(&little), &little[2..].to_vec(), &big[2..].to_vec(), &gzip(&big[2..])] {
        assert_eq!(decoded(raw.clone(), Limits::default()), (text.as_bytes().to_vec(), None));
    }
    // A file that is still being written, at any byte: the start of what it will be.
    for end in 2..little.len() {
        let (out, error) = decoded(&little[..end], Limits::default());
        assert!(error.is_none() && text.as_bytes().starts_with(&out), "cut at {end}");
    }
    for other in [&b"a\0b\0c\0d"[..], b"{\0\"\0t\0\x01\0", b"\0\0\0\x1e\x0a\x1c\x0a\x1a", b"a\0b\0"] {
        assert_eq!(decoded(other, Limits::default()), (other.to_vec(), None));
    }
    let lone = [0xff, 0xfe, 0x00, 0xd8, b'a', 0, 0x00, 0xdc];
    assert_eq!(decoded(lone, Limits::default()).0, [0xff, b'a', 0xff]);
}
