-- id = "user_at_new_client"
-- title = "User's identity appeared on a client that is new, beside the known one"
-- level = "medium"
-- status = "test"
-- description = """
--   A user who has always come from known clients (client program, host, network address) made calls from one that was never seen for them in 30
--   days, within minutes of calls from a known one: a copied token or session, two rhythms behind one credential.
--   high: the new client called tools that this user had never used, with side effects. medium: it read private data or had side effects. low: anything else.
--   Addresses are compared by their network (/24, /48). Quiet until the user was seen on min_days earlier days, and for users who change clients
--   more often than every third day. The finding says how many days of history there were.
--   """
-- tags = ["owasp.mcp01", "owasp.mcp09", "owasp.asi03", "owasp.asi10", "atlas.AML.T0091.000", "atlas.AML.T0073", "attack.T1078", "attack.T1528"]
-- falsepositives = ["a new computer, used beside the old one"]
-- window = "31d"
-- history = "5d"
-- needs = ["users", "client_addresses"]
-- params = { min_days = 5, beside = "30 minutes" }
WITH seen AS (
    SELECT user_id, concat_ws(' ', client_name, host_name, regexp_replace(regexp_replace(client_address, '(:[0-9]+)$|\.[0-9]+(:[0-9]+)?$', ''), '^(([0-9a-f]*:){3}).*$', '\1')) AS client,
           day, min(time) AS first_at, max(time) AS last_at
    FROM calls
    WHERE user_id IS NOT NULL AND coalesce(client_name, host_name, client_address) IS NOT NULL AND event_kind = 'call' AND day IS NOT NULL
      AND time_source <> 'file_mtime'
    GROUP BY user_id, concat_ws(' ', client_name, host_name, regexp_replace(regexp_replace(client_address, '(:[0-9]+)$|\.[0-9]+(:[0-9]+)?$', ''), '^(([0-9a-f]*:){3}).*$', '\1')), day
),
history AS (
    SELECT *, before IS NULL OR before < day - INTERVAL '30 days' AS fresh,
           count(*) FILTER (WHERE before IS NULL OR before < day - INTERVAL '30 days') OVER past AS new_clients
    FROM (SELECT *, lag(day) OVER (PARTITION BY user_id, client ORDER BY day) AS before FROM seen)
    WINDOW past AS (PARTITION BY user_id ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
),
days AS (
    SELECT user_id, day, count(*) OVER (PARTITION BY user_id ORDER BY day RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS days
    FROM (SELECT DISTINCT user_id, day FROM seen)
),
odd AS (
    SELECT h.user_id, h.client, h.day, h.first_at, h.last_at, d.days, k.client AS known_client
    FROM history h
    JOIN days d ON d.user_id = h.user_id AND d.day = h.day
    JOIN history k ON k.user_id = h.user_id AND k.day = h.day AND NOT k.fresh
    WHERE h.fresh AND d.days >= $min_days AND 3 * h.new_clients <= d.days + 2
      AND k.first_at <= h.last_at + CAST($beside AS INTERVAL) AND h.first_at <= k.last_at + CAST($beside AS INTERVAL)
),
called AS (
    SELECT o.user_id, o.client, o.day, o.days, o.known_client, c.call_id, c.agent, c.time, c.server, c.tool, c.outcome, c.capabilities
    FROM odd o
    JOIN calls c ON c.user_id = o.user_id AND c.day = o.day
    WHERE concat_ws(' ', c.client_name, c.host_name, regexp_replace(regexp_replace(c.client_address, '(:[0-9]+)$|\.[0-9]+(:[0-9]+)?$', ''), '^(([0-9a-f]*:){3}).*$', '\1')) = o.client
      AND c.event_kind = 'call'
),
usual AS (
    SELECT DISTINCT c.user_id, c.server, c.tool, c.day FROM calls c WHERE c.user_id IN (SELECT user_id FROM odd) AND c.tool IS NOT NULL
),
judged AS (
    SELECT c.user_id, c.client, c.day, c.call_id, min(c.days) AS days, min(c.known_client) AS known_client, min(c.agent) AS agent, min(c.time) AS time,
           bool_or(c.outcome = 'success' AND array_length(c.capabilities) > 0) AS matters,
           bool_or(c.outcome = 'success' AND array_has_any(c.capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays', 'credentials'))) AND count(u.tool) = 0 AS strange
    FROM called c
    LEFT JOIN usual u ON u.user_id = c.user_id AND (u.server IS NOT DISTINCT FROM c.server) AND u.tool = c.tool AND u.day < c.day
    GROUP BY c.user_id, c.client, c.day, c.call_id
)
SELECT CASE WHEN count(DISTINCT agent) = 1 THEN min(agent) END AS agent, user_id, min(time) AS first_seen, max(time) AS last_seen,
       array_slice(array_agg(call_id ORDER BY time, call_id), 1, 20) AS call_ids,
       CASE WHEN bool_or(strange) THEN 'high' WHEN bool_or(matters) THEN 'medium' ELSE 'low' END AS level,
       user_id || ' came from ' || client || ', never seen before, beside ' || min(known_client) || ' (history of ' || CAST(min(days) AS VARCHAR) || ' days)' AS message,
       client AS new_client, min(known_client) AS known_client, min(days) AS history_days, count(*) AS calls
FROM judged
GROUP BY user_id, client, day
