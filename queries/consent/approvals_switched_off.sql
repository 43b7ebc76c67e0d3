-- id = "approvals_switched_off"
-- title = "Calls that were asked for are let through automatically from some moment on"
-- level = "medium"
-- status = "test"
-- description = """
--   In one session the user was asked, and then everything is let through without a question, by another policy or none: approvals were switched off while
--   the agent was at work, by the user who had enough or by the agent.
--   high: the switch came after untrusted content was read, and what ran unasked can destroy, send, pay or run. medium: such calls ran unasked. low:
--   only others. At least min_asked questions before and min_unasked calls after the switch, of which none was asked.
--   Tools that the user allowed once for the whole session are left out.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp06", "owasp.asi09", "owasp.asi10", "atlas.AML.T0081", "attack.T1562.001"]
-- falsepositives = ["users who change to an automatic mode for a task that they trust"]
-- window = "24h"
-- needs = ["approvals"]
-- helps = ["users"]
-- params = { min_asked = 2, min_unasked = 3 }
WITH decided AS (
    SELECT session_id, max(time) FILTER (WHERE approval IN ('user_allowed', 'user_denied')) AS last_asked,
           count(*) FILTER (WHERE approval IN ('user_allowed', 'user_denied')) AS asked
    FROM calls
    WHERE approval <> 'unknown' AND event_kind = 'call'
    GROUP BY session_id
    HAVING count(*) FILTER (WHERE approval IN ('user_allowed', 'user_denied')) >= $min_asked AND count(*) FILTER (WHERE approval = 'auto_allowed') >= $min_unasked
),
decision AS (
    SELECT d.session_id, d.last_asked, d.asked, c.call_id, c.agent, c.user_id, c.server, c.tool, c.time, c.approval, c.approval_policy, c.outcome,
           array_has_any(c.capabilities, make_array('destructive', 'egress', 'pays', 'executes')) AS sensitive,
           has_capability(c.capabilities, 'reads_untrusted') AND c.outcome = 'success' AS untrusted,
           -- A tool that was asked about before would be asked about again, unless the user allowed it for good.
           bool_or(c.approval = 'user_allowed' AND coalesce(regexp_like(c.approval_source, 'session|always|permanent|remember', 'i'), false)) OVER tool AS allowed_for_good,
           bool_or(c.approval IN ('user_allowed', 'user_denied')) OVER tool AS tool_was_asked,
           bool_or(c.approval = 'auto_allowed' AND c.time <= d.last_asked) OVER tool AS tool_was_free
    FROM decided d JOIN calls c ON c.session_id = d.session_id
    WHERE c.event_kind = 'call'
    WINDOW tool AS (PARTITION BY c.session_id, c.server, c.tool)
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT user_id) = 1 THEN min(user_id) END AS user_id, min(last_asked) AS first_seen, max(time) FILTER (WHERE approval = 'auto_allowed') AS last_seen,
       array_slice(array_agg(call_id ORDER BY sensitive DESC, time, call_id) FILTER (WHERE time > last_asked AND approval = 'auto_allowed' AND NOT tool_was_free AND NOT allowed_for_good), 1, 50) AS call_ids,
       CASE WHEN bool_or(time > last_asked AND approval = 'auto_allowed' AND sensitive AND NOT tool_was_free)
            THEN CASE WHEN min(time) FILTER (WHERE untrusted) < min(last_asked) OR min(time) FILTER (WHERE untrusted AND time > last_asked) < max(time) FILTER (WHERE sensitive) THEN 'high' ELSE 'medium' END
            ELSE 'low' END AS level,
       'After ' || CAST(min(asked) AS VARCHAR) || ' questions to the user, ' || CAST(count(*) FILTER (WHERE time > last_asked AND approval = 'auto_allowed') AS VARCHAR)
           || ' calls ran unasked' || coalesce(' (' || max(approval_policy) FILTER (WHERE time > last_asked AND approval = 'auto_allowed') || ')', '')
           || CASE WHEN bool_or(time > last_asked AND approval = 'auto_allowed' AND tool_was_asked) THEN ', also of tools that had been asked about' ELSE '' END AS message,
       min(asked) AS asked, count(*) FILTER (WHERE time > last_asked AND approval = 'auto_allowed') AS unasked
FROM decision
GROUP BY session_id
HAVING count(*) FILTER (WHERE time > last_asked AND approval = 'auto_allowed' AND NOT tool_was_free AND NOT allowed_for_good) >= $min_unasked
