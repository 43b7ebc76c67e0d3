-- id = "elevated_after_denial"
-- title = "Denied, then tried again with a flag that overrides the check"
-- level = "high"
-- status = "test"
-- description = """
--   A call was denied or failed for want of rights, and within minutes the same tool, or another one of the server, was called with an argument that asks for more: force, bypass, skip, override, no-verify,
--   as another user, as administrator, sudo. The second call shares a word of its arguments with the first. A refusal may also stand in the text of an error.
--   high: it worked. medium: it was tried and denied again. low: it was allowed by the user. Only arguments that the denied call did not have count, so a tool that always
--   gets such a flag is left out.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp07", "owasp.asi03", "owasp.asi02", "atlas.AML.T0053", "atlas.AML.T0107", "attack.T1548", "attack.T1078"]
-- falsepositives = ["a retry with a flag that the error message recommends"]
-- window = "2h"
-- needs = ["arguments"]
-- helps = ["errors", "approvals", "results"]
-- params = { within = "15 minutes" }
WITH refusal AS (SELECT DISTINCT call_id, outcome, words, by_person, by_policy FROM refusals),   -- as a step: computed once for all rules
denials AS (
    SELECT call_id FROM calls
    WHERE event_kind = 'call' AND (outcome = 'denied' OR http_response_status_code IN (401, 403))
    UNION
    SELECT call_id FROM refusal WHERE by_policy AND outcome IN ('tool_error', 'protocol_error')
),
refused AS (
    SELECT c.call_id, session_id, server, tool, time, arguments
    FROM denials d JOIN calls c ON c.call_id = d.call_id
    WHERE method = 'tools/call'
),
pair AS (
    SELECT r.call_id AS refused_id, r.time AS refused_at, r.tool AS refused_tool, c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, c.outcome, c.approval,
           regexp_match(c.arguments, '("[^"]*(bypass|override|skip_?(auth|check|verif|valid|approv|permission)|no_?verify|ignore_?(acl|permission|polic)|force|as_?(admin|root|user)|run_?as|elevat|impersonat|privileged|sudo|admin_?mode|unsafe|disable_?(safety|sandbox|check))[^"]*"\s*:\s*("(true|yes|1|[^"]{2,})"|true|1))|(\bsudo\s|--force\b|--no-verify\b|--privileged\b|--unsafe\S*|--dangerously\S*|runas\s|doas\s|\bsu\s+-)', 'i')[1] AS key_flag,
           regexp_match(c.arguments, '(\bsudo\s|--force\b|--no-verify\b|--privileged\b|--unsafe\S*|--dangerously\S*|runas\s|doas\s|\bsu\s+-)', 'i')[1] AS word_flag, r.arguments AS refused_arguments
    FROM refused r JOIN calls c ON c.session_id = r.session_id
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.time > r.time AND c.time <= r.time + CAST($within AS INTERVAL)
      AND (c.server IS NOT DISTINCT FROM r.server)
      -- The same thing again: of a command, the same program; of a tool, one of the values.
      AND array_has_any(array_remove_all(string_to_array(regexp_replace(regexp_replace(lower(array_to_string(json_strings(c.arguments), ' ')), '\b(sudo|doas|runas)\b', '', 'g'), '[^a-z0-9._/@-]+', ' ', 'g'), ' '), ''),
                        array_slice(array_remove_all(string_to_array(regexp_replace(lower(array_to_string(json_strings(r.arguments), ' ')), '[^a-z0-9._/@-]+', ' ', 'g'), ' '), ''), 1, 8))
),
elevated AS (
    SELECT *, coalesce(nullif(key_flag, ''), word_flag) AS flag FROM pair
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(refused_at) AS first_seen, max(time) AS last_seen,
       array_slice(array_sort(array_distinct(array_concat(array_agg(refused_id), array_agg(call_id)))), 1, 40) AS call_ids,
       CASE WHEN bool_or(outcome = 'success' AND approval <> 'user_allowed') THEN 'high' WHEN bool_or(outcome <> 'success') THEN 'medium' ELSE 'low' END AS level,
       first_value(concat_ws('/', server, refused_tool) ORDER BY refused_at, refused_id) || ' was refused, then ' || first_value(tool ORDER BY time, call_id) || ' was called with ' || left(first_value(flag ORDER BY time, call_id), 80)
           || CASE WHEN bool_or(outcome = 'success') THEN ' and worked' ELSE ' and was refused too' END AS message,
       left(first_value(flag ORDER BY time, call_id), 120) AS flag
FROM elevated
WHERE flag IS NOT NULL AND strpos(coalesce(refused_arguments, ''), flag) = 0
GROUP BY session_id
