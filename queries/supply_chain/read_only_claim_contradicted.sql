-- id = "read_only_claim_contradicted"
-- title = "Tool that is declared read-only has the name, parameters or description of one that changes things"
-- level = "medium"
-- status = "stable"
-- description = """
--   A definition says readOnlyHint true or destructiveHint false, or a description calls itself read-only, and the tool's own verb, first sentence or parameters
--   say that it deletes, sends, pays, runs or writes. Clients let read-only tools through without asking.
--   high: it deletes, sends, pays or runs, and a call was let through. medium: so, and none was yet. low: it writes, or only claims not to be destructive and
--   deletes.
--   Of exports, drafts, previews, dry runs and searches, whose names and parameters may name a change to look for, only the description's first verb counts. What calls really did: read_only_tool_wrote.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp02", "owasp.asi04", "owasp.asi02", "atlas.AML.T0110", "attack.T1036"]
-- falsepositives = ["tools with a sloppy name (run_query, send_request that only reads)"]
-- needs = ["annotations", "definitions", "tool_lists"]
-- helps = ["approvals"]
-- window = "24h"
WITH claimed AS (
    SELECT server, tool, definition_hash, min(time) AS at, first_value(session_id ORDER BY time, definition_id) AS session_id, min(description) AS description,
           coalesce(bool_or(json_get_bool(annotations, 'readOnlyHint')), false) AS read_only,
           coalesce(bool_or(NOT json_get_bool(annotations, 'destructiveHint')), false) AS harmless,
           coalesce(bool_or(regexp_like(description, '\b(read[- ]only|does not (modify|change|write)|no side[- ]effects?|never modifies)\b', 'i')), false) AS says_so,
           lower(regexp_replace(tool, '([a-z0-9])([A-Z])', '\1_\2', 'g')) AS name,
           lower(regexp_replace(min(description), '^[^A-Za-z]*([A-Za-z]+).*$', '\1', 's')) AS verb, min(input_schema) AS schema
    FROM tool_definitions
    WHERE NOT name_only
      AND (coalesce(json_get_bool(annotations, 'readOnlyHint'), false) OR NOT coalesce(json_get_bool(annotations, 'destructiveHint'), true)
           OR regexp_like(description, '\b(read[- ]only|does not (modify|change|write)|no side[- ]effects?|never modifies)\b', 'i'))
    GROUP BY server, tool, definition_hash
),
judged AS (
    SELECT *,
           CASE WHEN shows THEN CASE WHEN regexp_like(verb, '^(delete|remove|drop|destroy|purge|wipe|erase|truncate|terminate|revoke|transfer|pay|charge|refund|purchase|kill|uninstall)s?$') THEN 3 ELSE 0 END
                WHEN regexp_like(name, '(^|[_.-])(delete|remove|drop|destroy|purge|wipe|erase|truncate|terminate|revoke|send|transfer|pay|charge|refund|purchase|execute|exec|shell|deploy|publish|kill|uninstall|forward)([_.-]|$)')
                  OR regexp_like(verb, '^(delete|remove|drop|destroy|purge|wipe|erase|truncate|terminate|revoke|send|transfer|pay|charge|refund|purchase|execute|deploy|publish|kill|uninstall|forward)s?$')
                  OR regexp_like(schema, '"(shell_?command|command_line|bash|delete_?(all|after)|force_?delete|overwrite|confirm_?delet\w*)"\s*:', 'i') THEN 3
                WHEN regexp_like(name, '^(create|write|update|insert|edit|modify|set|add|put|patch|append|rename|move|replace|upload|save)([_.-]|$)')
                  OR regexp_like(verb, '^(create|write|update|insert|edit|modifie|modify|set|append|rename|move|replace|upload|save)s?$') THEN 2
                ELSE 0 END AS power
    -- Of a tool whose name promises to show something, what its description begins with has to say otherwise.
    FROM (SELECT *, regexp_like(name, 'draft|preview|dry_?run|simulat|validat|estimate|^(get|list|search|find|read|show|describe|check|count|query|fetch|view|lookup|explain|history)([_.-]|$)') AS shows FROM claimed)
),
used AS (
    SELECT j.server, j.tool, j.definition_hash, min(j.at) AS at, min(j.session_id) AS session_id, min(j.description) AS description, bool_or(j.read_only OR j.says_so) AS read_only, max(j.power) AS power,
           min(c.agent) AS agent, coalesce(bool_or(c.method = 'tools/call' AND c.outcome IN ('success', 'unknown') AND c.approval <> 'user_allowed'), false) AS let_through,
           array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.call_id IS NOT NULL) AS evidence
    FROM judged j
    LEFT JOIN calls c ON c.session_id = j.session_id AND c.event_kind = 'call' AND (c.server IS NOT DISTINCT FROM j.server) AND (c.method = 'tools/list' OR (c.tool = j.tool AND c.time >= j.at))
    WHERE j.power > 0
      -- Who only adds may say so: not destructive is less than read-only.
      AND (j.read_only OR j.says_so OR regexp_like(j.name, '(^|[_.-])(delete|remove|drop|destroy|purge|wipe|erase|truncate|terminate|revoke|kill|uninstall)([_.-]|$)')
           OR regexp_like(j.verb, '^(delete|remove|drop|destroy|purge|wipe|erase|truncate|terminate|revoke|kill|uninstall)s?$'))
    GROUP BY j.server, j.tool, j.definition_hash
)
SELECT session_id, agent, server, tool, at AS first_seen, at AS last_seen, coalesce(array_slice(evidence, 1, 20), make_array()) AS call_ids,
       CASE WHEN power = 3 AND read_only AND let_through THEN 'high' WHEN power = 3 AND read_only THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, tool) || ' is declared ' || CASE WHEN read_only THEN 'read-only' ELSE 'not destructive' END || ' and says of itself: ' || left(coalesce(description, tool), 120) AS message,
       left(description, 500) AS text, definition_hash
FROM used
