//! Which MCP method, tool and server an API Activity event means, and how the call ended.

use crate::call::{Approval, Call, EventKind, Outcome, Text};
use crate::source::json::Object;

/// Methods as they start: what stands behind a slash.
const FAMILIES: &[&str] = &[
    "tools/",
    "resources/",
    "prompts/",
    "completion/",
    "sampling/",
    "elicitation/",
    "roots/",
    "tasks/",
    "logging/",
    "server/discover",
    "subscriptions/",
    "notifications/",
];

/// What an event says of MCP.
pub(super) struct Facts {
    pub(super) method: String,
    target: Option<Text>,
    server: Option<Text>,
}

impl Facts {
    /// Reads them; `None`: the event is of another API. Called for every event, so it looks at few members.
    pub(super) fn of(event: &Object<'_>) -> Option<Self> {
        let api = event.object("api");
        let operation = api.str("operation").unwrap_or_default();
        let (method, rest) = operation.split_once(' ').unwrap_or((operation.as_ref(), ""));
        let service = api.object("service").text("name");
        if is_method(method) && (method.contains('/') || says_mcp(service.as_deref())) {
            // The resource has the name alone where the operation has it too.
            let target = resource(event).map(|(name, _)| name).or_else(|| (!rest.is_empty()).then(|| Text::from(rest)));
            let server = service.or_else(|| event.object("message_context").object("service").text("name"));
            return Some(Self { method: method.to_owned(), target, server });
        }
        if let Some(method) = event.str("method").filter(|method| is_method(method)) {
            // A flat event: the class is all that it has of the schema.
            let (target, server) = (event.text("target"), event.text("upstream"));
            return (event.has("decision") || event.has("target_type")).then(|| Self {
                method: method.into_owned(),
                target,
                server,
            });
        }
        if says_mcp(service.as_deref()) || says_mcp(api.str("service").as_deref()) {
            let (name, kind) = resource(event)?;
            return kind.contains("tool").then(|| Self {
                method: "tools/call".to_owned(),
                target: Some(name),
                // A kind of service and no server's name.
                server: service.filter(|name| name != "mcp" && !name.starts_with("mcp.")),
            });
        }
        None
    }

    /// Whether the method is one that has a target of its own beside arguments.
    pub(super) fn names_target(&self) -> bool {
        matches!(self.method.as_str(), "tools/call" | "prompts/get")
    }

    pub(super) fn apply(self, call: &mut Call) {
        match self.method.as_str() {
            "tools/call" => {
                call.tool = call.tool.take().or(self.target);
                call.tool_raw.clone_from(&call.tool);
            }
            "prompts/get" => {
                let more = call.more();
                more.gen_ai_prompt_name = more.gen_ai_prompt_name.take().or(self.target);
            }
            "resources/read" => {
                let more = call.more();
                more.mcp_resource_uri = more.mcp_resource_uri.take().or(self.target);
            }
            note if note.starts_with("notifications/") => call.event_kind = EventKind::Notification,
            _ => {}
        }
        call.method = Text::from(self.method);
        call.server = self.server;
    }
}

fn is_method(text: &str) -> bool {
    matches!(text, "initialize" | "ping") || FAMILIES.iter().any(|family| text.starts_with(family))
}

fn says_mcp(service: Option<&str>) -> bool {
    service.is_some_and(|name| name.split(['.', '-', '_', ' ', ':']).any(|part| part.eq_ignore_ascii_case("mcp")))
}

/// Name and kind of the first resource, which is what was called.
fn resource(event: &Object<'_>) -> Option<(Text, String)> {
    let first = event.array("resources").first().map(|raw| Object::trusted(raw))?;
    let kind = first.str("type").unwrap_or_default().to_ascii_lowercase();
    Some((first.text("name").or_else(|| first.text("uid"))?, kind))
}

/// How the call ended: a refusal, else the status, of which the code of the answer tells more.
pub(super) fn outcome(event: &Object<'_>, call: &mut Call) {
    let answer = event.object("api").object("response");
    let detail = [event.str("status_detail"), answer.str("error_message"), answer.str("message")];
    let detail = detail.into_iter().flatten().find(|text| !text.is_empty()).map(|text| text.into_owned());
    let decision = event.str("decision").unwrap_or_default().to_ascii_lowercase();
    // Profile `security_control`: 2 is denied, and blocked.
    let refused = event.int("action_id") == Some(2) || event.int("disposition_id") == Some(2);
    if refused || matches!(decision.as_str(), "deny" | "denied" | "block" | "blocked" | "escalate") {
        (call.outcome, call.approval) = (Outcome::Denied, Approval::PolicyDenied);
        call.error_message = detail.or_else(|| event.str("reason").map(|text| text.into_owned()));
        return;
    }
    if decision == "allow" || event.int("action_id") == Some(1) {
        call.approval = Approval::AutoAllowed;
    }
    let said = event.str("status").unwrap_or_default().to_ascii_lowercase();
    let failed = event.int("status_id") == Some(2) || said == "failure";
    let code = answer.int("code").and_then(|code| i32::try_from(code).ok());
    call.more().http_response_status_code = code.filter(|code| (100..600).contains(code));
    if !failed {
        if call.outcome == Outcome::Unknown && (event.int("status_id") == Some(1) || said == "success") {
            call.outcome = Outcome::Success;
        }
        return;
    }
    call.error_message = detail;
    call.error_type = answer.text("error").or_else(|| code.map(|code| Text::from(code.to_string())));
    call.outcome = match code {
        Some(code) if code <= -32000 => {
            call.rpc_response_status_code = Some(code);
            Outcome::ProtocolError
        }
        Some(408 | 504) => Outcome::Timeout,
        Some(400..600) => Outcome::TransportError,
        _ => Outcome::ToolError,
    };
}
