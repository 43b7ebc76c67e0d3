//! What Claude Code prints instead of keeping it: `claude -p --output-format stream-json`, and what programs around it (the agent
//! SDK, CI actions) store of that. The messages are those of a transcript; session, subagent and client stand elsewhere, and
//! most lines have no time.

use super::{CLIENT, ID, Scope, blank, host, identifier, inventory, of_mode};
use crate::call::{Approval, Call, Outcome, SessionSource, Text, ToolDefinition};
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Lane};

/// Whether the line is one of a stream. Other programs print streams much alike, so each kind must have what they lack.
pub(super) fn is_line(line: &Object<'_>, kind: &str) -> bool {
    line.has("session_id")
        && match kind {
            "user" | "assistant" => {
                line.has("parent_tool_use_id") && line.get("message").is_some_and(|message| message.starts_with('{'))
            }
            "system" => line.has("subtype") && (line.has("uuid") || line.has("mcp_servers")),
            "result" => line.has("subtype") && line.has("num_turns"),
            "stream_event" => line.has("event") && line.has("parent_tool_use_id"),
            _ => false,
        }
}

/// The head of a stream: who works where, and what tools there are.
pub(super) fn system(line: &Object<'_>, scope: &Scope<'_>, out: &mut Decoded) {
    if line.str("subtype").is_none_or(|subtype| subtype != "init") || !line.has("session_id") {
        return;
    }
    let mut call = Call {
        source_format: Text::const_new(ID),
        session_id: Some(scope.session.clone()).filter(|session| !session.is_empty()),
        session_source: SessionSource::Conversation,
        client_name: Some(Text::const_new(CLIENT)),
        client_version: line.text("claude_code_version"),
        ..Call::default()
    };
    call.approval = line.str("permissionMode").map_or_else(Approval::default, |mode| of_mode(&mode));
    let version = call.client_version.clone();
    let more = call.more();
    more.cwd = line.text("cwd");
    more.approval_policy = line.text("permissionMode");
    more.source_format_version = version;
    out.events.push(Event::Context { lane: Lane::default(), whole_source: true, call: Box::new(call) });
    let tools = line.array("tools").into_iter().filter_map(|raw| {
        let (server, tool) = host::mcp_name(&json::string(raw)?)?;
        Some(ToolDefinition {
            server: Some(server),
            tool,
            definition: raw.to_owned(),
            name_only: true,
            ..ToolDefinition::default()
        })
    });
    inventory(tools, scope, out);
}

/// The end of a stream lists the calls that were refused, whatever text the model was given for them.
pub(super) fn result(line: &Object<'_>, scope: &Scope<'_>, out: &mut Decoded) {
    for denial in line.array("permission_denials").into_iter().map(Object::trusted) {
        let is_mcp = denial.str("tool_name").is_some_and(|name| host::mcp_name(&name).is_some());
        let Some(id) = identifier(&denial, "tool_use_id").filter(|_| is_mcp) else { continue };
        let mut call = blank();
        call.outcome = Outcome::Denied;
        call.approval = Approval::PolicyDenied;
        out.events.push(Event::Amend { key: scope.key(id), call });
    }
}
