-- id = "new_outside_recipient"
-- title = "Private data was read, then a message went to an outside address that nobody in the lake had written to"
-- level = "low"
-- status = "stable"
-- description = """
--   After private data was read in the session, a tool sent to an address or host of a domain that no agent of the lake had sent to within the window, and that the user did not name.
--   medium: the recipient stands as blind copy, or the payload is large for the tool (four times its median).
--   low: otherwise. What was sent is not looked at, so that it works on metadata and addresses; with payloads see private_content_to_new_place.
--   Needs history: with fewer than `min_domains` known domains nothing is new. Internal hosts and the user's own domain are left out.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0086", "atlas.AML.T0025", "attack.T1567", "attack.T1048"]
-- falsepositives = ["first contact with a customer or partner"]
-- needs = ["arguments"]
-- helps = ["argument_sizes", "durations", "prompts", "users"]
-- window = "30d"
-- params = { min_domains = 5 }
WITH sender AS (                 -- of all calls these are few
    SELECT DISTINCT call_id, agent, server, tool, arguments_bytes, lower(split_part(coalesce(user_email, CASE WHEN strpos(user_id, '@') > 0 THEN user_id END), '@', 2)) AS own
    FROM calls
    WHERE event_kind = 'call' AND outcome IN ('success', 'unknown', 'no_response') AND has_capability(capabilities, 'egress') AND NOT array_has_any(capabilities, make_array('reads_untrusted', 'executes'))
),
sends AS (
    SELECT o.call_id, o.session_id, o.time, lower(o.value) AS address, o.path,
           registrable_domain(CASE o.type WHEN 'url' THEN host_of(o.value) WHEN 'email' THEN lower(split_part(o.value, '@', 2)) ELSE lower(o.value) END) AS domain,
           c.agent, c.server, c.tool, c.arguments_bytes AS bytes, c.own
    FROM observables o
    JOIN sender c ON c.call_id = o.call_id
    WHERE o.origin = 'argument' AND (o.type = 'email' OR (o.type = 'url' AND NOT is_internal_address(o.value)))
      AND regexp_like(o.path, '(^|/)(to|cc|bcc|recipients?|participants|attendees|invitees|email|address|addresses|url|uri|endpoint|webhook|target|destination|emails|user_?email|receiver)(/\d+)?(/\w+)?$', 'i')
),
first_use AS (                   -- how many domains were known before each
    SELECT domain, row_number() OVER (ORDER BY min(time), domain) - 1 AS domains_before FROM sends WHERE domain IS NOT NULL GROUP BY domain
),
turns AS (
    SELECT s.*, f.domains_before, first_value(s.call_id) OVER (PARTITION BY s.domain ORDER BY s.time, s.call_id) AS first_call, median(s.bytes) OVER (PARTITION BY s.server, s.tool) AS usual,
           count(*) OVER (PARTITION BY s.server, s.tool) AS uses
    FROM sends s JOIN first_use f ON f.domain = s.domain
),
private AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND array_has_any(capabilities, make_array('reads_private', 'credentials'))
    GROUP BY session_id
),
new AS (
    SELECT t.call_id, t.domain, min(t.session_id) AS session_id, min(t.time) AS time, min(t.address) AS address, min(t.agent) AS agent, min(t.server) AS server, min(t.tool) AS tool,
           bool_or(regexp_like(t.path, 'bcc', 'i')) AS blind, coalesce(bool_or(t.uses >= 8 AND t.bytes >= 4 * t.usual AND t.bytes >= 2000), false) AS large
    FROM turns t
    JOIN private p ON p.session_id = t.session_id AND p.since < t.time
    WHERE t.call_id = t.first_call AND (t.own IS NULL OR registrable_domain(t.own) <> t.domain)
      AND t.domains_before >= $min_domains
    GROUP BY t.call_id, t.domain
),
asked AS (
    SELECT n.call_id, n.domain, min(n.session_id) AS session_id, min(n.time) AS time, min(n.address) AS address, min(n.agent) AS agent, min(n.server) AS server, min(n.tool) AS tool, bool_or(n.blind) AS blind, bool_or(n.large) AS large
    FROM new n
    LEFT JOIN prompts q ON q.session_id = n.session_id AND q.time <= n.time AND strpos(lower(q.text), n.domain) > 0
    GROUP BY n.call_id, n.domain
    HAVING count(q.session_id) = 0
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_agg(DISTINCT call_id) AS call_ids,
       CASE WHEN bool_or(blind OR large) THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' sent to ' || min(address) || ', whose domain nobody had sent to before' || CASE WHEN bool_or(blind) THEN ', as a blind copy' WHEN bool_or(large) THEN ', much more than usual' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT domain)) AS domains
FROM asked
GROUP BY session_id
