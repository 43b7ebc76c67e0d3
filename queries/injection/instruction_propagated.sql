-- id = "instruction_propagated"
-- title = "Agent writes text that speaks to a model where other agents or people will read it"
-- level = "high"
-- status = "stable"
-- description = """
--   An argument that goes into an issue, mail, page, file, memory or ticket holds strong instruction markers: the agent spreads an injection, or plants one.
--   high: a result of the session held markers of the same kind before, so that it is passed on. medium: it goes to others (mail, chat, issue, page) or into a memory and the
--   user said nothing of prompts. low: into a file, or the user spoke of prompts. Files of prompts, tests, instructions and agents' settings are left out.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp10", "owasp.asi07", "owasp.asi06", "atlas.AML.T0061", "atlas.AML.T0093", "attack.T1534"]
-- falsepositives = ["writing about prompt injection", "agents that write prompts for agents", "quoting a mail in an answer (high only with markers)"]
-- needs = ["arguments"]
-- helps = ["durations", "prompts", "results"]
-- window = "4h"
WITH marked AS (
    SELECT call_id, session_id, agent, server, tool, time, time_end, capabilities, event_kind, method, outcome, unnest(markers)['kind'] AS kind, unnest(markers)['origin'] AS origin
    FROM calls
    WHERE array_length(markers) > 0 AND event_kind = 'call' AND method IN ('tools/call', 'resources/read', 'prompts/get')
),
written AS (
    SELECT m.call_id, min(m.session_id) AS session_id, min(m.agent) AS agent, min(m.server) AS server, min(m.tool) AS tool, min(m.time) AS time, array_agg(DISTINCT m.kind) AS kinds,
           bool_or(has_capability(m.capabilities, 'egress') OR regexp_like(m.tool, 'memor|remember|knowledge|note|entit|observation', 'i') OR regexp_like(m.server, 'memory', 'i')) AS to_others
    FROM marked m
    WHERE m.origin = 'argument' AND m.kind IN ('override_phrase', 'chat_template', 'pseudo_tag', 'hidden_unicode') AND m.method = 'tools/call' AND m.outcome IN ('success', 'unknown', 'no_response')
      AND array_has_any(m.capabilities, make_array('writes', 'egress')) AND NOT array_has_any(m.capabilities, make_array('executes', 'reads_untrusted'))
    GROUP BY m.call_id
),
files AS (                       -- where such text belongs
    SELECT DISTINCT call_id FROM observables
    WHERE origin = 'argument' AND type = 'file_path' AND regexp_like(value, 'prompt|test|spec|fixture|inject|jailbreak|CLAUDE\.md|AGENTS\.md|GEMINI\.md|\.cursor|\.claude|instructions|rules|skill|agent|eval', 'i')
      AND regexp_like(path, '(path|file|name|uri)[^/]*$', 'i')
),
passed_on AS (
    SELECT w.call_id, min(w.session_id) AS session_id, min(w.agent) AS agent, min(w.server) AS server, min(w.tool) AS tool, min(w.time) AS time, first_value(w.kinds) AS kinds, bool_or(w.to_others) AS to_others,
           first_value(named_struct('id', s.call_id, 'at', s.time) ORDER BY s.time, s.call_id) FILTER (WHERE s.call_id IS NOT NULL) AS source
    FROM written w
    LEFT JOIN marked s ON s.session_id = w.session_id AND s.origin = 'result' AND coalesce(s.time_end, s.time) < w.time AND s.call_id <> w.call_id AND array_has(w.kinds, s.kind)
         AND s.kind IN ('override_phrase', 'chat_template', 'pseudo_tag', 'hidden_unicode')
    WHERE w.call_id NOT IN (SELECT call_id FROM files)
    GROUP BY w.call_id
),
graded AS (
    SELECT p.call_id, min(p.session_id) AS session_id, min(p.agent) AS agent, min(p.server) AS server, min(p.tool) AS tool, min(p.time) AS time, first_value(p.kinds) AS kinds, first_value(p.source) AS source,
           CASE WHEN count(q.session_id) > 0 THEN 1 WHEN first_value(p.source) IS NOT NULL THEN 3 WHEN bool_or(p.to_others) THEN 2 ELSE 1 END AS grade
    FROM passed_on p
    LEFT JOIN prompts q ON q.session_id = p.session_id AND q.time <= p.time AND regexp_like(q.text, 'prompt|inject|jailbreak|instruction|system message|red.?team', 'i')
    GROUP BY p.call_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, first_value(kinds) AS kinds, bool_or(source IS NOT NULL) AS passed
    FROM (SELECT *, unnest(CASE WHEN source IS NOT NULL THEN make_array(source, named_struct('id', call_id, 'at', time)) ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev FROM graded)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' wrote text that speaks to a model (' || array_to_string(array_sort(array_distinct(flatten(array_agg(kinds)))), ', ') || ')'
           || CASE WHEN bool_or(passed) THEN ', as a result had held before' ELSE '' END AS message,
       array_sort(array_distinct(flatten(array_agg(kinds)))) AS markers
FROM evidence
GROUP BY session_id
