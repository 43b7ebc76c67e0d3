-- id = "listing_flood"
-- title = "Lists of tools, resources or prompts asked for over and over"
-- level = "low"
-- status = "test"
-- description = """
--   In five minutes one session asked one server for its lists far more often than pages and changes explain: a scan, or a client that hammers.
--   medium: no tool was called in the session at all. low: anything else. Requests for further pages and those after the server had said that its
--   list has changed do not count.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0084.001", "atlas.AML.T0029", "attack.T1499"]
-- falsepositives = ["a client that checks every few seconds whether a server is alive"]
-- window = "1h"
-- needs = ["protocol_messages"]
-- helps = ["arguments"]
-- params = { min_requests = 50 }
WITH listing AS (
    SELECT call_id, session_id, agent, server, time, date_bin(INTERVAL '5 minutes', time) AS slot
    FROM calls
    WHERE method IN ('tools/list', 'resources/list', 'prompts/list', 'resources/templates/list') AND event_kind = 'call'
      AND coalesce(strpos(arguments, '"cursor"'), 0) = 0
),
changed AS (
    SELECT session_id, server, date_bin(INTERVAL '5 minutes', time) AS slot, count(*) AS changes
    FROM calls WHERE method LIKE 'notifications/%/list_changed' GROUP BY session_id, server, date_bin(INTERVAL '5 minutes', time)
),
flood AS (
    SELECT l.session_id, l.server, l.slot, min(l.agent) AS agent, min(l.time) AS first_seen, max(l.time) AS last_seen, count(*) AS requests
    FROM listing l
    GROUP BY l.session_id, l.server, l.slot
    HAVING count(*) >= $min_requests
),
kept AS (
    SELECT f.* FROM flood f
    LEFT JOIN changed c ON c.session_id = f.session_id AND (c.server IS NOT DISTINCT FROM f.server) AND c.slot = f.slot
    WHERE f.requests - 3 * coalesce(c.changes, 0) >= $min_requests
),
-- Evidence of the few that are found: lists of every session and slot would not fit into memory.
evidence AS (
    SELECT f.session_id, f.server, array_slice(array_agg(l.call_id ORDER BY l.time, l.call_id), 1, 20) AS call_ids
    FROM (SELECT session_id, server, min(slot) AS slot FROM kept GROUP BY session_id, server) f
    JOIN listing l ON l.session_id = f.session_id AND (l.server IS NOT DISTINCT FROM f.server) AND l.slot = f.slot
    GROUP BY f.session_id, f.server
),
used AS (
    SELECT session_id, count(*) AS calls FROM calls
    WHERE method = 'tools/call' AND session_id IN (SELECT session_id FROM kept) GROUP BY session_id
)
SELECT k.session_id, min(k.agent) AS agent, k.server, min(k.first_seen) AS first_seen, max(k.last_seen) AS last_seen,
       first_value(e.call_ids) AS call_ids, CASE WHEN max(u.calls) IS NULL THEN 'medium' ELSE 'low' END AS level,
       coalesce(k.server, 'a server') || ' was asked for its lists ' || CAST(max(k.requests) AS VARCHAR) || ' times in five minutes'
           || CASE WHEN max(u.calls) IS NULL THEN ', and none of its tools was called' ELSE '' END AS message,
       sum(k.requests) AS requests, count(*) AS slots
FROM kept k
LEFT JOIN evidence e ON e.session_id = k.session_id AND (e.server IS NOT DISTINCT FROM k.server)
LEFT JOIN used u ON u.session_id = k.session_id
GROUP BY k.session_id, k.server
