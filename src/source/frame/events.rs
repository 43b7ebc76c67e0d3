//! Event streams (`text/event-stream`; HTML standard, section 9.2) as the APIs of models answer with them.
//!
//! What a call was, its events say together: its arguments come in pieces. So the events of one response are one record; any
//! other event, or line, is one by itself. Programs that use an SDK log the data alone, an object a line.

use super::Records;
use crate::source::json::Object;
use std::collections::HashSet;

/// How lines of an event stream begin; comments with a colon.
const FIELDS: [&str; 5] = ["data:", "event:", "id:", "retry:", ":"];

/// What the first events of responses name.
const STARTS: [&str; 3] = ["message_start", "response.created", "chat.completion.chunk"];

/// What an event is of a response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing: a comment, a heartbeat.
    None,
    Starts,
    Within,
    /// A piece of a chat completion, whose first piece is one like the others.
    Chunk,
    /// The last piece of the last one that is open.
    LastChunk,
    Ends,
    /// The end, if there is anything that it could be of.
    MayEnd,
    Other,
}

/// Whether a text is an event stream, or an event of one.
pub fn is_stream(text: &str) -> bool {
    is_field(text) || text.starts_with('{') && memchr::memmem::find(text.as_bytes(), b"\n{").is_some()
}

fn is_field(line: &str) -> bool {
    FIELDS.iter().any(|field| line.starts_with(field))
}

/// The data in a line; a field has one blank in front of it that is none of it.
fn data_of(line: &str) -> Option<&str> {
    let field = line.strip_prefix("data:").map(|data| data.strip_prefix(' ').unwrap_or(data));
    field.or_else(|| line.starts_with('{').then_some(line))
}

/// Whether a text holds nothing of a stream but what stands around data that is JSON.
pub fn is_empty(text: &str) -> bool {
    let is_data = |line: &str| data_of(line).is_some_and(|data| data.trim_start().starts_with(['{', '[']));
    text.lines().all(|line| line.trim().is_empty() || is_field(line) && (is_done(line) || !is_data(line)))
}

/// The data of each event of a stream. Where the blank lines between events are lost, each line that is an object is an event.
pub fn data(stream: &str) -> Vec<String> {
    let mut events = vec![String::new()];
    // The event is one line so far: longer ones would be read again with every line that comes.
    let mut is_line = true;
    for line in stream.lines() {
        let Some(event) = events.last_mut() else { break };
        if let Some(data) = data_of(line) {
            if event.is_empty() {
                event.push_str(data);
                is_line = true;
            } else if data.starts_with('{') && is_line && Object::parse(event).is_ok() || is_done(line) {
                events.push(data.to_owned());
                is_line = true;
            } else {
                event.push('\n');
                event.push_str(data);
                is_line = false;
            }
        } else if line.is_empty() && !event.is_empty() {
            events.push(String::new());
        }
    }
    events
}

/// What OpenAI's APIs end a stream with.
fn is_done(line: &str) -> bool {
    line.strip_prefix("data:").is_some_and(|data| data.trim() == "[DONE]")
}

/// Whether a response of a model's API begins. Streams of other things are lines. What is still being written may say it before
/// its first line is whole.
pub(super) fn begin(head: &[u8]) -> bool {
    if head.starts_with(b"{") {
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let may = STARTS.iter().any(|kind| memchr::memmem::find(line, kind.as_bytes()).is_some());
        return may && matches!(kind(&String::from_utf8_lossy(line)), Kind::Starts | Kind::Chunk);
    }
    for line in head.split(|byte| *byte == b'\n').map(String::from_utf8_lossy) {
        let line = line.trim_end();
        let has_field = ["event:", "data:"].iter().any(|field| line.starts_with(field));
        if has_field && STARTS.iter().any(|kind| line.contains(kind)) {
            return true;
        }
        if line.starts_with("data:") {
            return !matches!(kind(line), Kind::Other | Kind::MayEnd);
        }
        if !line.is_empty() && !is_field(line) {
            return false;
        }
    }
    false
}

/// What a line of data is of a response.
fn kind(line: &str) -> Kind {
    if is_done(line) {
        return Kind::MayEnd;
    }
    let data = data_of(line).and_then(|data| Object::parse(data).ok());
    let Some(data) = data.filter(|data| !data.has("jsonrpc")) else { return Kind::Other };
    match data.str("type").unwrap_or_default().as_ref() {
        "ping" => Kind::None,
        "message_start" | "response.created" => Kind::Starts,
        "message_stop" | "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            Kind::Ends
        }
        "error" => Kind::MayEnd,
        kind if kind == "message_delta" || ["content_block_", "response."].iter().any(|s| kind.starts_with(s)) => {
            Kind::Within
        }
        _ if data.has("choices") => Kind::Chunk,
        _ => Kind::Other,
    }
}

