//! What one MCP call is.
//!
//! [`Call`] is one row of the lake's `calls` table, however it was logged. A log format fills what it
//! knows and leaves the rest empty: a missing value stays missing, it is never invented. The same type also
//! holds half a call (a request whose response is still to come, or the reverse) until pairing completes it.

mod batch;
mod merge;
mod schema;

pub use batch::{CallBatchBuilder, calls_from_batch, capability_names, hex, partition_day};
pub use merge::{merge, payload_seen, specificity};
pub use schema::{SCHEMA_VERSION, calls_schema, filled_columns, list_of_texts, utc_timestamp};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Short text; inline up to 24 bytes, which most names, ids and methods are.
pub type Text = CompactString;

/// Nanoseconds since the Unix epoch, UTC.
pub type Nanos = i64;

/// Declares an enum whose variants have one spelling in SQL and in serialised state.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }
        impl $name {
            /// Every spelling, in declaration order.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$variant)),+];
            /// The spelling in SQL.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
            /// Reads the spelling that [`Self::as_str`] writes.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().find(|(t, _)| *t == text).map(|(_, v)| *v)
            }
        }
    };
}

text_enum! {
    /// What kind of record the row is. Rules on agents' behaviour look at `call`.
    EventKind {
        #[default] Call = "call",
        Notification = "notification",
        /// A response whose request was never seen.
        Orphan = "orphan",
        Decision = "decision",
        Connection = "connection",
        Inventory = "inventory",
    }
}

text_enum! {
    /// How the call ended. A denial is not an error; a tool's own error is not a protocol error.
    Outcome {
        #[default] Unknown = "unknown",
        NoResponse = "no_response",
        Success = "success",
        ToolError = "tool_error",
        ProtocolError = "protocol_error",
        TransportError = "transport_error",
        Timeout = "timeout",
        Cancelled = "cancelled",
        Denied = "denied",
    }
}

text_enum! {
    /// Who let the call happen, or did not.
    Approval {
        #[default] Unknown = "unknown",
        NotRequired = "not_required",
        AutoAllowed = "auto_allowed",
        UserAllowed = "user_allowed",
        PolicyDenied = "policy_denied",
        UserDenied = "user_denied",
    }
}

text_enum! {
    /// What of a payload the log (and our limits) left us. Ordered from least to most informative.
    PayloadState {
        /// The method has no such payload.
        #[default] None = "none",
        NotLogged = "not_logged",
        Unparsable = "unparsable",
        Redacted = "redacted",
        Summarised = "summarised",
        Truncated = "truncated",
        Present = "present",
    }
}

text_enum! {
    /// Where `time` comes from. Ordered from worst to best.
    TimeSource {
        #[default] FileMtime = "file_mtime",
        ResponseLine = "response_line",
        EndMinusDuration = "end_minus_duration",
        Record = "record",
        RequestLine = "request_line",
        Span = "span",
    }
}

text_enum! {
    /// Where `session_id` comes from. Ordered from worst to best.
    SessionSource {
        #[default] File = "file",
        Connection = "connection",
        Trace = "trace",
        McpSession = "mcp_session",
        Conversation = "conversation",
    }
}

