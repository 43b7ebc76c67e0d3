//! Messages with a part cut out, the middle here: `{"method":"tools/call","params":{…xx...[11759 chars truncated]...yy"}},"id":5}`.
//!
//! Claude Desktop keeps about 500 characters of a longer message, both ends. What identifies it stands there: the
//! client writes method and name first and the id last, servers write the id first. The members that survived
//! are put together into a message without the payload, which then means what every message means; afterwards
//! the payload is handed over as it stands, cut.

use crate::call::{Call, Flag, Outcome, PayloadState, Text};
use crate::source::format::jsonrpc::{self, Envelope};
use crate::source::json::Object;
use crate::source::{Decoded, Event, Reject};

/// Bytes at the end of a message in which its last members are looked for, and attempts at finding them.
const TAIL_MAX: usize = 4096;
const ATTEMPTS_MAX: usize = 64;

/// Where a message was cut.
pub(crate) struct Cut {
    /// The mark stands at `start..end`.
    start: usize,
    end: usize,
    /// Characters that are gone, if the mark says.
    missing: Option<i64>,
}

impl Cut {
    /// Finds the first mark. (A payload can hold the text of another; the ends of the message stay the ends.)
    pub(super) fn find(text: &str) -> Option<Self> {
        const CLOSE: &str = " chars truncated]...";
        memchr::memmem::find_iter(text.as_bytes(), CLOSE).find_map(|at| {
            let digits = text[..at].bytes().rev().take_while(u8::is_ascii_digit).count();
            let missing = text[at - digits..at].parse().ok()?;
            let start = text[..at - digits].strip_suffix("...[")?.len();
            Some(Self { start, end: at + CLOSE.len(), missing: Some(missing) })
        })
    }

    /// The end of the message is gone, and nobody says how much of it.
    pub(crate) fn at_end(text: &str) -> Self {
        Self { start: text.len(), end: text.len(), missing: None }
    }

    /// The length of a payload of which this is left.
    fn whole(&self, payload: &str) -> Option<i64> {
        let added = self.missing?.saturating_sub((self.end - self.start) as i64);
        Some((payload.len() as i64).saturating_add(added))
    }
}

/// A message that is still JSON: the cut lies within one string.
pub(super) fn inside_a_string(
    object: &Object<'_>,
    cut: &Cut,
    envelope: &Envelope<'_>,
    out: &mut Decoded,
) -> Result<(), Reject> {
    let from = out.events.len();
    jsonrpc::message(object, &flagged(envelope), out)?;
    let mark = |payload: &Option<String>, state: &mut PayloadState, bytes: &mut Option<i64>| {
        if let (Some(text), PayloadState::Present) = (payload, *state) {
            *state = PayloadState::Truncated;
            *bytes = cut.whole(text);
        }
    };
    for event in &mut out.events[from..] {
        match event {
            Event::Request { call, .. } => {
                let Call { arguments, arguments_state, arguments_bytes, .. } = call.as_mut();
                mark(arguments, arguments_state, arguments_bytes);
            }
            Event::Response { call, .. } => {
                let Call { result, result_state, result_bytes, .. } = call.as_mut();
                mark(result, result_state, result_bytes);
            }
            // A definition with a hole is not the definition that the server sent.
            Event::Tools { tools, .. } => tools.retain(|tool| Cut::find(&tool.definition).is_none()),
            Event::Instructions { text, .. } if Cut::find(text).is_some() => text.clear(),
            _ => {}
        }
    }
    let empty = |event: &Event| match event {
        Event::Tools { tools, .. } => tools.is_empty(),
        Event::Instructions { text, .. } => text.is_empty(),
        _ => false,
    };
    out.events.retain(|event| !empty(event));
    Ok(())
}

