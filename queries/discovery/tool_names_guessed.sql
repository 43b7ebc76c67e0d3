-- id = "tool_names_guessed"
-- title = "Tool names guessed: many that do not exist"
-- level = "medium"
-- status = "test"
-- description = """
--   In a few minutes of one session many different tools were called that the server does not have (error -32601, -32602 or an error that says
--   so) and that never worked in the session. No list of tools is needed for it, other than for tool_never_offered.
--   high: afterwards one of the names worked at another try, or a tool that can run commands, write, or read credentials worked for the first time.
--   medium: at least min_names within the time. Counted per session, so that names spread over servers count together.
--   """
-- tags = ["owasp.mcp07", "owasp.asi02", "atlas.AML.T0084.001", "attack.T1046"]
-- falsepositives = ["a client whose list of tools is out of date after an upgrade of the server"]
-- window = "24h"
-- needs = []
-- helps = ["errors"]
-- params = { min_names = 8, within = "5 minutes" }
WITH refused AS (
    SELECT session_id, server, tool, min(time) AS time, min(agent) AS agent, min(call_id) AS call_id
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND tool IS NOT NULL
      AND (rpc_response_status_code IN (-32601, -32602)
           OR (outcome IN ('protocol_error', 'tool_error')
               AND regexp_like(error_message, '\b(unknown|no such|unrecogni[sz]ed|undefined|invalid) (tool|method)|(tool|method)\b.{0,80}\b(not found|does not exist|is not (known|available|defined))', 'i')))
      -- -32602 also means that the arguments of a tool that exists are wrong.
      AND NOT coalesce(regexp_like(error_message, 'argument|param|required|missing|field|schema|validation', 'i')
                       AND NOT regexp_like(error_message, '\btool\b.{0,80}\b(not found|does not exist|unknown)|unknown tool', 'i'), false)
    GROUP BY session_id, server, tool
),
counted AS (
    SELECT *, count(*) OVER (PARTITION BY session_id) AS names
    FROM refused
),
worked AS (
    SELECT c.session_id, c.server, c.tool, min(c.time) AS time, min(c.call_id) AS call_id,
           bool_or(array_has_any(c.capabilities, make_array('executes', 'writes', 'destructive', 'credentials', 'pays'))) AS sensitive
    FROM calls c
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome = 'success'
      AND c.session_id IN (SELECT session_id FROM counted WHERE names >= $min_names)
    GROUP BY c.session_id, c.server, c.tool
),
guesses AS (
    SELECT r.*, w.time AS worked_at, w.call_id AS worked_id
    FROM counted r
    LEFT JOIN worked w ON w.session_id = r.session_id AND (w.server IS NOT DISTINCT FROM r.server) AND w.tool = r.tool
    WHERE r.names >= $min_names AND (w.time IS NULL OR w.time > r.time)
),
burst AS (
    SELECT *, lead(time, CAST($min_names - 1 AS BIGINT)) OVER (PARTITION BY session_id ORDER BY time, call_id) AS nth
    FROM guesses
),
found AS (
    SELECT session_id, min(agent) AS agent, min(time) AS first_seen, max(time) AS last_seen, count(*) AS names,
           min(time) FILTER (WHERE nth <= time + CAST($within AS INTERVAL)) AS burst_at,
           array_agg(call_id ORDER BY time, call_id) AS call_ids, array_agg(worked_id ORDER BY worked_id) FILTER (WHERE worked_id IS NOT NULL) AS hits,
           array_agg(tool ORDER BY time, call_id) AS tools
    FROM burst
    GROUP BY session_id
    HAVING bool_or(nth <= time + CAST($within AS INTERVAL))
),
after AS (
    SELECT f.session_id, min(w.tool) AS opened, min(w.call_id) AS opened_id
    FROM found f JOIN worked w ON w.session_id = f.session_id AND w.sensitive AND w.time > f.burst_at
    GROUP BY f.session_id
)
SELECT f.session_id, f.agent, f.first_seen, f.last_seen,
       array_slice(array_concat(f.call_ids, coalesce(f.hits, make_array()), CASE WHEN a.opened_id IS NULL THEN make_array() ELSE make_array(a.opened_id) END), 1, 60) AS call_ids,
       CASE WHEN f.hits IS NOT NULL OR a.opened IS NOT NULL THEN 'high' ELSE 'medium' END AS level,
       CAST(f.names AS VARCHAR) || ' tools that do not exist were called, such as ' || array_to_string(array_slice(f.tools, 1, 4), ', ')
           || CASE WHEN f.hits IS NOT NULL THEN '; one of them worked later' WHEN a.opened IS NOT NULL THEN '; then ' || a.opened || ' worked' ELSE '' END AS message,
       f.names, array_slice(f.tools, 1, 50) AS tools
FROM found f LEFT JOIN after a ON a.session_id = f.session_id
