-- id = "lookalike_domain"
-- title = "Data or a request goes to a domain that imitates a known one"
-- level = "high"
-- status = "stable"
-- description = """
--   An argument sends a tool to a domain that differs by a letter or by look-alike characters from a domain in regular use in this lake: one that several
--   sessions used in arguments, the users' mail domain, a server's own domain. Or the domain is written in letters of two scripts.
--   high: a tool that sends data went there. medium: it was only opened. low: the user named it.
--   Known domains must be older and used in at least `min_sessions` sessions; the imitation must not be in regular use itself. Domains of fewer than six letters, other
--   top-level domains of one name and numbered hosts are left out. With little history only script mixtures are seen.
--   """
-- tags = ["owasp.mcp04", "owasp.mcp10", "owasp.asi04", "owasp.asi02", "atlas.AML.T0073", "atlas.AML.T0086", "attack.T1036", "attack.T1583.001", "attack.T1567"]
-- falsepositives = ["organisations with similar names that both are partners"]
-- needs = ["arguments"]
-- helps = ["connections", "prompts", "server_addresses", "users"]
-- window = "30d"
-- params = { min_sessions = 3 }
WITH used AS (
    SELECT registrable_domain(host) AS domain, session_id, min(time) AS at
    FROM (SELECT session_id, min(time) AS time, CASE type WHEN 'url' THEN host_of(value) WHEN 'email' THEN lower(split_part(value, '@', 2)) ELSE lower(value) END AS host
          FROM observables WHERE origin = 'argument' AND type IN ('url', 'email', 'domain')
          GROUP BY session_id, CASE type WHEN 'url' THEN host_of(value) WHEN 'email' THEN lower(split_part(value, '@', 2)) ELSE lower(value) END)
    WHERE strpos(host, '.') > 0
    GROUP BY registrable_domain(host), session_id
),
prevalence AS (
    SELECT domain, min(at) AS since, count(*) AS sessions, array_agg(session_id ORDER BY at, session_id) AS in_sessions FROM used WHERE domain IS NOT NULL GROUP BY domain
),
trusted AS (
    SELECT domain, since FROM prevalence WHERE sessions >= $min_sessions
    UNION ALL
    SELECT registrable_domain(lower(split_part(user_email, '@', 2))), min(time) FROM calls WHERE user_email IS NOT NULL GROUP BY registrable_domain(lower(split_part(user_email, '@', 2)))
    UNION ALL
    SELECT registrable_domain(host_of(server_url)), min(time) FROM connections WHERE server_url IS NOT NULL GROUP BY registrable_domain(host_of(server_url))
),
known AS (
    SELECT domain, min(since) AS since, regexp_replace(domain, '\.[^.]+$', '') AS name, -- What a glance takes for the same.
           replace(replace(replace(replace(replace(replace(regexp_replace(domain, '[-.]', '', 'g'), '0', 'o'), '1', 'l'), '5', 's'), 'rn', 'm'), 'vv', 'w'), 'i', 'l') AS glance
    FROM trusted WHERE domain IS NOT NULL GROUP BY domain
),
suspects AS (
    SELECT domain, since, in_sessions, regexp_replace(domain, '\.[^.]+$', '') AS name,
           replace(replace(replace(replace(replace(replace(regexp_replace(domain, '[-.]', '', 'g'), '0', 'o'), '1', 'l'), '5', 's'), 'rn', 'm'), 'vv', 'w'), 'i', 'l') AS glance
    FROM prevalence WHERE sessions < $min_sessions AND length(domain) >= 8
),
likened AS (
    SELECT s.domain, min(s.since) AS since, first_value(s.in_sessions) AS in_sessions, min(k.domain) AS other
    FROM suspects s
    JOIN known k ON k.domain <> s.domain AND k.since < s.since AND abs(length(k.domain) - length(s.domain)) <= 9
    WHERE length(k.name) >= 6 AND k.name <> s.name
      AND (k.glance = s.glance
           OR (levenshtein(k.name, s.name) = 1 AND regexp_replace(k.name, '[0-9]', '', 'g') <> regexp_replace(s.name, '[0-9]', '', 'g'))
           -- The known name, and a word joined on to it.
           OR (length(k.name) >= 8 AND starts_with(s.name, k.name || '-') AND regexp_like(s.name, '-(login|secure|security|support|verify|account|auth|sso|mail|update|pay|billing)$')))
    GROUP BY s.domain
),
suspicious AS (
    SELECT domain, since, in_sessions, other FROM likened
    UNION ALL                    -- punycode whose letters beside it are Latin: a mixture
    SELECT domain, since, in_sessions, CAST(NULL AS VARCHAR) FROM prevalence
    WHERE regexp_like(domain, '(^|\.)xn--[a-z0-9]{3,}-[a-z0-9]{2,5}\.(com|net|org|io|dev|ai|app|co|info|cloud|example|local)$')
),
hits AS (
    SELECT s.domain, s.other, o.session_id, o.call_id, o.value, c.agent, c.server, c.tool, c.time,
           has_capability(c.capabilities, 'egress') AND (NOT has_capability(c.capabilities, 'reads_untrusted') OR has_capability(c.capabilities, 'writes')) AS sends
    FROM suspicious s
    JOIN observables o ON o.origin = 'argument' AND o.type IN ('url', 'email', 'domain')
         AND registrable_domain(CASE o.type WHEN 'url' THEN host_of(o.value) WHEN 'email' THEN lower(split_part(o.value, '@', 2)) ELSE lower(o.value) END) = s.domain
    JOIN calls c ON c.call_id = o.call_id
    WHERE c.event_kind = 'call' AND c.outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      AND array_has_any(c.capabilities, make_array('egress', 'reads_untrusted', 'executes', 'pays', 'writes'))
),
asked AS (
    SELECT h.session_id, h.domain, h.call_id, min(h.other) AS other, min(h.agent) AS agent, min(h.server) AS server, min(h.tool) AS tool, min(h.time) AS time, bool_or(h.sends) AS sends,
           count(q.session_id) > 0 AS asked
    FROM hits h
    LEFT JOIN prompts q ON q.session_id = h.session_id AND q.time <= h.time AND strpos(lower(q.text), h.domain) > 0
    GROUP BY h.session_id, h.domain, h.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen,
       array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE WHEN bool_and(asked) THEN 'low' WHEN bool_or(sends) THEN 'high' ELSE 'medium' END AS level,
       min(concat_ws('/', server, tool)) || ' went to ' || domain || coalesce(', which looks like ' || min(other), ', which is written in letters of two scripts') AS message,
       domain, min(other) AS resembles
FROM asked
GROUP BY session_id, domain
