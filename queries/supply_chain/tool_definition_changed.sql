-- id = "tool_definition_changed"
-- title = "Tool definition changed after it had been offered differently (rug pull)"
-- level = "medium"
-- status = "stable"
-- description = """
--   A server offers a tool with another description, schema or annotations than before. The first offer of each new definition
--   counts; going back to an old one does not, neither does a definition whose keys only stand in another order (same canonical hash)
--   or whose text differs in digits only (dates, counters).
--   high: the new text holds instruction markers, or the tool gained a dangerous capability or lost its read-only claim.
--   medium: any other change of description, schema or annotations. low: a change of anything else. One level lower when the server announces a new version, which is no excuse but a reason, and when
--   the definition changes all the time. Definitions known by name only say nothing and are left out.
--   """
-- tags = ["owasp.mcp03", "owasp.asi04", "atlas.AML.T0109", "atlas.AML.T0110", "attack.T1195.002"]
-- falsepositives = ["updates of a server", "servers under development", "descriptions that list the user's projects or channels"]
-- window = "30d"
-- params = { usual_versions = 5 }
-- needs = ["definitions"]
-- helps = ["users", "annotations", "connections"]
WITH versions AS (               -- one row per distinct definition of a tool
    SELECT server, tool, definition_hash, min(time) AS first_time, min(description) AS description, min(input_schema) AS input_schema,
           min(annotations) AS annotations, min(definition) AS definition, coalesce(max(array_length(markers)), 0) AS markers,
           first_value(capabilities ORDER BY time, definition_id) AS capabilities,
           first_value(session_id ORDER BY time, definition_id) AS session_id,
           last_value(session_id ORDER BY time, definition_id) AS last_session
    FROM tool_definitions
    WHERE NOT name_only AND server IS NOT NULL
    GROUP BY server, tool, definition_hash
),
ordered AS (
    SELECT *, lag(definition_hash) OVER turn AS old_hash, lag(description) OVER turn AS old_description,
           lag(input_schema) OVER turn AS old_schema, lag(annotations) OVER turn AS old_annotations, lag(definition) OVER turn AS old_definition, lag(markers) OVER turn AS old_markers,
           lag(capabilities) OVER turn AS old_capabilities, lag(last_session) OVER turn AS old_session,
           count(*) OVER (PARTITION BY server, tool) AS versions
    FROM versions
    WINDOW turn AS (PARTITION BY server, tool ORDER BY first_time, definition_hash)
),
changed AS (
    SELECT server, tool, session_id, first_time, old_session, old_hash, definition_hash, versions, description, old_description,
           coalesce(description, '') <> coalesce(old_description, '') AS new_description,
           coalesce(input_schema, '') <> coalesce(old_schema, '') AS new_schema,
           coalesce(annotations, '') <> coalesce(old_annotations, '') AS new_annotations,
           markers > old_markers AS new_markers,
           array_has_any(array_except(coalesce(capabilities, make_array()), coalesce(old_capabilities, make_array())),
                         make_array('egress', 'executes', 'destructive', 'credentials', 'pays'))
               OR (coalesce(json_get_bool(old_annotations, 'readOnlyHint'), false)
                   AND NOT coalesce(json_get_bool(annotations, 'readOnlyHint'), false)) AS new_power
    FROM ordered
    WHERE old_hash IS NOT NULL
      AND regexp_replace(definition, '[0-9]+', '0', 'g') <> regexp_replace(old_definition, '[0-9]+', '0', 'g')
),
now_seen AS (                    -- the session that got the new definition
    SELECT d.server, d.tool, d.session_id, d.definition_hash, min(d.first_time) AS first_time, min(d.old_session) AS old_session,
           min(d.old_hash) AS old_hash, min(d.versions) AS versions, min(d.description) AS description,
           min(d.old_description) AS old_description, bool_or(d.new_description) AS new_description, bool_or(d.new_schema) AS new_schema,
           bool_or(d.new_annotations) AS new_annotations, bool_or(d.new_markers) AS new_markers, bool_or(d.new_power) AS new_power,
           min(c.agent) AS agent, min(c.user_id) AS user_id, min(c.server_info_name) AS info, min(c.server_info_version) AS version,
           first_value(named_struct('id', c.call_id, 'at', c.time) ORDER BY c.time DESC, c.call_id)
               FILTER (WHERE c.method = 'tools/list' AND c.time <= d.first_time) AS listed,
           first_value(named_struct('id', c.call_id, 'at', c.time) ORDER BY c.time, c.call_id)
               FILTER (WHERE c.method = 'tools/call' AND c.tool = d.tool AND c.time >= d.first_time) AS used
    FROM changed d
    LEFT JOIN calls c ON c.session_id = d.session_id AND c.server = d.server
         AND (c.method IN ('tools/list', 'initialize') OR c.tool = d.tool)
    GROUP BY d.server, d.tool, d.session_id, d.definition_hash
),
compared AS (                    -- and the one that still had the old one
    SELECT n.server, n.tool, n.session_id, n.definition_hash, min(n.first_time) AS first_time, min(n.old_hash) AS old_hash,
           min(n.versions) AS versions, min(n.description) AS description, min(n.old_description) AS old_description,
           bool_or(n.new_description) AS new_description, bool_or(n.new_schema) AS new_schema, bool_or(n.new_annotations) AS new_annotations,
           bool_or(n.new_markers) AS new_markers, bool_or(n.new_power) AS new_power, min(n.agent) AS agent,
           first_value(n.listed) AS listed, first_value(n.used) AS used, min(n.version) AS version, min(p.server_info_version) AS old_version,
           min(n.info) <> min(p.server_info_name) AS other_server,
           (min(n.agent) IS NOT DISTINCT FROM min(p.agent)) AND (min(n.user_id) IS NOT DISTINCT FROM min(p.user_id)) AS same_agent
    FROM now_seen n
    LEFT JOIN calls p ON p.session_id = n.old_session AND p.server = n.server
         AND (p.method IN ('tools/list', 'initialize') OR p.tool = n.tool)
    GROUP BY n.server, n.tool, n.session_id, n.definition_hash
),
graded AS (
    SELECT *, CASE WHEN coalesce(other_server, false) AND NOT same_agent THEN 0   -- two people use one alias for two servers
                   WHEN new_markers THEN 3
                   WHEN NOT (new_description OR new_schema OR new_annotations) THEN 1
                   ELSE 2 + CASE WHEN new_power THEN 1 ELSE 0 END
                          - CASE WHEN coalesce(version <> old_version, false) AND NOT coalesce(other_server, false) THEN 1 ELSE 0 END
                          - CASE WHEN versions > $usual_versions THEN 1 ELSE 0 END END AS grade
    FROM compared
),
evidence AS (
    SELECT session_id, server, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent,
           min(first_time) AS first_time, max(first_time) AS last_time, array_agg(DISTINCT tool) AS tools,
           bool_or(new_description) AS new_description, bool_or(new_schema) AS new_schema, bool_or(new_annotations) AS new_annotations,
           bool_or(new_markers) AS new_markers, bool_or(new_power) AS new_power, bool_or(coalesce(other_server, false)) AS other_server,
           min(version) AS version, min(old_version) AS old_version, min(description) AS description, min(old_description) AS old_description,
           min(definition_hash) AS definition_hash, min(old_hash) AS old_definition_hash
    FROM (SELECT *, unnest(CASE WHEN listed IS NULL AND used IS NULL THEN make_array(used) ELSE make_array(listed, used) END) AS ev
          FROM graded WHERE grade > 0)
    GROUP BY session_id, server, ev['id']
)
SELECT session_id, min(agent) AS agent, server, min(first_time) AS first_seen, greatest(max(at), max(last_time)) AS last_seen,
       coalesce(array_agg(call_id ORDER BY at, call_id) FILTER (WHERE call_id IS NOT NULL), make_array()) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       server || ' changed the ' || concat_ws(', ', CASE WHEN bool_or(new_description) THEN 'description' END,
                                              CASE WHEN bool_or(new_schema) THEN 'schema' END,
                                              CASE WHEN bool_or(new_annotations) THEN 'annotations' END,
                                              CASE WHEN NOT bool_or(new_description OR new_schema OR new_annotations) THEN 'title, output schema or metadata' END)
           || ' of ' || array_to_string(array_slice(array_sort(array_distinct(flatten(array_agg(tools)))), 1, 5), ', ')
           || CASE WHEN bool_or(new_markers) THEN ', which now speaks to the model' WHEN bool_or(new_power) THEN ', which can now do more' ELSE '' END
           || CASE WHEN bool_or(other_server) THEN '; another server answers under this name'
                   WHEN min(version) <> min(old_version) THEN '; version ' || min(old_version) || ' became ' || min(version)
                   WHEN min(version) = min(old_version) THEN '; version is still ' || min(version) ELSE '' END AS message,
       array_sort(array_distinct(flatten(array_agg(tools)))) AS tools, left(min(old_description), 300) AS old_description,
       left(min(description), 300) AS new_description, min(old_definition_hash) AS old_definition_hash, min(definition_hash) AS definition_hash
FROM evidence
GROUP BY session_id, server
