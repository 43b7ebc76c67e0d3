-- id = "clock_jumped"
-- title = "Times go back inside a log that is only appended to"
-- level = "medium"
-- status = "test"
-- description = """
--   In the order of the file, a later line of a session has an earlier time, by more than jump: the clock was set back, lines were inserted or moved,
--   or times were edited.
--   high: a request of that session that can send, write or destroy stands behind the jump, and times have caught up after it, as with
--   lines put in by hand. medium: any other jump. low: several sessions of the file jump at one place, which is what a clock that is set right does.
--   Files that are not in the order of time as a whole (a tenth of their steps go back), such as exports and merged files, are left out, and
--   so are times that were computed from others. One finding per session and file.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1070.006", "attack.T1562.008"]
-- falsepositives = ["two captures that were joined to one file"]
-- window = "24h"
-- needs = []
-- params = { jump = "5 minutes", disorder = 0.1 }
WITH step AS (
    SELECT call_id, session_id, source_file, source_offset, time,
           lag(time) OVER lines AS time_before, lag(call_id) OVER lines AS id_before
    FROM calls
    WHERE time_source IN ('request_line', 'record') AND source_file IS NOT NULL AND event_kind IN ('call', 'notification')
    WINDOW lines AS (PARTITION BY session_id, source_file ORDER BY source_offset)
),
back AS (
    SELECT *, count(*) OVER (PARTITION BY source_file) AS jumps, count(DISTINCT session_id) OVER (PARTITION BY source_file, date_bin(INTERVAL '10 minutes', time_before)) AS together
    FROM step
    WHERE time < time_before - CAST($jump AS INTERVAL)
),
file AS (
    SELECT f.source_file, count(*) AS lines FROM calls f
    WHERE f.source_file IN (SELECT source_file FROM back) AND f.time_source IN ('request_line', 'record')
    GROUP BY f.source_file
),
behind AS (
    SELECT b.session_id, b.source_file, b.call_id, b.id_before, b.time_before, b.time, b.together, c.agent, c.server, c.call_id AS later_id, c.time AS later_time,
           array_has_any(c.capabilities, make_array('egress', 'writes', 'destructive', 'executes', 'pays')) AND c.time < b.time_before AS effect
    FROM back b
    JOIN file f ON f.source_file = b.source_file AND b.jumps < $disorder * f.lines
    JOIN calls c ON c.session_id = b.session_id AND c.source_file = b.source_file AND c.source_offset >= b.source_offset
    WHERE c.event_kind = 'call'
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(later_time) AS last_seen,
       array_sort(array_distinct(array_concat(array_agg(DISTINCT id_before), array_agg(DISTINCT call_id)))) AS call_ids,
       CASE WHEN max(together) > 1 THEN 'low' WHEN bool_or(effect) AND max(later_time) >= max(time_before) THEN 'high' ELSE 'medium' END AS level,
       'Times go back by ' || CAST(max(CAST(time_before AS BIGINT) - CAST(time AS BIGINT)) / 1000000 AS VARCHAR) || ' s in ' || source_file
           || CASE WHEN max(together) > 1 THEN ', in ' || CAST(max(together) AS VARCHAR) || ' sessions at once' ELSE '' END AS message,
       source_file, count(DISTINCT call_id) AS jumps, max(CAST(time_before AS BIGINT) - CAST(time AS BIGINT)) / 1000000 AS seconds
FROM behind
GROUP BY session_id, source_file
