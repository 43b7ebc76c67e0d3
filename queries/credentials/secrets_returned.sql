-- id = "secrets_returned"
-- title = "Tool handed out secrets in its results"
-- level = "low"
-- status = "stable"
-- description = """
--   Results of a tool whose work is not to hand out credentials held secrets: they are now in the model's context, the client's logs and wherever the session goes on.
--   medium: `many` and more different secrets from one server in one session, or `vault_paths` and more different entries of a vault read by one agent in a session.
--   high: entries of a vault so, and then a tool that only sends was used. low: fewer, or only on pages that others wrote. What was done with them: secret_then_egress,
--   secret_across_servers, secret_written_down. Reads of credential files have a rule of their own and are left out here; so is
--   what links are signed with that are made for handing on (signed downloads, shares, invitations).
--   """
-- tags = ["owasp.mcp01", "owasp.mcp10", "owasp.asi03", "atlas.AML.T0057", "atlas.AML.T0098", "attack.T1552"]
-- falsepositives = ["documentation with example keys", "a deployment that takes all its keys from a vault", "a configuration that the user works on"]
-- needs = ["results"]
-- helps = ["argument_sizes", "arguments"]
-- window = "24h"
-- params = { many = 3, vault_paths = 3 }
WITH link AS (SELECT DISTINCT call_id, origin, secret FROM link_signatures),   -- as a step: computed once for all rules
held AS (
    SELECT o.call_id, o.session_id, o.value, o.time
    FROM observables o LEFT JOIN link l ON l.call_id = o.call_id AND l.origin = o.origin AND l.secret = o.value
    WHERE o.type = 'secret' AND o.origin = 'result' AND l.call_id IS NULL
),
named AS (
    SELECT DISTINCT call_id FROM observables WHERE type = 'file_path' AND origin = 'argument' AND is_credential_path(value)
),
returned AS (
    SELECT h.session_id, c.server, c.agent, c.tool, h.call_id, h.time, h.value, has_capability(c.capabilities, 'reads_untrusted') AND NOT has_capability(c.capabilities, 'reads_private') AS from_outside
    FROM held h
    JOIN calls c ON c.call_id = h.call_id
    WHERE c.event_kind = 'call' AND NOT array_has_any(c.capabilities, make_array('credentials', 'executes'))
      AND h.call_id NOT IN (SELECT call_id FROM named)
),
vault AS (                       -- different entries of a store of secrets, by their arguments
    SELECT session_id, agent, server, min(tool) AS tool, min(call_id) AS call_id, min(time) AS time, arguments_hash
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown') AND arguments_hash IS NOT NULL
      AND regexp_like(tool, '(^|[_.-])(read|get|fetch|reveal|show|access|retrieve)[_.-]?\w*(secret|credential|password|vault|api_?key)s?([_.-]?(value|item|entry|version))?s?$|^(vault_)?kv_?(get|read)', 'i')
      AND NOT regexp_like(tool, 'scan|alert|policy|policies|reset|list|config|status|health', 'i')
    GROUP BY session_id, agent, server, arguments_hash
),
vaults AS (
    SELECT session_id, agent, server, min(tool) AS tool, min(time) AS first_seen, max(time) AS last_seen, array_slice(array_agg(call_id ORDER BY time, call_id), 1, 50) AS call_ids, count(*) AS secrets
    FROM vault
    GROUP BY session_id, agent, server
    HAVING count(*) >= $vault_paths
),
away AS (
    SELECT v.session_id, v.agent, v.server, min(c.call_id) AS call_id, min(c.time) AS time
    FROM vaults v JOIN calls c ON c.session_id = v.session_id
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.time > v.last_seen AND c.outcome IN ('success', 'unknown', 'no_response')
      AND has_capability(c.capabilities, 'egress') AND NOT array_has_any(c.capabilities, make_array('reads_untrusted', 'executes'))
    GROUP BY v.session_id, v.agent, v.server
)
SELECT session_id, min(agent) AS agent, server, min(time) AS first_seen, max(time) AS last_seen, array_slice(array_sort(array_agg(DISTINCT call_id)), 1, 50) AS call_ids,
       CASE WHEN count(DISTINCT value) FILTER (WHERE NOT from_outside) >= $many THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, min(tool)) || ' returned ' || CAST(count(DISTINCT value) AS VARCHAR) || CASE WHEN count(DISTINCT value) = 1 THEN ' secret' ELSE ' different secrets' END AS message,
       count(DISTINCT value) AS secrets
FROM returned
GROUP BY session_id, server
UNION ALL
SELECT v.session_id, v.agent, v.server, v.first_seen, coalesce(a.time, v.last_seen) AS last_seen, CASE WHEN a.call_id IS NULL THEN v.call_ids ELSE array_append(v.call_ids, a.call_id) END AS call_ids,
       CASE WHEN a.call_id IS NOT NULL THEN 'high' ELSE 'medium' END AS level,
       concat_ws('/', v.server, v.tool) || ' read ' || CAST(v.secrets AS VARCHAR) || ' different entries of a vault' || CASE WHEN a.call_id IS NOT NULL THEN ', then something was sent out' ELSE '' END AS message,
       v.secrets
FROM vaults v LEFT JOIN away a ON a.session_id = v.session_id AND (a.agent IS NOT DISTINCT FROM v.agent) AND (a.server IS NOT DISTINCT FROM v.server)
