//! Rows of the small tables: connections, tool definitions, prompts, rejects.

use super::decode::{self, SourceView};
use super::rows::{self, Value};
use super::{Ingester, digest_of, hex_digest, reject_id};
use crate::call::{Call, Nanos, Text};
use crate::source::pairing::{ConnectionInfo, prompt_id};

/// Characters of a reject that are kept, to see what it was.
const FIRST_CHARS: usize = 200;

impl Ingester<'_> {
    pub(super) fn source_of(&self, call: &Call) -> Option<usize> {
        self.sources.at_path(call.source_file.as_deref()?)
    }

    /// One row of `connections` for each identity that a connection's calls show.
    pub(super) fn connection(&mut self, call: &Call) {
        if call.server.is_none() && call.server_info_name.is_none() {
            return;
        }
        let more = call.more.as_deref();
        let of_more = |field: fn(&crate::call::More) -> Option<&str>| more.and_then(field);
        let parts: [Option<&str>; 11] = [
            call.connection_id.as_deref().or(call.session_id.as_deref()),
            call.server.as_deref(),
            call.server_info_name.as_deref(),
            call.server_info_version.as_deref(),
            call.mcp_protocol_version.as_deref(),
            call.client_name.as_deref(),
            call.client_version.as_deref(),
            call.transport.as_deref(),
            call.server_address.as_deref(),
            of_more(|m| m.server_url.as_deref()),
            of_more(|m| m.server_command.as_deref()),
        ];
        // Nearly every call repeats the identity of the one before it.
        if !self.identities.insert(self.identities.hasher().hash_one(parts)) {
            return;
        }
        let mut row = vec![Value::Text(digest_of(&parts))];
        row.push(parts[0].into());
        row.push(Value::Time(call.time));
        row.push((&call.session_id).into());
        row.extend(parts[1..].iter().map(|part| Value::from(*part)));
        row.extend([Value::Null, Value::Null, Value::Texts(Vec::new())]);
        row.push(Value::Text(call.source_format.to_string()));
        row.push((&call.source_file).into());
        self.writer.row("connections", row);
    }

    pub(super) fn instructions(
        &mut self,
        server: Option<Text>,
        time: Option<Nanos>,
        text: &str,
        connection: &ConnectionInfo,
        view: Option<&SourceView>,
    ) {
        let enriched = self.enricher.text(text, "instructions");
        let server = server.or_else(|| connection.server.clone());
        let hash = hex_digest(text.as_bytes());
        let identity =
            digest_of(&[Some(&connection.connection_id), server.as_deref(), Some("instructions"), Some(&hash)]);
        let mut row = vec![
            Value::Text(identity),
            Value::Text(connection.connection_id.to_string()),
            Value::Time(time),
            (&connection.session_id).into(),
            (&server).into(),
        ];
        row.extend(std::iter::repeat_n(Value::Null, 9));
        row.push(Value::Text(enriched.text));
        row.push(Value::Text(hash));
        row.push(rows::marker_kinds(&enriched.markers));
        row.push(view.and_then(|v| v.format()).map(|f| f.id()).into());
        row.push(view.map(|v| v.file.as_str()).into());
        self.writer.row("connections", row);
    }

    pub(super) fn tool(
        &mut self,
        tool: crate::call::ToolDefinition,
        time: Option<Nanos>,
        connection: ConnectionInfo,
        view: Option<&SourceView>,
    ) {
        let hash = rows::hash(tool.hash.as_ref());
        let hash_text = if let Value::Text(text) = &hash { Some(text.as_str()) } else { None };
        let moment = time.map(|t| t.to_string());
        // One sighting of a definition per server, session and moment, in however many exports it stands.
        let id = digest_of(&[
            tool.server.as_deref(),
            Some(&tool.tool),
            hash_text,
            connection.session_id.as_deref(),
            moment.as_deref(),
        ]);
        let row = vec![
            Value::Text(id),
            Value::Time(time),
            (&connection.session_id).into(),
            Value::Text(connection.connection_id.to_string()),
            (&tool.server).into(),
            Value::Text(tool.tool.to_string()),
            tool.description.as_deref().into(),
            tool.input_schema.as_deref().into(),
            tool.annotations.as_deref().into(),
            Value::Text(tool.definition),
            hash,
            Value::Bool(tool.name_only),
            Value::Texts(crate::call::capability_names(tool.capabilities)),
            rows::marker_kinds(&tool.markers),
            view.and_then(|v| v.format()).map(|f| f.id()).into(),
            view.map(|v| v.file.as_str()).into(),
        ];
        self.writer.row("tool_definitions", row);
    }

    pub(super) fn prompt(&mut self, at: usize, prompt: crate::call::Prompt, view: Option<&SourceView>) {
        // The text is redacted already; observables and tokens are taken from it again, because only a call carries them along.
        let enriched = self.enricher.text(&prompt.text, "prompt");
        let id = prompt_id(prompt.session_id.as_deref(), prompt.native_id.as_deref(), prompt.time, &prompt.text);
        let tokens = crate::enrich::hashed_tokens(&prompt.text, &self.lake.key());
        let row = vec![
            Value::Text(id.to_string()),
            (&prompt.session_id).into(),
            Value::Time(prompt.time),
            (&prompt.agent).into(),
            (&prompt.client_name).into(),
            Value::Text(prompt.text),
            Value::Texts(enriched.observables.into_iter().map(|o| o.value.into()).collect()),
            Value::Texts(tokens),
            Value::Text(prompt.source_format.to_string()),
            view.map(|v| v.file.as_str()).into(),
            Value::Int(prompt.source.line),
            Value::Day(crate::call::partition_day(prompt.time)),
        ];
        if self.writer.row("prompts", row) {
            self.summary.prompts += 1;
            if let Some(source) = self.sources.rows.get_mut(at) {
                source.prompts += 1;
            }
        }
    }

    pub(super) fn reject(&mut self, at: usize, piece: &decode::RejectedPiece) {
        let source = &self.sources.rows[at];
        // Redacted before it is cut: half a secret has no shape.
        let first_bytes: String =
            self.enricher.text(&piece.first_bytes, "reject").text.chars().take(FIRST_CHARS).collect();
        let row = vec![
            Value::Text(reject_id(&source.source_id, piece.position.offset as u64)),
            Value::Text(source.source_id.clone()),
            Value::Text(source.path.clone()),
            source.format.as_deref().into(),
            Value::Int(piece.position.line),
            Value::Int(piece.position.offset),
            Value::Int(piece.position.length),
            Value::Text(piece.reason.clone()),
            Value::Text(first_bytes),
            Value::Time(Some(self.now)),
        ];
        self.writer.row("rejects", row);
    }
}
