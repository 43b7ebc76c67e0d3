//! Claude Code session transcripts: `~/.claude/projects/<cwd>/<session>.jsonl` and the subagents' files beside them, and what it
//! prints with `--output-format stream-json` (`stream`).
//!
//! A call is a `tool_use` block of an assistant line and the `tool_result` block of a later user line; both name the
//! same `toolu_…` id, which is unique in the session. Versions up to 2.1.81 also wrote `progress` lines with the true
//! names and the measured duration. The files hold everything else the agent does too: whatever is no MCP traffic,
//! no prompt and no inventory is noise here.

use super::{LogFormat, shared::host};
use crate::call::{Approval, Call, DurationSource, Flag, Nanos, Observer, Outcome, PayloadState, Prompt};
use crate::call::{SessionSource, Text, TimeSource, ToolDefinition};
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Hints, PairKey, Record, Reject, time};

mod stream;
mod text;

use text::{excerpt, is_replaced, opening, refusal, written_by_user};

const ID: &str = "claude_code_transcript";
const CLIENT: &str = "claude-code";

/// Types of lines that are no messages and name their session only.
const ASIDE: &[&str] = &[
    "summary",
    "progress",
    "attachment",
    "file-history-snapshot",
    "file-history-delta",
    "queue-operation",
    "pr-link",
    "custom-title",
    "ai-title",
    "agent-name",
    "last-prompt",
    "permission-mode",
    "mode",
    "bridge-session",
];

/// Claude Code's session transcripts.
pub struct ClaudeCodeTranscript;

impl LogFormat for ClaudeCodeTranscript {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Claude Code session transcripts (JSONL), subagents included, and stream-json output"
    }
    fn evidence(&self) -> &'static str {
        "about 750 real transcripts, versions 2.0.64 to 2.1.218; toolDenialKind, mcpMeta and queued prompts from other parsers' tests; stream-json from its documentation"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        const OWN: [&str; 3] = ["parentUuid", "leafUuid", "isSnapshotUpdate"];
        record.json.is_some_and(|line| {
            let Some(kind) = line.str("type") else {
                // The companion of a subagent's file, which holds no call.
                return line.has("agentType") && (line.has("toolUseId") || line.has("spawnDepth"));
            };
            (OWN.iter().any(|key| line.has(key)) || is_short(line, &kind) || stream::is_line(line, &kind))
                && !["jsonrpc", "projectHash", "payload", "traceId", "audit_id"].iter().any(|key| line.has(key))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        match line.str("type").unwrap_or_default().as_ref() {
            "assistant" => requests(line, &Scope::of(line).or_file(record.hints), out),
            "user" => user(line, &Scope::of(line), out),
            "progress" => progress(line, out),
            "attachment" => attachment(line, out),
            "permission-mode" => permission_mode(line, &Scope::of(line), out),
            "system" => stream::system(line, &Scope::of(line), out),
            "result" => stream::result(line, &Scope::of(line), out),
            _ => {}
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some()
    }
}

/// Lines that stand in no thread of messages. Any analytics has events with a type and a session.
fn is_short(line: &Object<'_>, kind: &str) -> bool {
    let of_session = || match kind {
        "user" | "assistant" => line.has("message"),
        _ => line.has("uuid") || ASIDE.contains(&kind),
    };
    (line.has("messageId") && line.has("snapshot")) || (line.has("sessionId") && of_session())
}

/// What a line says about all that stands in it.
struct Scope<'s> {
    /// The line itself, which knows the client, the folder and the branch.
    line: &'s Object<'s>,
    session: Text,
    agent_id: Option<Text>,
    subagent: Option<bool>,
    time: Option<Nanos>,
    /// What stands for the time where a printed line has none.
    file_time: Option<Nanos>,
    uuid: Option<Text>,
}

impl<'s> Scope<'s> {
    fn of(line: &'s Object<'s>) -> Self {
        let agent_id = identifier(line, "agentId");
        let is_nested = agent_id.is_some() || line.text("parent_tool_use_id").is_some();
        Self {
            line,
            session: identifier(line, "sessionId").or_else(|| identifier(line, "session_id")).unwrap_or_default(),
            subagent: if is_nested { Some(true) } else { line.bool("isSidechain") },
            agent_id,
            time: timestamp(line),
            file_time: None,
            uuid: identifier(line, "uuid"),
        }
    }

    fn or_file(self, hints: &Hints) -> Self {
        let is_printed = !self.line.has("sessionId") && self.line.has("session_id");
        Self { file_time: hints.mtime.filter(|_| is_printed), ..self }
    }

