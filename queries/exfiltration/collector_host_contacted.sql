-- id = "collector_host_contacted"
-- title = "Request goes to a service for catching requests, pasting, tunnels or short-lived files"
-- level = "medium"
-- status = "stable"
-- description = """
--   An argument sends a tool to a public service where anybody can receive data without an account: request catchers, paste bins, temporary file hosts, tunnels, out-of-band test domains, link shorteners, bot APIs of messengers.
--   high: data was sent there (a sending tool, an upload, an address with a payload) after private data was read in the session. medium: data was sent and nothing private was read, or the place was opened and only
--   a result had named it. low: it was opened, or the user named it.
--   The list is the parameter `hosts`, matched by the end of the host name. Attackers' own domains are not on any list: see private_content_to_new_place and long_query_to_new_host.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0086", "atlas.AML.T0108", "attack.T1567.003", "attack.T1102", "attack.T1572"]
-- falsepositives = ["developers who test webhooks with such a service"]
-- needs = ["arguments"]
-- helps = ["durations", "prompts", "results"]
-- window = "24h"
-- params = { hosts = ["webhook.site", "requestbin.com", "requestbin.net", "pipedream.net", "beeceptor.com", "hookbin.com", "requestcatcher.com", "ptsv3.com", "interact.sh", "oast.fun", "oast.pro", "oast.live", "oast.site", "oast.online", "oast.me", "burpcollaborator.net", "oastify.com", "dnslog.cn", "ceye.io", "canarytokens.com", "pastebin.com", "paste.ee", "hastebin.com", "dpaste.org", "ix.io", "termbin.com", "rentry.co", "0x0.st", "transfer.sh", "file.io", "tmpfiles.org", "gofile.io", "catbox.moe", "anonfiles.com", "bashupload.com", "temp.sh", "ngrok.io", "ngrok.app", "ngrok-free.app", "ngrok.dev", "trycloudflare.com", "loca.lt", "serveo.net", "localhost.run", "pagekite.me", "bit.ly", "tinyurl.com", "is.gd", "api.telegram.org", "discord.com/api/webhooks", "discordapp.com/api/webhooks"] }
WITH places AS (
    SELECT call_id, session_id, time, value, CASE WHEN type = 'url' THEN host_of(value) ELSE lower(value) END AS host
    FROM observables
    WHERE origin = 'argument' AND type IN ('url', 'domain')
      AND regexp_like(value, '(^|[/.@])(' || array_to_string($hosts, '|') || ')($|[/:?#])', 'i')
),
private AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND array_has_any(capabilities, make_array('reads_private', 'credentials'))
    GROUP BY session_id
),
reached AS (
    SELECT p.call_id, min(p.session_id) AS session_id, min(p.time) AS time, min(p.host) AS host, min(c.agent) AS agent, min(c.server) AS server, min(c.tool) AS tool, bool_or(v.since < c.time) AS after_private,
           bool_or((has_capability(c.capabilities, 'egress') AND NOT array_has_any(c.capabilities, make_array('reads_untrusted', 'executes')))
                   OR (has_capability(c.capabilities, 'executes') AND regexp_like(c.arguments, '\s(-T|-F|-d|--data\S*|--upload-file|--form|-X\s*(POST|PUT))\s?|\|\s*(nc|curl)\b|\bngrok\s+(http|tcp)|\bcloudflared\s+tunnel|\bssh\s+-R\s'))
                   OR regexp_like(p.value, '[?&#][^=&]*=[^&]{24,}|/[A-Za-z0-9_+%=-]{60,}')) AS sends
    FROM places p
    JOIN calls c ON c.call_id = p.call_id
    LEFT JOIN private v ON v.session_id = p.session_id
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      AND (has_capability(c.capabilities, 'executes') OR (array_has_any(c.capabilities, make_array('egress', 'reads_untrusted')) AND strpos(c.arguments, '"' || p.value || '"') > 0))
    GROUP BY p.call_id
),
named AS (
    SELECT r.call_id, min(r.session_id) AS session_id, min(r.time) AS time, min(r.host) AS host, min(r.agent) AS agent, min(r.server) AS server, min(r.tool) AS tool, coalesce(bool_or(r.after_private), false) AS after_private, bool_or(r.sends) AS sends,
           coalesce(bool_or(f.first_origin), false) AS in_result
    FROM reached r
    LEFT JOIN flows f ON f.sink_call_id = r.call_id AND f.kind = 'value' AND coalesce(host_of(f.value), lower(f.value)) = r.host
    GROUP BY r.call_id
),
graded AS (
    SELECT n.call_id, min(n.session_id) AS session_id, min(n.time) AS time, min(n.host) AS host, min(n.agent) AS agent, min(n.server) AS server, min(n.tool) AS tool, bool_or(n.sends) AS sends,
           CASE WHEN count(q.session_id) > 0 THEN 1 WHEN bool_or(n.sends AND n.after_private) THEN 3 WHEN bool_or(n.sends OR n.in_result) THEN 2 ELSE 1 END AS grade
    FROM named n
    LEFT JOIN prompts q ON q.session_id = n.session_id AND q.time <= n.time AND strpos(lower(q.text), n.host) > 0
    GROUP BY n.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(sends) THEN ' sent data to ' ELSE ' opened ' END || array_to_string(array_slice(array_sort(array_agg(DISTINCT host)), 1, 3), ', ') AS message,
       array_sort(array_agg(DISTINCT host)) AS hosts
FROM graded
GROUP BY session_id
