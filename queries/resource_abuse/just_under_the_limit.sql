-- id = "just_under_the_limit"
-- title = "Bursts that stop just under a limit, again and again"
-- level = "medium"
-- status = "test"
-- description = """
--   An agent's bursts of one tool (calls in five minutes) end just below a round limit far more often than chance: nine of ten, forty-nine of fifty. Somebody
--   knows the threshold of a rate limit or of a detection.
--   high: at least three times min_bursts, with side effects or private reads. medium: at least min_bursts bursts just under the limit, none at or above it, and hardly any in
--   the width below. The limits are parameters; a limit counts if it is 10 or more. Works on metadata alone.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp08", "owasp.asi10", "atlas.AML.T0034.000", "atlas.AML.T0107", "attack.T1030", "attack.T1029"]
-- falsepositives = ["a client with a rate limiter of its own: then the limit is known to you"]
-- window = "7d"
-- needs = []
-- helps = ["users"]
-- params = { limits = [10, 20, 25, 30, 50, 60, 100, 150, 200, 500, 1000], min_bursts = 5 }
WITH burst AS (
    SELECT coalesce(agent, user_id) AS who, server, tool, date_bin(INTERVAL '5 minutes', time) AS slot, count(*) AS calls, min(time) AS first_at, max(time) AS last_at
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND time_source <> 'file_mtime' AND coalesce(agent, user_id) IS NOT NULL
    GROUP BY coalesce(agent, user_id), server, tool, date_bin(INTERVAL '5 minutes', time)
    HAVING count(*) >= 8
),
counted AS (
    SELECT b.who, b.server, b.tool, l.max_calls, count(*) FILTER (WHERE b.calls >= l.max_calls) AS above,
           count(*) FILTER (WHERE b.calls < l.max_calls AND b.calls >= l.max_calls - greatest(1, l.max_calls / 25)) AS under,
           count(*) FILTER (WHERE b.calls < l.max_calls - greatest(1, l.max_calls / 25) AND b.calls >= l.max_calls - 4 * greatest(1, l.max_calls / 25)) AS below,
           min(b.first_at) FILTER (WHERE b.calls < l.max_calls AND b.calls >= l.max_calls - greatest(1, l.max_calls / 25)) AS first_seen,
           max(b.last_at) FILTER (WHERE b.calls < l.max_calls AND b.calls >= l.max_calls - greatest(1, l.max_calls / 25)) AS last_seen,
           min(b.slot) FILTER (WHERE b.calls < l.max_calls AND b.calls >= l.max_calls - greatest(1, l.max_calls / 25)) AS slot
    FROM burst b CROSS JOIN (SELECT unnest(CAST($limits AS BIGINT[])) AS max_calls) l
    GROUP BY b.who, b.server, b.tool, l.max_calls
),
odd AS (
    SELECT *, row_number() OVER (PARTITION BY who, server, tool ORDER BY under DESC, max_calls) AS best
    FROM counted WHERE under >= $min_bursts AND above = 0 AND 3 * below <= under
)
SELECT min(c.agent) AS agent, CASE WHEN min(c.agent) IS NULL THEN min(c.user_id) END AS user_id, o.server, o.tool, min(o.first_seen) AS first_seen, max(o.last_seen) AS last_seen,
       array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id), 1, 50) AS call_ids,
       CASE WHEN o.under >= 3 * $min_bursts AND bool_or(array_length(c.capabilities) > 0) THEN 'high' ELSE 'medium' END AS level,
       CAST(o.under AS VARCHAR) || ' bursts of ' || concat_ws('/', o.server, o.tool) || ' end just under ' || CAST(o.max_calls AS VARCHAR) || ' calls in five minutes, and none reaches it' AS message,
       o.max_calls AS call_limit, o.under AS bursts
FROM odd o
JOIN calls c ON c.tool = o.tool AND c.time >= o.slot AND c.time < o.slot + INTERVAL '5 minutes'
WHERE o.best = 1 AND (c.server IS NOT DISTINCT FROM o.server) AND coalesce(c.agent, c.user_id) = o.who AND c.event_kind = 'call'
GROUP BY o.who, o.server, o.tool, o.max_calls, o.under
