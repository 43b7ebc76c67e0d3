-- id = "new_server_combination"
-- title = "Servers combined in one session that this agent had never combined"
-- level = "low"
-- status = "test"
-- description = """
--   An agent that knows two servers well read private data from one and then acted on the other (sent, wrote, ran, destroyed) in one session, for the first time in
--   30 days: data crosses a border that it had not crossed.
--   high: untrusted content was read in between or before, and no agent of the fleet had combined the two. medium: no agent had. low: others had.
--   Quiet until the agent had min_sessions sessions with each of the two, and for agents that combine anew in more than every fifth session. The finding says how many sessions there
--   were. Works on metadata alone.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp10", "owasp.asi02", "atlas.AML.T0084.003", "atlas.AML.T0086", "attack.T1074"]
-- falsepositives = ["a new piece of work, such as a report that goes to another place"]
-- window = "31d"
-- history = "5d"
-- needs = []
-- helps = ["users"]
-- params = { min_sessions = 8 }
WITH used AS (
    SELECT session_id, server, coalesce(min(agent), min(user_id)) AS who, min(time) AS first_at,
           min(time) FILTER (WHERE has_capability(capabilities, 'reads_private') AND outcome = 'success') AS read_at,
           max(time) FILTER (WHERE array_has_any(capabilities, make_array('egress', 'writes', 'destructive', 'executes', 'pays')) AND outcome = 'success') AS acted_at,
           min(time) FILTER (WHERE has_capability(capabilities, 'reads_untrusted') AND outcome = 'success') AS untrusted_at
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND server IS NOT NULL AND session_id IS NOT NULL AND time_source <> 'file_mtime'
    GROUP BY session_id, server
),
pair AS (
    SELECT a.who, a.session_id, a.server AS from_server, b.server AS to_server, least(a.first_at, b.first_at) AS time, a.read_at, b.acted_at
    FROM used a JOIN used b ON b.session_id = a.session_id
    WHERE a.server <> b.server AND a.read_at < b.acted_at AND a.who IS NOT NULL
),
fresh AS (
    SELECT *, count(*) OVER (PARTITION BY from_server, to_server ORDER BY time RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW) AS sessions_of_fleet,
           count(*) FILTER (WHERE is_new) OVER (PARTITION BY who ORDER BY time RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 second' PRECEDING) AS new_before
    FROM (SELECT *, before IS NULL OR before < time - INTERVAL '30 days' AS is_new
          FROM (SELECT *, lag(time) OVER (PARTITION BY who, from_server, to_server ORDER BY time, session_id) AS before FROM pair))
),
known AS (
    SELECT who, server, session_id, count(*) OVER (PARTITION BY who, server ORDER BY first_at RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 second' PRECEDING) AS sessions
    FROM used WHERE who IS NOT NULL
),
odd AS (
    SELECT f.who, f.session_id, f.from_server, f.to_server, f.read_at, f.acted_at, f.sessions_of_fleet, least(a.sessions, b.sessions) AS sessions
    FROM fresh f
    JOIN known a ON a.session_id = f.session_id AND a.server = f.from_server
    JOIN known b ON b.session_id = f.session_id AND b.server = f.to_server
    WHERE f.is_new AND a.sessions >= $min_sessions AND b.sessions >= $min_sessions AND 5 * f.new_before <= a.sessions
),
evidence AS (
    SELECT o.session_id, o.from_server, o.to_server, min(o.who) AS who, min(o.sessions) AS sessions, min(o.sessions_of_fleet) AS sessions_of_fleet,
           min(c.agent) AS agent, min(c.user_id) AS user_id, min(c.time) FILTER (WHERE c.server IN (o.from_server, o.to_server)) AS first_seen, max(c.time) AS last_seen,
           bool_or(has_capability(c.capabilities, 'reads_untrusted') AND c.outcome = 'success' AND c.time < o.acted_at) AS untrusted,
           array_agg(c.call_id ORDER BY c.time, c.call_id)
               FILTER (WHERE (c.server = o.from_server AND has_capability(c.capabilities, 'reads_private') AND c.time < o.acted_at)
                          OR (c.server = o.to_server AND c.time > o.read_at AND array_has_any(c.capabilities, make_array('egress', 'writes', 'destructive', 'executes', 'pays')))) AS call_ids
    FROM odd o JOIN calls c ON c.session_id = o.session_id
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.time <= o.acted_at
    GROUP BY o.session_id, o.from_server, o.to_server
)
SELECT session_id, agent, CASE WHEN agent IS NULL THEN user_id END AS user_id, first_seen, last_seen, array_slice(call_ids, 1, 20) AS call_ids,
       CASE WHEN sessions_of_fleet > 1 THEN 'low' WHEN untrusted THEN 'high' ELSE 'medium' END AS level,
       who || ' read from ' || from_server || ' and then acted on ' || to_server || ', which ' || CASE WHEN sessions_of_fleet > 1 THEN 'it' ELSE 'nobody' END
           || ' had done in one session before (history of ' || CAST(sessions AS VARCHAR) || ' sessions)' AS message,
       from_server, to_server, sessions AS history_sessions, sessions_of_fleet
FROM evidence
