-- id = "role_outgrown"
-- title = "Agent did a kind of thing that it had never done"
-- level = "medium"
-- status = "test"
-- description = """
--   An agent (or user, where the log names no agent) with weeks of history used a capability for the first time in 30 days: one that only read now
--   deletes, runs commands, pays, handles credentials, sends or writes. Its rights are wider than its work, or its work has changed.
--   high: destroys, runs, pays or handles credentials, after untrusted content in the same session, and no user allowed it. medium: one of these
--   capabilities. low: sends or writes only.
--   Quiet until the agent was seen on min_days earlier days with min_calls calls; the finding says on how many. Works on metadata alone.
--   """
-- tags = ["owasp.mcp02", "owasp.asi03", "owasp.asi10", "atlas.AML.T0053", "attack.T1078", "attack.T1098"]
-- falsepositives = ["an agent that was given a new task"]
-- window = "31d"
-- history = "5d"
-- needs = []
-- helps = ["users", "approvals"]
-- params = { min_days = 5, min_calls = 50 }
WITH daily AS (
    SELECT coalesce(agent, user_id) AS who, day, capabilities, count(*) AS calls
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success' AND day IS NOT NULL AND time_source <> 'file_mtime'
      AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), day, capabilities
),
worked AS (
    SELECT who, day, count(*) OVER past AS days, sum(calls) OVER past AS calls
    FROM (SELECT who, day, sum(calls) AS calls FROM daily GROUP BY who, day)
    WINDOW past AS (PARTITION BY who ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
fresh AS (
    SELECT f.who, f.day, f.capability, w.days, w.calls
    FROM (SELECT *, lag(day) OVER (PARTITION BY who, capability ORDER BY day) AS before
          FROM (SELECT DISTINCT who, day, unnest(capabilities) AS capability FROM daily)) f
    JOIN worked w ON w.who = f.who AND w.day = f.day
    WHERE (f.before IS NULL OR f.before < f.day - INTERVAL '30 days') AND f.capability NOT IN ('reads_private', 'reads_untrusted')
      AND w.days >= $min_days AND w.calls >= $min_calls
),
did AS (
    SELECT f.who, f.day, min(f.days) AS days, min(f.calls) AS calls_before, c.call_id, min(c.session_id) AS session_id, min(c.agent) AS agent, min(c.user_id) AS user_id,
           min(c.server) AS server, min(c.tool) AS tool, min(c.time) AS time, bool_or(f.capability IN ('destructive', 'executes', 'pays', 'credentials')) AS grave,
           bool_or(c.approval = 'user_allowed') AS allowed, array_agg(DISTINCT f.capability ORDER BY f.capability) AS capabilities
    FROM fresh f
    JOIN calls c ON coalesce(c.agent, c.user_id) = f.who AND c.day = f.day
    WHERE array_has(c.capabilities, f.capability) AND c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome = 'success'
    GROUP BY f.who, f.day, c.call_id
),
tainted AS (
    SELECT session_id, min(time) AS untrusted_at FROM calls
    WHERE has_capability(capabilities, 'reads_untrusted') AND outcome = 'success' AND event_kind = 'call'
    GROUP BY session_id
)
SELECT min(d.agent) AS agent, CASE WHEN min(d.agent) IS NULL THEN min(d.user_id) END AS user_id, CASE WHEN count(DISTINCT d.session_id) = 1 THEN min(d.session_id) END AS session_id,
       min(d.time) AS first_seen, max(d.time) AS last_seen, array_slice(array_agg(d.call_id ORDER BY d.time, d.call_id), 1, 20) AS call_ids,
       CASE WHEN bool_or(d.grave AND NOT d.allowed AND t.untrusted_at < d.time) THEN 'high' WHEN bool_or(d.grave) THEN 'medium' ELSE 'low' END AS level,
       d.who || ' did for the first time what is ' || array_to_string(array_sort(array_distinct(flatten(array_agg(d.capabilities)))), ', ') || ', with '
           || concat_ws('/', first_value(d.server ORDER BY d.time, d.call_id), first_value(d.tool ORDER BY d.time, d.call_id))
           || ' (history of ' || CAST(min(d.days) AS VARCHAR) || ' days, ' || CAST(min(d.calls_before) AS VARCHAR) || ' calls)' AS message,
       array_sort(array_distinct(flatten(array_agg(d.capabilities)))) AS new_capabilities, min(d.days) AS history_days, min(d.calls_before) AS history_calls
FROM did d LEFT JOIN tainted t ON t.session_id = d.session_id
GROUP BY d.who, d.day
