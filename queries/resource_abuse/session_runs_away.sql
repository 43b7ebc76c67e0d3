-- id = "session_runs_away"
-- title = "Session far longer than this agent's sessions are"
-- level = "low"
-- status = "test"
-- description = """
--   One session has many times the calls of the agent's earlier sessions: no budget stopped it.
--   medium: ten times the median, and a third of the calls failed or repeated the same arguments, or went on without a pause of a minute
--   for min_calls calls. low: factor times the median and beyond five times the spread of the logarithms.
--   Quiet until the agent had min_sessions sessions in the 30 days before; the finding says how many. Works on metadata alone.
--   """
-- tags = ["owasp.mcp10", "owasp.asi08", "owasp.asi10", "atlas.AML.T0034.002", "attack.T1496"]
-- falsepositives = ["a long task that was asked for"]
-- window = "31d"
-- history = "2d"
-- needs = []
-- helps = ["users", "argument_sizes"]
-- params = { min_sessions = 10, min_calls = 200, factor = 5.0 }
WITH session AS (
    SELECT session_id, coalesce(min(agent), min(user_id)) AS who, min(agent) AS agent, min(user_id) AS user_id, min(time) AS first_seen, max(time) AS last_seen, count(*) AS calls,
           count(*) FILTER (WHERE outcome <> 'success') AS failed, log2(CAST(count(*) AS DOUBLE)) AS size
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND session_id IS NOT NULL AND time_source <> 'file_mtime'
    GROUP BY session_id
),
compared AS (
    SELECT *, count(*) OVER past AS sessions, median(size) OVER past AS usual, mad(size) OVER past AS spread
    FROM session WHERE who IS NOT NULL AND first_seen IS NOT NULL
    WINDOW past AS (PARTITION BY who ORDER BY first_seen RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 second' PRECEDING)
),
long AS (
    SELECT * FROM compared
    WHERE sessions >= $min_sessions AND calls >= $min_calls AND size >= usual + greatest(log2($factor), 7.4 * spread)
),
paced AS (
    SELECT l.session_id, c.call_id, c.time, c.arguments_hash,
           c.time - lag(c.time) OVER (PARTITION BY l.session_id ORDER BY c.time, c.call_id) > INTERVAL '1 minute' AS paused,
           row_number() OVER (PARTITION BY l.session_id ORDER BY c.time, c.call_id) AS nth
    FROM long l JOIN calls c ON c.session_id = l.session_id
    WHERE c.event_kind = 'call' AND c.method = 'tools/call'
),
detail AS (
    SELECT session_id, count(*) FILTER (WHERE paused) AS pauses, count(DISTINCT arguments_hash) AS variants, count(arguments_hash) AS hashed,
           array_agg(call_id ORDER BY nth) FILTER (WHERE nth <= 5 OR (nth > $min_calls AND nth <= $min_calls + 15)) AS call_ids
    FROM paced GROUP BY session_id
)
SELECT l.session_id, l.agent, l.user_id, l.first_seen, l.last_seen, d.call_ids,
       CASE WHEN l.size >= l.usual + log2(10.0) AND (3 * l.failed >= l.calls OR 3 * (d.hashed - d.variants) >= l.calls OR d.pauses * $min_calls < l.calls) THEN 'medium' ELSE 'low' END AS level,
       'The session has ' || CAST(l.calls AS VARCHAR) || ' calls; usual are ' || CAST(CAST(power(2.0, l.usual) AS BIGINT) AS VARCHAR) || ' (history of ' || CAST(l.sessions AS VARCHAR) || ' sessions)'
           || CASE WHEN l.failed > 0 THEN '; ' || CAST(l.failed AS VARCHAR) || ' failed' ELSE '' END AS message,
       l.calls, CAST(power(2.0, l.usual) AS BIGINT) AS usual_calls, l.sessions AS history_sessions, l.failed, d.hashed - d.variants AS repeats
FROM long l JOIN detail d ON d.session_id = l.session_id
