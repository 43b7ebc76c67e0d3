-- id = "payment_without_approval"
-- title = "Money was moved without anybody's approval"
-- level = "medium"
-- status = "test"
-- description = """
--   A tool that pays, refunds or transfers worked, and the log says that it was let through automatically or needed no approval, or records
--   decisions for the other calls of the session but not for this one (low).
--   high: the receiver (IBAN, account, wallet, e-mail address) was never in an argument of this agent before within 30 days, and untrusted content was read in
--   the session before. medium: one of the two, or several payments. low: neither. One less if a prompt of the session names the receiver.
--   Logs that never record approvals cannot tell: no finding.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "owasp.asi09", "atlas.AML.T0048.000", "atlas.AML.T0053", "attack.T1657"]
-- falsepositives = ["payment runs that are meant to go unattended"]
-- window = "30d"
-- needs = ["approvals"]
-- helps = ["arguments", "prompts", "annotations", "durations", "users"]
-- params = { several = 3, recorded_share = 0.8, recorded_min = 3 }
WITH paid AS (
    SELECT call_id, session_id, agent, user_id, server, tool, time, approval, coalesce(approval_source, approval_policy) AS let_through_by
    FROM calls
    WHERE has_capability(capabilities, 'pays') AND event_kind = 'call' AND method = 'tools/call' AND outcome = 'success'
      AND approval IN ('auto_allowed', 'not_required', 'unknown') AND NOT coalesce(ann_read_only, false)
),
facts AS (
    SELECT c.session_id, count(*) FILTER (WHERE c.method = 'tools/call') AS tool_calls,
           count(*) FILTER (WHERE c.approval IN ('user_allowed', 'auto_allowed', 'not_required')) AS recorded,
           min(coalesce(c.time_end, c.time)) FILTER (WHERE has_capability(c.capabilities, 'reads_untrusted') AND c.outcome = 'success') AS untrusted_since
    FROM calls c WHERE c.event_kind = 'call' AND c.session_id IN (SELECT session_id FROM paid)
    GROUP BY c.session_id
),
unapproved AS (
    SELECT p.*, f.untrusted_since < p.time AS after_untrusted
    FROM paid p JOIN facts f ON f.session_id = p.session_id
    WHERE p.approval <> 'unknown' OR (f.recorded >= $recorded_min AND f.recorded >= $recorded_share * (f.tool_calls - 1))
),
receiver AS (
    SELECT u.call_id, min(o.value) AS receiver, bool_or(b.call_id IS NOT NULL) AS known
    FROM unapproved u
    JOIN observables o ON o.call_id = u.call_id AND o.origin = 'argument' AND o.type IN ('iban', 'wallet', 'email')
    LEFT JOIN (SELECT value, session_id, time, call_id FROM observables WHERE origin = 'argument' AND type IN ('iban', 'wallet', 'email')) b
      ON b.value = o.value AND b.time < u.time AND b.time >= u.time - INTERVAL '30 days'
    GROUP BY u.call_id
),
judged AS (
    SELECT u.call_id, min(u.session_id) AS session_id, min(u.agent) AS agent, min(u.user_id) AS user_id, min(u.server) AS server, min(u.tool) AS tool, min(u.time) AS time,
           min(u.approval) AS approval, min(u.let_through_by) AS let_through_by, bool_or(u.after_untrusted) AS after_untrusted, min(r.receiver) AS receiver,
           bool_or(NOT r.known) AS new_receiver, count(q.session_id) > 0 AS named
    FROM unapproved u
    LEFT JOIN receiver r ON r.call_id = u.call_id
    LEFT JOIN prompts q ON q.session_id = u.session_id AND q.time <= u.time AND strpos(lower(q.text), lower(r.receiver)) > 0
    GROUP BY u.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT user_id) = 1 THEN min(user_id) END AS user_id, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen,
       array_slice(array_agg(call_id ORDER BY time, call_id), 1, 50) AS call_ids,
       CASE greatest(1, CASE WHEN min(approval) = 'unknown' AND max(approval) = 'unknown' THEN 1
                 WHEN bool_or(coalesce(new_receiver, false) AND coalesce(after_untrusted, false)) THEN 3
                 WHEN bool_or(coalesce(new_receiver, false) OR coalesce(after_untrusted, false)) OR count(*) >= $several THEN 2 ELSE 1 END - CASE WHEN bool_and(named) THEN 1 ELSE 0 END)
           WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       CAST(count(*) AS VARCHAR) || ' payments without approval with ' || min(concat_ws('/', server, tool)) || coalesce(' to ' || min(receiver), '')
           || ' (' || min(approval) || coalesce(' by ' || min(let_through_by), '') || ')' || CASE WHEN bool_or(coalesce(new_receiver, false)) THEN ', a receiver that is new' ELSE '' END AS message,
       min(receiver) AS receiver, count(*) AS payments
FROM judged
GROUP BY session_id
