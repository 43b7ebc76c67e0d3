-- id = "log_detail_lost"
-- title = "A log that used to have payloads, users or sessions has them no longer"
-- level = "medium"
-- status = "test"
-- description = """
--   On earlier days nearly every call of a server in this kind of log had its arguments, its result, a user, an agent, or the decision on its approval. On
--   this day hardly any has: somebody has turned the logging down, or a gateway has been put around the one that logged.
--   high: arguments and results at once, or users and agents at once. medium: one of them. low: approvals only.
--   Compared with min_days earlier days of the 30 before, of at least min_calls each. The finding says how many. One finding per server and day on
--   which it began. Works on metadata alone.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1562.008", "attack.T1562.001"]
-- falsepositives = ["a setting that was changed on purpose, for privacy or for space"]
-- window = "31d"
-- history = "3d"
-- needs = []
-- helps = ["arguments", "results", "users", "approvals"]
-- params = { min_days = 3, min_calls = 10, had = 0.9, has = 0.1 }
WITH daily AS (
    SELECT source_format, server, day, count(*) AS calls, min(time) AS first_at, max(time) AS last_at,
           avg(CASE WHEN arguments_state IN ('present', 'truncated', 'none') THEN 1.0 ELSE 0.0 END) AS arguments,
           avg(CASE WHEN result_state IN ('present', 'truncated') OR outcome <> 'success' THEN 1.0 ELSE 0.0 END) AS results,
           avg(CASE WHEN user_id IS NOT NULL THEN 1.0 ELSE 0.0 END) AS users,
           avg(CASE WHEN agent IS NOT NULL THEN 1.0 ELSE 0.0 END) AS agents,
           avg(CASE WHEN approval <> 'unknown' THEN 1.0 ELSE 0.0 END) AS approvals
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND day IS NOT NULL AND time_source <> 'file_mtime'
    GROUP BY source_format, server, day
    HAVING count(*) >= $min_calls
),
compared AS (
    SELECT *, count(*) OVER past AS days,
           min(arguments) OVER past >= $had AND arguments <= $has AS lost_arguments, min(results) OVER past >= $had AND results <= $has AS lost_results,
           min(users) OVER past >= $had AND users <= $has AS lost_users, min(agents) OVER past >= $had AND agents <= $has AS lost_agents,
           min(approvals) OVER past >= $had AND approvals <= $has AS lost_approvals
    FROM daily
    WINDOW past AS (PARTITION BY source_format, server ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
evidence AS (
    SELECT d.source_format, d.server, d.day, min(d.days) AS days, min(d.calls) AS calls, bool_or(d.lost_arguments) AS lost_arguments,
           bool_or(d.lost_results) AS lost_results, bool_or(d.lost_users) AS lost_users, bool_or(d.lost_agents) AS lost_agents,
           bool_or(d.lost_approvals) AS lost_approvals, min(c.time) AS first_seen, max(c.time) AS last_seen,
           CASE WHEN count(DISTINCT c.agent) = 1 THEN min(c.agent) END AS agent, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM compared d
    JOIN calls c ON c.source_format = d.source_format AND (c.server IS NOT DISTINCT FROM d.server) AND c.day = d.day
    WHERE d.days >= $min_days AND (d.lost_arguments OR d.lost_results OR d.lost_users OR d.lost_agents OR d.lost_approvals)
      AND c.event_kind = 'call' AND c.method = 'tools/call'
    GROUP BY d.source_format, d.server, d.day
)
SELECT agent, server, first_seen, last_seen, array_slice(call_ids, 1, 10) AS call_ids,
       CASE WHEN (lost_arguments AND lost_results) OR (lost_users AND lost_agents) THEN 'high'
            WHEN lost_arguments OR lost_results OR lost_users OR lost_agents THEN 'medium' ELSE 'low' END AS level,
       'The log ' || source_format || coalesce(' of ' || server, '') || ' has no longer '
           || concat_ws(', ', CASE WHEN lost_arguments THEN 'arguments' END, CASE WHEN lost_results THEN 'results' END, CASE WHEN lost_users THEN 'users' END,
                        CASE WHEN lost_agents THEN 'agents' END, CASE WHEN lost_approvals THEN 'approvals' END)
           || ' (history of ' || CAST(days AS VARCHAR) || ' days)' AS message,
       source_format, days AS history_days, calls
FROM evidence
