//! Files that nobody knows: what can be said of them without repeating what they hold.

use crate::source::json::Object;

/// Nothing but white space and a byte-order mark: nothing to be unknown.
pub(super) fn is_blank(head: &[u8]) -> bool {
    head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii().is_empty()
}

/// What the first lines of an unknown file look like: keys of objects, or the kinds of characters, no values.
pub(super) fn shape_of(head: &[u8]) -> String {
    let known: [(&[u8], &str); 4] = [
        (b"version https://git-lfs", "a Git LFS pointer, not the data: run `git lfs pull`"),
        (b"SQLite format 3\0", "a SQLite database"),
        (b"PAR1", "a Parquet file"),
        (b"PK\x03\x04", "a ZIP archive: unpack it first"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*what).to_owned();
    }
    if head.contains(&0) {
        return "binary data".to_owned();
    }
    let text = String::from_utf8_lossy(head);
    let keys = |object: &Object<'_>| {
        let keys: Vec<&str> = object.members().iter().take(8).map(|(key, _)| key.as_ref()).collect();
        let more = if object.members().len() > 8 { ", …" } else { "" };
        format!("{{{}{more}}}", keys.join(", "))
    };
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).map(|line| match Object::parse(line) {
            Ok(object) => keys(&object),
            Err(_) => line
                .chars()
                .take(60)
                .map(|c| match c {
                    c if c.is_alphabetic() => 'a',
                    c if c.is_ascii_digit() => '9',
                    c => c,
                })
                .collect(),
        });
    let whole = Object::trusted(&text);
    let spans_lines = text.lines().next().is_some_and(|line| Object::parse(line.trim()).is_err());
    if spans_lines && !whole.is_empty() {
        return keys(&whole);
    }
    lines.collect::<Vec<_>>().join(" / ")
}
