-- id = "staging_server_in_use"
-- title = "Test or staging server used beside production"
-- level = "low"
-- status = "test"
-- description = """
--   A server whose name or host says that it is for tests (staging, dev, demo, poc, sandbox, …, as a whole word) was called in a session that
--   also called other servers: test systems are watched and patched less, and what they return is not to be trusted.
--   medium: its calls came after private data was read from another server in the same session and can send or write, or the same server without
--   that word is in use too and was left for it in this session. low: anything else. Sessions that use only test servers are left out.
--   """
-- tags = ["owasp.mcp09", "owasp.asi04", "attack.T1199"]
-- falsepositives = ["developers who compare the two", "a product whose name holds such a word: set words"]
-- window = "24h"
-- needs = []
-- helps = ["server_addresses"]
-- params = { words = "dev|devel|staging|stage|stg|test|testing|qa|uat|preprod|demo|poc|sandbox|playground|experimental|tmp|temp|canary|beta" }
WITH names AS (
    SELECT server, concat_ws(' ', server, host_of(coalesce(min(server_url), 'mcp://' || min(server_address)))) AS text
    FROM calls WHERE server IS NOT NULL GROUP BY server
),
test AS (
    -- The reserved top-level domain .test is no word of the name.
    SELECT server, trim(regexp_replace(lower(server), '(^|[^a-z])(' || $words || ')([0-9]*)($|[^a-z])', '\1\4', 'g'), '-_. ') AS base
    FROM names
    WHERE regexp_like(regexp_replace(lower(text), '[.]test($| )', ' '), '(^|[^a-z])(' || $words || ')[0-9]*($|[^a-z])')
),
used AS (
    SELECT c.session_id, c.server, t.server IS NOT NULL AS is_test, min(t.base) AS base, min(c.agent) AS agent, min(c.time) AS first_seen,
           max(c.time) AS last_seen, count(*) AS calls,
           max(c.time) FILTER (WHERE array_has_any(c.capabilities, make_array('egress', 'writes', 'executes'))) AS acted_at,
           min(c.time) FILTER (WHERE has_capability(c.capabilities, 'reads_private')) AS read_at
    FROM calls c
    LEFT JOIN test t ON t.server = c.server
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome = 'success' AND c.server IS NOT NULL
      AND c.session_id IN (SELECT DISTINCT session_id FROM calls WHERE server IN (SELECT server FROM test))
    GROUP BY c.session_id, c.server, t.server
),
beside AS (
    SELECT t.session_id, t.server, min(t.agent) AS agent, min(t.first_seen) AS first_seen, max(t.last_seen) AS last_seen, max(t.calls) AS calls,
           coalesce(bool_or(p.read_at < t.acted_at), false) AS after_private,
           max(p.server) FILTER (WHERE lower(p.server) = t.base AND p.last_seen < t.last_seen) AS left_server
    FROM used t
    JOIN used p ON p.session_id = t.session_id AND NOT p.is_test
    WHERE t.is_test
    GROUP BY t.session_id, t.server
)
SELECT b.session_id, min(b.agent) AS agent, b.server, min(b.first_seen) AS first_seen, max(b.last_seen) AS last_seen,
       array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id), 1, 10) AS call_ids,
       CASE WHEN bool_or(b.after_private) OR max(b.left_server) IS NOT NULL THEN 'medium' ELSE 'low' END AS level,
       b.server || ' looks like a test server and was used beside others'
           || CASE WHEN max(b.left_server) IS NOT NULL THEN '; the session went there from ' || max(b.left_server)
                   WHEN bool_or(b.after_private) THEN ', after private data was read from one of them' ELSE '' END AS message,
       max(b.calls) AS calls, max(b.left_server) AS left_server
FROM beside b
JOIN calls c ON c.session_id = b.session_id AND c.server = b.server
WHERE c.event_kind = 'call' AND c.method = 'tools/call'
GROUP BY b.session_id, b.server
