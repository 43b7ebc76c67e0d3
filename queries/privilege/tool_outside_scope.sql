-- id = "tool_outside_scope"
-- title = "Agent or user used a tool outside its declared scope"
-- level = "medium"
-- status = "stable"
-- description = """
--   The user has declared which tools an agent or user may use, and it used another one. An entry is "WHO=SERVER/TOOL", each part a name in which `*` stands for anything:
--   "support-*=crm/get_*". Who has no entry has no scope, and is left alone.
--   high: the call worked and can send, write, run, pay or destroy. medium: it worked. low: it was denied or failed. One finding per agent or user and tool.
--   The list is empty until the user sets it, and the rule is quiet as long. Works on metadata alone.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp07", "owasp.asi03", "atlas.AML.T0053", "attack.T1078"]
-- falsepositives = ["a scope that was not kept up to date"]
-- window = "24h"
-- needs = []
-- helps = ["users"]
-- params = { scopes = [] }
WITH used AS (
    SELECT agent, user_id, server, tool, count(*) AS calls, count(*) FILTER (WHERE outcome = 'success') AS worked,
           bool_or(outcome = 'success' AND array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays', 'credentials'))) AS acts
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND tool IS NOT NULL AND array_length($scopes) > 0
    GROUP BY agent, user_id, server, tool
),
scope AS (
    SELECT '^' || regexp_replace(regexp_replace(lower(split_part(entry, '=', 1)), '[^a-z0-9*]', '[\0]', 'g'), '[*]', '.*', 'g') || '$' AS who,
           '^' || regexp_replace(regexp_replace(lower(substr(entry, strpos(entry, '=') + 1)), '[^a-z0-9*]', '[\0]', 'g'), '[*]', '.*', 'g') || '$' AS tools
    FROM (SELECT unnest(CAST($scopes AS VARCHAR[])) AS entry)
),
judged AS (
    SELECT u.agent, u.user_id, u.server, u.tool, min(u.calls) AS calls, min(u.worked) AS worked, bool_or(u.acts) AS acts,
           bool_or(regexp_like(lower(coalesce(u.server, '')) || '/' || lower(u.tool), s.tools)) AS allowed
    FROM used u JOIN scope s ON regexp_like(lower(u.agent), s.who) OR regexp_like(lower(u.user_id), s.who)
    GROUP BY u.agent, u.user_id, u.server, u.tool
),
evidence AS (
    SELECT j.agent, j.user_id, j.server, j.tool, min(j.worked) AS worked, bool_or(j.acts) AS acts, min(c.time) AS first_seen, max(c.time) AS last_seen, count(*) AS calls,
           array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM judged j JOIN calls c ON c.tool = j.tool
    WHERE NOT j.allowed AND (c.server IS NOT DISTINCT FROM j.server) AND (c.agent IS NOT DISTINCT FROM j.agent) AND (c.user_id IS NOT DISTINCT FROM j.user_id)
      AND c.event_kind = 'call' AND c.method = 'tools/call'
    GROUP BY j.agent, j.user_id, j.server, j.tool
)
SELECT agent, user_id, server, tool, first_seen, last_seen, array_slice(call_ids, 1, 20) AS call_ids,
       CASE WHEN acts THEN 'high' WHEN worked > 0 THEN 'medium' ELSE 'low' END AS level,
       coalesce(agent, user_id) || ' used ' || concat_ws('/', server, tool) || ' ' || CAST(calls AS VARCHAR) || ' times, which is outside its scope' AS message,
       calls, worked
FROM evidence
