//! Which columns of `calls` a mapping can fill, and how a value of a record becomes one.

use super::moment::{DurationUnit, Moment, TimeFormat, Zone};
use super::place::{Found, Place, Value};
use crate::call::{
    Approval, Call, EventKind, Flag, IdType, Nanos, Observer, Outcome, PayloadState, SessionSource, Side, Text,
};
use crate::source::Reject;
use regex::Regex;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One column as a mapping fills it: the first place that has a value gives it.
#[derive(Clone, Debug)]
pub struct Column {
    pub target: Target,
    pub places: Vec<Place>,
    /// What to take of the text: the first group, or all that matches.
    pub pick: Option<Regex>,
    /// Value of the log → value of the column; `*` is any other.
    pub values: Vec<(String, String)>,
    pub reading: Reading,
}

/// How a text becomes a time or a duration.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Plain,
    Time { format: TimeFormat, zone: Option<Zone> },
    Duration(DurationUnit),
}

/// A column that a mapping can fill.
#[derive(Clone, Copy)]
pub struct Target(&'static Known);

struct Known {
    name: &'static str,
    sets: Sets,
}

/// What a value does to a call.
enum Sets {
    Time,
    TimeEnd,
    Duration,
    ApprovalWait,
    Arguments,
    Result,
    Tool,
    Session,
    RequestId,
    /// One of some fixed texts.
    Choice {
        set: fn(&mut Call, &str) -> bool,
        names: fn() -> Vec<&'static str>,
    },
    Text(fn(&mut Call, Text)),
    Long(fn(&mut Call, String)),
    /// JSON text; anything else becomes a JSON string.
    Json(fn(&mut Call, String)),
    Int(fn(&mut Call, i64)),
    Bool(fn(&mut Call, bool)),
}

/// A call on its way, and what must be remembered until all columns are filled.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) call: Box<Call>,
    pub(super) time: Option<Moment>,
    pub(super) time_end: Option<Moment>,
    pub(super) duration: Option<i64>,
    /// The log says how the call ended, even if in a word that the mapping does not know.
    pub(super) outcome_told: bool,
}

macro_rules! choice {
    ($name:literal, $type:ident, |$call:ident, $value:ident| $set:expr) => {
        Known {
            name: $name,
            sets: Sets::Choice {
                set: |$call, text| $type::parse(text).map(|$value| $set).is_some(),
                names: || $type::ALL.iter().map(|(name, _)| *name).collect(),
            },
        }
    };
}
macro_rules! fields {
    ($kind:ident: $($field:ident),*) => {
        [$(Known { name: stringify!($field), sets: Sets::$kind(|c, v| c.$field = Some(v)) }),*]
    };
}
macro_rules! rare_fields {
    ($kind:ident: $($field:ident),*) => {
        [$(Known { name: stringify!($field), sets: Sets::$kind(|c, v| c.more().$field = Some(v)) }),*]
    };
}

static CORE: [Known; 20] = [
    Known { name: "time", sets: Sets::Time },
    Known { name: "time_end", sets: Sets::TimeEnd },
    Known { name: "duration", sets: Sets::Duration },
    Known { name: "duration_ns", sets: Sets::Duration },
    Known { name: "method", sets: Sets::Text(|c, v| c.method = v) },
    Known { name: "server", sets: Sets::Text(|c, v| c.server = Some(v)) },
    Known { name: "tool", sets: Sets::Tool },
    Known { name: "arguments", sets: Sets::Arguments },
    Known { name: "result", sets: Sets::Result },
    choice!("outcome", Outcome, |c, v| c.outcome = v),
    choice!("approval", Approval, |c, v| c.approval = v),
    choice!("event_kind", EventKind, |c, v| c.event_kind = v),
    choice!("initiator", Side, |c, v| c.initiator = v),
    choice!("trace_observer", Observer, |c, v| c.observer = v),
    Known { name: "session_id", sets: Sets::Session },
    Known { name: "jsonrpc_request_id", sets: Sets::RequestId },
    Known { name: "approval_wait", sets: Sets::ApprovalWait },
    Known {
        name: "http_response_status_code",
        sets: Sets::Int(|c, v| c.more().http_response_status_code = i32::try_from(v).ok()),
    },
    Known {
        name: "rpc_response_status_code",
        sets: Sets::Int(|c, v| c.rpc_response_status_code = i32::try_from(v).ok()),
    },
    Known { name: "duration_includes_approval", sets: Sets::Bool(|c, v| c.more().duration_includes_approval = v) },
];
static TEXTS: [Known; 15] = fields!(Text: agent, client_name, client_version, user_id, transport, server_address,
    server_info_name, server_info_version, mcp_session_id, mcp_protocol_version, tool_call_id, error_type, trace_id,
    span_id, parent_span_id);
