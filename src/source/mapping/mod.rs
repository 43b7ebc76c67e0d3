//! A log format that a user describes in `calltrail.toml`, for logs that no built-in format knows.
//!
//! A [`Mapping`] has one [`Shape`] for each kind of record: how it is recognised, and which place of it fills which
//! column. It is a [`LogFormat`] like the others, so detection, rejects, pairing and enrichment are theirs. Reading
//! the tables of the file is `config`'s; [`draft`] writes such tables for a log that nobody knows.

mod column;
pub mod draft;
mod moment;
mod place;

pub use column::{Column, Reading, Target};
pub use moment::{DurationUnit, EpochUnit, TimeFormat, Zone};
pub use place::{Place, Roots};

use super::format::{LogFormat, shared::gateway};
use super::json::{self, Object};
use super::{Decoded, Event, Id, Lane, PairKey, Record, Reject};
use crate::call::{
    Approval, Call, DurationSource, EventKind, IdType, Nanos, Observer, Outcome, PayloadState, Side, Text, TimeSource,
};
use column::Draft;
use place::{Found, Value};
use regex::Regex;
use std::borrow::Cow;

/// One format of the user's.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub id: String,
    pub title: String,
    /// It is asked before the built-in formats.
    pub first: bool,
    /// Kinds of records; the first that fits is taken.
    pub shapes: Vec<Shape>,
    /// Lines that are noise in a file of this format.
    pub ignore: Vec<Regex>,
}

/// One kind of record.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What the text must match; its groups are places.
    pub regex: Option<Regex>,
    /// The string of a JSON record that `regex` looks at; `None`: the whole line.
    pub text: Option<Place>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    pub part: Part,
    pub columns: Vec<Column>,
    /// What columns hold unless the record says otherwise.
    pub constants: Vec<(Target, String)>,
    /// Places that are kept in `extra_json`.
    pub extra: Vec<Place>,
}

/// Something that must hold of a record.
#[derive(Clone, Debug)]
pub struct Condition {
    pub place: Place,
    /// The value is one of these; `None`: there is one.
    pub equals: Option<Vec<String>>,
}

/// How much of a call a record holds.
#[derive(Clone, Debug)]
pub enum Part {
    Whole,
    Request(Pair),
    Response(Pair),
}

/// How the two halves of a call find each other.
#[derive(Clone, Debug)]
pub struct Pair {
    pub id: Place,
    /// What keeps equal ids apart: session, connection, server.
    pub within: Vec<Place>,
    /// The id occurs once ever, so the halves may stand in different files.
    pub unique: bool,
}

/// What a mapping made of one record, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Column and the place that filled it.
    pub columns: Vec<(&'static str, String)>,
    /// Pointers of values that the mapping does not read.
    pub unread: Vec<String>,
}

/// Longest program that a regex of a mapping may become, in bytes: each byte of a log may cost one pass over it.
const REGEX_SIZE: usize = 1 << 20;
/// Longest text that a regex looks at: finding groups costs much more for each byte than reading it.
const MAX_TEXT: usize = 1 << 20;
/// Values of one record that [`Mapping::origins`] looks at.
const MAX_VALUES: usize = 200;

/// Compiles a regex of a mapping, limited in size.
///
/// # Errors
/// It is no regex, or too large.
pub fn regex(written: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(written).size_limit(REGEX_SIZE).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("the regex is too large (over {} KiB when compiled); bound its repetitions", REGEX_SIZE >> 10)
        }
        error => {
            let text = error.to_string();
            let reason = text.lines().rev().find_map(|line| line.trim().strip_prefix("error: "));
            format!("`{written}` is no regex: {}", reason.unwrap_or_else(|| text.trim()))
        }
    })
}

impl LogFormat for Mapping {
    fn id(&self) -> &str {
        &self.id
    }
    fn title(&self) -> &str {
        &self.title
    }
    fn evidence(&self) -> &str {
        "a mapping in calltrail.toml"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        self.shape(record).is_some()
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(shape) = self.shape(record) else { return Err(Reject::new("no table of the mapping fits")) };
        shape.with(record, |found| shape.decode(&self.id, found, record, out)).unwrap_or(Ok(()))
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.text.len() <= MAX_TEXT && self.ignore.iter().any(|regex| regex.is_match(record.text))
    }
}

