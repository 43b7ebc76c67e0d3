-- id = "definition_asks_for_context"
-- title = "Tool has a parameter that asks for the conversation, secrets or files that it does not need"
-- level = "high"
-- status = "stable"
-- description = """
--   A parameter's name or description asks the model for what it knows and the tool does not need: the conversation, the system prompt, its reasoning, other
--   tools' results, keys, passwords, environment variables, contents of files; often optional and called note or context.
--   high: asked for, and a call filled it. medium: asked for. low: only the name says so (context, history, reasoning), without a word on content.
--   Tools whose work is keys or logins (by name), and thinking or memory tools, are left out. A call that filled it is evidence.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp10", "owasp.asi04", "atlas.AML.T0110", "atlas.AML.T0056", "atlas.AML.T0098", "attack.T1195.002"]
-- falsepositives = ["feedback and hand-over tools that are meant to get the conversation"]
-- needs = ["definitions", "tool_lists"]
-- helps = ["arguments"]
-- window = "7d"
WITH properties AS (
    SELECT server, tool, definition_hash, min(time) AS at, first_value(session_id ORDER BY time, definition_id) AS session_id, min(input_schema) AS schema
    FROM tool_definitions
    WHERE NOT name_only AND length(input_schema) > 30
      AND regexp_like(input_schema, 'conversation|chat|system.?prompt|context|history|reasoning|thought|transcript|api.?key|password|secret|credential|token|environment|\benv\b|ssh|file content|previous (messages|results?|tool)|side.?note|instructions', 'i')
      AND NOT regexp_like(tool, 'key|token|auth|login|sign_?in|password|secret|credential|vault|think|reason|memory|remember|summar|conversation|chat|message|thread|transcript|history|feedback|env', 'i')
    GROUP BY server, tool, definition_hash
),
asked AS (
    SELECT *,
           regexp_replace(schema, '^.*"([\w.-]+)"\s*:\s*\{[^{}]*"description"\s*:\s*"[^"]*?(entire|whole|full|complete|all|previous|verbatim|current|recent|prior|summary of|contents? of|value of|copy of)\b[^"]{0,60}\b(conversation|chat|dialog(ue)?|messages?|system prompt|prompt|instructions|transcript|context window|tool (results|outputs|calls)|reasoning|chain of thought|api keys?|passwords?|secrets?|credentials?|environment( variables)?|ssh key|private key|\.env|id_rsa|config(uration)? file)\b[^"]*".*$', '\1', 'is') AS by_text,
           regexp_replace(schema, '^.*"(conversation(_?history|_?context|_?log)?|chat_?(history|log|context)|message_?history|system_?prompt|full_?context|llm_?context|model_?context|agent_?context|user_?context|(internal_?)?reasoning|chain_?of_?thought|thoughts|previous_?(messages|results|tool_?calls)|tool_?(history|results|calls)|side_?note|env(ironment)?_?(vars|variables)|ssh_?key|private_?key|master_?password|session_?token)"\s*:\s*\{.*$', '\1', 'is') AS by_name
    FROM properties
),
found AS (
    SELECT server, tool, definition_hash, at, session_id, schema,
           CASE WHEN by_text <> schema THEN by_text WHEN by_name <> schema THEN by_name END AS parameter,
           by_text <> schema OR regexp_like(by_name, '^(system_?prompt|conversation|chat|message_?history|env|ssh|private|master|session_?token|previous|tool_)', 'i') AS plain
    FROM asked
    WHERE by_text <> schema OR by_name <> schema
),
filled AS (
    SELECT f.server, f.tool, f.definition_hash, min(f.at) AS at, min(f.session_id) AS session_id, min(f.parameter) AS parameter, bool_or(f.plain) AS plain, min(c.agent) AS agent,
           coalesce(bool_or(c.method = 'tools/call' AND regexp_like(c.arguments, '"' || f.parameter || '"\s*:\s*("[^"]{12,}|\[\s*[^\]\s]|\{\s*")')), false) AS given,
           array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.method = 'tools/list' OR regexp_like(c.arguments, '"' || f.parameter || '"\s*:\s*("[^"]{12,}|\[\s*[^\]\s]|\{\s*")')) AS evidence
    FROM found f
    LEFT JOIN calls c ON c.server = f.server AND c.event_kind = 'call' AND c.time >= f.at AND (c.tool = f.tool OR (c.method = 'tools/list' AND c.session_id = f.session_id))
    GROUP BY f.server, f.tool, f.definition_hash
)
SELECT session_id, agent, server, tool, at AS first_seen, at AS last_seen, coalesce(array_slice(evidence, 1, 20), make_array()) AS call_ids,
       CASE WHEN plain AND given THEN 'high' WHEN plain THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, tool) || ' asks in its parameter ' || parameter || ' for what it does not need' || CASE WHEN given THEN ', and got it' ELSE '' END AS message,
       parameter, definition_hash
FROM filled
