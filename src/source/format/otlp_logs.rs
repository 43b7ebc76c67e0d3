//! OpenTelemetry logs in OTLP/JSON, as the Collector's file exporter writes them: events of agents about MCP calls.
//!
//! Claude Code, Codex and Gemini CLI log one event when a tool has ended and another when its use was decided; gateways log
//! requests with the attributes of the semantic conventions, which `otlp_traces` reads. Whether a tool is of an MCP server is
//! often told by little, arguments and names are logged only if switched on, and most values are strings. Gemini CLI's own
//! file holds the same records as plain JSON. Metrics and profiles are known noise. A Collector that reads files puts their lines
//! into bodies: those go to the formats that know them.

mod event;

use super::LogFormat;
use super::otlp_traces::span::{self, Attributes, Kind, Span};
use super::otlp_traces::{call, offered};
use crate::call::{Call, DurationSource, Flag, Nanos, Observer, Text, TimeSource};
use crate::source::json::{self, Object};
use crate::source::{Carried, Decoded, Event, Record, Reject, time};
use event::Producer;
use std::borrow::Cow;

const ID: &str = "otlp_logs";

/// OTLP/JSON logs.
pub struct OtlpLogs;

impl LogFormat for OtlpLogs {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "OpenTelemetry logs, OTLP/JSON: events of Claude Code, Codex, Gemini CLI, gateways"
    }
    fn evidence(&self) -> &'static str {
        "OTLP 1.x JSON encoding, documentation of Claude Code, source code of Codex and Gemini CLI, one logged event of Claude Code"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| resource_logs(object).is_some() || is_noise(object) || is_plain(object))
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else { return Err(Reject::new("not a json object")) };
        if is_plain(object) {
            LogRecord::plain(object).emit(&Attributes::members(&object.object("resource").object("attributes")), out);
            return Ok(());
        }
        let raw = resource_logs(object).unwrap_or("null");
        if raw != "null" && !raw.starts_with('[') {
            return Err(Reject::new("resource logs are not an array"));
        }
        each(raw, |record, resource| LogRecord::read(record).emit(resource, out));
        Ok(())
    }
    fn carries(&self, record: &Record<'_>) -> Vec<Carried> {
        let mut lines = Vec::new();
        if let Some(raw) = record.json.and_then(resource_logs) {
            each(raw, |record, resource| lines.extend(line(record, resource)));
        }
        lines
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // What Gemini CLI's file holds beside log records: spans and metrics of the JavaScript SDK.
        record.json.is_some_and(|object| {
            object.has("scopeMetrics") || (object.has("instrumentationScope") && object.has("startTime"))
        })
    }
}

/// Hands out each log record with its resource.
fn each(resource_logs: &str, mut take: impl FnMut(&Object<'_>, &Attributes<'_>)) {
    for batch in json::elements(resource_logs).into_iter().map(Object::trusted) {
        let resource = Attributes::read(&batch.object("resource"));
        for scope in either(&batch, "scopeLogs", "scope_logs").into_iter().map(Object::trusted) {
            for record in either(&scope, "logRecords", "log_records").into_iter().map(Object::trusted) {
                take(&record, &resource);
            }
        }
    }
}

/// The line of another log that stands in the body, as text or, if the collector has parsed it, as a map.
fn line(record: &Object<'_>, resource: &Attributes<'_>) -> Option<Carried> {
    let known = LogRecord::read(record);
    let body = record.get("body")?;
    if known.is_own(resource) {
        return None;
    }
    let map = || Some(span::to_json(body)).filter(|json| json.starts_with('{'));
    let text = known.body.map(Cow::into_owned).or_else(map)?;
    Some(Carried { text: text.trim().to_owned(), time: known.time }).filter(|line| !line.text.is_empty())
}

fn resource_logs<'a>(object: &Object<'a>) -> Option<&'a str> {
    object.get("resourceLogs").or_else(|| object.get("resource_logs"))
}

/// The other signals of OTLP, which say nothing of single calls.
fn is_noise(object: &Object<'_>) -> bool {
    ["resourceMetrics", "resource_metrics", "resourceProfiles", "resource_profiles"].iter().any(|key| object.has(key))
}

/// A log record of the JavaScript SDK, written as it is.
fn is_plain(object: &Object<'_>) -> bool {
    object.has("hrTime") && object.has("attributes") && object.has("resource")
}

fn either<'a>(object: &Object<'a>, camel: &str, snake: &str) -> Vec<&'a str> {
    object.get(camel).or_else(|| object.get(snake)).map(json::elements).unwrap_or_default()
}

/// One log record.
struct LogRecord<'a> {
    attributes: Attributes<'a>,
    /// The event's name, as far as members name it; an attribute may, too.
    name: Option<Cow<'a, str>>,
    body: Option<Cow<'a, str>>,
    time: Option<Nanos>,
    trace_id: Option<Text>,
    span_id: Option<Text>,
}

