-- id = "secrets_returned"
-- title = "Tool handed out secrets in its results"
-- level = "low"
-- status = "stable"
-- description = """
--   Results of a tool whose work is not to hand out credentials held secrets: they are now in the model's context, the client's logs and wherever the session goes on.
--   medium: `many` and more different secrets from one server in one session. low: fewer, or only on pages that others wrote. What was done with them: secret_then_egress,
--   secret_across_servers, secret_written_down. Reads of credential files have a rule of their own and are left out here.
--   """
-- tags = ["owasp.mcp01", "owasp.mcp10", "owasp.asi03", "atlas.AML.T0057", "atlas.AML.T0098", "attack.T1552"]
-- falsepositives = ["documentation with example keys", "a configuration that the user works on"]
-- needs = ["results"]
-- helps = ["arguments"]
-- window = "24h"
-- params = { many = 3 }
WITH held AS (
    SELECT call_id, session_id, value, time FROM observables WHERE type = 'secret' AND origin = 'result'
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
)
SELECT session_id, min(agent) AS agent, server, min(time) AS first_seen, max(time) AS last_seen, array_slice(array_sort(array_agg(DISTINCT call_id)), 1, 50) AS call_ids,
       CASE WHEN count(DISTINCT value) FILTER (WHERE NOT from_outside) >= $many THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, min(tool)) || ' returned ' || CAST(count(DISTINCT value) AS VARCHAR) || CASE WHEN count(DISTINCT value) = 1 THEN ' secret' ELSE ' different secrets' END AS message,
       count(DISTINCT value) AS secrets
FROM returned
GROUP BY session_id, server
