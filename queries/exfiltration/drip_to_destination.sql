-- id = "drip_to_destination"
-- title = "Many small pieces of private content go to one destination"
-- level = "high"
-- status = "test"
-- description = """
--   Pieces of what private sources returned go to one outside destination in many calls, each of them small, so that no single one stands out: over one session or several of
--   one agent.
--   high: `pieces` and more different pieces, none of them large, that make most of what is sent there, from at least two results. medium: half as many, or they are a small part of longer texts. low: so, but most calls
--   send what was sent before: a drip takes something new each time, and the same few things again and again are somebody's daily message.
--   Counts different pieces (by hash). Destinations that the user named, internal ones and ordinary conversations (large, with much text of the agent's own) are left out. Needs payloads.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "owasp.asi10", "atlas.AML.T0086", "attack.T1030", "attack.T1029", "attack.T1020"]
-- falsepositives = ["an agent that files tickets out of mails one by one"]
-- needs = ["arguments", "results"]
-- helps = ["prompts"]
-- window = "7d"
-- params = { pieces = 8, max_piece = 600 }
WITH shell AS (                  -- commands that send, or that ask for an address or a name with the piece in it
    SELECT call_id
    FROM (SELECT call_id, command_text(arguments) AS text
          FROM calls
          WHERE call_id IN (SELECT sink_call_id FROM flows WHERE kind IN ('content', 'value') AND destination IS NOT NULL AND has_capability(sink_capabilities, 'executes')))
    WHERE command_sends(text)
       OR regexp_like(text, '\b(curl|wget|iwr|irm|Invoke-WebRequest|Invoke-RestMethod)\s[^|;&"]*[?&][\w.-]+=|\b(nslookup|dig|host|ping|Resolve-DnsName)\s')
),
steady AS (                      -- enough pieces, none of them large: of these few the rest is counted
    SELECT agent, destination
    FROM (SELECT agent, destination, sum(bytes) AS bytes, least(1.0, sum(sink_share)) AS share
          FROM flows
          WHERE destination IS NOT NULL AND (kind = 'content' OR (kind = 'value' AND first_origin))
            AND array_has_any(source_capabilities, make_array('reads_private', 'credentials')) AND (array_has_any(sink_capabilities, make_array('egress', 'reads_untrusted')) OR sink_call_id IN (SELECT call_id FROM shell))
          GROUP BY agent, destination, sink_call_id)
    GROUP BY agent, destination
    HAVING 2 * count(*) >= $pieces AND max(bytes) <= $max_piece AND avg(share) >= 0.15
),
sent AS (
    SELECT f.agent, f.destination, f.sink_call_id, min(f.session_id) AS session_id, min(f.time) AS time, min(f.sink_server) AS server, min(f.sink_tool) AS tool, sum(f.bytes) AS bytes, least(1.0, sum(f.sink_share)) AS share,
           min(f.value_hash) AS piece, min(f.source_call_id) AS source_call_id, coalesce(bool_or(f.user_named), false) AS user_named
    FROM (SELECT * FROM steady WHERE NOT is_internal_address(destination)) s
    JOIN flows f ON f.destination = s.destination AND f.agent IS NOT DISTINCT FROM s.agent
    WHERE (f.kind = 'content' OR (f.kind = 'value' AND f.first_origin))
      AND array_has_any(f.source_capabilities, make_array('reads_private', 'credentials')) AND (array_has_any(f.sink_capabilities, make_array('egress', 'reads_untrusted')) OR f.sink_call_id IN (SELECT call_id FROM shell))
    GROUP BY f.agent, f.destination, f.sink_call_id
),
said AS (                        -- what only stands in a text is no place that anything goes to
    SELECT call_id, place
    FROM (SELECT o.call_id, o.path, CASE WHEN o.type = 'url' THEN host_of(o.value) ELSE lower(o.value) END AS place
          FROM (SELECT DISTINCT sink_call_id FROM sent) w JOIN observables o ON o.call_id = w.sink_call_id
          WHERE o.origin = 'argument' AND o.type IN ('url', 'domain', 'email'))
    GROUP BY call_id, place
    HAVING bool_and(is_mention(path))
),
streams AS (
    SELECT agent, destination, count(*) AS calls, count(DISTINCT piece) AS pieces, sum(bytes) AS bytes, max(bytes) AS largest, avg(share) AS share, count(DISTINCT source_call_id) AS sources, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, CASE WHEN count(DISTINCT tool) = 1 THEN min(tool) END AS tool,
           min(time) AS first_seen, max(time) AS last_seen, array_agg(sink_call_id ORDER BY time, sink_call_id) AS call_ids, count(DISTINCT session_id) AS sessions, min(session_id) AS session_id,
           bool_or(user_named) AS user_named
    FROM sent s LEFT JOIN said d ON d.call_id = s.sink_call_id AND d.place = lower(s.destination)
    WHERE d.call_id IS NULL
    GROUP BY agent, destination
    HAVING 2 * count(DISTINCT piece) >= $pieces
),
asked AS (
    SELECT s.agent, s.destination, min(s.calls) AS calls, min(s.pieces) AS pieces, min(s.bytes) AS bytes, min(s.largest) AS largest, min(s.share) AS share, min(s.sources) AS sources, min(s.server) AS server, min(s.tool) AS tool,
           min(s.first_seen) AS first_seen, min(s.last_seen) AS last_seen, first_value(s.call_ids) AS call_ids, min(s.sessions) AS sessions, min(s.session_id) AS session_id
    FROM streams s
    LEFT JOIN prompts q ON q.agent = s.agent AND q.time <= s.last_seen AND strpos(lower(q.text), lower(s.destination)) > 0
    GROUP BY s.agent, s.destination
    HAVING count(q.session_id) = 0
)
SELECT agent, CASE WHEN sessions = 1 THEN session_id END AS session_id, server, tool, first_seen, last_seen, array_slice(call_ids, 1, 100) AS call_ids,
       CASE WHEN pieces >= $pieces AND share >= 0.4 AND sources >= 2 THEN 'high' WHEN 2 * pieces >= calls THEN 'medium' ELSE 'low' END AS level,
       CAST(pieces AS VARCHAR) || ' small pieces (' || CAST(bytes AS VARCHAR) || ' bytes) of private content went to ' || destination || ' in ' || CAST(calls AS VARCHAR) || ' calls of ' || CAST(sessions AS VARCHAR) || ' session(s)' AS message,
       destination, pieces, bytes, largest, sessions
FROM asked
WHERE share >= 0.15
