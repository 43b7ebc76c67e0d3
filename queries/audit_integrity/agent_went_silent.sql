-- id = "agent_went_silent"
-- title = "Agent that logs every day fell silent while the others go on"
-- level = "medium"
-- status = "test"
-- description = """
--   An agent that was in the log on nearly every day on which the fleet worked is missing on a day on which the others work as usual: it
--   stopped, or it is no longer logged, or its lines are held back.
--   high: its last session ended with a request without an answer, or with denials, that is in the middle of something. medium: silent for a whole
--   day of work. low: far fewer calls than its median less three times their spread, but some.
--   A day counts as one of work if at least half as many other agents are active as usually. The last day of the log does not count, it may go on.
--   Quiet until the agent was seen on min_days days of the 30 before. One finding for each gap. Works on metadata alone.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1562.008", "attack.T1070"]
-- falsepositives = ["an agent that was retired or renamed", "somebody's holiday"]
-- window = "31d"
-- history = "6d"
-- needs = []
-- helps = ["users"]
-- params = { min_days = 5, min_calls = 10, regular = 0.9, fallen = 0.1 }
WITH daily AS (
    SELECT coalesce(agent, user_id) AS who, day, count(*) AS calls, min(time) AS first_at, max(time) AS last_at
    FROM calls
    WHERE event_kind = 'call' AND day IS NOT NULL AND time_source <> 'file_mtime' AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), day
),
fleet AS (
    SELECT day, agents, last_at, median(agents) OVER (ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS usual_agents,
           lead(day) OVER (ORDER BY day) IS NOT NULL AS is_over
    FROM (SELECT day, count(*) AS agents, max(last_at) AS last_at FROM daily GROUP BY day)
),
expected AS (
    SELECT w.who, f.day, f.last_at AS fleet_last_at, f.is_over, coalesce(d.calls, 0) AS calls, d.last_at,
           f.agents - CASE WHEN d.calls IS NULL THEN 0 ELSE 1 END AS others, f.usual_agents
    FROM (SELECT who, min(day) AS first_day FROM daily GROUP BY who) w
    JOIN fleet f ON f.day >= w.first_day
    LEFT JOIN daily d ON d.who = w.who AND d.day = f.day
    WHERE f.usual_agents IS NULL OR 2 * f.agents >= f.usual_agents
),
judged AS (
    SELECT *, count(*) OVER past AS days, count(*) FILTER (WHERE calls > 0) OVER past AS active_days, median(calls) OVER past AS usual,
           mad(calls) OVER past AS spread, max(last_at) OVER past AS seen_at, lag(calls) OVER (PARTITION BY who ORDER BY day) AS calls_before
    FROM expected
    WINDOW past AS (PARTITION BY who ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
gap AS (
    SELECT *, calls = 0 AS silent
    FROM judged
    WHERE is_over AND active_days >= $min_days AND active_days >= $regular * days AND usual >= $min_calls AND others >= 2
      AND 2 * others >= usual_agents - 1 AND calls_before >= $fallen * usual AND calls_before > 0
      AND (calls = 0 OR (calls < $fallen * usual AND calls < usual - 4.45 * spread))
),
last_calls AS (
    SELECT g.who, g.day, g.silent, g.calls, g.usual, g.active_days, g.others, g.fleet_last_at, c.call_id, c.session_id, c.agent, c.user_id, c.time, c.outcome,
           row_number() OVER (PARTITION BY g.who, g.day ORDER BY c.time DESC, c.call_id) AS nth
    FROM gap g
    JOIN calls c ON coalesce(c.agent, c.user_id) = g.who AND c.time <= coalesce(g.last_at, g.seen_at) AND c.time > coalesce(g.last_at, g.seen_at) - INTERVAL '1 hour'
    WHERE c.event_kind = 'call'
)
SELECT min(agent) AS agent, CASE WHEN min(agent) IS NULL THEN min(user_id) END AS user_id, min(time) AS first_seen, max(fleet_last_at) AS last_seen,
       array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE WHEN NOT bool_or(silent) THEN 'low'
            WHEN first_value(outcome ORDER BY nth) IN ('no_response', 'denied') OR count(*) FILTER (WHERE outcome = 'denied') >= 2 THEN 'high' ELSE 'medium' END AS level,
       who || CASE WHEN bool_or(silent) THEN ' has no calls on ' ELSE ' has only ' || CAST(max(calls) AS VARCHAR) || ' calls on ' END || CAST(day AS VARCHAR)
           || ', usual are ' || CAST(CAST(max(usual) AS BIGINT) AS VARCHAR) || ' (history of ' || CAST(max(active_days) AS VARCHAR) || ' days); '
           || CAST(max(others) AS VARCHAR) || ' other agents went on' AS message,
       CAST(day AS VARCHAR) AS silent_day, max(active_days) AS history_days, CAST(max(usual) AS BIGINT) AS usual_calls, max(others) AS others_active
FROM last_calls
WHERE nth <= 5
GROUP BY who, day
