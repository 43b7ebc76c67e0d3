-- id = "arguments_snowball"
-- title = "Arguments grow from call to call"
-- level = "low"
-- status = "test"
-- description = """
--   In one session the arguments of a tool grew at each of at least min_steps calls in turn, by a fifth or more, to at least min_bytes: the agent hands over
--   everything that it has gathered so far, each time again. It costs tokens, and carries along what was read in between.
--   high: they grew to max_bytes and the tool can send data out. medium: one of the two. low: neither. Works on sizes alone.
--   """
-- tags = ["owasp.mcp10", "owasp.asi08", "atlas.AML.T0034.002", "atlas.AML.T0086", "attack.T1074", "attack.T1499"]
-- falsepositives = ["a document that is saved again and again while it is written (low)"]
-- window = "24h"
-- needs = ["argument_sizes"]
-- params = { min_steps = 5, min_bytes = 32768, max_bytes = 262144 }
WITH large AS (
    SELECT DISTINCT session_id, tool FROM calls WHERE arguments_bytes >= $min_bytes AND event_kind = 'call' AND method = 'tools/call'
),
step AS (
    SELECT c.session_id, c.server, c.tool, c.call_id, c.agent, c.time, c.arguments_bytes, has_capability(c.capabilities, 'egress') AS egress,
           coalesce(c.arguments_bytes >= 1.2 * lag(c.arguments_bytes) OVER turn, false) AS grew,
           row_number() OVER turn AS nth
    FROM large l JOIN calls c ON c.session_id = l.session_id AND c.tool = l.tool
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.arguments_bytes IS NOT NULL
    WINDOW turn AS (PARTITION BY c.session_id, c.server, c.tool ORDER BY c.time, c.source_offset, c.call_id)
),
run AS (
    -- Calls of one run of growth share the number of the call that began it.
    SELECT *, count(*) FILTER (WHERE NOT grew) OVER (PARTITION BY session_id, server, tool ORDER BY nth) AS run FROM step
),
grown AS (
    SELECT session_id, server, tool, run, min(agent) AS agent, min(time) AS first_seen, max(time) AS last_seen, count(*) - 1 AS steps, bool_or(egress) AS egress,
           min(arguments_bytes) AS from_bytes, max(arguments_bytes) AS to_bytes, array_agg(call_id ORDER BY nth) AS call_ids
    FROM run GROUP BY session_id, server, tool, run
    HAVING count(*) - 1 >= $min_steps AND max(arguments_bytes) >= $min_bytes
)
SELECT session_id, agent, server, tool, first_seen, last_seen, array_slice(call_ids, 1, 40) AS call_ids,
       CASE WHEN to_bytes >= $max_bytes AND egress THEN 'high' WHEN to_bytes >= $max_bytes OR egress THEN 'medium' ELSE 'low' END AS level,
       'The arguments of ' || concat_ws('/', server, tool) || ' grew in ' || CAST(steps AS VARCHAR) || ' steps from ' || CAST(from_bytes AS VARCHAR) || ' to ' || CAST(to_bytes AS VARCHAR) || ' bytes' AS message,
       steps, from_bytes, to_bytes
FROM grown
