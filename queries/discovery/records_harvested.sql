-- id = "records_harvested"
-- title = "Many different records read in a short time"
-- level = "medium"
-- status = "test"
-- description = """
--   Within a quarter of an hour one session read many different records (distinct arguments, counted by hash) with one tool that reads
--   private data, and far more than this agent usually does with it.
--   high: and afterwards data went out in the same session. medium: at least factor times the median of the agent's busiest quarters of an hour on
--   min_days earlier days, beyond three times their spread. low: no such history, and at least bulk records.
--   The finding says how many days of history there were. Works on sizes and hashes without payloads.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0085.001", "attack.T1119", "attack.T1213"]
-- falsepositives = ["a report over a whole quarter, the first time", "an export that was asked for"]
-- window = "31d"
-- needs = ["argument_sizes"]
-- helps = ["users", "result_sizes"]
-- params = { min_records = 30, bulk = 150, factor = 3.0, min_days = 4 }
WITH busy AS (
    SELECT coalesce(agent, user_id) AS who, session_id, server, tool, day, date_bin(INTERVAL '15 minutes', time) AS slot, count(*) AS calls
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success' AND has_capability(capabilities, 'reads_private')
      AND time_source <> 'file_mtime'
    GROUP BY coalesce(agent, user_id), session_id, server, tool, day, date_bin(INTERVAL '15 minutes', time)
),
daily AS (
    SELECT who, server, tool, day, max(calls) AS busiest FROM busy GROUP BY who, server, tool, day
),
usual AS (
    SELECT who, server, tool, day, count(busiest) OVER past AS days, median(busiest) OVER past AS usual, mad(busiest) OVER past AS spread
    FROM daily
    WINDOW past AS (PARTITION BY who, server, tool ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
candidate AS (
    SELECT b.who, b.session_id, b.server, b.tool, b.slot, u.days, u.usual, u.spread,
           u.days >= $min_days AS known, CASE WHEN u.days >= $min_days THEN greatest($factor * u.usual, u.usual + 4.45 * u.spread, $min_records) ELSE $bulk END AS bound
    FROM busy b
    JOIN usual u ON (u.who IS NOT DISTINCT FROM b.who) AND (u.server IS NOT DISTINCT FROM b.server) AND u.tool = b.tool AND u.day = b.day
    WHERE b.calls >= CASE WHEN u.days >= $min_days THEN greatest($factor * u.usual, u.usual + 4.45 * u.spread, $min_records) ELSE $bulk END
),
read AS (
    SELECT k.session_id, k.server, k.tool, k.slot, min(k.days) AS days, min(k.usual) AS usual, bool_and(k.known) AS known, min(k.bound) AS bound,
           min(c.agent) AS agent, min(c.user_id) AS user_id, min(c.time) AS first_seen, max(c.time) AS last_seen,
           count(DISTINCT coalesce(c.arguments_hash, c.mcp_resource_uri)) AS records,
           sum(c.result_bytes) AS bytes, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM candidate k
    JOIN calls c ON c.session_id = k.session_id AND (c.server IS NOT DISTINCT FROM k.server) AND c.tool = k.tool
         AND c.time >= k.slot AND c.time < k.slot + INTERVAL '15 minutes'
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome = 'success'
    GROUP BY k.session_id, k.server, k.tool, k.slot
    HAVING count(DISTINCT coalesce(c.arguments_hash, c.mcp_resource_uri)) >= min(k.bound)
),
sent AS (
    SELECT r.session_id, r.server, r.tool, min(e.time) AS sent_at, min(e.call_id) AS sent_id
    FROM read r
    JOIN calls e ON e.session_id = r.session_id AND e.time > r.first_seen
    WHERE has_capability(e.capabilities, 'egress') AND NOT has_capability(e.capabilities, 'reads_private') AND e.outcome = 'success'
      AND e.arguments_bytes >= 1024
    GROUP BY r.session_id, r.server, r.tool
)
SELECT r.session_id, min(r.agent) AS agent, min(r.user_id) AS user_id, r.server, r.tool, min(r.first_seen) AS first_seen,
       greatest(max(r.last_seen), max(s.sent_at)) AS last_seen,
       array_slice(first_value(r.call_ids ORDER BY r.slot), 1, 40) AS call_ids,
       CASE WHEN count(s.sent_id) > 0 AND bool_or(r.known) THEN 'high' WHEN bool_or(r.known) OR count(s.sent_id) > 0 THEN 'medium' ELSE 'low' END AS level,
       CAST(max(r.records) AS VARCHAR) || ' records were read with ' || concat_ws('/', r.server, r.tool) || ' in a quarter of an hour; '
           || CASE WHEN bool_or(r.known) THEN 'usual are ' || CAST(CAST(min(r.usual) AS BIGINT) AS VARCHAR) || ' (history of ' || CAST(min(r.days) AS VARCHAR) || ' days)'
                   ELSE 'there is too little history to compare with (' || CAST(min(r.days) AS VARCHAR) || ' days)' END
           || CASE WHEN count(s.sent_id) > 0 THEN '; data was sent out afterwards' ELSE '' END AS message,
       max(r.records) AS records, sum(r.bytes) AS bytes, min(r.days) AS history_days, min(s.sent_id) AS sent_with
FROM read r
LEFT JOIN sent s ON s.session_id = r.session_id AND (s.server IS NOT DISTINCT FROM r.server) AND s.tool = r.tool
GROUP BY r.session_id, r.server, r.tool
