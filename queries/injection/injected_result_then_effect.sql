-- id = "injected_result_then_effect"
-- title = "Result that speaks to the model, then a deletion, payment or command that it names"
-- level = "high"
-- status = "stable"
-- description = """
--   A tool's result held a strong instruction marker, and afterwards the agent deleted, paid, ran something or handed out credentials with a tool that it
--   had not used in the session before. Where data goes out, injected_result_then_egress looks at the destination; this rule is about the other effects.
--   high: the marked result names a value of that call's arguments, or the tool. medium: it does not, but the call follows within three calls of the session.
--   One level less when the user spoke in between, or of testing against injections, and nothing when the user named the value. Weak markers (comments, escapes) do not count here.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp02", "owasp.asi01", "owasp.asi02", "atlas.AML.T0051.001", "atlas.AML.T0053", "attack.T1204"]
-- falsepositives = ["agents that work on prompt injection", "tickets that rightly ask for an action and quote a prompt"]
-- needs = ["results"]
-- helps = ["arguments", "durations", "prompts"]
-- window = "4h"
-- params = { within = "20 minutes", min_length = 4 }
WITH marked AS (                 -- without the texts: those that matter are read at the end
    SELECT call_id, session_id, operation, time, known_at, array_to_string(array_sort(array_agg(kind)), ', ') AS kinds
    FROM (SELECT DISTINCT call_id, session_id, operation, time, known_at, m['kind'] AS kind
          FROM (SELECT call_id, session_id, concat_ws('/', server, tool, mcp_resource_uri) AS operation, time, coalesce(time_end, time) AS known_at, unnest(markers) AS m
                FROM calls
                WHERE array_length(markers) > 0 AND event_kind = 'call' AND method IN ('tools/call', 'resources/read', 'prompts/get') AND NOT has_capability(capabilities, 'executes'))
          WHERE m['origin'] = 'result' AND m['kind'] IN ('override_phrase', 'chat_template', 'pseudo_tag', 'hidden_unicode'))
    GROUP BY call_id, session_id, operation, time, known_at
),
effects AS (                     -- the first use of each such tool in its session
    SELECT session_id, server, tool, first_value(call_id ORDER BY time, call_id) AS call_id, min(time) AS time
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      AND array_has_any(capabilities, make_array('destructive', 'pays', 'executes', 'credentials'))
    GROUP BY session_id, server, tool
),
pair AS (
    SELECT m.call_id AS source_id, m.session_id, m.time AS source_time, m.known_at, m.kinds, m.operation AS source,
           e.call_id AS sink_id, a.agent, e.time AS sink_time, concat_ws('/', e.server, e.tool) AS sink,
           unnest(array_append(json_strings(coalesce(a.arguments, '')), e.tool)) AS value
    FROM marked m
    JOIN effects e ON e.session_id = m.session_id AND e.time > m.known_at AND e.time <= m.known_at + CAST($within AS INTERVAL)
    JOIN calls a ON a.call_id = e.call_id
),
named AS (
    SELECT p.source_id, p.sink_id, min(p.session_id) AS session_id, min(p.agent) AS agent, min(p.source_time) AS source_time, min(p.known_at) AS known_at, min(p.kinds) AS kinds, min(p.source) AS source,
           min(p.sink_time) AS sink_time, min(p.sink) AS sink, min(p.value) FILTER (WHERE length(p.value) BETWEEN $min_length AND 500 AND strpos(t.text, p.value) > 0) AS value
    FROM pair p
    JOIN (SELECT call_id, result_text AS text FROM calls) t ON t.call_id = p.source_id
    GROUP BY p.source_id, p.sink_id
),
between AS (
    SELECT n.source_id, n.sink_id, min(n.session_id) AS session_id, min(n.agent) AS agent, min(n.source_time) AS source_time, min(n.known_at) AS known_at, min(n.kinds) AS kinds, min(n.source) AS source,
           min(n.sink_time) AS sink_time, min(n.sink) AS sink, min(n.value) AS value, count(c.call_id) AS calls_between
    FROM named n
    LEFT JOIN calls c ON c.session_id = n.session_id AND c.event_kind = 'call' AND c.method = 'tools/call' AND c.time > n.source_time AND c.time < n.sink_time AND c.call_id <> n.source_id
    GROUP BY n.source_id, n.sink_id
),
asked AS (
    SELECT b.source_id, b.sink_id, min(b.session_id) AS session_id, min(b.agent) AS agent, min(b.source_time) AS source_time, min(b.kinds) AS kinds, min(b.source) AS source,
           min(b.sink_time) AS sink_time, min(b.sink) AS sink, min(b.value) AS value, min(b.calls_between) AS calls_between,
           coalesce(bool_or(q.time > b.known_at), false) AS spoken, coalesce(bool_or(strpos(lower(q.text), lower(b.value)) > 0), false) AS user_named,
           -- Whoever tests defences reads such texts on purpose.
           coalesce(bool_or(regexp_like(q.text, '\b((prompt[ -]?)?injections? (\w+ )?(test\w*|sample\w*|corpus|filter\w*|detector\w*|classifier\w*|guard\w*|payload\w*)|(prompt[ -]?injection|jailbreak)s?|red[ -]team\w*)\b', 'i')), false) AS testing
    FROM between b
    LEFT JOIN prompts q ON q.session_id = b.session_id AND q.time <= b.sink_time
    GROUP BY b.source_id, b.sink_id
),
best AS (
    SELECT *, CASE WHEN user_named THEN 0 WHEN value IS NOT NULL THEN 3 WHEN calls_between <= 3 THEN 2 ELSE 0 END - CASE WHEN spoken OR testing THEN 1 ELSE 0 END AS grade
    FROM asked
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(source) AS source, min(sink) AS sink, min(value) AS value, min(kinds) AS kinds
    FROM (SELECT *, unnest(make_array(named_struct('id', source_id, 'at', source_time), named_struct('id', sink_id, 'at', sink_time))) AS ev
          FROM (SELECT *, max(grade) OVER (PARTITION BY session_id) AS top FROM best) WHERE grade = top AND grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       'a result of ' || min(source) || ' held ' || array_to_string(array_sort(array_distinct(string_to_array(string_agg(kinds, ', '), ', '))), ', ') || ', then ' || min(sink) || ' was called for the first time'
           || coalesce(' with ' || left(min(value), 120) || ', which that result names', '') AS message,
       array_sort(array_distinct(string_to_array(string_agg(kinds, ', '), ', '))) AS markers, left(min(value), 300) AS value
FROM evidence
GROUP BY session_id
