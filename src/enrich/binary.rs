//! Binary content inside JSON: recognised, digested, and stored as `[binary:sha256:HEX:BYTES]`.
//!
//! Pictures and archives make most of the bytes of some logs and say nothing to a rule; their digest does.

use super::secret::hex;
use super::walk::{Kind, Tape};
use crate::source::json::Escapes;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

/// Shorter base64 is kept: it may be an argument worth reading.
const MIN_BASE64: usize = 256;
/// Base64 text is decoded up to here to see whether it hides something readable.
const MAX_DECODE: usize = 64 << 10;

/// A `data:` URI in text.
pub(crate) struct DataUri {
    pub(crate) start: usize,
    /// Index after its base64.
    pub(crate) end: usize,
    /// Where the base64 starts.
    pub(crate) data: usize,
    /// Whether the base64 is long enough to be replaced.
    pub(crate) binary: bool,
}

/// The `data:` URI at `start`.
pub(crate) fn data_uri(text: &str, start: usize) -> Option<DataUri> {
    let rest = text.get(start..)?.strip_prefix("data:")?;
    let head = rest.as_bytes().iter().take(200).position(|b| *b == b',')?;
    let media = &rest[..head];
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"/+.-;=_\"".contains(&b);
    if !media.contains('/') && !media.is_empty() || !media.bytes().all(valid) {
        return None;
    }
    let data = start + "data:".len() + head + 1;
    let base64 = media.ends_with(";base64");
    let length = if base64 { base64_length(&text.as_bytes()[data..]) } else { 0 };
    (base64 || media.starts_with("text/")).then_some(DataUri {
        start,
        end: data + length,
        data,
        binary: length >= MIN_BASE64,
    })
}

fn base64_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_')).count()
}

/// Whether a string is the payload of an image, an audio clip or a resource: a `data` or `blob` member of base64
/// beside a media type.
pub(crate) fn is_blob(text: &str, tape: &Tape, string: usize) -> bool {
    let node = tape.nodes[string];
    let long = node.end - node.start > MIN_BASE64 as u32 && node.kind == Kind::String && node.escapes == Escapes::No;
    let Some(object) = tape.nodes.get(node.parent as usize).filter(|parent| long && parent.kind == Kind::Object) else {
        return false;
    };
    debug_assert!(object.start < node.start);
    if !matches!(tape.nodes[node.index as usize].inner(text), "data" | "blob") {
        return false;
    }
    let parent = node.parent as usize;
    let described = ["mimeType", "media_type", "mime_type", "mediaType"]
        .iter()
        .any(|name| tape.member(text, parent, name).is_some());
    let typed = || {
        let kind = tape.member(text, parent, "type").map(|value| tape.nodes[value].raw(text));
        kind.is_some_and(|kind| {
            matches!(kind, "\"image\"" | "\"audio\"" | "\"video\"" | "\"file\"" | "\"base64\"" | "\"blob\"")
        })
    };
    let inner = node.inner(text);
    (described || typed() || tape.member(text, parent, "uri").is_some())
        && base64_length(inner.as_bytes()) == inner.len()
}

/// What is stored in place of base64: digest and size of what it encodes.
pub(crate) fn literal(base64: &str) -> String {
    let decoded = decode_base64(base64);
    let bytes = decoded.as_deref().unwrap_or(base64.as_bytes());
    format!("[binary:sha256:{}:{}]", hex(&Sha256::digest(bytes)[..8]), bytes.len())
}

/// Replaces the base64 of long `data:` URIs.
pub(crate) fn replace_data_uris(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    for found in memchr::memmem::find_iter(text.as_bytes(), b"data:") {
        if found < done {
            continue;
        }
        if let Some(uri) = data_uri(text, found).filter(|uri| uri.binary) {
            out.push_str(&text[done..uri.data]);
            out.push_str(&literal(&text[uri.data..uri.end]));
            done = uri.end;
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// The text that base64 hides, if it does: at least twelve bytes, nearly all of them printable.
pub(crate) fn decode_text(base64: &str) -> Option<String> {
    let cut = base64.len().min(MAX_DECODE) & !3;
    // A few bytes tell noise from text before all is decoded.
    let head = decode_base64(&base64[..cut.min(64)])?;
    let printable =
        |bytes: &[u8]| bytes.iter().filter(|b| matches!(b, b'\t' | b'\n' | b'\r' | b' '..=b'~') || **b >= 0x80).count();
    let ascii = head.iter().filter(|b| b.is_ascii()).count();
    if printable(&head) * 20 < head.len() * 19 || ascii * 2 < head.len() {
        return None;
    }
    let whole = if base64.len() <= MAX_DECODE { base64 } else { &base64[..cut] };
    let bytes = decode_base64(whole)?;
    if bytes.len() < 12 || printable(&bytes) * 20 < bytes.len() * 19 {
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            // A character may have been cut at the end.
            (valid + 4 > error.as_bytes().len())
                .then(|| String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned())
        }
    }
}

/// Decodes base64 in whatever alphabet, with or without padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}
