-- id = "destination_flooded"
-- title = "Hundreds of requests to one destination within minutes"
-- level = "medium"
-- status = "test"
-- description = """
--   One agent's calls named the same host, address or mailbox in their arguments at least min_calls times within five minutes: flooding, or a
--   crawl that nobody slowed down.
--   high: a mailbox, phone or another person's service was written to, not read. medium: requests to a public host of which most failed (429, 403, 5xx), or at least
--   many. low: anything else. Internal addresses count too. Sessions of one agent count together.
--   """
-- tags = ["owasp.mcp10", "owasp.asi08", "owasp.asi02", "atlas.AML.T0029", "atlas.AML.T0034.000", "attack.T1498", "attack.T1499"]
-- falsepositives = ["a crawl of the company's own site"]
-- window = "1h"
-- needs = ["arguments"]
-- helps = ["users"]
-- params = { min_calls = 100, many = 500 }
WITH busy AS (
    SELECT coalesce(agent, user_id, session_id) AS who, tool, slot
    FROM (SELECT coalesce(agent, user_id, session_id) AS who, agent, user_id, session_id, tool, date_bin(INTERVAL '5 minutes', time) AS slot, count(*) AS calls
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND array_has_any(capabilities, make_array('egress', 'reads_untrusted', 'executes'))
          GROUP BY coalesce(agent, user_id, session_id), agent, user_id, session_id, tool, date_bin(INTERVAL '5 minutes', time))
    GROUP BY coalesce(agent, user_id, session_id), tool, slot
    HAVING sum(calls) >= $min_calls
),
called AS (
    SELECT b.who, b.slot, c.call_id, c.agent, c.user_id, c.session_id, c.time, c.outcome,
           has_capability(c.capabilities, 'egress') AND NOT has_capability(c.capabilities, 'reads_untrusted') AS writes_to
    FROM busy b JOIN calls c ON c.tool = b.tool AND date_bin(INTERVAL '5 minutes', c.time) = b.slot
    WHERE coalesce(c.agent, c.user_id, c.session_id) = b.who AND c.event_kind = 'call' AND c.method = 'tools/call'
),
sent AS (
    SELECT k.*, CASE o.type WHEN 'url' THEN host_of(o.value) ELSE lower(o.value) END AS place, o.type IN ('email', 'phone') AS person
    FROM called k JOIN observables o ON o.call_id = k.call_id
    WHERE o.origin = 'argument' AND o.type IN ('url', 'domain', 'ip', 'email', 'phone')
      -- What a text mentions is not written to.
      AND NOT is_mention(o.path)
),
flood AS (
    SELECT who, slot, place, min(agent) AS agent, min(user_id) AS user_id, CASE WHEN count(DISTINCT session_id) = 1 THEN min(session_id) END AS session_id,
           min(time) AS first_seen, max(time) AS last_seen, count(DISTINCT call_id) AS calls, bool_or(person) AS person, bool_and(writes_to) AS writes_to,
           count(DISTINCT call_id) FILTER (WHERE outcome IN ('tool_error', 'transport_error', 'timeout', 'denied')) AS failed,
           array_slice(array_agg(DISTINCT call_id ORDER BY call_id), 1, 20) AS call_ids
    FROM sent
    GROUP BY who, slot, place
    HAVING count(DISTINCT call_id) >= $min_calls
)
SELECT min(agent) AS agent, CASE WHEN min(agent) IS NULL THEN min(user_id) END AS user_id, min(session_id) AS session_id, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
       first_value(call_ids ORDER BY slot) AS call_ids,
       CASE WHEN bool_or(person OR writes_to) THEN 'high' WHEN 2 * sum(failed) > sum(calls) OR max(calls) >= $many THEN 'medium' ELSE 'low' END AS level,
       CAST(max(calls) AS VARCHAR) || ' calls in five minutes went to ' || place || CASE WHEN sum(failed) > 0 THEN ', ' || CAST(sum(failed) AS VARCHAR) || ' failed' ELSE '' END AS message,
       place AS destination, sum(calls) AS calls, sum(failed) AS failed
FROM flood
GROUP BY who, place