/// A message that is no JSON any more. `known` has what the log says of it elsewhere; what the message says wins.
pub(crate) fn recover(
    text: &str,
    cut: &Cut,
    known: Members,
    envelope: &Envelope<'_>,
    out: &mut Decoded,
) -> Result<(), Reject> {
    let lost = || Reject::new("truncated message without method or id");
    let text = without_suffix(text);
    let head = text.get(..cut.start).unwrap_or(text);
    let tail = text.get(cut.end..).unwrap_or_default();
    // The whole members of the message, and of the member that the cut goes through, from both sides of the cut.
    let (mut outer, broken) = complete(head);
    let (mut inner, broken_inner) = broken.as_ref().map(|(_, raw)| complete(raw)).unwrap_or_default();
    let outer_end = last_members(tail);
    let inner_end = outer_end.as_ref().and_then(|(_, before)| last_members(before));
    let offset = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    let end_of = |before: &str| offset(before) + before.len();
    let outer_at = outer_end.as_ref().map_or(text.len(), |(_, before)| end_of(before));
    let inner_at = inner_end.as_ref().map_or(outer_at, |(_, before)| end_of(before));
    outer.extend(outer_end.map(|(members, _)| members).unwrap_or_default());
    inner.extend(inner_end.map(|(members, _)| members).unwrap_or_default());
    for (key, raw) in known {
        if outer.iter().all(|(own, _)| *own != key) {
            outer.push((key, raw));
        }
    }
    if let Some((key, raw)) = &broken
        && (raw.starts_with('{') || matches!(key.as_str(), "params" | "result" | "error"))
    {
        outer.push((key.clone(), object(&inner)));
    }
    let rebuilt = object(&outer);
    let rebuilt = Object::parse(&rebuilt).map_err(|_| lost())?;
    let from = out.events.len();
    jsonrpc::message(&rebuilt, &flagged(envelope), out).map_err(|_| lost())?;

    let payload = |raw: &str, end: usize| {
        let payload = text.get(offset(raw)..end).unwrap_or(raw);
        (Some(payload.to_owned()), PayloadState::Truncated, cut.whole(payload))
    };
    for event in &mut out.events[from..] {
        match (event, &broken) {
            (Event::Request { call, .. }, Some((key, raw))) if key == "params" => {
                if !matches!(call.method.as_str(), "tools/call" | "prompts/get") {
                    (call.arguments, call.arguments_state, call.arguments_bytes) = payload(raw, outer_at);
                } else if let Some((_, raw)) = broken_inner.as_ref().filter(|(key, _)| key == "arguments") {
                    (call.arguments, call.arguments_state, call.arguments_bytes) = payload(raw, inner_at);
                } else if call.arguments.is_none() {
                    call.arguments_state = PayloadState::Truncated;
                }
            }
            (Event::Response { call, .. }, Some((key, raw))) if key == "result" || key == "error" => {
                (call.result, call.result_state, call.result_bytes) = payload(raw, outer_at);
                // A tool's own error stands behind its content. (In the middle a cut leaves both ends.)
                if cut.missing.is_none() && broken_inner.as_ref().is_some_and(|(key, _)| key == "content") {
                    call.method = Text::const_new("tools/call");
                    call.outcome = Outcome::Unknown;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn flagged<'a>(envelope: &Envelope<'a>) -> Envelope<'a> {
    let mut envelope = envelope.clone();
    envelope.flags.add(Flag::TruncatedJson as u32);
    envelope
}

/// Members of an object, values as JSON text.
pub(crate) type Members = Vec<(String, String)>;

/// The members of an object whose end is missing: those that are whole, and the one that is not.
fn complete(text: &str) -> (Members, Option<(String, &str)>) {
    let object = Object::trusted(text);
    // What reaches the end of the text may go on behind it, a number too.
    let reaches_end = |raw: &str| raw.as_bytes().as_ptr_range().end == text.as_bytes().as_ptr_range().end;
    let (whole, broken): (Vec<_>, Vec<_>) = object.members().iter().partition(|(_, raw)| !reaches_end(raw));
    let whole = whole.into_iter().map(|(key, raw)| (key.to_string(), (*raw).to_owned())).collect();
    (whole, broken.first().map(|(key, raw)| (key.to_string(), *raw)))
}

/// The members at the end of a text that ends where an object ends, and the text before them. `None` if it does not.
fn last_members(text: &str) -> Option<(Members, &str)> {
    let text = text.trim_end();
    let before_brace = text.strip_suffix('}')?;
    // A quote inside a string is escaped, so a comma and a quote start a member or stand inside a list, which
    // does not parse. Of those that parse the first holds the most members.
    let from = text.len().saturating_sub(TAIL_MAX);
    let starts: Vec<usize> = memchr::memmem::find_iter(&text.as_bytes()[from..], b",\"").map(|at| from + at).collect();
    for at in &starts[starts.len().saturating_sub(ATTEMPTS_MAX)..] {
        let candidate = format!("{{{}", &text[at + 1..]);
        if let Ok(object) = Object::parse(&candidate) {
            let members = object.members().iter().map(|(key, raw)| (key.to_string(), (*raw).to_owned()));
            return Some((members.collect(), &text[..*at]));
        }
    }
    Some((Members::new(), before_brace))
}

fn object(members: &Members) -> String {
    let mut out = String::from("{");
    for (i, (key, raw)) in members.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        out.push_str(&serde_json::Value::from(key.as_str()).to_string());
        out.push(':');
        out.push_str(raw);
    }
    out.push('}');
    out
}

/// The text without ` { metadata: undefined }` and the like: an object whose first key has no quotes.
fn without_suffix(text: &str) -> &str {
    match text.rfind("} { ") {
        Some(at) if text.ends_with('}') && text[at + 4..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
            &text[..=at]
        }
        _ => text,
    }
}
