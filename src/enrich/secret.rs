//! What a secret is and how it is found in a string: provider shapes, keys, tokens, URLs with a password.
//!
//! [`named`] knows credentials by their name, [`shapes`] by their form; here are the forms that need more than an
//! expression. Finding one here says nothing about where else its value stands: see `redact`.

pub(crate) mod named;
pub(crate) mod shapes;
pub(crate) mod value;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;
use std::ops::Range;

/// One secret as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    /// Type, as it stands in the redaction literal.
    pub(crate) kind: &'static str,
    /// The secret itself, decoded: what the fingerprint is taken of.
    pub(crate) value: String,
    /// How it stands in the text, with context that is kept: that many bytes before and after.
    pub(crate) written: String,
    pub(crate) lead: usize,
    pub(crate) trail: usize,
}

/// The key of a lake, ready to fingerprint.
#[derive(Clone)]
pub(crate) struct Fingerprint(Hmac<Sha256>);

impl Fingerprint {
    /// Prepares the key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// What is stored in place of a secret.
    pub(crate) fn literal(&self, kind: &str, value: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(value.as_bytes());
        format!("[secret:{kind}:{}]", hex(&mac.finalize().into_bytes()[..8]))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The redaction literal at `at`, if one stands there.
pub(crate) fn literal_at(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?.strip_prefix("[secret:")?;
    let inside = rest.get(..rest.bytes().take(80).position(|b| b == b']')?)?;
    let (kind, fingerprint) = inside.rsplit_once(':')?;
    let kind_fits = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let fits = kind_fits && fingerprint.len() == 16 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| at..at + "[secret:".len() + inside.len() + 1)
}

/// A header is far shorter, a payload rarely longer.
const LONGEST_JWT_PART: usize = 64 << 10;
/// More than the longest RSA key in PEM, and bounded.
const LONGEST_PEM: usize = 32 << 10;

/// The JSON Web Token that starts at `at` (two parts if unsigned, five if encrypted).
pub(crate) fn jwt(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let part = |from: usize| {
        let url_safe = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        from + bytes.get(from..).unwrap_or_default().iter().take(LONGEST_JWT_PART).take_while(url_safe).count()
    };
    let header = part(at);
    if header - at > 8192 || bytes.get(header) != Some(&b'.') {
        return None;
    }
    let decoded = URL_SAFE_NO_PAD.decode(&bytes[at..header]).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&decoded).ok()?;
    claims.get("alg")?;
    let mut end = part(header + 1);
    if end - header < 3 {
        return None;
    }
    for _ in 0..3 {
        if bytes.get(end) != Some(&b'.') {
            break;
        }
        let next = part(end + 1);
        // "eyJ….eyJ…. Next sentence" ends before the full stop, the empty signature of `alg: none` is part of it.
        end = if next == end + 1 && bytes.get(next).is_some_and(|b| b.is_ascii_whitespace()) { break } else { next };
    }
    Some(at..end)
}

/// The private key block that starts with the dashes at `at`: its span, and its text free of line ends and escapes.
pub(crate) fn pem(text: &str, at: usize) -> Option<(Range<usize>, String)> {
    let rest = &text[at..text.floor_char_boundary(at + LONGEST_PEM)];
    let label = rest.strip_prefix("-----BEGIN ")?;
    let label_start = rest.len() - label.len();
    let label = &label[..label.bytes().take(48).position(|b| b == b'-')?];
    if !label.contains("PRIVATE KEY") {
        return None;
    }
    let body = label_start + label.len();
    // A block whose end was cut off goes as far as it looks like one.
    let end = match rest[body..].find("-----END ") {
        Some(found) => {
            let close = body + found + "-----END ".len();
            rest[close..].find("-----").map_or(rest.len(), |dashes| close + dashes + 5)
        }
        None => {
            let inside = |b: &u8| b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || b"+/=\\-_:,%".contains(b);
            rest.bytes().skip(body).position(|b| !inside(&b)).map_or(rest.len(), |stop| body + stop)
        }
    };
    let mut plain = String::new();
    let mut chars = rest[..end].chars().peekable();
    while let Some(ch) = chars.next() {
        match ch {
            '\\' => {
                while chars.next_if_eq(&'\\').is_some() {}
                let _ = chars.next_if(|next| matches!(next, 'n' | 'r' | 't'));
            }
            _ if ch.is_whitespace() => {}
            _ => plain.push(ch),
        }
    }
    Some((at..at + end, plain))
}

