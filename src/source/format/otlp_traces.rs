//! OpenTelemetry traces in OTLP/JSON: what the Collector's file exporter, SDK file exporters and Tempo write.
//!
//! One record is one `TracesData` object with any number of spans. A span holds a whole call, so every span that
//! is an MCP call becomes [`Event::Call`]; spans that name the conversation of their trace become
//! [`Event::Trace`]; all others (HTTP, model calls) are noise. The agent's and the server's span of one call are
//! both emitted: they usually stand in different files, and pairing joins them by trace and parent.

pub(super) mod call;
pub(super) mod observation;
pub(super) mod offered;
pub(super) mod outcome;
pub(super) mod span;
#[cfg(test)]
mod tests;

use super::{Decoded, LogFormat, Record, Reject};
use crate::call::{Call, Observer, Outcome, Text};
use crate::source::Event;
use crate::source::json::{self, Object};
use call::Role;
use span::{Attributes, Span};
use std::collections::{BTreeMap, HashMap};

/// Steps up the tree of spans before giving up: hostile parents can form a circle.
const MAX_ANCESTORS: usize = 32;

/// OTLP/JSON traces.
pub struct OtlpTraces;

impl LogFormat for OtlpTraces {
    fn id(&self) -> &'static str {
        "otlp_traces"
    }
    fn title(&self) -> &'static str {
        "OpenTelemetry traces, OTLP/JSON (Collector, SDK exporters, Tempo, VS Code)"
    }
    fn evidence(&self) -> &'static str {
        "OTLP 1.x JSON encoding, GenAI and MCP semantic conventions, files of Python SDK 2.3.0 and kagent"
    }

    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| resource_spans(object).is_some())
    }

    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let raw = record.json.and_then(resource_spans).unwrap_or("null");
        if raw == "null" {
            return Ok(());
        }
        if !raw.starts_with('[') {
            return Err(Reject::new("resource spans are not an array"));
        }
        Traces::read(raw).emit(out);
        Ok(())
    }
}

/// The array of resource spans under any of its names: OTLP, `MessageToDict`, Tempo's two exports.
fn resource_spans<'a>(object: &Object<'a>) -> Option<&'a str> {
    let direct = |object: &Object<'a>| {
        let named = object.get("resourceSpans").or_else(|| object.get("resource_spans"));
        named.or_else(|| object.get("batches").filter(|raw| mentions_spans(raw)))
    };
    let inside = |key| object.get(key).and_then(|raw| direct(&Object::trusted(raw)));
    // The newest API of Jaeger wraps traces in nothing but `result`, which JSON-RPC responses have too.
    let jaeger = || object.members().len() == 1;
    direct(object).or_else(|| inside("trace")).or_else(|| jaeger().then(|| inside("result")).flatten())
}

/// `batches` alone is too common a key.
fn mentions_spans(raw: &str) -> bool {
    let has = |key: &str| memchr::memmem::find(raw.as_bytes(), key.as_bytes()).is_some();
    raw.starts_with('[') && (has("\"scopeSpans\"") || has("\"instrumentationLibrarySpans\"") || has("\"scope_spans\""))
}

/// All spans of one record, and how they hang together.
pub(super) struct Traces<'a> {
    /// The format that the calls name as theirs.
    pub format: &'static str,
    pub spans: Vec<Span<'a>>,
    /// What [`Span::resource`] points to.
    pub resources: Vec<Attributes<'a>>,
}

impl<'a> Traces<'a> {
    fn read(raw: &'a str) -> Self {
        let (mut spans, mut resources) = (Vec::new(), Vec::new());
        for batch in json::elements(raw).into_iter().map(Object::trusted) {
            let resource = resources.len();
            resources.push(Attributes::read(&batch.object("resource")));
            let scopes = ["scopeSpans", "scope_spans", "instrumentationLibrarySpans", "instrumentation_library_spans"];
            for scope in scopes.into_iter().flat_map(|key| batch.array(key)).map(Object::trusted) {
                let of_all = scope.object("scope");
                let library = of_all.get("name").filter(|name| name.contains(call::TRACELOOP));
                spans.extend(scope.array("spans").into_iter().map(|span| {
                    let mut span = Span::read(span, resource);
                    if let Some(library) = library {
                        span.attributes.set(call::SCOPE, library);
                    }
                    span.attributes.extend(Attributes::read(&of_all));
                    span
                }));
            }
        }
        Self { format: OtlpTraces.id(), spans, resources }
    }

    /// Emits what the spans say.
    pub(super) fn emit(&self, out: &mut Decoded) {
        self.conversations(out);
        self.offers(out);
        for call in self.calls() {
            let lane = call.mcp_session_id.as_ref().or(call.client_name.as_ref()).or(call.server.as_ref());
            let lane = lane.cloned().unwrap_or_default();
            out.events.push(Event::Call { lane, call: Box::new(call) });
        }
    }

