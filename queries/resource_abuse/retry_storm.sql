-- id = "retry_storm"
-- title = "Failing calls repeated without end"
-- level = "low"
-- status = "test"
-- description = """
--   In one session a tool failed at least min_failures times within five minutes, hardly anything of it worked, and the pauses did not grow: a retry
--   without backing off, which a server may have provoked.
--   high: an error or result of it tells the model to go on until it works. medium: at least many failures, or the arguments changed each time as
--   when something is being guessed. low: anything else. Denials by a person do not count.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp10", "owasp.asi08", "atlas.AML.T0034.002", "atlas.AML.T0029", "attack.T1499"]
-- falsepositives = ["a server that is down"]
-- window = "1h"
-- needs = []
-- helps = ["errors", "results", "argument_sizes", "approvals"]
-- params = { min_failures = 15, many = 50 }
WITH stormy AS (
    SELECT session_id, server, tool, slot
    FROM (SELECT session_id, server, tool, date_bin(INTERVAL '5 minutes', time) AS slot,
                 count(*) FILTER (WHERE outcome IN ('tool_error', 'protocol_error', 'transport_error', 'timeout') OR (outcome = 'denied' AND approval <> 'user_denied')) AS failures,
                 count(*) FILTER (WHERE outcome = 'success') AS worked
          FROM calls WHERE event_kind = 'call' AND method = 'tools/call'
          GROUP BY session_id, server, tool, date_bin(INTERVAL '5 minutes', time))
    WHERE failures >= $min_failures AND 5 * worked <= failures
),
failed AS (
    SELECT c.session_id, c.server, c.tool, c.call_id, c.agent, c.time, c.arguments_hash, c.error_message, c.result,
           CAST(c.time AS BIGINT) - CAST(lag(c.time) OVER (PARTITION BY c.session_id, c.server, c.tool ORDER BY c.time, c.call_id) AS BIGINT) AS pause,
           ntile(2) OVER (PARTITION BY c.session_id, c.server, c.tool ORDER BY c.time, c.call_id) AS half
    FROM stormy s
    JOIN calls c ON c.session_id = s.session_id AND c.tool = s.tool AND date_bin(INTERVAL '5 minutes', c.time) = s.slot
    WHERE (c.server IS NOT DISTINCT FROM s.server) AND c.event_kind = 'call' AND c.method = 'tools/call'
      AND (c.outcome IN ('tool_error', 'protocol_error', 'transport_error', 'timeout') OR (c.outcome = 'denied' AND c.approval <> 'user_denied'))
),
summed AS (
    SELECT session_id, server, tool, min(agent) AS agent, min(time) AS first_seen, max(time) AS last_seen, count(*) AS failures,
           count(DISTINCT arguments_hash) AS variants, count(arguments_hash) AS hashed,
           median(pause) FILTER (WHERE half = 1) AS first_pause, median(pause) FILTER (WHERE half = 2) AS last_pause,
           bool_or(regexp_like(coalesce(error_message, '') || ' ' || coalesce(left(result, 4000), ''),
                   '(retry|try again|call (this|the) tool again|repeat (this|the) (call|request)|keep (trying|calling)).{0,60}(until|as (long|often) as|indefinitely|without (asking|telling|stopping))|do not (stop|give up).{0,40}(until|retry)|must (retry|be called again)', 'i')) AS told,
           array_slice(array_agg(call_id ORDER BY time, call_id), 1, 20) AS call_ids
    FROM failed
    GROUP BY session_id, server, tool
)
SELECT session_id, agent, server, tool, first_seen, last_seen, call_ids,
       CASE WHEN told THEN 'high' WHEN failures >= $many OR (hashed = failures AND variants >= 0.8 * failures) THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, tool) || ' failed ' || CAST(failures AS VARCHAR) || ' times in a row of minutes'
           || CASE WHEN told THEN '; its error tells the model to go on' WHEN hashed = failures AND variants >= 0.8 * failures THEN ', with other arguments each time' ELSE '' END AS message,
       failures, variants, told AS told_to_retry
FROM summed
WHERE last_pause < 4 * first_pause OR first_pause IS NULL OR told
