-- id = "new_destination"
-- title = "Data sent to a place to which nobody had sent before"
-- level = "low"
-- status = "test"
-- description = """
--   An agent that sends to few places sent to one that it had not used in 30 days: the site, mail domain or address in the arguments of a tool that
--   can send data out.
--   high: no agent of the fleet had sent there, private data or a secret was read in the session before, untrusted content too, and it went without the user's permission. medium: nobody
--   had sent there, and private data was read before. low: nobody had, or fewer than common of the agents.
--   Quiet until the agent had sent on min_days earlier days, and for agents that meet new places on more than every third day. The finding says how many days
--   there were. Tools that read the web (fetch, browse) do not count, nor do internal addresses, nor places that the user's prompt names.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0025", "atlas.AML.T0086", "attack.T1567", "attack.T1041"]
-- falsepositives = ["a new customer or partner"]
-- window = "31d"
-- history = "5d"
-- needs = ["arguments"]
-- helps = ["users", "prompts", "approvals"]
-- params = { min_days = 5, common = 0.2, known = [] }
WITH sender AS (
    SELECT DISTINCT session_id, tool, coalesce(agent, user_id) AS who
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success' AND has_capability(capabilities, 'egress') AND NOT has_capability(capabilities, 'reads_untrusted')
      AND NOT has_capability(capabilities, 'executes') AND coalesce(agent, user_id) IS NOT NULL AND day IS NOT NULL
),
sent AS (
    SELECT s.who, o.day, CASE o.type WHEN 'url' THEN registrable_domain(host_of(o.value)) WHEN 'email' THEN split_part(lower(o.value), '@', 2) WHEN 'domain' THEN registrable_domain(lower(o.value)) ELSE lower(o.value) END AS place,
           array_agg(DISTINCT o.call_id) AS ids
    FROM observables o
    JOIN sender s ON s.session_id = o.session_id AND s.tool = o.tool
    WHERE o.origin = 'argument' AND o.type IN ('url', 'email', 'domain', 'ip') AND o.day IS NOT NULL
      -- What a text mentions, and what is attached, is no place that data goes to.
      AND NOT is_mention(o.path)
      AND NOT (o.type <> 'email' AND is_internal_address(o.value))
    GROUP BY s.who, o.day, CASE o.type WHEN 'url' THEN registrable_domain(host_of(o.value)) WHEN 'email' THEN split_part(lower(o.value), '@', 2) WHEN 'domain' THEN registrable_domain(lower(o.value)) ELSE lower(o.value) END
),
known AS (
    SELECT *, lag(day) OVER (PARTITION BY who, place ORDER BY day) AS before, row_number() OVER (PARTITION BY who, day ORDER BY place) = 1 AS of_day FROM sent
),
history AS (
    SELECT *, count(*) FILTER (WHERE of_day) OVER past AS days, count(*) FILTER (WHERE before IS NULL) OVER past AS new_places,
           count(*) OVER (PARTITION BY place ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW)
             - count(*) OVER (PARTITION BY who, place ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW) AS days_of_others
    FROM known
    WINDOW past AS (PARTITION BY who ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
odd AS (
    -- Places of the first days are all new; what is allowed is one more than every third day.
    SELECT who, day, place, days_of_others, days, unnest(array_slice(ids, 1, 100)) AS call_id
    FROM history
    WHERE (before IS NULL OR before < day - INTERVAL '30 days') AND days >= $min_days AND 3 * new_places <= 2 * days + 3 AND days_of_others < $common * days AND NOT array_has($known, place)
),
call AS (
    SELECT o.who, o.day, o.place, o.days_of_others, o.days, c.call_id, c.session_id, c.agent, c.user_id, c.server, c.tool, c.time, c.arguments_bytes, c.approval
    FROM odd o JOIN calls c ON c.call_id = o.call_id
    WHERE c.event_kind = 'call' AND c.outcome = 'success'
),
session AS (
    SELECT session_id, min(time) FILTER (WHERE has_capability(capabilities, 'reads_private')) AS private_at, min(time) FILTER (WHERE has_capability(capabilities, 'reads_untrusted')) AS untrusted_at
    FROM calls WHERE outcome = 'success' AND event_kind = 'call' AND array_has_any(capabilities, make_array('reads_private', 'reads_untrusted')) GROUP BY session_id
),
named AS (
    SELECT k.call_id, k.place, min(k.who) AS who, min(k.day) AS day, min(k.days_of_others) AS days_of_others, min(k.days) AS days, min(k.session_id) AS session_id, min(k.agent) AS agent, min(k.user_id) AS user_id,
           min(k.server) AS server, min(k.tool) AS tool, min(k.time) AS time, max(k.arguments_bytes) AS arguments_bytes, min(k.approval) AS approval,
           coalesce(bool_or(s.private_at < k.time), false) AS private, coalesce(bool_or(s.untrusted_at < k.time), false) AS untrusted
    FROM call k
    LEFT JOIN session s ON s.session_id = k.session_id
    LEFT JOIN prompts q ON q.session_id = k.session_id AND q.time <= k.time AND strpos(lower(q.text), k.place) > 0
    GROUP BY k.call_id, k.place
    HAVING count(q.session_id) = 0
)
SELECT min(k.agent) AS agent, CASE WHEN min(k.agent) IS NULL THEN min(k.user_id) END AS user_id, CASE WHEN count(DISTINCT k.session_id) = 1 THEN min(k.session_id) END AS session_id,
       min(k.time) AS first_seen, max(k.time) AS last_seen, array_slice(array_agg(DISTINCT k.call_id ORDER BY k.call_id), 1, 20) AS call_ids,
       CASE WHEN min(k.days_of_others) > 0 THEN 'low' WHEN bool_or(k.private AND k.untrusted AND k.approval <> 'user_allowed') THEN 'high' WHEN bool_or(k.private) THEN 'medium' ELSE 'low' END AS level,
       k.who || ' sent with ' || min(concat_ws('/', k.server, k.tool)) || ' to ' || k.place || ', where ' || CASE WHEN min(k.days_of_others) = 0 THEN 'nobody' ELSE 'it' END || ' had sent before (history of ' || CAST(min(k.days) AS VARCHAR) || ' days)' AS message,
       k.place AS destination, min(k.days) AS history_days, max(k.arguments_bytes) AS largest_bytes
FROM named k
GROUP BY k.who, k.day, k.place
