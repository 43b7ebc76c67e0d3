-- id = "new_user_of_server"
-- title = "User called a server for the first time"
-- level = "low"
-- status = "test"
-- description = """
--   A user who was never seen at a server in 30 days called it, although the server's users are well known: it had calls of users on min_days earlier days, and hardly ever
--   a new one.
--   high: the user's first calls destroy, run, pay or handle credentials, and the user is new to the whole log. medium: they do, or the user is new to the whole log and has side effects. low:
--   anything else. Quiet for servers that get a new user more often than every third day. The finding says how many days and users there were. Works on metadata alone.
--   """
-- tags = ["owasp.mcp09", "owasp.mcp07", "owasp.asi03", "atlas.AML.T0012", "attack.T1078", "attack.T1136"]
-- falsepositives = ["a new colleague"]
-- window = "31d"
-- history = "5d"
-- needs = ["users"]
-- helps = ["identities"]
-- params = { min_days = 5, min_users = 2 }
WITH daily AS (
    SELECT server, user_id, day, min(time) AS first_at FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND user_id IS NOT NULL AND server IS NOT NULL AND day IS NOT NULL AND time_source <> 'file_mtime'
      AND coalesce(principal_type, 'user') <> 'anonymous'
    GROUP BY server, user_id, day
),
fresh AS (
    SELECT *, count(*) FILTER (WHERE before IS NULL) OVER past AS users_before, count(*) FILTER (WHERE before IS NULL AND day > server_since + INTERVAL '2 days') OVER past AS new_before
    FROM (SELECT *, lag(day) OVER (PARTITION BY server, user_id ORDER BY day) AS before, min(day) OVER (PARTITION BY server) AS server_since, min(day) OVER (PARTITION BY user_id) AS user_since FROM daily)
    WINDOW past AS (PARTITION BY server ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
days AS (
    SELECT server, day, count(*) OVER (PARTITION BY server ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS days FROM (SELECT DISTINCT server, day FROM daily)
),
odd AS (
    SELECT f.server, f.user_id, f.day, f.users_before, d.days, f.user_since = f.day AS new_everywhere
    FROM fresh f JOIN days d ON d.server = f.server AND d.day = f.day
    WHERE (f.before IS NULL OR f.before < f.day - INTERVAL '30 days') AND d.days >= $min_days AND f.users_before >= $min_users AND 3 * f.new_before <= d.days
),
evidence AS (
    SELECT o.server, o.user_id, o.day, min(o.users_before) AS users_before, min(o.days) AS days, bool_and(o.new_everywhere) AS new_everywhere, min(c.time) AS first_seen, max(c.time) AS last_seen,
           CASE WHEN count(DISTINCT c.agent) = 1 THEN min(c.agent) END AS agent, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids,
           bool_or(c.outcome = 'success' AND array_has_any(c.capabilities, make_array('destructive', 'executes', 'pays', 'credentials'))) AS grave,
           bool_or(c.outcome = 'success' AND array_has_any(c.capabilities, make_array('writes', 'egress'))) AS acts
    FROM odd o JOIN calls c ON c.server = o.server AND c.user_id = o.user_id AND c.day = o.day
    WHERE c.event_kind = 'call' AND c.method = 'tools/call'
    GROUP BY o.server, o.user_id, o.day
)
SELECT agent, user_id, server, first_seen, last_seen, array_slice(call_ids, 1, 10) AS call_ids,
       CASE WHEN grave AND new_everywhere THEN 'high' WHEN grave OR (acts AND new_everywhere) THEN 'medium' ELSE 'low' END AS level,
       user_id || ' called ' || server || ' for the first time' || CASE WHEN new_everywhere THEN ', and any server' ELSE '' END
           || ' (history of ' || CAST(days AS VARCHAR) || ' days, ' || CAST(users_before AS VARCHAR) || ' users)' AS message,
       days AS history_days, users_before AS known_users, new_everywhere AS new_to_the_log
FROM evidence
