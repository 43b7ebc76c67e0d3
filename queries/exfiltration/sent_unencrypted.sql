-- id = "sent_unencrypted"
-- title = "Data sent to a public host without encryption, or at an unusual port"
-- level = "low"
-- status = "test"
-- description = """
--   A tool that can send data was given an address that begins with http:// or ftp://, or an https address at an unusual port, on a public host.
--   high: the arguments hold a secret. medium: private data was read in the session before and the arguments are larger than min_bytes, or the host is a bare address. low: anything else.
--   Reading pages (fetch, browse) is left out, and so are internal hosts and addresses that stand in a longer text.
--   """
-- tags = ["owasp.mcp07", "owasp.mcp10", "owasp.asi02", "atlas.AML.T0025", "attack.T1048.003", "attack.T1571"]
-- falsepositives = ["old services of partners that have no TLS"]
-- window = "24h"
-- needs = ["arguments"]
-- helps = ["argument_sizes"]
-- params = { min_bytes = 512, usual_ports = [443, 8443] }
WITH address AS (
    SELECT call_id, value, host_of(value) AS host, regexp_like(value, '^(http|ftp|ws|telnet|ldap)://', 'i') AS plain,
           TRY_CAST(regexp_match(value, '^[A-Za-z]+://[^/?#]*:([0-9]{1,5})([/?#]|$)')[1] AS BIGINT) AS port
    FROM observables
    WHERE origin = 'argument' AND type = 'url' AND NOT is_internal_address(value)
      AND (regexp_like(value, '^(http|ftp|ws|telnet|ldap)://', 'i') OR regexp_like(value, '^https://[^/?#]*:[0-9]', 'i'))
),
sent AS (
    SELECT a.call_id, a.value, a.host, a.plain, a.port, c.session_id, c.agent, c.server, c.tool, c.time, c.arguments_bytes
    FROM address a JOIN calls c ON c.call_id = a.call_id
    WHERE (a.plain OR NOT array_has($usual_ports, a.port)) AND c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome IN ('success', 'unknown', 'no_response')
      AND has_capability(c.capabilities, 'egress') AND NOT array_has_any(c.capabilities, make_array('executes', 'reads_untrusted'))
      AND strpos(c.arguments, '"' || a.value || '"') > 0 AND strpos(a.host, '.') > 0
),
facts AS (
    SELECT s.call_id, coalesce(bool_or(r.time < s.time AND has_capability(r.capabilities, 'reads_private') AND r.outcome = 'success'), false) AS private
    FROM sent s JOIN calls r ON r.session_id = s.session_id
    GROUP BY s.call_id
),
secret AS (
    SELECT DISTINCT o.call_id FROM observables o WHERE o.type = 'secret' AND o.origin = 'argument' AND o.call_id IN (SELECT call_id FROM sent)
)
SELECT s.session_id, min(s.agent) AS agent, CASE WHEN count(DISTINCT s.server) = 1 THEN min(s.server) END AS server, min(s.time) AS first_seen, max(s.time) AS last_seen, array_slice(array_agg(DISTINCT s.call_id ORDER BY s.call_id), 1, 30) AS call_ids,
       CASE WHEN count(k.call_id) > 0 THEN 'high' WHEN bool_or((f.private AND s.arguments_bytes >= $min_bytes) OR regexp_like(s.host, '^[0-9.]+$')) THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', s.server, s.tool)) || ' sent to ' || left(min(s.value), 160) || CASE WHEN bool_or(s.plain) THEN ' without encryption' ELSE ' at an unusual port' END
           || CASE WHEN count(k.call_id) > 0 THEN ', with a secret' WHEN bool_or(f.private) THEN ', after private data was read' ELSE '' END AS message,
       s.host AS destination, max(s.arguments_bytes) AS largest_bytes, count(DISTINCT s.call_id) AS calls
FROM sent s LEFT JOIN facts f ON f.call_id = s.call_id LEFT JOIN secret k ON k.call_id = s.call_id
GROUP BY s.session_id, s.host