    /// The scope of a subagent's message that a progress line of the parent carries.
    fn nested(line: &'s Object<'s>, data: &Object<'_>, message: &Object<'_>) -> Self {
        let outer = Self::of(line);
        Self {
            line,
            agent_id: identifier(data, "agentId").or(outer.agent_id),
            subagent: Some(true),
            time: timestamp(message).or(outer.time),
            file_time: None,
            uuid: identifier(message, "uuid"),
            session: outer.session,
        }
    }

    fn lane(&self) -> Text {
        self.session.clone()
    }

    fn key(&self, id: Text) -> PairKey {
        PairKey::Global { session: self.session.clone(), id }
    }

    fn agent(&self) -> Text {
        self.agent_id.clone().unwrap_or(Text::const_new(CLIENT))
    }
}

/// An empty call of this format.
fn blank() -> Box<Call> {
    Box::new(Call { source_format: Text::const_new(ID), observer: Observer::HostTranscript, ..Call::default() })
}

/// The `tool_use` blocks of an assistant message that are MCP traffic.
fn requests(line: &Object<'_>, scope: &Scope<'_>, out: &mut Decoded) {
    let message = line.object("message");
    for (ordinal, block) in blocks(&message, "tool_use").enumerate() {
        let Some(name) = block.text("name") else { continue };
        let mut call = blank();
        if let Some((server, tool)) = host::mcp_name(&name) {
            call.method = Text::const_new("tools/call");
            call.server = Some(server);
            call.tool = Some(tool);
            call.flag(Flag::NameSplit);
        } else if !resource_request(&name, &block, &mut call) {
            // A built-in tool: its result is none of ours, and without this it would wait for a request for ever.
            if let Some(id) = identifier(&block, "id") {
                out.events.push(Event::Foreign { key: scope.key(id) });
            }
            continue;
        }
        call.tool_raw = Some(name);
        call.outcome = Outcome::NoResponse;
        // With a time of some kind the call's own id tells it, as it does in the transcript.
        call.time = scope.time.or(scope.file_time);
        call.time_source = scope.time.map_or(TimeSource::FileMtime, |_| TimeSource::RequestLine);
        call.session_id = Some(scope.session.clone()).filter(|s| !s.is_empty());
        call.session_source = SessionSource::Conversation;
        call.tool_call_id = identifier(&block, "id");
        call.agent = Some(scope.agent());
        call.client_name = Some(Text::const_new(CLIENT));
        call.client_version = scope.line.text("version");
        call.arguments = block.get("input").map(str::to_string);
        call.arguments_state = if call.arguments.is_some() { PayloadState::Present } else { PayloadState::NotLogged };
        let version = call.client_version.clone();
        let more = call.more();
        more.gen_ai_agent_id.clone_from(&scope.agent_id);
        more.agent_is_subagent = scope.subagent;
        more.gen_ai_request_model = message.text("model");
        more.cwd = scope.line.text("cwd");
        more.git_branch = scope.line.text("gitBranch");
        more.approval_policy = scope.line.text("permissionMode");
        more.source_format_version = version;
        let id = call.tool_call_id.clone().or_else(|| stand_in(scope.uuid.as_ref(), ordinal));
        // Without any id the call is still a call, only its response cannot be found.
        let id = id.unwrap_or_else(|| content_id(block.get("input").unwrap_or_default(), scope.time));
        out.events.push(Event::Request { key: Some(scope.key(id)), lane: scope.lane(), call });
    }
}

/// The two built-in tools that are requests to MCP servers.
fn resource_request(name: &str, block: &Object<'_>, call: &mut Call) -> bool {
    let method = match name {
        "ListMcpResourcesTool" => "resources/list",
        "ReadMcpResourceTool" => "resources/read",
        _ => return false,
    };
    let input = block.object("input");
    call.method = Text::const_new(method);
    call.server = input.text("server");
    call.more().mcp_resource_uri = input.text("uri");
    true
}

/// A user line: results of tools, what the user wrote, or both.
fn user(line: &Object<'_>, scope: &Scope<'_>, out: &mut Decoded) {
    permission_mode(line, scope, out);
    let message = line.object("message");
    for (ordinal, block) in blocks(&message, "tool_result").enumerate() {
        let source = || identifier(line, "sourceToolAssistantUUID");
        let id = identifier(&block, "tool_use_id").or_else(|| stand_in(source().as_ref(), ordinal));
        let Some(id) = id else { continue };
        let mut call = response(line, &block);
        call.time_end = scope.time;
        // Line times: the wait for a permission is in them.
        call.more().duration_includes_approval = true;
        out.events.push(Event::Response { key: scope.key(id), lane: scope.lane(), call, maybe_foreign: true });
    }
    // What a subagent is asked comes from its parent agent, and meta lines come from the client.
    if scope.subagent != Some(true) && !is_meta(line) {
        prompt(message.get("content").unwrap_or_default(), scope, out);
    }
}

