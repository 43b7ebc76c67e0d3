-- id = "bulk_volume_read"
-- title = "Far more data read in an hour than this agent ever does"
-- level = "medium"
-- status = "test"
-- description = """
--   The results of private reads of one agent in one hour are together far larger than those of its busiest hours on earlier days.
--   high: ten times the median of them, with a send after it in the same hour. medium: factor times, and beyond three times their spread (by
--   the median absolute deviation, of logarithms, because sizes differ by powers). low: less than min_days of history, but more than max_bytes.
--   The finding says how many days of history there were. Works on sizes alone.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0085.001", "atlas.AML.T0036", "attack.T1030", "attack.T1119"]
-- falsepositives = ["a monthly export", "one very large file that was asked for"]
-- window = "31d"
-- needs = ["result_sizes"]
-- helps = ["users", "argument_sizes"]
-- params = { min_bytes = 5000000, max_bytes = 100000000, factor = 5.0, min_days = 5 }
WITH hourly AS (
    SELECT coalesce(agent, user_id) AS who, day, date_bin(INTERVAL '1 hour', time) AS slot, sum(result_bytes) AS bytes
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_private') AND time_source <> 'file_mtime'
      AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), day, date_bin(INTERVAL '1 hour', time)
),
daily AS (
    SELECT who, day, log2(greatest(CAST(max(bytes) AS DOUBLE), 1.0)) AS busiest FROM hourly GROUP BY who, day
),
usual AS (
    SELECT who, day, count(busiest) OVER past AS days, median(busiest) OVER past AS usual, mad(busiest) OVER past AS spread
    FROM daily
    WINDOW past AS (PARTITION BY who ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
large AS (
    SELECT h.who, h.slot, h.bytes, u.days, power(2.0, u.usual) AS usual, u.days >= $min_days AS known
    FROM hourly h JOIN usual u ON u.who = h.who AND u.day = h.day
    WHERE CASE WHEN u.days >= $min_days THEN h.bytes >= $min_bytes AND log2(greatest(CAST(h.bytes AS DOUBLE), 1.0)) >= u.usual + greatest(log2($factor), 4.45 * u.spread)
               ELSE h.bytes >= $max_bytes END
),
evidence AS (
    SELECT l.who, l.slot, min(l.bytes) AS bytes, min(l.days) AS days, min(l.usual) AS usual, bool_and(l.known) AS known, min(c.agent) AS agent,
           min(c.user_id) AS user_id, min(c.time) AS first_seen, max(c.time) AS last_seen, count(*) AS calls,
           CASE WHEN count(DISTINCT c.session_id) = 1 THEN min(c.session_id) END AS session_id,
           array_agg(c.call_id ORDER BY c.result_bytes DESC, c.call_id) FILTER (WHERE has_capability(c.capabilities, 'reads_private')) AS call_ids,
           max(c.time) FILTER (WHERE has_capability(c.capabilities, 'egress') AND NOT has_capability(c.capabilities, 'reads_private')
                               AND c.outcome = 'success' AND c.arguments_bytes >= 1024) AS sent_at
    FROM large l
    JOIN calls c ON coalesce(c.agent, c.user_id) = l.who AND c.time >= l.slot AND c.time < l.slot + INTERVAL '1 hour'
    WHERE c.event_kind = 'call'
    GROUP BY l.who, l.slot
)
SELECT agent, CASE WHEN agent IS NULL THEN user_id END AS user_id, session_id, first_seen, last_seen, array_slice(call_ids, 1, 20) AS call_ids,
       CASE WHEN NOT known THEN 'low' WHEN bytes >= 10 * usual AND sent_at > first_seen THEN 'high' ELSE 'medium' END AS level,
       who || ' read ' || CAST(bytes AS VARCHAR) || ' bytes in an hour'
           || CASE WHEN known THEN '; its busiest hours have ' || CAST(CAST(usual AS BIGINT) AS VARCHAR) || ' (history of ' || CAST(days AS VARCHAR) || ' days)'
                   ELSE '; there is too little history to compare with (' || CAST(days AS VARCHAR) || ' days)' END AS message,
       bytes, CAST(usual AS BIGINT) AS usual_bytes, days AS history_days, calls, sent_at
FROM evidence