text_enum! {
    /// Where `duration_ns` comes from. `derived` durations of transcripts contain the wait for a human.
    DurationSource { #[default] Derived = "derived", Measured = "measured" }
}

text_enum! {
    /// Which side of the connection sent the request. Servers send requests too, until 2025-11-25.
    Side { #[default] Client = "client", Server = "server" }
}

text_enum! {
    /// JSON type of the JSON-RPC id: `1` and `"1"` are different ids.
    IdType { #[default] Int = "int", String = "string", Float = "float" }
}

text_enum! {
    /// Who saw the call.
    Observer {
        #[default] Tap = "tap",
        HostTranscript = "host_transcript",
        Gateway = "gateway",
        Client = "client",
        Server = "server",
        /// Seen from several of these points; the row holds what they know together.
        Several = "several",
    }
}

text_enum! {
    /// What reading the record cost or revealed; several can hold.
    Flag {
        #[default] LossyUtf8 = "lossy_utf8",
        LoneSurrogate = "lone_surrogate",
        DuplicateKey = "duplicate_key",
        TruncatedJson = "truncated_json",
        NonJsonNumber = "non_json_number",
        IdReused = "id_reused",
        LateResponse = "late_response",
        OrphanResponse = "orphan_response",
        ResponseBeforeRequest = "response_before_request",
        PayloadCapped = "payload_capped",
        BinaryHashed = "binary_hashed",
        SecretRedacted = "secret_redacted",
        ObservablesCapped = "observables_capped",
        DeepNesting = "deep_nesting",
        NameSplit = "name_split",
        EvictedOpen = "evicted_open",
        ZoneAssumed = "zone_assumed",
        SpanReused = "span_reused",
        SignatureVerified = "signature_verified",
        SignatureWrong = "signature_wrong",
        SignatureMissing = "signature_missing",
        JsonRepaired = "json_repaired",
    }
}

text_enum! {
    /// What a tool can do, as far as its name, description, annotations and the table of known servers tell.
    Capability {
        #[default] ReadsPrivate = "reads_private",
        ReadsUntrusted = "reads_untrusted",
        Egress = "egress",
        Writes = "writes",
        Destructive = "destructive",
        Executes = "executes",
        Pays = "pays",
        Credentials = "credentials",
    }
}

/// A set of [`Capability`] or [`Flag`] values, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits(pub u32);

impl Bits {
    /// Adds one value.
    pub fn add(&mut self, bit: u32) {
        self.0 |= 1 << bit;
    }
    /// Whether the value is in the set.
    pub fn has(self, bit: u32) -> bool {
        self.0 & (1 << bit) != 0
    }
    /// Both sets together.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// An instruction marker: something in a text that speaks to a language model. A feature, not a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// `override_phrase`, `chat_template`, `hidden_unicode`, `bidi`, `ansi`, `html_comment`, …
    pub kind: Text,
    /// `argument`, `result`, `description` or `instructions`.
    pub origin: Text,
    /// Byte offset inside the decoded string that holds it.
    pub position: i64,
}

/// One observable of one payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observable {
    /// Whether it stands in the arguments (else: in the result).
    pub in_arguments: bool,
    /// `url`, `domain`, `email`, `ip`, `file_path`, `iban`, `phone`, `wallet`, `hash`, `secret`.
    pub kind: Text,
    /// The value; for a secret `[secret:TYPE:FINGERPRINT]`.
    pub value: Text,
    /// JSON pointer (RFC 6901) of the string it stands in.
    pub path: Text,
}

/// Where a record stands in its (decompressed) source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// 1-based line.
    pub line: i64,
    /// 0-based byte offset.
    pub offset: i64,
    /// Bytes, without the line end.
    pub length: i64,
}

/// One call, or half of one. Empty means "the log does not say". Field names are the column names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// 32 hex digits; empty until `ingest` has derived it.
    pub call_id: Text,
    pub event_kind: EventKind,
    /// Start of the request, best known.
    pub time: Option<Nanos>,
    pub time_end: Option<Nanos>,
    pub time_source: TimeSource,
    pub duration_ns: Option<i64>,
    pub duration_source: Option<DurationSource>,
    /// `tools/call`, `initialize`, …; empty where it cannot be derived (stored as `unknown`).
    pub method: Text,
    pub mcp_protocol_version: Option<Text>,
    pub mcp_session_id: Option<Text>,
    pub session_id: Option<Text>,
    pub session_source: SessionSource,
    pub connection_id: Option<Text>,
    pub jsonrpc_request_id: Option<Text>,
    pub jsonrpc_id_type: Option<IdType>,
    /// Which side sent the request.
    pub initiator: Side,
    /// The agent's or model's own id of the call (`toolu_…`, `call_…`).
    pub tool_call_id: Option<Text>,
    pub agent: Option<Text>,
    pub client_name: Option<Text>,
    pub client_version: Option<Text>,
    pub user_id: Option<Text>,
    /// The alias under which the user configured the server.
    pub server: Option<Text>,
    pub server_info_name: Option<Text>,
    pub server_info_version: Option<Text>,
    /// `stdio`, `http`, `sse`, `inproc`.
    pub transport: Option<Text>,
    pub server_address: Option<Text>,
    /// The tool's name without any prefix.
    pub tool: Option<Text>,
    /// The tool's name as written.
    pub tool_raw: Option<Text>,
    /// JSON text. A format hands over the text as logged; `enrich` replaces it by what is stored.
    pub arguments: Option<String>,
    pub arguments_state: PayloadState,
    /// Bytes of the payload as logged, before any limit of ours.
    pub arguments_bytes: Option<i64>,
    /// SHA-256 of the RFC 8785 form.
    pub arguments_hash: Option<[u8; 32]>,
    /// JSON text of the `result` member (or of the `error` member if there is no result).
    pub result: Option<String>,
    pub result_state: PayloadState,
    pub result_bytes: Option<i64>,
    pub result_hash: Option<[u8; 32]>,
    /// `text`, `image`, `resource_link`, …
    pub result_content_types: Vec<Text>,
    pub outcome: Outcome,
    pub is_error: Option<bool>,
    /// OpenTelemetry `error.type`: `tool_error`, or the error code as text.
    pub error_type: Option<Text>,
    /// JSON-RPC error code.
    pub rpc_response_status_code: Option<i32>,
    pub error_message: Option<String>,
    pub approval: Approval,
    /// [`Capability`] bits of the tool.
    pub capabilities: Bits,
    pub markers: Vec<Marker>,
    pub trace_id: Option<Text>,
    pub span_id: Option<Text>,
    pub parent_span_id: Option<Text>,
    pub observer: Observer,
    pub source_format: Text,
    pub source_file: Option<Text>,
    pub source: Position,
    /// Where the response stands, when it is a record of its own.
    pub response: Option<Position>,
    /// [`Flag`] bits.
    pub flags: Bits,
    /// What few formats know.
    pub more: Option<Box<More>>,
}

