//! Bodies of responses of models' APIs that came as event streams: put together, they are what the same request without a stream
//! would have been answered with. Only what speaks of calls is kept.
//!
//! No format of its own.

use crate::source::frame::events;
use crate::source::json::{self, Object};
use serde_json::Value;
use std::collections::BTreeMap;

/// The body as JSON: a message of Anthropic's, a response or a chat completion of OpenAI's. `None` if the text is no stream of
/// theirs.
pub(in crate::source::format) fn body(text: &str) -> Option<String> {
    if !events::is_stream(text.trim_start()) {
        return None;
    }
    let (mut message, mut response, mut chat) = (Message::default(), Response::default(), Chat::default());
    let data = events::data(text);
    for event in data.iter().filter_map(|data| Object::parse(data).ok()) {
        let kind = event.str("type").unwrap_or_default();
        match kind.as_ref() {
            kind if kind.starts_with("message_") || kind.starts_with("content_block_") => message.take(kind, &event),
            kind if kind.starts_with("response.") => response.take(kind, &event),
            _ if event.has("choices") => chat.take(&event),
            _ => {}
        }
    }
    message.body().or_else(|| response.body()).or_else(|| chat.body())
}

/// Something whose arguments come in pieces.
#[derive(Default)]
struct Item<'a> {
    object: Object<'a>,
    pieces: String,
    is_whole: bool,
}

/// A message of Anthropic's Messages API.
#[derive(Default)]
struct Message<'a> {
    head: Object<'a>,
    /// The first event, to which who logs it may add when it came, and whose it is.
    first: Object<'a>,
    blocks: BTreeMap<i64, Item<'a>>,
}

impl<'a> Message<'a> {
    fn take(&mut self, kind: &str, event: &Object<'a>) {
        let block = self.blocks.entry(event.int("index").unwrap_or_default());
        match kind {
            "message_start" => (self.head, self.first) = (event.object("message"), event.clone()),
            "content_block_start" => block.or_default().object = event.object("content_block"),
            "content_block_delta" => {
                let piece = event.object("delta").str("partial_json").unwrap_or_default();
                block.or_default().pieces.push_str(&piece);
            }
            "content_block_stop" => block.or_default().is_whole = true,
            _ => {}
        }
    }

    fn body(&self) -> Option<String> {
        if self.head.is_empty() && self.blocks.is_empty() {
            return None;
        }
        let blocks = self.blocks.values().map(|block| match input(block) {
            Some(input) => with(&block.object, "input", &input),
            None => write(&block.object),
        });
        let content = format!("[{}]", blocks.collect::<Vec<_>>().join(","));
        let model = self.head.get("model").unwrap_or("null");
        let own = |key: &str| matches!(key, "type" | "message" | "role" | "model" | "content");
        let added = self.first.members().iter().filter(|(key, _)| !own(key));
        let added: String = added.map(|(key, raw)| format!(",{}:{raw}", quoted(key))).collect();
        Some(format!(r#"{{"type":"message","role":"assistant","model":{model},"content":{content}{added}}}"#))
    }
}

/// The input of a block, if it has one. Where the block begins it is empty.
fn input(block: &Item<'_>) -> Option<String> {
    let begun = block.object.get("input")?;
    let pieces = block.pieces.trim();
    Some(match pieces {
        "" if block.is_whole || begun != "{}" => begun.to_owned(),
        "" => "null".to_owned(),
        _ if is_json(pieces) => pieces.to_owned(),
        // Broken off.
        _ => quoted(pieces),
    })
}

/// A response of OpenAI's Responses API.
#[derive(Default)]
struct Response<'a> {
    /// As it was when the last event spoke of it.
    last: Object<'a>,
    items: BTreeMap<i64, Item<'a>>,
}

impl<'a> Response<'a> {
    fn take(&mut self, kind: &str, event: &Object<'a>) {
        if event.get("response").is_some_and(|raw| raw.starts_with('{')) {
            self.last = event.object("response");
        }
        let Some(at) = event.int("output_index") else { return };
        let item = self.items.entry(at).or_default();
        match kind {
            "response.output_item.added" => item.object = event.object("item"),
            "response.output_item.done" => (item.object, item.is_whole) = (event.object("item"), true),
            kind if kind.ends_with("_arguments.delta") => {
                item.pieces.push_str(&event.str("delta").unwrap_or_default());
            }
            kind if kind.ends_with("_arguments.done") => {
                item.pieces = event.str("arguments").unwrap_or_default().into_owned();
            }
            _ => {}
        }
    }

