//! Credentials that are known by their name: a JSON key, `key=value`, `key: value`, `--key value`.
//!
//! The name says what the value may be, the value's own characters say whether it is one: placeholders, words and
//! references to a variable are left alone. Passwords need no entropy, because people choose them.

use super::shapes;
use super::value::{is_path, is_placeholder, looks_random};
use std::ops::Range;

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Type of the secret.
    pub(crate) kind: &'static str,
    /// Whether any value of six characters will do (passwords), else it must look random.
    pub(crate) any: bool,
}

/// Endings of names without separators, lower case; the first that fits decides.
const GLUED: &[(&str, &str, bool)] = &[
    ("password", "password", true),
    ("passwords", "password", true),
    ("passwd", "password", true),
    ("passphrase", "password", true),
    ("passwort", "password", true),
    ("kennwort", "password", true),
    ("contrasena", "password", true),
    ("motdepasse", "password", true),
    ("secretaccesskey", "aws_secret_access_key", false),
    ("sharedaccesskey", "azure_shared_key", false),
    ("sharedaccesssignature", "azure_sas", false),
    ("accountkey", "azure_storage_key", false),
    ("clientsecret", "client_secret", false),
    ("consumersecret", "client_secret", false),
    ("appsecret", "client_secret", false),
    ("apisecret", "api_key", false),
    ("apikey", "api_key", false),
    ("apikeys", "api_key", false),
    ("appkey", "api_key", false),
    ("apitoken", "token", false),
    ("authtoken", "token", false),
    ("accesstoken", "token", false),
    ("refreshtoken", "token", false),
    ("sessiontoken", "token", false),
    ("bearertoken", "token", false),
    ("idtoken", "token", false),
    ("securitytoken", "token", false),
    ("accesskey", "access_key", false),
    ("secretkey", "secret_key", false),
    ("privatekey", "private_key", false),
    ("signingkey", "signing_key", false),
    ("encryptionkey", "encryption_key", false),
    ("masterkey", "encryption_key", false),
    ("authkey", "auth_key", false),
    ("storagekey", "access_key", false),
    ("servicekey", "access_key", false),
    ("subscriptionkey", "access_key", false),
    ("licensekey", "license_key", false),
    ("deploykey", "private_key", false),
    ("sshkey", "private_key", false),
    ("passwordhash", "password_hash", false),
    ("phpsessid", "cookie", false),
    ("jsessionid", "cookie", false),
    ("xamzsignature", "aws_signature", false),
];

/// Last words of names, lower case, after a separator or a change of case.
const WORDS: &[(&str, &str, bool)] = &[
    ("pwd", "password", true),
    ("passcode", "password", true),
    ("senha", "password", true),
    ("pass", "password", false),
    ("pw", "password", false),
    ("secret", "secret", false),
    ("secrets", "secret", false),
    ("token", "token", false),
    ("tokens", "token", false),
    ("jwt", "token", false),
    ("bearer", "token", false),
    ("credential", "credential", false),
    ("credentials", "credential", false),
    ("auth", "authorization", false),
    ("authorization", "authorization", false),
    ("cookie", "cookie", false),
    ("cookies", "cookie", false),
    ("sig", "signature", false),
    ("apikey", "api_key", false),
];

/// Names in other scripts.
const OTHER_SCRIPTS: &[&str] = &["contraseña", "пароль", "密码", "密碼", "口令", "パスワード", "비밀번호"];

/// Words before `token` that make it a cursor or a count.
const NOT_A_CREDENTIAL: &[&str] = &[
    "next",
    "page",
    "continuation",
    "pagination",
    "progress",
    "cursor",
    "sync",
    "cancel",
    "cancellation",
    "start",
    "stop",
    "max",
    "min",
    "num",
    "total",
    "prompt",
    "completion",
    "input",
    "output",
    "cached",
    "eos",
    "bos",
    "pad",
    "mask",
    "special",
];