impl PartialEq for Mapping {
    /// Regexes compare as written.
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Mapping {
    fn shape(&self, record: &Record<'_>) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.claims(record))
    }

    /// Which place of a record fills which column, and what is not read. `None`: the record is not of this format.
    pub fn origins(&self, record: &Record<'_>) -> Option<Origins> {
        let shape = self.shape(record)?;
        shape.with(record, |found| {
            let mut draft = Draft::default();
            let columns = shape.columns.iter().filter_map(|column| {
                let place = column.fill(&mut draft, found, record.hints.mtime).ok()??;
                Some((column.target.name(), place.as_str().to_owned()))
            });
            let columns = columns.collect();
            let read: Vec<&str> = shape.places().filter(|p| p.group().is_none()).map(Place::as_str).collect();
            let is_read = |leaf: &str| {
                let holds = |outer: &str, inner: &str| {
                    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                read.iter().any(|place| holds(place, leaf) || holds(leaf, place))
            };
            let values = record.json.map(|json| json::values(json, MAX_VALUES)).unwrap_or_default();
            let leaves = values.into_iter().filter(|(.., is_leaf)| *is_leaf).map(|(pointer, ..)| pointer);
            let unread = leaves.filter(|leaf| !is_read(leaf)).collect();
            Origins { columns, unread }
        })
    }
}

impl Shape {
    /// Every place that the shape looks at.
    fn places(&self) -> impl Iterator<Item = &Place> {
        let pair = match &self.part {
            Part::Whole => None,
            Part::Request(pair) | Part::Response(pair) => Some(pair),
        };
        let conditions = self.conditions.iter().map(|condition| &condition.place);
        let columns = self.columns.iter().flat_map(|column| &column.places);
        let pair = pair.into_iter().flat_map(|pair| std::iter::once(&pair.id).chain(&pair.within));
        self.text.iter().chain(conditions).chain(columns).chain(pair).chain(&self.extra)
    }

    fn claims(&self, record: &Record<'_>) -> bool {
        if self.regex.is_none() || self.text.is_some() {
            if record.json.is_none() {
                return false;
            }
        } else if self.conditions.is_empty() {
            return self
                .regex
                .as_ref()
                .is_some_and(|regex| record.text.len() <= MAX_TEXT && regex.is_match(record.text));
        }
        self.with(record, |found| self.conditions.iter().all(|condition| condition.holds(found))).unwrap_or(false)
    }

    /// Calls with what the record has to offer, unless the regex does not match.
    fn with<T>(&self, record: &Record<'_>, then: impl FnOnce(&Found<'_>) -> T) -> Option<T> {
        let Some(regex) = &self.regex else { return Some(then(&Found { json: record.json, groups: None })) };
        let text = match &self.text {
            None => Cow::Borrowed(record.text),
            Some(place) => {
                let found = Found { json: record.json, groups: None };
                let Some(Value::Json(raw)) = place.value(&found) else { return None };
                Cow::Owned(json::string(&raw)?.trim_end().to_owned())
            }
        };
        if text.len() > MAX_TEXT {
            return None;
        }
        let groups = regex.captures(&text)?;
        // A line regex has groups only: what pointers mean is then plain to see in the mapping.
        Some(then(&Found { json: record.json.filter(|_| self.text.is_some()), groups: Some(groups) }))
    }

    fn decode(&self, format: &str, found: &Found<'_>, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let mut draft = Draft {
            call: Box::new(Call {
                source_format: Text::from(format),
                observer: Observer::Gateway,
                arguments_state: PayloadState::NotLogged,
                result_state: PayloadState::NotLogged,
                ..Call::default()
            }),
            ..Draft::default()
        };
        for (target, value) in &self.constants {
            target.set_constant(&mut draft, value);
        }
        for column in &self.columns {
            column.fill(&mut draft, found, record.hints.mtime)?;
        }
        let values = self.extra.iter().map(|place| (place.as_str(), place.value(found))).collect::<Vec<_>>();
        if values.iter().any(|(_, value)| value.is_some()) {
            draft.call.more().extra_json = extra(&values);
        }
        self.times(&mut draft);
        self.settle(&mut draft);
        self.emit(format, found, draft.call, out)
    }

    fn times(&self, draft: &mut Draft) {
        let Draft { call, time, time_end, duration, .. } = draft;
        if [&time, &time_end].iter().any(|moment| moment.is_some_and(|moment| moment.zone_assumed)) {
            gateway::zone(call, true);
        }
        let (start, end): (Option<Nanos>, Option<Nanos>) = (time.map(|m| m.nanos), time_end.map(|m| m.nanos));
        match (&self.part, start, end) {
            (Part::Request(_), ..) => {
                call.time = start.or(end);
                call.time_source = TimeSource::RequestLine;
            }
            (Part::Response(_), ..) => {
                call.time_end = end.or(start);
                call.duration_ns = *duration;
                call.duration_source = duration.map(|_| DurationSource::Measured);
            }
            (Part::Whole, Some(_), _) => {
                gateway::started(call, start, *duration);
                call.time_end = end.or(call.time_end);
            }
            (Part::Whole, None, _) => gateway::ended(call, end, *duration),
        }
    }

