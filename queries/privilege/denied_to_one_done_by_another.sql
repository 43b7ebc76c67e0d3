-- id = "denied_to_one_done_by_another"
-- title = "Call denied to one principal, done by another with the same arguments"
-- level = "high"
-- status = "test"
-- description = """
--   A policy or a server refused a call (denied, 401, 403, or an error whose text says so), and soon afterwards another agent, user or subject made the same call with the same
--   arguments (by hash) and it worked: a confused deputy, that lends its rights to whoever asks.
--   high: the other one is a subagent, or an agent of the same user, host or session, and the call has side effects. medium: one of the two. low: a principal with
--   nothing in common that reads the same, as when two people do the same work.
--   Arguments that are short, or that three and more principals use, are left out: they say nothing. Needs no payloads, only their hashes.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp07", "owasp.asi03", "owasp.asi07", "atlas.AML.T0053", "atlas.AML.T0012", "attack.T1078", "attack.T1548"]
-- falsepositives = ["a colleague with the rights takes over a task"]
-- window = "3h"
-- needs = ["argument_sizes"]
-- helps = ["users", "identities", "client_addresses", "approvals", "errors", "results"]
-- params = { within = "30 minutes", min_bytes = 12 }
WITH refusal AS (SELECT DISTINCT call_id, outcome, words, by_person, by_policy FROM refusals),   -- as a step: computed once for all rules
denials AS (
    SELECT call_id FROM calls
    WHERE event_kind = 'call' AND (outcome = 'denied' OR http_response_status_code IN (401, 403))
    UNION
    SELECT call_id FROM refusal WHERE by_policy AND outcome IN ('tool_error', 'protocol_error')
),
denied AS (
    SELECT c.call_id, session_id, agent, user_id, auth_subject, host_name, server, tool, arguments_hash, time, concat_ws('/', agent, user_id, auth_subject) AS principal
    FROM denials d JOIN calls c ON c.call_id = d.call_id
    WHERE method = 'tools/call' AND approval <> 'user_denied' AND arguments_bytes >= $min_bytes AND arguments_hash IS NOT NULL
),
twin AS (
    SELECT d.call_id AS denied_id, d.principal AS denied_principal, d.time AS denied_at, d.session_id AS denied_session, c.call_id, c.session_id, c.agent, c.user_id,
           c.server, c.tool, c.time, c.arguments_hash, concat_ws('/', c.agent, c.user_id, c.auth_subject) AS principal, d.tool AS denied_tool,
           c.agent_is_subagent OR c.user_id = d.user_id OR c.host_name = d.host_name OR c.session_id = d.session_id OR c.delegation_chain IS NOT NULL AS related,
           array_has_any(c.capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays')) AS effect
    FROM denied d
    JOIN calls c ON c.arguments_hash = d.arguments_hash
    WHERE c.tool = d.tool AND c.event_kind = 'call' AND c.outcome = 'success' AND c.time > d.time AND c.time <= d.time + CAST($within AS INTERVAL)
      AND concat_ws('/', c.agent, c.user_id, c.auth_subject) <> d.principal AND c.approval <> 'user_allowed'
),
users_of AS (
    SELECT arguments_hash, count(DISTINCT concat_ws('/', agent, user_id, auth_subject)) AS principals FROM calls
    WHERE arguments_hash IN (SELECT arguments_hash FROM twin) GROUP BY arguments_hash
)
SELECT t.session_id, CASE WHEN count(DISTINCT t.agent) = 1 THEN min(t.agent) END AS agent, CASE WHEN count(DISTINCT t.user_id) = 1 THEN min(t.user_id) END AS user_id, CASE WHEN count(DISTINCT t.server) = 1 THEN min(t.server) END AS server, t.tool, min(t.denied_at) AS first_seen, max(t.time) AS last_seen,
       array_slice(array_sort(array_distinct(array_concat(array_agg(t.denied_id), array_agg(t.call_id)))), 1, 40) AS call_ids,
       CASE WHEN bool_or(coalesce(t.related, false)) AND bool_or(t.effect) THEN 'high' WHEN bool_or(coalesce(t.related, false) OR t.effect) THEN 'medium' ELSE 'low' END AS level,
       t.tool || ' was denied to ' || min(t.denied_principal) || ', then ' || min(t.principal) || ' did it with the same arguments' AS message,
       min(t.denied_principal) AS denied_to, min(t.principal) AS done_by
FROM twin t JOIN users_of u ON u.arguments_hash = t.arguments_hash
WHERE u.principals < 3
GROUP BY t.session_id, t.tool
