//! Definitions of tools that an agent offered to its model (`gen_ai.tool.definitions`): they stand at every request to a model, of
//! which most repeat the one before. Of which server a tool is they do not say, unless its name does.

use super::call::SERVER;
use super::span::{self, Attributes};
use crate::call::{Nanos, Text, ToolDefinition};
use crate::source::format::shared::host;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event};

/// The attribute of the semantic conventions. They want it structured; most write JSON in a string.
pub(super) const DEFINITIONS: &str = "gen_ai.tool.definitions";
/// Kinds of tools that an application may have from a server; others are services of the model's provider.
const KINDS: &[&str] = &["", "function", "custom", "extension", "mcp"];
/// Members that hold the definitions, where those of a provider were kept as they are (Google, AWS).
const LISTS: &[&str] = &["functionDeclarations", "function_declarations"];
/// Members around one definition.
const AROUND: &[&str] = &["function", "toolSpec"];
const SCHEMA: &[&str] =
    &["parameters", "inputSchema", "input_schema", "parametersJsonSchema", "parameters_json_schema"];

/// Emits what a span, or an event, offers in a session.
pub(in crate::source::format) fn emit(
    attributes: &Attributes<'_>,
    resource: &Attributes<'_>,
    session: Option<Text>,
    time: Option<Nanos>,
    out: &mut Decoded,
) {
    let Some(value) = attributes.get(DEFINITIONS) else { return };
    // Copilot marks the tools that it has from servers.
    let is_marked = attributes.any_key(&["github.copilot.", "copilot_chat."])
        || resource.string(&["service.name"]).is_some_and(|name| name.contains("copilot"));
    let server = attributes.text(SERVER);
    let mut tools = Vec::new();
    let text = span::string(value).map_or_else(|| span::to_json(value), |text| text.into_owned());
    list(&text, |raw| {
        let Ok(object) = Object::parse(raw) else { return };
        match LISTS.iter().find_map(|key| object.get(key)) {
            Some(inner) => list(inner, |raw| tools.extend(one(raw))),
            None => tools.extend(one(raw)),
        }
    });
    tools.retain(|tool| !is_marked || tool.tool.starts_with("mcp_"));
    for tool in &mut tools {
        match host::mcp_name(&tool.tool) {
            Some((server, name)) => (tool.server, tool.tool) = (Some(server), name),
            None => tool.server.clone_from(&server),
        }
    }
    if !tools.is_empty() {
        let lane = session.clone().unwrap_or_default();
        out.events.push(Event::Tools { lane, session, time, tools });
    }
}

/// The definitions in a text that nothing has validated: an array of objects, or of strings with one each, perhaps cut off.
fn list(text: &str, mut take: impl FnMut(&str)) {
    for element in json::elements(text) {
        match json::string(element) {
            Some(text) => take(&text),
            None => take(element),
        }
    }
}

fn one(raw: &str) -> Option<ToolDefinition> {
    let object = Object::parse(raw).ok()?;
    if !KINDS.contains(&object.str("type").unwrap_or_default().as_ref()) {
        return None;
    }
    let inner = AROUND.iter().map(|key| object.object(key)).find(|inner| inner.has("name"));
    let tool = inner.unwrap_or_else(|| object.clone());
    let member = |key: &str| tool.get(key).filter(|raw| *raw != "null");
    let description = tool.str("description").filter(|text| !text.is_empty()).map(|text| text.into_owned());
    let schema = SCHEMA.iter().find_map(|key| member(key));
    Some(ToolDefinition {
        tool: tool.text("name")?,
        name_only: description.is_none() && schema.is_none(),
        description,
        input_schema: schema.map(str::to_owned),
        annotations: member("annotations").map(str::to_owned),
        definition: raw.to_owned(),
        ..ToolDefinition::default()
    })
}

#[cfg(test)]
mod tests;
