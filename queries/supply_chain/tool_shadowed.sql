-- id = "tool_shadowed"
-- title = "Two servers offer the same tool name to one agent"
-- level = "medium"
-- status = "test"
-- description = """
--   In one conversation, or in overlapping connections of one client, a server offers a tool that another server offers already.
--   The model may call the wrong one. The server that was seen later is reported.
--   high: the later definition also holds instruction markers. medium: it copies the earlier description, or the tool was in use at
--   the earlier server and has now been called at the later one, or a server with another serverInfo name copies most of the tools.
--   low: only the name is the same, and the name is of more than one word (search, query, fetch and the like collide by chance).
--   Aliases of one server are not reported: same serverInfo name, or nothing known of it and the same set of tools.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp09", "owasp.asi04", "atlas.AML.T0074", "atlas.AML.T0110", "attack.T1036"]
-- falsepositives = ["two servers for similar products (two code hosts, two databases)", "a gateway that is configured beside the server behind it"]
-- window = "7d"
-- params = { newcomer_after = "1 hour", twin_share = 0.8 }
-- needs = ["tool_lists"]
-- helps = ["users", "durations", "definitions", "connections", "client_addresses"]
WITH common AS (
    SELECT tool FROM tool_definitions WHERE server IS NOT NULL GROUP BY tool HAVING min(server) <> max(server)
),
list AS (
    SELECT session, server, count(*) AS tools_of_server
    FROM (SELECT DISTINCT coalesce(session_id, '') AS session, server, tool FROM tool_definitions WHERE server IS NOT NULL)
    GROUP BY session, server
),
known AS (
    SELECT server, min(time) AS server_first FROM tool_definitions WHERE server IS NOT NULL GROUP BY server
),
offered AS (                     -- without the descriptions, which are large: a hash of them is compared
    SELECT d.session_id, d.server, d.tool, min(d.time) AS offered_at, max(d.definition_hash) FILTER (WHERE NOT d.name_only) AS hash,
           max(CASE WHEN length(d.description) >= 20 THEN md5(d.description) END) FILTER (WHERE NOT d.name_only) AS description, coalesce(max(array_length(d.markers)), 0) AS markers
    FROM common k
    JOIN tool_definitions d ON d.tool = k.tool
    WHERE d.server IS NOT NULL
    GROUP BY d.session_id, d.server, d.tool
),
connection AS (
    SELECT session_id, server, min(agent) AS agent, min(server_info_name) AS info, min(time) AS start_time,
           max(coalesce(time_end, time)) AS end_time,
           -- Conversations hold all their servers. Connections belong together when client, user, machine and log folder agree.
           CASE WHEN min(session_source) IN ('connection', 'file')
                  OR (min(session_source) = 'mcp_session' AND coalesce(min(user_id), min(client_address), min(host_name)) IS NOT NULL)
                THEN concat_ws('|', min(agent), min(client_name), min(user_id), min(host_name), min(client_address),
                               regexp_replace(min(source_file), '[^/\\]*$', ''))
                ELSE session_id END AS owner
    FROM calls WHERE server IS NOT NULL GROUP BY session_id, server
),
at_owner AS (
    SELECT coalesce(c.owner, o.session_id, '') AS owner, o.tool, o.server,
           min(o.offered_at) AS offered_at, least(min(o.offered_at), min(c.start_time)) AS start_time,
           greatest(max(o.offered_at), max(c.end_time)) AS end_time,
           first_value(o.session_id ORDER BY o.offered_at, o.session_id) AS session_id, min(c.agent) AS agent, min(c.info) AS info,
           max(o.hash) AS hash, max(o.description) AS description, max(o.markers) AS markers, max(l.tools_of_server) AS tools_of_server,
           min(n.server_first) AS server_first
    FROM offered o
    JOIN known n ON n.server = o.server
    LEFT JOIN list l ON l.server = o.server AND l.session = coalesce(o.session_id, '')
    LEFT JOIN connection c ON c.session_id = o.session_id AND c.server = o.server
    GROUP BY coalesce(c.owner, o.session_id, ''), o.tool, o.server
),
beside AS (
    SELECT n.*, o.server AS old_server, o.session_id AS old_session, o.info AS old_info, o.hash AS old_hash, o.description AS old_description, o.end_time AS old_end,
           o.start_time AS old_start, o.tools_of_server AS old_tools_of_server, o.server_first AS old_server_first
    FROM (SELECT owner, tool, first_value(server ORDER BY server_first, offered_at, server) AS server
          FROM at_owner GROUP BY owner, tool HAVING min(server) <> max(server)) f
    JOIN at_owner o ON o.tool = f.tool AND o.server = f.server AND o.owner = f.owner
    JOIN at_owner n ON n.tool = f.tool AND n.server <> f.server AND n.owner = f.owner
),
pair AS (
    SELECT *, count(*) OVER (PARTITION BY owner, old_server, server) AS shared_tools,
           coalesce(info = old_info, false) AS same_info, coalesce(info <> old_info, false) AS other_info,
           server_first > old_server_first + CAST($newcomer_after AS INTERVAL) AS newcomer
    FROM beside
    WHERE server <> old_server AND start_time <= old_end AND old_start <= end_time
),
distinct_servers AS (
    SELECT *, shared_tools >= $twin_share * greatest(tools_of_server, old_tools_of_server) AS same_tools
    FROM pair
    WHERE NOT same_info
      AND (other_info OR shared_tools < $twin_share * greatest(tools_of_server, old_tools_of_server)
           OR greatest(tools_of_server, old_tools_of_server) = 1)
),
side AS (
    SELECT *, unnest(make_array(named_struct('session', old_session, 'server', old_server), named_struct('session', session_id, 'server', server))) AS s
    FROM distinct_servers
),
used AS (
    SELECT s.owner, s.tool, s.server, s.old_server, min(s.session_id) AS session_id, min(s.agent) AS agent, min(s.offered_at) AS offered_at,
           bool_or(s.newcomer) AS newcomer, bool_or(s.same_tools AND s.other_info) AS cloned, max(s.markers) AS markers,
           bool_or(s.hash = s.old_hash OR s.description = s.old_description) AS copied,
           min(c.time) FILTER (WHERE c.server = s.old_server AND c.method = 'tools/call') AS used_old,
           max(c.time) FILTER (WHERE c.server = s.server AND c.method = 'tools/call') AS used_new,
           array_agg(named_struct('id', c.call_id, 'at', c.time)) FILTER (WHERE c.call_id IS NOT NULL) AS evs
    FROM side s
    LEFT JOIN calls c ON c.session_id = s.s['session'] AND c.server = s.s['server'] AND c.event_kind = 'call'
         AND (c.tool = s.tool OR c.method = 'tools/list')
    GROUP BY s.owner, s.tool, s.server, s.old_server
),
graded AS (
    SELECT *, CASE WHEN markers > 0 THEN 3
                   WHEN copied OR cloned OR (newcomer AND used_new > used_old) THEN 2
                   WHEN regexp_like(tool, '[a-z0-9][_.-][a-z0-9]|[a-z][A-Z]') THEN 1
                   ELSE 0 END AS grade
    FROM used
),
text AS (
    SELECT server, tool, max(description) AS description FROM tool_definitions WHERE NOT name_only GROUP BY server, tool
),
shown AS (
    SELECT g.*, n.description AS new_text, o.description AS old_text
    FROM graded g
    LEFT JOIN text n ON n.server = g.server AND n.tool = g.tool
    LEFT JOIN text o ON o.server = g.old_server AND o.tool = g.tool
    WHERE g.grade > 0
),
evidence AS (
    SELECT owner, server, old_server, ev['id'] AS call_id, min(ev['at']) AS at, min(session_id) AS session_id, min(agent) AS agent,
           min(offered_at) AS offered_at, max(grade) AS grade, array_agg(DISTINCT tool) AS tools, bool_or(copied) AS copied,
           bool_or(used_new > used_old) AS switched, min(new_text) AS description, min(old_text) AS old_description
    FROM (SELECT *, unnest(coalesce(array_slice(array_sort(array_distinct(evs)), 1, 50), make_array(NULL))) AS ev
          FROM shown)
    GROUP BY owner, server, old_server, ev['id']
)
SELECT min(session_id) AS session_id, min(agent) AS agent, server, min(offered_at) AS first_seen,
       greatest(max(at), max(offered_at)) AS last_seen,
       coalesce(array_agg(call_id ORDER BY at, call_id) FILTER (WHERE call_id IS NOT NULL), make_array()) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       server || ' offers ' || array_to_string(array_slice(array_sort(array_distinct(flatten(array_agg(tools)))), 1, 5), ', ')
           || ', which ' || old_server || ' offers too' || CASE WHEN bool_or(copied) THEN ', with the same description' ELSE '' END
           || CASE WHEN bool_or(switched) THEN '; calls went from ' || old_server || ' to ' || server ELSE '' END AS message,
       old_server AS shadowed_server, array_sort(array_distinct(flatten(array_agg(tools)))) AS tools,
       left(min(old_description), 300) AS old_description, left(min(description), 300) AS new_description
FROM evidence
GROUP BY owner, server, old_server
