//! What rules need a log to carry: the words of the header keys `needs` and `helps`.
//!
//! Logs differ: many hold no payloads at all, few hold approvals. A rule says what it is blind without (`needs`) and
//! what sharpens it (`helps`), in the words of [`FIELDS`]. Each word knows the columns that stand for it, so that a
//! header can be compared with its query, and how to see in a lake whether a log has it.

use std::collections::BTreeSet;
use std::fmt;

/// One thing that a log may carry.
#[derive(Debug)]
pub struct LogField {
    /// The word in a rule's header.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// How to have it logged.
    pub advice: &'static str,
    /// `table.column` of what is only there if the log carries it; a column reads as many words as name it.
    columns: &'static [&'static str],
    /// Condition on a row of [`Self::table`] that holds where the log carries it.
    pub present: &'static str,
    /// The table whose rows are looked at.
    pub table: &'static str,
    /// Nearly every rule reads it: a header need not say so.
    common: bool,
}

const CALLS: &str = "calls";

/// Every word, in the order of the documentation.
pub static FIELDS: &[LogField] = &[
    LogField {
        name: "times",
        meaning: "when the call was made",
        advice: "log a timestamp with each call",
        columns: &["calls.time"],
        present: "time IS NOT NULL",
        table: CALLS,
        common: true,
    },
    LogField {
        name: "sessions",
        meaning: "which conversation it belongs to, named by the log",
        advice: "log the id of the conversation or of the MCP session",
        columns: &["calls.session_id"],
        present: "session_id IS NOT NULL AND session_source IN ('conversation', 'mcp_session', 'trace')",
        table: CALLS,
        common: true,
    },
    LogField {
        name: "agents",
        meaning: "which agent or client made the call",
        advice: "log the name of the agent or client",
        columns: &["calls.agent"],
        present: "agent IS NOT NULL",
        table: CALLS,
        common: true,
    },
    LogField {
        name: "users",
        meaning: "for whom it was made",
        advice: "log the authenticated user with each call",
        columns: &["calls.user_id", "calls.user_name", "calls.user_email"],
        present: "user_id IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "servers",
        meaning: "which server was called",
        advice: "log the name of the server",
        columns: &["calls.server"],
        present: "server IS NOT NULL",
        table: CALLS,
        common: true,
    },
    LogField {
        name: "tools",
        meaning: "which tool was called",
        advice: "log the name of the tool",
        columns: &["calls.tool"],
        present: "method <> 'tools/call' OR tool IS NOT NULL",
        table: CALLS,
        common: true,
    },
    LogField {
        name: "outcomes",
        meaning: "how the call ended",
        advice: "log responses, or a status, with each call",
        columns: &["calls.outcome"],
        present: "coalesce(outcome, 'unknown') <> 'unknown'",
        table: CALLS,
        common: true,
    },
    LogField {
        name: "arguments",
        meaning: "the text of the arguments",
        advice: "log the arguments of calls (OpenTelemetry: gen_ai.tool.call.arguments)",
        columns: &["calls.arguments", "flows.*"],
        present: "arguments_state IN ('present', 'truncated', 'none')",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "results",
        meaning: "the text of the results",
        advice: "log the results of calls (OpenTelemetry: gen_ai.tool.call.result)",
        columns: &["calls.result", "flows.*"],
        present: "result_state IN ('present', 'truncated', 'none')",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "argument_sizes",
        meaning: "how many bytes the arguments had, or their hash",
        advice: "log the arguments of calls, or their size",
        columns: &["calls.arguments_bytes", "calls.arguments_hash"],
        present: "arguments_bytes IS NOT NULL OR arguments_state = 'none'",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "result_sizes",
        meaning: "how many bytes the results had, or their hash",
        advice: "log the results of calls, or their size",
        columns: &["calls.result_bytes", "calls.result_hash"],
        present: "result_bytes IS NOT NULL OR result_state = 'none'",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "errors",
        meaning: "what an error said",
        advice: "log the error message or code of failed calls",
        columns: &[
            "calls.error_message",
            "calls.error_type",
            "calls.rpc_response_status_code",
            "calls.http_response_status_code",
        ],
        present: "outcome NOT IN ('tool_error', 'protocol_error', 'transport_error') \
                  OR error_message IS NOT NULL OR error_type IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "durations",
        meaning: "how long the call took",
        advice: "log a duration, or the times of request and response",
        columns: &["calls.duration_ns", "calls.time_end"],
        present: "duration_ns IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "approvals",
        meaning: "whether somebody was asked, and what the answer was",
        advice: "log permission decisions: transcripts of agents and gateways with policies have them",
        columns: &["calls.approval", "calls.approval_source", "calls.approval_policy"],
        present: "coalesce(approval, 'unknown') <> 'unknown'",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "approval_times",
        meaning: "how long the answer took",
        advice: "log when permission was asked for and when it was given",
        columns: &["calls.approval_wait_ns"],
        present: "approval NOT IN ('user_allowed', 'user_denied') OR approval_wait_ns IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "request_ids",
        meaning: "JSON-RPC ids of requests and responses",
        advice: "log the JSON-RPC messages themselves, or their ids",
        columns: &["calls.jsonrpc_request_id"],
        present: "jsonrpc_request_id IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "protocol_messages",
        meaning: "messages other than tool calls: initialize, lists, resources, sampling, elicitation, notifications",
        advice: "log all JSON-RPC messages of a connection, not only tool calls",
        columns: &[],
        present: "method IS NOT NULL AND method NOT IN ('tools/call', 'unknown')",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "annotations",
        meaning: "what a server declared about its tools (readOnlyHint and the like)",
        advice: "log tools/list responses",
        columns: &[
            "calls.ann_read_only",
            "calls.ann_destructive",
            "calls.ann_idempotent",
            "calls.ann_open_world",
            "tool_definitions.annotations",
        ],
        present: "tool_annotations_known",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "tool_lists",
        meaning: "which tools a server offered",
        advice: "log tools/list responses, or at least the names of tools offered",
        columns: &["tool_definitions.*"],
        present: "true",
        table: "tool_definitions",
        common: false,
    },
    LogField {
        name: "definitions",
        meaning: "descriptions and schemas of tools",
        advice: "log tools/list responses whole",
        columns: &[
            "tool_definitions.description",
            "tool_definitions.input_schema",
            "tool_definitions.definition",
            "tool_definitions.definition_hash",
            "tool_definitions.markers",
            "calls.tool_def_hash",
        ],
        present: "NOT coalesce(name_only, false)",
        table: "tool_definitions",
        common: false,
    },
    LogField {
        name: "connections",
        meaning: "how servers presented themselves: name, version, instructions",
        advice: "log initialize responses",
        columns: &["connections.*", "calls.server_info_name", "calls.server_info_version"],
        present: "server_info_name IS NOT NULL",
        table: "connections",
        common: false,
    },
    LogField {
        name: "server_addresses",
        meaning: "where servers are: URL, host or command",
        advice: "log the server's URL or the command that starts it",
        columns: &[
            "calls.server_address",
            "calls.server_url",
            "calls.server_command",
            "connections.server_url",
            "connections.server_command",
            "connections.server_address",
        ],
        present: "server_address IS NOT NULL OR server_url IS NOT NULL OR server_command IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "client_addresses",
        meaning: "from which machine or address the agent worked",
        advice: "log the client's address or host name",
        columns: &["calls.client_address", "calls.host_name"],
        present: "client_address IS NOT NULL OR host_name IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "identities",
        meaning: "how the caller was authenticated, and who acts for whom",
        advice: "log the method of authentication and the subject of the token",
        columns: &["calls.auth_method", "calls.auth_subject", "calls.delegation_chain", "calls.principal_type"],
        present: "auth_method IS NOT NULL OR auth_subject IS NOT NULL OR principal_type IS NOT NULL",
        table: CALLS,
        common: false,
    },
    LogField {
        name: "prompts",
        meaning: "what the user asked for",
        advice: "log the user's prompts: transcripts of agents and OpenTelemetry logs have them",
        columns: &["prompts.*"],
        present: "true",
        table: "prompts",
        common: false,
    },
];

