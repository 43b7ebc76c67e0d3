-- id = "tool_never_offered"
-- title = "Tool called that its server never offered"
-- level = "medium"
-- status = "stable"
-- description = """
--   The agent called a tool that no tools/list of this server has ever shown, although the server did list its tools: a hidden tool,
--   a tool name taken from content, or a guess.
--   high: it worked, and the tool can destroy, run code, send out, pay or hand out credentials. medium: it worked, or five or more
--   names were tried. low: the server refused, or the list is only known from earlier sessions or as a list of names.
--   No evidence, no finding: a server that was never seen listing, a list that the log holds only in part, further pages that were
--   not logged, a list that was announced as changed and not read again. Names are compared without case, separators and prefixes.
--   """
-- tags = ["owasp.mcp07", "owasp.asi02", "atlas.AML.T0053", "atlas.AML.T0084.001"]
-- falsepositives = ["servers that hide tools from the model but serve them to their own user interface", "a gateway that renames tools"]
-- window = "30d"
-- params = { guesses = 5 }
-- needs = ["tool_lists"]
-- helps = ["arguments", "results"]
WITH listed_somewhere AS (
    SELECT server, min(time) AS first_listed FROM tool_definitions WHERE server IS NOT NULL GROUP BY server
),
called AS (                      -- exact names first: it is cheap and leaves next to nothing
    SELECT c.session_id, c.server, c.tool, regexp_replace(lower(c.tool), '[^a-z0-9]+', '_', 'g') AS name, min(c.agent) AS agent,
           min(c.time) AS first_time, max(c.time) AS last_time, array_agg(named_struct('id', c.call_id, 'at', c.time)) AS evs,
           bool_or(c.outcome = 'success') AS worked,
           bool_or(array_has_any(c.capabilities, make_array('destructive', 'executes', 'egress', 'pays', 'credentials'))) AS power
    FROM calls c
    JOIN listed_somewhere w ON w.server = c.server AND w.first_listed <= c.time
    LEFT JOIN (SELECT DISTINCT server, tool FROM tool_definitions) d ON d.server = c.server AND d.tool = c.tool
    WHERE d.tool IS NULL AND c.event_kind = 'call' AND c.method = 'tools/call' AND c.tool IS NOT NULL
      AND NOT coalesce(array_has(c.parse_flags, 'name_split'), false)      -- where server ends and tool begins is a guess
    GROUP BY c.session_id, c.server, c.tool
),
list_state AS (                  -- what the log holds of each session's lists
    SELECT session_id, server, min(time) AS first_listed,
           bool_or(result_state IN ('summarised', 'redacted', 'not_logged', 'unparsable')
                   OR (result_state = 'truncated' AND NOT coalesce(array_has(parse_flags, 'payload_capped'), false))) FILTER (WHERE method = 'tools/list')
               OR count(*) FILTER (WHERE method = 'tools/list' AND json_contains(result, 'nextCursor'))
                  > count(*) FILTER (WHERE method = 'tools/list' AND json_contains(arguments, 'cursor'))
               OR coalesce(max(time) FILTER (WHERE method <> 'tools/list') > max(time) FILTER (WHERE method = 'tools/list'), false) AS partial
    FROM calls
    WHERE server IN (SELECT server FROM called)
      AND ((method = 'tools/list' AND outcome IN ('success', 'unknown')) OR method = 'notifications/tools/list_changed')
    GROUP BY session_id, server
    HAVING count(*) FILTER (WHERE method = 'tools/list') > 0
),
offered AS (
    SELECT server, regexp_replace(lower(tool), '[^a-z0-9]+', '_', 'g') AS name
    FROM tool_definitions WHERE server IS NOT NULL GROUP BY 1, 2
),
listed_here AS (
    SELECT session_id, server, bool_and(name_only) AS names_only FROM tool_definitions WHERE server IS NOT NULL GROUP BY session_id, server
),
unlisted AS (
    SELECT u.*, h.session_id IS NOT NULL AND NOT h.names_only AND s.session_id IS NOT NULL AS full_list
    FROM called u
    LEFT JOIN listed_here h ON h.session_id = u.session_id AND h.server = u.server
    LEFT JOIN list_state s ON s.session_id = u.session_id AND s.server = u.server
    WHERE NOT coalesce(s.partial, false)
      -- Without a list of its own the session is judged by others' lists, so those must be whole.
      AND (h.session_id IS NOT NULL OR u.server NOT IN (SELECT server FROM list_state WHERE partial))
      AND NOT EXISTS (SELECT 1 FROM offered o WHERE o.server = u.server
                      AND (o.name = u.name OR ends_with(o.name, '_' || u.name) OR ends_with(u.name, '_' || o.name)))
),
flat AS (SELECT *, unnest(evs) AS ev FROM unlisted)
SELECT session_id, min(agent) AS agent, server, CASE WHEN count(DISTINCT tool) = 1 THEN min(tool) END AS tool,
       min(first_time) AS first_seen, max(last_time) AS last_seen, array_agg(ev['id'] ORDER BY ev['at'], ev['id']) AS call_ids,
       CASE WHEN bool_or(worked AND full_list AND power) THEN 'high'
            WHEN bool_or(worked AND (full_list OR power)) OR count(DISTINCT tool) >= $guesses THEN 'medium'
            ELSE 'low' END AS level,
       array_to_string(array_slice(array_agg(DISTINCT tool ORDER BY tool), 1, 5), ', ') || ' was called at ' || server
           || ', which never offered it; ' || CASE WHEN bool_or(worked) THEN 'the call worked' ELSE 'the call failed' END AS message,
       array_agg(DISTINCT tool ORDER BY tool) AS tools, count(*) AS calls
FROM flat
GROUP BY session_id, server
