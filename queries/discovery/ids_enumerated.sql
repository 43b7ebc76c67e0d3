-- id = "ids_enumerated"
-- title = "Records read one after another by counting their ids"
-- level = "medium"
-- status = "test"
-- description = """
--   In one session a tool was called with many numbers that lie close together or have one distance (1001, 1002, 1003 …, or every
--   tenth), in any order: somebody walks through the ids. The number is the end of one argument's value, so that "ORD-1001" and "/orders/1001"
--   count too. The argument's name must be one for ids, numbers, names, paths, addresses or queries, so that pages and limits do not count. Only tools that read and
--   do not write are looked at.
--   high: bulk or more ids, or a fifth of them do not exist, which shows that they are guessed. medium: at least min_ids. One less if another
--   tool of the session had listed or searched before, as when an agent goes through a list, or if the numbers are of issues, changes, builds, chapters and the
--   like, which are read in a row and have gaps, or if the user named the first and the last number. Pages, offsets, lines, parts, days and versions are no ids.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0085.001", "attack.T1119", "attack.T1213"]
-- falsepositives = ["an export or migration that was asked for, from a list that the log does not show"]
-- window = "24h"
-- needs = ["arguments"]
-- helps = ["prompts", "argument_sizes", "result_sizes"]
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
            -- Records are read: whoever changes or deletes one after another is another rule's matter.
            AND array_has_any(c.capabilities, make_array('reads_private', 'reads_untrusted', 'credentials', 'executes')) AND NOT array_has_any(c.capabilities, make_array('writes', 'destructive', 'pays'))
            AND c.outcome NOT IN ('denied', 'cancelled'))
),
stepped AS (
    SELECT *, id - lag(id) OVER (PARTITION BY session_id, server, tool, key, prefix ORDER BY id) AS gap
    FROM (SELECT session_id, server, tool, key, prefix, id, min(agent) AS agent, min(time) AS first_seen, max(time) AS last_seen,
                 min(call_id) AS call_id, bool_and(outcome IN ('tool_error', 'protocol_error')) AS missing
          FROM numbered
          GROUP BY session_id, server, tool, key, prefix, id
          HAVING max(id) IS NOT NULL             -- a plain condition would run the pattern over every call of the lake
             -- Pages, lines, parts and days are counted by whoever reads a whole.
             AND NOT regexp_like(max(prefix), '([?&](page|p|pg|offset|start|from|skip|limit|size|per_page|cursor|after|before|since|until|top)=|/(page|p)/|\b(offset|limit|skip|page|top|line|row|col|column)\s*[=:]?\s*|(part|shard|chunk|batch|partition|frame|slide|sheet|step|round|epoch|seed|week|day|month|year|quarter|version|page|line|port)[-_ =./]*|(19|20)\d\d[-_/.]|(19|20)\d\d[-_/.]?[01]\d[-_/.]?|\bv\d*\.?)$', 'i'))
),
walk AS (
    SELECT *, count(*) OVER walk AS ids, median(gap) OVER walk AS usual_gap
    FROM stepped
    WINDOW walk AS (PARTITION BY session_id, server, tool, key, prefix)
),
judged AS (
    SELECT session_id, server, tool, key, prefix, min(agent) AS agent, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
           max(ids) AS ids, min(id) AS lowest, max(id) AS highest, count(*) FILTER (WHERE missing) AS missing,
           array_slice(array_agg(call_id ORDER BY first_seen, call_id), 1, 50) AS call_ids
    FROM walk
    WHERE ids >= $min_ids
    GROUP BY session_id, server, tool, key, prefix
    HAVING max(ids) >= 0.5 * (max(id) - min(id) + 1) OR count(*) FILTER (WHERE gap = usual_gap) >= 0.6 * max(ids)
),
listed AS (
    SELECT session_id, tool, min(time) AS listed_at FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success' AND result_bytes >= 200 AND regexp_like(tool, 'list|search|find|query', 'i')
    GROUP BY session_id, tool
),
placed AS (
    SELECT j.session_id, j.server, j.tool, j.key, j.prefix, min(j.agent) AS agent, min(j.first_seen) AS first_seen, max(j.last_seen) AS last_seen, min(j.call_ids) AS call_ids,
           max(j.ids) AS ids, min(j.lowest) AS lowest, max(j.highest) AS highest, max(j.missing) AS missing, count(l.tool) > 0 AS listed, count(q.session_id) > 0 AS asked
    FROM judged j
    -- The user said from where to where.
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.first_seen
         AND strpos(q.text, CAST(j.lowest AS VARCHAR)) > 0 AND strpos(q.text, CAST(j.highest AS VARCHAR)) > 0 AND length(CAST(j.highest AS VARCHAR)) >= 2
    LEFT JOIN listed l ON l.session_id = j.session_id AND l.tool <> j.tool AND l.listed_at < j.first_seen
    GROUP BY j.session_id, j.server, j.tool, j.key, j.prefix
)
SELECT session_id, agent, server, tool, first_seen, last_seen, call_ids,
       CASE CASE WHEN ids >= $bulk OR (missing >= 0.2 * ids AND NOT series) THEN 3 ELSE 2 END - CASE WHEN listed OR series OR asked THEN 1 ELSE 0 END
           WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, tool) || ' was called with ' || CAST(ids AS VARCHAR) || ' ids from ' || prefix || CAST(lowest AS VARCHAR)
           || ' to ' || prefix || CAST(highest AS VARCHAR) || ' as ' || key
           || CASE WHEN missing > 0 THEN ', ' || CAST(missing AS VARCHAR) || ' of which failed' ELSE '' END
           || CASE WHEN listed THEN '; something was listed before' ELSE '' END AS message,
       key AS argument, ids, missing, listed AS listed_before
FROM (SELECT *,
             -- Numbered for reading one after another: issues and changes of a project, chapters and issues of a publication.
             regexp_like(concat_ws(' ', key, prefix), '(issue|pull|pull_?request|pr|merge_?request|mr|commit|release|discussion|rfc|pep|jep|bip|eip|adr|cve|chapter|section|lesson|part|episode|volume|article|post|thread|question|tutorial|build|run|pipeline|job)s?[-_ /]?(id|iid|number|no|num)?[-_ /#=]*$', 'i')
             OR regexp_like(concat_ws(' ', key, prefix), '^(number|iid|index|id) $', 'i') AND regexp_like(tool, '(issue|pull|pull_?request|pr|merge_?request|commit|release|discussion|chapter|section|lesson|article|build|pipeline)s?$', 'i') AS series
      FROM placed)