/// One entry of `needs` or `helps`: any of these words will do.
#[derive(Clone, Debug)]
pub struct Need(Vec<&'static LogField>);

impl Need {
    /// The words, any of which will do.
    pub fn any_of(&self) -> &[&'static LogField] {
        &self.0
    }
}

impl PartialEq for Need {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|field| field.name).eq(other.0.iter().map(|field| field.name))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|field| field.name).collect();
        f.write_str(&names.join("|"))
    }
}

/// The word of this name.
pub fn field(name: &str) -> Option<&'static LogField> {
    FIELDS.iter().find(|field| field.name == name)
}

/// The words that a stored column (`table.column`) stands for, without those that go without saying.
pub(super) fn words_of(column: &str) -> impl Iterator<Item = &'static LogField> {
    FIELDS.iter().filter(move |field| !field.common && field.has(column))
}

/// Reads one entry: a word, or several with `|` between them.
pub(super) fn read(text: &str) -> Result<Need, String> {
    let names = text.split('|').map(str::trim);
    let fields = names.map(|name| {
        field(name).ok_or_else(|| {
            let known = FIELDS.iter().map(|field| field.name);
            match crate::query::near(name, known.clone()) {
                Some(near) => format!("`{name}` is nothing that a log carries; did you mean `{near}`?"),
                None => format!(
                    "`{name}` is nothing that a log carries; there are {}",
                    known.collect::<Vec<_>>().join(", ")
                ),
            }
        })
    });
    Ok(Need(fields.collect::<Result<_, _>>()?))
}

