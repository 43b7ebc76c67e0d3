-- id = "access_granted"
-- title = "Agent gave somebody rights, or widened its own"
-- level = "low"
-- status = "test"
-- description = """
--   A tool that manages users, roles, members, policies, keys or sharing worked, or a statement granted rights in a database: what an attacker does first with an
--   agent that has the rights of an administrator.
--   high: untrusted content was read in the session before (but for the one item of a work tracker that a session without requests began with), nobody allowed the call, and no prompt names whom it is for. medium: so, but the user had asked for what was read to be done, or the right is only to read; one of these; or the grant is to everybody, to administrators or to a superuser.
--   low: anything else. Calls that only read, and those that take rights away, are left out.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp07", "owasp.asi03", "atlas.AML.T0053", "attack.T1098", "attack.T1136", "attack.T1548"]
-- falsepositives = ["agents for the administration of users"]
-- window = "24h"
-- needs = []
-- helps = ["arguments", "prompts", "approvals", "annotations", "users"]
-- params = { max_bytes = 4096 }
WITH tools AS (
    SELECT tool, regexp_like(regexp_replace(tool, '([a-z])([A-Z])', '\1_\2', 'g'),
                     '(^|[_.-])(grant|assign|add|create|invite|attach|promote|elevate|enable|set|update|put)([_.-][a-z]+){0,2}[_.-](roles?|permissions?|polic(y|ies)|members?|collaborators?|admins?|owners?|users?|groups?|membership|access|privileges?|scopes?|acl|iam|service_accounts?|api_keys?|access_keys?|access_tokens?|deploy_keys?)($|[_.-])|(^|[_.-])(grant|elevate|impersonate|make_public|share_publicly)($|[_.-])', 'i')
                 AND NOT regexp_like(tool, 'remove|revoke|delete|list|get|search|message|comment|note|task|event|calendar|channel_member|preference', 'i') AS by_name,
           executes OR regexp_like(tool, 'query|sql|statement|exec|run|shell|bash|terminal|command|(^|[_.-])(cli|aws|gcloud|az|kubectl|apply)($|[_.-])|manifest|create_(or_update_)?resource', 'i') AS takes_commands
    FROM (SELECT tool, coalesce(bool_or(has_capability(capabilities, 'executes')), false) AS executes FROM calls WHERE event_kind = 'call' AND method = 'tools/call' AND tool IS NOT NULL GROUP BY tool)
),
granted AS (
    -- The conditions on arguments name a column of tools, so that they are tried on calls of these tools only.
    SELECT c.call_id, c.session_id, c.agent, c.user_id, c.server, c.tool, c.time, c.approval, left(c.arguments, 4000) AS arguments
    FROM (SELECT * FROM tools WHERE by_name OR takes_commands) t
    JOIN calls c ON c.tool = t.tool
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome = 'success' AND NOT coalesce(c.ann_read_only, false)
      AND (array_has_any(c.capabilities, make_array('writes', 'executes', 'destructive', 'reads_private', 'egress'))
           -- A tool of which nothing but its name is known.
           OR (t.by_name AND coalesce(array_length(c.capabilities), 0) = 0))
      AND (t.by_name
           OR CASE WHEN t.takes_commands AND c.arguments_bytes <= $max_bytes
                   THEN CASE WHEN regexp_like(c.arguments, 'grant|alter|create|addrolemember|adgroupmember|usermod|localgroup|net +user|dscl|iam|assignment|setfacl|chmod|777|binding|update', 'i')
                             THEN regexp_like(replace(replace(c.arguments, '\n', ' '), '\t', ' '),
                                 '\b(grant\s+[\w, ]{2,80}\s+(on\s+\S+\s+)?to\s|alter\s+(role|user|login)\s+\S+\s+.{0,40}(superuser|createrole|bypassrls|sysadmin|add\s+member)|alter\s+server\s+role|create\s+(user|role|login)\s|sp_addrolemember|add-adgroupmember|usermod\s+-a?G|net\s+(user|localgroup)\s.*/add|dscl\s.*-append|gcloud\s.*add-iam-policy-binding|aws\s+(--\S+\s+)*iam\s+(attach|put|create|add|update-assume-role-policy)|update\s+[\w."\\`]*(users?|accounts?|members?|logins?|employees?|roles?|permissions?)\w*["\\`]*\s+set\s+[^;]*\b(role|roles|is_?admin|is_?superuser|is_?staff|permissions?|privileges?|admin)\w*["\\`]*\s*=|kind\\?"?:\s*\\?"?(Cluster)?RoleBinding|az\s+role\s+assignment\s+create|kubectl\s+create\s+(cluster)?rolebinding|setfacl\s+-m|chmod\s+(-\w+\s+)*([0-7]?777|[4567][0-7]{3}\s|[ugoa]*\+\w*s))', 'i') END END)
),
started AS (                     -- a session without requests began with one item of a work tracker: by it the agent was told what to do
    SELECT f.session_id, f.first
    FROM (SELECT session_id, min(time) AS first FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND session_id IN (SELECT session_id FROM granted) GROUP BY session_id) f
    LEFT JOIN (SELECT DISTINCT session_id FROM prompts) q ON q.session_id = f.session_id
    WHERE q.session_id IS NULL
),
around AS (
    SELECT c.session_id, min(c.time) AS untrusted_at
    FROM calls c LEFT JOIN started s ON s.session_id = c.session_id AND s.first = c.time
    WHERE has_capability(c.capabilities, 'reads_untrusted') AND c.outcome = 'success' AND c.event_kind = 'call'
      AND NOT (s.session_id IS NOT NULL AND is_work_item(concat_ws('/', c.server, c.tool)))
    GROUP BY c.session_id
),
judged AS (
    SELECT g.call_id, min(g.session_id) AS session_id, min(g.agent) AS agent, min(g.user_id) AS user_id, min(g.server) AS server, min(g.tool) AS tool, min(g.time) AS time,
           min(g.arguments) AS arguments, coalesce(bool_or(a.untrusted_at < g.time), false) AS untrusted, bool_or(g.approval = 'user_allowed') AS allowed, count(q.session_id) AS prompts,
           bool_or(array_has_any(string_to_array(regexp_replace(lower(q.text), '[^a-z0-9@._-]+', ' ', 'g'), ' '),
                                 array_remove_all(string_to_array(regexp_replace(lower(array_to_string(json_strings(g.arguments), ' ')), '[^a-z0-9@._-]+', ' ', 'g'), ' '), ''))) AS named,
           coalesce(bool_or(regexp_like(g.arguments, '\bto\s+public\b|superuser|sysadmin|[:\[,]\s*"[^"]{0,48}\b(admin|administrator|owner|root)s?\b[^"]{0,48}"\s*[,}\]]|\bchmod\s+(-\w+\s+)*([4567][0-7]{3}\s|u?\+\w*s)|\*:\*|\bupdate-assume-role-policy\b[^|;]*(:\d{12}:root|Principal\W{1,6}\*|AWS\W{1,8}\*)|administratoraccess|cluster-admin|--role[=\s]+[''\\"]*(roles/)?(owner|editor|contributor|user access administrator|\w*admin\w*)\b|\bset\s+[^;]*\b(role|roles|is_?admin|is_?superuser|admin)\w*\s*=\s*[\\"'']*(\w*admin\w*|owner|root|superuser|true|1)\b|777', 'i')
               -- Everybody as the one whom it is for; a group or list of that name, to which somebody is added, is not.
               OR regexp_like(CASE WHEN regexp_like(g.arguments, '"\w*(users?|members?|e?mails?|grantees?|principals?|assignees?|logins?)(_?ids?)?"\s*:', 'i')
                                   THEN regexp_replace(g.arguments, '"((group|team|list|channel|space)s?(_?(names?|ids?))?|name|display_?name|title|description)"\s*:\s*("[^"]*"|\[[^\]]*\])', '', 'gi') ELSE g.arguments END,
                              '"(public|everyone|anyone|all_?users|allauthenticatedusers|authenticated)"', 'i')), false) AS wide,
           -- The user handed the task over to what was read, or the right is one to look.
           coalesce(bool_or(hands_over(q.text)), false)
               OR coalesce(bool_and(regexp_like(g.arguments, '"(permission|role|access\w*)"\s*:\s*"(pull|read\w*|view\w*|guest|triage|comment\w*|reporter)"', 'i')), false) AS narrow
    FROM granted g
    LEFT JOIN around a ON a.session_id = g.session_id
    LEFT JOIN prompts q ON q.session_id = g.session_id AND q.time <= g.time
    GROUP BY g.call_id
),
graded AS (
    SELECT *, CASE WHEN untrusted AND NOT allowed AND NOT coalesce(named, false) THEN CASE WHEN narrow THEN 2 ELSE 3 END
                   WHEN wide AND NOT coalesce(named, false) AND NOT allowed THEN 2
                   WHEN (untrusted OR prompts > 0) AND NOT allowed AND NOT coalesce(named, false) THEN 2
                   ELSE 1 END AS grade
    FROM judged
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT user_id) = 1 THEN min(user_id) END AS user_id, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen,
       array_slice(array_agg(call_id ORDER BY grade DESC, time, call_id), 1, 30) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', first_value(server ORDER BY grade DESC, time), first_value(tool ORDER BY grade DESC, time)) || ' gave rights: ' || coalesce(left(first_value(arguments ORDER BY grade DESC, time), 160), 'arguments are not in the log')
           || CASE WHEN bool_or(untrusted) THEN ', after untrusted content' ELSE '' END AS message,
       count(*) AS grants
FROM graded
GROUP BY session_id
