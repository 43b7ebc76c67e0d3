-- id = "lookalike_server"
-- title = "Server or package has nearly the name of another one"
-- level = "medium"
-- status = "stable"
-- description = """
--   A server's own name, or the package that its command starts, differs by a letter or two, by look-alike characters or by joined words from a server that
--   the lake has known longer, or from a widely used package (parameter).
--   high: look-alike characters of another script, or a package one letter away from a widely used one. medium: one letter (two in long names) away from
--   a known server that is seen beside it or was seen before. low: so in a name of five letters; the same words in another order or with an addition such as official, pro, x.
--   Names of fewer than five letters, numbered copies (db1, db2) and environments (dev, prod) of one server are left out.
--   """
-- tags = ["owasp.mcp04", "owasp.mcp09", "owasp.asi04", "atlas.AML.T0010.005", "atlas.AML.T0074", "attack.T1036.005", "attack.T1195.002"]
-- falsepositives = ["a fork or successor that took over the work"]
-- needs = ["connections"]
-- helps = ["server_addresses"]
-- window = "24h"
-- params = { packages = ["@modelcontextprotocol/server-filesystem", "@modelcontextprotocol/server-github", "@modelcontextprotocol/server-memory", "@modelcontextprotocol/server-sequential-thinking", "@modelcontextprotocol/server-everything", "@modelcontextprotocol/server-postgres", "@modelcontextprotocol/server-slack", "@modelcontextprotocol/server-puppeteer", "@modelcontextprotocol/server-brave-search", "mcp-server-fetch", "mcp-server-git", "mcp-server-time", "mcp-server-sqlite", "@playwright/mcp", "@upstash/context7-mcp", "@notionhq/notion-mcp-server", "@supabase/mcp-server-supabase", "@stripe/mcp", "@sentry/mcp-server", "postmark-mcp", "firecrawl-mcp", "tavily-mcp", "exa-mcp-server", "figma-developer-mcp", "mcp-remote", "mongodb-mcp-server", "chrome-devtools-mcp", "@azure/mcp", "@cloudflare/mcp-server-cloudflare", "mcp-atlassian"] }
WITH known AS (
    SELECT name, min(since) AS since, min(server) AS server, min(session_id) AS session_id, bool_or(package) AS package
    FROM (SELECT server_info_name AS name, time AS since, server, session_id, false AS package FROM connections WHERE length(server_info_name) >= 5
          UNION ALL
          -- The package is the first word behind npx, uvx, pipx, docker run that is no option, without its version.
          SELECT regexp_replace(regexp_replace(server_command, '^.*?\b(npx|bunx|uvx|pipx\s+run|pnpm\s+dlx|yarn\s+dlx|uv\s+tool\s+run)(\.cmd)?\s+(-[\w-]+(=\S+)?\s+)*(@?[\w./-]+).*$', '\5', 's'), '(.)@.*$', '\1') AS name, time, server, session_id, true
          FROM connections WHERE regexp_like(server_command, '\b(npx|bunx|uvx|pipx\s+run|pnpm\s+dlx|yarn\s+dlx|uv\s+tool\s+run)(\.cmd)?\s'))
    WHERE length(name) >= 5
    GROUP BY name
),
spelled AS (
    SELECT *, lower(regexp_replace(name, '[^\p{L}0-9]', '', 'g')) AS letters,
           lower(regexp_replace(regexp_replace(name, '(^|[-_/@ .])(mcp|server|official|pro|plus|x|the|ai|tool|tools|latest|beta|org|inc|hq)($|[-_/@ .])', '\1\3', 'gi'), '[^\p{L}0-9]', '', 'g')) AS stem
    FROM known
),
widely AS (
    SELECT wide, lower(regexp_replace(wide, '[^\p{L}0-9]', '', 'g')) AS wide_letters FROM (SELECT unnest(string_to_array(array_to_string($packages, ' '), ' ')) AS wide)
),
pairs AS (
    SELECT n.name, n.since, n.server, n.session_id, o.name AS other, o.server AS other_server,
           CASE WHEN levenshtein(n.letters, o.letters) BETWEEN 1 AND CASE WHEN length(o.letters) >= 12 THEN 2 ELSE 1 END
                     -- Only a number or an environment differs.
                     AND regexp_replace(n.letters, '[0-9]|dev|prod|test|staging|local|v$', '', 'g') <> regexp_replace(o.letters, '[0-9]|dev|prod|test|staging|local|v$', '', 'g')
                -- Short words are a letter apart by chance: mysql and mssql, email and gmail.
                THEN CASE WHEN length(o.letters) >= 6 THEN 2 ELSE 1 END
                WHEN n.stem = o.stem AND length(n.stem) >= 5 AND n.package = o.package AND n.letters <> o.letters AND n.server <> o.server THEN 1
                ELSE 0 END AS grade
    FROM spelled n
    JOIN spelled o ON o.name <> n.name AND (o.since < n.since OR (o.since = n.since AND o.name < n.name))
    UNION ALL
    SELECT n.name, n.since, n.server, n.session_id, w.wide, CAST(NULL AS VARCHAR),
           CASE WHEN levenshtein(n.letters, w.wide_letters) <= 2 THEN 3 ELSE 0 END
    FROM spelled n
    JOIN widely w ON w.wide <> n.name AND abs(length(w.wide_letters) - length(n.letters)) <= 2
    WHERE n.package AND array_position($packages, n.name) IS NULL
    UNION ALL
    SELECT name, since, server, session_id, CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), 3
    FROM spelled
    WHERE regexp_like(name, '[a-zA-Z]') AND regexp_like(name, '[\p{Cyrillic}\p{Greek}\p{Armenian}\x{FF21}-\x{FF5A}\x{1D400}-\x{1D7FF}\x{200B}-\x{200F}]')
),
best AS (
    SELECT name, min(since) AS since, min(server) AS server, min(session_id) AS session_id, max(grade) AS grade, first_value(other ORDER BY grade DESC, other) AS other
    FROM pairs WHERE grade > 0 GROUP BY name
)
SELECT b.session_id, min(c.agent) AS agent, b.server, b.since AS first_seen, b.since AS last_seen,
       coalesce(array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.call_id IS NOT NULL), 1, 20), make_array()) AS call_ids,
       CASE max(b.grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       coalesce(b.server, 'a server') || ' is ' || b.name || coalesce(', nearly the name of ' || b.other, ', with letters of two scripts') AS message,
       b.name, b.other AS resembles
FROM best b
LEFT JOIN calls c ON c.session_id = b.session_id AND (c.server IS NOT DISTINCT FROM b.server) AND c.event_kind = 'call'
GROUP BY b.session_id, b.server, b.since, b.name, b.other