static RARE_TEXTS: [Known; 21] = rare_fields!(Text: user_name, user_email, principal_type, auth_method, auth_subject,
    client_address, user_agent, host_name, cwd, git_branch, server_url, gen_ai_agent_id, gen_ai_request_model,
    gen_ai_prompt_name, mcp_resource_uri, approval_source, approval_policy, task_id, source_format_version,
    parent_call_id, result_type);
static LONG: [Known; 1] = fields!(Long: error_message);
static RARE_LONG: [Known; 1] = rare_fields!(Long: server_command);
static JSONS: [Known; 2] = rare_fields!(Json: delegation_chain, meta_json);
static INTS: [Known; 2] = fields!(Int: arguments_bytes, result_bytes);
static BOOLS: [Known; 1] = fields!(Bool: is_error);
static RARE_BOOLS: [Known; 1] = rare_fields!(Bool: agent_is_subagent);

/// Words that people try first.
const MEANT: &[(&str, &str)] = &[
    ("session", "session_id"),
    ("conversation_id", "session_id"),
    ("user", "user_id"),
    ("client", "client_name"),
    ("error", "error_message"),
    ("args", "arguments"),
    ("params", "arguments"),
    ("input", "arguments"),
    ("output", "result"),
    ("response", "result"),
    ("status", "outcome"),
    ("latency", "duration"),
    ("latency_ms", "duration"),
    ("duration_ms", "duration"),
    ("timestamp", "time"),
    ("ts", "time"),
    ("trace", "trace_id"),
    ("model", "gen_ai_request_model"),
    ("tool_name", "tool"),
    ("server_name", "server"),
    ("http_status", "http_response_status_code"),
    ("observer", "trace_observer"),
    ("approval_wait_ns", "approval_wait"),
    ("extra_json", "extra, a list of places beside `columns`"),
];

fn all() -> impl Iterator<Item = &'static Known> {
    let parts: [&'static [Known]; 9] =
        [&CORE, &TEXTS, &RARE_TEXTS, &LONG, &RARE_LONG, &JSONS, &INTS, &BOOLS, &RARE_BOOLS];
    parts.into_iter().flatten()
}

impl Target {
    /// The column of this name.
    ///
    /// # Errors
    /// There is none, or a mapping cannot fill it.
    pub fn named(name: &str) -> Result<Self, String> {
        if let Some(known) = all().find(|known| known.name == name) {
            return Ok(Self(known));
        }
        let meant = MEANT.iter().find(|(word, _)| *word == name).map(|(_, meant)| *meant);
        Err(match meant {
            Some(meant) => format!("`{name}` is no column that a mapping can fill; did you mean {meant}"),
            None => format!(
                "`{name}` is no column that a mapping can fill; there are {}",
                all().map(|known| known.name).collect::<Vec<_>>().join(", ")
            ),
        })
    }

    /// The column's name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether it holds a point in time.
    pub fn is_time(self) -> bool {
        matches!(self.0.sets, Sets::Time | Sets::TimeEnd)
    }

