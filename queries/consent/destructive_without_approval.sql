-- id = "destructive_without_approval"
-- title = "Destructive call ran without anybody's approval"
-- level = "medium"
-- status = "stable"
-- description = """
--   A tool that deletes, drops or overwrites worked, and the log says that it was let through automatically or needed no approval.
--   Where a session's log records decisions for its other calls, a call without one counts too (low).
--   One level more after untrusted content was read in the session, and for many such calls; one less when the user named the
--   target or the server declares the tool not destructive. Logs that never record approvals cannot tell: no finding.
--   A shell or query tool counts when its command or statement destroys. Dry runs that the tool's schema offers (others count one level less), tools annotated read-only, and things that the agent itself made earlier in the session are left out.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "owasp.asi09", "atlas.AML.T0101", "atlas.AML.T0053", "attack.T1485"]
-- falsepositives = ["clean-up jobs that are meant to run unattended", "an allow-list that the user set up knowingly"]
-- window = "24h"
-- params = { bulk = 5, recorded_share = 0.8, recorded_min = 3 }
-- needs = ["approvals"]
-- helps = ["arguments", "durations", "annotations", "prompts", "definitions"]
WITH offered AS (                -- tools that only say what they would do if they are asked to
    SELECT DISTINCT server, tool
    FROM tool_definitions
    WHERE json_contains(input_schema, 'properties', 'dry_run') OR json_contains(input_schema, 'properties', 'dryRun')
       OR json_contains(input_schema, 'properties', 'preview')
),
destructive AS (
    SELECT call_id, session_id, agent, server, tool, time, approval, approval_source, approval_policy,
           coalesce(NOT ann_destructive, false) AS declared_harmless,
           coalesce(json_get_bool(arguments, 'dry_run'), json_get_bool(arguments, 'dryRun'), json_get_bool(arguments, 'preview'), false) AS dry
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success'
      AND approval IN ('auto_allowed', 'not_required', 'unknown')
      AND (array_has_any(capabilities, make_array('destructive', 'executes')) OR ann_destructive)
      AND NOT coalesce(ann_read_only, false)
      -- A shell or a query tool can destroy; whether it does, its arguments say.
      AND (NOT array_has_any(capabilities, make_array('executes', 'reads_private'))
           OR regexp_like(arguments, '\b(rm\s+(-\S+\s+)*-\w*[rf]|rmdir|shred|mkfs|dd\s+[^|;]*of=|truncate\s|unlink\s|find\s[^|;]*-delete'
                                     || '|git\s+(reset\s+--hard|clean\s+-\w*f|push\s[^|;]*(--force|-f\b))'
                                     || '|kubectl\s+delete|docker\s+\w*\s*(rm|prune)|terraform\s+destroy|Remove-Item|del\s+/|format\s+[a-z]:'
                                     || '|drop\s+(table|database|schema|index|view|user)|delete\s+from|truncate\s+table|alter\s+table\s[^;]*\sdrop)', 'i'))
),
session_facts AS (
    SELECT session_id, count(*) FILTER (WHERE method = 'tools/call') AS tool_calls,
           count(*) FILTER (WHERE method = 'tools/call' AND approval IN ('user_allowed', 'auto_allowed', 'not_required')) AS recorded,
           min(coalesce(time_end, time)) FILTER (WHERE has_capability(capabilities, 'reads_untrusted') AND outcome = 'success') AS untrusted_since
    FROM calls
    WHERE event_kind = 'call'
    GROUP BY session_id
),
unapproved AS (
    SELECT d.*, f.untrusted_since
    FROM destructive d JOIN session_facts f ON f.session_id = d.session_id
    LEFT JOIN offered o ON o.server = d.server AND o.tool = d.tool
    WHERE (d.approval <> 'unknown'
           OR (f.recorded >= $recorded_min AND f.recorded >= $recorded_share * (f.tool_calls - 1)))
      AND NOT (d.dry AND o.tool IS NOT NULL)
),
target AS (                      -- what the call acts on, and whether the first mention of it was the agent writing it
    SELECT u.call_id, u.session_id, o.value AS target, min(u.agent) AS agent, min(u.server) AS server, min(u.tool) AS tool,
           min(u.time) AS time, min(u.approval) AS approval, min(coalesce(u.approval_source, u.approval_policy)) AS let_through_by,
           bool_or(u.declared_harmless) AS declared_harmless, bool_or(u.dry) AS dry, min(u.untrusted_since) AS untrusted_since,
           coalesce(first_value(has_capability(c.capabilities, 'writes') AND w.origin = 'argument' AND NOT has_capability(c.capabilities, 'destructive')
                                ORDER BY w.time, w.call_id), false) AS own_work
    FROM unapproved u
    LEFT JOIN observables o ON o.call_id = u.call_id AND o.origin = 'argument' AND o.type IN ('file_path', 'url')
    LEFT JOIN observables w ON w.session_id = u.session_id AND w.type = o.type AND w.value = o.value AND w.time < u.time
    LEFT JOIN calls c ON c.call_id = w.call_id
    GROUP BY u.call_id, u.session_id, o.value
),
graded AS (
    SELECT t.call_id, t.session_id, min(t.agent) AS agent, min(t.server) AS server, min(t.tool) AS tool, min(t.time) AS time,
           min(t.approval) AS approval, min(t.let_through_by) AS let_through_by, min(t.target) AS target,
           CASE WHEN bool_and(t.own_work) THEN -9 ELSE 0 END
           + CASE WHEN min(t.approval) = 'unknown' THEN 1 ELSE 2 END
           + CASE WHEN min(t.untrusted_since) <= min(t.time) THEN 1 ELSE 0 END
           - CASE WHEN bool_or(t.declared_harmless) THEN 1 ELSE 0 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade,
           CASE WHEN bool_or(t.dry) THEN 1 ELSE 0 END AS dry
    FROM target t
    LEFT JOIN prompts q ON q.session_id = t.session_id AND q.time <= t.time AND strpos(q.text, t.target) > 0
    GROUP BY t.call_id, t.session_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE least(3, max(greatest(1, grade - dry)) + CASE WHEN count(*) >= $bulk THEN 1 ELSE 0 END) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       CAST(count(*) AS VARCHAR) || CASE WHEN count(*) = 1 THEN ' destructive call' ELSE ' destructive calls' END || ' without approval: '
           || first_value(concat_ws('/', server, tool) ORDER BY time, call_id)
           || coalesce(' on ' || first_value(target ORDER BY time, call_id), '')
           || ' (' || min(approval) || coalesce(' by ' || min(let_through_by), '') || ')' AS message,
       array_agg(DISTINCT tool ORDER BY tool) AS tools, count(*) AS destructive_calls, min(approval) AS approval
FROM graded
WHERE grade > 0
GROUP BY session_id
