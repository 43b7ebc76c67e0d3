-- id = "internal_address_fetched"
-- title = "Tool was sent to a metadata service or an internal address (SSRF)"
-- level = "high"
-- status = "stable"
-- description = """
--   An argument sends a fetching, sending or command-running tool, or for the metadata service any tool, to a cloud's metadata service or into the internal network.
--   critical: the metadata service answered with a secret. high: the metadata service, or an internal address in a spelling that
--   hides it (decimal, hex, octal, mapped) with a scheme that lets a fetcher speak to other services (gopher, dict, ldap), or the interface of Docker or a kubelet. medium: an internal address that only untrusted content had named before, five and more
--   internal addresses in one session, or a metadata request that failed.
--   low: an internal address given to a tool that fetched public ones in this session and whose server is not internal itself, or a
--   local one that untrusted content had named.
--   Local development servers, addresses that the user named, and addresses inside texts are left out. Spellings are resolved, names are not. The metadata service in a parameter of somebody else's address counts as itself.
--   """
-- tags = ["owasp.mcp05", "owasp.mcp10", "owasp.asi02", "atlas.AML.T0049", "atlas.AML.T0075", "attack.T1552.005", "attack.T1046"]
-- falsepositives = ["a wiki or dashboard of the company, read with the same tool as public pages (low)", "agents that administer cloud machines from within"]
-- window = "24h"
-- params = { sweep = 5 }
-- needs = ["arguments"]
-- helps = ["server_addresses", "prompts"]
WITH internal AS (
    SELECT call_id, type, value, is_metadata_address(value) AS metadata, coalesce(host_of(value), lower(value)) AS place,
           lower(regexp_replace(value, '^[a-zA-Z][a-zA-Z0-9+.-]*://([^/@]*@)?([^/?#]+).*$', '\2')) AS endpoint
    FROM observables
    WHERE origin = 'argument' AND type IN ('url', 'domain', 'ip') AND (is_internal_address(value) OR is_metadata_address(value))
    UNION ALL                    -- somebody else's server is asked to go there, or to lead there
    SELECT call_id, type, value, true, coalesce(host_of(value), lower(value)), lower(regexp_replace(value, '^[a-zA-Z][a-zA-Z0-9+.-]*://([^/@]*@)?([^/?#]+).*$', '\2'))
    FROM observables
    WHERE origin = 'argument' AND type = 'url' AND NOT is_internal_address(value) AND NOT is_metadata_address(value)
      AND regexp_like(value, '[?&][\w.-]+=(https?(:|%3a)(/|%2f){2})?(169\.254\.169\.254|metadata\.google\.internal|100\.100\.100\.200|(\[|%5b)fd00:ec2::254)(/|%2f|:|%3a)', 'i')
),
sent AS (
    SELECT c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, c.outcome, i.type, i.value, i.metadata, i.place, i.endpoint,
           regexp_like(i.place, '^(localhost|.*\.localhost|127\..*|::1|0\.0\.0\.0|host\.docker\.internal)$') AS is_local,
           regexp_like(i.place, '^[0-9.]+$|:') AND strpos(lower(i.value), i.place) = 0 AS disguised,
           -- A scheme that speaks to other services than web servers.
           -- Or the interface by which containers are started and entered.
           regexp_like(i.value, '^(gopher|dict|tftp|ldaps?|netdoc|jar):|^\w+://[^/]*:(237[56]/(v[\d.]+/)?(containers|images|exec|volumes|info|version)|10250/(pods|run|exec))\b', 'i') AS odd_scheme,
           coalesce(is_internal_address(coalesce(c.server_url, c.server_address)), false) AS server_internal
    FROM internal i JOIN calls c ON c.call_id = i.call_id
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome NOT IN ('denied', 'cancelled')
      -- A command may hold the address anywhere; other tools go where a whole argument sends them.
      AND (has_capability(c.capabilities, 'executes')
           OR (coalesce(strpos(c.arguments, '"' || i.value || '"') > 0, true)
               AND (array_has_any(c.capabilities, make_array('egress', 'reads_untrusted'))
                    OR i.metadata OR (i.type = 'url' AND NOT has_capability(c.capabilities, 'writes')))))
),
near AS (                        -- what the sessions of these calls name
    SELECT call_id, session_id, time, origin, coalesce(host_of(value), lower(value)) AS place
    FROM observables
    WHERE type IN ('url', 'domain', 'ip') AND session_id IN (SELECT session_id FROM sent)
),
origin AS (                      -- who named the place first
    SELECT s.call_id, s.value, min(s.session_id) AS session_id, min(s.agent) AS agent, min(s.server) AS server, min(s.tool) AS tool,
           min(s.time) AS time, min(s.outcome) AS outcome, bool_or(s.metadata) AS metadata, min(s.place) AS place, min(s.endpoint) AS endpoint,
           bool_or(s.is_local) AS is_local, bool_or(s.disguised OR s.odd_scheme) AS disguised, bool_or(s.server_internal) AS server_internal,
           coalesce(bool_or(f.origin = 'argument'), false) AS used_before,
           first_value(named_struct('id', c.call_id, 'at', c.time, 'tool', c.tool) ORDER BY c.time, c.call_id)
               FILTER (WHERE f.origin = 'result' AND has_capability(c.capabilities, 'reads_untrusted')) AS named_by
    FROM sent s
    LEFT JOIN near f ON f.session_id = s.session_id AND f.place = nullif(s.place, '') AND f.time < s.time
    LEFT JOIN calls c ON c.call_id = f.call_id
    GROUP BY s.call_id, s.value
),
answered AS (
    SELECT o.*, r.call_id IS NOT NULL AS got_secret
    FROM origin o
    LEFT JOIN (SELECT DISTINCT call_id FROM observables WHERE type = 'secret' AND origin = 'result') r ON r.call_id = o.call_id
),
public_use AS (
    SELECT session_id, server, tool, min(time) AS since FROM observables
    WHERE origin = 'argument' AND type = 'url' AND NOT is_internal_address(value)
    GROUP BY session_id, server, tool
),
asked AS (
    SELECT a.call_id, a.value, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.server) AS server, min(a.tool) AS tool,
           min(a.time) AS time, min(a.outcome) AS outcome, bool_or(a.metadata) AS metadata, min(a.endpoint) AS endpoint,
           bool_or(a.is_local) AS is_local, bool_or(a.disguised) AS disguised, bool_or(a.server_internal) AS server_internal,
           bool_or(a.got_secret) AS got_secret, bool_or(p.since < a.time) AS beside_public,
           first_value(a.named_by) AS named_by, bool_and(a.named_by IS NOT NULL AND NOT a.used_before) AS from_content,
           count(q.session_id) > 0 AS asked
    FROM answered a
    LEFT JOIN public_use p ON p.session_id = a.session_id AND (p.server IS NOT DISTINCT FROM a.server) AND p.tool = a.tool
    LEFT JOIN prompts q ON q.session_id = a.session_id AND q.time <= a.time AND strpos(lower(q.text), a.place) > 0
    GROUP BY a.call_id, a.value
),
graded AS (
    SELECT *, CASE WHEN metadata THEN CASE WHEN got_secret THEN 4 WHEN outcome IN ('success', 'unknown', 'no_response') THEN 3 ELSE 2 END
                        - CASE WHEN asked THEN 1 ELSE 0 END
                   WHEN disguised THEN 3
                   WHEN asked THEN 0
                   WHEN from_content THEN CASE WHEN is_local THEN 1 ELSE 2 END
                   WHEN coalesce(beside_public, false) AND NOT is_local AND NOT server_internal THEN 1
                   ELSE 0 END AS grade,
           -- Endpoints that nobody asked for, for the sweep.
           CASE WHEN asked OR server_internal THEN NULL ELSE endpoint END AS unasked
    FROM asked
),
swept AS (
    SELECT *, CASE WHEN array_length(array_distinct(array_agg(unasked) FILTER (WHERE unasked IS NOT NULL) OVER (PARTITION BY session_id, server, tool))) >= $sweep
                   THEN greatest(grade, 2) ELSE grade END AS final
    FROM graded
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(final) AS final, min(agent) AS agent, min(server) AS server,
           min(tool) AS tool, bool_or(metadata) AS metadata, min(ev['tool']) FILTER (WHERE from_content AND ev['id'] = named_by['id']) AS named_by,
           array_agg(DISTINCT value) AS addresses
    FROM (SELECT *, unnest(CASE WHEN from_content THEN make_array(named_by, named_struct('id', call_id, 'at', time, 'tool', tool))
                                ELSE make_array(named_struct('id', call_id, 'at', time, 'tool', tool)) END) AS ev
          FROM swept WHERE final > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(final) WHEN 4 THEN 'critical' WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' was sent to ' || CASE WHEN bool_or(metadata) THEN 'the metadata service ' ELSE 'the internal address ' END
           || array_to_string(array_slice(array_sort(array_distinct(flatten(array_agg(addresses)))), 1, 3), ', ')
           || CASE WHEN array_length(array_distinct(flatten(array_agg(addresses)))) > 3
                   THEN ' and ' || CAST(array_length(array_distinct(flatten(array_agg(addresses)))) - 3 AS VARCHAR) || ' more' ELSE '' END
           || coalesce(', named by a result of ' || min(named_by), '') AS message,
       array_sort(array_distinct(flatten(array_agg(addresses)))) AS addresses
FROM evidence
GROUP BY session_id
