-- id = "browser_session_taken"
-- title = "Cookies or session tokens of a page were read by a script in the browser"
-- level = "medium"
-- status = "test"
-- description = """
--   A browser tool ran a script that reads cookies, or what a page keeps of a login, on a page that is not of the own machine or network. Who has them is logged in as the user, without a password.
--   high: what it returned went into a later call that can send. medium: it was read. low: the page is in the domain of the user's own address (tests of an own site), or the call failed.
--   A single value of the page's storage whose name says nothing of a login is none. Needs arguments; the page is the last address that was opened at that server in the session.
--   """
-- tags = ["owasp.mcp01", "owasp.asi03", "atlas.AML.T0055", "atlas.AML.T0098", "attack.T1539", "attack.T1550.004"]
-- falsepositives = ["tests of a login on a site of somebody else", "a browser state that is saved for the next run"]
-- needs = ["arguments"]
-- helps = ["argument_sizes", "results", "users"]
-- window = "4h"
-- params = { max_bytes = 65536 }
WITH taken AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, registrable_domain(lower(split_part(coalesce(user_email, CASE WHEN strpos(user_id, '@') > 0 THEN user_id END), '@', 2))) AS own_domain
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled', 'protocol_error') AND arguments_bytes <= $max_bytes
      AND regexp_like(tool, 'evaluat|run_?code|script|javascript|execute_?js|storage_?state|cookies?$', 'i')
      AND (regexp_like(tool, 'storage_?state|(get|read|dump|export|list)_?\w*cookies?$', 'i')
           OR regexp_like(arguments, 'document\s*\.\s*cookie\s*([^\s=]|=[=>]|$)|\.cookies\(|storageState\(|cookieStore\s*\.\s*get|get(All)?Cookies|JSON\.stringify\(\s*(window\.)?(local|session)Storage|Object\.(entries|assign|values)\([^)]*(local|session)Storage|(local|session)Storage\s*\.\s*getItem\([^)]*(token|auth|session|jwt|sid|login|credential)', 'i'))
),
page AS (                        -- the page that is open
    SELECT t.call_id, last_value(host_of(o.value) ORDER BY o.time, o.call_id) AS host, coalesce(last_value(is_internal_address(o.value) ORDER BY o.time, o.call_id), false) AS internal
    FROM taken t
    JOIN observables o ON o.session_id = t.session_id AND o.server = t.server AND o.time <= t.time
    WHERE o.origin = 'argument' AND o.type = 'url'
    GROUP BY t.call_id
),
sent AS (
    SELECT source_call_id, min(sink_call_id) AS sink_id, min(time) AS sink_time, min(concat_ws('/', sink_server, sink_tool)) AS sink
    FROM flows
    WHERE kind IN ('value', 'content', 'secret') AND bytes >= 12 AND has_capability(sink_capabilities, 'egress') AND source_call_id IN (SELECT call_id FROM taken)
    GROUP BY source_call_id
),
graded AS (
    SELECT t.call_id, t.session_id, t.agent, t.server, t.tool, t.time, p.host, s.sink_id, s.sink_time, s.sink,
           CASE WHEN t.outcome NOT IN ('success', 'unknown', 'no_response') THEN 1 WHEN s.sink_id IS NOT NULL THEN 3
                WHEN coalesce(registrable_domain(p.host) = t.own_domain, false) THEN 1 ELSE 2 END AS grade
    FROM taken t
    JOIN page p ON p.call_id = t.call_id
    LEFT JOIN sent s ON s.source_call_id = t.call_id
    WHERE NOT p.internal
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(host) AS host, min(sink) AS sink
    FROM (SELECT *, unnest(CASE WHEN sink_id IS NOT NULL THEN make_array(named_struct('id', call_id, 'at', time), named_struct('id', sink_id, 'at', sink_time))
                                ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev FROM graded)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' read cookies or session tokens of ' || coalesce(min(host), 'a page') || coalesce(', which went into ' || min(sink), '') AS message,
       min(host) AS host
FROM evidence
GROUP BY session_id
