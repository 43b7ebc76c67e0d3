-- id = "hidden_text_in_definition"
-- title = "Tool definition holds text that a person does not see"
-- level = "high"
-- status = "stable"
-- description = """
--   A description, schema or a server's instructions hold invisible or disguised text: zero-width and tag characters, direction marks, terminal
--   escapes, HTML comments, or long encoded text that decodes to words.
--   high: invisible characters that are no part of emoji or scripts that need them, terminal escapes, or encoded text with words in it.
--   medium: direction marks. low: an HTML comment of some length. Every definition is reported once, when it is first offered.
--   """
-- tags = ["owasp.mcp03", "owasp.asi04", "owasp.asi01", "atlas.AML.T0110", "atlas.AML.T0068", "attack.T1027"]
-- falsepositives = ["descriptions generated from HTML or Markdown pages (low)"]
-- needs = ["definitions", "tool_lists"]
-- helps = ["connections"]
-- window = "24h"
-- params = { min_encoded = 40 }
WITH offered AS (
    SELECT server, tool, definition_hash, min(time) AS at, first_value(session_id ORDER BY time, definition_id) AS session_id,
           first_value(definition ORDER BY time, definition_id) AS text, first_value(markers ORDER BY time, definition_id) AS kinds, false AS by_server
    FROM tool_definitions
    WHERE array_has_any(markers, make_array('hidden_unicode', 'bidi', 'ansi', 'html_comment')) OR regexp_like(description, '[A-Za-z0-9+/_-]{40}')
    GROUP BY server, tool, definition_hash
    UNION ALL
    SELECT server, CAST(NULL AS VARCHAR) AS tool, instructions_hash, min(time), first_value(session_id ORDER BY time, identity), min(instructions), first_value(markers ORDER BY time, identity), true AS by_server
    FROM connections
    WHERE array_has_any(markers, make_array('hidden_unicode', 'bidi', 'ansi', 'html_comment')) OR regexp_like(instructions, '[A-Za-z0-9+/_-]{40}')
    GROUP BY server, instructions_hash
),
looked AS (
    SELECT *, regexp_replace(text, '^.*?([A-Za-z0-9+/]{40,}={0,2}).*$', '\1', 's') AS run
    FROM offered
),
decoded AS (                     -- a run whose length is a multiple of four can be Base64; words in it can be read
    SELECT *, CASE WHEN run <> text AND octet_length(run) >= $min_encoded AND NOT regexp_like(run, '^[0-9a-fA-F]+$|^[A-Za-z]+$|/.*/.*/')
                   THEN encode(decode(left(rtrim(run, '='), CAST(floor(length(rtrim(run, '=')) / 4) * 4 AS BIGINT)), 'base64'), 'hex') END AS hex
    FROM looked
),
graded AS (
    SELECT *, -- Bytes of printable ASCII throughout, with blanks among them: prose.
           coalesce(regexp_like(hex, '^((0a|0d|09|[2-6][0-9a-f]|7[0-9a-e]){2}|(0a|0d|09|[2-6][0-9a-f]|7[0-9a-e]))+$') AND regexp_like(hex, '^([0-9a-f]{2})*20([0-9a-f]{2})*$'), false) AS encoded
    FROM decoded
),
levelled AS (
    SELECT *, CASE WHEN encoded OR array_has_any(kinds, make_array('hidden_unicode', 'ansi')) THEN 3
                   WHEN array_has(kinds, 'bidi') THEN 2
                   WHEN regexp_like(text, '<!--.{20,}', 's') THEN 1 ELSE 0 END AS grade
    FROM graded
),
used AS (
    SELECT l.server, l.tool, l.definition_hash, min(l.at) AS at, min(l.session_id) AS session_id, min(l.text) AS text, first_value(l.kinds) AS kinds, bool_or(l.by_server) AS by_server,
           bool_or(l.encoded) AS encoded, max(l.grade) AS grade, min(c.agent) AS agent, array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.call_id IS NOT NULL) AS evidence
    FROM levelled l
    LEFT JOIN calls c ON c.session_id = l.session_id AND c.event_kind = 'call' AND (c.server IS NOT DISTINCT FROM l.server) AND (c.method IN ('tools/list', 'initialize') OR c.tool = l.tool)
    WHERE l.grade > 0
    GROUP BY l.server, l.tool, l.definition_hash
)
SELECT session_id, agent, server, tool, at AS first_seen, at AS last_seen, coalesce(array_slice(evidence, 1, 50), make_array()) AS call_ids,
       CASE grade WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       CASE WHEN by_server THEN 'the instructions of ' || coalesce(server, 'a server') ELSE 'the definition of ' || concat_ws('/', server, tool) END
           || ' hide text: ' || concat_ws(', ', nullif(array_to_string(array_intersect(kinds, make_array('hidden_unicode', 'bidi', 'ansi', 'html_comment')), ', '), ''),
                                          CASE WHEN encoded THEN 'encoded words' END) AS message,
       kinds AS markers, left(text, 500) AS text, definition_hash
FROM used
