-- id = "same_call_from_many_agents"
-- title = "Agents of different users do the same thing within minutes"
-- level = "medium"
-- status = "test"
-- description = """
--   Calls with side effects and exactly the same arguments (by hash, so payloads are not needed) come from sessions of different agents or users within a short time: one planted text
--   that several agents read and follow, or one attacker behind several of them.
--   high: four and more different users or agents, or three and the call sends, pays or deletes. medium: two and three. low: the same call was made by several
--   agents before, in the window, at another time (a routine).
--   Calls with small or no arguments, and sessions of one user and one agent, say nothing and are left out. Users are compared with users, and agents with agents where no user is known.
--   """
-- tags = ["owasp.mcp06", "owasp.asi07", "owasp.asi01", "atlas.AML.T0061", "atlas.AML.T0053", "attack.T1534"]
-- falsepositives = ["a fleet that runs one job everywhere (low from the second time on)", "a training course"]
-- needs = ["argument_sizes"]
-- helps = ["users"]
-- window = "7d"
-- params = { within = "15 minutes", min_bytes = 24 }
WITH shared AS (                 -- few calls are made by two: only those are looked at
    SELECT arguments_hash, tool
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response') AND arguments_bytes >= $min_bytes AND arguments_hash IS NOT NULL
      AND array_has_any(capabilities, make_array('egress', 'pays', 'destructive', 'writes')) AND NOT array_has_any(capabilities, make_array('reads_untrusted', 'reads_private', 'executes'))
    GROUP BY arguments_hash, tool
    -- Users differ from users, and agents from agents of whom no user is known.
    HAVING min(user_id) <> max(user_id) OR min(agent) FILTER (WHERE user_id IS NULL) <> max(agent) FILTER (WHERE user_id IS NULL)
),
effects AS (
    SELECT c.arguments_hash, c.tool, c.session_id, min(c.call_id) AS call_id, min(c.time) AS time, min(c.user_id) AS person, min(c.agent) FILTER (WHERE c.user_id IS NULL) AS lone_agent, min(coalesce(c.user_id, c.agent)) AS who, min(c.agent) AS agent, min(c.server) AS server,
           bool_or(array_has_any(c.capabilities, make_array('egress', 'pays', 'destructive'))) AS grave, date_bin(CAST($within AS INTERVAL), min(c.time)) AS bin
    FROM shared s
    JOIN calls c ON c.arguments_hash = s.arguments_hash AND c.tool IS NOT DISTINCT FROM s.tool
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome IN ('success', 'unknown', 'no_response') AND c.arguments_bytes >= $min_bytes
      AND array_has_any(c.capabilities, make_array('egress', 'pays', 'destructive', 'writes')) AND NOT array_has_any(c.capabilities, make_array('reads_untrusted', 'reads_private', 'executes'))
    GROUP BY c.arguments_hash, c.tool, c.session_id
),
together AS (
    SELECT arguments_hash, tool, bin, greatest(count(DISTINCT person), count(DISTINCT lone_agent)) AS people, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
           array_agg(DISTINCT who) AS who, min(agent) AS agent, min(server) AS server, bool_or(grave) AS grave,
           count(*) OVER (PARTITION BY arguments_hash, tool) AS times
    FROM effects GROUP BY arguments_hash, tool, bin
)
SELECT agent, server, tool, first_seen, last_seen, array_slice(call_ids, 1, 100) AS call_ids,
       CASE WHEN times > 1 THEN 'low' WHEN people >= 4 OR (people >= 3 AND grave) THEN 'high' ELSE 'medium' END AS level,
       CAST(people AS VARCHAR) || ' users or agents called ' || concat_ws('/', server, tool) || ' with the same arguments: ' || array_to_string(array_slice(array_sort(who), 1, 5), ', ') AS message,
       people, array_slice(array_sort(who), 1, 20) AS who, arguments_hash
FROM together
WHERE people >= 2
