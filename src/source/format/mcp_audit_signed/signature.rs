//! Recomputes the signatures of mcp-audit entries: HMAC-SHA256 over what the proxy signed.
//!
//! Integrity format 2 signs the RFC 8785 form of every member but the signatures themselves. The older signature, which newer
//! versions still write beside it, signs id, time, method, tool and parameters only. The members are read as the writer's
//! program reads them: unknown ones are not signed, empty optional ones are left out, times are brought to UTC.

use crate::source::json::{self, Object};
use chrono::SecondsFormat;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::borrow::Cow;

/// Objects and arrays inside one another; deeper ones are not judged.
const MAX_DEPTH: usize = 128;
/// Optional text members that are left out when empty.
const OPTIONAL: &[&str] = &["audit_operation_id", "outcome", "request_id", "mcp_name", "tool_name"];
const ALWAYS: &[&str] = &["id", "direction", "transport", "method", "client_id", "server_id"];

/// Whether an entry, as it stands in the log, carries the signature that this key gives. `None`: it is not signed, not in a way
/// known here, or is no entry.
///
/// A wrong older signature need not mean tampering: it was made before the parameters were written compactly, so where
/// redaction is off and a client puts spaces into its JSON it never fits what is stored.
pub fn signature_of(record: &str, key: &[u8]) -> Option<bool> {
    let entry = Object::parse(record).ok().filter(super::is_entry)?;
    if key.is_empty() {
        return None;
    }
    if let Some(raw) = entry.get("integrity").filter(|raw| *raw != "null") {
        let integrity = Object::trusted(raw);
        if integrity.int("version") != Some(2) || integrity.str("algorithm").as_deref() != Some("hmac-sha256") {
            return None;
        }
        return match signed_form(&entry) {
            Signed::Form(form) => Some(fits(key, &[&form], &integrity.str("signature").unwrap_or_default())),
            Signed::Never => Some(false),
            Signed::Unjudged => None,
        };
    }
    let given = entry.str("signature").filter(|signature| !signature.is_empty())?;
    let text = |member: &str| entry.str(member).unwrap_or_default();
    let Some(time) = utc(&text("timestamp")) else { return Some(false) };
    let (id, method, tool) = (text("id"), text("method"), text("tool_name"));
    let signs = |params: &str| {
        let parts = [id.as_bytes(), time.as_bytes(), method.as_bytes(), tool.as_bytes(), params.as_bytes()];
        fits(key, &parts, &given)
    };
    let params = entry.get("params").unwrap_or_default();
    // Go's encoder writes these three escaped, also inside JSON that it is handed over.
    let unescaped = || params.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&");
    Some(signs(params) || (params.contains("\\u00") && signs(&unescaped())))
}

/// Compares in constant time. The demo file has a prefix that the program does not write.
fn fits(key: &[u8], parts: &[&[u8]], given: &str) -> bool {
    let Some(given) = bytes(given.strip_prefix("hmac-sha256:").unwrap_or(given)) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(&given).is_ok()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect()
}

/// A time as Go's `RFC3339Nano` prints it in UTC: no zeros at the end of the fraction.
fn utc(text: &str) -> Option<String> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    let text = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let text = text.strip_suffix('Z')?.trim_end_matches('0').trim_end_matches('.');
    Some(format!("{text}Z"))
}

enum Signed {
    Form(Vec<u8>),
    /// No entry that was signed can look like this.
    Never,
    /// Nested deeper than is looked at here.
    Unjudged,
}

/// The bytes that integrity format 2 signs.
fn signed_form(entry: &Object<'_>) -> Signed {
    let mut members = Vec::new();
    for key in ALWAYS.iter().chain(OPTIONAL) {
        let Some(value) = text(entry.get(key)) else { return Signed::Never };
        if !value.is_empty() || ALWAYS.contains(key) {
            members.push((*key, quoted(&value)));
        }
    }
    let Some(time) = text(entry.get("timestamp")).and_then(|text| utc(&text)) else { return Signed::Never };
    let Some(duration) = entry.get("duration_ms").filter(|raw| raw.parse::<i64>().is_ok()) else {
        return Signed::Never;
    };
    members.push(("timestamp", quoted(&time)));
    members.push(("duration_ms", duration.to_owned()));
    members.extend(["params", "result"].iter().filter_map(|key| Some((*key, entry.get(key)?.to_owned()))));
    for (key, required, optional) in [
        ("error", &["code", "message"][..], &["data"][..]),
        ("principal", &["subject", "client_id", "issuer"], &[]),
        ("policy", &["decision"], &["rule_id"]),
    ] {
        if let Some(raw) = entry.get(key).filter(|raw| *raw != "null") {
            members.push((key, part(&Object::trusted(raw), required, optional)));
        }
    }
    let members: Vec<String> = members.iter().map(|(key, raw)| format!("\"{key}\":{raw}")).collect();
    let mut form = Vec::new();
    match canonical(&format!("{{{}}}", members.join(",")), 0, &mut form) {
        Ok(()) => Signed::Form(form),
        Err(refused) => refused,
    }
}

/// The members of a nested object that the writer knows.
fn part(object: &Object<'_>, required: &[&str], optional: &[&str]) -> String {
    let missing = |key: &str| if key == "code" { "0" } else { "\"\"" };
    let required = required.iter().map(|key| (*key, object.get(key).unwrap_or(missing(key))));
    let optional = optional.iter().filter_map(|key| Some((*key, object.get(key).filter(|raw| *raw != "\"\"")?)));
    let members: Vec<String> = required.chain(optional).map(|(key, raw)| format!("\"{key}\":{raw}")).collect();
    format!("{{{}}}", members.join(","))
}

/// A text member as Go reads it: missing ones and null are empty. `None`: it is no text.
fn text(raw: Option<&str>) -> Option<Cow<'_, str>> {
    raw.filter(|raw| *raw != "null").map_or(Some(Cow::Borrowed("")), json::string)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// RFC 8785 to the letter, unlike the form that the lake hashes: numbers are doubles, and a key that stands twice is refused.
fn canonical(raw: &str, depth: usize, out: &mut Vec<u8>) -> Result<(), Signed> {
    if depth > MAX_DEPTH {
        return Err(Signed::Unjudged);
    }
    match raw.as_bytes().first() {
        Some(b'{') => {
            let object = Object::trusted(raw);
            let mut members: Vec<_> = object.members().iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(Signed::Never);
            }
            for (at, (key, value)) in members.into_iter().enumerate() {
                out.push(if at == 0 { b'{' } else { b',' });
                out.extend_from_slice(quoted(key).as_bytes());
                out.push(b':');
                canonical(value, depth + 1, out)?;
            }
            out.extend_from_slice(if object.is_empty() { b"{}" } else { b"}" });
        }
        Some(b'[') => {
            out.push(b'[');
            for (at, element) in json::elements(raw).into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                canonical(element, depth + 1, out)?;
            }
            out.push(b']');
        }
        Some(b'"') => out.extend_from_slice(quoted(&json::unescape(raw)).as_bytes()),
        Some(b'-' | b'0'..=b'9') => {
            let number: f64 = raw.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(Signed::Never)?;
            out.extend_from_slice(ryu_js::Buffer::new().format_finite(number).as_bytes());
        }
        _ => out.extend_from_slice(raw.as_bytes()),
    }
    Ok(())
}
