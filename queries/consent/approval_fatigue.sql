-- id = "approval_fatigue"
-- title = "Many approvals, faster and faster, then a sensitive one"
-- level = "medium"
-- status = "test"
-- description = """
--   Within an hour of one session the user allowed many calls, the answers came faster and faster, and then a call that can destroy, send, pay, run or
--   read credentials was allowed as fast: the user no longer reads what is asked.
--   high: untrusted content was read in that hour before the sensitive call. medium: the last three answers
--   and this one took at most (1 - drop) of the hour's median. low: the log holds no waits, and the sensitive call came after at least twice min_approvals harmless ones.
--   The sensitive call's tool must be rare among the approvals of the hour: at most every fifth.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp02", "owasp.asi09", "atlas.AML.T0053", "attack.T1204", "attack.T1621"]
-- falsepositives = ["a series of like calls that the user knows well"]
-- window = "2h"
-- needs = ["approvals"]
-- helps = ["approval_times", "users"]
-- params = { min_approvals = 10, drop = 0.3 }
WITH allowed AS (
    SELECT call_id, session_id, agent, user_id, server, tool, time, approval_wait_ns,
           array_has_any(capabilities, make_array('destructive', 'egress', 'pays', 'executes', 'credentials')) AS sensitive
    FROM calls
    WHERE approval = 'user_allowed' AND event_kind = 'call'
),
counted AS (
    SELECT *, count(*) OVER hour AS approvals, count(approval_wait_ns) OVER hour AS waits, median(approval_wait_ns) OVER hour AS hour_wait,
           median(approval_wait_ns) OVER (PARTITION BY session_id ORDER BY time, call_id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS last_wait,
           count(*) OVER (PARTITION BY session_id, server, tool ORDER BY time RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) AS like_it
    FROM allowed
    WINDOW hour AS (PARTITION BY session_id ORDER BY time RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW)
),
tired AS (
    SELECT *, row_number() OVER (PARTITION BY session_id ORDER BY time, call_id) AS nth, count(*) OVER (PARTITION BY session_id) AS sensitive_calls
    FROM (SELECT *, waits >= 0.8 * approvals AND last_wait <= (1 - $drop) * hour_wait AND approval_wait_ns <= (1 - $drop) * hour_wait AS faster
          FROM counted WHERE sensitive AND approvals > $min_approvals AND 5 * like_it <= approvals)
    WHERE faster OR (waits = 0 AND approvals > 2 * $min_approvals)
),
evidence AS (
    SELECT t.session_id, min(t.agent) AS agent, min(t.user_id) AS user_id, min(t.server) AS server, min(t.tool) AS tool, min(t.approvals) AS approvals,
           bool_or(t.faster) AS faster, min(t.hour_wait) AS hour_wait, min(t.last_wait) AS last_wait, min(t.sensitive_calls) AS sensitive_calls,
           min(c.time) FILTER (WHERE c.approval = 'user_allowed') AS first_seen, min(t.time) AS last_seen,
           array_agg(c.call_id ORDER BY c.time DESC, c.call_id) FILTER (WHERE c.approval = 'user_allowed') AS call_ids,
           bool_or(has_capability(c.capabilities, 'reads_untrusted') AND c.outcome = 'success' AND c.call_id <> t.call_id) AS untrusted
    FROM tired t
    JOIN calls c ON c.session_id = t.session_id AND c.time <= t.time AND c.time >= t.time - INTERVAL '1 hour'
    WHERE t.nth = 1 AND c.event_kind = 'call'
    GROUP BY t.session_id
)
SELECT session_id, agent, user_id, first_seen, last_seen, array_slice(call_ids, 1, 30) AS call_ids,
       CASE WHEN faster AND untrusted THEN 'high' WHEN faster THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, tool) || ' was allowed after ' || CAST(approvals - 1 AS VARCHAR) || ' approvals within an hour'
           || coalesce('; the median wait was ' || CAST(CAST(hour_wait / 1e6 AS BIGINT) AS VARCHAR) || ' ms, of the last ones ' || CAST(CAST(last_wait / 1e6 AS BIGINT) AS VARCHAR) || ' ms', '') AS message,
       approvals, CAST(hour_wait / 1e6 AS BIGINT) AS median_wait_ms, CAST(last_wait / 1e6 AS BIGINT) AS last_wait_ms, sensitive_calls
FROM evidence
