-- id = "definition_asks_for_context"
-- title = "Tool has a parameter that asks for the conversation, secrets or files that it does not need"
-- level = "high"
-- status = "stable"
-- description = """
--   A parameter's name or description, or what the tool's description says of it, asks the model for what it knows and the tool does not need: the conversation, the system prompt, its reasoning, other
--   tools' results, keys, passwords, environment variables, contents of files; often optional and called note or context.
--   high: asked for, and a call filled it. medium: asked for. low: only the name says so (context, reasoning), without a word on content, or no more than a
--   summary or what is relevant is asked for, or the tool hands over to a person or calls a model.
--   Tools whose work is keys or logins (by name), thinking or memory tools, and a tool's own input (the file that it checks, the prompt of the model that it calls) are left out.
--   A call that filled it is evidence.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp10", "owasp.asi04", "atlas.AML.T0110", "atlas.AML.T0056", "atlas.AML.T0098", "attack.T1195.002"]
-- falsepositives = ["feedback and hand-over tools that are meant to get the conversation"]
-- needs = ["definitions", "tool_lists"]
-- helps = ["arguments"]
-- window = "7d"
WITH properties AS (
    SELECT server, tool, definition_hash, min(time) AS at, first_value(session_id ORDER BY time, definition_id) AS session_id, min(input_schema) AS schema,
           -- What the tool's own description wants to be put into a parameter.
           min(regexp_match(description, '\b(?:put|pass|place|include|provide|paste|supply|insert|add|write)\b[^.]{0,160}?\b(?:conversation|chat history|system prompt|ssh|private key|api keys?|passwords?|credentials?|secrets?|environment variables?|id_rsa)\b[^.]{0,80}?\b(?:in|into|as|under)\s+(?:the\s+)?(?:parameter\s+|argument\s+|field\s+)?[`''"]?([\w-]+)', 'i')[1]) AS by_tool
    FROM tool_definitions
    WHERE NOT name_only AND length(input_schema) > 30
      AND regexp_like(concat_ws(' ', input_schema, description), 'conversation|chat|system.?prompt|context|history|reasoning|thought|transcript|api.?key|password|secret|credential|token|environment|\benv\b|ssh|file content|previous (messages|results?|tool)|side.?note|instructions', 'i')
      AND NOT regexp_like(tool, 'key|token|auth|login|sign_?in|password|secret|credential|vault|think|reason|memory|remember|summar|conversation|chat|message|thread|transcript|history|feedback|env', 'i')
    GROUP BY server, tool, definition_hash
),
asked AS (
    SELECT *,
           -- Name and description of a parameter that asks in words.
           regexp_match(schema, '"([\w.-]+)"\s*:\s*\{[^{}]*"description"\s*:\s*"([^"]*?\b(?:(?:entire|whole|full|complete|all|previous|verbatim|current|recent|prior|summary of|contents? of|value of|copy of|paste|include|your)\b[^"]{0,60}\b(?:conversation|chat|dialog(?:ue)?|messages?|system prompt|prompt|instructions|transcript|context window|tool (?:results|outputs|calls)|reasoning|chain of thought|api keys?|passwords?|secrets?|credentials?|environment(?: variables)?|ssh key|private key|\.env|id_rsa|config(?:uration)? file)|(?:conversation|chat|message) history|system prompt)\b[^"]*)"', 'i') AS by_text,
           regexp_replace(schema, '^.*"(conversation(_?history|_?context|_?log)?|chat_?(history|log|context)|message_?history|system_?prompt|full_?context|llm_?context|model_?context|agent_?context|user_?context|(internal_?)?reasoning|chain_?of_?thought|thoughts|previous_?(messages|results|tool_?calls)|tool_?(history|results|calls)|side_?note|env(ironment)?_?(vars|variables)|ssh_?key|private_?key|master_?password|session_?token)"\s*:\s*\{.*$', '\1', 'is') AS by_name
    FROM properties
),
worded AS (
    SELECT *, by_text[1] AS named, by_text[2] AS words,
           -- What the model was told, what was said, what other tools answered: all of it.
           regexp_like(by_text[2], 'system prompt|\b(your|the (model|assistant|agent).s|hidden|developer)\s+(\w+\s+){0,2}(prompt|instructions|reasoning|chain of thought|context window)|\b(conversation|chat|message) history|\b(entire|whole|full|complete|all|every|verbatim|previous|prior|copy of)\b[^"]{0,40}\b(conversation|chat|dialog(ue)?|messages|transcript|context window|tool (results|outputs|calls)|reasoning|chain of thought)', 'i')
               AND NOT regexp_like(by_text[2], '\b(summary|short|brief|relevant|gist|excerpt|id|ids|number|count|timestamp|subject|title|link|name) (of|from|for|to|in)\b[^"]{0,30}\b(conversation|chat|dialog|messages?|transcript)', 'i') AS all_said,
           regexp_like(by_text[2], 'api keys?|passwords?|secrets?|credentials?|environment variables|ssh key|private key|\.env\b|id_rsa', 'i') AS secrets,
           -- The tool's own work: a file that it checks or writes, the login of what it connects to, the prompt of a model that it calls.
           regexp_like(by_text[1], '^\w*(config\w*|contents?|file\w*|source|code|text|yaml|json|toml|data|input|body|manifest|template|settings|prompt|messages?|instructions?|query|description|title|path|url|uri|id)$', 'i') AS own_input,
           regexp_like(by_text[1], 'password|passphrase|secret|api_?key|token|credential|private_?key|ssh_?key|auth', 'i') AND NOT regexp_like(by_text[2], '\b(your|model|assistant|agent|environment|session|conversation|other|all|every)\b', 'i') AS own_login,
           regexp_like(tool, 'llm|model|complet|generat|prompt|assistant|agent|gpt|claude|bot|infer|eval|escalat|hand_?(off|over)|delegat|transfer_to', 'i') AS calls_model
    FROM asked
),
found AS (
    SELECT server, tool, definition_hash, at, session_id, schema, parameter, plain
    FROM (SELECT *,
                 CASE WHEN by_text IS NOT NULL AND NOT (own_input AND NOT all_said AND NOT coalesce(secrets AND regexp_like(words, '\byour\b|environment|~/|\.env|id_rsa', 'i'), false))
                           AND NOT (calls_model AND regexp_like(named, '^(system_?)?prompt$|^messages$|^instructions$', 'i') AND NOT regexp_like(words, '\b(your|the assistant.s|current)\b', 'i')) THEN named
                      WHEN by_name <> schema AND NOT (calls_model AND regexp_like(by_name, '^(system_?prompt|conversation|messages?)$', 'i')) THEN by_name END AS parameter,
                 CASE WHEN by_text IS NOT NULL THEN ((all_said AND NOT calls_model) OR (secrets AND NOT own_login) OR (NOT secrets AND regexp_like(words, 'config(uration)? file', 'i')))
                      -- A hand of context that is offered is asked for by many; the history, the prompt and the results are not.
                      ELSE regexp_like(by_name, '^(system_?prompt|conversation(_?history|_?log)?|chat_?(history|log)|message_?history|env|ssh|private|master|session_?token|previous|tool_)', 'i') AND NOT regexp_like(by_name, 'context', 'i') AND NOT calls_model END AS plain
          FROM worded)
    WHERE parameter IS NOT NULL
    UNION ALL
    SELECT server, tool, definition_hash, at, session_id, schema, by_tool, true
    FROM asked
    WHERE strpos(schema, '"' || by_tool || '"') > 0
      -- Its own login and its own input.
      AND NOT regexp_like(by_tool, 'passw|passphrase|secret|key|token|credential|auth|login|config|contents?|file|source|code|text|data|input|body|prompt|messages?|query|path|url|env', 'i')
),
filled AS (
    SELECT f.server, f.tool, f.definition_hash, min(f.at) AS at, min(f.session_id) AS session_id, min(f.parameter) AS parameter, bool_or(f.plain) AS plain, min(c.agent) AS agent,
           coalesce(bool_or(c.method = 'tools/call' AND regexp_like(c.arguments, '"' || f.parameter || '"\s*:\s*("([^"\\]|\\.){12,}|\[\s*[^\]\s]|\{\s*")')), false) AS given,
           array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.method = 'tools/list' OR regexp_like(c.arguments, '"' || f.parameter || '"\s*:\s*("([^"\\]|\\.){12,}|\[\s*[^\]\s]|\{\s*")')) AS evidence
    FROM found f
    LEFT JOIN calls c ON c.server = f.server AND c.event_kind = 'call' AND c.time >= f.at AND (c.tool = f.tool OR (c.method = 'tools/list' AND c.session_id = f.session_id))
    GROUP BY f.server, f.tool, f.definition_hash
)
SELECT session_id, agent, server, tool, at AS first_seen, at AS last_seen, coalesce(array_slice(evidence, 1, 20), make_array()) AS call_ids,
       CASE WHEN plain AND given THEN 'high' WHEN plain THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, tool) || ' asks in its parameter ' || parameter || ' for what it does not need' || CASE WHEN given THEN ', and got it' ELSE '' END AS message,
       parameter, definition_hash
FROM filled
