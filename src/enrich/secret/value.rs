//! Whether a value can be a secret: judged by its characters alone.

/// Whether a value looks generated rather than written: enough kinds of characters, no white space.
pub(crate) fn looks_random(value: &str) -> bool {
    // Beyond 16 KiB it is a document; shapes and PEM blocks are still found in it.
    if !(8..=16 << 10).contains(&value.len()) || value.bytes().any(|b| b.is_ascii_whitespace() || b < 0x20) {
        return false;
    }
    if ["/", "./", "../", "~/", "arn:", "[secret:", "[binary:"].iter().any(|start| value.starts_with(start))
        || value.contains("://")
        || value.contains('(')
    {
        return false;
    }
    let count = |test: fn(&u8) -> bool| value.as_bytes().iter().filter(|b| test(b)).count();
    let (lower, upper, digit) =
        (count(u8::is_ascii_lowercase), count(u8::is_ascii_uppercase), count(u8::is_ascii_digit));
    let mut seen = [false; 256];
    value.bytes().for_each(|b| seen[usize::from(b)] = true);
    let distinct = seen.iter().filter(|s| **s).count();
    if digit > 0 && lower + upper > 0 {
        return distinct >= 5;
    }
    if digit == value.len() {
        return distinct >= 4;
    }
    // Letters only: a word or a camelCase name has few capitals, base64 has as many as small letters.
    let shortest = lower.min(upper);
    value.len() >= 16 && distinct >= 10 && shortest * 4 >= lower + upper
}

/// Whether a value is a path or a URL: `PWD` is a password in a connection string and a folder in an environment, and
/// "reset your password:" precedes a link.
pub(crate) fn is_path(value: &str) -> bool {
    if value.contains("://") {
        return true;
    }
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
    value.starts_with(['/', '~', '.']) && value[1..].contains('/') && value[1..].bytes().all(inside)
}

/// Whether a value only marks the place of a secret.
pub(crate) fn is_placeholder(value: &str) -> bool {
    const WORDS: &[&str] = &[
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "redacted",
        "example",
        "changeme",
        "change_me",
        "change-me",
        "placeholder",
        "dummy",
        "sample",
        "undefined",
        "null",
        "none",
        "string",
        "boolean",
        "integer",
        "number",
        "object",
        "optional",
        "required",
        "unknown",
        "hidden",
        "masked",
        "removed",
        "filtered",
        "omitted",
        "default",
        "username",
        "encrypted",
        "plaintext",
    ];
    const STARTS: &[&str] = &[
        "[secret:",
        "[binary:",
        "your",
        "my-",
        "my_",
        "<",
        "${",
        "{{",
        "$(",
        "process.env",
        "os.environ",
        "os.getenv",
        "env.",
        "env:",
        "vault:",
        "secret://",
        "op://",
        "example",
        "changeme",
        "placeholder",
        "insert",
        "enter_",
        "enter-",
        "redacted",
        "replace",
        "todo",
        "xxx",
        "***",
        "...",
        "•••",
        "…",
    ];
    let value = value.trim_matches(|c: char| matches!(c, '"' | '\'' | '[' | ']' | '(' | ')') || c.is_whitespace());
    let Some(first) = value.chars().next() else { return true };
    let lower = value.get(..64).unwrap_or(value).to_lowercase();
    let masked = value.chars().filter(|c| matches!(c, '*' | '•' | '●' | '█')).count();
    WORDS.contains(&lower.as_str())
        || STARTS.iter().any(|start| lower.starts_with(start) || (start.starts_with("[") && lower.starts_with(&start[1..])))
        || lower.contains("redacted")
        || value.chars().all(|c| c == first)
        || masked * 2 >= value.chars().count()
        // $NAME, %NAME%
        || (first == '$' && value[1..].bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
        || (first == '%' && value.len() > 2 && value.ends_with('%'))
}
