-- id = "denied_call_retried_elsewhere"
-- title = "Denied call done again through another tool or server"
-- level = "high"
-- status = "stable"
-- description = """
--   A user or a policy denied a call, or a tool answered in so many words that it is not allowed; shortly afterwards another tool, or the same tool of another server, succeeded on the same
--   target without the user allowing it. Same target: identical arguments (by hash, so payloads are not needed), or a path, address
--   or other telling value of the denied arguments that stands in the new ones, also inside a command line.
--   A denied side effect must be followed by a side effect: reading what one may not delete is no bypass.
--   high: the policy said no, or the log holds the user's prompts and there was none in between. medium: the log holds no prompts,
--   so the user may have said what to do instead; or only the text of the answer says that it was denied. low: the user did say something in between.
--   Left out: values that side-effecting calls were using before the denial, and denied tools that the user allowed again in between.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "owasp.asi03", "atlas.AML.T0053", "atlas.AML.T0107"]
-- falsepositives = ["the user rejects one way and asks for another in a channel that is not logged (medium)"]
-- window = "2h"
-- params = { within = "15 minutes", min_length = 6 }
-- needs = ["arguments", "approvals|outcomes"]
-- helps = ["argument_sizes", "durations", "errors", "prompts", "result_sizes", "results"]
WITH refusal AS (SELECT DISTINCT call_id, outcome, words, by_person, by_policy FROM refusals),   -- as a step: computed once for all rules
denials AS (
    SELECT call_id FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND (outcome = 'denied' OR approval IN ('user_denied', 'policy_denied'))
    UNION
    SELECT w.call_id FROM refusal w JOIN calls c ON c.call_id = w.call_id
    WHERE c.method = 'tools/call' AND w.by_policy
      AND NOT regexp_like(w.words, '\b401\b|unauthori[sz]ed\W*$', 'i')
      -- A page that turns readers away is no policy of ours.
      AND (NOT has_capability(c.capabilities, 'reads_untrusted') OR array_has_any(c.capabilities, make_array('reads_private', 'writes')))
),
denied AS (
    SELECT c.call_id, session_id, server, tool, time, coalesce(time_end, time) AS denied_at, arguments, arguments_hash, arguments_bytes,
           CASE WHEN outcome = 'denied' OR approval IN ('user_denied', 'policy_denied') THEN approval ELSE 'by the text of its answer' END AS approval,
           array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays')) AS side_effect
    FROM denials d JOIN calls c ON c.call_id = d.call_id
),
later AS (                       -- what was done in these sessions, each call looked at once
    SELECT call_id, session_id, agent, server, tool, time, arguments_hash, array_to_string(json_strings(arguments), chr(10)) AS text,
           array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays')) AS side_effect,
           -- A command that only reads.
           has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '^\{\s*"\w+"\s*:\s*"\s*(cat|head|tail|less|grep|wc|type|Get-Content|git\s+(status|log|diff|show))\b[^|;&>`$]*"', 'i') AS command_reads
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success' AND approval <> 'user_allowed' AND session_id IN (SELECT session_id FROM denied)
      -- A command that only looks at the thing, to see why, does not do it.
      AND NOT (has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '^\{\s*"\w+"\s*:\s*"\s*(ls|stat|namei|getfacl|id|whoami|groups|lsattr|file|test|which|df|mount|dir|icacls|Get-Acl)\b[^|;&>`$]*"', 'i'))
      -- Turned away again, in words.
      AND NOT (coalesce(result_bytes, 0) <= 600 AND coalesce(begins_denied(left(result_text, 400)), false))
),
retried AS (
    SELECT d.call_id AS denied_id, d.session_id, d.server AS denied_server, d.tool AS denied_tool, d.time AS denied_time, d.denied_at,
           d.approval AS denial, r.call_id, r.agent, r.server, r.tool, r.time, r.text,
           d.arguments_hash = r.arguments_hash AND d.arguments_bytes >= 2 * $min_length AS same_arguments,
           unnest(array_append(json_strings(coalesce(d.arguments, '')), '')) AS value
    FROM denied d
    JOIN later r ON r.session_id = d.session_id
    WHERE r.time > d.denied_at AND r.time <= d.denied_at + CAST($within AS INTERVAL)
      AND (r.tool <> d.tool OR coalesce(r.server, '') <> coalesce(d.server, ''))
      AND (NOT d.side_effect OR (r.side_effect AND NOT coalesce(r.command_reads, false)))
),
same_target AS (
    SELECT *, regexp_like(value, '[/\\@]|[0-9]{6}') AS telling
    FROM retried
    WHERE (value = '' AND same_arguments) OR (length(value) >= $min_length AND strpos(text, value) > 0)
),
in_use AS (                      -- what the rest of the session says about the value and the tool
    SELECT s.denied_id, s.call_id, s.value, min(s.session_id) AS session_id, min(s.denied_server) AS denied_server,
           min(s.denied_tool) AS denied_tool, min(s.denied_time) AS denied_time, min(s.denied_at) AS denied_at, min(s.denial) AS denial,
           min(s.agent) AS agent, min(s.server) AS server, min(s.tool) AS tool, min(s.time) AS time,
           bool_or(s.same_arguments) AS same_arguments,
           coalesce(bool_or(p.time < s.denied_time AND p.outcome = 'success' AND s.value <> ''
                   AND (NOT s.telling OR array_has_any(p.capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays')))
                   AND strpos(array_to_string(json_strings(p.arguments), chr(10)), s.value) > 0), false) AS used_before,
           coalesce(bool_or(p.time > s.denied_time AND p.approval = 'user_allowed' AND p.tool = s.denied_tool
                   AND coalesce(p.server, '') = coalesce(s.denied_server, '')), false) AS allowed_after_all
    FROM same_target s
    LEFT JOIN calls p ON p.session_id = s.session_id AND p.time < s.time AND p.event_kind = 'call' AND p.method = 'tools/call'
         AND p.call_id <> s.denied_id
    GROUP BY s.denied_id, s.call_id, s.value
),
judged AS (
    SELECT u.denied_id, u.call_id, min(u.session_id) AS session_id, min(u.denied_server) AS denied_server, min(u.denied_tool) AS denied_tool,
           min(u.denied_time) AS denied_time, min(u.denial) AS denial, min(u.agent) AS agent, min(u.server) AS server,
           min(u.tool) AS tool, min(u.time) AS time, max(nullif(u.value, '')) AS value,
           CASE WHEN bool_or(q.time > u.denied_at AND q.time <= u.time) THEN 1
                WHEN min(u.denial) LIKE 'by %' THEN 2
                WHEN count(q.session_id) > 0 OR min(u.denial) = 'policy_denied' THEN 3
                ELSE 2 END AS grade
    FROM in_use u
    LEFT JOIN prompts q ON q.session_id = u.session_id
    WHERE NOT u.allowed_after_all AND NOT u.used_before
    GROUP BY u.denied_id, u.call_id
),
evidence AS (
    SELECT session_id, denied_server, denied_tool, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent,
           min(server) AS server, min(tool) AS tool, min(value) AS value, min(denial) AS denial
    FROM (SELECT *, unnest(make_array(named_struct('id', denied_id, 'at', denied_time), named_struct('id', call_id, 'at', time))) AS ev FROM judged)
    GROUP BY session_id, denied_server, denied_tool, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', denied_server, denied_tool) || ' was denied (' || min(denial) || '), then '
           || concat_ws('/', min(server), min(tool)) || ' did it' || coalesce(' with ' || left(min(value), 120), ' with the same arguments') AS message,
       denied_server, denied_tool, left(min(value), 300) AS target
FROM evidence
GROUP BY session_id, denied_server, denied_tool