    fn body(&self) -> Option<String> {
        if self.last.is_empty() && self.items.is_empty() {
            return None;
        }
        // Some services leave the items out of the last event.
        let items = self.last.get("output").filter(|raw| !json::elements(raw).is_empty()).map(str::to_owned);
        let output = items.unwrap_or_else(|| {
            let item = |item: &Item<'_>| match item.pieces.as_str() {
                "" => write(&item.object),
                _ if item.is_whole => write(&item.object),
                pieces => with(&item.object, "arguments", &quoted(pieces)),
            };
            let items = self.items.values().filter(|item| !item.object.is_empty()).map(item);
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        });
        let body = with(&self.last, "object", "\"response\"");
        Some(with(&Object::trusted(&body), "output", &output))
    }
}

/// Completions of OpenAI's Chat Completions API and of those who copy it.
#[derive(Default)]
struct Chat<'a> {
    first: Object<'a>,
    /// By the completion, its choice and the place of the call.
    calls: BTreeMap<(String, i64, i64), ToolCall<'a>>,
}

#[derive(Default)]
struct ToolCall<'a> {
    id: Option<&'a str>,
    name: String,
    arguments: String,
}

impl<'a> Chat<'a> {
    fn take(&mut self, event: &Object<'a>) {
        if self.first.int("created").is_none_or(|created| created == 0) {
            self.first = event.clone();
        }
        for choice in event.array("choices").into_iter().map(Object::trusted) {
            for call in choice.object("delta").array("tool_calls").into_iter().map(Object::trusted) {
                let place = (choice.int("index").unwrap_or_default(), call.int("index").unwrap_or_default());
                let key = (event.str("id").unwrap_or_default().into_owned(), place.0, place.1);
                let known = self.calls.entry(key).or_default();
                known.id = known.id.or(call.get("id").filter(|raw| !matches!(*raw, "null" | "\"\"")));
                let function = call.object("function");
                known.name.push_str(&function.str("name").unwrap_or_default());
                known.arguments.push_str(&function.str("arguments").unwrap_or_default());
            }
        }
    }

    fn body(&self) -> Option<String> {
        if self.first.is_empty() {
            return None;
        }
        let calls = self.calls.values().map(|call| {
            let (id, name, arguments) = (call.id.unwrap_or("null"), quoted(&call.name), quoted(&call.arguments));
            format!(r#"{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#)
        });
        let calls = calls.collect::<Vec<_>>().join(",");
        let member = |key| self.first.get(key).unwrap_or("null");
        let (model, created) = (member("model"), member("created"));
        Some(format!(
            r#"{{"object":"chat.completion","model":{model},"created":{created},"choices":[{{"message":{{"role":"assistant","tool_calls":[{calls}]}}}}]}}"#
        ))
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn write(object: &Object<'_>) -> String {
    let members = object.members().iter().map(|(key, raw)| format!("{}:{raw}", quoted(key)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The object with another value of one member.
fn with(object: &Object<'_>, name: &str, value: &str) -> String {
    let others = object.members().iter().filter(|(key, _)| key != name);
    let others = others.map(|(key, raw)| format!("{}:{raw}", quoted(key)));
    let members: Vec<_> = others.chain([format!("{}:{value}", quoted(name))]).collect();
    format!("{{{}}}", members.join(","))
}
