-- id = "asked_until_allowed"
-- title = "Call denied by the user, asked for again until it was allowed"
-- level = "medium"
-- status = "test"
-- description = """
--   The user refused the same call (same tool, same arguments by hash) at least min_denials times, and then allowed it, although nothing was
--   said in between: the agent wore the user down, or the user hit the wrong key. Where the log has no approvals, the text of the answer
--   ("the user rejected …") and the success after it tell.
--   high: the call can destroy, send, pay, run or read credentials, and the last answer came faster than the first. medium: it can. low: it only reads or writes.
--   Where the log has the user's prompts, a request in between means that the user changed their mind: no finding.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp02", "owasp.asi09", "atlas.AML.T0053", "attack.T1621"]
-- falsepositives = ["the user refused by mistake, and wanted it"]
-- window = "24h"
-- needs = ["approvals|results", "argument_sizes"]
-- helps = ["approval_times", "errors", "prompts", "users"]
-- params = { min_denials = 2, within = "1 hour" }
WITH refusal AS (SELECT DISTINCT call_id, outcome, words, by_person, by_policy FROM refusals),   -- as a step: computed once for all rules
told AS (                        -- refused by a person, by the text of the answer, where the log has no approvals
    SELECT w.call_id
    FROM refusal w JOIN calls c ON c.call_id = w.call_id
    WHERE w.by_person AND c.approval IN ('unknown', 'not_required')
),
denied AS (                      -- of these few
    SELECT session_id, server, tool, arguments_hash, bool_or(approval = 'user_denied') AS recorded
    FROM (SELECT call_id FROM calls WHERE event_kind = 'call' AND approval = 'user_denied' UNION SELECT call_id FROM told) d
    JOIN calls c ON c.call_id = d.call_id
    WHERE arguments_hash IS NOT NULL
    GROUP BY session_id, server, tool, arguments_hash
    HAVING count(*) >= $min_denials
),
answered AS (
    SELECT c.*, d.recorded, CASE WHEN c.approval = 'user_denied' OR t.call_id IS NOT NULL THEN 'denied'
                                 WHEN c.approval = 'user_allowed' OR (c.outcome = 'success' AND NOT d.recorded) THEN 'allowed' END AS answer
    FROM denied d
    JOIN calls c ON c.session_id = d.session_id AND c.tool = d.tool AND c.arguments_hash = d.arguments_hash AND coalesce(c.server, '') = coalesce(d.server, '')
    LEFT JOIN told t ON t.call_id = c.call_id
    WHERE c.event_kind = 'call' AND c.approval IN ('user_denied', 'user_allowed', 'unknown', 'not_required')
),
asked AS (
    SELECT session_id, server, tool, arguments_hash, min(agent) AS agent, min(user_id) AS user_id,
           min(time) FILTER (WHERE answer = 'denied') AS first_denied, max(time) FILTER (WHERE answer = 'denied') AS last_denied,
           count(*) FILTER (WHERE answer = 'denied') AS denials, max(time) FILTER (WHERE answer = 'allowed') AS allowed_at,
           first_value(approval_wait_ns ORDER BY time, call_id) FILTER (WHERE answer = 'denied') AS first_wait,
           first_value(approval_wait_ns ORDER BY time DESC, call_id) FILTER (WHERE answer = 'allowed') AS last_wait,
           bool_or(array_has_any(capabilities, make_array('destructive', 'egress', 'pays', 'executes', 'credentials'))) AS sensitive,
           array_agg(call_id ORDER BY time, call_id) AS call_ids
    FROM answered
    WHERE answer IS NOT NULL
    GROUP BY session_id, server, tool, arguments_hash
),
worn AS (
    SELECT * FROM asked
    WHERE denials >= $min_denials AND allowed_at > last_denied AND allowed_at <= first_denied + CAST($within AS INTERVAL)
),
spoken AS (
    SELECT w.session_id, w.arguments_hash, count(q.session_id) AS prompts
    FROM worn w JOIN prompts q ON q.session_id = w.session_id AND q.time > w.first_denied AND q.time <= w.allowed_at
    GROUP BY w.session_id, w.arguments_hash
)
SELECT w.session_id, w.agent, w.user_id, w.server, w.tool, w.first_denied AS first_seen, w.allowed_at AS last_seen, w.call_ids,
       CASE WHEN w.sensitive AND w.last_wait < w.first_wait THEN 'high' WHEN w.sensitive THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', w.server, w.tool) || ' was denied ' || CAST(w.denials AS VARCHAR) || ' times, asked for again, and allowed' AS message,
       w.denials
FROM worn w
LEFT JOIN spoken s ON s.session_id = w.session_id AND s.arguments_hash = w.arguments_hash
WHERE s.prompts IS NULL
