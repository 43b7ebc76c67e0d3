//! A logged exchange with the API of a model: bodies of requests and responses, and what a log puts around them.
//!
//! Every logger has a shape of its own: the body alone, or request and response beside each other, as JSON or as a string
//! that holds JSON or an event stream, perhaps below a `body` once more. The bodies themselves carry few times and no session.

use crate::call::{Call, Flag, Nanos, Observer, SessionSource, Text, TimeSource};
use crate::source::format::shared::streamed;
use crate::source::json::{self, Object};
use crate::source::time;
use std::borrow::Cow;

/// Members that hold a body, those of requests first: what they configure is needed to read the response.
const BODIES: &[&str] =
    &["request", "request_body", "requestBody", "body", "response", "response_body", "responseBody"];
const TIME: &[&str] =
    &["timestamp", "time", "ts", "@timestamp", "datetime", "start_time", "request_time", "created_at", "createdAt"];
const SESSION: &[&str] = &["session_id", "sessionId", "conversation_id", "conversationId", "thread_id"];

/// What a log says around the bodies of one exchange.
#[derive(Default)]
pub(in crate::source::format) struct Exchange {
    pub time: Option<Nanos>,
    zone_assumed: bool,
    pub session: Option<Text>,
    pub agent: Option<Text>,
    pub user: Option<Text>,
    pub model: Option<Text>,
    /// Alias and address of each server that the request configured.
    pub servers: Vec<(Text, Text)>,
}

impl Exchange {
    /// Reads what stands beside the bodies.
    pub(in crate::source::format) fn of(object: &Object<'_>) -> Self {
        let first = |keys: &[&str]| keys.iter().find_map(|key| object.text(key));
        let time = TIME.iter().find_map(|key| time::member(object, key));
        Self {
            time: time.map(|(nanos, _)| nanos),
            zone_assumed: time.is_some_and(|(_, assumed)| assumed),
            session: first(SESSION),
            agent: first(&["agent", "agent_name", "agentName"]),
            user: first(&["user_id", "userId", "user"]),
            ..Self::default()
        }
    }

    /// A call with what the exchange knows of it. `replayed`: it stands in the history that a request repeats, so it was made
    /// before.
    pub(in crate::source::format) fn blank(&self, format: &'static str, replayed: bool) -> Box<Call> {
        let mut call = Box::new(Call {
            source_format: Text::const_new(format),
            observer: Observer::HostTranscript,
            session_id: self.session.clone(),
            session_source: SessionSource::Conversation,
            agent: self.agent.clone(),
            user_id: self.user.clone(),
            ..Call::default()
        });
        if replayed {
            call.time_end = self.time;
        } else {
            call.time = self.time;
            call.time_source = TimeSource::Record;
        }
        if self.session.is_none() {
            call.session_source = SessionSource::default();
        }
        if self.zone_assumed {
            call.flag(Flag::ZoneAssumed);
            call.more().time_zone_assumed = true;
        }
        call.more().gen_ai_request_model.clone_from(&self.model);
        call
    }

    /// Address of a server.
    pub(in crate::source::format) fn url(&self, server: Option<&Text>) -> Option<Text> {
        self.servers.iter().find(|(name, _)| Some(name) == server).map(|(_, url)| url.clone())
    }
}

/// Whether a member holds a body that mentions one of these texts, which have no character that JSON escapes.
pub(in crate::source::format) fn mentions(object: &Object<'_>, marks: &[&str]) -> bool {
    BODIES.iter().filter_map(|key| object.get(key)).any(|raw| holds(raw, marks))
}

fn holds(raw: &str, marks: &[&str]) -> bool {
    marks.iter().any(|mark| memchr::memmem::find(raw.as_bytes(), mark.as_bytes()).is_some())
}

/// Whether an object of one of these types stands anywhere in a value. Texts that quote one do not count: their quotes are
/// escaped.
pub(in crate::source::format) fn has_type(raw: &str, kinds: &[&str]) -> bool {
    let bytes = raw.as_bytes();
    memchr::memmem::find_iter(bytes, b"\"type\"").any(|at| {
        let colon = json::skip_space(bytes, at + 6);
        let value = json::skip_space(bytes, colon + 1);
        bytes.get(colon) == Some(&b':')
            && kinds.iter().any(|kind| {
                let rest = bytes.get(value + 1..).unwrap_or_default();
                bytes.get(value) == Some(&b'"')
                    && rest.starts_with(kind.as_bytes())
                    && rest.get(kind.len()) == Some(&b'"')
            })
    })
}

/// Whether the object has a member that may hold a body.
pub(in crate::source::format) fn has_body(object: &Object<'_>) -> bool {
    BODIES.iter().any(|key| object.has(key))
}

/// The bodies of an exchange, as JSON text that is valid.
pub(in crate::source::format) fn bodies<'a>(object: &Object<'a>) -> Vec<Cow<'a, str>> {
    let mut found = Vec::new();
    for raw in BODIES.iter().filter_map(|key| object.get(key)) {
        let inner = Object::trusted(raw).get("body");
        if let Some(body) = json_of(inner.unwrap_or(raw)) {
            found.push(body);
        }
    }
    found
}

/// A JSON object, or the one that a JSON string holds, as it is or as the event stream in which it came.
fn json_of(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'{' => Some(Cow::Borrowed(raw)),
        b'"' => {
            let text = json::string(raw)?;
            if Object::parse(&text).is_ok() { Some(text) } else { streamed::body(&text).map(Cow::Owned) }
        }
        _ => None,
    }
}
