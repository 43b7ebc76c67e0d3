//! `calltrail session`: one session as a timeline that one can read.

use super::exit::CommandError;
use super::{Context, OutputFormat};
use crate::alert::{Alert, visible};
use crate::detect::stored;
use crate::query::Session;
use crate::sink::encode::json_text;
use clap::Args;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::io::Write;

/// Characters of a payload that a line shows, unless --full.
const SHOWN: usize = 160;

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    /// The session's id, or its first characters
    id: String,
    /// Show payloads whole
    #[arg(long)]
    full: bool,
}

/// One line of the timeline.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    call_id: String,
    #[serde(rename = "micros")]
    time: Option<i64>,
    event_kind: String,
    initiator: String,
    method: String,
    server: Option<String>,
    tool: Option<String>,
    arguments: Option<String>,
    arguments_state: String,
    arguments_bytes: Option<i64>,
    result_text: Option<String>,
    result_state: String,
    result_bytes: Option<i64>,
    outcome: String,
    approval: String,
    duration_ns: Option<i64>,
    error_message: Option<String>,
    markers: Vec<crate::call::Marker>,
    agent: Option<String>,
    client_name: Option<String>,
    user_id: Option<String>,
    /// A prompt's text.
    text: Option<String>,
}

/// Data that came into a call's arguments.
#[derive(Debug, Deserialize)]
struct Flow {
    kind: String,
    encoding: Option<String>,
    source_server: Option<String>,
    source_tool: Option<String>,
    #[serde(rename = "micros")]
    source_time: Option<i64>,
    sink_call_id: String,
    bytes: i64,
    sink_share: f64,
    value: Option<String>,
    sentence: Option<String>,
}

/// Flows into one call that a timeline shows, unless --full.
const SHOWN_FLOWS: usize = 8;

pub(super) fn run(context: &Context, args: &SessionArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let lake = context.signed(context.open_lake()?)?;
    context.find_flows(&lake);
    let session = context.session(&lake)?;
    let (id, entries, flows, alerts) = context.runtime.block_on(async {
        let id = resolve(&session, &args.id).await?;
        let entries = timeline(&session, &id).await?;
        let columns = "kind, encoding, source_server, source_tool, CAST(source_time AS BIGINT) AS micros, sink_call_id, bytes, \
                       sink_share, value, sentence";
        let flows: Vec<Flow> = session.rows(&select_flows(columns, &id)).await?;
        let alerts = stored(&lake).await?;
        Ok::<_, CommandError>((id, entries, flows, alerts))
    })?;
    let alerts: Vec<Alert> = alerts
        .into_iter()
        .filter(|a| a.is_current() && a.finding.entity.session_id.as_deref() == Some(id.as_str()))
        .collect();
    let mut out = context.ui.data();
    if format == OutputFormat::Json {
        let calls: Vec<serde_json::Value> = context.runtime.block_on(session.rows(&select_calls(&id)))?;
        let flows: Vec<serde_json::Value> = context.runtime.block_on(session.rows(&select_flows("*", &id)))?;
        let ids: Vec<_> = alerts.iter().map(|a| a.alert_id.as_str()).collect();
        let all = serde_json::json!({"session_id": id, "calls": calls, "flows": flows, "alerts": ids});
        writeln!(out, "{}", json_text(&all)?)?;
    } else {
        print(&mut out, &id, &entries, &flows, &alerts, args.full)?;
    }
    out.flush()?;
    Ok(0)
}

/// The session that the given start of an id means.
async fn resolve(session: &Session, given: &str) -> Result<String, CommandError> {
    #[derive(Deserialize)]
    struct Found {
        session_id: String,
    }
    let pattern = quoted(given);
    let sql = format!(
        "SELECT DISTINCT session_id FROM calls WHERE starts_with(session_id, {pattern}) \
         UNION SELECT DISTINCT session_id FROM prompts WHERE starts_with(session_id, {pattern}) ORDER BY session_id LIMIT 20"
    );
    let found: Vec<Found> = session.rows(&sql).await?;
    if let Some(exact) = found.iter().find(|f| f.session_id == given) {
        return Ok(exact.session_id.clone());
    }
    match found.as_slice() {
        [] => Err(CommandError::usage(format!(
            "no session `{given}`: `calltrail query 'SELECT session_id, agent, calls FROM sessions'` lists them"
        ))),
        [one] => Ok(one.session_id.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|f| f.session_id.as_str()).collect();
            Err(CommandError::usage(format!("several sessions begin with `{given}`:\n  {}", names.join("\n  "))))
        }
    }
}

