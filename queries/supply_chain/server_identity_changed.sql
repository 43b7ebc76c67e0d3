-- id = "server_identity_changed"
-- title = "Another server answers under a known name, or its instructions changed without a new version"
-- level = "medium"
-- status = "stable"
-- description = """
--   Under one alias of one agent the server's own name, host or program differs from before, or the instructions to the model changed while name and version did not.
--   high: other instructions that hold markers. medium: another server name together with another host or program, or changed instructions of the same version.
--   low: only one of name, host, program differs, or a new version (an older one is medium: a downgrade). Going back to a known identity is no news.
--   Identities that change with every connection (ports, session hosts, folders) count once. Two users with different servers of one alias are not compared.
--   """
-- tags = ["owasp.mcp03", "owasp.mcp04", "owasp.asi04", "atlas.AML.T0109", "atlas.AML.T0074", "attack.T1195.002", "attack.T1557"]
-- falsepositives = ["moves of a server to another host", "updates"]
-- needs = ["connections"]
-- helps = ["server_addresses"]
-- window = "24h"
WITH identities AS (
    SELECT server, coalesce(client_name, '') AS client, coalesce(server_info_name, '') AS name, coalesce(server_info_version, '') AS version,
           coalesce(host_of(server_url), regexp_replace(server_address, ':\d+$', ''), '') AS host,
           coalesce(regexp_replace(regexp_replace(server_command, '(.)@[\d^~][\w.-]*', '\1', 'g'), '\s(-{1,2}[\w-]*(port|root|dir|path|cwd|log|session|id|token)[\w-]*[= ]\S+|/\S+|\d+)', '', 'g'), '') AS program,
           coalesce(instructions_hash, '') AS instructions, min(time) AS at, first_value(session_id ORDER BY time, identity) AS session_id, min(instructions) AS text,
           coalesce(max(array_length(markers)), 0) AS markers
    FROM connections
    WHERE server IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7
),
-- Name, host and program may stand in different rows of one connection: each is compared with its own last value.
turns AS (
    SELECT *, last_value(nullif(name, '')) IGNORE NULLS OVER before AS old_name, last_value(nullif(version, '')) IGNORE NULLS OVER before AS old_version,
           last_value(nullif(host, '')) IGNORE NULLS OVER before AS old_host, last_value(nullif(program, '')) IGNORE NULLS OVER before AS old_program,
           last_value(nullif(instructions, '')) IGNORE NULLS OVER before AS old_instructions, max(markers) OVER before AS old_markers,
           array_agg(name) OVER before AS names, array_agg(host) OVER before AS hosts, array_agg(program) OVER before AS programs, array_agg(version) OVER before AS versions, array_agg(instructions) OVER before AS all_instructions
    FROM identities
    WINDOW before AS (PARTITION BY server, client ORDER BY at, name, version, host, program, instructions ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
changed AS (
    SELECT *, name <> '' AND NOT coalesce(array_has(names, name), true) AND old_name IS NOT NULL AS new_name,
           host <> '' AND NOT coalesce(array_has(hosts, host), true) AND old_host IS NOT NULL AS new_host,
           program <> '' AND NOT coalesce(array_has(programs, program), true) AND old_program IS NOT NULL AS new_program,
           version <> '' AND NOT coalesce(array_has(versions, version), true) AND old_version IS NOT NULL AND coalesce(name = old_name, true) AS new_version,
           instructions <> '' AND NOT coalesce(array_has(all_instructions, instructions), true) AND old_instructions IS NOT NULL AS new_instructions,
           array_length(array_distinct(hosts)) > 5 OR array_length(array_distinct(programs)) > 5 AS restless
    FROM turns
),
graded AS (
    SELECT *, CASE WHEN new_instructions AND markers > coalesce(old_markers, 0) THEN 3
                   WHEN (new_name AND (new_host OR new_program)) OR (new_instructions AND NOT new_version AND NOT new_name) THEN 2
                   -- Numbers of the versions, filled up, so that they compare as texts.
                   WHEN new_version AND regexp_like(version, '^\d+\.\d+') AND regexp_like(old_version, '^\d+\.\d+')
                        AND lpad(split_part(version, '.', 1), 6, '0') || lpad(split_part(version, '.', 2), 6, '0') < lpad(split_part(old_version, '.', 1), 6, '0') || lpad(split_part(old_version, '.', 2), 6, '0') THEN 2
                   WHEN new_name OR ((new_host OR new_program) AND NOT coalesce(restless, false)) OR new_version THEN 1 ELSE 0 END AS grade
    FROM changed
)
SELECT g.session_id, min(c.agent) AS agent, g.server, g.at AS first_seen, g.at AS last_seen,
       coalesce(array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.call_id IS NOT NULL), 1, 5), make_array()) AS call_ids,
       CASE max(g.grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       g.server || concat_ws(';', CASE WHEN g.new_name THEN ' calls itself ' || g.name || ', before ' || g.old_name END, CASE WHEN g.new_host THEN ' is at ' || g.host || ', before ' || g.old_host END,
                             CASE WHEN g.new_program THEN ' is started by another program' END, CASE WHEN g.new_version THEN ' has version ' || g.version || ', before ' || g.old_version END,
                             CASE WHEN g.new_instructions THEN ' gives the model other instructions' END) AS message,
       g.name, g.old_name, g.version, g.old_version, g.host, g.old_host, left(g.text, 300) AS instructions
FROM graded g
LEFT JOIN calls c ON c.session_id = g.session_id AND c.server = g.server AND c.event_kind = 'call'
WHERE g.grade > 0
GROUP BY g.session_id, g.server, g.at, g.name, g.old_name, g.version, g.old_version, g.host, g.old_host, g.text, g.new_name, g.new_host, g.new_program, g.new_version, g.new_instructions
