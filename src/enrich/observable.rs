//! Finding the values to pivot on: one matcher per form, each called at the one byte that betrays the form.
//!
//! A matcher looks around that byte and gives the span, or nothing. What is found is a candidate for joining calls,
//! so precision counts: versions are no addresses, `user.email` is no domain, check digits are checked.

pub(crate) mod international;
pub(crate) mod money;
pub(crate) mod path;
mod tld;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use tld::{Tld, tld};

/// Longest value that is kept.
pub(crate) const MAX_VALUE: usize = 2048;

/// A URL in text.
#[derive(Debug)]
pub(crate) struct Url {
    pub(crate) span: Range<usize>,
    /// Length of the scheme.
    pub(crate) scheme: usize,
    /// The host alone, without user, port and brackets.
    pub(crate) host: Range<usize>,
}

const fn stops_url(byte: u8) -> bool {
    byte <= b' '
        || byte >= 0x7F
        || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'{' | b'}' | b'|' | b'^' | b'[' | b']')
}

/// The URL whose `://` starts at `colon`.
pub(crate) fn url(text: &str, colon: usize) -> Option<Url> {
    let bytes = text.as_bytes();
    let back = bytes[..colon]
        .iter()
        .rev()
        .take(20)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
        .count();
    let mut start = colon - back;
    // The `n` of an escaped line end is no part of the scheme.
    if start > 0 && bytes[start - 1] == b'\\' && matches!(bytes[start], b'n' | b't' | b'r') {
        start += 1;
    }
    start += bytes[start..colon].iter().position(u8::is_ascii_alphabetic)?;
    let authority = colon + 3;
    let mut at = authority;
    if colon - start < 2 {
        return None;
    }
    if bytes.get(at) == Some(&b'[') {
        at += bytes[at..].iter().take(48).position(|b| *b == b']')? + 1;
    }
    while let Some(&byte) = bytes.get(at) {
        if !stops_url(byte) {
            at += 1;
        } else if byte == b'['
            && let Some(literal) = super::secret::literal_at(text, at)
        {
            at = literal.end;
        } else if byte >= 0x80
            && !bytes[authority..at].iter().any(|b| matches!(b, b'/' | b'?' | b'#'))
            && let Some(end) = international::host_end(text, authority).filter(|end| *end > at)
        {
            at = end;
        } else {
            break;
        }
    }
    let mut end = at;
    let count = |byte| memchr::memchr_iter(byte, &bytes[authority..at]).count();
    let mut unbalanced = count(b')').saturating_sub(count(b'('));
    while end > authority {
        match bytes[end - 1] {
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'*' => {}
            b')' if unbalanced > 0 => unbalanced -= 1,
            _ => break,
        }
        end -= 1;
    }
    if end <= authority {
        return None;
    }
    Some(Url { span: start..end, scheme: colon - start, host: host(text, authority, end) })
}

fn host(text: &str, authority: usize, end: usize) -> Range<usize> {
    let bytes = &text.as_bytes()[..end];
    let stop =
        bytes[authority..].iter().position(|b| matches!(b, b'/' | b'?' | b'#')).map_or(end, |found| authority + found);
    let start = memchr::memrchr(b'@', &bytes[authority..stop]).map_or(authority, |found| authority + found + 1);
    if bytes.get(start) == Some(&b'[') {
        let close = memchr::memchr(b']', &bytes[start..stop]).map_or(stop, |found| start + found);
        return start + 1..close;
    }
    start..memchr::memchr(b':', &bytes[start..stop]).map_or(stop, |found| start + found)
}

/// What the host of a URL is: `ip`, `domain`, or nothing worth keeping (a bucket, a database's alias).
pub(crate) fn host_kind(host: &str, web: bool) -> Option<&'static str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let numeric = host.bytes().next_back()?.is_ascii_digit() || host.as_bytes().contains(&b':');
    if numeric && (host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok()) {
        return Some("ip");
    }
    let label = |l: &[u8]| {
        (1..=63).contains(&l.len()) && l.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let fits = host.len() <= 253 && host.as_bytes().split(|b| *b == b'.').all(label);
    (fits && (web || host.as_bytes().contains(&b'.')) && host.bytes().any(|b| b.is_ascii_alphabetic()))
        .then_some("domain")
}

/// The e-mail address around the `@` at `at`.
pub(crate) fn email(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let local = bytes[..at]
        .iter()
        .rev()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-'));
    let mut start = at - local.count();
    if start > 0 && bytes[start - 1] == b'\\' && matches!(bytes.get(start), Some(b'n' | b't' | b'r')) {
        start += 1;
    }
    start += bytes[start..at].iter().position(u8::is_ascii_alphanumeric)?;
    let domain = &bytes[at + 1..];
    let length = domain.iter().take(253).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
    if domain.get(length).is_some_and(|byte| *byte >= 0x80)
        && let Some(end) = international::host_end(text, at + 1)
    {
        return Some(start..end);
    }
    let domain = &domain[..length];
    let length = domain.iter().rposition(u8::is_ascii_alphanumeric)? + 1;
    let domain = &domain[..length];
    let dot = memchr::memrchr(b'.', domain)?;
    let top = &domain[dot + 1..];
    // After an `@` any word may end the host (`corp`, `internal`), but a version (`pkg@1.2.3`) is none.
    let valid = top.len() >= 2
        && top.iter().all(u8::is_ascii_alphabetic)
        && !domain.starts_with(b".")
        && !domain.windows(2).any(|w| w == b"..");
    valid.then_some(start..at + 1 + length)
}

