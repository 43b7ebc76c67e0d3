-- id = "path_traversal"
-- title = "Argument path climbs out of its folder"
-- level = "medium"
-- status = "stable"
-- description = """
--   A whole argument of a tool that reads, writes or deletes, or a resource URI, is a path whose .. components climb above its start.
--   high: dots or slashes are encoded or disguised, the path starts at the root, or it ends at a credential or system file.
--   medium: it climbs three levels and more, or three different paths were tried. low: one or two plain levels.
--   One level less when the server refused it, and when the user named the path (then low becomes nothing).
--   Absolute paths outside the roots, paths inside texts and command lines, and a/../b are another matter; so are source files of sibling folders
--   that are only read, and the old and new text of an edit.
--   """
-- tags = ["owasp.mcp05", "owasp.asi02", "atlas.AML.T0053", "atlas.AML.T0049", "attack.T1083", "attack.T1190"]
-- falsepositives = ["changes across sibling folders of one repository (low)"]
-- window = "24h"
-- params = { deep = 3, tries = 3 }
-- needs = ["arguments"]
-- helps = ["prompts"]
WITH candidate AS (
    SELECT call_id, session_id, agent, server, coalesce(tool, method) AS operation, time, outcome,
           unnest(CASE WHEN method = 'resources/read' THEN make_array(mcp_resource_uri) ELSE json_strings(
                  -- Without the texts of an edit, and without the two sides of a renamed import.
                  regexp_replace(arguments, CASE WHEN regexp_like(tool, 'import|edit|replace|refactor|text|code', 'i') THEN '"((old|new)_?(text|string|str|content|value|code|import|name)?|from|to|import\w*|search|find|replace\w*|pattern)"\s*:\s*"([^"\\]|\\.)*"'
                                                 ELSE '"((old|new)_?(text|string|str|content|value|code|import)?|import\w*)"\s*:\s*"([^"\\]|\\.)*"' END, '"":""', 'gi')) END) AS path,
           NOT array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'credentials')) AND outcome IN ('success', 'unknown', 'no_response') AS only_reads,
           has_capability(capabilities, 'reads_untrusted') OR coalesce(array_length(capabilities), 0) = 0 AS fetches
    FROM calls
    WHERE event_kind = 'call'
      AND ((method = 'resources/read' AND mcp_resource_uri IS NOT NULL)
           OR (method = 'tools/call'
               AND (array_has_any(capabilities, make_array('reads_private', 'reads_untrusted', 'writes', 'destructive', 'credentials')) OR coalesce(array_length(capabilities), 0) = 0)
               AND NOT has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '\.\.|%(25)*(2[eE]|[cC]0|u)|\x{2025}|\x{FF0E}')))
),
climbing AS (
    SELECT *, NOT regexp_like(path, '(^|[/\\])\.\.([/\\]|$)') AS disguised,
           regexp_count(path, '(^|[/\\])\.\.') AS levels,
           -- What is left when the climbing is done.
           regexp_replace(path, '^.*\.\.[/\\]+', '') AS target
    FROM candidate
    WHERE length(path) BETWEEN 3 AND 1024
      AND (NOT regexp_like(path, '\s') OR regexp_like(path, '^([./\\~%]|[A-Za-z]:)[^\r\n]*$'))
      AND path_escapes(path)
      -- An address is the affair of whoever serves it.
      AND NOT (fetches AND regexp_like(path, '^https?:', 'i'))
),
graded AS (
    SELECT *, CASE WHEN disguised OR is_credential_path(path) OR starts_with(path, '/') OR starts_with(lower(path), 'file:')
                     OR regexp_like(target, '^(etc|proc|sys|dev|root|var|boot|[A-Z]:|Windows|System32|Users|home)[/\\]') THEN 3
                   WHEN levels >= $deep THEN 2
                   ELSE 1 END
              - CASE WHEN outcome IN ('success', 'unknown', 'no_response') THEN 0 ELSE 1 END AS grade
    FROM climbing
    -- A source file of a sibling folder, to read.
    WHERE NOT (only_reads AND NOT disguised AND levels < $deep AND starts_with(path, '..') AND NOT is_credential_path(path)
               AND NOT regexp_like(target, '^(etc|proc|sys|dev|root|var|boot|[A-Z]:|Windows|System32|Users|home)[/\\]')
               AND regexp_like(target, '\.([cm]?[jt]sx?|json|py|rs|go|java|kt|scala|rb|php|cs|c|h|cc|cpp|hpp|swift|vue|svelte|css|scss|html|md|mdx|toml|ya?ml|graphql|proto|sql|lock|gradle|xml)$', 'i'))
),
asked AS (
    SELECT g.call_id, g.path, min(g.session_id) AS session_id, min(g.agent) AS agent, min(g.server) AS server, min(g.operation) AS tool,
           min(g.time) AS time, bool_or(g.outcome IN ('success', 'unknown', 'no_response')) AS worked,
           max(g.grade) - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM graded g
    LEFT JOIN prompts q ON q.session_id = g.session_id AND q.time <= g.time AND strpos(q.text, g.path) > 0
    GROUP BY g.call_id, g.path
),
per_call AS (
    SELECT call_id, min(session_id) AS session_id, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(time) AS time,
           max(grade) AS grade, array_agg(path) AS paths, bool_or(worked) AS worked
    FROM asked GROUP BY call_id
),
per_session AS (
    SELECT session_id, server, min(agent) AS agent, CASE WHEN count(DISTINCT tool) = 1 THEN min(tool) END AS tool,
           min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
           array_sort(array_distinct(flatten(array_agg(paths)))) AS paths, max(grade) AS grade, bool_or(worked) AS worked,
           first_value(tool ORDER BY time, call_id) AS first_tool
    FROM per_call
    GROUP BY session_id, server
),
levelled AS (
    SELECT *, greatest(grade, CASE WHEN array_length(paths) >= $tries THEN 2 ELSE 0 END) AS final FROM per_session
)
SELECT session_id, agent, server, tool, first_seen, last_seen, call_ids,
       CASE final WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, first_tool) || CASE WHEN worked THEN ' was given ' ELSE ' refused ' END
           || array_to_string(array_slice(paths, 1, 3), ', ')
           || CASE WHEN array_length(paths) > 3 THEN ' and ' || CAST(array_length(paths) - 3 AS VARCHAR) || ' more' ELSE '' END
           || ', which climbs out of its folder' AS message,
       paths
FROM levelled
WHERE final > 0
