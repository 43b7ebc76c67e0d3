//! Flows of calls that are all at hand: a rule's cases, tests.

use super::flow::Flow;
use super::index::{CallText, Moment};
use super::scan::Scratch;
use super::session::Session;
use crate::call::{Call, EventKind, Text};
use std::collections::BTreeMap;

/// Methods whose arguments and results are data of the agent's work.
pub(super) const METHODS: &[&str] = &["tools/call", "resources/read", "prompts/get"];

impl CallText {
    /// The call as lineage looks at it; `None` of a record that is no use of a tool.
    pub fn of(call: &Call) -> Option<Self> {
        if call.event_kind != EventKind::Call || !METHODS.contains(&call.method.as_str()) {
            return None;
        }
        let micros = |time: Option<i64>| time.map(|nanos| nanos.div_euclid(1000));
        let file: std::sync::Arc<str> = call.source_file.as_deref().unwrap_or_default().into();
        let more = call.more.as_deref();
        let own = [call.user_id.as_ref(), call.agent.as_ref()]
            .into_iter()
            .chain(more.iter().flat_map(|more| {
                [&more.user_name, &more.user_email, &more.cwd, &more.git_branch, &more.host_name].map(Option::as_ref)
            }))
            .flatten()
            .cloned();
        Some(Self {
            call_id: call.call_id.clone(),
            agent: call.agent.clone(),
            asked: Moment { time: micros(call.time), file: file.clone(), offset: call.source.offset },
            known: Moment {
                time: micros(call.time_end.or(call.time)),
                file,
                offset: call.response.map_or(call.source.offset, |response| response.offset),
            },
            server: call.server.clone(),
            tool: call.tool.clone(),
            capabilities: call.capabilities,
            arguments: call.arguments.clone(),
            own: own.collect(),
        })
    }
}

/// A request of the user.
#[derive(Clone, Debug, Default)]
pub struct PromptText {
    pub session_id: Text,
    pub at: Moment,
    pub text: String,
}

/// The flows of these calls, by session.
pub fn flows_of(calls: &[Call], prompts: &[PromptText]) -> Vec<Flow> {
    let mut sessions: BTreeMap<&Text, Vec<(CallText, &Call)>> = BTreeMap::new();
    for call in calls {
        if let (Some(session), Some(text)) = (&call.session_id, CallText::of(call)) {
            sessions.entry(session).or_default().push((text, call));
        }
    }
    let mut scratch = Scratch::default();
    let mut flows = Vec::new();
    for (id, calls) in sessions {
        let (texts, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let session = Session::new(id.clone(), texts);
        for prompt in prompts.iter().filter(|prompt| prompt.session_id == *id) {
            session.prompt(&prompt.at, &prompt.text, &mut scratch);
        }
        for call in calls {
            if let Some(result) = &call.result {
                session.result(&call.call_id, result, &mut scratch);
            }
        }
        flows.extend(session.finish());
    }
    flows
}