/// Compares a header with the stored columns (`table.column`) that its query reads; gives what is wrong.
pub(super) fn compare(needs: Option<&[Need]>, helps: &[Need], reads: &BTreeSet<String>) -> Vec<String> {
    let named: BTreeSet<&str> =
        needs.unwrap_or_default().iter().chain(helps).flat_map(|need| need.0.iter().map(|field| field.name)).collect();
    let read: Vec<(&LogField, &String)> = FIELDS
        .iter()
        .filter(|field| !field.common)
        .filter_map(|field| Some((field, reads.iter().find(|column| field.has(column))?)))
        .collect();
    if needs.is_none() {
        let words: Vec<String> = read.iter().map(|(field, _)| format!("\"{}\"", field.name)).collect();
        return vec![format!(
            "`needs` is missing: name what a log must carry for the rule to see anything. The query reads \
             [{}]; what it can do without goes to `helps`, and `needs = []` is for a rule that works on any log",
            words.join(", ")
        )];
    }
    let mut problems: Vec<String> = read
        .into_iter()
        .filter(|(field, _)| !named.contains(field.name))
        // Whoever has the whole has the part.
        .filter(|(field, _)| match field.name {
            "argument_sizes" => !named.contains("arguments"),
            "result_sizes" => !named.contains("results"),
            "tool_lists" => !named.contains("definitions") && !named.contains("annotations"),
            "connections" => !named.contains("server_addresses"),
            _ => true,
        })
        .map(|(field, column)| {
            format!(
                "the query reads `{column}` ({}): name `{}` in `needs`, or in `helps` if the rule works without it",
                field.meaning, field.name
            )
        })
        .collect();
    let of_payloads = ["arguments", "results"];
    let derived = reads.iter().find(|column| column.starts_with("observables.") || *column == "calls.markers");
    if let Some(column) = derived.filter(|_| !of_payloads.iter().any(|name| named.contains(name))) {
        problems.push(format!(
            "the query reads `{column}`, which comes out of payloads: name `arguments`, `results` or both in `needs`, \
             or in `helps` if the rule works without them"
        ));
    }
    problems
}

impl LogField {
    /// Whether its presence is a share of the tool calls; else a log has it or not.
    pub(super) fn is_share(&self) -> bool {
        self.table == CALLS && self.name != "protocol_messages"
    }

    /// Whether a column (`table.column`) is one that only such a log fills.
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| match known.strip_suffix('*') {
            Some(table) => column.starts_with(table),
            None => *known == column,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_compared_with_what_its_query_reads() {
        let reads = |columns: &[&str]| columns.iter().map(|column| (*column).to_owned()).collect::<BTreeSet<_>>();
        let need = |text: &str| read(text).expect("known");
        let payloads = reads(&["calls.arguments", "calls.result", "calls.time", "calls.approval"]);
        assert!(compare(None, &[], &payloads)[0].contains("[\"arguments\", \"results\", \"approvals\"]"));
        let problems = compare(Some(&[need("arguments|results")]), &[], &payloads);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("`calls.approval`"), "{problems:?}");
        assert_eq!(compare(Some(&[need("arguments|results")]), &[need("approvals")], &payloads), Vec::<String>::new());
        assert_eq!(compare(Some(&[]), &[], &reads(&["observables.value"])).len(), 1);
        assert_eq!(compare(Some(&[]), &[], &reads(&["flows.value"])).len(), 2);
        assert_eq!(compare(Some(&[]), &[], &reads(&["calls.time", "calls.tool"])), Vec::<String>::new());
        assert!(read("argument").expect_err("near").contains("did you mean `arguments`"));
        assert!(read("weather").expect_err("far").contains("there are times, sessions"));
    }

    #[test]
    fn the_documentation_lists_every_word() {
        let page = include_str!("../../docs/rules.md");
        for field in FIELDS {
            let row = format!("| `{}` | {} |", field.name, field.meaning);
            assert!(page.contains(&row), "docs/rules.md lacks: {row}");
        }
    }
}
