-- id = "sensitive_tool_first_used"
-- title = "Sensitive tool used for the first time by this agent, and by hardly anybody"
-- level = "low"
-- status = "test"
-- description = """
--   An agent that knows a server well called one of its tools for the first time in 30 days, and the tool destroys, runs commands, pays, sends or handles
--   credentials. Weighted by how many agents use it.
--   high: nobody had used it, untrusted content was read in the session before, and no user allowed the call. medium: nobody had used it. low: fewer than
--   common of the agents. Quiet until the agent has used the server on min_days earlier days; the finding says on how many. Works on metadata alone.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "owasp.asi03", "atlas.AML.T0053", "atlas.AML.T0085.001", "attack.T1078"]
-- falsepositives = ["rare but regular work, such as a monthly clean-up"]
-- window = "31d"
-- history = "5d"
-- needs = []
-- helps = ["users", "approvals"]
-- params = { min_days = 5, common = 0.2 }
WITH daily AS (
    SELECT coalesce(agent, user_id) AS who, server, tool, day, min(capabilities) AS capabilities
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome = 'success' AND day IS NOT NULL AND time_source <> 'file_mtime'
      AND tool IS NOT NULL AND server IS NOT NULL AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), server, tool, day
),
known AS (
    SELECT who, server, day, count(*) OVER (PARTITION BY who, server ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS days
    FROM (SELECT DISTINCT who, server, day FROM daily)
),
agents AS (
    SELECT d.day, count(DISTINCT p.who) AS agents FROM (SELECT DISTINCT day FROM daily) d
    JOIN (SELECT DISTINCT who, day FROM daily) p ON p.day <= d.day AND p.day >= d.day - INTERVAL '30 days' GROUP BY d.day
),
fresh AS (
    SELECT f.who, f.server, f.tool, f.day, min(k.days) AS days, min(a.agents) AS agents, count(DISTINCT p.who) AS others
    FROM (SELECT *, lag(day) OVER (PARTITION BY who, server, tool ORDER BY day) AS before FROM daily) f
    JOIN known k ON k.who = f.who AND k.server = f.server AND k.day = f.day
    JOIN agents a ON a.day = f.day
    LEFT JOIN daily p ON p.server = f.server AND p.tool = f.tool AND p.who <> f.who AND p.day <= f.day AND p.day >= f.day - INTERVAL '30 days'
    WHERE (f.before IS NULL OR f.before < f.day - INTERVAL '30 days') AND k.days >= $min_days
      AND array_has_any(f.capabilities, make_array('destructive', 'executes', 'pays', 'credentials', 'egress'))
    GROUP BY f.who, f.server, f.tool, f.day
),
did AS (
    SELECT f.who, f.server, f.tool, f.day, f.days, f.agents, f.others, c.call_id, c.session_id, c.agent, c.user_id, c.time, c.approval
    FROM fresh f JOIN calls c ON coalesce(c.agent, c.user_id) = f.who AND c.server = f.server AND c.tool = f.tool AND c.day = f.day
    WHERE f.others < $common * f.agents AND c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome = 'success'
),
tainted AS (
    SELECT c.session_id, min(c.time) AS untrusted_at FROM calls c
    WHERE c.session_id IN (SELECT session_id FROM did) AND has_capability(c.capabilities, 'reads_untrusted') AND c.outcome = 'success'
    GROUP BY c.session_id
)
SELECT min(d.agent) AS agent, CASE WHEN min(d.agent) IS NULL THEN min(d.user_id) END AS user_id, d.server, d.tool, min(d.time) AS first_seen, max(d.time) AS last_seen,
       array_slice(array_agg(d.call_id ORDER BY d.time, d.call_id), 1, 10) AS call_ids,
       CASE WHEN min(d.others) > 0 THEN 'low' WHEN bool_or(t.untrusted_at < d.time AND d.approval <> 'user_allowed') THEN 'high' ELSE 'medium' END AS level,
       d.who || ' used ' || d.server || '/' || d.tool || ' for the first time' || CASE WHEN min(d.others) = 0 THEN ', and nobody else had' ELSE '; ' || CAST(min(d.others) AS VARCHAR) || ' of ' || CAST(min(d.agents) AS VARCHAR) || ' agents had' END
           || ' (history of ' || CAST(min(d.days) AS VARCHAR) || ' days)' AS message,
       min(d.days) AS history_days, min(d.others) AS agents_that_used_it, min(d.agents) AS agents
FROM did d LEFT JOIN tainted t ON t.session_id = d.session_id
GROUP BY d.who, d.server, d.tool, d.day