/// The password in the authority of a URL, where `authority` is the index after `://`.
pub(crate) fn url_password(text: &str, authority: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let stop = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b',');
    let rest = &bytes[authority..bytes.len().min(authority + 1024)];
    let rest = &rest[..rest.iter().position(stop).unwrap_or(rest.len())];
    let path = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let at = match memchr::memrchr(b'@', &rest[..path]) {
        Some(at) => at,
        // An unencoded slash in a password: then what follows the colon is no port.
        None => {
            let colon = memchr::memchr(b':', &rest[..path])?;
            let port = &rest[colon + 1..path];
            if port.is_empty() || port.iter().all(u8::is_ascii_digit) || rest[0] == b'[' {
                return None;
            }
            memchr::memchr(b'@', rest)?
        }
    };
    let span = match memchr::memchr(b':', &rest[..at]) {
        Some(colon) => authority + colon + 1..authority + at,
        // A token in the place of the user.
        None => authority..authority + at,
    };
    let value = text.get(span.clone())?;
    let accepted = if span.start == authority { value::looks_random(value) } else { !value.is_empty() };
    let variable =
        value.starts_with(['$', '<', '{', '%', '[']) || matches!(value, "pass" | "pwd" | "PASS" | "PASSWORD");
    (accepted && !variable && !value::is_placeholder(value)).then_some(span)
}

/// The secret part of a webhook address whose host starts at `at`.
pub(crate) fn webhook(text: &str, at: usize) -> Option<(&'static str, Range<usize>)> {
    const HOOKS: &[(&str, &str, &str)] = &[
        // All of them end alike, which is asked first.
        ("slack_webhook", "hooks.slack.com/", "services/"),
        ("slack_webhook", "hooks.slack.com/", "workflows/"),
        ("slack_webhook", "hooks.slack.com/", "triggers/"),
        ("discord_webhook", "discord.com/api/", "webhooks/"),
        ("discord_webhook", "discordapp.com/api/", "webhooks/"),
        ("teams_webhook", "webhook.office.com/", "webhookb2/"),
        ("teams_webhook", "outlook.office.com/", "webhook/"),
        ("zapier_webhook", "hooks.zapier.com/", "hooks/catch/"),
        // Who knows the address of such a server may call it.
        ("zapier_mcp_server", "mcp.zapier.com/", "api/mcp/s/"),
    ];
    let rest = text.get(at..)?;
    let slash = memchr::memchr(b'/', &rest.as_bytes()[..rest.len().min(128)])?;
    if !rest[..slash].ends_with(".com") {
        return None;
    }
    // Any subdomain, and any version between host and path.
    let hook = |host: &str| rest[..slash].ends_with(host.split('/').next().unwrap_or(host));
    if !HOOKS.iter().any(|(_, host, _)| hook(host)) {
        return None;
    }
    let stop = |b: u8| b.is_ascii_whitespace() || b"\"'`<>\\?#)],;|".contains(&b);
    let near = &rest[..rest.floor_char_boundary(1024)];
    let end = near.bytes().position(stop).unwrap_or(near.len());
    let rest = rest[..end].trim_end_matches(['.', ':']);
    HOOKS.iter().filter(|(_, host, _)| hook(host)).find_map(|(kind, host, path)| {
        let after_host = rest.find(host)? + host.len();
        let secret = after_host + rest[after_host..].find(path).filter(|skipped| *skipped <= 4)? + path.len();
        (rest.len() >= secret + 16).then(|| (*kind, at + secret..at + rest.len()))
    })
}

/// The secret access key that stands within reach of an AWS access key id.
pub(crate) fn aws_secret_near(text: &str, id: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let end = bytes.len().min(id.end + 300);
    let mut at = id.end;
    while at < end {
        let near = &bytes[at..bytes.len().min(end + 41)];
        let run = near.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')).count();
        // A leading slash or escape belongs to what is around the key.
        if run == 40
            && bytes[at..at + run].iter().any(u8::is_ascii_uppercase)
            && value::looks_random(&text[at..at + run])
        {
            return Some(at..at + run);
        }
        at += run.max(1);
    }
    None
}
