-- id = "redaction_failed"
-- title = "Secret got through the redaction of the log"
-- level = "medium"
-- status = "test"
-- description = """
--   The log takes secrets or whole payloads out before it is written, and yet values with the shape of a secret stand in it: whoever reads the log
--   reads them too. (What CallTrail stores has only fingerprints of them.)
--   high: a secret stands in a payload in which another value was masked, so that the redaction has looked at it and missed. medium: the same
--   kind of log, server and origin masks or withholds payloads elsewhere. Logs that redact nothing claim nothing: no finding.
--   A mask is [REDACTED], <redacted>, ***, xxxxx and the like in place of a value; one that shows the last signs (****7QX) is the tool's own way of printing a key. One finding per kind of log and server.
--   """
-- tags = ["owasp.mcp01", "owasp.mcp08", "owasp.asi03", "atlas.AML.T0057", "atlas.AML.T0055", "attack.T1552.001"]
-- falsepositives = ["examples of tokens in documentation that the agent read"]
-- window = "24h"
-- needs = ["arguments|results"]
-- params = { mask = '"[^"]*(\[(redacted|masked|filtered|removed|hidden|scrubbed)[^"\]]*\]|<(redacted|masked|filtered|removed|hidden)[^">]*>|\*{3,}([^\w*]|$)|[xX]{6,}(\W|$)|•{3,}([^\w•]|$))' }
WITH leaked AS (
    SELECT call_id, min(origin) AS origin, min(value) AS secret, count(DISTINCT value) AS secrets FROM observables WHERE type = 'secret' GROUP BY call_id
),
seen AS (
    SELECT l.call_id, l.origin, l.secret, l.secrets, c.source_format, c.server, c.agent, c.session_id, c.time,
           CASE l.origin WHEN 'argument' THEN c.arguments_state ELSE c.result_state END = 'redacted'
             OR coalesce(regexp_like(CASE l.origin WHEN 'argument' THEN c.arguments ELSE c.result END, $mask, 'i'), false) AS beside_mask
    FROM leaked l JOIN calls c ON c.call_id = l.call_id
),
redacting AS (
    SELECT source_format, server, count(*) AS payloads
    FROM calls WHERE arguments_state = 'redacted' OR result_state = 'redacted'
    GROUP BY source_format, server
)
SELECT CASE WHEN count(DISTINCT s.session_id) = 1 THEN min(s.session_id) END AS session_id, CASE WHEN count(DISTINCT s.agent) = 1 THEN min(s.agent) END AS agent,
       s.server, min(s.time) AS first_seen, max(s.time) AS last_seen,
       array_slice(array_agg(s.call_id ORDER BY NOT s.beside_mask, s.time, s.call_id), 1, 20) AS call_ids,
       CASE WHEN bool_or(s.beside_mask) THEN 'high' ELSE 'medium' END AS level,
       CAST(count(*) AS VARCHAR) || ' calls of ' || coalesce(s.server, 'a server') || ' hold secrets such as ' || min(s.secret) || ', although '
           || CASE WHEN bool_or(s.beside_mask) THEN 'values beside them are masked' ELSE CAST(max(r.payloads) AS VARCHAR) || ' payloads of it are redacted' END AS message,
       s.source_format, count(*) AS calls, max(r.payloads) AS redacted_payloads
FROM seen s
LEFT JOIN redacting r ON r.source_format = s.source_format AND (r.server IS NOT DISTINCT FROM s.server)
WHERE s.beside_mask OR r.payloads > 0
GROUP BY s.source_format, s.server
