-- id = "long_query_to_new_host"
-- title = "Address that is opened carries a payload in its query or path"
-- level = "medium"
-- status = "stable"
-- description = """
--   A URL in an argument holds a long encoded value in its query, path or fragment, and goes to a host that the session had not used: a page that is only read
--   can carry data away in its address.
--   high: private data was read before in the session, and several such addresses, or a very long one, went to one host. medium: one, after private data was read.
--   low: none was. Addresses that a result gave as they are (links, signed downloads) and internal hosts are left out; so are hosts that `min_sessions` sessions of the lake use.
--   Short values in clear text are not seen here; what came out of a private result is private_content_to_new_place, and encoded content_sent_encoded.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0086", "atlas.AML.T0077", "attack.T1567", "attack.T1041", "attack.T1132.001"]
-- falsepositives = ["search pages and maps whose state stands in the address", "tracking links that the agent builds"]
-- needs = ["arguments"]
-- helps = ["durations", "prompts", "results"]
-- window = "7d"
-- params = { min_value = 64, long = 300, several = 3, min_sessions = 5 }
WITH urls AS (
    SELECT call_id, session_id, time, value, host_of(value) AS host,
           regexp_replace(value, '^.*?([A-Za-z0-9_-]{48,}|[A-Za-z0-9+_=-]{64,}|(%[2-7][0-9A-Fa-f][A-Za-z0-9]{0,3}){20,}|[0-9a-fA-F]{64,}).*$', '\1') AS payload
    FROM observables
    WHERE origin = 'argument' AND type = 'url' AND octet_length(value) >= $min_value
      AND regexp_like(value, '[?#/=][^?#/=]*([A-Za-z0-9_-]{48,}|[A-Za-z0-9+_=-]{64,}|(%[2-7][0-9A-Fa-f][A-Za-z0-9]{0,3}){20,}|[0-9a-fA-F]{64,})')
      AND NOT is_internal_address(value)
),
encoded AS (                     -- words joined by hyphens are titles
    SELECT * FROM urls
    WHERE (entropy(payload) >= 3.4 OR starts_with(payload, '%')) AND NOT regexp_like(payload, '^([A-Za-z]+|[0-9]{1,4})([-_]([A-Za-z]+|[0-9]{1,4}))+$') AND strpos(payload, '[secret:') = 0
),
candidates AS (
    SELECT e.call_id, min(e.session_id) AS session_id, min(e.time) AS time, min(e.host) AS host, max(octet_length(e.value)) AS bytes, min(e.value) AS url,
           count(r.flow_id) > 0 AS given
    FROM encoded e
    -- Of a long value a flow holds the beginning.
    LEFT JOIN flows r ON r.sink_call_id = e.call_id AND ((r.kind = 'value' AND starts_with(e.value, r.value) AND octet_length(r.value) >= least(octet_length(e.value), 200)) OR (r.kind = 'content' AND r.bytes >= octet_length(e.value)))
    GROUP BY e.call_id
),
hosts AS (
    SELECT o.host, count(DISTINCT o.session_id) AS sessions
    FROM (SELECT host_of(value) AS host, session_id FROM observables WHERE origin = 'argument' AND type = 'url') o
    WHERE o.host IN (SELECT host FROM candidates)
    GROUP BY o.host
),
private AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND array_has_any(capabilities, make_array('reads_private', 'credentials'))
    GROUP BY session_id
),
sent AS (
    SELECT c.call_id, c.session_id, c.time, c.host, c.bytes, c.url, a.agent, a.server, a.tool, coalesce(p.since < c.time, false) AS after_private
    FROM candidates c
    JOIN calls a ON a.call_id = c.call_id
    LEFT JOIN hosts h ON h.host = c.host
    LEFT JOIN private p ON p.session_id = c.session_id
    WHERE NOT c.given AND coalesce(h.sessions, 0) < $min_sessions
      AND a.event_kind = 'call' AND a.method = 'tools/call' AND a.outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      AND array_has_any(a.capabilities, make_array('reads_untrusted', 'egress', 'executes'))
      AND (has_capability(a.capabilities, 'executes') OR strpos(a.arguments, '"' || c.url || '"') > 0)
),
asked AS (
    SELECT s.call_id, min(s.session_id) AS session_id, min(s.time) AS time, min(s.host) AS host, max(s.bytes) AS bytes, min(s.agent) AS agent, min(s.server) AS server, min(s.tool) AS tool,
           bool_or(s.after_private) AS after_private
    FROM sent s
    LEFT JOIN prompts q ON q.session_id = s.session_id AND q.time <= s.time AND strpos(lower(q.text), s.host) > 0
    GROUP BY s.call_id
    HAVING count(q.session_id) = 0
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE WHEN bool_or(after_private) AND (count(*) >= $several OR max(bytes) >= $long) THEN 'high' WHEN bool_or(after_private) THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' opened ' || CAST(count(*) AS VARCHAR) || ' address(es) of ' || host || ' with an encoded payload of up to ' || CAST(max(bytes) AS VARCHAR) || ' bytes' AS message,
       host AS destination, count(*) AS requests, max(bytes) AS largest_bytes
FROM asked
GROUP BY session_id, host
