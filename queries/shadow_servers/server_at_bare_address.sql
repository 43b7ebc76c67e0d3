-- id = "server_at_bare_address"
-- title = "Server at a bare IP address"
-- level = "low"
-- status = "test"
-- description = """
--   A server is reached at a public IP address without a name: no certificate authority and no registrar stands behind it.
--   high: the alias had a host name before and now goes to an address. medium: over plain HTTP or at a port other than 443, or in a
--   spelling that hides the address (decimal, hex, octal). low: anything else. One finding per server and address. Internal addresses are left out.
--   """
-- tags = ["owasp.mcp09", "owasp.mcp04", "owasp.asi04", "atlas.AML.T0010.005", "attack.T1571"]
-- falsepositives = ["a cloud machine that has no name yet"]
-- window = "30d"
-- needs = ["server_addresses"]
WITH addressed AS (
    SELECT server, address, host_of(address) AS host, min(first_at) AS first_at
    FROM (SELECT server, coalesce(server_url, 'mcp://' || server_address) AS address, min(time) AS first_at
          FROM calls WHERE server_url IS NOT NULL OR server_address IS NOT NULL
          GROUP BY server, coalesce(server_url, 'mcp://' || server_address))
    GROUP BY server, address
),
bare AS (
    SELECT server, host, min(first_at) AS first_at,
           bool_or(regexp_like(address, '^\s*(http|ws)://', 'i')
                   OR regexp_like(address, '^[a-z]+://[^/]*[\]0-9a-fx]:[0-9]+(/|$)', 'i') AND NOT regexp_like(address, ':443(/|$)')
                   OR strpos(lower(address), host) = 0) AS odd
    FROM addressed
    WHERE regexp_like(host, '^[0-9.]+$|:') AND NOT is_internal_address(host)
    GROUP BY server, host
),
moved AS (
    SELECT b.server, b.host, bool_or(b.odd) AS odd, min(o.host) AS old_host
    FROM bare b
    LEFT JOIN addressed o ON o.server = b.server AND o.first_at < b.first_at AND NOT regexp_like(o.host, '^[0-9.]+$|:')
    GROUP BY b.server, b.host
),
evidence AS (
    SELECT c.server, c.host, CASE WHEN count(DISTINCT c.agent) = 1 THEN min(c.agent) END AS agent, min(c.time) AS first_seen,
           max(c.time) AS last_seen, count(*) AS calls, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM (SELECT call_id, agent, server, time, host_of(coalesce(server_url, 'mcp://' || server_address)) AS host
          FROM calls WHERE server_url IS NOT NULL OR server_address IS NOT NULL) c
    JOIN bare b ON b.host = c.host AND (b.server IS NOT DISTINCT FROM c.server)
    GROUP BY c.server, c.host
)
SELECT e.agent, coalesce(m.server, m.host) AS server, e.first_seen, e.last_seen, array_slice(e.call_ids, 1, 10) AS call_ids,
       CASE WHEN m.old_host IS NOT NULL THEN 'high' WHEN m.odd THEN 'medium' ELSE 'low' END AS level,
       coalesce(m.server, 'a server') || ' is at the bare address ' || m.host || coalesce('; it was at ' || m.old_host || ' before', '') AS message,
       m.host, m.old_host, e.calls
FROM moved m
JOIN evidence e ON e.host = m.host AND (e.server IS NOT DISTINCT FROM m.server)