/// The response-side fields of one `tool_result` block.
fn response(line: &Object<'_>, block: &Object<'_>) -> Box<Call> {
    let mut call = blank();
    let content = block.get("content").unwrap_or_default();
    let opening = opening(content);
    let denial_kind = line.text("toolDenialKind");
    let structured = line.object("mcpMeta").get("structuredContent").filter(|raw| *raw != "null");
    call.result = match structured {
        // The client says that it wrote this itself.
        _ if denial_kind.is_some() => None,
        Some(structured) if !content.is_empty() => {
            Some(format!(r#"{{"content":{content},"structuredContent":{structured}}}"#))
        }
        Some(structured) => Some(format!(r#"{{"structuredContent":{structured}}}"#)),
        None => Some(content.to_string()).filter(|c| !c.is_empty()),
    };
    call.result_state = match call.result {
        None if denial_kind.is_some() => PayloadState::None,
        None => PayloadState::NotLogged,
        Some(_) if is_replaced(&opening) => PayloadState::Summarised,
        Some(_) => PayloadState::Present,
    };
    call.is_error = block.bool("is_error");
    // Successful results mostly leave the key out.
    let is_error = call.is_error == Some(true);
    if is_error || denial_kind.is_some() {
        call.error_message = Some(excerpt(content));
    }
    if let Some((outcome, approval)) = refusal(denial_kind.as_deref(), is_error, content, &opening) {
        call.outcome = outcome;
        call.approval = approval;
        call.more().approval_source = denial_kind;
    } else if is_error {
        // The client's own errors are plain strings; a list of blocks is the server's, whatever it says.
        match host::embedded(content) {
            Some(text) => host::failed(&mut call, &text),
            None => {
                call.outcome = Outcome::ToolError;
                call.error_type = Some(Text::const_new("tool_error"));
            }
        }
    } else {
        call.outcome = Outcome::Success;
    }
    call
}

/// A change of the permission mode holds for the calls that follow in the session.
fn permission_mode(line: &Object<'_>, scope: &Scope<'_>, out: &mut Decoded) {
    if let Some(mode) = line.text("permissionMode") {
        let mut call = blank();
        call.approval = of_mode(&mode);
        call.more().approval_policy = Some(mode);
        out.events.push(Event::Context { lane: scope.lane(), whole_source: false, call });
    }
}

/// What a permission mode says of every call that is made in it: nobody is asked, or it depends on rules that the log does not have.
fn of_mode(mode: &str) -> Approval {
    if mode == "bypassPermissions" { Approval::AutoAllowed } else { Approval::Unknown }
}

fn progress(line: &Object<'_>, out: &mut Decoded) {
    let data = line.object("data");
    match data.str("type").unwrap_or_default().as_ref() {
        "mcp_progress" => mcp_progress(line, &data, out),
        "agent_progress" => {
            // The whole message of a subagent; its own file may hold it too, which the tool call's id resolves.
            let message = data.object("message");
            let scope = Scope::nested(line, &data, &message);
            match message.str("type").unwrap_or_default().as_ref() {
                "assistant" => requests(&message, &scope, out),
                "user" => user(&message, &scope, out),
                _ => {}
            }
        }
        _ => {}
    }
}

/// The true names, the true start and the measured duration of a call. Its absence says that the call never ran.
fn mcp_progress(line: &Object<'_>, data: &Object<'_>, out: &mut Decoded) {
    let Some(id) = identifier(line, "toolUseID") else { return };
    let scope = Scope::of(line);
    let mut call = blank();
    call.server = data.text("serverName");
    call.tool = data.text("toolName");
    match data.str("status").unwrap_or_default().as_ref() {
        "started" => {
            call.time = scope.time;
            call.time_source = scope.time.map_or(TimeSource::default(), |_| TimeSource::RequestLine);
        }
        "completed" | "failed" => {
            call.time_end = scope.time;
            call.duration_ns = data.int("elapsedTimeMs").filter(|ms| *ms >= 0).and_then(|ms| ms.checked_mul(1_000_000));
            call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
        }
        _ => {}
    }
    out.events.push(Event::Amend { key: scope.key(id), call });
}

fn attachment(line: &Object<'_>, out: &mut Decoded) {
    let attachment = line.object("attachment");
    let scope = Scope::of(line);
    match attachment.str("type").unwrap_or_default().as_ref() {
        "deferred_tools_delta" => {
            let lines = attachment.array("addedLines");
            let tools = attachment.array("addedNames").into_iter().enumerate().filter_map(|(i, name)| {
                let raw = lines.get(i).copied().unwrap_or(name);
                let (server, tool) = host::mcp_name(&json::string(name)?)?;
                let description = json::string(raw).filter(|_| raw != name).map(|text| text.into_owned());
                Some(ToolDefinition {
                    server: Some(server),
                    tool,
                    description,
                    definition: raw.to_string(),
                    name_only: true,
                    ..ToolDefinition::default()
                })
            });
            inventory(tools, &scope, out);
        }
        "prompt_snapshot" => {
            let tools = attachment.array("tools").into_iter().filter_map(|raw| {
                let definition = Object::trusted(raw);
                let (server, tool) = host::mcp_name(&definition.text("name")?)?;
                let description = definition.str("description").map(|text| text.into_owned());
                let schema = definition.get("input_schema").or(definition.get("inputSchema"));
                Some(ToolDefinition {
                    server: Some(server),
                    tool,
                    name_only: description.is_none() && schema.is_none(),
                    description,
                    input_schema: schema.map(str::to_string),
                    definition: raw.to_string(),
                    ..ToolDefinition::default()
                })
            });
            inventory(tools, &scope, out);
        }
        "mcp_instructions_delta" => {
            let names = attachment.array("addedNames");
            for (i, block) in attachment.array("addedBlocks").into_iter().enumerate() {
                let Some(text) = json::string(block) else { continue };
                out.events.push(Event::Instructions {
                    session: Some(scope.lane()),
                    lane: scope.lane(),
                    server: names.get(i).and_then(|name| json::string(name)).map(|name| tool_prefix(&name)),
                    time: scope.time,
                    text: text.into_owned(),
                });
            }
        }
        // What the user typed while the agent was busy; no user line follows.
        "queued_command" => {
            let by_hand = attachment.str("commandMode").is_none_or(|mode| mode == "prompt");
            if by_hand && scope.subagent != Some(true) && !is_meta(line) && !is_meta(&attachment) {
                prompt(attachment.get("prompt").unwrap_or_default(), &scope, out);
            }
        }
        _ => {}
    }
}

/// One event per server, servers in the order of their first tool.
fn inventory(tools: impl Iterator<Item = ToolDefinition>, scope: &Scope<'_>, out: &mut Decoded) {
    let mut servers: Vec<Vec<ToolDefinition>> = Vec::new();
    for tool in tools {
        match servers.iter_mut().find(|server| server[0].server == tool.server) {
            Some(server) => server.push(tool),
            None => servers.push(vec![tool]),
        }
    }
    for tools in servers {
        out.events.push(Event::Tools { lane: scope.lane(), session: Some(scope.lane()), time: scope.time, tools });
    }
}

/// What the user wrote, if anything.
fn prompt(content: &str, scope: &Scope<'_>, out: &mut Decoded) {
    let text = written_by_user(content);
    if text.is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: Some(scope.session.clone()).filter(|s| !s.is_empty()),
        time: scope.time,
        text,
        native_id: scope.uuid.clone(),
        agent: Some(scope.agent()),
        client_name: Some(Text::const_new(CLIENT)),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}

/// Whether the line, or what it attaches, was written by the client or by another agent and not by the user.
fn is_meta(line: &Object<'_>) -> bool {
    let origin = line.object("origin").str("kind");
    ["isMeta", "isCompactSummary", "isVisibleInTranscriptOnly", "isSynthetic"]
        .iter()
        .any(|key| line.bool(key) == Some(true))
        || origin.is_some_and(|kind| kind != "human")
        || line.str("promptSource").is_some_and(|source| source == "system")
}

/// The blocks of one type in a message's content.
fn blocks<'a>(message: &Object<'a>, kind: &'static str) -> impl Iterator<Item = Object<'a>> {
    let blocks = message.array("content").into_iter().map(Object::trusted);
    blocks.filter(move |block| block.str("type").is_some_and(|k| k == kind))
}

/// A server's configured name as it stands in the names of its tools, so that both name the same server.
fn tool_prefix(name: &str) -> Text {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// An id, unless something took it out: a redaction token would tie together what does not belong together.
fn identifier(object: &Object<'_>, key: &str) -> Option<Text> {
    object
        .text(key)
        .filter(|id| id.bytes().any(|b| b.is_ascii_alphanumeric()) && !id.to_ascii_lowercase().contains("redacted"))
}

/// What pairs a call whose own id was redacted: the assistant line, which its result names as well.
fn stand_in(line: Option<&Text>, ordinal: usize) -> Option<Text> {
    line.map(|uuid| Text::from(format!("line:{uuid}:{ordinal}")))
}

/// An id for a call that has none at all: the same call in another export gets the same one.
fn content_id(input: &str, time: Option<Nanos>) -> Text {
    let mut hash = blake3::Hasher::new();
    hash.update(input.as_bytes()).update(&time.unwrap_or_default().to_le_bytes());
    Text::from(format!("content:{}", &hash.finalize().to_hex()[..16]))
}

fn timestamp(line: &Object<'_>) -> Option<Nanos> {
    line.str("timestamp").and_then(|text| time::rfc3339(&text))
}

#[cfg(test)]
mod tests;
