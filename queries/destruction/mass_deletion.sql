-- id = "mass_deletion"
-- title = "One agent deleted many things in a short time"
-- level = "medium"
-- status = "stable"
-- description = """
--   In one session an agent's destructive calls succeeded on many different targets of one server within a short time: files, mails, records, users.
--   high: four times the limit, or the limit after untrusted content was read; the list from which the things were picked is none. medium: the limit. One level less each when the same agent did as
--   much at that server in an earlier session within the window, and when all went into an archive or trash, from where it can be taken back. low: the user asked for a deletion, or wrote in another language than English, of which this cannot be told.
--   Different targets are different arguments (by hash, so payloads are not needed). Shells and query tools are another rule's matter
--   (wide_destruction). A list of targets in one call counts by its length, where arguments are logged. Spread over many sessions or agents this stays quiet.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "owasp.asi08", "atlas.AML.T0101", "attack.T1485"]
-- falsepositives = ["clean-up jobs in their first run", "tests that remove what they made"]
-- needs = []
-- helps = ["argument_sizes", "arguments", "durations", "prompts"]
-- window = "14d"
-- params = { min_targets = 10, within = "10 minutes" }
WITH deletions AS (
    SELECT session_id, server, coalesce(arguments_hash, 'none') AS target, min(agent) AS agent, min(time) AS time, min(call_id) AS call_id, min(tool) AS tool,
           -- A list of targets in one call: what stands between the commas of its first list, or of a list of objects.
           max(greatest(1, coalesce(CASE WHEN regexp_like(arguments, '\[[^\[\]{}]*,') THEN regexp_count(regexp_replace(arguments, '^.*?\[([^\[\]{}]*,[^\[\]{}]*).*$', '\1', 's'), ',') + 1 ELSE 1 END, 1),
                        coalesce(regexp_count(arguments, '\}\s*,\s*\{') + 1, 1))) AS things,
           -- What lies in an archive or trash can be taken back.
           bool_and(regexp_like(tool, 'archive|trash', 'i') AND NOT regexp_like(tool, 'empty|purge|clear|wipe|erase|destroy|drop|permanent|from_?(trash|archive)|(delete|remove)_?\w*(archive|trashed)', 'i')) AS kept,
           date_bin(CAST($within AS INTERVAL), min(time)) AS bin
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown')
      AND has_capability(capabilities, 'destructive') AND NOT array_has_any(capabilities, make_array('executes', 'reads_private'))
      AND regexp_like(tool, 'delete|remove|destroy|purge|trash|erase|wipe|drop|unlink|terminate|revoke|archive|clear|cancel', 'i')
    GROUP BY session_id, server, coalesce(arguments_hash, 'none')
),
bins AS (                        -- a burst may lie across the border of two spans
    SELECT session_id, server, bin, CAST(sum(things) AS BIGINT) AS targets, min(agent) AS agent, min(time) AS started, max(time) AS ended,
           array_agg(call_id ORDER BY time, call_id) AS call_ids, min(tool) AS tool, bool_and(kept) AS kept
    FROM deletions GROUP BY session_id, server, bin
),
spans AS (
    SELECT *, targets + CASE WHEN lag(bin) OVER turn = bin - CAST($within AS INTERVAL) THEN lag(targets) OVER turn ELSE 0 END AS together,
           CASE WHEN lag(bin) OVER turn = bin - CAST($within AS INTERVAL) THEN lag(call_ids) OVER turn END AS before_ids,
           CASE WHEN lag(bin) OVER turn = bin - CAST($within AS INTERVAL) THEN lag(started) OVER turn END AS before_started,
           kept AND CASE WHEN lag(bin) OVER turn = bin - CAST($within AS INTERVAL) THEN lag(kept) OVER turn ELSE true END AS all_kept
    FROM bins
    WINDOW turn AS (PARTITION BY session_id, server ORDER BY bin)
),
burst AS (
    SELECT session_id, server, min(agent) AS agent, min(coalesce(before_started, started)) AS started, max(ended) AS ended, max(together) AS targets, min(tool) AS tool, bool_and(all_kept) AS kept,
           array_distinct(flatten(array_agg(array_concat(coalesce(before_ids, make_array()), call_ids) ORDER BY bin))) AS call_ids
    FROM spans WHERE together >= $min_targets
    GROUP BY session_id, server
),
usual AS (                       -- what this agent did at this server in earlier sessions
    SELECT *, max(targets) OVER (PARTITION BY agent, server ORDER BY started ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS most_before
    FROM burst
),
untrusted AS (                   -- a list that was asked for at a server is where its things are picked from
    SELECT session_id, CASE WHEN regexp_like(tool, '(^|[_.-])(list|search|query|find|count|browse)([_.-]|$|[A-Z])|^(list|search|find)', 'i') THEN server END AS list_of, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id, CASE WHEN regexp_like(tool, '(^|[_.-])(list|search|query|find|count|browse)([_.-]|$|[A-Z])|^(list|search|find)', 'i') THEN server END
),
graded AS (
    SELECT b.session_id, b.server, min(b.agent) AS agent, min(b.started) AS started, max(b.ended) AS ended, max(b.targets) AS targets, min(b.tool) AS tool,
           first_value(b.call_ids) AS call_ids, max(b.most_before) AS most_before, coalesce(bool_or(u.since < b.started), false) AS after_untrusted,
           least(greatest(1, CASE WHEN max(b.targets) >= 4 * $min_targets OR bool_or(u.since < b.started) THEN 3 ELSE 2 END
                 - CASE WHEN 2 * max(b.most_before) >= max(b.targets) THEN 1 ELSE 0 END
                 - CASE WHEN bool_and(b.kept) THEN 1 ELSE 0 END), CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 3 END) AS grade
    FROM usual b
    LEFT JOIN untrusted u ON u.session_id = b.session_id AND coalesce(u.list_of, '') <> coalesce(b.server, 'none')
    LEFT JOIN prompts q ON q.session_id = b.session_id AND q.time <= b.started
         AND (regexp_like(q.text, '\b(delet\w*|remov\w*|clean\w*|purge|empty|clear|archive|trash|unsubscribe|get rid|revoke|cancel)\b', 'i')
              -- No word of English: it may speak of it.
              OR is_other_language(q.text))
    GROUP BY b.session_id, b.server
)
SELECT session_id, agent, server, started AS first_seen, ended AS last_seen, array_slice(call_ids, 1, 100) AS call_ids,
       CASE grade WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       CAST(targets AS VARCHAR) || ' things were deleted with ' || concat_ws('/', server, tool) || CASE WHEN after_untrusted THEN ' after untrusted content was read' ELSE '' END
           || coalesce('; most in an earlier session: ' || CAST(most_before AS VARCHAR), '; no earlier session of this agent did so') AS message,
       targets, most_before
FROM graded
WHERE grade > 0
