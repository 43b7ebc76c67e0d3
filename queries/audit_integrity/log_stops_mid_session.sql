-- id = "log_stops_mid_session"
-- title = "A log file ends in the middle of a side effect, and is not continued"
-- level = "medium"
-- status = "test"
-- description = """
--   The last line of a file is a request that can send, write, run, pay or destroy, without an answer. Nothing of its session stands in any other file, while
--   other files go on for an hour and more: the log was cut off, or the recorder was stopped by what it recorded.
--   high: the request is one of several at the end, of different sessions, or the agent goes on in another file. medium: one request.
--   A live file is quiet until others have gone on. Works on metadata alone.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1562.008", "attack.T1070"]
-- falsepositives = ["a machine that was switched off", "a server that crashes on this request"]
-- window = "24h"
-- needs = []
-- helps = ["durations"]
-- params = { after = "1 hour" }
WITH file AS (
    SELECT source_file, max(source_offset) AS last_offset, max(coalesce(time_end, time)) AS ended_at, count(*) AS lines
    FROM calls WHERE source_file IS NOT NULL AND time_source <> 'file_mtime'
    GROUP BY source_file
),
ended AS (
    SELECT *, max(ended_at) OVER () AS log_ends_at FROM file
),
open AS (
    SELECT c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, c.source_file, e.ended_at, e.log_ends_at, c.source_offset = e.last_offset AS is_last
    FROM ended e
    JOIN calls c ON c.source_file = e.source_file
    WHERE e.log_ends_at >= e.ended_at + CAST($after AS INTERVAL) AND e.lines >= 5
      AND c.event_kind = 'call' AND c.outcome = 'no_response' AND c.time >= e.ended_at - INTERVAL '1 minute'
      AND array_has_any(c.capabilities, make_array('egress', 'writes', 'destructive', 'executes', 'pays'))
),
continued AS (
    SELECT o.call_id, count(*) FILTER (WHERE n.session_id = o.session_id) AS same_session, count(*) FILTER (WHERE n.agent = o.agent) AS same_agent
    FROM open o
    JOIN calls n ON n.source_file <> o.source_file AND n.time > o.time AND n.time <= o.time + INTERVAL '1 day'
    WHERE n.session_id IN (SELECT session_id FROM open) OR n.agent IN (SELECT agent FROM open)
    GROUP BY o.call_id
)
SELECT CASE WHEN count(DISTINCT o.session_id) = 1 THEN min(o.session_id) END AS session_id, CASE WHEN count(DISTINCT o.agent) = 1 THEN min(o.agent) END AS agent,
       CASE WHEN count(DISTINCT o.server) = 1 THEN min(o.server) END AS server, min(o.time) AS first_seen, max(o.log_ends_at) AS last_seen,
       array_agg(o.call_id ORDER BY o.time, o.call_id) AS call_ids,
       CASE WHEN count(DISTINCT o.session_id) > 1 OR sum(coalesce(c.same_agent, 0)) > 0 THEN 'high' ELSE 'medium' END AS level,
       o.source_file || ' ends with ' || concat_ws('/', first_value(o.server ORDER BY o.time DESC, o.call_id), first_value(o.tool ORDER BY o.time DESC, o.call_id)) || ', which has no answer; nothing of its session stands elsewhere, and other files go on'
           || CASE WHEN sum(coalesce(c.same_agent, 0)) > 0 THEN ', also of this agent' ELSE '' END AS message,
       o.source_file, count(*) AS open_requests, sum(coalesce(c.same_agent, 0)) AS later_calls_of_agent
FROM open o
LEFT JOIN continued c ON c.call_id = o.call_id
WHERE coalesce(c.same_session, 0) = 0
GROUP BY o.source_file
HAVING bool_or(o.is_last)