/// What a run of labels and dots turned out to be.
pub(crate) struct Dotted {
    /// Where the run ends: its other dots need no second look.
    pub(crate) end: usize,
    pub(crate) find: Option<(&'static str, Range<usize>)>,
}

/// The address or bare domain whose first label starts at `start` and whose first dot is at `dot`.
pub(crate) fn dotted(text: &str, start: usize, dot: usize) -> Dotted {
    let bytes = text.as_bytes();
    let run = bytes[dot..].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')).count();
    let run = dot..dot + run;
    let end = run.start + bytes[run.clone()].iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |last| last + 1);
    let mut out = Dotted { end: run.end, find: None };
    let name = &bytes[start..end];
    let Some(last_dot) = memchr::memrchr(b'.', name) else { return out };
    let last = &name[last_dot + 1..];
    if last.iter().all(u8::is_ascii_digit) {
        let address =
            text.get(start..end).filter(|a| (7..=15).contains(&a.len())).and_then(|a| a.parse::<Ipv4Addr>().ok());
        if address.is_some() && !in_version(bytes, start) && !matches!(bytes.get(end), Some(b'-' | b'+' | b'_')) {
            out.find = Some(("ip", start..end));
        }
        return out;
    }
    let next = bytes.get(end);
    // A call, an element of a member, or the local part of an address.
    if matches!(next, Some(b'(' | b'@' | b'[')) {
        return out;
    }
    let kind = tld(last);
    if kind == Tld::No || name.contains(&b'_') || name.len() > 253 {
        return out;
    }
    let label = |l: &[u8]| !l.is_empty() && l.len() <= 63 && l[0] != b'-' && l[l.len() - 1] != b'-';
    let port = || {
        next == Some(&b':')
            && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)
            && bytes.get(end + 2).is_some_and(u8::is_ascii_digit)
    };
    // `Name.app/Contents` is a program's folder on a Mac.
    let path = || {
        next == Some(&b'/')
            && !bytes[end..].starts_with(b"/Contents")
            && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
    };
    let evidence = || name.starts_with(b"www.") || path() || (port() && kind == Tld::Plain);
    let bounded = start == 0
        || !matches!(bytes[start - 1], b'/' | b'\\' | b'.' | b'$' | b'%' | b'~' | b'-')
        || bytes[..start].ends_with(b"//");
    if bounded && name.split(|b| *b == b'.').all(label) && (kind == Tld::Plain || evidence()) {
        out.find = Some(("domain", start..end));
    }
    out
}

/// Whether the text before says that what follows is a version.
fn in_version(bytes: &[u8], start: usize) -> bool {
    let before = bytes[..start].trim_ascii_end();
    let before = &before[..before
        .iter()
        .rposition(|b| !matches!(b, b'=' | b':' | b'"' | b'\'' | b' ' | b'('))
        .map_or(0, |last| last + 1)];
    let word = before.iter().rev().take(12).take_while(|b| b.is_ascii_alphabetic()).count();
    let word = &before[before.len() - word..];
    let words: [&[u8]; 7] = [b"v", b"ver", b"release", b"build", b"rev", b"firmware", b"upgrade"];
    word.len().checked_sub(b"version".len()).is_some_and(|at| word[at..].eq_ignore_ascii_case(b"version"))
        || words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The IPv6 address around the colon at `colon`.
pub(crate) fn ipv6(text: &str, colon: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let inside = |b: &u8| b.is_ascii_hexdigit() || *b == b':';
    let start = colon - bytes[..colon].iter().rev().take(5).take_while(|b| b.is_ascii_hexdigit()).count();
    let end = start + bytes[start..].iter().take(46).take_while(|b| inside(b) || **b == b'.').count();
    let end = start + bytes[start..end].iter().rposition(u8::is_ascii_hexdigit)? + 1;
    let outside = |b: Option<&u8>| b.is_none_or(|b| !(b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-')));
    if !outside(start.checked_sub(1).map(|i| &bytes[i])) || !outside(bytes.get(end)) {
        return None;
    }
    let address = text.get(start..end)?;
    address.parse::<Ipv6Addr>().ok()?;
    // `a::b` may be a path in C++ or Rust; an address of any use has a digit and a group of three or more.
    let long_group = address.split(':').any(|group| group.len() >= 3);
    (address == "::1" || (long_group && address.bytes().any(|b| b.is_ascii_digit()))).then_some(start..end)
}
