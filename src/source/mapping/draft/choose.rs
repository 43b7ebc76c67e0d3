//! Fields → columns: each column takes the field that fits it best, each field serves one column.

use super::field::{Field, Fit};

/// What was chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) lines: Vec<Line>,
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) column: &'static str,
    pub(super) place: String,
    /// Keys beside `from`, as TOML.
    pub(super) options: Vec<(&'static str, Value)>,
    /// Not sure: it becomes a comment.
    pub(super) commented: bool,
    pub(super) note: Option<String>,
}

/// A value in a table of a column.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Values(Vec<(String, &'static str)>),
}

/// Priority of columns, which is also the order in which they are written.
const ORDER: &[&str] = &[
    "time_end",
    "time",
    "duration",
    "session_id",
    "agent",
    "user_id",
    "user_email",
    "client_name",
    "client_address",
    "server",
    "tool",
    "method",
    "arguments",
    "approval",
    "http_response_status_code",
    "rpc_response_status_code",
    "outcome",
    "result",
    "error_message",
    "trace_id",
    "span_id",
    "gen_ai_request_model",
    "host_name",
    "request_id",
];

/// The field that names the tool.
pub(super) fn tool(fields: &[Field]) -> Option<&Field> {
    best("tool", fields, &[]).map(|(field, _)| field).or_else(|| best("method", fields, &[]).map(|(field, _)| field))
}

/// The field that every call has: the method, where there is one, for not all calls are of tools.
pub(super) fn anchor(fields: &[Field]) -> Option<&Field> {
    let tool = tool(fields)?;
    best("method", fields, &[]).map(|(field, _)| field).filter(|field| field.present >= tool.present).or(Some(tool))
}

fn best<'f>(column: &str, fields: &'f [Field], taken: &[&str]) -> Option<(&'f Field, Fit)> {
    let is_free = |field: &&Field| !taken.contains(&field.place.as_str()) && !is_envelope(column, field, fields);
    let fits = fields.iter().filter(is_free).filter_map(|field| {
        let fit = field.fits().into_iter().find(|(known, _)| *known == column)?.1;
        Some((field, fit))
    });
    fits.max_by_key(|(field, fit)| {
        // `/tool/name` says more than `/tool`, deep repetitions say less. Of an error its message is wanted, not all that is known.
        let depth = field.place.matches('/').count();
        let is_text = column == "error_message" && !field.is_nested();
        (*fit, is_text, field.present, std::cmp::Reverse(depth))
    })
}

/// Whether the payload of the column stands one level below, as in JSON-RPC: `params` holds the tool's name and `arguments`, a
/// response its `result` or its `error`.
fn is_envelope(column: &str, field: &Field, fields: &[Field]) -> bool {
    let below = match column {
        "arguments" => ["arguments", "args"],
        "result" => ["result", "output"],
        _ => return false,
    };
    let name = field.place.rsplit('/').next().unwrap_or_default();
    let may_hold = ["params", "request", "response", "reply", "body", "message"].contains(&name);
    may_hold && below.iter().any(|key| fields.iter().any(|other| other.place == format!("{}/{key}", field.place)))
}

