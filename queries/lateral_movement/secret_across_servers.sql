-- id = "secret_across_servers"
-- title = "A secret seen at one server is handed to another server"
-- level = "high"
-- status = "stable"
-- description = """
--   The same secret (same fingerprint) was first seen in the traffic of one server and later stands in the arguments of a call to
--   another server of the same session: credential relay, or a secret on its way out.
--   high: it came out of a result and goes to a tool that can send data out. medium: it came out of a result, or it was given to
--   one server and then to a tool of another one that can send data out. low: given to two servers, or handed out by a tool whose
--   work is to hand out credentials, or put into the file where such things lie (.env). A secret that the user typed into the prompt counts one level less.
--   What is typed into a page of the own machine or network (a login that is tested) goes to no other server.
--   A link that is made for handing on (signed download, share, invitation) is none. Two aliases of one server (same serverInfo name) are one server. Needs no stored payload, only fingerprints.
--   """
-- tags = ["owasp.mcp01", "owasp.mcp10", "owasp.asi03", "atlas.AML.T0091.000", "atlas.AML.T0086", "attack.T1550.001"]
-- falsepositives = ["a vault server that supplies a deploy server (low)", "one service account used for two servers that belong together"]
-- window = "24h"
-- params = { within = "24 hours" }
-- needs = ["arguments", "results"]
-- helps = ["durations", "connections", "prompts"]
WITH link AS (SELECT DISTINCT call_id, origin, secret FROM link_signatures),   -- as a step: computed once for all rules
seen AS (
    SELECT o.session_id, o.value AS secret, o.origin, o.call_id, c.agent, c.server, c.server_info_name, c.tool, c.time, c.capabilities,
           CASE o.origin WHEN 'result' THEN coalesce(c.time_end, c.time) ELSE c.time END AS seen_at,
           CASE o.origin WHEN 'result' THEN coalesce(c.response_offset, c.source_offset) ELSE c.source_offset END AS place_in_file,
           c.source_file
    FROM observables o JOIN calls c ON c.call_id = o.call_id
    WHERE o.type = 'secret' AND c.event_kind = 'call' AND c.server IS NOT NULL
      AND c.outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      AND (o.origin = 'result' OR NOT EXISTS (SELECT 1 FROM link l WHERE l.call_id = o.call_id AND l.origin = o.origin AND l.secret = o.value))
),
moved AS (
    SELECT *, first_value(call_id) OVER first AS from_call, first_value(time) OVER first AS from_time,
           first_value(seen_at) OVER first AS from_seen_at, first_value(place_in_file) OVER first AS from_place,
           first_value(source_file) OVER first AS from_file, first_value(server) OVER first AS from_server,
           first_value(server_info_name) OVER first AS from_info, first_value(tool) OVER first AS from_tool,
           first_value(origin) OVER first AS from_origin, first_value(capabilities) OVER first AS from_capabilities
    FROM seen
    WINDOW first AS (PARTITION BY session_id, secret ORDER BY seen_at, place_in_file, origin DESC, call_id)
),
place AS (                       -- the file of a writing tool in which secrets customarily lie
    SELECT DISTINCT call_id FROM observables WHERE type = 'file_path' AND origin = 'argument' AND is_credential_path(value) AND regexp_like(path, '(path|file|file_?name|uri|target)$', 'i')
),
own_page AS (                    -- the page that is open is one of the own machine or network
    SELECT k.call_id
    FROM (SELECT DISTINCT call_id, session_id, server, time FROM moved WHERE origin = 'argument' AND regexp_like(tool, 'fill|type|form|input|press', 'i')) k
    JOIN observables p ON p.session_id = k.session_id AND p.server = k.server AND p.time < k.time
    WHERE p.origin = 'argument' AND p.type = 'url'
    GROUP BY k.call_id
    HAVING coalesce(last_value(is_internal_address(p.value) ORDER BY p.time), false)
),
handed AS (
    SELECT m.*,
           CASE WHEN f.call_id IS NOT NULL AND NOT array_has_any(m.capabilities, make_array('egress', 'executes')) THEN -1 ELSE 0 END +
           CASE WHEN from_origin = 'result' THEN 2 ELSE 1 END
           + CASE WHEN has_capability(capabilities, 'egress') AND NOT has_capability(capabilities, 'executes') THEN 1 ELSE 0 END
           - CASE WHEN from_origin = 'result' AND has_capability(from_capabilities, 'credentials')
                       AND NOT has_capability(capabilities, 'egress') THEN 1 ELSE 0 END AS grade
    FROM moved m
    LEFT JOIN place f ON f.call_id = m.call_id
    LEFT JOIN own_page w ON w.call_id = m.call_id
    WHERE w.call_id IS NULL AND origin = 'argument' AND server <> from_server
      AND (server_info_name IS NULL OR from_info IS NULL OR server_info_name <> from_info)
      AND (seen_at > from_seen_at OR (seen_at = from_seen_at AND source_file = from_file AND place_in_file > from_place))
      AND seen_at <= from_seen_at + CAST($within AS INTERVAL)
),
asked AS (
    SELECT h.session_id, h.from_server, h.server, h.secret, h.call_id, h.from_call, min(h.agent) AS agent, min(h.from_time) AS from_time,
           min(h.time) AS time, min(h.from_tool) AS from_tool, min(h.tool) AS tool, min(h.from_origin) AS from_origin,
           max(h.grade) - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM handed h
    LEFT JOIN prompts q ON q.session_id = h.session_id AND q.time <= h.from_seen_at AND strpos(q.text, h.secret) > 0
    GROUP BY h.session_id, h.from_server, h.server, h.secret, h.call_id, h.from_call
),
evidence AS (
    SELECT session_id, from_server, server, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent,
           min(secret) AS secret, array_agg(secret) AS secrets, min(from_tool) AS from_tool, min(tool) AS tool, min(from_origin) AS from_origin
    FROM (SELECT *, unnest(make_array(named_struct('id', from_call, 'at', from_time), named_struct('id', call_id, 'at', time))) AS ev
          FROM asked WHERE grade > 0)
    GROUP BY session_id, from_server, server, ev['id']
)
SELECT session_id, min(agent) AS agent, server, min(at) AS first_seen, max(at) AS last_seen,
       array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(secret) || ' seen in ' || CASE min(from_origin) WHEN 'result' THEN 'a result' ELSE 'an argument' END || ' of '
           || concat_ws('/', from_server, min(from_tool)) || ' was handed to ' || concat_ws('/', server, min(tool)) AS message,
       from_server, array_length(array_distinct(flatten(array_agg(secrets)))) AS secrets
FROM evidence
GROUP BY session_id, from_server, server
