-- id = "definition_speaks_to_model"
-- title = "Tool definition or server instructions give the model orders"
-- level = "high"
-- status = "stable"
-- description = """
--   A tool's description or schema, or a server's instructions, hold what speaks to the model rather than describes: a phrase that overrides
--   other instructions or asks for secrecy, a chat template, a tag that claims authority.
--   high: override, secrecy or chat template in a definition. medium: only a tag that claims authority, or the text stands in the server's instructions,
--   whose place it is to advise. One level more (critical) when another server's tool was called after the tool had been offered and named in it.
--   Every definition is reported once, when it is first offered. Orders in other words are not recognised; see definition_names_other_tool and definition_asks_for_context.
--   """
-- tags = ["owasp.mcp03", "owasp.asi01", "owasp.asi04", "atlas.AML.T0110", "atlas.AML.T0051.001", "attack.T1195.002"]
-- falsepositives = ["servers about prompts and agents, whose descriptions quote such phrases", "descriptions that say when a tool must be called first (medium)"]
-- needs = ["definitions", "tool_lists"]
-- helps = ["connections"]
-- window = "24h"
WITH offered AS (
    SELECT server, tool, definition_hash, min(time) AS at, first_value(session_id ORDER BY time, definition_id) AS session_id, min(description) AS text,
           first_value(markers ORDER BY time, definition_id) AS kinds, false AS by_server
    FROM tool_definitions
    WHERE array_has_any(markers, make_array('override_phrase', 'chat_template', 'pseudo_tag'))
    GROUP BY server, tool, definition_hash
    UNION ALL
    SELECT server, CAST(NULL AS VARCHAR) AS tool, instructions_hash, min(time), first_value(session_id ORDER BY time, identity), min(instructions),
           first_value(markers ORDER BY time, identity), true AS by_server
    FROM connections
    WHERE array_has_any(markers, make_array('override_phrase', 'chat_template', 'pseudo_tag'))
    GROUP BY server, instructions_hash
),
used AS (
    SELECT o.server, o.tool, o.definition_hash, min(o.at) AS at, min(o.session_id) AS session_id, min(o.text) AS text, first_value(o.kinds) AS kinds, bool_or(o.by_server) AS by_server,
           min(c.agent) AS agent,
           coalesce(bool_or(c.method = 'tools/call' AND (c.server IS DISTINCT FROM o.server) AND length(c.tool) >= 5 AND c.time >= o.at AND strpos(o.text, c.tool) > 0), false) AS steered,
           array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE ((c.server IS NOT DISTINCT FROM o.server) AND (c.method IN ('tools/list', 'initialize') OR c.tool = o.tool))
                                                OR (c.method = 'tools/call' AND (c.server IS DISTINCT FROM o.server) AND length(c.tool) >= 5 AND c.time >= o.at AND strpos(o.text, c.tool) > 0)) AS evidence
    FROM offered o
    LEFT JOIN calls c ON c.session_id = o.session_id AND c.event_kind = 'call'
    GROUP BY o.server, o.tool, o.definition_hash
),
graded AS (
    SELECT *, CASE WHEN array_has_any(kinds, make_array('override_phrase', 'chat_template')) AND NOT by_server THEN 3 ELSE 2 END + CASE WHEN steered THEN 1 ELSE 0 END AS grade
    FROM used
)
SELECT session_id, agent, server, tool, at AS first_seen, at AS last_seen,
       coalesce(array_slice(evidence, 1, 50), make_array()) AS call_ids,
       CASE grade WHEN 4 THEN 'critical' WHEN 3 THEN 'high' ELSE 'medium' END AS level,
       CASE WHEN by_server THEN 'the instructions of ' || coalesce(server, 'a server') ELSE 'the definition of ' || concat_ws('/', server, tool) END
           || ' hold ' || array_to_string(kinds, ', ') || CASE WHEN steered THEN ', and a tool of another server that it names was called afterwards' ELSE '' END AS message,
       kinds AS markers, left(text, 500) AS text, definition_hash
FROM graded