/// What a name promises, if it is one of a credential.
pub(crate) fn named(name: &str) -> Option<Named> {
    let bytes = name.as_bytes();
    let trimmed = bytes.trim_ascii_end();
    let end = trimmed.iter().rposition(|b| b.is_ascii_alphabetic() || *b >= 0x80)? + 1;
    if end < 2 {
        return None;
    }
    if bytes[end - 1] >= 0x80 {
        let name = name.get(..end)?.to_lowercase();
        return OTHER_SCRIPTS.iter().any(|n| name.ends_with(n)).then_some(Named { kind: "password", any: true });
    }
    if !may_end_name(&bytes[..end]) {
        return None;
    }
    // The longest entry plus a word before it fits in the tail.
    let tail = &bytes[end.saturating_sub(48)..end];
    let mut flat = [0u8; 48];
    let mut starts = 0u64;
    let mut len = 0;
    for (i, &byte) in tail.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            starts |= 1 << len;
            continue;
        }
        let after_lower = i > 0 && !tail[i - 1].is_ascii_uppercase();
        let before_lower = tail.get(i + 1).is_some_and(u8::is_ascii_lowercase);
        if byte.is_ascii_uppercase() && (after_lower || before_lower) {
            starts |= 1 << len;
        }
        flat[len] = byte.to_ascii_lowercase();
        len += 1;
    }
    starts |= 1;
    let flat = std::str::from_utf8(&flat[..len]).ok()?;
    let last = [*flat.as_bytes().get(len.checked_sub(2)?)?, flat.as_bytes()[len - 1]];
    let ends = |entry: &str| entry.as_bytes()[entry.len() - 2..] == last && flat.ends_with(entry);
    let glued = GLUED.iter().find(|(ending, ..)| ends(ending));
    let word = || {
        WORDS.iter().find(|(word, ..)| ends(word) && starts & (1 << (len - word.len())) != 0).filter(|(word, ..)| {
            let before = &flat[..len - word.len()];
            !word.starts_with("token") || !NOT_A_CREDENTIAL.iter().any(|not| before.ends_with(not))
        })
    };
    glued.or_else(word).map(|&(_, kind, any)| Named { kind, any })
}

/// Whether the last letters allow a name of a credential: nearly every name fails here.
pub(crate) fn may_end_name(bytes: &[u8]) -> bool {
    // `password2`, `token_1`
    let tail = bytes.iter().rev().take(4).take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    match bytes[..bytes.len() - tail] {
        // Other scripts are compared whole.
        [.., 0x80..=0xFF] | [.., b'p' | b'P', b'w' | b'W'] => true,
        [.., a, b, c] => matches!(
            &[a, b, c].map(|b| b.to_ascii_lowercase()),
            b"ord"
                | b"rds"
                | b"swd"
                | b"ase"
                | b"ort"
                | b"ena"
                | b"sse"
                | b"key"
                | b"eys"
                | b"ret"
                | b"ets"
                | b"ure"
                | b"sid"
                | b"nid"
                | b"ode"
                | b"nha"
                | b"ass"
                | b"pwd"
                | b"ken"
                | b"ens"
                | b"jwt"
                | b"rer"
                | b"ial"
                | b"als"
                | b"uth"
                | b"ion"
                | b"kie"
                | b"ies"
                | b"sig"
                | b"ash"
        ),
        _ => false,
    }
}

/// The part of a value that is the secret (without `Bearer` and the like) and its type; `None` if it is none.
pub(crate) fn secret_in(named: Named, value: &str) -> Option<(&'static str, Range<usize>)> {
    let mut start = value.len() - value.trim_start().len();
    let end = value.trim_end().len().max(start);
    let mut kind = named.kind;
    if let Some((scheme, rest)) = value[start..end].split_once(' ')
        && let Some(of_scheme) = auth_scheme(scheme)
    {
        kind = of_scheme;
        start = end - rest.trim_start().len();
    }
    let secret = &value[start..end];
    let accepted = if named.any {
        (6..=1024).contains(&secret.chars().take(1025).count()) && !is_placeholder(secret) && !is_path(secret)
    } else if kind == "cookie" {
        secret.len() >= 8 && secret.bytes().any(|b| b.is_ascii_digit()) && !is_placeholder(secret)
    } else {
        looks_random(secret) && !is_placeholder(secret)
    };
    accepted.then(|| (shapes::whole(secret).unwrap_or(kind), start..end))
}

/// The type of what follows an HTTP authentication scheme.
pub(crate) fn auth_scheme(word: &str) -> Option<&'static str> {
    const SCHEMES: &[(&str, &str)] = &[
        ("bearer", "bearer_token"),
        ("basic", "basic_auth"),
        ("token", "token"),
        ("apikey", "api_key"),
        ("bot", "token"),
        ("ssws", "token"),
        ("negotiate", "authorization"),
        ("digest", "authorization"),
    ];
    SCHEMES.iter().find(|(scheme, _)| scheme.eq_ignore_ascii_case(word)).map(|&(_, kind)| kind)
}

