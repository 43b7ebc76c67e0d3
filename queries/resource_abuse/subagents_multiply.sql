-- id = "subagents_multiply"
-- title = "Subagents multiply"
-- level = "medium"
-- status = "test"
-- description = """
--   In one conversation many subagents made calls within ten minutes: agents that start agents, without a bound.
--   high: at least many, and two of them made the same call (by hash), so that they do the same work. medium: at least many. low: min_agents.
--   Logs that do not say who is a subagent are silent. Works on metadata alone.
--   """
-- tags = ["owasp.mcp10", "owasp.asi08", "owasp.asi10", "atlas.AML.T0034.002", "atlas.AML.T0103", "attack.T1496"]
-- falsepositives = ["a task that is split over many subagents on purpose"]
-- window = "1h"
-- needs = []
-- helps = ["argument_sizes"]
-- params = { min_agents = 10, many = 25 }
WITH started AS (
    SELECT session_id, coalesce(gen_ai_agent_id, agent) AS subagent, min(time) AS time, min(call_id) AS call_id, count(*) AS calls
    FROM calls
    WHERE agent_is_subagent AND event_kind = 'call'
    GROUP BY session_id, coalesce(gen_ai_agent_id, agent)
),
burst AS (
    SELECT *, count(*) OVER (PARTITION BY session_id ORDER BY time RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW) AS together
    FROM started
),
wide AS (
    SELECT session_id, min(time) AS first_seen, max(time) AS last_seen, count(*) AS subagents, max(together) AS together, sum(calls) AS calls,
           array_agg(call_id ORDER BY time, call_id) AS call_ids
    FROM burst GROUP BY session_id HAVING max(together) >= $min_agents
),
twice AS (
    SELECT c.session_id, count(*) AS same
    FROM (SELECT session_id, arguments_hash, tool FROM calls
          WHERE agent_is_subagent AND session_id IN (SELECT session_id FROM wide) AND arguments_bytes > 12
          GROUP BY session_id, arguments_hash, tool HAVING count(DISTINCT coalesce(gen_ai_agent_id, agent)) > 1) c
    GROUP BY c.session_id
)
SELECT w.session_id, w.first_seen, w.last_seen, array_slice(w.call_ids, 1, 40) AS call_ids,
       CASE WHEN w.together >= $many AND t.same > 0 THEN 'high' WHEN w.together >= $many THEN 'medium' ELSE 'low' END AS level,
       CAST(w.together AS VARCHAR) || ' subagents worked within ten minutes, ' || CAST(w.subagents AS VARCHAR) || ' in all, with ' || CAST(w.calls AS VARCHAR) || ' calls'
           || CASE WHEN t.same > 0 THEN '; ' || CAST(t.same AS VARCHAR) || ' calls were made by several of them' ELSE '' END AS message,
       w.subagents, w.together, coalesce(t.same, 0) AS same_calls
FROM wide w LEFT JOIN twice t ON t.session_id = w.session_id
