-- id = "unapproved_server"
-- title = "Server that is not on the list of approved servers"
-- level = "medium"
-- status = "stable"
-- description = """
--   Calls went to a server that the user's list of approved servers does not name. An entry names an alias, the server's own name, or
--   a host; `*` in it stands for anything, so "*.corp.example" approves every host of a company. A server whose address is known must have an
--   approved host if the list has any hosts: an approved alias that points elsewhere is found too.
--   high: the calls can send, write, run, pay or destroy. medium: they read. low: all were denied or failed.
--   The list is empty until the user sets it, and the rule is quiet as long. One finding per agent and server. Works on metadata alone.
--   """
-- tags = ["owasp.mcp09", "owasp.asi04", "atlas.AML.T0010.005", "attack.T1199"]
-- falsepositives = ["an approved server under an alias that the list lacks"]
-- window = "24h"
-- needs = []
-- helps = ["users", "server_addresses", "connections"]
-- params = { approved = [] }
WITH used AS (
    SELECT coalesce(agent, user_id) AS who, server, server_info_name, server_url, server_address, min(agent) AS agent, min(user_id) AS user_id,
           count(*) AS calls, count(*) FILTER (WHERE outcome = 'success') AS worked,
           bool_or(outcome = 'success'
                   AND array_has_any(capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays', 'credentials'))) AS acts
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND server IS NOT NULL AND array_length($approved) > 0
    GROUP BY coalesce(agent, user_id), server, server_info_name, server_url, server_address
),
pattern AS (
    SELECT '^' || regexp_replace(regexp_replace(lower(entry), '[^a-z0-9*]', '[\0]', 'g'), '[*]', '.*', 'g') || '$' AS pattern,
           regexp_like(entry, '^[A-Za-z0-9*-]+([.][A-Za-z0-9*-]+)+$') AS is_host
    FROM (SELECT unnest(CAST($approved AS VARCHAR[])) AS entry)
),
named AS (
    SELECT u.who, u.server, u.server_info_name, u.host, min(u.agent) AS agent, min(u.user_id) AS user_id, bool_or(u.acts) AS acts,
           max(u.worked) AS worked,
           coalesce(bool_or(regexp_like(lower(u.server), p.pattern) OR regexp_like(lower(u.server_info_name), p.pattern)), false) AS name_approved,
           coalesce(bool_or(p.is_host AND regexp_like(u.host, p.pattern)), false) AS host_approved, bool_or(p.is_host) AS has_hosts
    FROM (SELECT *, host_of(coalesce(server_url, 'mcp://' || server_address)) AS host FROM used) u
    CROSS JOIN pattern p
    GROUP BY u.who, u.server, u.server_info_name, u.host
),
refused AS (
    SELECT who, server, min(agent) AS agent, min(user_id) AS user_id, bool_or(acts) AS acts, max(worked) AS worked, min(host) AS host,
           bool_or(name_approved) AS elsewhere
    FROM named
    WHERE NOT (host_approved OR (name_approved AND (host IS NULL OR NOT has_hosts)))
    GROUP BY who, server
),
evidence AS (
    SELECT r.who, r.server, min(c.time) AS first_seen, max(c.time) AS last_seen, count(*) AS calls,
           array_agg(c.call_id ORDER BY c.time, c.call_id) AS call_ids
    FROM refused r
    JOIN calls c ON c.server = r.server AND (coalesce(c.agent, c.user_id) IS NOT DISTINCT FROM r.who)
    WHERE c.event_kind = 'call' AND c.method = 'tools/call'
    GROUP BY r.who, r.server
)
SELECT r.agent, CASE WHEN r.agent IS NULL THEN r.user_id END AS user_id, r.server, e.first_seen, e.last_seen,
       array_slice(e.call_ids, 1, 10) AS call_ids,
       CASE WHEN r.acts THEN 'high' WHEN r.worked > 0 THEN 'medium' ELSE 'low' END AS level,
       coalesce(r.who || ' called ', '') || r.server || coalesce(' at ' || r.host, '') || ' '
           || CASE WHEN r.elsewhere THEN ', an approved name at a host that is not approved' ELSE ', which is not approved' END AS message,
       e.calls, r.host
FROM refused r
JOIN evidence e ON e.server = r.server AND (e.who IS NOT DISTINCT FROM r.who)
