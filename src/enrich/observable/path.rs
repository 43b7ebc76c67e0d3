//! File paths: Unix (absolute, `~`, `.`), Windows drives, UNC shares.

use std::ops::Range;

/// How shells write the home folder.
const HOME: [&str; 2] = ["$HOME", "${HOME}"];

const fn stops_path(byte: u8) -> bool {
    byte <= b' '
        || byte == 0x7F
        || matches!(
            byte,
            b'"' | b'\''
                | b'`'
                | b'<'
                | b'>'
                | b'|'
                | b'*'
                | b'?'
                | b','
                | b';'
                | b':'
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'='
                | b'&'
                | b'#'
                | b'!'
        )
}

fn run(bytes: &[u8], at: usize, backslash: bool) -> usize {
    at + bytes[at..].iter().take_while(|b| !stops_path(**b) && (backslash || **b != b'\\')).count()
}

/// Whether a path may start at `at`: what stands before is no part of a word or of another path.
fn starts(bytes: &[u8], at: usize) -> bool {
    match at.checked_sub(1).map(|i| bytes[i]) {
        None => true,
        Some(b'n' | b't' | b'r') => at >= 2 && bytes[at - 2] == b'\\',
        Some(b) => {
            b.is_ascii_whitespace()
                || matches!(
                    b,
                    b'"' | b'\'' | b'`' | b'(' | b'[' | b'{' | b'=' | b':' | b',' | b';' | b'>' | b'|' | b'@' | b'&'
                )
        }
    }
}

/// The Unix path whose first slash is at `slash`.
pub(crate) fn unix(text: &str, slash: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let prefix = bytes[..slash]
        .iter()
        .rev()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'~' | b'_' | b'-'))
        .count();
    let home = HOME.iter().find(|home| bytes[..slash].ends_with(home.as_bytes()));
    let start = slash - home.map_or(prefix, |home| home.len());
    let prefix = &bytes[start..slash];
    // Absolute, or from `.`, `..`, `~`, `~user`, the home folder's variable, or a dot folder. `and/or` is none, nor is `</p>`.
    let relative = home.is_some() || prefix.first().is_some_and(|b| matches!(b, b'.' | b'~'));
    if (!prefix.is_empty() && !relative) || !starts(bytes, start) || bytes.get(slash + 1) == Some(&b'/') {
        return None;
    }
    let mut end = run(bytes, slash, false);
    while end > slash + 1 && matches!(bytes[end - 1], b'.' | b'/') {
        end -= 1;
    }
    let mut segments = bytes[slash + 1..end].split(|b| *b == b'/').filter(|s| !s.is_empty());
    let first = segments.next()?;
    let two = relative || segments.next().is_some();
    let dotfile = first.len() > 1 && first[0] == b'.' && first[1] != b'.';
    let named = bytes[slash..end].iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80);
    ((two || dotfile) && named && text.is_char_boundary(end)).then_some(start..end)
}

/// The Windows path whose drive's colon is at `colon`.
pub(crate) fn drive(text: &str, colon: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = colon.checked_sub(1).filter(|i| bytes[*i].is_ascii_alphabetic() && starts(bytes, *i))?;
    let separator = *bytes.get(colon + 1)?;
    let end = run(bytes, colon + 1, true);
    // `a:/b` in a URL-like text has no drive; a drive with a slash needs two segments.
    let body = &bytes[colon + 1..end];
    let segments = body.split(|b| matches!(b, b'\\' | b'/')).filter(|s| !s.is_empty()).count();
    let fits = match separator {
        b'\\' => segments >= 1,
        b'/' => segments >= 2 && bytes.get(colon + 2) != Some(&b'/') && bytes[start].is_ascii_uppercase(),
        _ => false,
    };
    let end = trim(bytes, colon + 2, end);
    (fits && text.is_char_boundary(end)).then_some(start..end)
}

/// The UNC path (`\\server\share`) whose backslashes start at `at`.
pub(crate) fn unc(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if !starts(bytes, at) {
        return None;
    }
    let slashes = bytes[at..].iter().take_while(|b| **b == b'\\').count();
    let end = run(bytes, at + slashes, true);
    let mut parts = bytes[at + slashes..end].split(|b| *b == b'\\');
    // Where the first backslashes are doubled by an escape, so are the others; else `\\tNAME\\tAGE` would be a share.
    let (server, share) = (parts.next()?, if slashes == 4 { parts.nth(1)? } else { parts.next()? });
    let host = server.len() >= 2 && server.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let end = trim(bytes, at + slashes, end);
    (matches!(slashes, 2 | 4) && host && share.len() >= 2 && text.is_char_boundary(end)).then_some(at..end)
}

fn trim(bytes: &[u8], least: usize, mut end: usize) -> usize {
    while end > least && matches!(bytes[end - 1], b'.' | b'\\' | b'/') {
        end -= 1;
    }
    end
}
