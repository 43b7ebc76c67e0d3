//! What a connection or a source says once for all of its calls.

use crate::call::{Approval, Call, More, SessionSource, Text};
use serde::{Deserialize, Serialize};

/// Fields that are filled into calls in which they are empty. There is one for each connection that is remembered, so it is
/// smaller than a [`Call`]; its members have the names of the call's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Context {
    pub(super) session_id: Option<Text>,
    session_source: SessionSource,
    mcp_session_id: Option<Text>,
    pub(super) agent: Option<Text>,
    pub(super) client_name: Option<Text>,
    client_version: Option<Text>,
    user_id: Option<Text>,
    pub(super) server: Option<Text>,
    pub(super) server_info_name: Option<Text>,
    server_info_version: Option<Text>,
    transport: Option<Text>,
    server_address: Option<Text>,
    mcp_protocol_version: Option<Text>,
    approval: Approval,
    more: Option<Box<More>>,
    /// The format whose calls it fills, of a source's context.
    pub(super) source_format: Text,
}

/// Fills what is empty on the left from the right: calls and contexts, in any combination.
macro_rules! fill_empty {
    ($to:expr, $from:expr) => {{
        let (to, from) = ($to, $from);
        if to.session_id.is_none() && from.session_id.is_some() {
            to.session_source = from.session_source;
        }
        fill(&mut to.session_id, &from.session_id);
        fill(&mut to.mcp_session_id, &from.mcp_session_id);
        fill(&mut to.agent, &from.agent);
        fill(&mut to.client_name, &from.client_name);
        fill(&mut to.client_version, &from.client_version);
        fill(&mut to.user_id, &from.user_id);
        fill(&mut to.server, &from.server);
        fill(&mut to.server_info_name, &from.server_info_name);
        fill(&mut to.server_info_version, &from.server_info_version);
        fill(&mut to.transport, &from.transport);
        fill(&mut to.server_address, &from.server_address);
        fill(&mut to.mcp_protocol_version, &from.mcp_protocol_version);
        if to.approval == Approval::Unknown {
            to.approval = from.approval;
        }
        if let Some(from) = &from.more {
            fill_more(to.more.get_or_insert_default(), from);
        }
    }};
}

fn fill<T: Clone>(to: &mut Option<T>, from: &Option<T>) {
    if to.is_none() {
        to.clone_from(from);
    }
}

fn fill_more(to: &mut More, from: &More) {
    fill(&mut to.gen_ai_agent_id, &from.gen_ai_agent_id);
    fill(&mut to.agent_is_subagent, &from.agent_is_subagent);
    fill(&mut to.gen_ai_request_model, &from.gen_ai_request_model);
    fill(&mut to.user_name, &from.user_name);
    fill(&mut to.user_email, &from.user_email);
    fill(&mut to.cwd, &from.cwd);
    fill(&mut to.git_branch, &from.git_branch);
    fill(&mut to.server_url, &from.server_url);
    fill(&mut to.server_command, &from.server_command);
    fill(&mut to.approval_policy, &from.approval_policy);
    fill(&mut to.approval_source, &from.approval_source);
    fill(&mut to.host_name, &from.host_name);
    fill(&mut to.source_format_version, &from.source_format_version);
}

/// Fills a half from the other one: some logs name the server, the user or the session only where the call ends.
pub(super) fn fill_from_half(call: &mut Call, other: &Call) {
    fill_empty!(call, other);
}

impl Context {
    /// Fills empty fields of a call. What a policy means for each call it means for those that were made under it.
    pub(super) fn fill(&self, call: &mut Call) {
        let approval = call.approval;
        let policy = |more: &Option<Box<More>>| more.as_ref().and_then(|more| more.approval_policy.clone());
        let is_of_another = policy(&call.more).is_some_and(|known| policy(&self.more).is_some_and(|own| own != known));
        fill_empty!(&mut *call, self);
        if is_of_another {
            call.approval = approval;
        }
    }

    /// Lets a newer one win. What the policy of before meant for each call is over with it.
    pub(super) fn overlay(&mut self, mut newer: Self) {
        let of_policy =
            newer.more.as_ref().is_some_and(|more| more.approval_policy.is_some()).then_some(newer.approval);
        fill_empty!(&mut newer, &*self);
        newer.approval = of_policy.unwrap_or(newer.approval);
        *self = newer;
    }

    /// What the hello of a client says.
    pub(super) fn of_client(call: &Call) -> Self {
        Self {
            client_name: call.client_name.clone(),
            client_version: call.client_version.clone(),
            mcp_protocol_version: call.mcp_protocol_version.clone(),
            ..Self::default()
        }
    }

    /// What the answer to it says.
    pub(super) fn of_server(call: &Call) -> Self {
        Self {
            server_info_name: call.server_info_name.clone(),
            server_info_version: call.server_info_version.clone(),
            mcp_protocol_version: call.mcp_protocol_version.clone(),
            ..Self::default()
        }
    }
}

impl From<Call> for Context {
    fn from(call: Call) -> Self {
        Self {
            session_id: call.session_id,
            session_source: call.session_source,
            mcp_session_id: call.mcp_session_id,
            agent: call.agent,
            client_name: call.client_name,
            client_version: call.client_version,
            user_id: call.user_id,
            server: call.server,
            server_info_name: call.server_info_name,
            server_info_version: call.server_info_version,
            transport: call.transport,
            server_address: call.server_address,
            mcp_protocol_version: call.mcp_protocol_version,
            approval: call.approval,
            more: call.more,
            source_format: call.source_format,
        }
    }
}
