//! An alert as an event of Splunk's HTTP Event Collector: the envelope around the OCSF event.
//!
//! A request is such objects one after the other. `fields` are indexed, so that a search for an alert's id needs no parsing of events.

use super::facts::{Name, PROGRAM, clamped, name};
use super::object::{Attributes, Node};
use super::{Shown, ocsf, ocsf_call};
use crate::alert::CallEvidence;
use serde_json::Value;

/// Makes the event of the alert.
pub(in crate::sink) fn encode<'a>(shown: &Shown<'a>) -> Attributes<'a> {
    let finding = &shown.alert.finding;
    let fields = Attributes::new()
        .with("alert_id", shown.alert.alert_id.as_str())
        .text("rule_id", Some(&finding.rule_id))
        .with("level", finding.level.as_str())
        .maybe("session_id", name(shown.alert, Name::Session))
        .maybe("agent", name(shown.alert, Name::Agent))
        .maybe("mcp_server", name(shown.alert, Name::Server));
    envelope(shown, shown.alert.time(), "calltrail:alert", ocsf::event(shown), fields)
}

/// Makes an event of each call.
pub(in crate::sink) fn calls<'a>(shown: &Shown<'a>) -> Vec<Attributes<'a>> {
    let event = |(call, event): (&'a CallEvidence, Value)| {
        let fields = Attributes::new()
            .with("alert_id", shown.alert.alert_id.as_str())
            .text("call_id", Some(&call.call_id))
            .text("session_id", call.session_id.as_deref());
        let time = call.time.unwrap_or_else(|| shown.alert.time());
        envelope(shown, time, "calltrail:call", event, fields)
    };
    shown.alert.calls.iter().zip(ocsf_call::encode(shown)).map(event).collect()
}

fn envelope<'a>(
    shown: &Shown<'a>,
    time: i64,
    sourcetype: &'static str,
    event: impl Into<Node<'a>>,
    fields: Attributes<'a>,
) -> Attributes<'a> {
    let options = shown.options;
    Attributes::new()
        // Seconds with decimals; a double holds microseconds until the year 2255.
        .with("time", clamped(time).timestamp_micros() as f64 / 1e6)
        .text("host", options.host.as_deref())
        .with("source", options.source.as_deref().unwrap_or(PROGRAM))
        .with("sourcetype", options.sourcetype.as_deref().unwrap_or(sourcetype))
        .text("index", options.index.as_deref())
        .with("event", event)
        .with("fields", fields)
}
