-- id = "webhook_created"
-- title = "Webhook or event subscription to an outside address was created"
-- level = "medium"
-- status = "stable"
-- description = """
--   A call registered an address that from then on gets events by itself: webhooks of code hosts, payment and chat services, event
--   subscriptions, streams, notification endpoints. Data flows on after the session has ended.
--   high: only untrusted content of the session had named the host, or it is a bare IP address or a service for catching requests or
--   tunnelling. medium: a host that the session's arguments had not named before. low: a host that was in use or lies in the domain of the user's own address, or the log does not hold the address.
--   One level less when the user named the host. Internal addresses and failed attempts are left out.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp10", "owasp.asi02", "atlas.AML.T0081", "atlas.AML.T0086", "attack.T1567.004", "attack.T1546"]
-- falsepositives = ["setting up an integration on the user's request, where the log holds no prompts"]
-- needs = []
-- helps = ["arguments", "prompts", "results", "users"]
-- window = "24h"
WITH hooks AS (
    SELECT call_id, session_id, agent, server, tool, time, registrable_domain(lower(split_part(mailbox, '@', 2))) AS own_domain, arguments IS NULL AS unlogged,
           -- Where a command registers it, which is not where events go.
           CASE WHEN has_capability(capabilities, 'executes') THEN host_of(regexp_match(arguments, '(https?://[^\s"'']+/(webhook_endpoints|webhooks|hooks|event_subscriptions))[''\\]*([\s"]|$)')[1]) END AS api_host
    FROM (SELECT call_id, session_id, agent, server, tool, time, coalesce(user_email, CASE WHEN strpos(user_id, '@') > 0 THEN user_id END) AS mailbox, capabilities, CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response'))
    WHERE ((regexp_like(tool, 'web_?hook|event_?(subscription|destination|sink)|notification_?(channel|endpoint|config)|callback_?url|subscri(be|ption)', 'i')
            AND regexp_like(tool, '(^|[_.-])(create|add|register|set|update|put|new|subscribe|install|configure|enable|edit)|^(create|add|register|set|update|subscribe|configure)[A-Z]', 'i'))
           OR (has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '\bgh\s+(api\s+[^|;&]*/hooks\b[^|;&]*(-f|--field|-F|--input)|webhook\s+forward)|[^/]/hooks\b[^|;&]*-X\s*POST|-X\s*POST[^|;&]*[^/]/hooks\b|\baws\s+sns\s+subscribe\b|\bcurl\s[^|;&]*/(webhook_endpoints|webhooks|hooks|event_subscriptions)[''\\]*(\s[^|;&]*)?\s(-d|--data\S*|--json|-F|--form\S*)\s|\bcurl\s[^|;&]*\s(-d|--data\S*|--json|-F)\s[^|;&]*/(webhook_endpoints|webhooks|hooks|event_subscriptions)[''\\]*([\s"]|$)|\bstripe\s+webhook_endpoints\s+create\b')))
),
aimed AS (
    SELECT h.*, CASE WHEN o.type = 'url' THEN host_of(o.value) ELSE lower(o.value) END AS host,
           coalesce(is_internal_address(o.value), false) AS internal
    FROM hooks h
    LEFT JOIN observables o ON o.call_id = h.call_id AND o.origin = 'argument' AND o.type IN ('url', 'domain', 'ip')
         AND NOT is_mention(o.path) AND CASE WHEN o.type = 'url' THEN host_of(o.value) ELSE lower(o.value) END <> coalesce(h.api_host, '')
),
used AS (                        -- did an argument name the host before?
    SELECT a.call_id, a.host, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.server) AS server, min(a.tool) AS tool, min(a.time) AS time,
           count(f.call_id) > 0 OR coalesce(bool_or(registrable_domain(a.host) = a.own_domain), false) AS in_use
    FROM aimed a
    LEFT JOIN observables f ON f.session_id = a.session_id AND f.origin = 'argument' AND f.type IN ('url', 'domain', 'ip') AND f.time < a.time
         AND CASE WHEN f.type = 'url' THEN host_of(f.value) ELSE lower(f.value) END = a.host
    WHERE NOT a.internal AND (a.host IS NOT NULL OR a.unlogged)
    GROUP BY a.call_id, a.host
),
origin AS (                      -- or a result?
    SELECT u.call_id, u.host, min(u.session_id) AS session_id, min(u.agent) AS agent, min(u.server) AS server, min(u.tool) AS tool, min(u.time) AS time, bool_or(u.in_use) AS in_use,
           count(v.flow_id) > 0 AS in_result, first_value(v.source_call_id ORDER BY v.source_time, v.source_call_id) AS named_by, min(v.source_time) AS named_at
    FROM used u
    LEFT JOIN flows v ON v.sink_call_id = u.call_id AND v.kind = 'value' AND coalesce(host_of(v.value), lower(v.value)) = u.host
    GROUP BY u.call_id, u.host
),
graded AS (
    SELECT o.call_id, o.host, min(o.session_id) AS session_id, min(o.agent) AS agent, min(o.server) AS server, min(o.tool) AS tool, min(o.time) AS time,
           bool_or(o.in_result AND NOT o.in_use) AS from_content, min(o.named_by) AS named_by, min(o.named_at) AS named_at,
           CASE WHEN o.host IS NULL OR bool_or(o.in_use) THEN 1
                -- A tunnel or collector that the user spoke of: its address is made up anew each time.
                WHEN bool_or(strpos(lower(s.text), regexp_match(o.host, '(webhook\.site|requestbin|pipedream|ngrok|cloudflare|localtunnel|serveo|beeceptor|hookbin|requestcatcher)')[1]) > 0) THEN 1
                WHEN bool_or(o.in_result) OR regexp_like(o.host, '^[0-9.]+$|:|(^|\.)(webhook\.site|requestbin\.\w+|pipedream\.net|ngrok(-free)?\.(app|dev|io)|trycloudflare\.com|loca\.lt|serveo\.net|interact\.sh|oast\.\w+|beeceptor\.com|hookbin\.com|requestcatcher\.com)$')
                THEN 3 ELSE 2 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM origin o
    LEFT JOIN prompts q ON q.session_id = o.session_id AND q.time <= o.time AND strpos(lower(q.text), o.host) > 0
    LEFT JOIN prompts s ON s.session_id = o.session_id AND s.time <= o.time
    GROUP BY o.call_id, o.host
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool,
           array_agg(DISTINCT host) FILTER (WHERE host IS NOT NULL) AS hosts, bool_or(from_content) AS from_content
    FROM (SELECT *, unnest(CASE WHEN from_content THEN make_array(named_struct('id', named_by, 'at', named_at), named_struct('id', call_id, 'at', time))
                                ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev
          FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' sends events to '
           || coalesce(nullif(array_to_string(array_slice(array_sort(array_distinct(flatten(array_agg(hosts)))), 1, 3), ', '), ''), 'an address that the log does not hold')
           || CASE WHEN bool_or(from_content) THEN ', which only a result had named' ELSE '' END AS message,
       array_sort(array_distinct(flatten(array_agg(hosts)))) AS hosts
FROM evidence
GROUP BY session_id
