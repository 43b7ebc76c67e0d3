-- id = "local_server_relays"
-- title = "Local server that only relays to somewhere else"
-- level = "low"
-- status = "test"
-- description = """
--   A server that is started as a local program is a relay: its command hands everything to another host (mcp-remote, supergateway, socat,
--   ssh -L or -R, a tunnel client) or opens a tunnel to itself. What stands behind is in no inventory.
--   high: the other end is a bare public address, unencrypted, or a tunnel. medium: the relay opens a way in from outside (tunnel client, ssh -R, or a
--   listener on all addresses). low: an encrypted relay to a named host. One finding per server and command. Relays into the local network are left out.
--   """
-- tags = ["owasp.mcp09", "owasp.asi04", "attack.T1572", "attack.T1090"]
-- falsepositives = ["clients that reach remote servers only through such a program (low)"]
-- window = "24h"
-- needs = ["server_addresses"]
-- params = { trusted = [] }
WITH started AS (
    SELECT server, server_command, lower(server_command) AS command,
           regexp_match(server_command, '[a-zA-Z]+://[^\s"'']+')[1] AS url
    FROM (SELECT DISTINCT server, server_command FROM calls WHERE server_command IS NOT NULL)
),
relay AS (
    SELECT *, host_of(url) AS host,
           regexp_like(command, '(^|[\s/\\"''@])(ngrok|cloudflared|chisel|bore|localtunnel|lt|zrok|pinggy|frpc|tailscale\s+funnel)(\.exe)?($|\s|@)|\sssh\s.*-\w*r\s|^ssh\s.*-\w*r\s')
             OR (regexp_like(command, 'socat|ncat|netcat|(^|[\s/])nc\s|supergateway|mcp-proxy|mcpo|--port|--listen') AND strpos(command, '0.0.0.0') > 0) AS opens,
           regexp_like(command, '(^|[\s/\\"''@])(mcp-remote|mcp-proxy|supergateway|socat|ncat|netcat|mcp-client-bridge|mcp-bridge|sse-client|mcp-superassistant-proxy)($|[\s@"''.])|(^|[\s/])ssh(\.exe)?\s.*-\w*l\s') AS relays
    FROM started
),
graded AS (
    SELECT *, CASE WHEN host IS NOT NULL AND NOT is_internal_address(url) AND (strpos(host, '.') > 0 OR strpos(host, ':') > 0)
                        AND (regexp_like(url, '^(http|ws)://', 'i') OR regexp_like(host, '^[0-9.]+$|:')
                             OR regexp_like(host, '(^|\.)(ngrok(-free)?\.(io|app|dev)|trycloudflare\.com|loca\.lt|lhr\.life|serveo\.net|devtunnels\.ms|pinggy\.(link|io)|bore\.pub)$'))
                        AND (relays OR opens) THEN 3
                   WHEN opens THEN 2
                   WHEN relays AND (host IS NULL OR (NOT is_internal_address(url) AND strpos(host, '.') > 0)) THEN 1
                   ELSE 0 END AS grade
    FROM relay
    WHERE NOT coalesce(array_has($trusted, host), false)
)
SELECT CASE WHEN count(DISTINCT c.agent) = 1 THEN min(c.agent) END AS agent, coalesce(g.server, 'unnamed') AS server,
       min(c.time) AS first_seen, max(c.time) AS last_seen, array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id), 1, 10) AS call_ids,
       CASE max(g.grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       coalesce(g.server, 'a server') || ' is a local program that '
           || CASE WHEN max(g.grade) = 2 THEN 'opens a way in' ELSE 'relays to ' || coalesce(max(g.host), 'another place') END
           || ': ' || left(g.server_command, 200) AS message,
       max(g.host) AS host, left(g.server_command, 500) AS command, count(*) AS calls
FROM graded g
JOIN calls c ON c.server_command = g.server_command AND (c.server IS NOT DISTINCT FROM g.server)
WHERE g.grade > 0
GROUP BY g.server, g.server_command
