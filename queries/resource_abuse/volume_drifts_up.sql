-- id = "volume_drifts_up"
-- title = "Agent's volume creeps up, week by week"
-- level = "low"
-- status = "experimental"
-- description = """
--   The weekly median of an agent's calls a day, or of the bytes that it sends, has grown in each of the last weeks, together to factor times and more, without a
--   day that stood out: a drift that a rolling baseline would take for normal, and under which an abuse can hide.
--   medium: the bytes sent grew, and calls did not as much. low: calls grew.
--   Quiet until five weeks with three active days each are in the log. The finding says how many. Works on sizes alone. The agent's peers must not have grown as much.
--   """
-- tags = ["owasp.mcp08", "owasp.mcp10", "owasp.asi10", "atlas.AML.T0086", "attack.T1030", "attack.T1029"]
-- falsepositives = ["an agent that more and more people use"]
-- window = "50d"
-- history = "35d"
-- needs = []
-- helps = ["users", "argument_sizes"]
-- params = { factor = 3.0, min_calls = 20 }
WITH daily AS (
    SELECT coalesce(agent, user_id) AS who, day, count(*) AS calls, sum(arguments_bytes) AS bytes, min(time) AS first_at, max(time) AS last_at,
           min(call_id) AS call_id
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND day IS NOT NULL AND time_source <> 'file_mtime' AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), day
),
weekly AS (
    SELECT who, date_bin(INTERVAL '7 days', CAST(day AS TIMESTAMP), TIMESTAMP '2024-01-01T00:00:00') AS week, count(*) AS days, median(calls) AS calls, max(calls) AS most,
           median(bytes) AS bytes, min(first_at) AS first_at, max(last_at) AS last_at, array_agg(call_id ORDER BY day) AS call_ids, sum(calls) AS total
    FROM daily GROUP BY who, date_bin(INTERVAL '7 days', CAST(day AS TIMESTAMP), TIMESTAMP '2024-01-01T00:00:00')
    HAVING count(*) >= 3
),
steps AS (
    SELECT *, calls > lag(calls, 1) OVER weeks AND lag(calls, 1) OVER weeks > lag(calls, 2) OVER weeks AND lag(calls, 2) OVER weeks > lag(calls, 3) OVER weeks
              AND lag(calls, 3) OVER weeks > lag(calls, 4) OVER weeks AS calls_rise,
           bytes > lag(bytes, 1) OVER weeks AND lag(bytes, 1) OVER weeks > lag(bytes, 2) OVER weeks AND lag(bytes, 2) OVER weeks > lag(bytes, 3) OVER weeks
              AND lag(bytes, 3) OVER weeks > lag(bytes, 4) OVER weeks AS bytes_rise,
           CAST(calls AS DOUBLE) / lag(calls, 4) OVER weeks AS calls_grew, CAST(bytes AS DOUBLE) / nullif(lag(bytes, 4) OVER weeks, 0) AS bytes_grew,
           lag(calls, 4) OVER weeks AS calls_before, lag(bytes, 4) OVER weeks AS bytes_before, lag(call_ids, 4) OVER weeks AS ids_before, lag(first_at, 4) OVER weeks AS since,
           lead(week) OVER weeks IS NOT NULL AS is_over, lag(calls, 1) OVER weeks AS last_week,
           week = lag(week, 4) OVER weeks + INTERVAL '28 days' AS in_a_row
    FROM weekly
    WINDOW weeks AS (PARTITION BY who ORDER BY week)
),
peers AS (
    SELECT week, median(calls_grew) AS grew, count(calls_grew) AS peers FROM steps GROUP BY week
)
SELECT s.who AS agent, s.since AS first_seen, s.last_at AS last_seen, array_slice(array_concat(s.ids_before, s.call_ids), 1, 14) AS call_ids,
       CASE WHEN s.bytes_rise AND s.bytes_grew >= $factor AND s.bytes_grew >= 2 * s.calls_grew THEN 'medium' ELSE 'low' END AS level,
       s.who || ' grew in five weeks from ' || CAST(CAST(s.calls_before AS BIGINT) AS VARCHAR) || ' to ' || CAST(CAST(s.calls AS BIGINT) AS VARCHAR) || ' calls a day'
           || coalesce(' and from ' || CAST(CAST(s.bytes_before AS BIGINT) AS VARCHAR) || ' to ' || CAST(CAST(s.bytes AS BIGINT) AS VARCHAR) || ' bytes sent', '') || ', a little each week (history of 5 weeks)' AS message,
       s.calls_grew, s.bytes_grew, 5 AS history_weeks
FROM steps s JOIN peers p ON p.week = s.week
WHERE s.in_a_row AND s.is_over AND s.calls >= $min_calls AND s.most <= 2.5 * s.last_week
  AND ((s.calls_rise AND s.calls_grew >= $factor AND (p.peers < 3 OR p.grew < 1.5)) OR (s.bytes_rise AND s.bytes_grew >= $factor AND s.bytes_grew >= 2 * s.calls_grew))
