//! One file per log format, and the list of them.
//!
//! A format says which records are its own ([`LogFormat::claims`]) and what they mean ([`LogFormat::decode`]).
//! Both see one record at a time and keep nothing between records, so records decode in parallel.

pub mod claude_code_transcript;
pub mod claude_desktop_log;
pub mod codex_rollout;
mod common;
pub mod contextforge;
pub mod jsonrpc;
pub mod litellm;
pub mod mcp_audit_signed;
pub mod mcp_proxy_mixed;
pub mod mcp_trace;
pub mod mcpproxy;
pub mod ocsf_api_activity;
pub mod otlp_traces;
pub mod toolhive_audit;

use super::{Decoded, Record, Reject};

/// One log format.
pub trait LogFormat: Sync {
    /// The id in `source_format`, `formats list` and `sample-logs/`; also the file's name.
    fn id(&self) -> &'static str;
    /// One line for `formats list`.
    fn title(&self) -> &'static str;
    /// Where our knowledge of the fields comes from, for `formats list`.
    fn evidence(&self) -> &'static str;
    /// Whether the record is this format's. Looks at keys and fixed texts only; called for every record.
    fn claims(&self, record: &Record<'_>) -> bool;
    /// Appends what the record says. Nothing appended: known noise, counted as ignored.
    ///
    /// # Errors
    /// The record is this format's but cannot be read; it goes to `rejects` and nothing is appended.
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject>;
    /// Whether a line that no format claims is expected noise in a file of this format (interleaved stderr).
    fn tolerates(&self, _record: &Record<'_>) -> bool {
        false
    }
}

/// Every format, most specific first: the first that claims a record decodes it.
pub static FORMATS: &[&dyn LogFormat] = &[
    &otlp_traces::OtlpTraces,
    &codex_rollout::CodexRollout,
    &toolhive_audit::ToolhiveAudit,
    &claude_code_transcript::ClaudeCodeTranscript,
    &claude_desktop_log::ClaudeDesktopLog,
    &contextforge::ContextForge,
    &litellm::LiteLlm,
    &mcpproxy::McpProxy,
    &ocsf_api_activity::OcsfApiActivity,
    &mcp_trace::McpTrace,
    &mcp_proxy_mixed::McpProxyMixed,
    &mcp_audit_signed::McpAuditSigned,
    &jsonrpc::JsonRpc,
];

/// The format that a record belongs to.
pub fn route(record: &Record<'_>) -> Option<&'static dyn LogFormat> {
    FORMATS.iter().copied().find(|format| format.claims(record))
}
