-- id = "approved_faster_than_human"
-- title = "Approvals came faster than a person can read"
-- level = "medium"
-- status = "test"
-- description = """
--   The log says that the user allowed calls, but the answers came within a fraction of a second, again and again: a script or an extension
--   answers in the user's place.
--   high: such answers let through calls that can destroy, send, pay, run or read credentials, and nearly all answers of the session are as fast.
--   medium: for such calls, or at least twice min_approvals of any kind. low: the others.
--   An answer that covers a whole session, and decisions of policies, are not the user's and do not count. min_ms is the wait below which an answer
--   counts: a person who expects the question needs about 200 ms to press a key, and more to read.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp02", "owasp.asi09", "atlas.AML.T0053", "attack.T1562.001"]
-- falsepositives = ["a client that logs the time of its own handling in place of the wait"]
-- window = "24h"
-- needs = ["approval_times"]
-- helps = ["approvals", "users"]
-- params = { min_ms = 250, min_approvals = 3, share = 0.5 }
WITH answered AS (
    SELECT call_id, session_id, agent, user_id, server, tool, time, approval_wait_ns / 1000000 AS wait_ms,
           array_has_any(capabilities, make_array('destructive', 'egress', 'pays', 'executes', 'credentials')) AS sensitive
    FROM calls
    WHERE approval IN ('user_allowed', 'user_denied') AND approval_wait_ns IS NOT NULL AND event_kind = 'call'
      AND NOT coalesce(regexp_like(approval_source, 'session|always|permanent|remember|policy|config|rule|auto', 'i'), false)
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT user_id) = 1 THEN min(user_id) END AS user_id, min(time) FILTER (WHERE wait_ms < $min_ms) AS first_seen, max(time) FILTER (WHERE wait_ms < $min_ms) AS last_seen,
       array_slice(array_agg(call_id ORDER BY NOT sensitive, time, call_id) FILTER (WHERE wait_ms < $min_ms), 1, 50) AS call_ids,
       CASE WHEN bool_or(sensitive AND wait_ms < $min_ms) AND count(*) FILTER (WHERE wait_ms < $min_ms) >= 0.9 * count(*) THEN 'high'
            WHEN bool_or(sensitive AND wait_ms < $min_ms) OR count(*) FILTER (WHERE wait_ms < $min_ms) >= 2 * $min_approvals THEN 'medium' ELSE 'low' END AS level,
       CAST(count(*) FILTER (WHERE wait_ms < $min_ms) AS VARCHAR) || ' of ' || CAST(count(*) AS VARCHAR) || ' answers came within ' || CAST($min_ms AS VARCHAR)
           || ' ms, the median after ' || CAST(CAST(median(wait_ms) FILTER (WHERE wait_ms < $min_ms) AS BIGINT) AS VARCHAR) || ' ms' AS message,
       count(*) FILTER (WHERE wait_ms < $min_ms) AS fast, count(*) AS answers, CAST(median(wait_ms) AS BIGINT) AS median_ms
FROM answered
GROUP BY session_id
HAVING count(*) FILTER (WHERE wait_ms < $min_ms) >= $min_approvals AND count(*) FILTER (WHERE wait_ms < $min_ms) >= $share * count(*)
