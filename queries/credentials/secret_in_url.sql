-- id = "secret_in_url"
-- title = "Secret stands in an address that a tool was told to open"
-- level = "medium"
-- status = "stable"
-- description = """
--   The URL in an argument carries a secret: in the query, the path, or as user and password. Addresses end in the logs of proxies and servers and in browser
--   histories, and a page that is only read can carry a secret away in this way.
--   high: the same secret came out of a result of this session. medium: it did not, and the host is no internal one. low: internal hosts, and
--   webhooks and other keys at the site that issued them, and links that a result gave as they are or that are made for handing on (signed downloads, shares, invitations).
--   A link in a text that is sent is secret_written_down. Values whose form gives no secret away are not recognised.
--   """
-- tags = ["owasp.mcp01", "owasp.mcp10", "owasp.asi03", "atlas.AML.T0057", "atlas.AML.T0055", "attack.T1552", "attack.T1567"]
-- falsepositives = ["services that take their key only in the address"]
-- needs = ["arguments"]
-- helps = ["results"]
-- window = "24h"
WITH link AS (SELECT DISTINCT call_id, origin, secret FROM link_signatures),   -- as a step: computed once for all rules
carried AS (
    SELECT call_id, session_id, server, tool, time, value AS url, is_mention(path) AS mentioned, host_of(value) AS host,
           regexp_replace(value, '^.*?(\[secret:[^\]]+\]).*$', '\1') AS secret
    FROM observables
    WHERE type = 'url' AND origin = 'argument' AND strpos(value, '[secret:') > 0
),
traced AS (                      -- whence the secret?
    SELECT c.call_id, c.url, min(c.session_id) AS session_id, min(c.server) AS server, min(c.tool) AS tool, min(c.time) AS time, min(c.host) AS host, min(c.secret) AS secret, bool_and(c.mentioned) AS mentioned, count(r.call_id) > 0 AS from_result,
           first_value(named_struct('id', r.call_id, 'at', r.time) ORDER BY r.time, r.call_id) FILTER (WHERE r.call_id IS NOT NULL) AS source
    FROM carried c
    LEFT JOIN observables r ON r.type = 'secret' AND r.origin = 'result' AND r.session_id = c.session_id AND r.value = c.secret AND r.time <= c.time AND r.call_id <> c.call_id
    GROUP BY c.call_id, c.url
),
linked AS (                      -- and the whole link?
    SELECT t.call_id, t.url, min(t.session_id) AS session_id, min(t.server) AS server, min(t.tool) AS tool, min(t.time) AS time, min(t.host) AS host, min(t.secret) AS secret, bool_and(t.mentioned) AS mentioned, bool_or(t.from_result) AS from_result,
           first_value(t.source) AS source,
           -- Texts often leave the scheme out.
           count(f.flow_id) > 0 OR coalesce(bool_or(strpos(x.result, regexp_replace(t.url, '^\w+://', '')) > 0), false) AS same_link
    FROM traced t
    LEFT JOIN flows f ON f.sink_call_id = t.call_id AND f.kind = 'value' AND starts_with(t.url, f.value) AND octet_length(f.value) >= least(octet_length(t.url), 200)
    LEFT JOIN calls x ON x.call_id = t.source['id']
    GROUP BY t.call_id, t.url
),
graded AS (
    SELECT t.*, a.agent, CASE WHEN t.same_link OR l.call_id IS NOT NULL
               -- The address of a webhook is its key: there it is used where it was issued.
               OR coalesce(starts_with(registrable_domain(t.host), regexp_match(t.secret, '^\[secret:([a-z]+)_')[1] || '.'), false) OR coalesce(is_internal_address(t.host), true) THEN 1 WHEN t.from_result THEN 3 ELSE 2 END AS grade
    FROM linked t JOIN calls a ON a.call_id = t.call_id LEFT JOIN link l ON l.call_id = t.call_id AND l.origin = 'argument' AND l.secret = t.secret
    WHERE a.event_kind = 'call' AND a.method = 'tools/call' AND a.outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      -- A link in a text that is sent is written down, not opened.
      AND NOT (t.mentioned AND NOT array_has_any(a.capabilities, make_array('reads_untrusted', 'executes')))
      AND (array_has_any(a.capabilities, make_array('egress', 'reads_untrusted', 'executes')) OR strpos(a.arguments, '"' || t.url || '"') > 0)
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(secret) AS secret,
           array_agg(DISTINCT host) AS hosts
    FROM (SELECT *, unnest(CASE WHEN source IS NOT NULL THEN make_array(source, named_struct('id', call_id, 'at', time))
                                ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev FROM graded)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' was given an address of ' || array_to_string(array_slice(array_sort(array_distinct(flatten(array_agg(hosts)))), 1, 3), ', ')
           || ' with ' || min(secret) AS message,
       min(secret) AS secret, array_sort(array_distinct(flatten(array_agg(hosts)))) AS hosts
FROM evidence
GROUP BY session_id
