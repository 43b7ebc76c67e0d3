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
WITH named AS (
    SELECT registrable_domain(host) AS domain, session_id, min(time) AS at, false AS own
    FROM (SELECT session_id, min(time) AS time, CASE type WHEN 'url' THEN host_of(value) WHEN 'email' THEN lower(split_part(value, '@', 2)) ELSE lower(value) END AS host
          FROM observables WHERE origin = 'argument' AND type IN ('url', 'email', 'domain')
          GROUP BY session_id, CASE type WHEN 'url' THEN host_of(value) WHEN 'email' THEN lower(split_part(value, '@', 2)) ELSE lower(value) END)
    WHERE strpos(host, '.') > 0
    GROUP BY registrable_domain(host), session_id
    UNION ALL                    -- the users' domains, and the servers'
    SELECT registrable_domain(lower(split_part(coalesce(user_email, user_id), '@', 2))), CAST(NULL AS VARCHAR), min(time), true FROM calls WHERE user_email IS NOT NULL OR strpos(user_id, '@') > 0 GROUP BY registrable_domain(lower(split_part(coalesce(user_email, user_id), '@', 2)))
    UNION ALL
    SELECT registrable_domain(host_of(server_url)), CAST(NULL AS VARCHAR), min(time), true FROM connections WHERE server_url IS NOT NULL GROUP BY registrable_domain(host_of(server_url))
),
prevalence AS (
    SELECT domain, min(at) AS since, min(at) FILTER (WHERE NOT own) AS used_since, bool_or(own) OR count(session_id) >= $min_sessions AS known,
           regexp_replace(domain, '\.[^.]+$', '') AS name,
           -- What a glance takes for the same.
           replace(replace(replace(replace(replace(replace(regexp_replace(domain, '[-.]', '', 'g'), '0', 'o'), '1', 'l'), '5', 's'), 'rn', 'm'), 'vv', 'w'), 'i', 'l') AS glance
    FROM named WHERE domain IS NOT NULL GROUP BY domain
),
beside AS (                      -- each domain beside all known ones; read once
    SELECT *, array_agg(CASE WHEN known THEN named_struct('domain', domain, 'since', since, 'name', name, 'glance', glance) END) OVER () AS all_known FROM prevalence
),
pairs AS (
    SELECT domain, used_since, name, glance, unnest(all_known) AS k FROM beside WHERE NOT known AND length(domain) >= 8
),
suspicious AS (
    SELECT domain, min(used_since) AS since, min(CASE WHEN mixed THEN NULL ELSE k['domain'] END) AS other
    FROM (SELECT *, -- Punycode under a Latin top-level domain, with Latin letters beside the others: a mixture.
                 regexp_like(domain, '(^|\.)xn--[a-z0-9]{3,}-[a-z0-9]{2,5}\.(com|net|org|io|dev|ai|app|co|info|cloud|example|local)$') AS mixed
          FROM pairs)
    WHERE mixed
       OR (k['domain'] <> domain AND k['since'] < used_since AND abs(length(k['domain']) - length(domain)) <= 9 AND length(k['name']) >= 6 AND k['name'] <> name
           AND (k['glance'] = glance
                OR (levenshtein(k['name'], name) = 1 AND regexp_replace(k['name'], '[0-9]', '', 'g') <> regexp_replace(name, '[0-9]', '', 'g'))
                -- The known name, and a word joined on to it.
                OR (length(k['name']) >= 8 AND starts_with(name, k['name'] || '-') AND regexp_like(name, '-(login|secure|security|support|verify|account|auth|sso|mail|update|pay|billing)$'))))
    GROUP BY domain
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
      -- A text that mentions it, as a warning does, goes nowhere.
      AND NOT is_mention(o.path)
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