fn select_calls(id: &str) -> String {
    format!("SELECT * FROM calls WHERE session_id = {} ORDER BY time, source_offset", quoted(id))
}

fn select_flows(columns: &str, id: &str) -> String {
    let order = "time, sink_call_id, source_time, source_call_id, kind, sink_path, value";
    format!("SELECT {columns} FROM flows WHERE session_id = {} ORDER BY {order}", quoted(id))
}

async fn timeline(session: &Session, id: &str) -> Result<Vec<Entry>, CommandError> {
    let calls = format!(
        "SELECT call_id, CAST(time AS BIGINT) AS micros, event_kind, initiator, method, server, tool, arguments, \
         arguments_state, arguments_bytes, result_text, result_state, result_bytes, outcome, approval, duration_ns, \
         error_message, agent, client_name, user_id, markers \
         FROM calls WHERE session_id = {} ORDER BY time, source_offset",
        quoted(id)
    );
    let prompts = format!(
        "SELECT prompt_id AS call_id, CAST(time AS BIGINT) AS micros, text, agent FROM prompts WHERE session_id = {}",
        quoted(id)
    );
    let mut entries: Vec<Entry> = session.rows(&calls).await?;
    entries.extend(session.rows::<Entry>(&prompts).await?);
    // Stable: calls without a time keep the order of their source.
    entries.sort_by_key(|entry| entry.time);
    Ok(entries)
}

/// A text as an SQL literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn print(
    out: &mut impl Write,
    id: &str,
    entries: &[Entry],
    flows: &[Flow],
    alerts: &[Alert],
    full: bool,
) -> std::io::Result<()> {
    let calls = entries.iter().filter(|e| e.event_kind == "call").count();
    let errors = entries.iter().filter(|e| e.outcome.ends_with("error") || e.outcome == "timeout").count();
    let first =
        |field: fn(&Entry) -> Option<&str>| entries.iter().find_map(field).map(|text| visible(text).into_owned());
    writeln!(out, "session {}", visible(id))?;
    let who = [
        ("agent", first(|e| e.agent.as_deref())),
        ("client", first(|e| e.client_name.as_deref())),
        ("user", first(|e| e.user_id.as_deref())),
    ];
    let who: Vec<String> = who.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", name?))).collect();
    let times: Vec<i64> = entries.iter().filter_map(|e| e.time).collect();
    let span = match (times.iter().min(), times.iter().max()) {
        (Some(start), Some(end)) => format!("{} – {} UTC", moment(*start, "%F %T"), moment(*end, "%F %T")),
        _ => "no times logged".to_owned(),
    };
    writeln!(
        out,
        "{}{}{span}, {calls} calls, {errors} errors\n",
        who.join(", "),
        if who.is_empty() { "" } else { ", " }
    )?;
    let mut marks: HashMap<&str, Vec<&Alert>> = HashMap::new();
    for alert in alerts {
        for call in &alert.finding.call_ids {
            marks.entry(call.as_str()).or_default().push(alert);
        }
    }
    let mut into: HashMap<&str, Vec<&Flow>> = HashMap::new();
    flows.iter().for_each(|flow| into.entry(flow.sink_call_id.as_str()).or_default().push(flow));
    let mut day = String::new();
    for entry in entries {
        let today = entry.time.map_or_else(String::new, |time| moment(time, "%F"));
        if today != day && !today.is_empty() {
            writeln!(out, "{today}")?;
            day = today;
        }
        print_entry(out, entry, full)?;
        let flows = into.get(entry.call_id.as_str()).map(Vec::as_slice).unwrap_or_default();
        let shown = if full { flows.len() } else { SHOWN_FLOWS };
        for flow in flows.iter().take(shown) {
            print_flow(out, flow, full)?;
        }
        if flows.len() > shown {
            writeln!(out, "{:17}⇐ and {} more", "", flows.len() - shown)?;
        }
        for alert in marks.get(entry.call_id.as_str()).into_iter().flatten() {
            writeln!(out, "{:15}! {} {}", "", alert.finding.level.as_str(), visible(&alert.finding.rule_id))?;
        }
    }
    if !alerts.is_empty() {
        writeln!(out, "\nalerts")?;
    }
    for alert in alerts {
        let message = alert.finding.message.as_deref().unwrap_or(&alert.finding.rule_title);
        let (level, rule) = (alert.finding.level.as_str(), visible(&alert.finding.rule_id));
        writeln!(out, "  {level:<9} {rule}: {} ({})", visible(message), &alert.alert_id[..12])?;
    }
    Ok(())
}

