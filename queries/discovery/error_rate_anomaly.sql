-- id = "error_rate_anomaly"
-- title = "Far more calls fail than usual for this agent: probing"
-- level = "low"
-- status = "test"
-- description = """
--   In one session most calls to a server failed or were denied, over several tools or many arguments, while this agent's calls to the server hardly ever fail.
--   high: after the failures something with side effects or credentials worked for the first time in the session. medium: refusals (denied, 401, 403, 404, unknown tool, by status or by the error's text) are half of the
--   failures, as when rights and names are tried out. low: anything else, such as a server that is down.
--   Compared with the agent's daily shares on min_days of the 30 days before, by the median and three times the median absolute deviation; the
--   finding says how many days there were. Not reported when other agents' calls to the server fail as much that day.
--   """
-- tags = ["owasp.mcp07", "owasp.asi02", "atlas.AML.T0084.001", "attack.T1046", "attack.T1087"]
-- falsepositives = ["a server whose rules have just been changed"]
-- window = "31d"
-- history = "4d"
-- needs = []
-- helps = ["users", "argument_sizes", "errors", "approvals", "results"]
-- params = { min_days = 4, min_failures = 8, min_share = 0.4 }
WITH tried AS (
    SELECT coalesce(agent, user_id) AS who, server, day, session_id, count(*) AS calls,
           count(*) FILTER (WHERE outcome IN ('tool_error', 'protocol_error', 'transport_error', 'timeout') OR (outcome = 'denied' AND approval <> 'user_denied')) AS failures
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND day IS NOT NULL AND server IS NOT NULL AND time_source <> 'file_mtime' AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), server, day, session_id
),
daily AS (
    SELECT who, server, day, failures, calls, count(share) OVER past AS days, median(share) OVER past AS usual, mad(share) OVER past AS spread,
           sum(failures) OVER (PARTITION BY server, day) - failures AS others_failures, sum(calls) OVER (PARTITION BY server, day) - calls AS others_calls
    FROM (SELECT who, server, day, sum(failures) AS failures, sum(calls) AS calls, CAST(sum(failures) AS DOUBLE) / sum(calls) AS share FROM tried GROUP BY who, server, day)
    WINDOW past AS (PARTITION BY who, server ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
odd AS (
    SELECT t.who, t.server, t.day, t.session_id, t.calls, t.failures, d.days, d.usual
    FROM tried t JOIN daily d ON d.who = t.who AND d.server = t.server AND d.day = t.day
    WHERE d.days >= $min_days AND t.failures >= $min_failures AND t.failures >= $min_share * t.calls
      AND t.failures >= (d.usual + greatest(4.45 * d.spread, 0.2)) * t.calls AND (d.others_calls < 10 OR d.others_failures < 0.5 * $min_share * d.others_calls)
),
called AS (
    SELECT o.session_id, o.server, o.days, o.usual, o.calls, o.failures, c.call_id, c.agent, c.user_id, c.tool, c.time, c.arguments_hash,
           c.outcome IN ('tool_error', 'protocol_error', 'transport_error', 'timeout', 'denied') AS failed,
           c.outcome = 'denied' OR c.http_response_status_code IN (401, 403, 404) OR c.rpc_response_status_code IN (-32601, -32602, -32001, -32002)
             OR coalesce(c.outcome IN ('tool_error', 'protocol_error') AND regexp_like(concat_ws(' ', c.error_message, left(c.result_text, 300)), '\b40[134]\b|denied|forbidden|not allowed|unauthori[sz]ed|not permitted|permission|access|not found|no such|does not exist|unknown', 'i'), false) AS refused,
           c.outcome = 'success' AND array_has_any(c.capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays', 'credentials')) AS worked
    FROM odd o JOIN calls c ON c.session_id = o.session_id
    WHERE c.server = o.server AND c.day = o.day AND c.event_kind = 'call' AND c.method = 'tools/call'
),
summed AS (
    SELECT session_id, server, min(agent) AS agent, min(user_id) AS user_id, min(days) AS days, min(usual) AS usual, min(calls) AS calls, min(failures) AS failures,
           min(time) FILTER (WHERE failed) AS first_seen, max(time) AS last_seen, count(DISTINCT tool) FILTER (WHERE failed) AS tools, count(DISTINCT arguments_hash) FILTER (WHERE failed) AS variants,
           count(*) FILTER (WHERE failed AND refused) AS refusals, min(time) FILTER (WHERE worked) AS worked_at, max(time) FILTER (WHERE failed) AS last_failed,
           array_agg(call_id ORDER BY time, call_id) FILTER (WHERE failed) AS call_ids
    FROM called GROUP BY session_id, server
)
SELECT session_id, agent, user_id, server, first_seen, last_seen, array_slice(call_ids, 1, 30) AS call_ids,
       CASE WHEN 2 * refusals >= failures AND worked_at > first_seen THEN 'high' WHEN 2 * refusals >= failures THEN 'medium' ELSE 'low' END AS level,
       CAST(failures AS VARCHAR) || ' of ' || CAST(calls AS VARCHAR) || ' calls to ' || server || ' failed, ' || CAST(refusals AS VARCHAR) || ' were refused; usually '
           || CAST(CAST(100 * usual AS BIGINT) AS VARCHAR) || ' % fail (history of ' || CAST(days AS VARCHAR) || ' days)' AS message,
       failures, calls, refusals, tools, variants, days AS history_days
FROM summed
WHERE tools >= 3 OR variants >= 0.5 * failures