impl Chosen {
    /// Chooses for records of which there are `total`.
    pub(super) fn of(fields: &[Field], total: usize) -> Self {
        let mut taken: Vec<&str> = Vec::new();
        let mut found: Vec<(&'static str, &Field, Fit)> = Vec::new();
        // Names that mean one thing choose first, whatever the column.
        for strength in [Fit::Strong, Fit::Weak] {
            // The tool first: without it there is no call.
            for column in ["tool"].iter().chain(ORDER.iter().filter(|column| **column != "tool")) {
                if found.iter().any(|(known, ..)| known == column) {
                    continue;
                }
                let Some((field, fit)) = best(column, fields, &taken).filter(|(_, fit)| *fit == strength) else {
                    continue;
                };
                // Inside arguments and results every name occurs.
                let inside = |place: &str, field: &Field| {
                    field.place.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
                };
                if found
                    .iter()
                    .any(|(known, outer, _)| matches!(*known, "arguments" | "result") && inside(&outer.place, field))
                {
                    continue;
                }
                taken.push(&field.place);
                found.push((column, field, fit));
            }
        }
        let payloads: Vec<&str> = found
            .iter()
            .filter(|(column, ..)| matches!(*column, "arguments" | "result"))
            .map(|(_, field, _)| field.place.as_str())
            .collect();
        let in_payload = |field: &Field| {
            payloads.iter().any(|outer| field.place.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/')))
        };
        found.retain(|(_, field, _)| !in_payload(field));
        found.sort_by_key(|(column, ..)| ORDER.iter().position(|known| known == column));
        let mut chosen = Self::default();
        for (column, field, fit) in &found {
            let only_guess = *fit == Fit::Weak && *column != "tool";
            chosen.add(column, field, only_guess, total);
        }
        chosen.ended_with_duration();
        chosen
    }

    /// The place that fills a column.
    pub(super) fn place(&self, column: &str) -> Option<&str> {
        self.line(column).map(|line| line.place.as_str())
    }

    fn line(&self, column: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.column == column && !line.commented)
    }

    pub(super) fn add(&mut self, column: &'static str, field: &Field, only_guess: bool, total: usize) {
        let mut line = Line {
            column,
            place: field.place.clone(),
            options: Vec::new(),
            commented: only_guess,
            note: only_guess.then(|| "by its name, it may be this".to_owned()),
        };
        match column {
            "time" | "time_end" => {
                if let Some((format, bare)) = field.time_format() {
                    if format != "auto" {
                        line.options.push(("format", Value::Text(format.to_owned())));
                    }
                    if bare {
                        line.note = Some(
                            "no zone is logged: add zone = \"Europe/Berlin\" or the like unless it is UTC".to_owned(),
                        );
                    }
                }
            }
            "duration" => {
                let (unit, sure) = field.unit();
                line.options.push(("unit", Value::Text(unit.to_owned())));
                if !sure {
                    line.commented = true;
                    line.note = Some("the unit is a guess".to_owned());
                }
            }
            "outcome" | "approval" => {
                let (values, unknown) = if column == "outcome" { field.outcomes() } else { field.approvals() };
                if !unknown.is_empty() {
                    line.note = Some(format!("not understood: {}", unknown.join(", ")));
                }
                if values.is_empty() {
                    line.commented = true;
                }
                line.options.push(("values", Value::Values(values)));
            }
            "request_id" => {
                // An id that counts from 1 tells calls apart only together with other things.
                line.column =
                    if field.is_unique_by_itself() && field.differs() { "tool_call_id" } else { "jsonrpc_request_id" };
            }
            _ => {}
        }
        if let Some((before, tool)) = field.path().filter(|_| column == "tool") {
            if let Some(pattern) = before.filter(|_| self.place("server").is_none()) {
                let mut server = line.clone();
                server.column = "server";
                server.options.push(("regex", Value::Text(pattern.to_owned())));
                self.lines.push(server);
            }
            line.options.push(("regex", Value::Text(tool.to_owned())));
        } else if column == "tool"
            && self.place("server").is_none()
            && let Some(separator) = field.separator()
        {
            let separator = regex::escape(separator);
            let mut server = line.clone();
            server.column = "server";
            server.options.push(("regex", Value::Text(format!("^(.+?){separator}"))));
            line.options.push(("regex", Value::Text(format!("{separator}(.+)$"))));
            self.lines.push(server);
        }
        if field.present < total && line.note.is_none() {
            line.note = Some(format!("in {} of {total} records", field.present));
        }
        self.lines.push(line);
    }

    /// A record that tells how long a call took was written when the call had ended.
    pub(super) fn ended_with_duration(&mut self) {
        let has_duration = self.lines.iter().any(|line| line.column == "duration");
        if !has_duration || self.line("time_end").is_some() {
            return;
        }
        let starts =
            |place: &str| ["start", "begin", "request"].iter().any(|word| place.to_ascii_lowercase().contains(word));
        if let Some(line) = self.lines.iter_mut().find(|line| line.column == "time" && !starts(&line.place)) {
            line.column = "time_end";
            let note =
                "records with a duration are written when the call has ended; if this is its start, name it time";
            line.note = Some(match line.note.take() {
                Some(other) => format!("{note}; {other}"),
                None => note.to_owned(),
            });
        }
    }
}