    /// Whether it holds a span of time; then the unit that its name says, if it says one.
    pub fn duration(self) -> Option<Option<DurationUnit>> {
        match self.0.sets {
            Sets::Duration if self.0.name == "duration_ns" => Some(Some(DurationUnit::Nanos(1))),
            Sets::Duration | Sets::ApprovalWait => Some(None),
            _ => None,
        }
    }

    /// Whether it holds a payload, which no table of values can stand for.
    pub fn is_payload(self) -> bool {
        matches!(self.0.sets, Sets::Arguments | Sets::Result)
    }

    /// Whether it says that errors are logged where there are some.
    pub(super) fn tells_errors(self) -> bool {
        matches!(self.0.name, "error_message" | "error_type" | "is_error" | "rpc_response_status_code")
    }

    /// Checks a value that stands in the mapping itself.
    ///
    /// # Errors
    /// The column cannot hold it.
    pub fn check(self, value: &str) -> Result<(), String> {
        match &self.0.sets {
            Sets::Choice { set, names } if !set(&mut Call::default(), value) => {
                Err(format!("`{value}` is no {}; there are {}", self.0.name, names().join(", ")))
            }
            Sets::Int(_) if value.parse::<i64>().is_err() => Err(format!("`{value}` is no whole number")),
            Sets::Bool(_) if boolean(value).is_none() => Err(format!("`{value}` is neither true nor false")),
            Sets::Time | Sets::TimeEnd | Sets::Duration | Sets::ApprovalWait | Sets::Arguments | Sets::Result => {
                Err(format!("`{}` differs from call to call; name the place where it stands", self.0.name))
            }
            _ => Ok(()),
        }
    }

    /// Sets the column to a value that stands in the mapping.
    pub(super) fn set_constant(self, draft: &mut Draft, value: &str) {
        self.set(draft, value, value, false);
    }

