//! Rows of a CSV export: lines, but a field in quotes may hold line ends (RFC 4180).

use super::Records;

/// Columns that make a first line the head of a table.
const COLUMNS: usize = 4;

/// Whether a first line is nothing but names of columns.
pub(super) fn is_head(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let is_name = |name: &[u8]| {
        name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    };
    let mut columns = line.split(|b| *b == b',');
    line.len() < 4096 && columns.clone().count() >= COLUMNS && columns.all(is_name)
}

/// The whole rows at the start of `bytes`, and where they end.
pub(super) fn rows(bytes: &[u8]) -> Option<(usize, Records)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(end) = row_end(bytes, at) {
        found.push((at, end));
        at = end;
    }
    (at > 0).then_some((at, Some(found)))
}

/// Where the row ends that starts at `start`; `None`: its end is still to come.
fn row_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let stop = at + memchr::memchr2(b'"', b'\n', bytes.get(at..)?)?;
        if bytes[stop] == b'\n' {
            return Some(stop + 1);
        }
        at = stop + 1;
        // Elsewhere than at the start of a field it is a character like others.
        if stop > start && bytes[stop - 1] != b',' {
            continue;
        }
        loop {
            at += memchr::memchr(b'"', &bytes[at..])? + 1;
            match bytes.get(at)? {
                b'"' => at += 1,
                b',' | b'\r' | b'\n' => break,
                // No quote ends a field like this: the row is broken, and what follows it must not be taken for a part of it.
                _ => return memchr::memchr(b'\n', &bytes[start..]).map(|found| start + found + 1),
            }
        }
    }
}
