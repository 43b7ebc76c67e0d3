-- id = "server_sweep"
-- title = "One client asked many servers what they offer"
-- level = "medium"
-- status = "test"
-- description = """
--   Within minutes one agent, user or address listed the tools, resources or prompts of many servers, or opened connections to them, most of
--   which it had not asked in the 30 days before and did not use in the hour after: a look at what there is, not the start of a client.
--   high: most of the requests failed or were refused, as when addresses are tried out. medium: the agent has earlier days in the log, so that it is
--   no first start. low: it has none. Clients that list their servers at every start are left out by their habit.
--   """
-- tags = ["owasp.mcp09", "owasp.mcp10", "owasp.asi02", "atlas.AML.T0084.001", "atlas.AML.T0006", "attack.T1046"]
-- falsepositives = ["an inventory or health check: it is found once, then it is a habit"]
-- window = "31d"
-- history = "1d"
-- needs = ["protocol_messages"]
-- helps = ["users", "client_addresses", "server_addresses"]
-- params = { min_servers = 6, within = "10 minutes", used_share = 0.4 }
WITH asked AS (
    SELECT coalesce(agent, user_id, client_address, session_id) AS who, coalesce(server, server_url, server_address) AS target, day,
           min(time) AS time, min(call_id) AS call_id, bool_and(outcome NOT IN ('success', 'unknown')) AS failed
    FROM calls
    WHERE method IN ('tools/list', 'resources/list', 'prompts/list', 'resources/templates/list', 'initialize') AND event_kind = 'call'
      AND day IS NOT NULL AND time_source <> 'file_mtime' AND coalesce(server, server_url, server_address) IS NOT NULL
    GROUP BY coalesce(agent, user_id, client_address, session_id), coalesce(server, server_url, server_address), day
),
fresh AS (
    SELECT *, count(*) OVER (PARTITION BY who, day) AS fresh_servers
    FROM (SELECT *, lag(day) OVER (PARTITION BY who, target ORDER BY day) AS before, min(day) OVER (PARTITION BY who) AS first_day FROM asked)
    WHERE before IS NULL OR before < day - INTERVAL '30 days'
),
burst AS (
    SELECT *, lead(time, CAST($min_servers - 1 AS BIGINT)) OVER (PARTITION BY who, day ORDER BY time, target) AS nth
    FROM fresh
    WHERE fresh_servers >= $min_servers
),
started AS (
    SELECT who, day, min(time) AS first_seen FROM burst WHERE nth <= time + CAST($within AS INTERVAL) GROUP BY who, day
),
swept AS (
    SELECT b.who, b.day, b.target, b.time, b.call_id, b.failed, b.first_day, s.first_seen
    FROM burst b JOIN started s ON s.who = b.who AND s.day = b.day
    WHERE b.time >= s.first_seen AND b.time <= s.first_seen + CAST($within AS INTERVAL)
),
used AS (
    SELECT w.who, w.day, w.target, count(c.call_id) > 0 AS used
    FROM swept w
    LEFT JOIN calls c ON coalesce(c.agent, c.user_id, c.client_address, c.session_id) = w.who AND c.method IN ('tools/call', 'resources/read', 'prompts/get')
         AND coalesce(c.server, c.server_url, c.server_address) = w.target AND c.time >= w.time AND c.time <= w.time + INTERVAL '1 hour'
    GROUP BY w.who, w.day, w.target
)
SELECT min(c.agent) AS agent, CASE WHEN min(c.agent) IS NULL THEN min(c.user_id) END AS user_id,
       CASE WHEN count(DISTINCT c.session_id) = 1 OR min(coalesce(c.agent, c.user_id)) IS NULL THEN min(c.session_id) END AS session_id,
       min(w.time) AS first_seen, max(w.time) AS last_seen,
       array_agg(w.call_id ORDER BY w.time, w.call_id) AS call_ids,
       CASE WHEN 2 * count(*) FILTER (WHERE w.failed) > count(*) THEN 'high' WHEN min(w.first_day) < w.day THEN 'medium' ELSE 'low' END AS level,
       w.who || ' asked ' || CAST(count(*) AS VARCHAR) || ' servers what they offer, and used ' || CAST(count(*) FILTER (WHERE u.used) AS VARCHAR)
           || CASE WHEN count(*) FILTER (WHERE w.failed) > 0 THEN '; ' || CAST(count(*) FILTER (WHERE w.failed) AS VARCHAR) || ' refused or failed' ELSE '' END AS message,
       count(*) AS servers, count(*) FILTER (WHERE u.used) AS used, count(*) FILTER (WHERE w.failed) AS failed
FROM swept w
JOIN used u ON u.who = w.who AND u.day = w.day AND u.target = w.target
JOIN calls c ON c.call_id = w.call_id
GROUP BY w.who, w.day
HAVING count(*) >= $min_servers AND count(*) FILTER (WHERE u.used) < $used_share * count(*)
