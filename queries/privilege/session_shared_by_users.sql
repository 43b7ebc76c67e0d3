-- id = "session_shared_by_users"
-- title = "One session was used by several users"
-- level = "medium"
-- status = "test"
-- description = """
--   Calls of one protocol session or conversation were made for different users, or with different authenticated subjects: a stolen session id or state
--   handle, or a server that mixes up its tenants.
--   high: the users alternate, or the second one comes from another address, while the first is still there, and private data was read or something done.
--   medium: the session changed hands once. low: the identities look like two names of one person (one is part of the other).
--   Derived sessions (by connection or file) are left out, because a gateway's log of many users is cut into them. Anonymous calls do not count.
--   """
-- tags = ["owasp.mcp07", "owasp.mcp01", "owasp.asi03", "atlas.AML.T0012", "atlas.AML.T0091.000", "attack.T1563", "attack.T1078"]
-- falsepositives = ["a support conversation that is handed over on purpose"]
-- window = "24h"
-- needs = ["users|identities"]
-- helps = ["client_addresses"]
WITH shared AS (
    SELECT session_id FROM calls
    WHERE session_source IN ('conversation', 'mcp_session', 'trace') AND event_kind = 'call' AND coalesce(user_id, auth_subject) IS NOT NULL
      AND coalesce(principal_type, 'user') <> 'anonymous'
    GROUP BY session_id
    HAVING min(lower(coalesce(user_id, auth_subject))) <> max(lower(coalesce(user_id, auth_subject)))
),
ordered AS (
    SELECT c.session_id, c.call_id, c.agent, c.server, c.time, lower(coalesce(c.user_id, c.auth_subject)) AS principal, c.client_address,
           lag(lower(coalesce(c.user_id, c.auth_subject))) OVER turn AS principal_before, lag(c.call_id) OVER turn AS call_before,
           lag(c.client_address) OVER turn AS address_before, lag(c.time) OVER turn AS time_before,
           c.outcome = 'success' AND array_length(c.capabilities) > 0 AS matters
    FROM shared s JOIN calls c ON c.session_id = s.session_id
    WHERE c.event_kind = 'call' AND coalesce(c.user_id, c.auth_subject) IS NOT NULL AND coalesce(c.principal_type, 'user') <> 'anonymous'
    WINDOW turn AS (PARTITION BY c.session_id ORDER BY c.time, c.source_offset, c.call_id)
),
changed AS (
    SELECT * FROM ordered WHERE principal <> principal_before
),
alike AS (
    SELECT session_id, bool_and(strpos(principal, principal_before) > 0 OR strpos(principal_before, principal) > 0
                                OR split_part(principal, '@', 1) = split_part(principal_before, '@', 1)) AS one_person,
           count(*) AS changes, bool_or(client_address <> address_before AND time - time_before < INTERVAL '10 minutes') AS moved
    FROM changed GROUP BY session_id
)
SELECT c.session_id, min(c.agent) AS agent, min(c.time_before) AS first_seen, max(c.time) AS last_seen,
       array_slice(array_sort(array_distinct(array_concat(array_agg(c.call_before), array_agg(c.call_id)))), 1, 40) AS call_ids,
       CASE WHEN bool_and(a.one_person) THEN 'low'
            WHEN bool_or(c.matters) AND (max(a.changes) >= 2 OR bool_or(a.moved)) THEN 'high' ELSE 'medium' END AS level,
       'The session was used for ' || first_value(c.principal_before ORDER BY c.time, c.call_id) || ' and for ' || first_value(c.principal ORDER BY c.time, c.call_id)
           || CASE WHEN max(a.changes) >= 2 THEN ', ' || CAST(max(a.changes) AS VARCHAR) || ' times in turn' WHEN bool_or(a.moved) THEN ', within minutes from another address' ELSE '' END AS message,
       max(a.changes) AS changes, count(DISTINCT c.principal) AS later_users
FROM changed c JOIN alike a ON a.session_id = c.session_id
GROUP BY c.session_id
