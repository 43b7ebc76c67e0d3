-- id = "server_gained_power"
-- title = "Known server offers new tools that can do what none of its tools could"
-- level = "medium"
-- status = "stable"
-- description = """
--   A server that was known for some time offers a tool that it did not offer before, and the tool can send, run, delete, pay or hand out credentials while
--   none of the earlier ones could.
--   medium: such a tool under the same version of the server, or an agent called it. low: with a new version. Changed definitions of old tools are tool_definition_changed.
--   The first day of a server, tools that come and go, and lists by name only are left out. Servers that show each user other tools may look like this once.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp02", "owasp.asi04", "atlas.AML.T0109", "atlas.AML.T0110", "attack.T1195.002"]
-- falsepositives = ["updates of a server (low)", "a user with more rights who connects later"]
-- needs = ["tool_lists"]
-- helps = ["connections"]
-- window = "24h"
-- params = { known_for = "1 day" }
WITH first_offer AS (
    SELECT server, tool, min(time) AS at, first_value(session_id ORDER BY time, definition_id) AS session_id, first_value(capabilities ORDER BY time, definition_id) AS capabilities
    FROM tool_definitions
    WHERE server IS NOT NULL
    GROUP BY server, tool
),
since AS (
    SELECT *, min(at) OVER (PARTITION BY server) AS server_since FROM first_offer
),
grown AS (
    SELECT n.server, n.tool, min(n.at) AS at, min(n.session_id) AS session_id, min(n.server_since) AS server_since,
           first_value(array_except(array_intersect(n.capabilities, make_array('egress', 'executes', 'destructive', 'pays', 'credentials')),
                                    coalesce(o.capabilities, make_array()))) AS gained
    FROM since n
    JOIN (SELECT server, array_distinct(flatten(array_agg(capabilities))) AS capabilities
          FROM since WHERE at < server_since + CAST($known_for AS INTERVAL) GROUP BY server) o ON o.server = n.server
    WHERE n.at >= n.server_since + CAST($known_for AS INTERVAL) AND array_has_any(n.capabilities, make_array('egress', 'executes', 'destructive', 'pays', 'credentials'))
    GROUP BY n.server, n.tool
),
versions AS (
    SELECT server, server_info_version AS version, min(time) AS since FROM connections WHERE server_info_version IS NOT NULL GROUP BY server, server_info_version
),
used AS (
    SELECT g.server, g.session_id, min(g.at) AS at, array_agg(DISTINCT g.tool) AS tools, array_distinct(flatten(array_agg(g.gained))) AS gained,
           coalesce(bool_or(v.since >= g.server_since + CAST($known_for AS INTERVAL)), false) AS updated
    FROM grown g
    LEFT JOIN versions v ON v.server = g.server AND v.since <= g.at AND v.since > g.at - INTERVAL '1 day'
    WHERE array_length(g.gained) > 0
    GROUP BY g.server, g.session_id
)
SELECT u.session_id, min(c.agent) AS agent, u.server, min(u.at) AS first_seen, min(u.at) AS last_seen,
       coalesce(array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.call_id IS NOT NULL), 1, 20), make_array()) AS call_ids,
       CASE WHEN NOT bool_or(u.updated) OR coalesce(bool_or(c.method = 'tools/call'), false) THEN 'medium' ELSE 'low' END AS level,
       u.server || ' now offers ' || array_to_string(array_slice(array_sort(first_value(u.tools)), 1, 4), ', ') || ', which gives it ' || array_to_string(array_sort(first_value(u.gained)), ', ')
           || CASE WHEN bool_or(u.updated) THEN '; its version is new' ELSE '; its version is not' END AS message,
       array_sort(first_value(u.tools)) AS tools, array_sort(first_value(u.gained)) AS gained
FROM used u
LEFT JOIN calls c ON c.session_id = u.session_id AND c.server = u.server AND c.event_kind = 'call' AND (c.method = 'tools/list' OR array_has(u.tools, c.tool))
GROUP BY u.session_id, u.server