fn print_entry(out: &mut impl Write, entry: &Entry, full: bool) -> std::io::Result<()> {
    let clock = entry.time.map_or_else(|| "            ".to_owned(), |time| moment(time, "%T%.3f"));
    if let Some(text) = &entry.text {
        return writeln!(out, "  {clock}  user: {}", short(text, full));
    }
    let arrow = if entry.initiator == "server" { "◀" } else { "▶" };
    let server = entry.server.as_deref().unwrap_or("?");
    let what = entry.tool.as_deref().unwrap_or(&entry.method);
    let payload = match (&entry.arguments, entry.arguments_state.as_str()) {
        (Some(text), "present") => short(text, full),
        (Some(text), state) => format!("{} [{state}]", short(text, full)),
        (None, "none") => String::new(),
        (None, state) => format!("[arguments {state}]"),
    };
    writeln!(out, "  {clock}  {arrow} {}/{} {payload}", visible(server), visible(what))?;
    if entry.event_kind == "notification" {
        return Ok(());
    }
    let mut facts = vec![entry.outcome.replace('_', " ")];
    if let Some(duration) = entry.duration_ns {
        facts.push(format!("{} ms", duration / 1_000_000));
    }
    if let Some(bytes) = entry.result_bytes {
        facts.push(format!("{bytes} B"));
    }
    if !matches!(entry.approval.as_str(), "unknown" | "not_required") {
        facts.push(entry.approval.replace('_', " "));
    }
    if !entry.markers.is_empty() {
        let kinds: BTreeSet<&str> = entry.markers.iter().map(|marker| marker.kind.as_str()).collect();
        facts.push(format!("markers: {}", visible(&kinds.into_iter().collect::<Vec<_>>().join(", "))));
    }
    let said = entry.error_message.as_deref().or(entry.result_text.as_deref()).unwrap_or_default();
    writeln!(out, "{:17}{}: {}", "", facts.join(", "), short(said, full))
}

/// Where something in the arguments came from.
fn print_flow(out: &mut impl Write, flow: &Flow, full: bool) -> std::io::Result<()> {
    let server = flow.source_server.as_deref().unwrap_or("?");
    let tool = flow.source_tool.as_deref().unwrap_or("?");
    let at = flow.source_time.map(|time| moment(time, " at %T%.3f")).unwrap_or_default();
    let mut facts = vec![format!("{} B", flow.bytes), format!("{:.0} % of the arguments", flow.sink_share * 100.0)];
    facts.extend(flow.encoding.clone().filter(|encoding| encoding != "verbatim"));
    let what = flow.value.as_deref().or(flow.sentence.as_deref()).map(|text| format!(" {}", short(text, full)));
    let (kind, what) = (visible(&flow.kind), what.unwrap_or_default());
    writeln!(out, "{:17}⇐ {}/{}{at}: {kind}{what}, {}", "", visible(server), visible(tool), visible(&facts.join(", ")))
}

/// Log text on one line, cut.
fn short(text: &str, full: bool) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = if full { line.clone() } else { line.chars().take(SHOWN).collect() };
    let more = if shown.len() < line.len() { "…" } else { "" };
    format!("{}{more}", visible(&shown))
}

fn moment(micros: i64, pattern: &str) -> String {
    chrono::DateTime::from_timestamp_micros(micros).map(|time| time.format(pattern).to_string()).unwrap_or_default()
}
