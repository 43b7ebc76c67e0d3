//! `path_escapes(path)`: whether a path climbs out of the folder it starts in.

use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "path_escapes(path)",
    text: "Whether the `..` components of a path climb above its start. Backslashes, percent encoding (also doubled \
           and overlong), `....` and `..;` count; `a/../b` does not escape, nor does an absolute path without `..`.",
    example: "SELECT call_id, value FROM observables WHERE type = 'file_path' AND path_escapes(value)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("path_escapes", &ABOUT, Body::Bool(path_escapes))
}

/// Encodings inside encodings that are undone: servers decode once or twice, hardly ever more.
const MAX_DECODES: usize = 4;

fn path_escapes(path: &str) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..MAX_DECODES {
        if climbs(&bytes) {
            return true;
        }
        let decoded = percent_decode(&bytes);
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
    climbs(&bytes)
}

fn climbs(path: &[u8]) -> bool {
    // `file:///a` starts below the host, as `/a` does.
    let path = path.strip_prefix(b"file://").unwrap_or(path);
    let path = plain_separators(path);
    let mut depth = 0i64;
    for component in path.split(|b| *b == b'/') {
        // Some servers cut path parameters (`..;x`) only after they have checked the path.
        match component.split(|b| *b == b';').next().unwrap_or_default() {
            b".." | b"...." => depth -= 1,
            b"" | b"." => {}
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

/// Writes every spelling of a slash or a dot that some decoder accepts as `/` and `.`.
fn plain_separators(path: &[u8]) -> Vec<u8> {
    const SPELLINGS: &[(&[u8], u8)] = &[
        (b"\\", b'/'),
        (b"\xc0\xaf", b'/'),           // overlong UTF-8
        (b"\xe0\x80\xaf", b'/'),       // overlong UTF-8
        (b"\xc1\x9c", b'/'),           // overlong backslash
        ("\u{2215}".as_bytes(), b'/'), // division slash
        ("\u{ff0f}".as_bytes(), b'/'), // full-width solidus
        ("\u{ff3c}".as_bytes(), b'/'), // full-width backslash
        (b"\xc0\xae", b'.'),           // overlong UTF-8
        ("\u{ff0e}".as_bytes(), b'.'), // full-width full stop
        ("\u{2025}".as_bytes(), b'.'), // two dot leader, normalised to two dots: see below
    ];
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        match SPELLINGS.iter().find(|(spelling, _)| rest.starts_with(spelling)) {
            Some((spelling, plain)) => {
                out.push(*plain);
                if *spelling == "\u{2025}".as_bytes() {
                    out.push(*plain);
                }
                rest = &rest[spelling.len()..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// Undoes one layer of `%XX`, `%uXXXX` included; what is no encoding stays.
fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let hex = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|d| u32::from_str_radix(d, 16).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let wide = matches!(rest, [b'%', b'u' | b'U', ..]).then(|| rest.get(2..6).and_then(hex)).flatten();
        let narrow = rest.starts_with(b"%").then(|| rest.get(1..3).and_then(hex)).flatten();
        if let Some(c) = wide.and_then(char::from_u32) {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            at += 6;
        } else if let Some(byte) = narrow {
            out.push(byte as u8);
            at += 3;
        } else {
            out.push(rest[0]);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::path_escapes;

    #[test]
    fn climbing_is_seen_through_encodings() {
        for path in [
            "../etc/passwd",
            "a/../../b",
            "/srv/../../etc",
            "..\\..\\windows",
            "%2e%2e%2fetc",
            "%252e%252e%252fetc",
            "..%c0%afetc",
            "..%u2215etc",
            "....//....//etc",
            "..;/admin",
            "．．／etc",
            "file:///a/../../etc",
        ] {
            assert!(path_escapes(path), "{path}");
        }
        for path in ["a/../b", "/etc/passwd", "./...", "go test ./...", "v1..v2", "a/..b/c", "100%", "%zz", "%", ""] {
            assert!(!path_escapes(path), "{path}");
        }
    }
}