/// Reads `name = value` in text, where the separator at `sep` follows the name; gives type and span of the secret.
pub(crate) fn assigned(text: &str, name: Range<usize>, sep: Range<usize>) -> Option<(&'static str, Range<usize>)> {
    let promise = named(&text[name.clone()])?;
    let bytes = text.as_bytes();
    let mut at = sep.end;
    match (bytes[sep.start], bytes.get(at)) {
        (b'=', Some(b'=')) | (b':', Some(b':')) => return None,
        (b'=', Some(b'>')) | (b':', Some(b'=')) => at += 1,
        _ => {}
    }
    let spaced = at;
    while at < spaced + 8 && matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    let spaced = at > spaced;
    let before = name.start.checked_sub(1).map(|i| bytes[i]);
    let after = bytes[sep.end..].iter().find(|b| **b != b'\\');
    if name.end == sep.start && matches!(before, Some(b'"' | b'\'' | b'`')) && before == after.copied() {
        // A string literal "NAME=": what stands behind its end is something else.
        return None;
    }
    if let Some(value) = quoted(bytes, at) {
        let (kind, span) = secret_in(promise, text.get(value.clone())?)?;
        return Some((kind, value.start + span.start..value.start + span.end));
    }
    if bytes[sep.start] == b':' && text[name].eq_ignore_ascii_case("pass") {
        // "PASS: TestX", the verdict of a test.
        return None;
    }
    let mut end = unquoted_end(bytes, at);
    let scheme = text.get(at..end).and_then(auth_scheme);
    if promise.kind == "cookie" && bytes[sep.start] == b':' {
        let line = &bytes[at..bytes.len().min(at + LONGEST_UNQUOTED)];
        end = at + line.iter().position(|b| matches!(b, b'\n' | b'\r' | b'"' | b'\'' | b'\\')).unwrap_or(line.len());
    } else if scheme.is_some() && bytes.get(end) == Some(&b' ') {
        end = unquoted_end(bytes, end + 1);
    }
    let value = text.get(at..end)?;
    let (kind, span) = secret_in(promise, value)?;
    let found = (kind, at + span.start..at + span.end);
    // Without quotes a plain word can be prose or code.
    let secret = &value[span];
    if bytes.get(end) == Some(&b'(') || secret.contains(['(', '[']) {
        return None;
    }
    if looks_random(secret) || !promise.any {
        return Some(found);
    }
    let reference =
        secret.contains(['_', '.']) && secret.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.'));
    let last_on_line = matches!(bytes.get(end), None | Some(b'\n' | b'\r' | b'"' | b'\'' | b'\\'));
    let call_argument = matches!(bytes.get(end), Some(b')' | b','));
    (if spaced { last_on_line && !reference } else { !(call_argument && reference) }).then_some(found)
}

/// The inside of a quoted value; the quote may be escaped any number of times, and may miss its end in cut text.
fn quoted(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    // Python's b"…", f'…'.
    let at = at + usize::from(matches!(bytes.get(at..at + 2), Some([b'b' | b'f' | b'r' | b'u', b'"' | b'\''])));
    if bytes.get(at..at + 3) == Some(b"%22") {
        let start = at + 3;
        let window = &bytes[start..bytes.len().min(start + LONGEST)];
        let end = memchr::memmem::find(window, b"%22").map_or(unquoted_end(bytes, start), |found| start + found);
        return Some(start..end);
    }
    let slashes = bytes.get(at..)?.iter().take(16).take_while(|b| **b == b'\\').count();
    let quote = *bytes.get(at + slashes)?;
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    let start = at + slashes + 1;
    let window = &bytes[start..bytes.len().min(start + LONGEST)];
    for found in memchr::memchr_iter(quote, window) {
        let before = window[..found].iter().rev().take_while(|b| **b == b'\\').count();
        if before == slashes || (slashes == 0 && before % 2 == 0) {
            return Some(start..start + found - slashes);
        }
    }
    Some(start..unquoted_end(bytes, start))
}

/// Longest value that is read without its form being known.
const LONGEST: usize = 16 << 10;
/// The same without quotes, where nothing says how far it goes.
const LONGEST_UNQUOTED: usize = 2048;

/// Where a value without quotes ends (at its start, if it does not end soon).
fn unquoted_end(bytes: &[u8], at: usize) -> usize {
    let stop = |b: &u8| {
        b.is_ascii_whitespace()
            || *b < 0x20
            || matches!(b, b'"' | b'\'' | b'`' | b',' | b';' | b'&' | b'#' | b')' | b']' | b'}' | b'<' | b'>' | b'\\')
    };
    let rest = bytes.get(at..).unwrap_or_default();
    let near = &rest[..rest.len().min(LONGEST_UNQUOTED)];
    // `${NAME}`, `{{name}}` and `<name>` are placeholders as a whole; the first bracket is part of them.
    let lead = near.iter().take_while(|b| matches!(b, b'<' | b'{' | b'$' | b'[')).count();
    let end = near[lead..].iter().position(stop).map(|end| lead + end);
    at + end.unwrap_or(if near.len() < rest.len() { 0 } else { rest.len() })
}
