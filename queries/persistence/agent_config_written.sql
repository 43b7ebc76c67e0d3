-- id = "agent_config_written"
-- title = "Agent changed the configuration or standing instructions of an agent"
-- level = "medium"
-- status = "stable"
-- description = """
--   A tool wrote a file from which agents take servers, permissions, hooks or standing instructions: .mcp.json, the configuration of
--   desktop and editor clients, settings with permission rules, CLAUDE.md, AGENTS.md, rules files, an editor's settings that let every call through; or ran an agent's own command that adds a server (`mcp add`).
--   high: the written text adds a server command, a hook, an approval bypass or an instruction marker, and nobody asked for the file.
--   medium: a file that configures servers or permissions, an agent's own command that adds a server at an https address or out of a package, or standing instructions into which text went that others wrote. low: standing instructions only, or the attempt failed.
--   One level less when the user named the file. Reading such files is no finding here. A command counts when it writes (redirection,
--   copy, in-place edit, heredoc); a path that is only mentioned in a text does not. Needs arguments, no results.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp09", "owasp.asi04", "owasp.asi06", "atlas.AML.T0081", "atlas.AML.T0080", "attack.T1554"]
-- falsepositives = ["setting up a server or the project's instructions on the user's request, where the log holds no prompts"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts", "results"]
-- window = "1h"
-- params = { max_bytes = 262144 }
WITH written AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, arguments, markers,
           CASE WHEN has_capability(capabilities, 'executes') AND regexp_like(arguments, '(["`;&|(]|\\n)\s*(sudo\s+|npx\s+(-\w+\s+)*)?[\w@/.-]+\s+mcp\s+add(-json)?\s')
                THEN regexp_replace(arguments, '^.*?([\w@.-]+\s+mcp\s+add(-json)?\s+[^"|;&\\]{1,60}).*$', '\1', 's')
                ELSE regexp_replace(regexp_replace(arguments, '\\\\', '/', 'g'),
                          '^.*?((\.mcp\.json|mcp\.json|mcp_config\.json|mcp_settings\.json|claude_desktop_config\.json|\.claude\.json'
                          || '|\.(claude|gemini|qwen|cursor|continue|cline|windsurf|codex|roo)/[\w./-]*|cline_mcp_settings\.json'
                          || '|\.vscode/settings\.json|(Code|Code - Insiders|VSCodium|Cursor|Windsurf)/User/settings\.json|CLAUDE\.md|AGENTS\.md|GEMINI\.md|copilot-instructions\.md|\.cursorrules|\.clinerules|\.windsurfrules)).*$', '\1', 's') END AS file
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, capabilities, markers, CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) || ' ' || replace(replace(arguments, '\n', chr(10)), '\t', chr(9)) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled')
            AND arguments_bytes <= $max_bytes AND array_has_any(capabilities, make_array('writes', 'executes')))
    WHERE regexp_like(arguments, '(mcp|mcp_config|mcp_settings|claude_desktop_config|\.claude|settings|settings\.local|config|hooks)\.(json|toml|ya?ml)'
                                 || '|CLAUDE\.md|AGENTS\.md|GEMINI\.md|copilot-instructions\.md|\.(cursor|cline|windsurf)rules'
                                 || '|\.(claude|cursor|gemini|qwen)/|\smcp\s+add')
      AND (-- The target of a file tool: a whole argument.
           (NOT has_capability(capabilities, 'executes')
            AND regexp_like(arguments, '"\w*(path|file|file_?name|name|uri|target|destination|dest|location|key)"\s*:\s*"([^"]*[/\\])?'
                || '(\.mcp\.json|mcp\.json|mcp_config\.json|mcp_settings\.json|claude_desktop_config\.json|cline_mcp_settings\.json|\.claude\.json'
                || '|\.(claude|gemini|qwen|cursor|continue|cline|windsurf|codex|roo)[/\\]+[^"]+'
                || '|CLAUDE\.md|AGENTS\.md|GEMINI\.md|copilot-instructions\.md|\.(cursor|cline|windsurf)rules)"', 'i'))
           -- An editor's settings, only if they let agents through.
           OR (NOT has_capability(capabilities, 'executes') AND regexp_like(arguments, '"\w*(path|file|file_?name|name|uri|target|destination|dest|location|key)"\s*:\s*"([^"]*[/\\])?(\.vscode|User)[/\\]+settings\.json"', 'i')
               AND regexp_like(arguments, '(autoApprove\w*|alwaysAllow|allowDangerouslySkipPermissions|bypassPermissions|yolo\w*)\\?"\s*:\s*(true|\\?"?(all|bypassPermissions|\*))', 'i'))
           -- The target of a command: behind a redirection, or the last operand of a command that writes.
           OR (has_capability(capabilities, 'executes')
               -- An agent's own command that adds a server.
               AND regexp_like(arguments, '(["`;&|(]|\\n)\s*(sudo\s+|npx\s+(-\w+\s+)*)?[\w@/.-]+\s+mcp\s+add(-json)?\s|(>>?\s*|\btee\s+(-a\s+)?|\b(cp|mv|ln|install|rsync)\s[^|;&]*\s|\bsed\s+-i[^|;&]*\s|Set-Content\s[^|;&]*|Out-File\s[^|;&]*)'
                   || '[''"\\]{0,2}[^\s''"|;&]*(\.mcp\.json|mcp_config\.json|mcp_settings\.json|claude_desktop_config\.json|cline_mcp_settings\.json|\.claude\.json'
                   || '|\.cursor/mcp\.json|\.(claude|gemini|qwen|cursor|codex)/[\w./-]+|CLAUDE\.md|AGENTS\.md|GEMINI\.md|copilot-instructions\.md|\.(cursor|cline|windsurf)rules)')
               ))
),
judged AS (
    SELECT *, regexp_like(file, '(mcp\.json|mcp\s+add|mcp_config|mcp_settings|claude_desktop_config|\.claude\.json|settings|config|hooks)') AS powers,
           coalesce(regexp_like(arguments, 'mcpServers|\smcp\s+add|\\?"command\\?"\s*:|\\?"hooks\\?"\s*:|PreToolUse|PostToolUse|SessionStart|bypassPermissions|autoApprove|alwaysAllow|enableAllProjectMcpServers|dangerously|\byolo\b', 'i'), false)
               OR has_marker(markers, 'override_phrase', 'argument') OR has_marker(markers, 'hidden_unicode', 'argument')
               OR has_marker(markers, 'pseudo_tag', 'argument') OR has_marker(markers, 'chat_template', 'argument') AS adds_power,
           -- As its maker's page says it: one server, by name, at an https address or out of a package.
           regexp_like(file, '\smcp\s+add\s') AND regexp_like(arguments, '\smcp\s+add\s+(-{1,2}[\w-]+([=\s]+(http|sse|stdio|user|project|local))?\s+)*[\w.-]+\s+([''\\]*https://[a-z][\w.-]*\.[a-z]{2,}[\w./-]*|(--\s+)?(npx|uvx|docker)\s)')
               AND NOT regexp_like(arguments, 'bypassPermissions|autoApprove|alwaysAllow|enableAllProjectMcpServers|dangerously|\byolo\b|PreToolUse|PostToolUse|SessionStart|\bcurl\s|\bwget\s|\bsh\s+-c|ngrok|trycloudflare', 'i') AS usual
    FROM written
    -- Memory and notes that clients keep below their own folder are no configuration.
    WHERE NOT regexp_like(file, '/(projects|todos|plans|memory|cache|logs?|shell-snapshots|statsig)/')
),
graded AS (
    SELECT j.call_id, min(j.session_id) AS session_id, min(j.agent) AS agent, min(j.server) AS server, min(j.tool) AS tool, min(j.time) AS time,
           min(j.file) AS file, bool_or(j.adds_power) AS adds_power,
           CASE WHEN min(j.outcome) NOT IN ('success', 'unknown', 'no_response') THEN 1
                WHEN bool_or(j.adds_power AND NOT j.usual) THEN 3 WHEN bool_or(j.powers) OR count(f.sink_call_id) > 0 THEN 2 ELSE 1 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM judged j
    LEFT JOIN (SELECT DISTINCT sink_call_id FROM flows
               WHERE kind = 'content' AND bytes >= 40 AND sink_share >= 0.2 AND array_has_any(source_capabilities, make_array('reads_untrusted')) AND NOT coalesce(user_named, false)) f ON f.sink_call_id = j.call_id
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.time
         AND (strpos(lower(q.text), lower(regexp_replace(j.file, '^.*/', ''))) > 0 OR (regexp_like(j.file, '\smcp\s+add') AND regexp_like(q.text, '\bmcp\b', 'i')))
    GROUP BY j.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' wrote ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT file)), 1, 3), ', ')
           || CASE WHEN bool_or(adds_power) THEN ', which now starts servers, hooks or unapproved calls, or speaks to the model' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT file)) AS files
FROM graded
WHERE grade > 0
GROUP BY session_id
