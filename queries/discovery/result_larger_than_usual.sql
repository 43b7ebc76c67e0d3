-- id = "result_larger_than_usual"
-- title = "One result far larger than this tool ever gives"
-- level = "low"
-- status = "test"
-- description = """
--   The result of one private read is far larger than the tool's results on earlier days, over all agents: a query without its
--   condition, a dump, a limit that was raised.
--   medium: a hundred times the median, and the agent called it with arguments of another size than usual or sent data out within ten minutes. low: factor
--   times, beyond five times the spread of the logarithms. Quiet until the tool was called min_calls times on min_days earlier days.
--   Works on sizes alone.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0085.001", "attack.T1030", "attack.T1213"]
-- falsepositives = ["a file or table that has grown"]
-- window = "31d"
-- history = "5d"
-- needs = ["result_sizes"]
-- helps = ["argument_sizes"]
-- params = { min_bytes = 1000000, factor = 20.0, min_days = 5, min_calls = 30 }
WITH large AS (
    SELECT call_id, session_id, agent, server, tool, time, day, result_bytes, arguments_bytes
    FROM calls
    WHERE result_bytes >= $min_bytes AND event_kind = 'call' AND method = 'tools/call' AND outcome = 'success'
      AND has_capability(capabilities, 'reads_private') AND time_source <> 'file_mtime'
),
past AS (
    SELECT server, tool, day, count(*) AS calls, median(log2(greatest(CAST(result_bytes AS DOUBLE), 1.0))) AS usual,
           max(log2(greatest(CAST(result_bytes AS DOUBLE), 1.0))) AS largest, median(arguments_bytes) AS arguments_bytes
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success' AND result_bytes IS NOT NULL
      AND tool IN (SELECT tool FROM large)
    GROUP BY server, tool, day
),
judged AS (
    SELECT l.call_id, min(l.session_id) AS session_id, min(l.agent) AS agent, min(l.server) AS server, min(l.tool) AS tool, min(l.time) AS time,
           min(l.result_bytes) AS bytes, min(l.arguments_bytes) AS arguments_bytes, count(*) AS days, sum(p.calls) AS calls,
           median(p.usual) AS usual, mad(p.usual) AS spread, max(p.largest) AS largest, median(p.arguments_bytes) AS usual_arguments
    FROM large l
    JOIN past p ON (p.server IS NOT DISTINCT FROM l.server) AND p.tool = l.tool AND p.day < l.day AND p.day >= l.day - INTERVAL '30 days'
    GROUP BY l.call_id
),
odd AS (
    SELECT * FROM judged
    WHERE days >= $min_days AND calls >= $min_calls AND log2(CAST(bytes AS DOUBLE)) >= usual + greatest(log2($factor), 7.4 * spread)
      AND log2(CAST(bytes AS DOUBLE)) > largest + 1
),
sent AS (
    SELECT o.call_id, min(e.call_id) AS sent_id FROM odd o
    JOIN calls e ON e.session_id = o.session_id AND e.time > o.time AND e.time <= o.time + INTERVAL '10 minutes'
    WHERE has_capability(e.capabilities, 'egress') AND e.outcome = 'success' AND e.event_kind = 'call'
    GROUP BY o.call_id
)
SELECT o.session_id, o.agent, o.server, o.tool, o.time AS first_seen, o.time AS last_seen, make_array(o.call_id) AS call_ids,
       CASE WHEN log2(CAST(o.bytes AS DOUBLE)) >= o.usual + log2(100.0)
                 AND (s.sent_id IS NOT NULL OR o.arguments_bytes < 0.5 * o.usual_arguments OR o.arguments_bytes > 2 * o.usual_arguments) THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', o.server, o.tool) || ' gave ' || CAST(o.bytes AS VARCHAR) || ' bytes; usual are ' || CAST(CAST(power(2.0, o.usual) AS BIGINT) AS VARCHAR)
           || ' (' || CAST(o.calls AS VARCHAR) || ' calls on ' || CAST(o.days AS VARCHAR) || ' days)' AS message,
       o.bytes, CAST(power(2.0, o.usual) AS BIGINT) AS usual_bytes, o.days AS history_days, s.sent_id AS sent_with
FROM odd o LEFT JOIN sent s ON s.call_id = o.call_id