    /// What follows from the columns together: method, kind, outcome, states of payloads.
    fn settle(&self, draft: &mut Draft) {
        let call = &mut draft.call;
        if call.method.is_empty() && !matches!(self.part, Part::Response(_)) {
            let rare = call.more.as_deref();
            call.method = match () {
                () if call.tool.is_some() => Text::const_new("tools/call"),
                () if rare.is_some_and(|m| m.mcp_resource_uri.is_some()) => Text::const_new("resources/read"),
                () if rare.is_some_and(|m| m.gen_ai_prompt_name.is_some()) => Text::const_new("prompts/get"),
                () => Text::default(),
            };
        }
        if call.method.starts_with("notifications/") && call.event_kind == EventKind::Call {
            call.event_kind = EventKind::Notification;
            call.result_state = PayloadState::None;
        }
        if call.session_id.is_none() && call.mcp_session_id.is_some() {
            let id = call.mcp_session_id.take();
            gateway::mcp_session(call, id);
        }
        if matches!(self.part, Part::Request(_)) {
            call.outcome = if call.event_kind == EventKind::Call { Outcome::NoResponse } else { Outcome::Unknown };
            return;
        }
        if !draft.outcome_told {
            self.derive_outcome(call);
        }
        let result = call.result.as_deref().filter(|_| call.result_state == PayloadState::Present);
        let said = result.map(Object::trusted).and_then(|result| result.bool("isError"));
        call.is_error = call.is_error.or(said);
        if call.is_error == Some(true) && matches!(call.outcome, Outcome::Success | Outcome::Unknown) {
            call.outcome = Outcome::ToolError;
        }
        if call.outcome == Outcome::ToolError {
            call.error_type.get_or_insert(Text::const_new("tool_error"));
        }
    }

    /// How the call ended, where no column says it outright.
    fn derive_outcome(&self, call: &mut Call) {
        if let Some(status) = call.more.as_deref().and_then(|more| more.http_response_status_code) {
            let (approval, error_type) = (call.approval, call.error_type.take());
            gateway::http_status(call, i64::from(status));
            if approval != Approval::Unknown {
                call.approval = approval;
            }
            call.error_type = error_type.or(call.error_type.take());
            if call.outcome != Outcome::Success {
                return;
            }
        }
        let errors_are_logged = self.columns.iter().any(|column| column.target.tells_errors());
        call.outcome = match () {
            () if call.rpc_response_status_code.is_some_and(|code| code != 0) => Outcome::ProtocolError,
            () if call.is_error == Some(true) => Outcome::ToolError,
            () if call.is_error.is_none() && (call.error_message.is_some() || call.error_type.is_some()) => {
                Outcome::ToolError
            }
            () if errors_are_logged || call.result.is_some() => Outcome::Success,
            () => call.outcome,
        };
    }

    fn emit(&self, format: &str, found: &Found<'_>, call: Box<Call>, out: &mut Decoded) -> Result<(), Reject> {
        let (Part::Request(pair) | Part::Response(pair)) = &self.part else {
            gateway::push(call, Lane::from(format), out);
            return Ok(());
        };
        let within: Vec<String> = pair.within.iter().map(|place| text_at(place, found).unwrap_or_default()).collect();
        let lane = Lane::from(format!("{format}|{}", within.join("|")));
        if call.event_kind == EventKind::Notification {
            out.events.push(Event::Request { key: None, lane, call });
            return Ok(());
        }
        let Some(id) = text_at(&pair.id, found) else { return Err(Reject::new("the record has no pairing id")) };
        let id = Text::from(id);
        let key = if pair.unique {
            PairKey::Global { session: lane.clone(), id }
        } else {
            PairKey::JsonRpc { lane: lane.clone(), side: Side::Client, id: Id { kind: IdType::String, text: id } }
        };
        out.events.push(match self.part {
            Part::Response(_) => Event::Response { key, lane, call, maybe_foreign: false },
            _ => Event::Request { key: Some(key), lane, call },
        });
        Ok(())
    }
}

impl Condition {
    fn holds(&self, found: &Found<'_>) -> bool {
        let Some(value) = self.place.value(found) else { return false };
        let Some(text) = value.text() else { return false };
        self.equals.as_ref().is_none_or(|equals| equals.iter().any(|wanted| *wanted == text))
    }
}

fn text_at(place: &Place, found: &Found<'_>) -> Option<String> {
    place.value(found)?.text().map(Cow::into_owned)
}

/// Values without a column as one JSON object.
fn extra(values: &[(&str, Option<Value<'_>>)]) -> Option<String> {
    let members = values.iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        let name = serde_json::Value::from(name.trim_start_matches('/'));
        Some(format!("{name}:{}", column::as_json(value)))
    });
    let members: Vec<_> = members.collect();
    (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests;
