-- id = "forwarding_rule_created"
-- title = "Mail is forwarded or shared to an outside address from now on"
-- level = "high"
-- status = "stable"
-- description = """
--   A call created a rule, filter, delegate or forwarding address by which mail or messages go to an address by themselves, or hides what comes in (delete, mark as read, archive at once).
--   A forwarding key with an address in the arguments of a tool that writes suffices, whatever the tool is called, unless it hands on one message: an id of one that the tool takes, and nothing that lasts.
--   high: an address outside the user's own domain that the user did not name. medium: a rule that hides messages, or the log does not show the address.
--   low: the user named the address, or it is one of the own domain (cover for a colleague). The own domain is that of the user or of earlier senders of the session, where the log has one. Needs arguments for the address; one that is only a criterion (from, to, subject) is none.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp02", "owasp.asi02", "atlas.AML.T0086", "attack.T1114.003", "attack.T1564.008", "attack.T1098.002"]
-- falsepositives = ["holiday cover that the user sets up, where the log holds no prompts"]
-- needs = []
-- helps = ["argument_sizes", "arguments", "definitions", "prompts", "users"]
-- window = "24h"
-- params = { max_bytes = 16384 }
WITH keyed AS (                  -- a key that says so, with an address, in what is written, whatever the tool's name
    SELECT call_id, session_id, server, tool, coalesce(regexp_match(arguments, '"((message|mail|e_?mail|thread|msg)_?ids?)"\s*:', 'i')[1], '') AS one_message,
           regexp_like(tool, '(^|[_.-])(set|update|save|enable|configure|create|add|register)[_.-]?\w*(settings?|preferences?|profile|config\w*|rules?|filters?|mailbox|account|forward\w*)', 'i')
               OR regexp_like(arguments, '"(enabled|disposition|keep_?\w*|auto_?\w+|always|permanent|rule\w*|filters?|settings|criteria|conditions?)"\s*:', 'i') AS lasting
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND NOT has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
      AND (array_has_any(capabilities, make_array('writes', 'credentials')) OR (has_capability(capabilities, 'egress') AND regexp_like(arguments, '"(http_?)?(method|verb)"\s*:\s*"(POST|PUT|PATCH)"', 'i')))
      AND regexp_like(arguments, '\bredirect\s+(:copy\s+)?\\"[^"@\s]+@[^"@\s]+\.[^"]+\\"|"\w*(forward\w*|redirect_?(to|mail|address\w*|all\w*)|copy_?to|bcc_?all\w*)"\s*:\s*(\{[^{}]*:\s*)?(\[\s*)?(\{[^{}]*:\s*){0,2}"[^"@\s]+@[^"@\s]+\.[^"]+"', 'i')
      AND NOT regexp_like(tool, '(^|[_.-])(send|reply|forward|resend|draft)_?(an?_?)?(e?mail|message|thread|draft)?s?$', 'i')
),
by_key AS (                      -- one message that is handed on is none; but an argument that the tool does not have says nothing of what it does
    SELECT k.call_id
    FROM keyed k
    LEFT JOIN (SELECT server, tool, input_schema FROM tools WHERE NOT name_only AND input_schema IS NOT NULL) d
           ON coalesce(d.server, '') = coalesce(k.server, '') AND d.tool = k.tool AND k.one_message <> ''
    GROUP BY k.call_id
    HAVING min(k.one_message) = '' OR bool_or(k.lasting) OR coalesce(bool_and(strpos(d.input_schema, '"' || k.one_message || '"') = 0), false)
),
rules AS (
    SELECT call_id, session_id, agent, server, tool, time, arguments, coalesce(user_email, CASE WHEN strpos(user_id, '@') > 0 THEN user_id END) AS user_email, arguments IS NULL OR arguments_bytes <= 2 AS unlogged,
           by_key OR regexp_like(tool, 'forward|redirect|delegat|auto_?reply', 'i') OR coalesce(regexp_like(arguments, '"(forward\w*|redirect\w*|delegate\w*|copy_?to|bcc_?all|send_?to)"\s*:|-ForwardingS?mtp?Address|DeliverToMailboxAndForward|-(ForwardTo|RedirectTo|ForwardAsAttachmentTo)\s', 'i'), false) AS forwards,
           coalesce(regexp_like(arguments, '"(delete|trash|markAsRead|mark_?as_?read|skip_?inbox|archive|stopProcessingRules|removeLabelIds|moveToFolder|move_?to)"\s*:\s*(true|"[^"]+"|\[[^\]]*(INBOX|UNREAD))|-(DeleteMessage|SoftDeleteMessage|MarkAsRead)\b|-MoveToFolder\s', 'i'), false) AS hides
    FROM (SELECT c.call_id, session_id, agent, server, tool, time, user_email, user_id, capabilities, arguments_bytes, b.call_id IS NOT NULL AS by_key,
                 CASE WHEN has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls c LEFT JOIN by_key b ON b.call_id = c.call_id
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response'))
    WHERE (by_key OR regexp_like(tool, '(create|add|set|update|enable|new|put|insert|configure)[_.-]?[\w-]*?(filter|forward\w*|inbox_?rule|mail_?rule|message_?rule|rule|delegate|delegation|redirect|send_?as)s?$|^(auto_?forward|set_?auto_?forward\w*)', 'i')
           OR (has_capability(capabilities, 'executes') AND regexp_like(arguments, '\b(New-InboxRule|Set-Mailbox\b[^|;"]*Forwarding|Add-MailboxPermission|gam\s[^|;"]*(forward|filter|delegate))|>\s*~/\.forward\b', 'i')))
      -- Rules of a mailbox, by the server's or tool's name or by what they look at.
      AND (by_key OR has_capability(capabilities, 'executes') OR regexp_like(concat_ws(' ', server, tool), 'mail|outlook|exchange|imap|inbox|office|m365|o365|graph|workspace|google|forward|delegat|send_?as|messag', 'i')
           OR coalesce(regexp_like(arguments, '"(from|sender|subject|criteria|has_?attachments?|mailbox|(add|remove)LabelIds|\w*forward\w*|\w*smtp\w*)"\s*:', 'i'), false))
      AND (by_key OR NOT regexp_like(tool, 'firewall|alert|lint|security_?group|network|routing|dns|port_?forward', 'i'))
),
aimed AS (
    SELECT r.*, lower(o.value) AS address
    FROM rules r LEFT JOIN observables o ON o.call_id = r.call_id AND o.origin = 'argument' AND o.type = 'email'
         -- An address that the rule only looks at is no target.
         AND NOT (regexp_like(o.path, '(^|/)(criteri\w*|conditions?|match\w*|when|if|query|exceptions?)(/|$)|(^|/)(from|sender|from_?address|sender_?address|subject|has_?the_?words?|user_?(id|key)|mailbox)(/\d+)?$', 'i')
                  OR (regexp_like(o.path, '(^|/)to(/\d+)?$', 'i') AND NOT regexp_like(concat_ws(' ', r.tool, o.path), 'forward|redirect|delegat|send_?as', 'i')))
),
own AS (                         -- domains that the session's user writes from
    SELECT DISTINCT session_id, registrable_domain(lower(split_part(value, '@', 2))) AS domain
    FROM observables WHERE type = 'email' AND origin = 'argument' AND regexp_like(path, '(from|sender|user_?id|mailbox|account)[^/]*$', 'i') AND session_id IN (SELECT session_id FROM rules)
),
asked AS (
    SELECT a.call_id, coalesce(a.address, '') AS address, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.server) AS server, min(a.tool) AS tool, min(a.time) AS time,
           bool_or(a.forwards) AS forwards, bool_or(a.hides) AS hides, bool_or(a.unlogged) AS unlogged,
           coalesce(bool_or(registrable_domain(split_part(a.address, '@', 2)) = registrable_domain(lower(split_part(a.user_email, '@', 2))) OR registrable_domain(split_part(a.address, '@', 2)) = w.domain), false) AS inside,
           count(q.session_id) > 0 AS asked
    FROM aimed a
    LEFT JOIN own w ON w.session_id = a.session_id
    LEFT JOIN prompts q ON q.session_id = a.session_id AND q.time <= a.time AND strpos(lower(q.text), a.address) > 0
    GROUP BY a.call_id, coalesce(a.address, '')
),
graded AS (
    SELECT *, CASE WHEN asked THEN 1
                   WHEN forwards AND address <> '' AND NOT inside THEN 3
                   WHEN hides OR (forwards AND unlogged) THEN 2
                   WHEN forwards AND address <> '' THEN 1
                   ELSE 0 END AS grade
    FROM asked
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_sort(array_agg(DISTINCT call_id)) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN max(nullif(address, '')) IS NOT NULL THEN ' lets mail go on to ' || max(address) WHEN bool_or(hides) THEN ' hides incoming messages' ELSE ' lets mail go on to an address that the log does not hold' END AS message,
       array_sort(array_agg(DISTINCT address) FILTER (WHERE address <> '')) AS addresses
FROM graded
WHERE grade > 0
GROUP BY session_id
