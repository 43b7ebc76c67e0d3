//! A new rule to start from: it passes `rules check` and its own cases as it is.

/// The texts of a rule and of its cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub sql: String,
    pub cases: String,
}

/// A rule of this id that sees tools whose name begins with a word, with three cases.
///
/// # Errors
/// The id is no name that a rule can have.
pub fn template(id: &str, tags: &[String]) -> Result<Template, String> {
    let is_name = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_name {
        return Err(format!("`{id}` is no id: small letters, digits and `_`, a letter first, like `export_tool_used`"));
    }
    let mut title = id.replace('_', " ");
    title[..1].make_ascii_uppercase();
    let tags: Vec<String> = tags.iter().map(|tag| format!("{tag:?}")).collect();
    let sql = format!(
        r#"-- id = "{id}"
-- title = "{title}"
-- level = "medium"
-- status = "experimental"
-- description = """
--   A tool whose name begins with `prefix` worked. Say here what it means when this rule fires, and what an
--   analyst should look at first."""
-- falsepositives = ["what else looks like this"]
-- tags = [{}]
-- window = "0s"
-- params = {{ prefix = "export_all" }}
-- needs = []
SELECT
    session_id,
    agent,
    server,
    tool,
    min(time) AS first_seen,
    max(time) AS last_seen,
    array_agg(call_id) AS call_ids,
    count(*) AS uses
FROM calls
WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success'
    AND starts_with(tool, $prefix)
GROUP BY session_id, agent, server, tool
"#,
        tags.join(", ")
    );
    let cases = r#"# Calls in, findings out. docs/rules.md has all keys. Rows get what they lack: session s1, agent-1, server-1, success.

[[case]]
name = "a tool with the prefix works twice"
fires = 1
calls = '''
{"at":"0s","tool":"export_all_invoices","arguments":{}}
{"at":"5s","tool":"export_all_invoices","arguments":{}}
'''
expect = [{ session_id = "s1", tool = "export_all_invoices", uses = 2, call_ids = [0, 1], last_seen = "5s" }]

[[case]]
name = "another tool"
fires = 0
calls = '''
{"at":"0s","tool":"list_invoices","arguments":{}}
'''

[[case]]
name = "the call failed"
fires = 0
near_miss = true
calls = '''
{"at":"0s","tool":"export_all_invoices","arguments":{},"outcome":"tool_error"}
'''
"#;
    Ok(Template { sql, cases: cases.to_owned() })
}
