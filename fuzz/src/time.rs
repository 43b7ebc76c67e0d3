//! Times: no text is too odd, no number too large, and one moment has one value however it is written.

use crate::source::json::Object;
use crate::source::time;

/// Reads the bytes as a time in text, in a number and in a member.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.trim();
    let as_text = time::rfc3339(text);
    let quoted = format!("{{\"t\":{}}}", serde_json::Value::from(text));
    let object = Object::parse(&quoted).expect("a string that serde_json wrote");
    let member = time::member(&object, "t");
    if let Some(nanos) = as_text {
        assert_eq!(member, Some((nanos, false)));
        let again = chrono::DateTime::from_timestamp_nanos(nanos).to_rfc3339();
        assert_eq!(time::rfc3339(&again), Some(nanos), "{text} as {again}");
    }
    let bare = format!("{{\"t\":{text}}}");
    if let Ok(object) = Object::parse(&bare)
        && object.get("t") == Some(text)
        && !text.starts_with('"')
    {
        assert_eq!(time::member(&object, "t"), member, "a number is the same with and without quotes");
    }
    if let Some(bytes) = data.first_chunk::<8>() {
        let value = i64::from_le_bytes(*bytes);
        let nanos = time::epoch(value);
        assert!(nanos.signum() == value.signum());
    }
}
