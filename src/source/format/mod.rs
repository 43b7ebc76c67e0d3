//! One file per log format, and the list of them.
//!
//! A format says which records are its own ([`LogFormat::claims`]) and what they mean ([`LogFormat::decode`]).
//! Both see one record at a time and keep nothing between records, so records decode in parallel.

pub mod agentgateway;
pub mod anthropic_api;
pub mod claude_code_hooks;
pub mod claude_code_transcript;
pub mod claude_desktop_log;
pub mod cline_task;
pub mod cloudflare_mcp_portal;
pub mod codex_rollout;
pub mod contextforge;
pub mod copilot_cli;
pub mod cursor_cli;
pub mod cursor_hooks;
pub mod cursor_state;
pub mod cursor_transcript;
pub mod docker_mcp_gateway;
pub mod envoy_ai_gateway;
pub mod gemini_cli;
pub mod goose_session;
pub mod har;
pub mod jaeger;
pub mod jsonrpc;
pub mod kong_ai;
pub mod langfuse;
pub mod langsmith;
pub mod litellm;
pub mod mcp_audit_signed;
pub mod mcp_proxy_mixed;
pub mod mcp_trace;
pub mod mcpproxy;
pub mod obot;
pub mod ocsf_api_activity;
pub mod openai_responses;
pub mod opencode_session;
pub mod otlp_logs;
pub mod otlp_traces;
pub(super) mod shared;
pub mod toolhive_audit;
pub mod vscode_chat_session;
pub mod vscode_mcp_log;

use super::{Carried, Decoded, Record, Reject};

/// One log format.
pub trait LogFormat: Sync {
    /// The id in `source_format`, `formats list` and `sample-logs/`; also the file's name.
    fn id(&self) -> &str;
    /// One line for `formats list`.
    fn title(&self) -> &str;
    /// Where our knowledge of the fields comes from, for `formats list`.
    fn evidence(&self) -> &str;
    /// Whether the record is this format's. Looks at keys and fixed texts only; called for every record.
    fn claims(&self, record: &Record<'_>) -> bool;
    /// Appends what the record says. Nothing appended: known noise, counted as ignored.
    ///
    /// # Errors
    /// The record is this format's but cannot be read; it goes to `rejects` and nothing is appended.
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject>;
    /// Lines of other logs that a record of this format carries, as a collector does that reads files. Nobody need know them.
    fn carries(&self, _record: &Record<'_>) -> Vec<Carried> {
        Vec::new()
    }
    /// Flags what was just decoded with whether its signature fits, where the format signs its records.
    fn judge(&self, _record: &Record<'_>, _key: &[u8], _out: &mut Decoded) {}
    /// Whether a line that no format claims is expected noise in a file of this format (interleaved stderr).
    fn tolerates(&self, _record: &Record<'_>) -> bool {
        false
    }
    /// Whether a record that another format claims repeats what a file of this format says already (a server that writes its
    /// traffic to stderr).
    fn echoes(&self, _record: &Record<'_>) -> bool {
        false
    }
    /// Whether a record that no format claims is this format's in a file of this format: newer versions add members, and what
    /// tells a record from those of other programs need not be asked of it here.
    fn claims_in_own(&self, _record: &Record<'_>) -> bool {
        false
    }
    /// Whether the record is this format's if nobody else knows it: a wrapper that no source describes.
    fn claims_otherwise(&self, _record: &Record<'_>) -> bool {
        false
    }
}

/// Every format, most specific first: the first that claims a record decodes it.
pub static FORMATS: &[&dyn LogFormat] = &[
    &otlp_traces::OtlpTraces,
    &otlp_logs::OtlpLogs,
    &jaeger::Jaeger,
    &langfuse::Langfuse,
    &langsmith::LangSmith,
    &codex_rollout::CodexRollout,
    &toolhive_audit::ToolhiveAudit,
    &agentgateway::Agentgateway,
    &envoy_ai_gateway::EnvoyAiGateway,
    &cloudflare_mcp_portal::CloudflareMcpPortal,
    &obot::Obot,
    &kong_ai::KongAi,
    &docker_mcp_gateway::DockerMcpGateway,
    &claude_code_transcript::ClaudeCodeTranscript,
    &claude_code_hooks::ClaudeCodeHooks,
    &anthropic_api::AnthropicApi,
    &openai_responses::OpenAiResponses,
    &claude_desktop_log::ClaudeDesktopLog,
    &copilot_cli::CopilotCli,
    &cursor_cli::CursorCli,
    &cursor_hooks::CursorHooks,
    &cursor_state::CursorState,
    &cursor_transcript::CursorTranscript,
    &gemini_cli::GeminiCli,
    &cline_task::ClineTask,
    &goose_session::GooseSession,
    &opencode_session::OpencodeSession,
    &vscode_chat_session::VscodeChatSession,
    &vscode_mcp_log::VscodeMcpLog,
    &contextforge::ContextForge,
    &litellm::LiteLlm,
    &mcpproxy::McpProxy,
    &ocsf_api_activity::OcsfApiActivity,
    &har::Har,
    &mcp_trace::McpTrace,
    &mcp_proxy_mixed::McpProxyMixed,
    &mcp_audit_signed::McpAuditSigned,
    &jsonrpc::JsonRpc,
];
