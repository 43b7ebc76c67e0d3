-- id = "call_volume_spike"
-- title = "Agent makes far more calls than on its other days"
-- level = "low"
-- status = "test"
-- description = """
--   The calls of an agent (or user, where the log names no agent) in one hour are far above the busiest hours of its earlier days.
--   high: ten times the median of them and a tenth or more of the calls have side effects that the agent's history hardly has. medium: ten times the median. low:
--   factor times the median and beyond five times the spread (median absolute deviation) above it.
--   Quiet until the agent was seen on min_days of the 30 days before, and below min_calls; the finding says how many days there were. Works on metadata alone.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "owasp.asi10", "atlas.AML.T0034.000", "attack.T1119", "attack.T1496"]
-- falsepositives = ["a migration or a clean-up that was asked for", "an agent that more people use since today"]
-- window = "31d"
-- history = "5d"
-- needs = []
-- helps = ["users"]
-- params = { min_days = 5, min_calls = 60, factor = 3.0 }
WITH hourly AS (
    SELECT coalesce(agent, user_id) AS who, day, date_bin(INTERVAL '1 hour', time) AS slot, count(*) AS calls,
           count(*) FILTER (WHERE array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays'))) AS effects
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND day IS NOT NULL AND time_source <> 'file_mtime' AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), day, date_bin(INTERVAL '1 hour', time)
),
daily AS (
    SELECT who, day, count(busiest) OVER past AS days, median(busiest) OVER past AS usual, mad(busiest) OVER past AS spread, max(busiest) OVER past AS most,
           sum(effects) OVER past AS effects, sum(calls) OVER past AS calls, busiest, slot
    FROM (SELECT who, day, max(calls) AS busiest, first_value(slot ORDER BY calls DESC, slot) AS slot, sum(effects) AS effects, sum(calls) AS calls FROM hourly GROUP BY who, day)
    WINDOW past AS (PARTITION BY who ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
spike AS (
    SELECT * FROM daily
    WHERE days >= $min_days AND busiest >= $min_calls AND busiest >= $factor * usual AND busiest >= usual + 7.4 * spread AND busiest > most
),
evidence AS (
    SELECT s.who, s.day, min(s.days) AS days, min(s.usual) AS usual, min(s.busiest) AS busiest, min(c.agent) AS agent, min(c.user_id) AS user_id,
           min(c.time) AS first_seen, max(c.time) AS last_seen, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids,
           CAST(count(*) FILTER (WHERE array_has_any(c.capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays'))) AS DOUBLE) / count(*) AS effects,
           CAST(min(s.effects) AS DOUBLE) / min(s.calls) AS usual_effects, first_value(concat_ws('/', c.server, c.tool) ORDER BY c.time) AS tool
    FROM spike s
    JOIN calls c ON c.day = s.day AND coalesce(c.agent, c.user_id) = s.who
    WHERE c.time >= s.slot AND c.time < s.slot + INTERVAL '1 hour' AND c.event_kind = 'call' AND c.method = 'tools/call'
    GROUP BY s.who, s.day
)
SELECT agent, CASE WHEN agent IS NULL THEN user_id END AS user_id, first_seen, last_seen, array_slice(call_ids, 1, 20) AS call_ids,
       CASE WHEN busiest >= 10 * usual AND effects >= 0.1 AND effects >= 3 * usual_effects THEN 'high' WHEN busiest >= 10 * usual THEN 'medium' ELSE 'low' END AS level,
       who || ' made ' || CAST(busiest AS VARCHAR) || ' calls in an hour; its busiest hours have ' || CAST(CAST(usual AS BIGINT) AS VARCHAR)
           || ' (history of ' || CAST(days AS VARCHAR) || ' days)' AS message,
       busiest AS calls, CAST(usual AS BIGINT) AS usual_calls, days AS history_days, effects AS share_of_side_effects
FROM evidence
