//! HTTP archives (HAR 1.2) of MCP over HTTP, as browsers, debugging proxies and capture tools save them: one document.
//!
//! An exchange is one element of `log.entries`. What a client posts is a JSON-RPC message or a batch; the answers stand in the response,
//! as JSON or as an event stream, or, with the older transport, in the event stream of a `GET` that began before. Of headers only the
//! session's id and the user agent are read, and of the URL no query: the rest is full of credentials.

use super::jsonrpc::{self, Envelope};
use super::shared::gateway;
use super::{Decoded, LogFormat};
use crate::call::TimeSource;
use crate::call::{Bits, Call, DurationSource, Nanos, Observer, Outcome, PayloadState, SessionSource, Side, Text};
use crate::source::frame::events;
use crate::source::json::{self, Object};
use crate::source::{Event, Hints, Lane, PairKey, Record, Reject, time};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

#[cfg(test)]
mod tests;

const ID: &str = "har";

/// HTTP archives.
pub struct Har;

impl LogFormat for Har {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "HTTP archives (HAR) with MCP over HTTP"
    }
    fn evidence(&self) -> &'static str {
        "HAR 1.2 specification and the transports of the MCP specification; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|document| {
            let log = document.object("log");
            log.has("version") && log.get("entries").is_some_and(|raw| raw.starts_with('['))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(document) = record.json else { return Err(Reject::new("not a json object")) };
        let log = document.object("log");
        let entries: Vec<Exchange<'_>> = log.array("entries").into_iter().map(Exchange::read).collect();
        for entry in &entries {
            posted(entry, record.hints, out);
        }
        // A stream goes on for as long as the client listens: what it brought were answers to what was posted meanwhile.
        for entry in &entries {
            streamed(entry, record.hints, out);
        }
        Ok(())
    }
}

/// A request and its response.
struct Exchange<'a> {
    request: Object<'a>,
    response: Object<'a>,
    start: Option<Nanos>,
    duration: Option<i64>,
}

impl<'a> Exchange<'a> {
    fn read(raw: &'a str) -> Self {
        let entry = Object::trusted(raw);
        Self {
            request: entry.object("request"),
            response: entry.object("response"),
            start: time::member(&entry, "startedDateTime").map(|(nanos, _)| nanos),
            duration: gateway::milliseconds(&entry, "time"),
        }
    }

    fn is(&self, method: &str) -> bool {
        self.request.str("method").is_some_and(|written| written.eq_ignore_ascii_case(method))
    }

    fn end(&self) -> Option<Nanos> {
        self.start.zip(self.duration).and_then(|(start, duration)| start.checked_add(duration)).or(self.start)
    }

    fn status(&self) -> i64 {
        self.response.int("status").unwrap_or(-1)
    }

    /// The text of the response, if it was saved.
    fn content(&self) -> Option<String> {
        let content = self.response.object("content");
        let text = content.str("text").filter(|text| !text.is_empty())?;
        if content.str("encoding").is_some_and(|encoding| encoding == "base64") {
            let bytes = BASE64_STANDARD.decode(text.as_bytes()).ok()?;
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        Some(text.into_owned())
    }

    /// The protocol's session. The answer to `initialize` names it first.
    fn session(&self) -> Option<Text> {
        header(&self.request, "mcp-session-id").or_else(|| header(&self.response, "mcp-session-id"))
    }

    fn url(&self) -> Option<url::Url> {
        let mut url = url::Url::parse(&self.request.str("url")?).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(url)
    }

    /// What keeps the exchange's ids from others: the session and the server. The older transport asks at one path and answers at
    /// another.
    fn lane(&self) -> Lane {
        let url = self.url().map(String::from).unwrap_or_default();
        let server = match url.trim_end_matches('/').rsplit_once('/') {
            Some((server, "sse" | "message" | "messages")) => server,
            _ => &url,
        };
        match self.session() {
            Some(session) => Lane::from(format!("{session}|{server}")),
            None => Lane::from(server),
        }
    }

    /// What surrounds a message that `sender` sent.
    fn envelope<'h>(&self, sender: Side, hints: &'h Hints) -> Envelope<'h> {
        let session = self.session();
        Envelope {
            format: ID,
            lane: self.lane(),
            time: if sender == Side::Client { self.start } else { self.end() },
            time_source: TimeSource::RequestLine,
            sender: Some(sender),
            server: None,
            session: session.clone().map(|id| (id, SessionSource::McpSession)),
            observer: Observer::Tap,
            agent: None,
            user_id: None,
            transport: Some(Text::const_new("http")),
            mcp_session_id: session,
            flags: Bits::default(),
            hints,
        }
    }
}

fn header(side: &Object<'_>, name: &str) -> Option<Text> {
    let headers = side.array("headers").into_iter().map(Object::trusted);
    let mut found = headers.filter(|header| header.str("name").is_some_and(|own| own.eq_ignore_ascii_case(name)));
    found.find_map(|header| header.text("value"))
}