    fn set(self, draft: &mut Draft, text: &str, whole: &str, is_number: bool) {
        let call = &mut draft.call;
        match &self.0.sets {
            Sets::Time | Sets::TimeEnd | Sets::Duration | Sets::ApprovalWait | Sets::Arguments | Sets::Result => {}
            Sets::Tool => {
                call.tool = Some(Text::from(text));
                call.tool_raw = Some(Text::from(whole));
            }
            Sets::Session => {
                call.session_id = Some(Text::from(text));
                call.session_source = SessionSource::Conversation;
            }
            Sets::RequestId => {
                call.jsonrpc_request_id = Some(Text::from(text));
                call.jsonrpc_id_type = Some(match is_number {
                    false => IdType::String,
                    true if text.contains(['.', 'e', 'E']) => IdType::Float,
                    true => IdType::Int,
                });
            }
            Sets::Choice { set, .. } => {
                set(call, text);
                draft.outcome_told |= self.0.name == "outcome";
            }
            Sets::Text(set) => set(call, Text::from(text)),
            Sets::Long(set) => set(call, text.to_owned()),
            Sets::Json(set) => set(call, if is_json(text) { text.to_owned() } else { quoted(text) }),
            Sets::Int(set) => {
                let float = || text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| value as i64);
                if let Some(value) = text.parse().ok().or_else(float) {
                    set(call, value);
                }
            }
            Sets::Bool(set) => {
                if let Some(value) = boolean(text) {
                    set(call, value);
                }
            }
        }
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Column {
    /// Fills the column from a record; gives the place that had the value.
    pub(super) fn fill(
        &self,
        draft: &mut Draft,
        found: &Found<'_>,
        mtime: Option<Nanos>,
    ) -> Result<Option<&Place>, Reject> {
        for place in &self.places {
            if let Some(value) = place.value(found)
                && self.take(draft, &value, mtime)?
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Whether the value said something.
    fn take(&self, draft: &mut Draft, value: &Value<'_>, mtime: Option<Nanos>) -> Result<bool, Reject> {
        if self.target.is_payload() && self.pick.is_none() {
            payload(&mut draft.call, matches!(self.target.0.sets, Sets::Arguments), value);
            return Ok(true);
        }
        let Some(whole) = value.text() else { return Ok(false) };
        let nothing = matches!(value, Value::Json(raw) if matches!(raw.as_ref(), "false" | "{}" | "[]"));
        if nothing && matches!(self.target.name(), "error_message" | "error_type") {
            return Ok(false);
        }
        let text = match &self.pick {
            None => whole.as_ref(),
            Some(_) if whole.len() > super::MAX_TEXT => return Ok(false),
            Some(pick) => match pick.captures(&whole) {
                Some(groups) => match groups.get(1).or_else(|| groups.get(0)) {
                    Some(group) if !group.is_empty() => &whole[group.range()],
                    _ => return Ok(false),
                },
                None => return Ok(false),
            },
        };
        match &self.reading {
            // Standard input has no year to lend; the call is kept, without a time.
            Reading::Time { format, .. } if mtime.is_none() && format.needs_mtime() => return Ok(false),
            Reading::Time { format, zone } => {
                // Without its time a call would stand at the wrong place for good, so the mapping has to be mended first.
                let Some(moment) = format.read(text, *zone, mtime) else {
                    return Err(Reject::new(format!("{} is not written as the mapping says", self.target.name())));
                };
                let field =
                    if matches!(self.target.0.sets, Sets::Time) { &mut draft.time } else { &mut draft.time_end };
                *field = Some(moment);
            }
            Reading::Duration(unit) => {
                let Some(nanos) = unit.read(text) else { return Ok(false) };
                match self.target.0.sets {
                    Sets::ApprovalWait => draft.call.more().approval_wait_ns = Some(nanos),
                    _ => draft.duration = Some(nanos),
                }
            }
            Reading::Plain if self.target.is_payload() => {
                payload(&mut draft.call, matches!(self.target.0.sets, Sets::Arguments), &Value::Text(text));
            }
            Reading::Plain => {
                let is_number = matches!(value, Value::Json(raw) if !raw.starts_with('"'));
                self.target.set(draft, self.translated(text), &whole, is_number);
            }
        }
        Ok(true)
    }

    /// What the table of values makes of a text.
    fn translated<'t>(&'t self, text: &'t str) -> &'t str {
        let known = self.values.iter().find(|(from, _)| from.eq_ignore_ascii_case(text));
        let known = known.or_else(|| self.values.iter().find(|(from, _)| from == "*"));
        known.map_or(text, |(_, to)| to.as_str())
    }
}

/// Takes over a payload: JSON, JSON text in a string, or plain text.
fn payload(call: &mut Call, is_arguments: bool, value: &Value<'_>) {
    let text = value.text();
    let nested = text.as_deref().map(str::trim).filter(|text| text.starts_with(['{', '[']));
    let mut broken = false;
    let (stored, state) = match (&text, nested, value) {
        (None, ..) => (None, PayloadState::None),
        (_, Some(nested), _) if is_json(nested) => (Some(nested.to_owned()), PayloadState::Present),
        (_, Some(nested), _) => {
            broken = true;
            (Some(nested.to_owned()), PayloadState::Unparsable)
        }
        (_, None, Value::Json(raw)) => (Some(raw.to_string()), PayloadState::Present),
        (Some(text), None, Value::Text(_)) if text == "null" => (None, PayloadState::None),
        (Some(text), None, Value::Text(_)) => (Some(quoted(text)), PayloadState::Present),
    };
    if is_arguments {
        (call.arguments, call.arguments_state) = (stored, state);
    } else {
        (call.result, call.result_state) = (stored, state);
    }
    if broken {
        call.flag(Flag::TruncatedJson);
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn boolean(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 6] =
        [("true", true), ("false", false), ("1", true), ("0", false), ("yes", true), ("no", false)];
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
}

/// A value as JSON text, for `extra_json`.
pub(super) fn as_json<'v>(value: &'v Value<'_>) -> Cow<'v, str> {
    match value {
        Value::Json(raw) => Cow::Borrowed(raw),
        Value::Text(text) => Cow::Owned(quoted(text)),
    }
}
