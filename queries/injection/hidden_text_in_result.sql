-- id = "hidden_text_in_result"
-- title = "Result holds text that a person does not see"
-- level = "low"
-- status = "stable"
-- description = """
--   A result from outside holds invisible characters, direction marks or terminal escapes: text that the model reads and the person at the screen does not.
--   medium: invisible characters or an escape that hides text, together with words that speak to the model. low: invisible characters alone, from content that
--   others wrote. One level more when the session had a side effect with another server within `within` afterwards, that is, at most high.
--   Coloured output of commands and the zero-width joiners of emoji and of scripts that need them are none. What was done because of it: order_carried_out.
--   """
-- tags = ["owasp.mcp06", "owasp.asi01", "atlas.AML.T0068", "atlas.AML.T0051.001", "attack.T1027"]
-- falsepositives = ["web pages with soft hyphens and zero-width spaces as line-break hints (low)"]
-- needs = ["results"]
-- helps = ["durations"]
-- window = "4h"
-- params = { within = "30 minutes" }
WITH marked AS (
    SELECT call_id, session_id, agent, server, tool, time, known_at, array_to_string(array_sort(array_agg(kind)), ', ') AS kinds,
           bool_or(kind IN ('override_phrase', 'chat_template', 'pseudo_tag')) AS speaks
    FROM (SELECT DISTINCT call_id, session_id, agent, server, tool, time, known_at, m['kind'] AS kind
          FROM (SELECT call_id, session_id, agent, server, tool, time, coalesce(time_end, time) AS known_at, unnest(markers) AS m
          FROM calls
          WHERE array_length(markers) > 0 AND event_kind = 'call' AND method IN ('tools/call', 'resources/read', 'prompts/get')
            AND has_capability(capabilities, 'reads_untrusted') AND NOT has_capability(capabilities, 'executes'))
          WHERE m['origin'] = 'result')
    GROUP BY call_id, session_id, agent, server, tool, time, known_at
    HAVING bool_or(kind IN ('hidden_unicode', 'bidi', 'ansi'))
),
followed AS (
    SELECT m.call_id, min(m.session_id) AS session_id, min(m.agent) AS agent, min(m.server) AS server, min(m.tool) AS tool, min(m.time) AS time, min(m.kinds) AS kinds, bool_or(m.speaks) AS speaks,
           first_value(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.call_id IS NOT NULL) AS effect, min(c.time) AS effect_at
    FROM marked m
    LEFT JOIN calls c ON m.speaks AND c.session_id = m.session_id AND c.time > m.known_at AND c.time <= m.known_at + CAST($within AS INTERVAL) AND c.event_kind = 'call' AND c.method = 'tools/call'
         AND c.outcome IN ('success', 'unknown') AND c.server <> m.server AND array_has_any(c.capabilities, make_array('egress', 'destructive', 'pays', 'executes', 'writes'))
    GROUP BY m.call_id
),
graded AS (
    SELECT *, CASE WHEN speaks AND regexp_like(kinds, 'hidden_unicode|ansi') THEN 2 WHEN strpos(kinds, 'hidden_unicode') > 0 OR speaks THEN 1 ELSE 0 END
              + CASE WHEN speaks AND effect IS NOT NULL THEN 1 ELSE 0 END AS grade
    FROM followed
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(kinds) AS kinds,
           bool_or(effect IS NOT NULL AND speaks) AS effect
    FROM (SELECT *, unnest(CASE WHEN effect IS NOT NULL AND speaks THEN make_array(named_struct('id', call_id, 'at', time), named_struct('id', effect, 'at', effect_at)) ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev
          FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       'a result of ' || min(concat_ws('/', server, tool)) || ' hides text: ' || array_to_string(array_sort(array_distinct(string_to_array(string_agg(kinds, ', '), ', '))), ', ')
           || CASE WHEN bool_or(effect) THEN '; another server''s tool was used for a side effect afterwards' ELSE '' END AS message,
       array_sort(array_distinct(string_to_array(string_agg(kinds, ', '), ', '))) AS markers
FROM evidence
GROUP BY session_id