/// The columns that few formats fill, kept out of the way of the hot path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct More {
    pub time_zone_assumed: bool,
    pub duration_includes_approval: bool,
    pub parent_call_id: Option<Text>,
    /// 0, or 1 and up for the retries of a multi-round-trip request.
    pub round_trip_index: i32,
    pub task_id: Option<Text>,
    pub gen_ai_agent_id: Option<Text>,
    pub agent_is_subagent: Option<bool>,
    pub gen_ai_request_model: Option<Text>,
    pub user_name: Option<Text>,
    pub user_email: Option<Text>,
    pub principal_type: Option<Text>,
    pub auth_method: Option<Text>,
    pub auth_subject: Option<Text>,
    /// JSON text.
    pub delegation_chain: Option<String>,
    pub client_address: Option<Text>,
    pub user_agent: Option<Text>,
    pub host_name: Option<Text>,
    pub cwd: Option<Text>,
    pub git_branch: Option<Text>,
    pub server_url: Option<Text>,
    pub server_command: Option<String>,
    pub gen_ai_prompt_name: Option<Text>,
    pub mcp_resource_uri: Option<Text>,
    /// `complete`, `input_required` or `task`.
    pub result_type: Option<Text>,
    pub http_response_status_code: Option<i32>,
    /// `config`, `user_temporary`, a rule's id, …
    pub approval_source: Option<Text>,
    /// Permission mode or policy in force.
    pub approval_policy: Option<Text>,
    pub approval_wait_ns: Option<i64>,
    /// Whether the tool's definition had been seen on this connection before the call.
    pub tool_annotations_known: bool,
    pub ann_read_only: Option<bool>,
    pub ann_destructive: Option<bool>,
    pub ann_idempotent: Option<bool>,
    pub ann_open_world: Option<bool>,
    /// Hash of the tool's definition in force.
    pub tool_def_hash: Option<[u8; 32]>,
    /// The request's `_meta` without the keys that have a column, JSON text.
    pub meta_json: Option<String>,
    /// Source fields that have no column, JSON text.
    pub extra_json: Option<String>,
    pub source_format_version: Option<Text>,
    /// `tool_call_id` is unique wherever it stands, and not every export of a record names its session; not a column.
    pub id_is_unique: bool,
    /// Which of the source's requests of the user the call belongs to, until pairing has looked it up; not a column.
    pub turn: Option<u32>,
    /// Digest of the `requestState` that the request carried (multi-round-trip requests); not a column.
    pub request_state: Option<Text>,
    /// Digest of the `requestState` that the result handed out; not a column.
    pub next_request_state: Option<Text>,
}

impl Call {
    /// The rare columns, created on first use.
    pub fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Sets one flag.
    pub fn flag(&mut self, flag: Flag) {
        self.flags.add(flag as u32);
    }

    /// Whether the call's response is still to come.
    pub fn is_open(&self) -> bool {
        self.event_kind == EventKind::Call && self.outcome == Outcome::NoResponse
    }
}

/// One request of the user to the agent, where the log carries it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    pub session_id: Option<Text>,
    pub time: Option<Nanos>,
    pub text: String,
    /// The log's own id of the message, if it has one.
    pub native_id: Option<Text>,
    pub agent: Option<Text>,
    pub client_name: Option<Text>,
    pub source_format: Text,
    pub source: Position,
}

/// One tool as one server offered it once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolDefinition {
    pub server: Option<Text>,
    pub tool: Text,
    pub description: Option<String>,
    /// JSON text of `inputSchema`.
    pub input_schema: Option<String>,
    /// JSON text of `annotations`.
    pub annotations: Option<String>,
    /// The whole definition as logged, JSON text.
    pub definition: String,
    /// The definition is a name or a line only (inventory attachments), so its hash says nothing about drift.
    pub name_only: bool,
    /// SHA-256 of the RFC 8785 form; filled by enrichment, like the two below.
    pub hash: Option<[u8; 32]>,
    pub capabilities: Bits,
    pub markers: Vec<Marker>,
}
