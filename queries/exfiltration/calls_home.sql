-- id = "calls_home"
-- title = "Calls at regular intervals to one destination: a beacon"
-- level = "medium"
-- status = "test"
-- description = """
--   One agent called one destination (host, mailbox or address in the arguments) with one tool on a day at intervals and with sizes so even that a program does
--   it: RITA's beacon score, from intervals, sizes, histogram and duration.
--   Bands as RITA's: base 0.5, low 0.7, medium 0.9, high 1.0, after these changes: a destination that at most few of the agents use adds 0.15, one that half of them use takes
--   0.15 away; one first seen within 7 days adds 0.15, one that is known for 30 takes 0.15 away, if the log is that old. Reported from 0.7 on, as medium from 0.9
--   on, as high from 1.1 on, which only an even beacon to a rare or new destination reaches.
--   At least min_calls calls; internal addresses are left out. A schedule that is known can be named in known.
--   """
-- tags = ["owasp.mcp10", "owasp.asi10", "atlas.AML.T0108", "atlas.AML.T0096", "attack.T1071.001", "attack.T1029"]
-- falsepositives = ["a monitor or a synchronisation that runs on a schedule"]
-- window = "31d"
-- needs = ["arguments", "argument_sizes"]
-- helps = ["users"]
-- params = { min_calls = 20, few = 0.02, known = [] }
WITH pair AS (
    SELECT o.session_id, o.server, o.tool, o.day, CASE o.type WHEN 'url' THEN host_of(o.value) ELSE lower(o.value) END AS place, o.call_id, o.time
    FROM observables o
    WHERE o.origin = 'argument' AND o.type IN ('url', 'domain', 'ip', 'email') AND o.day IS NOT NULL AND NOT (o.type <> 'email' AND is_internal_address(o.value))
      AND NOT is_mention(o.path)
),
who AS (
    SELECT session_id, min(coalesce(agent, user_id, session_id)) AS who FROM calls WHERE session_id IS NOT NULL GROUP BY session_id
),
busy AS (
    SELECT w.who, p.server, p.tool, p.place, p.day, beacon_score(p.time) AS rough, count(*) AS calls, min(p.time) AS first_at, max(p.time) AS last_at
    FROM pair p JOIN who w ON w.session_id = p.session_id
    GROUP BY w.who, p.server, p.tool, p.place, p.day
),
prevalence AS (
    SELECT *, count(*) FILTER (WHERE NOT seen_before) OVER (PARTITION BY place) AS users_of_place, min(first_at) OVER (PARTITION BY place) AS place_since,
           min(first_at) OVER () AS log_since
    FROM (SELECT *, lag(day) OVER (PARTITION BY who, place ORDER BY day, server, tool) IS NOT NULL AS seen_before FROM busy)
),
candidate AS (
    SELECT * FROM prevalence WHERE calls >= $min_calls AND rough >= 0.5 AND NOT array_has($known, place)
),
scored AS (
    SELECT k.who, k.server, k.tool, k.place, k.day, min(k.users_of_place) AS users_of_place, min(k.place_since) AS place_since, min(k.log_since) AS log_since,
           beacon_score(c.time, c.arguments_bytes) AS score, min(c.time) AS first_seen, max(c.time) AS last_seen, count(*) AS calls,
           min(c.agent) AS agent, min(c.user_id) AS user_id, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM candidate k
    JOIN (SELECT DISTINCT call_id, day, server, tool, place FROM pair) p ON p.day = k.day AND p.place = k.place AND p.tool = k.tool
    JOIN calls c ON c.call_id = p.call_id
    WHERE (p.server IS NOT DISTINCT FROM k.server) AND coalesce(c.agent, c.user_id, c.session_id) = k.who
    GROUP BY k.who, k.server, k.tool, k.place, k.day
),
fleet AS (
    SELECT count(DISTINCT who) AS agents FROM who
),
weighed AS (
    SELECT s.*, s.score + CASE WHEN f.agents >= 10 AND s.users_of_place <= greatest($few * f.agents, 1) THEN 0.15 WHEN f.agents >= 10 AND 2 * s.users_of_place >= f.agents THEN -0.15 ELSE 0.0 END
               + CASE WHEN s.log_since > s.first_seen - INTERVAL '7 days' THEN 0.0 WHEN s.place_since > s.first_seen - INTERVAL '7 days' THEN 0.15
                      WHEN s.place_since <= s.first_seen - INTERVAL '30 days' THEN -0.15 ELSE 0.0 END AS final
    FROM scored s CROSS JOIN fleet f
)
SELECT agent, CASE WHEN agent IS NULL THEN user_id END AS user_id, server, tool, first_seen, last_seen, array_slice(call_ids, 1, 40) AS call_ids,
       CASE WHEN final >= 1.1 THEN 'high' WHEN final >= 0.9 THEN 'medium' ELSE 'low' END AS level, final AS score,
       who || ' called ' || place || ' with ' || concat_ws('/', server, tool) || ' ' || CAST(calls AS VARCHAR) || ' times on ' || CAST(day AS VARCHAR) || ' at even intervals (beacon score '
           || CAST(score AS VARCHAR) || ')' AS message,
       place AS destination, calls, score AS beacon_score, users_of_place
FROM weighed
WHERE final >= 0.7
