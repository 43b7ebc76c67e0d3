-- id = "request_ids_missing"
-- title = "Numbers are missing in a connection's sequence of request ids"
-- level = "medium"
-- status = "test"
-- description = """
--   A client counts its requests. In one connection the JSON-RPC ids are whole numbers without gaps, but for a few that are missing in the middle: the
--   requests and their answers are no longer in the log, which no other trace would show.
--   high: several numbers in a row are missing, and the requests around the gap can send, write or destroy. medium: min_missing or more. low: fewer, but a
--   row of them.
--   Left out: connections whose ids are not dense (more gaps, whatever their length, than max_share), or of which max_times as many numbers are missing as
--   are there, and ids that another connection of the same file used at the time, because one
--   counter serves several servers. Sequences that begin late or end early are normal.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1070", "attack.T1562.008"]
-- falsepositives = ["a tap that drops lines under load", "clients that number their notifications too"]
-- window = "24h"
-- needs = ["request_ids"]
-- params = { min_requests = 12, min_missing = 3, max_share = 0.25, max_times = 3 }
WITH sequence AS (
    SELECT connection_id, session_id, source_file, min(TRY_CAST(jsonrpc_request_id AS BIGINT)) AS lowest, max(TRY_CAST(jsonrpc_request_id AS BIGINT)) AS highest,
           count(DISTINCT jsonrpc_request_id) AS ids
    FROM calls
    WHERE jsonrpc_id_type = 'int' AND initiator = 'client' AND connection_id IS NOT NULL
    GROUP BY connection_id, session_id, source_file
),
holed AS (
    SELECT *, highest - lowest + 1 - ids AS missing FROM sequence
    WHERE ids >= $min_requests AND highest - lowest + 1 > ids
      -- A jump to far higher numbers is another counter.
      AND highest - lowest + 1 - ids <= $max_times * ids
),
numbered AS (
    SELECT h.connection_id, h.session_id, h.source_file, h.ids, c.call_id, c.agent, c.server, c.time, TRY_CAST(c.jsonrpc_request_id AS BIGINT) AS id,
           array_has_any(c.capabilities, make_array('egress', 'writes', 'destructive', 'executes', 'pays')) AS effect
    FROM holed h
    JOIN calls c ON c.connection_id = h.connection_id
    WHERE c.jsonrpc_id_type = 'int' AND c.initiator = 'client' AND (c.session_id IS NOT DISTINCT FROM h.session_id) AND (c.source_file IS NOT DISTINCT FROM h.source_file)
),
step AS (
    SELECT *, lag(id) OVER ids_in_order AS id_before, lag(call_id) OVER ids_in_order AS call_before, lag(time) OVER ids_in_order AS time_before,
           lag(effect) OVER ids_in_order AS effect_before
    FROM numbered
    WINDOW ids_in_order AS (PARTITION BY connection_id, session_id, source_file ORDER BY id, time)
),
hole AS (
    SELECT *, unnest(range(id_before + 1, id)) AS missing_id
    FROM (SELECT *, sum(CASE WHEN id - id_before > 1 THEN 1 ELSE 0 END) OVER (PARTITION BY connection_id, session_id, source_file) AS gaps FROM step)
    -- Dense is what has few gaps, however long: otherwise who removes more would be found less.
    WHERE id - id_before > 1 AND gaps <= $max_share * (ids + gaps)
),
lost AS (                        -- and nobody else used the number at that time
    SELECT h.connection_id, h.session_id, h.source_file, h.missing_id, min(h.agent) AS agent, min(h.server) AS server, min(h.id_before) AS id_before,
           min(h.id - h.id_before - 1) AS in_a_row, min(h.call_before) AS call_before, min(h.call_id) AS call_id, min(h.time_before) AS time_before,
           min(h.time) AS time, min(h.ids) AS ids, bool_or(h.effect OR h.effect_before) AS effect
    FROM hole h
    LEFT JOIN calls o ON o.source_file = h.source_file AND o.jsonrpc_request_id = CAST(h.missing_id AS VARCHAR) AND o.connection_id <> h.connection_id
         AND o.jsonrpc_id_type = 'int' AND o.initiator = 'client' AND o.time >= h.time_before - INTERVAL '1 minute' AND o.time <= h.time + INTERVAL '1 minute'
    GROUP BY h.connection_id, h.session_id, h.source_file, h.missing_id
    HAVING count(o.call_id) = 0
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time_before) AS first_seen, max(time) AS last_seen,
       array_slice(array_sort(array_distinct(array_concat(array_agg(DISTINCT call_before), array_agg(DISTINCT call_id)))), 1, 60) AS call_ids,
       CASE WHEN bool_or(effect AND in_a_row >= 2) AND count(*) >= $min_missing THEN 'high' WHEN count(*) >= $min_missing THEN 'medium' ELSE 'low' END AS level,
       CAST(count(*) AS VARCHAR) || ' of ' || CAST(max(ids) + count(*) AS VARCHAR) || ' request ids are missing, the first after '
           || CAST(min(id_before) AS VARCHAR) || coalesce(' in ' || source_file, '') AS message,
       source_file, count(*) AS missing, max(in_a_row) AS longest, max(ids) AS requests
FROM lost
GROUP BY connection_id, session_id, source_file
HAVING count(*) >= $min_missing OR max(in_a_row) >= 2
