-- id = "new_server"
-- title = "Agent used a server that it had never used before"
-- level = "low"
-- status = "test"
-- description = """
--   An agent (or user, where the log names no agent) with enough history called a server for the first time in 30 days.
--   medium: nobody in the fleet had used the server, and the calls can send, write, run or destroy. low: nobody had used it, or one
--   that few use and whose calls can do so. Servers that a fifth of the agents use, or that only few use and merely read, are left out.
--   Quiet until agent and fleet were seen on min_days earlier days; the finding says on how many. Works on metadata alone.
--   """
-- tags = ["owasp.mcp09", "owasp.mcp04", "owasp.asi04", "atlas.AML.T0010.005", "atlas.AML.T0081", "attack.T1199"]
-- falsepositives = ["a server that was set up on purpose: add it to allowed", "an alias that was renamed"]
-- window = "31d"
-- history = "5d"
-- needs = []
-- helps = ["users"]
-- params = { min_days = 5, common = 0.2, allowed = [] }
WITH daily AS (
    SELECT coalesce(agent, user_id) AS who, server, day, count(*) AS calls,
           bool_or(array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays', 'credentials'))) AS acts
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND server IS NOT NULL AND day IS NOT NULL AND time_source <> 'file_mtime'
      AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), server, day
),
own AS (
    SELECT who, day, count(*) OVER (PARTITION BY who ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS own_days
    FROM (SELECT DISTINCT who, day FROM daily)
),
fresh AS (
    SELECT d.who, d.server, d.day, d.acts, o.own_days
    FROM (SELECT *, lag(day) OVER (PARTITION BY who, server ORDER BY day) AS before FROM daily) d
    JOIN own o ON o.who = d.who AND o.day = d.day
    WHERE (d.before IS NULL OR d.before < d.day - INTERVAL '30 days') AND o.own_days >= $min_days AND NOT array_has($allowed, d.server)
),
fleet AS (
    SELECT f.day, count(DISTINCT d.who) AS agents, count(DISTINCT d.day) AS fleet_days
    FROM (SELECT DISTINCT day FROM fresh) f
    JOIN (SELECT DISTINCT who, day FROM daily) d ON d.day < f.day AND d.day >= f.day - INTERVAL '30 days'
    GROUP BY f.day
),
weighed AS (
    SELECT f.who, f.server, f.day, bool_or(f.acts) AS acts, max(f.own_days) AS own_days, max(t.agents) AS agents,
           count(DISTINCT p.who) AS others
    FROM fresh f
    JOIN fleet t ON t.day = f.day
    LEFT JOIN daily p ON p.server = f.server AND p.who <> f.who AND p.day <= f.day AND p.day >= f.day - INTERVAL '30 days'
    WHERE t.fleet_days >= $min_days
    GROUP BY f.who, f.server, f.day
),
graded AS (
    SELECT *, CASE WHEN others = 0 THEN CASE WHEN acts THEN 2 ELSE 1 END
                   WHEN acts AND others < $common * agents THEN 1
                   ELSE 0 END AS grade
    FROM weighed
),
evidence AS (
    SELECT g.who, g.server, g.day, min(g.grade) AS grade, min(g.own_days) AS own_days, min(g.agents) AS agents, min(g.others) AS others,
           min(c.agent) AS agent, min(c.user_id) AS user_id, min(c.time) AS first_seen, max(c.time) AS last_seen, count(*) AS calls,
           array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM graded g
    JOIN calls c ON c.server = g.server AND c.day = g.day AND coalesce(c.agent, c.user_id) = g.who
    WHERE g.grade > 0 AND c.event_kind = 'call' AND c.method = 'tools/call'
    GROUP BY g.who, g.server, g.day
)
SELECT agent, CASE WHEN agent IS NULL THEN user_id END AS user_id, server, first_seen, last_seen, array_slice(call_ids, 1, 10) AS call_ids,
       CASE grade WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       who || ' called ' || server || ' for the first time: ' || CASE WHEN others = 0 THEN 'nobody had used it'
           ELSE CAST(others AS VARCHAR) || ' of ' || CAST(agents AS VARCHAR) || ' agents had used it' END
           || ' (history of ' || CAST(own_days AS VARCHAR) || ' days)' AS message,
       calls, own_days AS history_days, others AS agents_that_used_it, agents
FROM evidence