    /// Emits the conversation and the agent of every trace that names one.
    fn conversations(&self, out: &mut Decoded) {
        // The earliest span speaks for the trace: a sub-agent starts later than the agent that called it.
        type Named = Option<(i64, Text)>;
        fn keep(best: &mut Named, start: i64, value: Option<Text>) {
            if let Some(value) = value.filter(|_| best.as_ref().is_none_or(|(known, _)| start < *known)) {
                *best = Some((start, value));
            }
        }
        let mut traces: BTreeMap<&str, (Named, Named)> = BTreeMap::new();
        for span in &self.spans {
            let (Some(trace), attributes) = (&span.trace_id, &span.attributes) else { continue };
            let resource = &self.resources[span.resource];
            let named = |keys: &[&str]| attributes.text(keys).or_else(|| resource.text(keys));
            let session = named(call::CONVERSATION).or_else(|| {
                // Browsers have sessions too.
                let agentic = attributes.any_key(&["gen_ai.", "mcp.", "openinference.", "copilot_chat."]);
                named(call::SESSION).filter(|_| agentic)
            });
            let agent = named(call::AGENT);
            if session.is_some() || agent.is_some() {
                let start = span.start.unwrap_or(i64::MAX);
                let entry = traces.entry(trace).or_default();
                keep(&mut entry.0, start, session);
                keep(&mut entry.1, start, agent);
            }
        }
        out.events.extend(traces.into_iter().map(|(trace, (session, agent))| Event::Trace {
            trace_id: Text::from(trace),
            session_id: session.map_or_else(|| Text::from(trace), |(_, session)| session),
            agent: agent.map(|(_, agent)| agent),
        }));
    }

    /// Emits the tools that agents offered to their models, in the order of time.
    fn offers(&self, out: &mut Decoded) {
        let offers = |at: &usize| self.spans[*at].attributes.get(offered::DEFINITIONS).is_some();
        let mut found: Vec<usize> = (0..self.spans.len()).filter(offers).collect();
        if found.is_empty() {
            return;
        }
        found.sort_by_key(|at| self.spans[*at].start);
        let tree = Tree::of(&self.spans);
        for at in found {
            let (span, resource) = (&self.spans[at], &self.resources[self.spans[at].resource]);
            let family = tree.family(at);
            let inherited = |keys: &[&str]| family.iter().find_map(|attributes| attributes.text(keys));
            let (session, _) = call::session(span, resource, &inherited);
            offered::emit(&span.attributes, resource, session, span.start, out);
        }
    }

    /// Every call, once: spans of one process that describe the same call are folded into one.
    fn calls(&self) -> Vec<Call> {
        let found: Vec<(usize, Text, Role)> = (0..self.spans.len())
            .filter_map(|at| {
                let span = &self.spans[at];
                call::method(span, &self.resources[span.resource]).map(|(method, role)| (at, method, role))
            })
            .collect();
        if found.is_empty() {
            return Vec::new();
        }
        let tree = Tree::of(&self.spans);
        let mut calls: Vec<(usize, Role, Option<Call>)> = found
            .into_iter()
            .map(|(at, method, role)| {
                let family = tree.family(at);
                let span = &self.spans[at];
                (at, role, Some(call::call(self.format, span, &self.resources[span.resource], &family, method)))
            })
            .collect();
        self.fold(&tree, &mut calls);
        calls.into_iter().filter_map(|(_, _, call)| call).collect()
    }

    /// Folds nested spans of one call. An agent's `execute_tool` span goes into the protocol span below it, a
    /// library's client span into that of the library below it: the innermost client span is the one that the
    /// server's span names as its parent. Of nested server spans the outermost stays, for the same reason.
    fn fold(&self, tree: &Tree<'_>, calls: &mut [(usize, Role, Option<Call>)]) {
        let position: HashMap<usize, usize> = calls.iter().enumerate().map(|(i, (at, ..))| (*at, i)).collect();
        let mut order: Vec<(usize, usize)> =
            calls.iter().enumerate().map(|(i, (at, ..))| (tree.ancestors(*at).count(), i)).collect();
        order.sort_unstable();
        let mut folded = vec![false; calls.len()];
        for (_, inner) in order {
            let (at, role, _) = calls[inner];
            let mut above = tree.ancestors(at).enumerate().filter(|(_, up)| *up != at);
            let above = above.find_map(|(steps, up)| Some((steps, *position.get(&up)?)));
            let Some((steps, outer)) = above else { continue };
            let (outer_at, outer_role, _) = calls[outer];
            let (Some(mut below), Some(mut upper)) = (calls[inner].2.take(), calls[outer].2.take()) else { continue };
            let same = role == Role::Protocol && below.observer == upper.observer && same_target(&below, &upper);
            let siblings = steps == 0 && self.spans[at].resource == self.spans[outer_at].resource;
            // In a circle of parents one of them has to stay.
            if same && !folded[inner] && (outer_role == Role::Execution || siblings) {
                if below.observer == Observer::Server && !folded[outer] {
                    enrich(&mut upper, &below);
                    folded[inner] = true;
                } else if below.observer != Observer::Server {
                    enrich(&mut below, &upper);
                    folded[outer] = true;
                }
            }
            calls[inner].2 = Some(below);
            calls[outer].2 = Some(upper);
        }
        for (folded, call) in folded.into_iter().zip(calls) {
            if folded {
                call.2 = None;
            }
        }
    }
}

