//! What a log says once, for the records behind it.

use super::*;

#[test]
fn what_a_lane_says_holds_for_the_calls_behind_it() {
    let mode = |mode: &str| format!(r#"{{"type":"permission-mode","permissionMode":"{mode}","sessionId":"s1"}}"#);
    let line = |kind: &str, at: u32, block: &str| {
        format!(
            r#"{{"type":"{kind}","uuid":"u{at}","sessionId":"s1","timestamp":"2026-11-09T10:00:0{at}Z","message":{{"content":[{block}]}}}}"#
        )
    };
    let asks = |at, id| {
        line("assistant", at, &format!(r#"{{"type":"tool_use","id":"{id}","name":"mcp__a__{id}","input":{{}}}}"#))
    };
    let answers = |at, id| line("user", at, &format!(r#"{{"type":"tool_result","tool_use_id":"{id}","content":"x"}}"#));
    let lines =
        [mode("plan"), asks(1, "one"), mode("bypassPermissions"), asks(2, "two"), answers(3, "one"), answers(4, "two")];
    let mut log = Log::new();
    let mut found = log.read(&lines.join("\n"));
    found.extend(log.read(&[asks(5, "three"), mode("default"), asks(6, "four")].join("\n")));
    found.extend(log.end());
    let policy = |call: &Call| {
        let mode = call.more.as_ref().and_then(|more| more.approval_policy.clone());
        (call.tool.clone().unwrap(), mode, call.approval)
    };
    let (unknown, allowed) = (Approval::Unknown, Approval::AutoAllowed);
    let bypass = "bypassPermissions";
    let expected =
        [("one", "plan", unknown), ("two", bypass, allowed), ("three", bypass, allowed), ("four", "default", unknown)];
    let expected = expected.map(|(tool, mode, approval)| (Text::from(tool), Some(Text::from(mode)), approval));
    assert_eq!(found.iter().map(policy).collect::<Vec<_>>(), expected);
}

/// A log of one server that says who it is once: its tools are that server's.
#[test]
fn tools_have_the_name_that_the_source_has() {
    let record = |method: &str, result: &str| {
        format!(
            r#"{{"type":"request","timestamp":"2026-11-09T10:00:00Z","session_id":"s","duration":1,"method":"{method}","entity_params":{{}},
            "entity_response":{{"jsonrpc":"2.0","id":1,"result":{result}}}}}"#
        )
        .replace('\n', "")
    };
    let hello = record("initialize", r#"{"capabilities":{},"serverInfo":{"name":"sums","version":"2"}}"#);
    let list = record("tools/list", r#"{"tools":[{"name":"add","inputSchema":{}}]}"#);
    let rows = Log::new().rows(&[hello, list].join("\n"));
    let server = |row| if let Row::Tool { tool, .. } = row { Some(tool.server) } else { None };
    assert_eq!(rows.into_iter().filter_map(server).collect::<Vec<_>>(), [Some(Text::from("sums"))]);
}

/// Agents tell their models of their tools at every request.
#[test]
fn what_a_session_is_offered_again_is_one_row() {
    let asked = |session: &str, second: u8, tools: &str| {
        let tools = serde_json::Value::from(tools);
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"00000000000000a{second}",
            "name":"chat m","startTimeUnixNano":"179438786{second}000000000","attributes":[
            {{"key":"gen_ai.conversation.id","value":{{"stringValue":"{session}"}}}},
            {{"key":"gen_ai.tool.definitions","value":{{"stringValue":{tools}}}}}]}}]}}]}}]}}"#
        )
        .replace('\n', "")
    };
    let (one, two) = (r#"[{"name":"add"}]"#, r#"[{"name":"add"},{"name":"mcp__sums__add"}]"#);
    let lines = [asked("s", 1, one), asked("s", 2, one), asked("t", 3, one), asked("s", 4, two)];
    let offered = Log::new().rows(&lines.join("\n")).into_iter().filter_map(|row| match row {
        Row::Tool { tool, connection, .. } => Some((connection.session_id, tool.server)),
        _ => None,
    });
    let (s, t, sums) = (Some(Text::from("s")), Some(Text::from("t")), Some(Text::from("sums")));
    assert_eq!(offered.collect::<Vec<_>>(), [(s.clone(), None), (t, None), (s, sums)]);
}