/// The whole records at the start of `bytes`, and where they end.
pub(super) fn streams(bytes: &[u8]) -> Option<(usize, Records)> {
    let mut cutter = Cutter::default();
    let mut at = 0;
    for end in memchr::memchr_iter(b'\n', bytes).map(|newline| newline + 1) {
        cutter.line(bytes, at, end);
        at = end;
    }
    let end = cutter.record.unwrap_or(at);
    (end > 0).then_some((end, Some(cutter.found)))
}

/// Cuts lines into records.
#[derive(Default)]
struct Cutter {
    found: Vec<(usize, usize)>,
    /// Where the record begins that is not ended.
    record: Option<usize>,
    /// It holds events of a response.
    is_response: bool,
    /// That is a chat completion.
    is_chat: bool,
    /// Completions and choices that are not finished: several may come at once, and not all logs have the end of the stream.
    open: HashSet<(String, i64)>,
    /// Where its last event ended.
    last: usize,
    /// Where the event begins that is not ended, and what it is as far as its lines say.
    event: Option<(usize, Kind)>,
}

impl Cutter {
    fn line(&mut self, bytes: &[u8], start: usize, end: usize) {
        // Of other white space nothing is known: a line of it is a record, so that it is accounted for.
        let text = std::str::from_utf8(&bytes[start..end]).unwrap_or("?").trim_end_matches([' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return self.end_event(start);
        }
        if !is_field(text) {
            self.end_event(start);
            self.event = Some((start, self.kind(text)));
            self.record.get_or_insert(start);
            return self.end_event(end);
        }
        let is_data = text.starts_with("data:");
        let begins = text.starts_with("event:") || is_data && kind(text) != Kind::Other;
        if begins && self.event.is_some_and(|(_, kind)| kind != Kind::None) {
            // The blank line between two events is lost.
            self.end_event(start);
        }
        self.record.get_or_insert(start);
        let (first, _) = *self.event.get_or_insert((start, Kind::None));
        if is_data {
            let kind = self.kind(text);
            self.event = Some((first, kind));
            if matches!(kind, Kind::Ends | Kind::MayEnd | Kind::LastChunk) {
                self.end_event(end);
            }
        }
    }

    /// Ends the event, and the record if it is one's last.
    fn end_event(&mut self, end: usize) {
        let Some((start, kind)) = self.event.take() else { return };
        let is_another = match kind {
            Kind::Starts | Kind::Other => true,
            Kind::Chunk | Kind::LastChunk => !self.is_chat,
            Kind::Within | Kind::Ends => self.is_chat,
            Kind::None | Kind::MayEnd => false,
        };
        if is_another && self.is_response {
            self.end_record(self.last);
            self.record = Some(start);
        }
        self.last = end;
        self.is_chat = kind == Kind::Chunk || self.is_chat && self.is_response;
        match kind {
            Kind::None => {}
            Kind::MayEnd if !self.is_response => {}
            Kind::Starts | Kind::Within | Kind::Chunk => self.is_response = true,
            Kind::Ends | Kind::MayEnd | Kind::LastChunk | Kind::Other => self.end_record(end),
        }
    }

    /// What a line of data is, with what was before it.
    fn kind(&mut self, line: &str) -> Kind {
        let kind = kind(line);
        let chunk = data_of(line).filter(|_| kind == Kind::Chunk).map(Object::trusted);
        let Some(chunk) = chunk else { return kind };
        let id = chunk.str("id").unwrap_or_default();
        let mut is_last = false;
        for choice in chunk.array("choices").into_iter().map(Object::trusted) {
            let key = (id.to_string(), choice.int("index").unwrap_or_default());
            if choice.text("finish_reason").is_some() {
                self.open.remove(&key);
                is_last = true;
            } else {
                self.open.insert(key);
            }
        }
        if is_last && self.open.is_empty() { Kind::LastChunk } else { kind }
    }

    fn end_record(&mut self, end: usize) {
        self.found.extend(self.record.take().map(|start| (start, end)));
        self.is_response = false;
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    const BLOCK: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0}\n\n";
    const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    const PING: &str = ": here\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
    const CHUNK: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[]}\n\n";
    const DONE: &str = "data: [DONE]\n\n";
    const MESSAGE: &str = "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

    fn records(text: &str) -> Vec<String> {
        let (_, records) = streams(text.as_bytes()).expect("a record");
        records.expect("places").iter().map(|&(start, end)| text[start..end].to_owned()).collect()
    }

