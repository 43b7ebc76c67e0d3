//! Walking over JSON text byte by byte: a validating walk that tells a visitor what it meets, and quick skips over text that
//! has been validated. Nothing is unescaped, nothing recurses.

/// Index of the first byte that is no JSON white space.
pub(crate) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Index after the string literal that starts at `at` (end of text if it does not end).
pub(crate) fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(stop) = quote_or_escape(bytes, at) {
        if bytes[stop] == b'"' {
            return stop + 1;
        }
        at = stop + 2;
    }
    bytes.len()
}

/// Index of the first quote or backslash at or after `at`. Most strings are short, so the first bytes are tested eight at a
/// time before the vector search is set up.
fn quote_or_escape(bytes: &[u8], mut at: usize) -> Option<usize> {
    for chunk in bytes.get(at..)?.chunks_exact(8).take(4) {
        let word = u64::from_le_bytes(chunk.try_into().ok()?);
        let stops = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if stops != 0 {
            return Some(at + stops.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr::memchr2(b'"', b'\\', &bytes[at..]).map(|found| at + found)
}

/// Index after the value that starts at `at`.
pub(crate) fn skip_value(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => skip_string(bytes, at),
        Some(b'{' | b'[') => {
            let mut depth = 0usize;
            let mut at = at;
            while at < bytes.len() {
                match bytes[at] {
                    b'"' => {
                        at = skip_string(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return at + 1;
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
            bytes.len()
        }
        _ => {
            let mut at = at;
            while at < bytes.len() && !matches!(bytes[at], b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                at += 1;
            }
            at
        }
    }
}

/// Index after the string that starts at `at`, if one does.
fn string_start(bytes: &[u8], at: usize) -> Option<(usize, Escapes)> {
    (bytes.get(at) == Some(&b'"')).then(|| string_end(bytes, at)).flatten()
}

/// What a walk over JSON text meets.
pub(crate) trait Visitor {
    /// A string, a number or a literal.
    fn scalar(&mut self, start: usize, end: usize, escapes: Escapes);
    /// The name of the member to come.
    fn key(&mut self, start: usize, end: usize, escapes: Escapes);
    /// A container opens.
    fn enter(&mut self, start: usize);
    /// A further element of the array follows.
    fn next(&mut self);
    /// The innermost container closes.
    fn leave(&mut self, end: usize);
}

/// Validates only.
impl Visitor for () {
    fn scalar(&mut self, _: usize, _: usize, _: Escapes) {}
    fn key(&mut self, _: usize, _: usize, _: Escapes) {}
    fn enter(&mut self, _: usize) {}
    fn next(&mut self) {}
    fn leave(&mut self, _: usize) {}
}

/// Walks over the value that starts at `at`; gives the index after it, `None` if it is not valid JSON. `open` is room for the
/// brackets that are open, because nesting must not use the stack.
pub(crate) fn walk(bytes: &[u8], mut at: usize, open: &mut Vec<u8>, visitor: &mut impl Visitor) -> Option<usize> {
    open.clear();
    loop {
        // A value starts at `at`.
        let start = at;
        match *bytes.get(at)? {
            b'"' => {
                let escapes;
                (at, escapes) = string_end(bytes, at)?;
                visitor.scalar(start, at, escapes);
            }
            bracket @ (b'{' | b'[') => {
                visitor.enter(at);
                // Both closing brackets lie two after the opening ones.
                let close = bracket + 2;
                at = skip_space(bytes, at + 1);
                if bytes.get(at) != Some(&close) {
                    open.push(close);
                    if bracket == b'{' {
                        at = key_end(bytes, at, visitor)?;
                    }
                    continue;
                }
                at += 1;
                visitor.leave(at);
            }
            b'-' | b'0'..=b'9' => {
                at = number_end(bytes, at)?;
                visitor.scalar(start, at, Escapes::No);
            }
            _ => {
                at += ["true", "false", "null"].iter().find(|word| bytes[at..].starts_with(word.as_bytes()))?.len();
                visitor.scalar(start, at, Escapes::No);
            }
        }
        // Then closing brackets and a separator, up to the next value.
        loop {
            let Some(&bracket) = open.last() else { return Some(at) };
            at = skip_space(bytes, at);
            match *bytes.get(at)? {
                b',' => {
                    at = skip_space(bytes, at + 1);
                    if bracket == b'}' {
                        at = key_end(bytes, at, visitor)?;
                    } else {
                        visitor.next();
                    }
                    break;
                }
                byte if byte == bracket => {
                    open.pop();
                    at += 1;
                    visitor.leave(at);
                }
                _ => return None,
            }
        }
    }
}

/// Index of the value whose key starts at `at`.
fn key_end(bytes: &[u8], at: usize, visitor: &mut impl Visitor) -> Option<usize> {
    let (end, escapes) = string_start(bytes, at)?;
    visitor.key(at, end, escapes);
    let colon = skip_space(bytes, end);
    (bytes.get(colon) == Some(&b':')).then(|| skip_space(bytes, colon + 1))
}

/// What a string has to be decoded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Escapes {
    No,
    /// Only escapes that RFC 8785 writes the same way.
    Canonical,
    Other,
}

pub(crate) const ONES: u64 = u64::MAX / 255;

/// Marks (in the high bit of each byte; the lowest mark is exact) the zero bytes of `word`.
pub(crate) const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Index of the first quote, backslash or control character at or after `at`. Strings in JSON are short or full of
/// escapes more often than not, so the next bytes are tested eight at a time before the vector search is set up.
fn string_stop(bytes: &[u8], mut at: usize) -> Option<usize> {
    for chunk in bytes.get(at..)?.chunks_exact(8).take(8) {
        let word = u64::from_le_bytes(chunk.try_into().ok()?);
        // With its bit 1 turned the quote (0x22) comes next to the control characters (below 0x20), which stay among themselves.
        let turned = word ^ (ONES * 2);
        let low = turned.wrapping_sub(ONES * 0x21) & !turned & (ONES << 7);
        let stops = low | zeros(word ^ (ONES * b'\\' as u64));
        if stops != 0 {
            return Some(at + stops.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = &bytes[at..];
    let found = memchr::memchr2(b'"', b'\\', rest)?;
    match rest[..found].iter().fold(false, |bad, &b| bad | (b < 0x20)) {
        true => None,
        false => Some(at + found),
    }
}

/// Index after the string that starts at `at`, and its escapes. `None` if it is not valid.
fn string_end(bytes: &[u8], at: usize) -> Option<(usize, Escapes)> {
    let mut at = at + 1;
    let mut escapes = Escapes::No;
    loop {
        at = string_stop(bytes, at)?;
        match bytes[at] {
            b'"' => return Some((at + 1, escapes)),
            b'\\' => match bytes.get(at + 1)? {
                b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {
                    escapes = escapes.max(Escapes::Canonical);
                    at += 2;
                }
                b'/' => {
                    escapes = Escapes::Other;
                    at += 2;
                }
                b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => {
                    escapes = Escapes::Other;
                    at += 6;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
}

/// Index after the number that starts at `at`. `None` if JSON does not allow it.
fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let count = bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let first = at + usize::from(bytes[at] == b'-');
    let mut end = digits(first)?;
    if bytes[first] == b'0' && end > first + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}
