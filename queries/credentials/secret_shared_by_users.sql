-- id = "secret_shared_by_users"
-- title = "One secret is used by several users, agents or machines"
-- level = "medium"
-- status = "stable"
-- description = """
--   The same secret (same fingerprint) stands in arguments of calls of different users, agents or client machines: a stolen or passed-around token, or one that all share.
--   high: a second user or machine begins to use it within `within` of the first one's use, from sessions that overlap in no server of theirs.
--   medium: several users. low: several agents of one user. The finding is of the later user. Within one session see secret_across_servers.
--   Needs no stored payload. Secrets that more than `shared_by` users use are service accounts, and low.
--   """
-- tags = ["owasp.mcp01", "owasp.asi03", "atlas.AML.T0091.000", "attack.T1550.001", "attack.T1528"]
-- falsepositives = ["a service account that a team shares on purpose", "one person with two accounts"]
-- needs = ["arguments", "users"]
-- helps = ["client_addresses"]
-- window = "14d"
-- params = { within = "1 day", shared_by = 5 }
WITH used AS (
    SELECT o.value AS secret, o.session_id, min(c.user_id) AS user_id, min(c.agent) AS agent, min(coalesce(c.host_name, c.client_address)) AS machine, min(o.time) AS at, max(o.time) AS until,
           array_agg(DISTINCT o.call_id) AS call_ids, array_agg(DISTINCT c.server) AS servers
    FROM observables o
    JOIN calls c ON c.call_id = o.call_id
    WHERE o.type = 'secret' AND o.origin = 'argument' AND c.event_kind = 'call' AND c.outcome NOT IN ('denied', 'cancelled')
    GROUP BY o.value, o.session_id
),
turns AS (
    SELECT *, first_value(user_id) OVER turn AS first_user, first_value(agent) OVER turn AS first_agent, first_value(machine) OVER turn AS first_machine, first_value(session_id) OVER turn AS first_session,
           first_value(at) OVER turn AS first_at, first_value(call_ids) OVER turn AS first_calls, first_value(servers) OVER turn AS first_servers,
           lag(until) OVER turn AS before_until
    FROM used
    WINDOW turn AS (PARTITION BY secret ORDER BY at, session_id)
),
users AS (
    SELECT secret, count(DISTINCT user_id) AS users FROM used GROUP BY secret
),
other AS (
    SELECT t.*, u.users, t.user_id <> t.first_user AS other_user, t.machine <> t.first_machine AS other_machine
    FROM turns t JOIN users u ON u.secret = t.secret
    WHERE t.session_id <> t.first_session AND (t.user_id <> t.first_user OR t.machine <> t.first_machine OR t.agent <> t.first_agent)
),
graded AS (
    SELECT *, CASE WHEN users > $shared_by THEN 1
                   WHEN coalesce(other_user, false) OR (coalesce(other_machine, false) AND user_id IS NULL)
                   THEN CASE WHEN at <= before_until + CAST($within AS INTERVAL) AND NOT array_has_any(servers, first_servers) THEN 3 ELSE 2 END
                   ELSE 1 END AS grade
    FROM other
)
SELECT user_id, min(agent) AS agent, min(at) AS first_seen, max(until) AS last_seen,
       array_slice(array_distinct(flatten(array_agg(array_concat(array_slice(first_calls, 1, 5), array_slice(call_ids, 1, 20)) ORDER BY at))), 1, 50) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       secret || ', first used by ' || coalesce(min(first_user), min(first_agent), 'somebody') || ', is now used by ' || coalesce(user_id, min(agent), 'somebody else') AS message,
       secret, min(first_user) AS first_user, max(users) AS users
FROM graded
GROUP BY user_id, CASE WHEN user_id IS NULL THEN agent END, secret
