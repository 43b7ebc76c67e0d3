-- id = "off_hours_burst"
-- title = "Burst of calls at hours in which this agent or user never works"
-- level = "low"
-- status = "test"
-- description = """
--   At least min_calls calls within an hour of the day in which, and beside which, this user (or agent, where the log names no user) has no call on any of its earlier
--   days.
--   high: private data was read and then sent, or something was destroyed, run or paid. medium: private reads or side effects, with twice min_days of
--   history. low: anything else.
--   Quiet until the user was active on min_days of the 30 days before; the finding says on how many. Hours are UTC, which does not matter for one's own hours. Works on metadata alone.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp07", "owasp.asi03", "owasp.asi10", "atlas.AML.T0012", "attack.T1078"]
-- falsepositives = ["travel", "an incident at night", "a job whose schedule was changed"]
-- window = "31d"
-- history = "8d"
-- needs = []
-- helps = ["users"]
-- params = { min_days = 8, min_calls = 8 }
WITH hourly AS (
    SELECT coalesce(user_id, agent) AS who, day, CAST(date_part('hour', time) AS BIGINT) AS hour, count(*) AS calls
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND day IS NOT NULL AND time_source <> 'file_mtime' AND coalesce(user_id, agent) IS NOT NULL
    GROUP BY coalesce(user_id, agent), day, CAST(date_part('hour', time) AS BIGINT)
),
near AS (
    -- Each hour stands for itself and its neighbours.
    SELECT who, day, (hour + shift + 24) % 24 AS hour, sum(calls) FILTER (WHERE shift = 0) AS calls
    FROM hourly CROSS JOIN (SELECT unnest(make_array(-1, 0, 1)) AS shift)
    GROUP BY who, day, (hour + shift + 24) % 24
),
habit AS (
    SELECT *, count(*) OVER (PARTITION BY who, hour ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS days_at_hour FROM near
),
active AS (
    SELECT who, day, count(*) OVER (PARTITION BY who ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS days
    FROM (SELECT DISTINCT who, day FROM hourly)
),
odd AS (
    SELECT h.who, h.day, h.hour, h.calls, a.days
    FROM habit h JOIN active a ON a.who = h.who AND a.day = h.day
    WHERE h.days_at_hour = 0 AND h.calls >= $min_calls AND a.days >= $min_days
),
evidence AS (
    SELECT o.who, o.day, min(o.days) AS days, min(o.hour) AS hour, min(c.agent) AS agent, count(DISTINCT c.agent) AS agents, min(c.user_id) AS user_id,
           CASE WHEN count(DISTINCT c.session_id) = 1 THEN min(c.session_id) END AS session_id,
           min(c.time) AS first_seen, max(c.time) AS last_seen, count(*) AS calls, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids,
           bool_or(array_has_any(c.capabilities, make_array('destructive', 'executes', 'pays')) AND c.outcome = 'success') AS grave,
           min(c.time) FILTER (WHERE has_capability(c.capabilities, 'reads_private') AND c.outcome = 'success') AS read_at,
           max(c.time) FILTER (WHERE has_capability(c.capabilities, 'egress') AND NOT has_capability(c.capabilities, 'reads_private') AND c.outcome = 'success') AS sent_at,
           bool_or(array_has_any(c.capabilities, make_array('reads_private', 'writes', 'egress', 'credentials')) AND c.outcome = 'success') AS matters
    FROM odd o
    JOIN calls c ON c.day = o.day AND coalesce(c.user_id, c.agent) = o.who
    WHERE CAST(date_part('hour', c.time) AS BIGINT) = o.hour AND c.event_kind = 'call' AND c.method = 'tools/call'
    GROUP BY o.who, o.day
)
SELECT CASE WHEN agents = 1 THEN agent END AS agent, user_id, session_id, first_seen, last_seen, array_slice(call_ids, 1, 20) AS call_ids,
       CASE WHEN grave OR read_at < sent_at THEN 'high' WHEN matters AND days >= 2 * $min_days THEN 'medium' ELSE 'low' END AS level,
       who || ' made ' || CAST(calls AS VARCHAR) || ' calls from ' || CAST(hour AS VARCHAR) || ' h UTC, when it had never been active (history of ' || CAST(days AS VARCHAR) || ' days)' AS message,
       hour, calls, days AS history_days
FROM evidence
