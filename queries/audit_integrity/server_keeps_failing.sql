-- id = "server_keeps_failing"
-- title = "Server that worked fails to start or drops its connections again and again"
-- level = "low"
-- status = "test"
-- description = """
--   A server that had worked before fails at least min_failures times in an hour at the start of a connection (initialize) or by lost connections, in at least two sessions: it crashes, was replaced by
--   something else, or somebody keeps it from working, and what it did in between may be missing from the log.
--   medium: afterwards it works again with another version, name, address or command than before. low: anything else. One finding per server and hour.
--   """
-- tags = ["owasp.mcp08", "owasp.mcp09", "owasp.asi08", "owasp.asi04", "atlas.AML.T0029", "attack.T1499", "attack.T1489"]
-- falsepositives = ["an outage", "a faulty release"]
-- window = "24h"
-- needs = []
-- helps = ["protocol_messages", "connections", "server_addresses"]
-- params = { min_failures = 5 }
WITH failed AS (
    SELECT server, date_bin(INTERVAL '1 hour', time) AS slot, min(time) AS first_seen, max(time) AS last_seen, count(*) AS failures, count(DISTINCT session_id) AS sessions,
           CASE WHEN count(DISTINCT agent) = 1 THEN min(agent) END AS agent, array_slice(array_agg(call_id ORDER BY time, call_id), 1, 30) AS call_ids
    FROM calls
    WHERE server IS NOT NULL AND ((method = 'initialize' AND outcome NOT IN ('success', 'unknown')) OR outcome = 'transport_error')
    GROUP BY server, date_bin(INTERVAL '1 hour', time)
    HAVING count(*) >= $min_failures AND count(DISTINCT session_id) >= 2
),
lived AS (
    SELECT f.server, f.slot,
           last_value(concat_ws(' ', c.server_info_name, c.server_info_version, c.server_url, c.server_address, c.server_command) ORDER BY c.time) FILTER (WHERE c.time < f.first_seen) AS identity_before,
           first_value(concat_ws(' ', c.server_info_name, c.server_info_version, c.server_url, c.server_address, c.server_command) ORDER BY c.time) FILTER (WHERE c.time > f.last_seen) AS identity_after,
           min(c.call_id) FILTER (WHERE c.time > f.last_seen) AS later_id, count(*) FILTER (WHERE c.time < f.first_seen) AS worked_before
    FROM failed f JOIN calls c ON c.server = f.server
    WHERE c.outcome = 'success' AND c.time >= f.slot - INTERVAL '1 day' AND c.time <= f.slot + INTERVAL '1 day'
    GROUP BY f.server, f.slot
)
SELECT f.agent, f.server, f.first_seen, f.last_seen, f.call_ids, CASE WHEN l.identity_after <> l.identity_before AND l.identity_after <> '' AND l.identity_before <> '' THEN 'medium' ELSE 'low' END AS level,
       f.server || ' failed ' || CAST(f.failures AS VARCHAR) || ' times in an hour, in ' || CAST(f.sessions AS VARCHAR) || ' sessions, after it had worked'
           || CASE WHEN l.identity_after <> l.identity_before AND l.identity_after <> '' AND l.identity_before <> '' THEN '; then it is ' || l.identity_after || ', before it was ' || l.identity_before ELSE '' END AS message,
       f.failures, f.sessions, l.identity_before, l.identity_after
FROM failed f JOIN lived l ON l.server = f.server AND l.slot = f.slot
WHERE l.worked_before > 0
