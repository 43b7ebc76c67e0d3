-- id = "server_on_public_tunnel"
-- title = "Server behind a public tunnel or on a free hosting platform"
-- level = "medium"
-- status = "test"
-- description = """
--   The address of a server is a host name of a tunnel (ngrok, Cloudflare quick tunnels, …) or of a platform on which anybody gets a host
--   name (Vercel, Replit, …). Tunnels reach someone's laptop; both are short-lived and change hands.
--   high: the server's alias was at another host before, and is now behind a tunnel. medium: a tunnel, or an alias that moved to such a
--   platform. low: a platform. One finding per server and host. The lists are parameters: domains, the host itself or anything below.
--   """
-- tags = ["owasp.mcp09", "owasp.mcp04", "owasp.asi04", "atlas.AML.T0010.005", "attack.T1572", "attack.T1102"]
-- falsepositives = ["developers who try their own server through a tunnel", "a vendor that hosts its server on a platform: take it out of the list"]
-- window = "30d"
-- needs = ["server_addresses"]
-- params = { tunnels = ["ngrok.io", "ngrok.app", "ngrok.dev", "ngrok-free.app", "ngrok-free.dev", "trycloudflare.com", "cfargotunnel.com", "loca.lt", "localtunnel.me", "localhost.run", "lhr.life", "lhr.rocks", "serveo.net", "serveousercontent.com", "pinggy.link", "pinggy.io", "bore.pub", "devtunnels.ms", "tunnelmole.net", "zrok.io", "pagekite.me", "telebit.io", "playit.gg", "localxpose.io", "loclx.io"], platforms = ["vercel.app", "netlify.app", "herokuapp.com", "workers.dev", "pages.dev", "onrender.com", "railway.app", "fly.dev", "replit.app", "replit.dev", "repl.co", "glitch.me", "deno.dev", "hf.space", "gitpod.io", "app.github.dev", "csb.app", "webcontainer.io", "koyeb.app", "surge.sh", "modal.run", "beam.cloud", "val.run", "web.val.run"] }
WITH addressed AS (
    SELECT server, server_url, server_address, min(time) AS first_at
    FROM calls
    WHERE server_url IS NOT NULL OR server_address IS NOT NULL
    GROUP BY server, server_url, server_address
),
hosted AS (
    SELECT server, host, min(first_at) AS first_at
    FROM (SELECT server, first_at, host_of(coalesce(server_url, 'mcp://' || server_address)) AS host FROM addressed)
    WHERE host IS NOT NULL
    GROUP BY server, host
),
suspect AS (
    SELECT h.server, h.host, max(h.first_at) AS first_at, bool_or(d.tunnel) AS tunnel
    FROM hosted h
    JOIN (SELECT unnest(CAST($tunnels AS VARCHAR[])) AS domain, true AS tunnel UNION ALL SELECT unnest(CAST($platforms AS VARCHAR[])), false) d
      ON h.host = d.domain OR ends_with(h.host, '.' || d.domain)
    GROUP BY h.server, h.host
),
moved AS (
    SELECT s.server, s.host, bool_or(s.tunnel) AS tunnel, max(o.host) AS old_host
    FROM suspect s
    LEFT JOIN hosted o ON o.server = s.server AND o.first_at < s.first_at AND registrable_domain(o.host) <> registrable_domain(s.host)
    GROUP BY s.server, s.host
),
evidence AS (
    SELECT c.server, c.host, min(c.agent) AS agent, min(c.time) AS first_seen, max(c.time) AS last_seen, count(DISTINCT c.agent) AS agents,
           count(*) AS calls, array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM (SELECT call_id, agent, server, time, host_of(coalesce(server_url, 'mcp://' || server_address)) AS host
          FROM calls WHERE server_url IS NOT NULL OR server_address IS NOT NULL) c
    JOIN suspect s ON s.host = c.host AND (s.server IS NOT DISTINCT FROM c.server)
    GROUP BY c.server, c.host
)
SELECT CASE WHEN e.agents = 1 THEN e.agent END AS agent, coalesce(m.server, m.host) AS server, e.first_seen, e.last_seen,
       array_slice(e.call_ids, 1, 10) AS call_ids,
       CASE WHEN m.tunnel AND m.old_host IS NOT NULL THEN 'high' WHEN m.tunnel OR m.old_host IS NOT NULL THEN 'medium' ELSE 'low' END AS level,
       coalesce(m.server, 'a server') || ' is at ' || m.host || CASE WHEN m.tunnel THEN ', a public tunnel' ELSE ', a platform on which anybody can host' END
           || coalesce('; it was at ' || m.old_host || ' before', '') AS message,
       m.host, m.old_host, e.calls
FROM moved m
JOIN evidence e ON e.host = m.host AND (e.server IS NOT DISTINCT FROM m.server)
