-- id = "denials_probed"
-- title = "Many different things tried that are not allowed"
-- level = "medium"
-- status = "test"
-- description = """
--   In a quarter of an hour one agent, user or address was refused many different tools or arguments (denied by a policy, 401, 403, or an error or a short answer whose text says so), or many attempts to log in: it feels for what
--   is left open.
--   high: then a tool worked that had been refused, without a user who allowed it. medium: at least
--   min_denials different ones. Refusals by a person, and the same call again, count once. No history is needed.
--   """
-- tags = ["owasp.mcp07", "owasp.asi03", "owasp.asi02", "atlas.AML.T0012", "atlas.AML.T0084.001", "attack.T1110", "attack.T1069"]
-- falsepositives = ["an agent whose rights were cut this morning"]
-- window = "24h"
-- needs = []
-- helps = ["users", "argument_sizes", "client_addresses", "approvals", "errors", "results", "result_sizes"]
-- params = { min_denials = 6, within = "15 minutes" }
WITH refusal AS (SELECT DISTINCT call_id, outcome, words, by_person, by_policy FROM refusals),   -- as a step: computed once for all rules
turned_away AS (
    SELECT coalesce(agent, user_id, client_address, session_id) AS who, server, tool, arguments_hash, mcp_resource_uri, call_id, time, session_id, agent, user_id
    FROM calls
    WHERE event_kind = 'call' AND ((outcome = 'denied' AND approval <> 'user_denied') OR http_response_status_code IN (401, 403))
    UNION ALL
    SELECT coalesce(c.agent, c.user_id, c.client_address, c.session_id) AS who, c.server, c.tool, c.arguments_hash, c.mcp_resource_uri, c.call_id, c.time, c.session_id, c.agent, c.user_id
    FROM refusal w JOIN calls c ON c.call_id = w.call_id
    WHERE w.by_policy
      -- Public pages that turn readers away are no policy of ours.
      AND (NOT has_capability(c.capabilities, 'reads_untrusted') OR array_has_any(c.capabilities, make_array('reads_private', 'writes')))
),
refused AS (
    SELECT who, server, tool, coalesce(arguments_hash, mcp_resource_uri, call_id) AS what, min(time) AS time, min(call_id) AS call_id,
           min(session_id) AS session_id, min(agent) AS agent, min(user_id) AS user_id
    FROM turned_away
    GROUP BY who, server, tool, coalesce(arguments_hash, mcp_resource_uri, call_id)
),
burst AS (
    SELECT *, lead(time, CAST($min_denials - 1 AS BIGINT)) OVER (PARTITION BY who ORDER BY time, call_id) AS nth FROM refused
),
probe AS (
    SELECT b.who, b.session_id, min(b.agent) AS agent, min(b.user_id) AS user_id, min(b.time) AS first_seen, max(b.time) AS last_seen, count(*) AS denials, count(DISTINCT b.tool) AS tools,
           array_agg(b.call_id ORDER BY b.time, b.call_id) AS call_ids, min(b.time) FILTER (WHERE b.nth <= b.time + CAST($within AS INTERVAL)) AS burst_at
    FROM burst b GROUP BY b.who, b.session_id
),
found AS (
    SELECT who, min(agent) AS agent, min(user_id) AS user_id, CASE WHEN count(*) = 1 THEN min(session_id) END AS session_id, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
           sum(denials) AS denials, max(tools) AS tools, array_distinct(flatten(array_agg(call_ids ORDER BY first_seen))) AS call_ids, min(burst_at) AS burst_at
    FROM probe GROUP BY who HAVING min(burst_at) IS NOT NULL AND sum(denials) >= $min_denials
),
opened AS (
    SELECT f.who, min(c.call_id) AS call_id, min(concat_ws('/', c.server, c.tool)) AS tool
    FROM found f
    JOIN calls c ON coalesce(c.agent, c.user_id, c.client_address, c.session_id) = f.who
    JOIN refused r ON r.who = f.who AND r.tool = c.tool AND (r.server IS NOT DISTINCT FROM c.server)
    WHERE c.outcome = 'success' AND c.event_kind = 'call' AND c.time > f.burst_at AND c.time <= f.last_seen + INTERVAL '1 hour' AND c.approval <> 'user_allowed' AND c.call_id NOT IN (SELECT call_id FROM turned_away)
      -- Of a tool that runs commands, the refused one itself.
      AND (NOT has_capability(c.capabilities, 'executes') OR c.arguments_hash = r.what)
    GROUP BY f.who
)
SELECT f.agent, f.user_id, f.session_id, f.first_seen, f.last_seen, array_slice(CASE WHEN o.call_id IS NULL THEN f.call_ids ELSE array_append(f.call_ids, o.call_id) END, 1, 50) AS call_ids,
       CASE WHEN o.call_id IS NOT NULL THEN 'high' ELSE 'medium' END AS level,
       f.who || ' was refused ' || CAST(f.denials AS VARCHAR) || ' different calls of ' || CAST(f.tools AS VARCHAR) || ' tools within minutes' || coalesce('; then ' || o.tool || ' worked', '') AS message,
       f.denials, f.tools, o.tool AS opened
FROM found f LEFT JOIN opened o ON o.who = f.who
