-- id = "signature_invalid"
-- title = "Record of a signed log whose signature is wrong or missing"
-- level = "high"
-- status = "stable"
-- description = """
--   The writer of the log signs its records, and the key was given to ingest. A record's signature does not fit what it says: it was
--   edited after it was written. Or a record has none, while others of the same input do.
--   high: a wrong signature. medium: a missing one between signed ones. Logs that are not signed, and inputs whose key was not given, say nothing.
--   """
-- tags = ["owasp.mcp08", "owasp.asi07", "atlas.AML.T0073", "attack.T1565.001", "attack.T1070"]
-- falsepositives = ["the key was changed without telling CallTrail: then every record is wrong"]
-- window = "24h"
-- needs = []
WITH flagged AS (
    SELECT call_id, session_id, agent, server, tool, time, source_file, source_line, array_has(parse_flags, 'signature_wrong') AS is_wrong,
           array_has(parse_flags, 'signature_missing') AS is_missing
    FROM calls
    WHERE array_has_any(parse_flags, make_array('signature_wrong', 'signature_missing', 'signature_verified'))
),
input AS (
    SELECT *, count(*) FILTER (WHERE NOT is_wrong AND NOT is_missing) OVER (PARTITION BY source_file) AS verified, count(*) OVER (PARTITION BY source_file) AS records
    FROM flagged
)
SELECT CASE WHEN count(DISTINCT session_id) = 1 THEN min(session_id) END AS session_id, CASE WHEN count(DISTINCT agent) = 1 THEN min(agent) END AS agent,
       CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_slice(array_agg(call_id ORDER BY time, call_id), 1, 100) AS call_ids,
       CASE WHEN bool_or(is_wrong) THEN 'high' ELSE 'medium' END AS level,
       CAST(count(*) AS VARCHAR) || ' of ' || CAST(max(records) AS VARCHAR) || ' records of ' || source_file
           || CASE WHEN bool_or(is_wrong) THEN ' do not fit their signature' ELSE ' have no signature' END || ', the first in line ' || CAST(min(source_line) AS VARCHAR)
           || CASE WHEN max(verified) = 0 THEN '; none fits: is the key right?' ELSE '' END AS message,
       source_file, count(*) AS records, max(verified) AS verified
FROM input
WHERE is_wrong OR (is_missing AND verified > 0)
GROUP BY source_file, is_wrong
