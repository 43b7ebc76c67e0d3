-- id = "open_link_filled"
-- title = "A link that a page left open was filled with private data and called up"
-- level = "medium"
-- status = "test"
-- description = """
--   What others wrote names an address of another site that ends where a value belongs (https://host/p?u=), and the agent called up that address with a value out of a private source behind it: the page
--   asks for the data, and the agent's fetch delivers it.
--   high: what was put there is a secret, or comes from a tool that hands out credentials, or has 40 bytes and more. medium: any other value of a private result, such as a phone number or an account.
--   low: the user had named the value. Needs payloads. A value that was put in other words is not seen; image_link_carries_data and long_query_to_new_host look at the address alone.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp06", "owasp.asi01", "owasp.asi02", "atlas.AML.T0086", "atlas.AML.T0051.001", "attack.T1567"]
-- falsepositives = ["a documented service that is asked with a value of the user's own data (medium)"]
-- needs = ["arguments", "results"]
-- helps = ["prompts"]
-- window = "24h"
WITH open AS (                   -- addresses that end with a sign for a value
    SELECT call_id, session_id, time, value FROM observables
    WHERE origin = 'result' AND type = 'url' AND ends_with(value, '=') AND length(value) BETWEEN 12 AND 1024
),
filled AS (
    SELECT o.session_id, o.call_id AS sink_id, o.time, min(o.value) AS address, min(p.call_id) AS page_id, min(p.time) AS page_time
    FROM open p
    JOIN observables o ON o.session_id = p.session_id
    WHERE o.origin = 'argument' AND o.type = 'url' AND o.time > p.time AND length(o.value) >= length(p.value) + 6 AND starts_with(o.value, p.value)
    GROUP BY o.session_id, o.call_id, o.time
),
page AS (                        -- the page is of another site: a site's own search is asked like this
    SELECT f.sink_id, min(f.session_id) AS session_id, min(f.time) AS time, min(f.address) AS address, min(f.page_id) AS page_id, min(f.page_time) AS page_time
    FROM filled f
    JOIN calls s ON s.call_id = f.page_id
    LEFT JOIN observables u ON u.call_id = f.page_id AND u.origin = 'argument' AND u.type = 'url'
    WHERE has_capability(s.capabilities, 'reads_untrusted')
    GROUP BY f.sink_id
    HAVING NOT coalesce(bool_or(registrable_domain(host_of(u.value)) = registrable_domain(host_of(f.address))), false)
),
carried AS (                     -- out of a private result into the call
    SELECT p.sink_id, min(p.session_id) AS session_id, min(p.time) AS time, min(p.address) AS address, min(p.page_id) AS page_id, min(p.page_time) AS page_time,
           min(v.agent) AS agent, min(v.source_call_id) AS source_id, min(v.source_time) AS source_time, min(concat_ws('/', v.source_server, v.source_tool)) AS source,
           CASE WHEN coalesce(bool_and(v.user_named), false) THEN 1
                WHEN bool_or(v.kind = 'secret' OR has_capability(v.source_capabilities, 'credentials') OR v.bytes >= 40) THEN 3 ELSE 2 END AS grade
    FROM page p
    JOIN flows v ON v.sink_call_id = p.sink_id AND v.source_call_id <> p.page_id
    WHERE v.kind IN ('value', 'content', 'secret') AND array_has_any(v.source_capabilities, make_array('reads_private', 'credentials')) AND v.bytes >= 6
      AND strpos(p.address, coalesce(v.value, '')) <> 1
    GROUP BY p.sink_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(source) AS source, min(address) AS address
    FROM (SELECT *, unnest(make_array(named_struct('id', page_id, 'at', page_time), named_struct('id', source_id, 'at', source_time), named_struct('id', sink_id, 'at', time))) AS ev FROM carried)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       'what ' || min(source) || ' returned went into an address of ' || coalesce(host_of(min(address)), 'another site') || ' that a page had left open' AS message,
       host_of(min(address)) AS destination
FROM evidence
GROUP BY session_id
