-- id = "messages_missing"
-- title = "Requests without responses and responses without requests: the log may be incomplete"
-- level = "medium"
-- status = "stable"
-- description = """
--   A session's log holds requests that nobody answered although the session went on, responses that nobody asked for after the
--   first request, or ids used again while their first request was open: lines were lost, filtered or removed.
--   high: the unanswered requests are all side effects while the rest of the session is not, or requests and responses are missing
--   both. medium: enough of either, by count and by share. low: reused ids, or more than half of the requests unanswered, which
--   looks like a format or server that does not answer.
--   The open end of a live or cut-off session, the head of a log that begins in the middle, cancelled requests, subscriptions
--   and sources that never hold responses are normal.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1562.008", "attack.T1070"]
-- falsepositives = ["users who interrupt tools often", "servers that crash", "sampled logs", "files that are disjoint slices of one session"]
-- window = "24h"
-- params = { min_count = 3, min_share = 0.05, grace = "1 minute" }
-- needs = ["outcomes"]
WITH stats AS (
    SELECT session_id, coalesce(source_file, '') AS source_file, count(*) AS requests,
           count(*) FILTER (WHERE outcome <> 'no_response') AS answered,
           min(time) AS first_request, max(time) FILTER (WHERE outcome <> 'no_response') AS last_answered,
           count(*) FILTER (WHERE outcome <> 'no_response'
                            AND array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays'))) AS answered_effects,
           bool_or(array_has(parse_flags, 'evicted_open')) AS evicted
    FROM calls
    WHERE event_kind = 'call' AND method <> 'subscriptions/listen'
    GROUP BY session_id, coalesce(source_file, '')
),
odd AS (
    SELECT call_id, session_id, coalesce(source_file, '') AS source_file, agent, server, tool, time, event_kind, outcome,
           array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays')) AS effect,
           array_has(parse_flags, 'id_reused') AS reused
    FROM calls
    WHERE (event_kind = 'orphan' OR (event_kind = 'call' AND (outcome = 'no_response' OR array_has(parse_flags, 'id_reused'))))
      AND method <> 'subscriptions/listen' AND NOT coalesce(array_has(parse_flags, 'evicted_open'), false)
),
judged AS (
    SELECT o.*, s.requests, s.answered, s.answered_effects,
           o.event_kind = 'call' AND o.outcome = 'no_response' AND o.time + CAST($grace AS INTERVAL) < s.last_answered AS lost,
           o.event_kind = 'orphan' AND o.time > s.first_request AND NOT s.evicted AS orphaned
    FROM odd o
    JOIN stats s ON s.session_id = o.session_id AND s.source_file = o.source_file
    WHERE s.answered > 0
),
counted AS (
    SELECT session_id, source_file, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
           min(time) AS first_seen, max(time) AS last_seen,
           array_agg(call_id ORDER BY time, call_id) AS call_ids,
           max(requests) AS requests, max(answered) AS answered, max(answered_effects) AS answered_effects,
           count(*) FILTER (WHERE lost) AS unanswered, count(*) FILTER (WHERE lost AND effect) AS unanswered_effects,
           count(*) FILTER (WHERE orphaned) AS orphans, count(*) FILTER (WHERE reused) AS reused_ids
    FROM judged
    WHERE lost OR orphaned OR reused
    GROUP BY session_id, source_file
),
graded AS (
    SELECT *, unanswered >= $min_count AND unanswered >= $min_share * requests AS many_unanswered,
           orphans >= $min_count AND orphans >= $min_share * requests AS many_orphans
    FROM counted
),
levelled AS (
    SELECT *, CASE WHEN many_unanswered AND 2 * unanswered > requests THEN 1
                   WHEN many_unanswered AND many_orphans THEN 3
                   -- Chance would spread the loss over reads as well.
                   WHEN many_unanswered AND unanswered_effects = unanswered AND 4 * answered_effects <= answered THEN 3
                   WHEN many_unanswered OR many_orphans THEN 2
                   WHEN reused_ids >= $min_count AND reused_ids >= $min_share * requests THEN 1
                   ELSE 0 END AS grade
    FROM graded
)
SELECT session_id, agent, server, first_seen, last_seen, array_slice(call_ids, 1, 100) AS call_ids,
       CASE grade WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws(', ', CASE WHEN unanswered > 0 THEN CAST(unanswered AS VARCHAR) || ' of ' || CAST(requests AS VARCHAR) || ' requests have no response'
                            || CASE WHEN unanswered_effects = unanswered THEN ' (all of them side effects)' ELSE '' END END,
                 CASE WHEN orphans > 0 THEN CAST(orphans AS VARCHAR) || ' responses have no request' END,
                 CASE WHEN reused_ids > 0 THEN CAST(reused_ids AS VARCHAR) || ' ids were used again while open' END)
           || coalesce(' in ' || nullif(source_file, ''), '') AS message,
       source_file, requests, unanswered, orphans, reused_ids
FROM levelled
WHERE grade > 0