impl<'a> LogRecord<'a> {
    fn read(record: &Object<'a>) -> Self {
        let text = |camel: &str, snake: &str| record.str(camel).or_else(|| record.str(snake));
        let nanos = |camel: &str, snake: &str| {
            record.int(camel).or_else(|| record.int(snake)).filter(|nanos| (1..Nanos::MAX).contains(nanos))
        };
        let attributes = Attributes::read(record);
        let stamp = || attributes.string(&["event.timestamp"]).and_then(|text| time::rfc3339(&text));
        // Codex leaves the time unset.
        let time = nanos("timeUnixNano", "time_unix_nano")
            .or_else(stamp)
            .or_else(|| nanos("observedTimeUnixNano", "observed_time_unix_nano"));
        Self {
            name: text("eventName", "event_name").filter(|name| !name.is_empty()),
            body: record.get("body").and_then(span::string),
            time,
            trace_id: text("traceId", "trace_id").and_then(|id| span::id(&id, 16)),
            span_id: text("spanId", "span_id").and_then(|id| span::id(&id, 8)),
            attributes,
        }
    }

    /// A record of the JavaScript SDK: times are pairs of seconds and nanoseconds, attributes an object.
    fn plain(record: &Object<'a>) -> Self {
        let pair = |key: &str| match record.array(key)[..] {
            [seconds, nanos] => {
                let seconds: Nanos = seconds.parse().ok()?;
                seconds.checked_mul(1_000_000_000)?.checked_add(nanos.parse().ok()?)
            }
            _ => None,
        };
        let span = record.object("spanContext");
        Self {
            attributes: Attributes::members(&record.object("attributes")),
            name: None,
            body: record.str("_body").or_else(|| record.str("body")),
            time: pair("hrTime").filter(|nanos| *nanos > 0),
            trace_id: span.str("traceId").and_then(|id| span::id(&id, 16)),
            span_id: span.str("spanId").and_then(|id| span::id(&id, 8)),
        }
    }

    /// Whether the record says by itself what it is.
    fn is_own(&self, resource: &Attributes<'_>) -> bool {
        self.attributes.string(&["mcp.method.name"]).is_some() || Producer::of(self, resource).is_some()
    }

    /// Emits what the record says of MCP.
    fn emit(self, resource: &Attributes<'_>, out: &mut Decoded) {
        let named = |keys: &[&str]| self.attributes.text(keys).or_else(|| resource.text(keys));
        let session = named(call::CONVERSATION).or_else(|| named(call::SESSION)).or_else(|| self.trace_id.clone());
        offered::emit(&self.attributes, resource, session, self.time, out);
        if let Some(producer) = Producer::of(&self, resource) {
            producer.emit(&self, resource, out);
        } else if self.attributes.string(&["mcp.method.name"]).is_some() {
            let call = self.request(resource);
            let lane = call.mcp_session_id.as_ref().or(call.client_name.as_ref()).or(call.server.as_ref()).cloned();
            out.events.push(Event::Call { lane: lane.unwrap_or_default(), call: Box::new(call) });
        }
    }

    /// A request that a gateway or a server logged with the attributes of the semantic conventions, when it had ended.
    fn request(self, resource: &Attributes<'_>) -> Call {
        let duration = duration(&self.attributes);
        let start = self.time.map(|end| end.saturating_sub(duration.unwrap_or(0)));
        let gateway = self.attributes.any_key(&["mcp.target", "mcp.backend", "mcp.provider.name"]);
        let span = Span {
            trace_id: self.trace_id,
            id: self.span_id,
            parent: None,
            name: Cow::Borrowed(""),
            kind: Kind::Server,
            start,
            end: self.time,
            failed: false,
            message: None,
            exception: None,
            attributes: self.attributes,
            resource: 0,
        };
        let method = span.attributes.text(&["mcp.method.name"]).unwrap_or_default();
        let mut call = call::call(ID, &span, resource, &[&span.attributes], method);
        call.observer = if gateway { Observer::Gateway } else { Observer::Server };
        call.time_source = if duration.is_some() { TimeSource::EndMinusDuration } else { TimeSource::Record };
        call.duration_ns = duration;
        call.duration_source = duration.map(|_| DurationSource::Measured);
        if call.jsonrpc_request_id.is_none() {
            // The span may be the caller's and hold other calls: it does not identify this one.
            call.parent_span_id = call.span_id.take();
        }
        call
    }
}

/// How long something took: a number of milliseconds, or a number with a unit as programs print it.
fn duration(attributes: &Attributes<'_>) -> Option<i64> {
    let text = attributes.string(&["duration_ms", "duration"])?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ' || c == 'μ');
    let unit = match &text[digits.len()..] {
        "" | "ms" => 1e6,
        "s" => 1e9,
        "us" | "µs" | "μs" => 1e3,
        "ns" => 1.0,
        _ => return None,
    };
    let value: f64 = digits.trim().parse().ok()?;
    (value >= 0.0 && value * unit < 9e18).then_some((value * unit).round() as i64)
}

/// Flags the call whose payload was cut.
fn cut(call: &mut Call) {
    call.flag(Flag::TruncatedJson);
}

#[cfg(test)]
mod tests;