/// Who is whose parent within one record.
struct Tree<'s> {
    spans: &'s [Span<'s>],
    by_id: HashMap<(&'s str, &'s str), usize>,
}

impl<'s> Tree<'s> {
    fn of(spans: &'s [Span<'s>]) -> Self {
        let key = |(at, span): (usize, &'s Span<'s>)| Some(((span.trace_id.as_deref()?, span.id.as_deref()?), at));
        Self { spans, by_id: spans.iter().enumerate().filter_map(key).collect() }
    }

    /// The spans above this one, nearest first.
    fn ancestors(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let parent = |at: &usize| {
            let span = &self.spans[*at];
            self.by_id.get(&(span.trace_id.as_deref()?, span.parent.as_deref()?)).copied()
        };
        std::iter::successors(parent(&at), parent).take(MAX_ANCESTORS)
    }

    /// The attributes of a span and of those above it.
    fn family(&self, at: usize) -> Vec<&'s Attributes<'s>> {
        std::iter::once(at).chain(self.ancestors(at)).map(|at| &self.spans[at].attributes).collect()
    }
}

/// Whether two spans speak of the same tool. Agents often put a prefix before the name that the server knows.
fn same_target(a: &Call, b: &Call) -> bool {
    let prefixed = |long: &Text, short: &Text| {
        let prefix = long.strip_suffix(short.as_str());
        prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with(['_', '.', '-', '/', ':']))
    };
    a.method == b.method
        && match (&a.tool, &b.tool) {
            (Some(a), Some(b)) => prefixed(a, b) || prefixed(b, a),
            (None, None) => {
                a.more.as_ref().map(|m| &m.mcp_resource_uri) == b.more.as_ref().map(|m| &m.mcp_resource_uri)
            }
            _ => false,
        }
}

/// Adds to a call what another span of the same call knows better.
fn enrich(call: &mut Call, other: &Call) {
    fn fill<T: Clone>(empty: &mut Option<T>, value: &Option<T>) {
        if empty.is_none() {
            empty.clone_from(value);
        }
    }
    if call.arguments_state < other.arguments_state {
        call.arguments.clone_from(&other.arguments);
        (call.arguments_state, call.arguments_bytes) = (other.arguments_state, other.arguments_bytes);
    }
    // A failed attempt below a call that succeeded at last has its own end.
    let same_end = call.outcome == Outcome::Success || call.outcome == other.outcome;
    if same_end && call.result_state < other.result_state {
        call.result.clone_from(&other.result);
        (call.result_state, call.result_bytes) = (other.result_state, other.result_bytes);
    }
    if call.outcome == Outcome::Success && other.outcome != Outcome::Success {
        call.outcome = other.outcome;
        fill(&mut call.error_type, &other.error_type);
        fill(&mut call.error_message, &other.error_message);
        fill(&mut call.rpc_response_status_code, &other.rpc_response_status_code);
    }
    if same_end {
        fill(&mut call.is_error, &other.is_error);
    }
    if call.approval == Default::default() {
        call.approval = other.approval;
    }
    if call.session_source < other.session_source {
        (call.session_source, call.session_id) = (other.session_source, other.session_id.clone());
    }
    for (empty, value) in [
        (&mut call.mcp_session_id, &other.mcp_session_id),
        (&mut call.mcp_protocol_version, &other.mcp_protocol_version),
        (&mut call.tool_call_id, &other.tool_call_id),
        (&mut call.agent, &other.agent),
        (&mut call.user_id, &other.user_id),
        (&mut call.server, &other.server),
        (&mut call.server_address, &other.server_address),
        (&mut call.transport, &other.transport),
    ] {
        fill(empty, value);
    }
    if let Some(known) = &other.more {
        let more = call.more();
        for (empty, value) in [
            (&mut more.gen_ai_agent_id, &known.gen_ai_agent_id),
            (&mut more.gen_ai_request_model, &known.gen_ai_request_model),
            (&mut more.user_name, &known.user_name),
            (&mut more.user_email, &known.user_email),
        ] {
            fill(empty, value);
        }
        fill(&mut more.extra_json, &known.extra_json);
    }
    call.flags = call.flags.union(other.flags);
}
