-- id = "tunnel_opened"
-- title = "Command opened a way into this machine or network from outside"
-- level = "medium"
-- status = "test"
-- description = """
--   A command started a program that makes a local port, or the whole network, reachable from elsewhere: ngrok, cloudflared, bore, chisel, frp, Tailscale's funnel, dev tunnels, a tunnel of
--   VS Code, zrok, ligolo, or ssh with a reverse forward; or a cloud's firewall was opened to every address, for other ports than a web server's.
--   high: what is let in is a login or control of the machine (ssh, RDP, VNC, SMB, Docker), or the network by a proxy. medium: anything else, such as a page under development.
--   low: the user spoke of it (one level less where it is a login), or the command failed.
--   Servers that agents use behind tunnels: server_on_public_tunnel. Webhooks to one: webhook_created.
--   """
-- tags = ["owasp.mcp05", "owasp.mcp09", "owasp.asi02", "owasp.asi05", "atlas.AML.T0112.000", "attack.T1572", "attack.T1090", "attack.T1133", "attack.T1562.007"]
-- falsepositives = ["showing a page under development to somebody, where the log holds no prompts"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH opened AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           regexp_replace(text, '^.*?((ngrok|cloudflared|aws\s+ec2|gcloud\s+compute|az\s+network|bore|chisel|frpc|tailscale|devtunnel|zrok|lt|localtunnel|pinggy|rathole|ligolo\S*|agent|revsocks|code|ssh|autossh|\S+\s+client)\s[^|;&"]{0,160}).*$', '\1', 'is') AS what,
           regexp_like(text, '\b(ssh|rdp|smb|vnc)://|\btcp\s+(22|3389|5900|445|2375)\b|\sR:(\S+:)?(socks|22|3389)\b|:(22|3389|5900|445|2375)([\s"''\\;&|]|$)|\bsocks5?\b|\bcode\s+tunnel\b|ligolo|revsocks|(--port[=\s]+|FromPort=|tcp:|--destination-port-ranges?[=\s]+)[''\\]*(22|3389|5900|445|2375)\b|--protocol[=\s]+[''\\]*(-1|all)\b|--allow[=\s]+all\b|\bbore\s+local\s+(22|3389|5900|445|2375)\b', 'i') AS control
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, arguments AS raw,
                 -- Asking for its state, its version or its help opens nothing, and excuses no other command.
                 regexp_replace(command_text(arguments), '\b(ngrok|cloudflared|chisel|bore|frpc|zrok|devtunnel|tailscale|code\s+tunnel)\s+([^|;&"#]*\s)?(--help|--version|status|prune|unregister|off|reset|delete|stop)\b[^|;&"#]*', '', 'g') AS text
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
            AND outcome NOT IN ('denied', 'cancelled', 'protocol_error'))
    WHERE regexp_like(text, '\bngrok\s+(http|tcp|tls|start)\b|\bcloudflared\s+(access\s+|tunnel\s+)?[^|;&"]*(--url[=\s]|\brun\b)|\bbore\s+local\s|\bchisel\s+client\s|\sclient\s+(-\S+\s+)*\S+\s+R:(\S+:)?(socks|\d+)|\bfrpc\s+(-c|http|tcp|stcp)|\btailscale\s+funnel\s'
          || '|\bdevtunnel\s+(host|create)\b|\bzrok\s+share\s|\b(lt|localtunnel)\s+[^|;&"]*(--port|-p)[=\s]+\d|\brathole\s+(--client|\S*client)|\bligolo\S*\s+[^|;&"]*-connect\b|\brevsocks\s+[^|;&"]*-connect\b|(["`;&|(]|\bnohup)\s*code\s+tunnel\b'
          -- A cloud's firewall that lets everybody in, and not only to a web server.
          || '|\baws\s+ec2\s+authorize-security-group-ingress\b[^|;&"]*(0\.0\.0\.0/0|::/0)|\bgcloud\s+compute\s+firewall-rules\s+(create|update)\b[^|;&"]*0\.0\.0\.0/0|\baz\s+network\s+nsg\s+rule\s+(create|update)\b[^|;&"]*--source-address-prefix(es)?[=\s]+[''\\]*(\*|Internet|Any|0\.0\.0\.0/0)'
          || '|\b(ssh|autossh)\s+([^|;&"]*\s)?-[A-Za-z0-9]*R\s*[^\s|;&"-][^\s|;&"]*:\d+')
      AND NOT regexp_like(text, '\b(authorize-security-group-ingress|firewall-rules\s+(create|update)|nsg\s+rule\s+(create|update))\b[^|;&"]*(--port[=\s]+|FromPort=|--allow[=\s]+tcp:|--destination-port-ranges?[=\s]+)[''\\]*(80|443)(,\s*(tcp:)?(80|443))*([\s''\\",]|$)', 'i')
      -- The words stand in a quoted text that the shell puts nothing into: a commit message, an echo, a search.
      AND NOT command_mentions(raw)
),
graded AS (
    SELECT o.call_id, min(o.session_id) AS session_id, min(o.agent) AS agent, min(o.server) AS server, min(o.tool) AS tool, min(o.time) AS time, min(o.what) AS what,
           CASE WHEN min(o.outcome) NOT IN ('success', 'unknown', 'no_response', 'timeout') THEN 1
                ELSE CASE WHEN bool_or(o.control) THEN 3 ELSE 2 END - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END END AS grade
    FROM opened o
    LEFT JOIN prompts q ON q.session_id = o.session_id AND q.time <= o.time
         AND regexp_like(q.text, '\b(tunnel\w*|ngrok|cloudflared|chisel|bore|frp|funnel|zrok|port[ -]?forward\w*|reverse forward\w*|expos\w+|publicly|from outside|reachable|share (my|the) (local|dev)\w*)\b', 'i')
    GROUP BY o.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' opened a way in: ' || left(min(what), 160) AS message,
       array_sort(array_agg(DISTINCT left(what, 200))) AS commands
FROM graded
GROUP BY session_id
