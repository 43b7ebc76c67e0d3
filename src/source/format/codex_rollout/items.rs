//! Calls as the model's own items tell of them: `function_call` and `function_call_output`.
//!
//! Until 2026 Codex kept no event about an MCP call, and these two items are all that there is of it. Later versions keep the event
//! as well, and calls that code makes have the event only: where both are there they are two views of one call, of which the
//! event knows more. An item does not say whether the tool called its own result an error.

use super::{AGENT, blank, failed, returned, thread_of};
use crate::call::{Call, Flag, Nanos, Outcome, PayloadState, Text, TimeSource};
use crate::source::format::shared::host;
use crate::source::json::Object;
use crate::source::{Decoded, Event, Hints, Lane, PairKey};

/// How texts start that Codex writes in place of an answer.
const FAILURES: [&str; 7] =
    ["err: ", "tool call ", "user rejected ", "user cancelled ", "unsupported call", "Mcp error: ", "MCP error"];

/// Codex's own tools that are requests to MCP servers.
const RESOURCES: &[(&str, &str)] = &[
    ("list_mcp_resources", "resources/list"),
    ("list_mcp_resource_templates", "resources/templates/list"),
    ("read_mcp_resource", "resources/read"),
];

/// What pairs the items of a call. Ids are made up at random; the thread keeps a fork, which repeats its parent's items, apart
/// from it.
fn key(id: Text, hints: &Hints) -> PairKey {
    PairKey::Global { session: thread_of(hints).unwrap_or_default(), id }
}

/// The model asks for a tool.
pub(super) fn asked(item: &Object<'_>, time: Option<Nanos>, hints: &Hints, out: &mut Decoded) {
    let Some(id) = item.text("call_id") else { return };
    let mut call = blank();
    if !named(&mut call, item) {
        // One of Codex's own tools: what it gives back is none of ours.
        out.events.push(Event::Foreign { key: key(id, hints) });
        return;
    }
    call.tool_call_id = Some(id.clone());
    call.agent = Some(Text::const_new(AGENT));
    call.outcome = Outcome::NoResponse;
    host::started_or_file(&mut call, time, hints);
    if time.is_some() {
        call.time_source = TimeSource::RequestLine;
    }
    host::arguments(&mut call, item.get("arguments"));
    out.events.push(Event::Request { key: Some(key(id, hints)), lane: Lane::default(), call });
}

/// A command of the older kind, which is answered as a function is.
pub(super) fn foreign(item: &Object<'_>, hints: &Hints, out: &mut Decoded) {
    out.events.extend(item.text("call_id").map(|id| Event::Foreign { key: key(id, hints) }));
}

/// The call's method and names; false for Codex's own tools, none of which has two underscores in its name. `mcp__SERVER__TOOL`,
/// `SERVER__TOOL` until autumn 2025, or what stands before the tool in a `namespace`, a connector's part of the tool's name included.
fn named(call: &mut Call, item: &Object<'_>) -> bool {
    let Some(name) = item.text("name") else { return false };
    if let Some((_, method)) = RESOURCES.iter().find(|(own, _)| name == *own) {
        let arguments = item.str("arguments").unwrap_or_default();
        let arguments = Object::parse(&arguments).unwrap_or_default();
        call.method = Text::const_new(method);
        call.server = arguments.text("server");
        call.more().mcp_resource_uri = arguments.text("uri");
        call.tool_raw = Some(name);
        return true;
    }
    call.method = Text::const_new("tools/call");
    let namespace = item.str("namespace").unwrap_or_default();
    match (name.strip_prefix("mcp__"), namespace.strip_prefix("mcp__")) {
        (Some(rest), _) => host::split_tool(call, rest, "__"),
        (None, Some(place)) => {
            let (server, before) = place.split_once("__").unwrap_or((place, ""));
            call.server = Some(server.into()).filter(|server: &Text| !server.is_empty());
            call.tool = Some(format!("{before}{name}").into());
        }
        (None, None) if namespace.is_empty() => host::split_tool(call, &name, "__"),
        (None, None) => {}
    }
    call.tool_raw = Some(name);
    call.server.is_some()
}

/// What was given back to the model.
pub(super) fn answered(item: &Object<'_>, time: Option<Nanos>, hints: &Hints, out: &mut Decoded) {
    let Some(id) = item.text("call_id") else { return };
    let mut call = blank();
    call.time_end = time;
    // Times of the model's items: the wait for an approval is in them.
    call.more().duration_includes_approval = true;
    let output = item.get("output").filter(|raw| *raw != "null");
    match output.map(|raw| (raw, host::embedded(raw))) {
        Some((_, Some(text))) => told(&mut call, &text),
        // Blocks, where there is a picture among them.
        Some((blocks, None)) => whole(&mut call, blocks.to_owned()),
        None => call.result_state = PayloadState::NotLogged,
    }
    out.events.push(Event::Response { key: key(id, hints), lane: Lane::default(), call, maybe_foreign: true });
}

/// A text: the server's answer as JSON in one of several shapes, what was left of it, or what Codex says itself.
fn told(call: &mut Call, text: &str) {
    // Newer versions put the time in front.
    let timed = text.strip_prefix("Wall time: ").and_then(|rest| rest.split_once("\nOutput:\n"));
    let answer = timed.map_or(text, |(_, answer)| answer).trim();
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(answer).is_ok();
    if answer.starts_with('{') && is_json {
        let object = Object::trusted(answer);
        if object.get("content").is_some_and(|content| content.starts_with('[')) {
            returned(call, answer);
        } else if ["contents", "resources", "resourceTemplates"].iter().any(|key| object.has(key)) {
            whole(call, answer.to_owned());
        } else {
            whole(call, format!(r#"{{"structuredContent":{answer}}}"#));
        }
    } else if answer.starts_with('[') && is_json {
        whole(call, format!(r#"{{"content":{answer}}}"#));
    } else if answer.starts_with(['{', '[']) || answer.contains(" truncated…") {
        whole(call, answer.to_owned());
        call.result_state = PayloadState::Truncated;
        call.flag(Flag::TruncatedJson);
    } else if answer.starts_with("aborted") {
        call.outcome = Outcome::Cancelled;
    } else if FAILURES.iter().any(|start| answer.starts_with(start)) || super::blocked(answer) {
        failed(call, answer.strip_prefix("err: ").map_or(answer, |message| message.trim_matches('"')));
    } else {
        call.result = Some(serde_json::Value::from(answer).to_string());
        call.result_state = PayloadState::Present;
        call.outcome = Outcome::Unknown;
    }
}

fn whole(call: &mut Call, result: String) {
    call.outcome = Outcome::Success;
    call.result = Some(result);
    call.result_state = PayloadState::Present;
}

/// What the event about a call's end knows better than the items do.
pub(super) fn corrected(ended: &Call, hints: &Hints) -> Option<Event> {
    let mut call = blank();
    call.server.clone_from(&ended.server);
    call.tool.clone_from(&ended.tool);
    (call.time, call.time_end) = (ended.time, ended.time_end);
    // The event's own row is the better one of the two.
    call.time_source = TimeSource::ResponseLine;
    (call.duration_ns, call.duration_source) = (ended.duration_ns, ended.duration_source);
    (call.outcome, call.approval) = (ended.outcome, ended.approval);
    // A call that code made has no items.
    let id = ended.tool_call_id.clone().filter(|id| !id.starts_with("exec-"))?;
    Some(Event::Amend { key: key(id, hints), call })
}
