-- id = "new_field_carries_address"
-- title = "An argument that never held an address or a secret now does"
-- level = "medium"
-- status = "test"
-- description = """
--   A tool has been called often, and the addresses (URL, e-mail, IP, wallet, IBAN) and secrets in its arguments always stood in the same fields. Now one stands in a field that never had
--   one: a blind copy, a callback, a note that carries a key.
--   high: the field holds a secret, or untrusted content was read in the session before and the tool sends or pays. medium: the tool sends or pays. low: anything else.
--   Fields are compared by their path without the numbers of list items, over all agents. Quiet until the tool has min_calls calls with addresses or secrets in min_sessions
--   sessions of the 30 days before; the finding says how many. Fields that hold free text (many words) are left out by their other values.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp05", "owasp.asi02", "atlas.AML.T0086", "attack.T1567", "attack.T1114.003"]
-- falsepositives = ["a new optional argument of a tool, used for the first time"]
-- window = "31d"
-- history = "2d"
-- needs = ["arguments"]
-- params = { min_calls = 30, min_sessions = 5 }
WITH field AS (
    SELECT server, tool, regexp_replace(path, '/[0-9]+', '/*', 'g') AS path, type = 'secret' AS secret, session_id, min(time) AS time, count(*) AS calls, min(call_id) AS call_id, min(value) AS value
    FROM observables
    WHERE origin = 'argument' AND type IN ('url', 'email', 'ip', 'wallet', 'iban', 'secret') AND tool IS NOT NULL AND path IS NOT NULL
    GROUP BY server, tool, regexp_replace(path, '/[0-9]+', '/*', 'g'), type = 'secret', session_id
),
seen AS (
    SELECT *, lag(time) OVER (PARTITION BY server, tool, path, secret ORDER BY time, session_id) AS before,
           sum(calls) OVER past AS tool_calls, count(*) OVER past AS tool_sessions
    FROM field
    WINDOW past AS (PARTITION BY server, tool ORDER BY time RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 second' PRECEDING)
),
fresh AS (
    SELECT *, count(*) OVER (PARTITION BY server, tool) AS fresh_fields FROM seen
    WHERE (before IS NULL OR before < time - INTERVAL '30 days') AND tool_calls >= $min_calls AND tool_sessions >= $min_sessions
),
call AS (
    SELECT f.path, f.secret, f.value, f.tool_calls, f.tool_sessions, c.call_id, c.session_id, c.agent, c.server, c.tool, c.time,
           array_has_any(c.capabilities, make_array('egress', 'pays')) AS sends, array_has_any(c.capabilities, make_array('executes', 'reads_untrusted')) AS open_text
    FROM fresh f JOIN calls c ON c.call_id = f.call_id
    WHERE f.fresh_fields <= 5
),
tainted AS (
    SELECT session_id, min(time) AS untrusted_at FROM calls
    WHERE has_capability(capabilities, 'reads_untrusted') AND outcome = 'success' AND event_kind = 'call' GROUP BY session_id
)
SELECT k.session_id, k.agent, k.server, k.tool, k.time AS first_seen, k.time AS last_seen, make_array(k.call_id) AS call_ids,
       CASE WHEN k.secret OR (k.sends AND t.untrusted_at < k.time) THEN 'high' WHEN k.sends THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', k.server, k.tool) || ' was given ' || left(k.value, 120) || ' in ' || k.path || ', which never held ' || CASE WHEN k.secret THEN 'a secret' ELSE 'an address' END
           || ' (history of ' || CAST(k.tool_calls AS VARCHAR) || ' calls in ' || CAST(k.tool_sessions AS VARCHAR) || ' sessions)' AS message,
       k.path AS field, left(k.value, 300) AS value, k.tool_calls AS history_calls, k.tool_sessions AS history_sessions
FROM call k LEFT JOIN tainted t ON t.session_id = k.session_id
WHERE NOT k.open_text
