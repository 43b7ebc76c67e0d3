-- id = "server_unencrypted"
-- title = "Server over plain HTTP outside the local network"
-- level = "medium"
-- status = "stable"
-- description = """
--   The address of a server begins with http:// or ws://, and its host is public: whoever is on the way reads and changes tools, arguments
--   and results.
--   high: arguments or results of calls to it held a secret. medium: calls with other data. low: it was only asked for its tools.
--   Left out: local and internal addresses, and host names of one label, which no public DNS has. One finding per server and host.
--   """
-- tags = ["owasp.mcp09", "owasp.mcp07", "owasp.asi07", "attack.T1557", "attack.T1040"]
-- falsepositives = ["a gateway that adds TLS after the place where the log is written"]
-- window = "24h"
-- needs = ["server_addresses"]
-- helps = ["arguments", "results"]
WITH plain AS (
    SELECT server, server_url, host_of(server_url) AS host
    FROM (SELECT DISTINCT server, server_url FROM calls WHERE server_url IS NOT NULL)
    WHERE regexp_like(server_url, '^\s*(http|ws)://', 'i') AND NOT is_internal_address(server_url)
      AND (strpos(host_of(server_url), '.') > 0 OR strpos(host_of(server_url), ':') > 0)
),
used AS (
    SELECT c.call_id, c.time, c.agent, p.server, p.host, c.method = 'tools/call' OR c.method LIKE 'resources/%' OR c.method LIKE 'prompts/get' AS carries
    FROM plain p
    JOIN calls c ON c.server_url = p.server_url AND (c.server IS NOT DISTINCT FROM p.server)
    WHERE c.event_kind IN ('call', 'connection')
),
leaked AS (
    SELECT DISTINCT o.call_id FROM observables o WHERE o.type = 'secret' AND o.call_id IN (SELECT call_id FROM used)
)
SELECT CASE WHEN count(DISTINCT u.agent) = 1 THEN min(u.agent) END AS agent, coalesce(u.server, u.host) AS server,
       min(u.time) AS first_seen, max(u.time) AS last_seen,
       array_slice(array_agg(u.call_id ORDER BY coalesce(l.call_id IS NULL, true), u.time, u.call_id), 1, 10) AS call_ids,
       CASE WHEN count(l.call_id) > 0 THEN 'high' WHEN bool_or(u.carries) THEN 'medium' ELSE 'low' END AS level,
       coalesce(u.server, 'a server') || ' is reached unencrypted at ' || u.host
           || CASE WHEN count(l.call_id) > 0 THEN '; ' || CAST(count(l.call_id) AS VARCHAR) || ' calls carried secrets' ELSE '' END AS message,
       u.host, count(*) AS calls, count(l.call_id) AS calls_with_secrets
FROM used u
LEFT JOIN leaked l ON l.call_id = u.call_id
GROUP BY u.server, u.host
