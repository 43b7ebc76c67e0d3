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
    -- One row counts once a day for its server, once for its agent, and once for each agent that begins to use the tool.
    SELECT *, row_number() OVER (PARTITION BY who, server, day ORDER BY tool) = 1 AS of_server, row_number() OVER (PARTITION BY who ORDER BY day, server, tool) = 1 AS of_agent,
           lag(day) OVER (PARTITION BY who, server, tool ORDER BY day) AS before
    FROM daily
),
counted AS (
    SELECT *, count(*) FILTER (WHERE of_server) OVER (PARTITION BY who, server ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS days,
           count(*) FILTER (WHERE of_agent) OVER (ORDER BY day) AS agents,
           count(*) FILTER (WHERE before IS NULL) OVER (PARTITION BY server, tool ORDER BY day) - CASE WHEN before IS NULL THEN 1 ELSE 0 END AS others
    FROM known
),
fresh AS (
    SELECT * FROM counted
    WHERE (before IS NULL OR before < day - INTERVAL '30 days') AND days >= $min_days
      AND array_has_any(capabilities, make_array('destructive', 'executes', 'pays', 'credentials', 'egress'))
),
did AS (
    SELECT f.who, f.server, f.tool, f.day, f.days, f.agents, f.others, c.call_id, c.session_id, c.agent, c.user_id, c.time, c.approval
    FROM fresh f JOIN calls c ON coalesce(c.agent, c.user_id) = f.who AND c.server = f.server AND c.tool = f.tool AND c.day = f.day
    WHERE f.others < $common * f.agents AND c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome = 'success'
),
tainted AS (
    SELECT session_id, min(time) AS untrusted_at FROM calls
    WHERE has_capability(capabilities, 'reads_untrusted') AND outcome = 'success' AND event_kind = 'call'
    GROUP BY session_id
)
SELECT min(d.agent) AS agent, CASE WHEN min(d.agent) IS NULL THEN min(d.user_id) END AS user_id, d.server, d.tool, min(d.time) AS first_seen, max(d.time) AS last_seen,
       array_slice(array_agg(d.call_id ORDER BY d.time, d.call_id), 1, 10) AS call_ids,
       CASE WHEN min(d.others) > 0 THEN 'low' WHEN bool_or(t.untrusted_at < d.time AND d.approval <> 'user_allowed') THEN 'high' ELSE 'medium' END AS level,
       d.who || ' used ' || d.server || '/' || d.tool || ' for the first time' || CASE WHEN min(d.others) = 0 THEN ', and nobody else had' ELSE '; ' || CAST(min(d.others) AS VARCHAR) || ' of ' || CAST(min(d.agents) AS VARCHAR) || ' agents had' END
           || ' (history of ' || CAST(min(d.days) AS VARCHAR) || ' days)' AS message,
       min(d.days) AS history_days, min(d.others) AS agents_that_used_it, min(d.agents) AS agents
FROM did d LEFT JOIN tainted t ON t.session_id = d.session_id
GROUP BY d.who, d.server, d.tool, d.day