    #[test]
    fn the_events_of_a_response_are_one_record() {
        let whole = [START, PING, BLOCK, STOP].concat();
        let chat = [CHUNK, CHUNK, DONE].concat();
        for (text, expected) in [
            (format!("{whole}\n{whole}"), vec![STOP, STOP]),
            // The first one was broken off.
            ([START, BLOCK, &whole].concat(), vec![BLOCK, STOP]),
            ([START, BLOCK, CHUNK, CHUNK, BLOCK, STOP].concat(), vec![BLOCK, CHUNK, STOP]),
            ([&chat, PING, MESSAGE, &chat, "# text\n"].concat(), vec![DONE, MESSAGE, DONE, "# text\n"]),
        ] {
            let found = records(&text);
            assert_eq!(found.len(), expected.len(), "{found:#?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.trim_end().ends_with(expected.trim_end()), "{found}");
            }
            // Without the blank lines, and wherever the stream is cut: what is whole is the same.
            let dense = text.replace("\n\n", "\n");
            assert_eq!(records(&dense).len(), found.len(), "{dense}");
            for end in 1..text.len() {
                let Some((used, places)) = streams(&text.as_bytes()[..end]) else { continue };
                let mut all = places.unwrap_or_default();
                let rest = streams(&text.as_bytes()[used..]).and_then(|(_, places)| places).unwrap_or_default();
                all.extend(rest.iter().map(|(from, to)| (from + used, to + used)));
                assert_eq!(Some(all), streams(text.as_bytes()).and_then(|(_, places)| places), "cut at {end}");
            }
        }
    }

    proptest! {
        /// What has been read by now must not decide, and nothing but white space stands between records.
        #[test]
        fn records_are_the_same_wherever_reading_stops(
            lines in proptest::collection::vec(proptest::sample::select(vec![
                "event: x\n", "data: {\"type\":\"message_start\"}\n", "data: {\"type\":\"content_block_stop\"}\n",
                "data: {\"type\":\"message_stop\"}\n", "{\"choices\":[{\"finish_reason\":\"x\"}]}\n", "data: {\"choices\":[{}]}\n",
                "data: [DONE]\n", ": c\n", "\n", "\r\n", "\u{b}\n", "text\n", "data: {\"a\":1}\n", "data: cut", "{\"type\":\"response.created\"}\n",
            ]), 0..20),
            stop in 0usize..400,
        ) {
            let text = lines.concat();
            let places = |from: usize, to: usize| {
                let (used, places) = streams(&text.as_bytes()[from..to]).unwrap_or_default();
                (from + used, places.unwrap_or_default().iter().map(|(a, b)| (from + a, from + b)).collect::<Vec<_>>())
            };
            let (end, whole) = places(0, text.len());
            let (used, mut read) = places(0, stop.min(text.len()));
            read.extend(places(used, text.len()).1);
            prop_assert_eq!(&read, &whole);
            let mut last = 0;
            for (start, to) in whole.into_iter().chain([(end, end)]) {
                prop_assert!(last <= start && start <= to && text[last..start].trim_matches([' ', '\t', '\r', '\n']).is_empty(), "{}..{}", last, start);
                last = to;
            }
        }
    }

    #[test]
    fn only_streams_of_models_begin_one() {
        for (head, expected) in [
            (START, true),
            (PING, true),
            (CHUNK, true),
            (MESSAGE, false),
            ("event: endpoint\ndata: /messages\n", false),
            ("data: {\"type\":\"message_start\"", true),
            ("event: message_start", true),
            ("data: {\"typ", false),
            ("HTTP/1.1 200 OK\ndata: {\"type\":\"message_start\"}\n", false),
            ("", false),
        ] {
            assert_eq!(begin(head.as_bytes()), expected, "{head}");
        }
        assert_eq!(data(&[CHUNK, DONE].concat().replace("\n\n", "\n")).len(), 2);
        // An object over several lines that another follows: data that is not whole is not read again and again.
        assert_eq!(data("data: {\"a\":\ndata: {}\ndata: }\n\ndata: {}\n\n"), ["{\"a\":\n{}\n}", "{}", ""]);
        let chunk = |id: u8, end: &str| {
            format!("{{\"id\":\"c{id}\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":{end}}}]}}\n")
        };
        let chunks =
            [(1, "null"), (2, "null"), (1, "\"stop\""), (2, "\"\""), (2, "\"stop\""), (3, "\"stop\""), (4, "null")];
        let found = records(&chunks.map(|(id, end)| chunk(id, end)).concat());
        assert_eq!(found.iter().map(|record| record.lines().count()).collect::<Vec<_>>(), [5, 1]);
        let bare = [START, BLOCK, STOP, "{\"other\":1}\n"].concat().replace("data: ", "");
        let bare: String = bare.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
        assert!(begin(bare.as_bytes()) && is_stream(&bare) && records(&bare).len() == 2);
        assert!(!begin(b"{\"text\":\"message_start\"}\n") && !is_stream("{\"a\":1}"));
        assert!(is_empty(DONE) && is_empty(PING.split("\n\n").next().unwrap_or_default()) && !is_empty(START));
    }
}
