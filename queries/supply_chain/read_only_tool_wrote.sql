-- id = "read_only_tool_wrote"
-- title = "Tool that is declared read-only changed something"
-- level = "high"
-- status = "stable"
-- description = """
--   A call of a tool with readOnlyHint true carried a statement that changes data, or its result says that something was created, changed, sent or deleted.
--   high: a statement that changes data went through. medium: the result says so and the tool's name does not promise it to look at past changes.
--   low: such a statement was refused, or the tool is named for showing what a statement would do (explain, preview, validate) and shows next to nothing. Such a name excuses the statement only where
--   the result is more than an acknowledgement and says of no change. Needs the annotation, so the log must have held tools/list.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp02", "owasp.asi02", "owasp.asi04", "atlas.AML.T0110", "attack.T1036"]
-- falsepositives = ["explaining a statement without running it"]
-- needs = ["annotations", "argument_sizes", "arguments"]
-- helps = ["result_sizes", "results"]
-- window = "1h"
-- params = { max_bytes = 65536, max_result = 2000 }
WITH claimed AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           coalesce(regexp_like(arguments, '"\s*(with\s[^"]{1,400}\)\s*)?(insert\s+into|update\s+[\w."\\`]+\s+set|delete\s+from|drop\s+(table|database|schema|index|view|user|role)|truncate\s|alter\s+(table|user|role)|create\s+(table|user|role|or\s+replace)|grant\s|revoke\s+\w+\s+on|merge\s+into|replace\s+into)|;\s*(insert\s+into|update\s+\S+\s+set|delete\s+from|drop\s+|truncate\s|alter\s)|"(method|http_method|verb)"\s*:\s*"(POST|PUT|PATCH|DELETE)"|\bmutation\s*[\w({]', 'i'), false) AS changes,
           -- Named for showing what would happen: then the result has to show it.
           regexp_like(tool, 'explain|validat|parse|(^|[_.-])(format|lint|history|logs?|audit)|dry_?run|preview', 'i') AS shows, regexp_like(tool, '(^|[_.-])(history|logs?|audit)', 'i') AS looks_back, result, result_bytes
    FROM calls
    WHERE ann_read_only AND event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled')
      AND (arguments_bytes <= $max_bytes OR arguments_bytes IS NULL)
),
judged AS (
    SELECT *, CASE WHEN changes AND outcome IN ('success', 'unknown', 'no_response') AND (NOT shows OR says) THEN 3
                   WHEN changes AND outcome IN ('success', 'unknown') AND shows AND (looks_back OR length(trim(coalesce(result_text(result, 100), ''))) >= 24) THEN 0
                   WHEN changes THEN 1
                   WHEN says AND NOT regexp_like(tool, '(^|[_.-])(list|search|history|log|status|changes|activity|events?|feed|diff)s?([_.-]|$)', 'i') THEN 2
                   ELSE 0 END AS grade
    FROM (SELECT *, coalesce(result_bytes <= $max_result AND outcome = 'success'
                             AND regexp_like(result, '"text"\s*:\s*"\W*(successfully\s+(created|updated|deleted|removed|sent|wrote|written|saved|inserted|overwr\w+|transferred|paid)|((file|record|row|message|e-?mail|item|user|payment|transfer|event|issue|page|ticket|table)s?\s+)(\S+\s+)?(was|were|has been|have been)?\s*(successfully\s+)?(created|updated|deleted|removed|sent|saved|inserted|overwritten)\b|(created|updated|deleted|removed|sent|saved|inserted)\s+(successfully|\d+ (file|record|row|message|item)s?))|\b[1-9]\d* rows? (affected|deleted|updated|inserted)', 'i'), false) AS says
          FROM claimed)
    WHERE changes OR result_bytes <= $max_result
)
SELECT session_id, min(agent) AS agent, server, CASE WHEN count(DISTINCT tool) = 1 THEN min(tool) END AS tool, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, min(tool)) || CASE max(grade) WHEN 3 THEN ' is declared read-only and ran a statement that changes data' WHEN 2 THEN ' is declared read-only and says that it changed something'
                                            ELSE ' is declared read-only and was given a statement that changes data' END AS message,
       array_sort(array_agg(DISTINCT tool)) AS tools
FROM judged
WHERE grade > 0
GROUP BY session_id, server
