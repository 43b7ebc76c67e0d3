-- id = "secret_written_down"
-- title = "Secret was written into a command, file, repository, ticket or message"
-- level = "medium"
-- status = "stable"
-- description = """
--   A secret stands in the arguments of a call that keeps or shows what it is given: code or a file that is committed, a page, ticket, comment, chat, a memory, or a command line that ends in shell
--   histories and process lists.
--   high: it goes to a repository, page, ticket, chat or mail, and came out of a result. medium: it goes there and did not, or into a memory, or it came out of a result and a statement puts it into a table
--   that is not one of keys. low: into a local file or a command, or it is only what a link is signed with that is made
--   for handing on (signed download, share, invitation).
--   Arguments that are named for a credential (token, password, Authorization) of tools that need one are its proper place. From one server to another: secret_across_servers.
--   """
-- tags = ["owasp.mcp01", "owasp.mcp10", "owasp.asi03", "atlas.AML.T0057", "atlas.AML.T0055", "attack.T1552.001", "attack.T1552.003"]
-- falsepositives = ["writing a configuration file with its key, as asked (low)", "examples with keys that look real"]
-- needs = ["arguments"]
-- helps = ["results"]
-- window = "24h"
WITH link AS (SELECT DISTINCT call_id, origin, secret FROM link_signatures),   -- as a step: computed once for all rules
carried AS (                     -- each secret; one that only signs a link stands for nothing beside another
    SELECT call_id, session_id, secret, min(time) AS time, bool_and(only_link) AS only_link
    FROM (SELECT o.call_id, o.session_id, o.value AS secret, o.time, l.call_id IS NOT NULL AS is_link, bool_and(l.call_id IS NOT NULL) OVER (PARTITION BY o.call_id) AS only_link
          FROM observables o LEFT JOIN link l ON l.call_id = o.call_id AND l.origin = o.origin AND l.secret = o.value
          WHERE o.type = 'secret' AND o.origin = 'argument'
            AND NOT regexp_like(o.path, '(token|password|passwd|secret|api_?key|authorization|auth|credential\w*|key|cookie|bearer|headers/[^/]*|env/[^/]*)$', 'i'))
    WHERE only_link OR NOT is_link
    GROUP BY call_id, session_id, secret
),
kept AS (
    SELECT d.call_id, d.session_id, d.secret, d.time, d.only_link, c.agent, c.server, c.tool,
           has_capability(c.capabilities, 'executes') AS command,
           has_capability(c.capabilities, 'egress') AND NOT has_capability(c.capabilities, 'executes') AS shown,
           coalesce(regexp_like(c.tool, 'memor|remember|observation|entit|knowledge|note', 'i'), false) AS memory,
           coalesce(NOT has_capability(c.capabilities, 'executes') AND regexp_like(c.arguments, '\b(insert\s+into|update)\s+[\w."`\\]+[^;]*\[secret:', 'i')
                    AND NOT regexp_like(c.arguments, '\b(insert\s+into|update)\s+[\w."`\\]*(key|token|secret|credential|config|setting|integration|vault|auth|user|account)', 'i'), false) AS into_table
    FROM carried d
    JOIN calls c ON c.call_id = d.call_id
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      -- Typed into the field of a form that is named for it.
      AND NOT coalesce(regexp_like(c.tool, 'fill|type|input|form|log_?in|sign_?in', 'i')
                       AND regexp_like(c.arguments, '"(name|label|field|element|selector|ref|id|key|title|placeholder)"\s*:\s*"[^"]*(passw|passcode|pwd|secret|token|\bpin\b|otp|code)[^{}]*"(value|text|content)"\s*:\s*"\[secret:', 'i'), false)
      AND array_has_any(c.capabilities, make_array('writes', 'executes', 'egress')) AND NOT has_capability(c.capabilities, 'credentials')
      AND NOT (has_capability(c.capabilities, 'reads_untrusted') AND NOT has_capability(c.capabilities, 'writes'))
),
traced AS (
    SELECT k.call_id, min(k.session_id) AS session_id, min(k.secret) AS secret, min(k.time) AS time, min(k.agent) AS agent, min(k.server) AS server, min(k.tool) AS tool,
           bool_or(k.only_link) AS only_link, bool_or(k.command) AS command, bool_or(k.shown) AS shown, bool_or(k.memory) AS memory, bool_or(k.into_table) AS into_table,
           first_value(named_struct('id', r.call_id, 'at', r.time) ORDER BY r.time, r.call_id) FILTER (WHERE r.call_id IS NOT NULL) AS source
    FROM kept k
    LEFT JOIN observables r ON r.type = 'secret' AND r.origin = 'result' AND r.session_id = k.session_id AND r.value = k.secret AND r.time < k.time
    GROUP BY k.call_id
),
graded AS (
    SELECT *, CASE WHEN only_link THEN 1 WHEN shown THEN CASE WHEN source IS NOT NULL THEN 3 ELSE 2 END WHEN memory OR (into_table AND source IS NOT NULL) THEN 2 ELSE 1 END AS grade FROM traced
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(secret) AS secret, bool_or(command AND NOT shown) AS command
    FROM (SELECT *, unnest(CASE WHEN source IS NOT NULL THEN make_array(source, named_struct('id', call_id, 'at', time)) ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev FROM graded)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(secret) || ' was written down with ' || min(concat_ws('/', server, tool)) AS message, min(secret) AS secret
FROM evidence
GROUP BY session_id
