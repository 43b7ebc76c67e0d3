-- id = "definition_names_other_tool"
-- title = "Tool definition tells the model how to use another server's tool"
-- level = "high"
-- status = "stable"
-- description = """
--   A description names a tool of another server of the same agent and says what to do with it: call it before or after, instead of it,
--   change its recipient, pass something along. So a harmless tool steers a powerful one (cross-server shadowing).
--   high: the other tool can send, run, delete, pay or hand out credentials. medium: it cannot. Names that the own server has too
--   and names of one common word are left out.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp06", "owasp.asi04", "owasp.asi01", "atlas.AML.T0110", "attack.T1195.002"]
-- falsepositives = ["a suite of servers of one maker that refer to one another"]
-- needs = ["definitions", "tool_lists"]
-- window = "7d"
WITH named AS (                  -- names that say enough to be meant when they are written, of what was offered or only called
    SELECT server, tool, min(a_session) AS a_session, first_value(capabilities ORDER BY at) AS capabilities
    FROM (SELECT server, tool, min(session_id) AS a_session, first_value(capabilities ORDER BY time, definition_id) AS capabilities, 0 AS at FROM tool_definitions GROUP BY server, tool
          UNION ALL
          SELECT server, tool, min(session_id), first_value(capabilities ORDER BY time, call_id), 1
          FROM calls WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown') GROUP BY server, tool)
    WHERE server IS NOT NULL AND length(tool) >= 6 AND regexp_like(tool, '[a-z0-9][_.-][a-z0-9]|[a-z][A-Z]')
    GROUP BY server, tool
),
texts AS (
    SELECT server, tool, definition_hash, description, min(time) AS at, first_value(session_id ORDER BY time, definition_id) AS session_id
    FROM tool_definitions
    WHERE server IS NOT NULL AND length(description) >= 20
      AND regexp_like(description, '\b(before|after|instead|rather than|when(ever)?|first|always|must|also|in addition|every time|prior to|replace[sd]?|recipient|bcc|forward|use|call|invoke|only (if|when)|needs?|requires?)\b', 'i')
    GROUP BY server, tool, definition_hash, description
),
steers AS (
    SELECT t.server, t.tool, t.definition_hash, min(t.at) AS at, min(t.session_id) AS session_id, min(t.description) AS description,
           array_agg(DISTINCT n.server || '/' || n.tool) AS others, array_agg(DISTINCT n.tool) AS other_tools,
           bool_or(array_has_any(n.capabilities, make_array('egress', 'executes', 'destructive', 'pays', 'credentials'))) AS powerful
    FROM texts t
    JOIN named n ON n.server <> t.server AND strpos(t.description, n.tool) > 0
    -- As a word, and near a word that orders.
    WHERE regexp_like(t.description, '\b(before|after|instead|rather than|when(ever)?|first|always|must|also|in addition|every time|prior to|replaces?|recipient|forward|use|call|calling|invoke)\b([^.]|\.\w){0,80}\b'
                                     || regexp_replace(n.tool, '[^A-Za-z0-9_]', '.', 'g') || '\b|\b' || regexp_replace(n.tool, '[^A-Za-z0-9_]', '.', 'g')
                                     || '\b([^.]|\.\w){0,80}\b(before|after|instead|must|always|first|also|recipient|b?cc|forward|only (if|when))\b', 'i')
      -- The own server has a tool of that name: that one is meant.
      AND NOT EXISTS (SELECT 1 FROM named o WHERE o.server = t.server AND o.tool = n.tool)
    GROUP BY t.server, t.tool, t.definition_hash
),
met AS (                         -- the other server was there in that conversation
    SELECT s.server, s.tool, s.definition_hash, min(s.at) AS at, min(s.session_id) AS session_id, min(s.description) AS description, first_value(s.others) AS others,
           bool_or(s.powerful) AS powerful, min(c.agent) AS agent,
           bool_or(c.server <> s.server AND array_has(s.other_tools, c.tool) AND c.time >= s.at) AS followed,
           array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE (c.server = s.server AND (c.method = 'tools/list' OR c.tool = s.tool)) OR (c.server <> s.server AND array_has(s.other_tools, c.tool))) AS evidence
    FROM steers s
    LEFT JOIN calls c ON c.session_id = s.session_id AND c.event_kind = 'call'
    GROUP BY s.server, s.tool, s.definition_hash
)
SELECT session_id, agent, server, tool, at AS first_seen, at AS last_seen, coalesce(array_slice(evidence, 1, 50), make_array()) AS call_ids,
       CASE WHEN powerful THEN 'high' ELSE 'medium' END AS level,
       'the definition of ' || concat_ws('/', server, tool) || ' says how to use ' || array_to_string(array_slice(array_sort(others), 1, 3), ', ')
           || CASE WHEN coalesce(followed, false) THEN ', which was then called' ELSE '' END AS message,
       array_sort(others) AS others, left(description, 500) AS text, definition_hash
FROM met
