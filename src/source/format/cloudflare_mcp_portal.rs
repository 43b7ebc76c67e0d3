//! Cloudflare MCP server portals: the Logpush dataset `mcp_portal_logs`, one JSON object per request of a client to a
//! portal.
//!
//! No payloads, no client, no JSON-RPC id. `Datetime` is RFC 3339 or a count since the epoch in a unit that the Logpush
//! job chooses; with whole seconds, two equal calls within one are told apart by how long they took. `Success` does not
//! say what kind of failure it was.

use super::{Decoded, LogFormat, Record, Reject, shared::gateway};
use crate::call::{EventKind, Outcome, Text};
use crate::source::{Event, Lane, time};

const ID: &str = "cloudflare_mcp_portal";

/// Cloudflare's MCP portal logs.
pub struct CloudflareMcpPortal;

impl LogFormat for CloudflareMcpPortal {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Cloudflare MCP portal logs (Logpush, JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "Cloudflare's documentation of the dataset; no log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            // An agent's hook may be given such a record; it says so by a member that the portal does not write.
            ["PortalID", "ServerID", "Method"].iter().all(|key| line.has(key)) && !line.has("hook_event_name")
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        let mut call = gateway::gateway_call(ID, line.text("Method"));
        let at = time::member(line, "Datetime");
        gateway::started(
            &mut call,
            at.map(|(nanos, _)| nanos),
            gateway::milliseconds(line, "ServerResponseDurationMs"),
        );
        if at.is_some_and(|(_, assumed)| assumed) {
            gateway::zone(&mut call, true);
        }
        gateway::mcp_session(&mut call, line.text("SessionID"));
        gateway::payloads_not_logged(&mut call);
        call.transport = Some(Text::const_new("http"));
        call.server = line.text("ServerID");
        call.tool = line.text("ToolCallName");
        call.tool_raw.clone_from(&call.tool);
        call.user_id = line.text("UserID").or_else(|| line.text("UserEmail"));
        let error = line.str("Error").filter(|text| !text.is_empty()).map(|text| text.into_owned());
        // Tables that logs were loaded into write truth values in several ways.
        let success = match line.get("Success").unwrap_or_default().trim_matches('"') {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        call.outcome = match success {
            Some(true) => Outcome::Success,
            // The portal answers for the server in JSON-RPC, whatever went wrong behind it.
            Some(false) => Outcome::ProtocolError,
            None if error.is_some() => Outcome::ProtocolError,
            None => Outcome::Unknown,
        };
        call.error_message = error.filter(|_| call.outcome == Outcome::ProtocolError);
        let rest = ["PortalID", "PortalAUD", "ServerAUD", "ClientCountry", "ColoCode"];
        let extra = gateway::extra(gateway::members(line, &rest));
        let more = call.more();
        more.user_email = line.text("UserEmail");
        more.client_address = line.text("ClientIP");
        more.server_url = line.text("ServerURL");
        more.gen_ai_prompt_name = line.text("PromptGetName");
        more.mcp_resource_uri = line.text("ResourceReadURI");
        more.extra_json = extra;
        let lane = match &call.session_id {
            Some(_) if call.event_kind == EventKind::Call => {
                let took = call.duration_ns.map_or_else(String::new, |duration| duration.to_string());
                format!("{}|{took}", call.server.as_deref().unwrap_or_default())
            }
            _ => line.text("ClientIP").map(String::from).unwrap_or_default(),
        };
        out.events.push(Event::Call { lane: Lane::from(lane), call });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