/// What a client sent, and what it was answered at once.
fn posted(entry: &Exchange<'_>, hints: &Hints, out: &mut Decoded) {
    if !entry.is("POST") {
        return;
    }
    let text = entry.request.object("postData").str("text").unwrap_or_default();
    let sent: Vec<String> = messages(&text).into_iter().filter(|message| is_mcp(message)).collect();
    if sent.is_empty() {
        return;
    }
    let envelope = entry.envelope(Side::Client, hints);
    let from = out.events.len();
    read(&sent, &envelope, out);
    let mut open = Vec::new();
    for event in &mut out.events[from..] {
        if let Event::Request { key, call, .. } = event {
            described(call, entry);
            open.extend(key.clone());
        }
    }
    let content = entry.content();
    let from = out.events.len();
    read(&content.as_deref().map(messages).unwrap_or_default(), &entry.envelope(Side::Server, hints), out);
    for event in &mut out.events[from..] {
        if let Event::Response { key, call, .. } = event {
            open.retain(|asked| asked != key);
            measured(call, entry);
            call.more().http_response_status_code = i32::try_from(entry.status()).ok();
        }
    }
    // Accepted, and answered in a stream.
    if entry.status() != 202 {
        out.events.extend(open.into_iter().map(|key| unanswered(key, &envelope.lane, entry)));
    }
}

/// What a server said in a stream that the client listened to.
fn streamed(entry: &Exchange<'_>, hints: &Hints, out: &mut Decoded) {
    let kind = entry.response.object("content").str("mimeType").unwrap_or_default();
    if entry.is("GET") && kind.starts_with("text/event-stream") {
        let said = entry.content().as_deref().map(messages).unwrap_or_default();
        read(&said, &entry.envelope(Side::Server, hints), out);
    }
}

fn read(messages: &[String], envelope: &Envelope<'_>, out: &mut Decoded) {
    for text in messages {
        if let Err(reject) = jsonrpc::message(&Object::trusted(text), envelope, out) {
            out.reject(text, reject);
        }
    }
}

/// The JSON-RPC messages in a body: one, a batch, or the events of a stream.
fn messages(text: &str) -> Vec<String> {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{' | b'[') => of_json(text),
        _ => events::data(text).iter().flat_map(|data| of_json(data.trim())).collect(),
    }
}

fn of_json(text: &str) -> Vec<String> {
    let Ok(valid) = serde_json::from_str::<&serde_json::value::RawValue>(text) else { return Vec::new() };
    let text = valid.get();
    let parts = if text.starts_with('[') { json::elements(text) } else { vec![text] };
    let is_message = |text: &&str| Object::trusted(text).get("jsonrpc") == Some("\"2.0\"");
    parts.into_iter().filter(is_message).map(str::to_owned).collect()
}

/// Other protocols are JSON-RPC as well. An answer of the client's says nothing of its own.
fn is_mcp(message: &str) -> bool {
    let message = Object::trusted(message);
    match message.str("method") {
        Some(method) => method.contains('/') || matches!(method.as_ref(), "initialize" | "ping"),
        None => message.has("result") || message.has("error"),
    }
}

fn described(call: &mut Call, entry: &Exchange<'_>) {
    let url = entry.url();
    call.server_address = url.as_ref().and_then(|url| url.host_str().map(Text::from));
    let version = header(&entry.request, "mcp-protocol-version");
    call.mcp_protocol_version = call.mcp_protocol_version.take().or(version);
    let more = call.more();
    more.server_url = url.map(|url| Text::from(url.as_str()));
    more.user_agent = header(&entry.request, "user-agent");
}

fn measured(call: &mut Call, entry: &Exchange<'_>) {
    call.duration_ns = entry.duration;
    call.duration_source = entry.duration.map(|_| DurationSource::Measured);
}

/// There is no answer but what HTTP says.
fn unanswered(key: PairKey, lane: &Lane, entry: &Exchange<'_>) -> Event {
    let mut call = Box::new(Call {
        source_format: Text::const_new(ID),
        observer: Observer::Tap,
        time_end: entry.end(),
        result_state: PayloadState::NotLogged,
        ..Call::default()
    });
    measured(&mut call, entry);
    gateway::http_status(&mut call, entry.status());
    if matches!(call.outcome, Outcome::Success | Outcome::Unknown) {
        // The body was not saved, or is none of the protocol's: a tool's own error would stand there.
        call.outcome = Outcome::Unknown;
    } else {
        call.result_state = PayloadState::None;
        call.error_message =
            entry.response.str("statusText").filter(|text| !text.is_empty()).map(|text| text.into_owned());
    }
    Event::Response { key, lane: lane.clone(), call, maybe_foreign: false }
}
