-- id = "same_call_from_many_agents"
-- title = "Agents of different users do the same thing within minutes"
-- level = "medium"
-- status = "test"
-- description = """
--   Calls with side effects and exactly the same arguments (by hash, so payloads are not needed) come from sessions of different agents or users within a short time: one planted text
--   that several agents read and follow, or one attacker behind several of them.
--   high: four and more different users or agents, or three and the call sends, pays or deletes. medium: two and three. low: the same call was made twice and more
--   at another time of the window, half a day away at least (a routine). The time slides with the calls: there are no edges.
--   Calls with small or no arguments, and sessions of one user and one agent, say nothing and are left out;
--   so are answers of many to what one asked (invitations, polls, reactions). Users are compared with users, and agents with agents where no user is known.
--   """
-- tags = ["owasp.mcp06", "owasp.asi07", "owasp.asi01", "atlas.AML.T0061", "atlas.AML.T0053", "attack.T1534"]
-- falsepositives = ["a fleet that runs one job everywhere (low from the second time on)", "a training course"]
-- needs = ["argument_sizes"]
-- helps = ["arguments", "users"]
-- window = "7d"
-- params = { within = "15 minutes", min_bytes = 24 }
WITH shared AS (                 -- few calls are made by two: only those are looked at
    SELECT arguments_hash, tool
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response') AND arguments_bytes >= $min_bytes AND arguments_hash IS NOT NULL
      AND array_has_any(capabilities, make_array('egress', 'pays', 'destructive', 'writes')) AND NOT array_has_any(capabilities, make_array('reads_untrusted', 'reads_private', 'executes'))
      -- One is asked, and many answer: invitations, polls, reactions, receipts.
      AND NOT regexp_like(tool, '(^|[_.-])(rsvp|accept|decline|respond|vote|react|acknowledge|ack|confirm|join|follow|subscribe|check_?in|clock_?(in|out)|like|star|watch)([_.-]|$|[A-Z])|^(rsvp|accept|decline|respond|vote|react|acknowledge|join)|mark_?(as_?)?(read|seen|done)|(add|create|set|send)[_.-]?(an?_?)?(reaction|vote|rsvp|response|receipt)|(response|attendance)_?status', 'i')
      AND NOT coalesce(regexp_like(arguments, '"(response|response_?status|rsvp|attendance|answer|status)"\s*:\s*"(accept(ed)?|declined?|tentative|yes|no|maybe|going|not_?going|attending|needs_?action)"', 'i'), false)
    GROUP BY arguments_hash, tool
    -- Users differ from users, and agents from agents of whom no user is known.
    HAVING min(user_id) <> max(user_id) OR min(agent) FILTER (WHERE user_id IS NULL) <> max(agent) FILTER (WHERE user_id IS NULL)
),
effects AS (
    SELECT c.arguments_hash, c.tool, c.session_id, min(c.call_id) AS call_id, min(c.time) AS time, min(c.user_id) AS person, min(c.agent) FILTER (WHERE c.user_id IS NULL) AS lone_agent, min(coalesce(c.user_id, c.agent)) AS who, min(c.agent) AS agent, min(c.server) AS server,
           bool_or(array_has_any(c.capabilities, make_array('egress', 'pays', 'destructive'))) AS grave
    FROM shared s
    JOIN calls c ON c.arguments_hash = s.arguments_hash AND c.tool IS NOT DISTINCT FROM s.tool
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome IN ('success', 'unknown', 'no_response') AND c.arguments_bytes >= $min_bytes
      AND array_has_any(c.capabilities, make_array('egress', 'pays', 'destructive', 'writes')) AND NOT array_has_any(c.capabilities, make_array('reads_untrusted', 'reads_private', 'executes'))
    GROUP BY c.arguments_hash, c.tool, c.session_id
),
windows AS (                     -- from each call on, so that no edge parts those who act together
    SELECT a.arguments_hash, a.tool, a.time AS start, greatest(count(DISTINCT b.person), count(DISTINCT b.lone_agent)) AS people
    FROM effects a
    JOIN effects b ON b.arguments_hash = a.arguments_hash AND b.tool = a.tool AND b.time >= a.time AND b.time <= a.time + CAST($within AS INTERVAL)
    GROUP BY a.arguments_hash, a.tool, a.time
),
best AS (
    SELECT *, row_number() OVER (PARTITION BY arguments_hash, tool ORDER BY people DESC, start) AS nth FROM windows
),
together AS (
    SELECT e.arguments_hash, e.tool, min(e.people) AS people, min(e.start) AS first_seen, max(e.time) FILTER (WHERE e.near) AS last_seen, array_agg(e.call_id ORDER BY e.time, e.call_id) FILTER (WHERE e.near) AS call_ids,
           array_agg(DISTINCT e.who) FILTER (WHERE e.near) AS who, CASE WHEN count(DISTINCT e.agent) FILTER (WHERE e.near) = 1 THEN min(e.agent) FILTER (WHERE e.near) END AS agent, CASE WHEN count(DISTINCT e.server) FILTER (WHERE e.near) = 1 THEN min(e.server) FILTER (WHERE e.near) END AS server, coalesce(bool_or(e.grave) FILTER (WHERE e.near), false) AS grave,
           -- Half a day away it is no wave of the same text.
           count(*) FILTER (WHERE e.time < e.start - INTERVAL '12 hours' OR e.time > e.start + INTERVAL '12 hours') >= 2 AS routine
    FROM (SELECT e.*, b.start, b.people, e.time >= b.start AND e.time <= b.start + CAST($within AS INTERVAL) AS near
          FROM effects e JOIN best b ON b.arguments_hash = e.arguments_hash AND b.tool = e.tool AND b.nth = 1) e
    GROUP BY e.arguments_hash, e.tool
)
SELECT agent, server, tool, first_seen, last_seen, array_slice(call_ids, 1, 100) AS call_ids,
       CASE WHEN routine THEN 'low' WHEN people >= 4 OR (people >= 3 AND grave) THEN 'high' ELSE 'medium' END AS level,
       CAST(people AS VARCHAR) || ' users or agents called ' || concat_ws('/', server, tool) || ' with the same arguments: ' || array_to_string(array_slice(array_sort(who), 1, 5), ', ') AS message,
       people, array_slice(array_sort(who), 1, 20) AS who, arguments_hash
FROM together
WHERE people >= 2
