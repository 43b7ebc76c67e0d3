-- id = "ids_enumerated"
-- title = "Records read one after another by counting their ids"
-- level = "medium"
-- status = "test"
-- description = """
--   In one session a tool was called with many numbers that lie close together or have one distance (1001, 1002, 1003 …, or every
--   tenth), in any order: somebody walks through the ids. The number is the end of one argument's value, so that "ORD-1001" and "/orders/1001"
--   count too. The argument's name must be one for ids, numbers, names, paths, addresses or queries, so that pages and limits do not count.
--   high: bulk or more ids, or a fifth of them do not exist, which shows that they are guessed. medium: at least min_ids. One less if results of other
--   tools in the session held the first, middle and last id, as when an agent goes through a list.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0085.001", "attack.T1119", "attack.T1213"]
-- falsepositives = ["an export or migration that was asked for, from a list that the log does not show"]
-- window = "24h"
-- needs = ["arguments"]
-- helps = ["results", "argument_sizes"]
-- params = { min_ids = 20, bulk = 100, max_bytes = 256 }
WITH many AS (
    SELECT session_id, server, tool
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND arguments_bytes <= $max_bytes
    GROUP BY session_id, server, tool
    -- Ids of one kind are about as long as each other.
    HAVING count(*) >= $min_ids AND mad(arguments_bytes) <= 2
),
numbered AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, found[1] AS key, found[2] AS prefix, TRY_CAST(found[3] AS BIGINT) AS id
    FROM (SELECT c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, c.outcome,
                 -- The first argument with a telling name whose value ends in a number: its name, what stands before the number, the number.
                 regexp_match(c.arguments, '"([A-Za-z_]*(?:[Ii][Dd]|[Kk]ey|[Nn]o|[Nn]um|[Nn]umber|[Nn]r|[Rr]ef|[Cc]ode|[Uu][Rr][IiLl]|[Pp]ath|[Ff]ile|[Nn]ame|user|account|customer|order|record|ticket|issue|invoice|doc|item|query|sql|command))"[ ]*:[ ]*"?([^",{}\[\]]*?)0*([0-9]{1,15})"?[ ]*[,}]') AS found
          FROM calls c
          JOIN many m ON m.session_id = c.session_id AND (m.server IS NOT DISTINCT FROM c.server) AND m.tool = c.tool
          WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.arguments_bytes <= $max_bytes
            AND c.outcome NOT IN ('denied', 'cancelled'))
),
stepped AS (
    SELECT *, id - lag(id) OVER (PARTITION BY session_id, server, tool, key, prefix ORDER BY id) AS gap
    FROM (SELECT session_id, server, tool, key, prefix, id, min(agent) AS agent, min(time) AS first_seen, max(time) AS last_seen,
                 min(call_id) AS call_id, bool_and(outcome IN ('tool_error', 'protocol_error')) AS missing
          FROM numbered
          GROUP BY session_id, server, tool, key, prefix, id
          HAVING max(id) IS NOT NULL)            -- a plain condition would run the pattern over every call of the lake
),
walk AS (
    SELECT *, count(*) OVER walk AS ids, median(gap) OVER walk AS usual_gap
    FROM stepped
    WINDOW walk AS (PARTITION BY session_id, server, tool, key, prefix)
),
judged AS (
    SELECT session_id, server, tool, key, prefix, min(agent) AS agent, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
           max(ids) AS ids, min(id) AS lowest, max(id) AS highest, count(*) FILTER (WHERE missing) AS missing,
           array_slice(array_agg(call_id ORDER BY first_seen, call_id), 1, 50) AS call_ids,
           array_agg(id ORDER BY id) AS all_ids
    FROM walk
    WHERE ids >= $min_ids
    GROUP BY session_id, server, tool, key, prefix
    HAVING max(ids) >= 0.5 * (max(id) - min(id) + 1) OR count(*) FILTER (WHERE gap = usual_gap) >= 0.6 * max(ids)
),
listed AS (
    SELECT DISTINCT j.session_id, j.server, j.tool, j.key, j.prefix
    FROM judged j
    JOIN calls c ON c.session_id = j.session_id
    WHERE c.tool <> j.tool AND c.event_kind = 'call' AND c.time <= j.last_seen
      AND strpos(c.result, CAST(j.lowest AS VARCHAR)) > 0 AND strpos(c.result, CAST(j.highest AS VARCHAR)) > 0
      AND strpos(c.result, CAST(j.all_ids[CAST(j.ids / 2 AS BIGINT)] AS VARCHAR)) > 0
)
SELECT j.session_id, j.agent, j.server, j.tool, j.first_seen, j.last_seen, j.call_ids,
       CASE CASE WHEN j.ids >= $bulk OR j.missing >= 0.2 * j.ids THEN 3 ELSE 2 END - CASE WHEN l.tool IS NOT NULL THEN 1 ELSE 0 END
           WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', j.server, j.tool) || ' was called with ' || CAST(j.ids AS VARCHAR) || ' ids from ' || j.prefix || CAST(j.lowest AS VARCHAR)
           || ' to ' || j.prefix || CAST(j.highest AS VARCHAR) || ' as ' || j.key
           || CASE WHEN j.missing > 0 THEN ', ' || CAST(j.missing AS VARCHAR) || ' of which failed' ELSE '' END
           || CASE WHEN l.tool IS NOT NULL THEN '; another result lists them' ELSE '' END AS message,
       j.key AS argument, j.ids, j.missing, l.tool IS NOT NULL AS listed_before
FROM judged j
LEFT JOIN listed l ON l.session_id = j.session_id AND (l.server IS NOT DISTINCT FROM j.server) AND l.tool = j.tool AND l.key = j.key
     AND (l.prefix IS NOT DISTINCT FROM j.prefix)
