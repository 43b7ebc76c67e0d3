//! Inputs: whatever a file's bytes are, reading it ends, and what was compressed is what is read.

use crate::source::input::{Input, Limits};
use crate::source::sqlite;
use std::cell::RefCell;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::LazyLock;

/// A decompression bomb is read no further.
const MOST: u64 = 4 << 20;

/// The first byte chooses: the bytes as a file, compressed, compressed and damaged, or as damage to a database.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    match choice & 7 {
        0 | 1 => drop(read(rest)),
        2..=5 => {
            let mut packed = match choice >> 4 & 3 {
                0 => gzip(rest),
                1 => zstd(rest),
                2 => bzip2(rest),
                _ => xz(rest),
            };
            if choice & 7 < 4 {
                // Bytes that look like another encoding are decoded again, or refused.
                if let Ok(content) = read(&packed)
                    && rest.starts_with(b"{")
                    && !rest.contains(&0)
                {
                    assert!(content == rest, "what was compressed is what is read");
                }
                return;
            }
            damage(&mut packed, rest);
            drop(read(&packed));
        }
        _ => {
            let mut bytes = DATABASE.clone();
            damage(&mut bytes, rest);
            if choice & 8 == 0 {
                bytes.truncate(bytes.len() * usize::from(choice) / 255);
            }
            drop(database(&bytes));
        }
    }
}

fn read(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let file = file(bytes);
    let mut content = Vec::new();
    let input = Input::File(file);
    input.hints();
    input.stream();
    input.open(Limits::default())?.take(MOST).read_to_end(&mut content)?;
    Ok(content)
}

fn database(bytes: &[u8]) -> std::io::Result<()> {
    let mut rows = String::new();
    sqlite::open(&file(bytes))?.take(MOST).read_to_string(&mut rows)?;
    // The last line is cut where there is more than is read.
    for line in rows.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "a row is JSON: {line}");
    }
    Ok(())
}

/// The same file each time, with these bytes.
fn file(bytes: &[u8]) -> std::path::PathBuf {
    thread_local! {
        static FILE: RefCell<tempfile::NamedTempFile> =
            RefCell::new(tempfile::NamedTempFile::new().expect("a folder for temporary files"));
    }
    FILE.with_borrow_mut(|file| {
        file.as_file_mut().set_len(0).expect("room");
        file.seek(SeekFrom::Start(0)).expect("a file");
        file.write_all(bytes).expect("room");
        file.path().to_owned()
    })
}

/// Pairs of place and value.
fn damage(bytes: &mut [u8], by: &[u8]) {
    for change in by.chunks_exact(3).take(64) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = change[2];
        }
    }
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).and_then(|()| writer.finish()).expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).expect("memory")
}

/// A small database of the kind that editors keep.
static DATABASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    let connection = rusqlite::Connection::open(file.path()).expect("a database");
    connection
        .execute_batch(
            "PRAGMA page_size = 512; VACUUM;
            CREATE TABLE ItemTable (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
            CREATE TABLE cursorDiskKV (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
            INSERT INTO ItemTable VALUES ('a', 'text'), ('b', NULL), ('c', 7), ('d', 1.5);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
            INSERT INTO cursorDiskKV SELECT 'bubbleId:' || i, '{\"text\":\"' || hex(zeroblob(i * 9)) || '\"}' FROM n;",
        )
        .expect("rows");
    drop(connection);
    std::fs::read(file.path()).expect("a file")
});
