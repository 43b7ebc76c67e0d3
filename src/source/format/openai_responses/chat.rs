//! Chat completions: the application calls the tools itself, and only a name like `mcp__SERVER__TOOL` says that one is of an MCP
//! server. A completion asks for calls; what they gave stands in the next request.

use super::{Api, ID, is, key};
use crate::call::{Flag, Outcome, PayloadState, Text};
use crate::source::format::anthropic_api::texts;
use crate::source::format::otlp_traces::call::payload;
use crate::source::format::shared::host;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, time};

/// How the names of tools begin that the application has from MCP servers.
const NAME: &str = "mcp__";

/// An answer, or a piece of one.
pub(super) fn is_completion(object: &Object<'_>) -> bool {
    object.has("choices") && object.str("object").is_some_and(|kind| kind.starts_with("chat.completion"))
}

/// A question with the history of calls in it. Anthropic's has blocks, and no such members.
pub(super) fn is_request(object: &Object<'_>) -> bool {
    let messages = object.get("messages").filter(|raw| object.has("model") && raw.contains(NAME));
    messages.is_some_and(|raw| {
        let own = |message: &str| ["tool_calls", "tool_call_id"].iter().any(|key| Object::trusted(message).has(key));
        json::elements(raw).into_iter().any(own)
    })
}

impl Api {
    /// What the first pieces and whole completions ask for.
    pub(super) fn completion(&mut self, object: &Object<'_>, out: &mut Decoded) {
        let created = time::member(object, "created").map(|(nanos, _)| nanos);
        self.exchange.time = created.or(self.exchange.time);
        for choice in object.array("choices").into_iter().map(Object::trusted) {
            ["message", "delta"].iter().for_each(|key| self.asked(&choice.object(key), false, out));
        }
    }

    /// What was asked for before, and what it gave.
    pub(super) fn history(&self, object: &Object<'_>, out: &mut Decoded) {
        let messages = object.array("messages");
        for message in messages.iter().map(|raw| Object::trusted(raw)) {
            self.asked(&message, true, out);
            if is(&message, "role", "tool") {
                self.gave(&message, out);
            }
        }
        let last = messages.last().map(|raw| Object::trusted(raw)).filter(|last| is(last, "role", "user"));
        self.said(&last.map(|last| texts(last.get("content").unwrap_or_default())).unwrap_or_default(), out);
    }

    fn asked(&self, message: &Object<'_>, replayed: bool, out: &mut Decoded) {
        for item in message.array("tool_calls").into_iter().map(Object::trusted) {
            let function = item.object("function");
            let Some(name) = function.text("name") else { continue };
            let Some((server, tool)) = host::mcp_name(&name) else { continue };
            let mut call = self.exchange.blank(ID, replayed);
            call.method = Text::const_new("tools/call");
            call.outcome = Outcome::NoResponse;
            call.tool_call_id = item.text("id");
            (call.server, call.tool, call.tool_raw) = (Some(server), Some(tool), Some(name));
            call.flag(Flag::NameSplit);
            call.arguments_state = PayloadState::NotLogged;
            if let Some(raw) = function.get("arguments").filter(|raw| *raw != "null") {
                (call.arguments, call.arguments_state, call.arguments_bytes) = payload(raw, PayloadState::Truncated);
                if call.arguments_state == PayloadState::Truncated {
                    call.flag(Flag::TruncatedJson);
                }
            }
            out.events.push(match call.tool_call_id.clone() {
                Some(id) => Event::Request { key: Some(key(id)), lane: self.lane(), call },
                None => Event::Call { lane: self.lane(), call },
            });
        }
    }

    fn gave(&self, message: &Object<'_>, out: &mut Decoded) {
        let Some(id) = message.text("tool_call_id") else { return };
        let mut call = self.exchange.blank(ID, true);
        let content = message.get("content").filter(|raw| *raw != "null");
        call.result = content.map(str::to_owned);
        call.result_state = if content.is_some() { PayloadState::Present } else { PayloadState::NotLogged };
        call.outcome = Outcome::Success;
        // The message does not say of what tool.
        out.events.push(Event::Response { key: key(id), lane: self.lane(), call, maybe_foreign: true });
    }
}
