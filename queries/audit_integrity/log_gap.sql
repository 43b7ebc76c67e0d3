-- id = "log_gap"
-- title = "Hours without a line in a log that is always busy at that time"
-- level = "medium"
-- status = "test"
-- description = """
--   The log of one kind on one machine has no line for whole hours in which it had some on nearly all earlier days, with lines before and after
--   on the same day: lines were removed, or nothing was recorded.
--   high: a session has lines on both sides of the gap, and other logs show calls within it. medium: one of the two, or at least two hours. low: one hour.
--   Hours are compared with the same hours of the 30 days before; min_days of them are needed. Works on metadata alone.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1562.008", "attack.T1070"]
-- falsepositives = ["maintenance of the gateway or of the machine", "a public holiday, if somebody works at its ends"]
-- window = "31d"
-- history = "5d"
-- needs = []
-- helps = ["client_addresses"]
-- params = { min_days = 5, regular = 0.9, min_hourly = 3 }
WITH hourly AS (
    SELECT concat_ws(' on ', source_format, host_name) AS stream, day, CAST(date_part('hour', time) AS BIGINT) AS hour, count(*) AS calls,
           min(time) AS first_at, max(time) AS last_at
    FROM calls
    WHERE event_kind = 'call' AND day IS NOT NULL AND time_source <> 'file_mtime' AND source_format IS NOT NULL
    GROUP BY concat_ws(' on ', source_format, host_name), day, CAST(date_part('hour', time) AS BIGINT)
),
days AS (
    SELECT stream, day, min(hour) AS first_hour, max(hour) AS last_hour,
           count(*) OVER (PARTITION BY stream ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS days
    FROM hourly GROUP BY stream, day
),
slots AS (
    SELECT d.stream, d.day, h.hour, d.days, x.calls, x.first_at, x.last_at,
           count(x.calls) OVER past AS busy_days, median(x.calls) OVER past AS usual,
           max(x.last_at) OVER (PARTITION BY d.stream, d.day ORDER BY h.hour) AS before_at,
           min(x.first_at) OVER (PARTITION BY d.stream, d.day ORDER BY h.hour DESC) AS after_at
    FROM days d
    CROSS JOIN (SELECT unnest(range(0, 24)) AS hour) h
    LEFT JOIN hourly x ON x.stream = d.stream AND x.day = d.day AND x.hour = h.hour
    WINDOW past AS (PARTITION BY d.stream, h.hour ORDER BY d.day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
gap AS (
    SELECT stream, day, before_at, after_at, count(*) AS hours, min(busy_days) AS busy_days, min(usual) AS usual, min(hour) AS from_hour
    FROM slots
    WHERE calls IS NULL AND before_at IS NOT NULL AND after_at IS NOT NULL AND days >= $min_days AND busy_days >= $regular * days AND usual >= $min_hourly
    GROUP BY stream, day, before_at, after_at
),
edge AS (
    SELECT g.stream, g.day, g.before_at, g.after_at, min(g.hours) AS hours, min(g.busy_days) AS busy_days, min(g.usual) AS usual,
           array_slice(array_agg(c.call_id ORDER BY abs(CAST(c.time AS BIGINT) - CAST(g.before_at AS BIGINT)), c.call_id) FILTER (WHERE c.time <= g.before_at), 1, 5) AS ids_before,
           array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.time >= g.after_at), 1, 5) AS ids_after,
           array_agg(DISTINCT c.session_id) FILTER (WHERE c.time <= g.before_at) AS sessions_before,
           array_agg(DISTINCT c.session_id) FILTER (WHERE c.time >= g.after_at) AS sessions_after,
           min(c.agent) AS agent, count(DISTINCT c.agent) AS agents, min(c.server) AS server, count(DISTINCT c.server) AS servers, min(c.source_file) AS source_file
    FROM gap g
    JOIN calls c ON concat_ws(' on ', c.source_format, c.host_name) = g.stream
         AND c.time >= g.before_at - INTERVAL '1 hour' AND c.time <= g.after_at + INTERVAL '1 hour'
    WHERE c.event_kind = 'call'
    GROUP BY g.stream, g.day, g.before_at, g.after_at
),
elsewhere AS (
    SELECT e.stream, e.before_at, sum(h.calls) AS calls
    FROM edge e JOIN hourly h ON h.stream <> e.stream AND h.first_at > e.before_at AND h.last_at < e.after_at
    GROUP BY e.stream, e.before_at
)
SELECT CASE WHEN e.agents = 1 THEN e.agent END AS agent, CASE WHEN e.servers = 1 OR e.agents <> 1 THEN e.server END AS server,
       e.before_at AS first_seen, e.after_at AS last_seen, array_concat(coalesce(e.ids_before, make_array()), coalesce(e.ids_after, make_array())) AS call_ids,
       CASE WHEN array_has_any(e.sessions_before, e.sessions_after) AND o.calls > 0 THEN 'high'
            WHEN array_has_any(e.sessions_before, e.sessions_after) OR o.calls > 0 OR e.hours >= 2 THEN 'medium' ELSE 'low' END AS level,
       'The log of ' || e.stream || ' has no line for ' || CAST(e.hours AS VARCHAR) || ' hours in which it had ' || CAST(CAST(e.usual AS BIGINT) AS VARCHAR)
           || ' an hour on ' || CAST(e.busy_days AS VARCHAR) || ' earlier days'
           || CASE WHEN array_has_any(e.sessions_before, e.sessions_after) THEN '; a session goes on behind it' ELSE '' END
           || CASE WHEN o.calls > 0 THEN '; other logs have ' || CAST(o.calls AS VARCHAR) || ' calls in it' ELSE '' END AS message,
       e.hours, e.busy_days AS history_days, coalesce(o.calls, 0) AS calls_elsewhere, e.source_file
FROM edge e LEFT JOIN elsewhere o ON o.stream = e.stream AND o.before_at = e.before_at
