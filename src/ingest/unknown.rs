//! Files that nobody knows: what can be said of them without repeating what they hold.

use super::decode::is_tar;
use crate::source::json::Object;

/// Nothing but white space and a byte-order mark: nothing to be unknown.
pub(super) fn is_blank(head: &[u8]) -> bool {
    head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii().is_empty()
}

/// Whether the head is a message of the Collector's file exporter: its length in four bytes, then a first field that has a length itself.
fn is_protobuf(head: &[u8]) -> bool {
    let Some((length, message)) = head.split_first_chunk::<4>() else { return false };
    let length = u32::from_be_bytes(*length) as usize;
    let names_service = || memchr::memmem::find(message, b"service.name").is_some();
    message.first() == Some(&0x0a) && (8..64 << 20).contains(&length) && names_service()
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
    if is_tar(head) {
        return "a tar archive: unpack it first".to_owned();
    }
    if is_protobuf(head) {
        return "OTLP as protobuf, not as JSON: have the Collector's file exporter write `format: json`".to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_log_is_named() {
        let mut tar = vec![b'a'; 257];
        tar.extend_from_slice(b"ustar\x0000");
        assert!(shape_of(&tar).contains("tar archive"));
        assert!(
            shape_of(b"\0\0\0\x1e\x0a\x1c\x0a\x1a\x0a\x0cservice.name\x12\x0a\x0a\x08checkout").contains("protobuf")
        );
        assert_eq!(shape_of(b"\0\x01binary"), "binary data");
    }
}
