-- id = "credential_file_read"
-- title = "Agent read a credential file"
-- level = "high"
-- status = "stable"
-- description = """
--   A tool that reads, runs commands or sends, or a resources/read, was given the path of a file that holds credentials.
--   high: a file of the user or the machine (a dot folder of a home folder, /etc, /proc, a path that climbs out), a tool that sends
--   it out, or three and more such files in one session. medium: a file inside a project, such as .env, and untrusted content was read before in the session or the log holds a request that does not name it.
--   low: so without either, which is what a project's agent does every day; or the attempt failed or was denied. One level less when the user named the file. Paths that only stand in a text, and tools
--   that only write, do not count. Nor does a command that only uses the file (ssh -i, --kubeconfig, a variable put before a
--   command), looks at its name, mode or size (ls, stat, chmod, ssh-keygen), removes it or writes it, unless a secret is in its
--   result. Needs argument paths, no results.
--   """
-- tags = ["owasp.mcp01", "owasp.asi03", "atlas.AML.T0098", "atlas.AML.T0055", "atlas.AML.T0037", "attack.T1552.001"]
-- falsepositives = ["an agent that sets up or repairs the configuration of a tool", "backup and dotfile jobs"]
-- window = "24h"
-- params = { harvest = 3, max_bytes = 4096, max_text = 65536 }
-- needs = ["arguments"]
-- helps = ["durations", "prompts"]
WITH whole AS (                  -- arguments that are a path, also a bare file name, which no observable is made of
    SELECT call_id, regexp_replace(replace(replace(replace(replace(path, '%2e', '.'), '%2E', '.'), '%5f', '_'), '%5F', '_'), '^file://(localhost)?', '') AS path FROM (
        SELECT call_id, arguments, unnest(CASE WHEN method = 'resources/read' THEN make_array(regexp_replace(mcp_resource_uri, '^file://', ''))
                                    -- A call that is itself the text of an argument.
                                    WHEN strpos(arguments, '"{\"') > 0 THEN array_concat(json_strings(arguments), json_strings(replace(replace(replace(arguments, '\"', '"'), '"{', '{'), '}"', '}')))
                                    ELSE json_strings(arguments) END) AS path
        FROM calls
        WHERE event_kind = 'call'
          AND ((method = 'resources/read' AND starts_with(lower(mcp_resource_uri), 'file:'))
               OR (method = 'tools/call' AND arguments_bytes <= $max_bytes AND NOT has_capability(capabilities, 'executes')
                   AND (array_has_any(capabilities, make_array('reads_private', 'egress', 'credentials'))
                        OR NOT array_has_any(capabilities, make_array('writes', 'destructive'))))))
    WHERE CASE WHEN length(path) <= 1024 AND regexp_like(path, '[./\\]') AND (NOT regexp_like(path, '\s') OR regexp_like(path, '^([/\\~]|\.\.?[/\\]|[A-Za-z]:)'))
               THEN is_credential_path(path) ELSE false END
      -- Looking for a name, or talking of it, is not reading it.
      AND NOT coalesce(regexp_like(arguments, '"(q|query|search[a-z_]*|pattern|regex|glob|filter|text|content|message|body|title|comment)"\s*:\s*"'
                                              || regexp_replace(path, '[^A-Za-z0-9]', '.', 'g') || '"', 'i')
                       -- Reading it and talking of it as well is reading it.
                       AND NOT regexp_like(regexp_replace(arguments, '"(q|query|search[a-z_]*|pattern|regex|glob|filter|text|content|message|body|title|comment)"\s*:\s*"'
                                                          || regexp_replace(path, '[^A-Za-z0-9]', '.', 'g') || '"', '', 'gi'),
                                           '"' || regexp_replace(path, '[^A-Za-z0-9]', '.', 'g') || '"', 'i'), false)
),
mentioned AS (                   -- a path inside a longer text is read only by a command
    SELECT call_id, value AS path FROM observables WHERE type = 'file_path' AND origin = 'argument' AND is_credential_path(value)
),
command AS (
    -- The commands without what lets no content out: public keys; files written to; values of options that name an identity;
    -- variables set for a command, if none is used in the text; commands that ask for names, modes and sizes, if their output
    -- is not taken for names to read.
    SELECT call_id, text,
           CASE WHEN regexp_like(text, '\bxargs\b|\bread\s|\bparallel\b') THEN used
                ELSE regexp_replace(used, '(^|[";&|(]\s*|\b(sudo|then|do|else|if|!)\s+)(chmod|chown|chgrp|ls|ll|stat|touch|test|\[\[?|mkdir|file|du|wc|realpath|basename|dirname|rm|unlink|ssh-keygen|ssh-add)'
                                          || '\s([^|;&<>`$()"\\]|\$[A-Za-z{])*', '\1', 'g') END AS rest
    FROM (SELECT call_id, text,
                 CASE WHEN regexp_like(regexp_replace(outward, '\$\{?(HOME|USER|PWD)\b', '', 'g'), '\$\{?[A-Za-z_]') THEN outward
                      ELSE regexp_replace(outward, '(^|[";&|(]\s*|\b(env|export|sudo)\s+)([A-Za-z_]\w*=[^\s(]*(\s+|$))+', '\1', 'g') END AS used
          FROM (SELECT call_id, text,
                       regexp_replace(regexp_replace(regexp_replace(regexp_replace(text, '[^\s|;&"]+\.pub\b|\bsigningkey\s+[^\s|;&"]+', '', 'g'), '>>?\s*[^\s|;&<>"]+|\btee\s+(-a\s+)?[^\s|;&<>"]+', '', 'g'),
                           '\s--?(private-key|key-file|keyfile|kubeconfig|key|identity|identity-file|identityfile|cert|client-key|client-certificate|ssh-key|sshkey|ssh-key-file|ssh-private-key|defaults-(?:extra-)?file|env-file|netrc-file|var-file)[=\s]+[^\s|;&"]+', ' ', 'gi'),
                           '\b(ssh|scp|sftp|mosh|autossh|sshfs|ssh-copy-id)\b([^|;&"]*?)\s-(i\s*|o\s*IdentityFile[=\s])[^\s|;&"]+|\bIdentityFile\s+[^\s|;&"]+', '\1\2', 'g') AS outward
                FROM (SELECT c.call_id, regexp_replace(replace(replace(replace(c.arguments, '\"', ''), '\n', ' ; '), '\t', ' '), '''', '', 'g') AS text
                      FROM calls c JOIN (SELECT DISTINCT call_id FROM mentioned) m ON m.call_id = c.call_id
                      WHERE c.event_kind = 'call' AND has_capability(c.capabilities, 'executes') AND c.arguments_bytes <= $max_text)))
),
leaked AS (                      -- whatever the command, its result held a secret
    SELECT DISTINCT call_id FROM observables WHERE type = 'secret' AND origin = 'result'
),
read_in_command AS (
    SELECT m.call_id, m.path FROM mentioned m
    LEFT JOIN command k ON k.call_id = m.call_id
    LEFT JOIN leaked l ON l.call_id = m.call_id
    WHERE l.call_id IS NOT NULL OR k.call_id IS NULL OR strpos(k.text, m.path) = 0 OR strpos(k.rest, m.path) > 0
),
sent_by_command AS (             -- a command that sends the file, which need not be a path
    SELECT call_id, path
    FROM (SELECT call_id, text, regexp_replace(text, '^.*(@|-T\s*|--upload-file[= ]|(?i:-InFile)\s+|--(post|body)-file[= ]|<\s*|\b(scp|rsync|cp|copy|cat|base64|xxd|tar|gzip|zip)\s([^|;&"]*\s)?)([\w./\\:~$\{\}-]*(\.env(\.(local|prod\w*|dev\w*|staging|live|test))?|id_(rsa|dsa|ecdsa|ed25519)|\.npmrc|\.netrc|\.pgpass|\.pypirc|\.git-credentials|(application_default_)?credentials(\.(json|csv|db))?|kubeconfig|\.tfstate|wallet\.dat|\.kdbx))([\s"''\\|;&)<>].*|$)$', '\5', 's') AS path
          FROM (SELECT call_id,
                       -- Without the key that a login uses, and without what goes to the own machine or network.
                       regexp_replace(command_text(arguments), '\s-i\s*[^\s|;&"]+|IdentityFile[= ][^\s|;&"]+|[^|;&"]*://(localhost|127\.|10\.|192\.168\.|\[::1\])[^|;&"]*', ' ', 'g') AS text
                FROM calls
                WHERE event_kind = 'call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_text))
    WHERE command_sends(text)
      AND path <> text AND length(path) <= 1024 AND is_credential_path(path)
      AND NOT regexp_like(text, '--from-file|s3://[^\s"]*\s+[^\s|;&"]*$')
),
globbed AS (                     -- a pattern stands for the name, so that the path itself is nowhere in the arguments
    SELECT call_id, path
    FROM (SELECT call_id, text, arguments, regexp_replace(text, '^.*?\b(cat|less|more|head|tail|base64|xxd|od|strings|nl|cp|scp|tar|zip|gzip|grep|awk|sed|python3?|curl|wget)\s([^|;&"]*?\s)?(@|-)?([\w./~$\{\}-]*/(\.ssh/id_\w+|\.aws/credentials|g?shadow|\.env|\.netrc|\.npmrc|\.pypirc|\.pgpass|\.git-credentials))\b.*$', '\4', 's') AS path
          FROM (SELECT call_id, arguments, command_text(arguments) AS text FROM calls
                WHERE event_kind = 'call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_text AND regexp_like(arguments, '\w\*|[./]\w*[?*\[]\w*')))
    WHERE path <> text AND length(path) <= 1024 AND strpos(arguments, path) = 0 AND is_credential_path(path)
),
read AS (
    SELECT c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, c.outcome, n.path,
           CASE WHEN c.outcome NOT IN ('success', 'unknown', 'no_response') THEN 1
                WHEN n.sent OR (has_capability(c.capabilities, 'egress') AND NOT n.in_text) THEN 3
                WHEN c.cwd IS NOT NULL AND starts_with(n.path, c.cwd || '/') THEN 2
                WHEN path_escapes(n.path)
                  OR regexp_like(n.path, '^((~|\$HOME|\$\{HOME\}|/home/[^/]+|/Users/[^/]+|/root|[A-Za-z]:[\\/]+Users[\\/]+[^\\/]+|%USERPROFILE%)'
                                         || '[\\/]+(\.|AppData|Library)|/(etc|proc|run|var)/)')
                THEN 3
                ELSE 2 END AS grade
    FROM (SELECT call_id, path, false AS in_text, false AS sent FROM whole UNION SELECT call_id, path, true, false FROM read_in_command UNION SELECT call_id, path, true, true FROM sent_by_command UNION SELECT call_id, path, true, false FROM globbed) n
    JOIN calls c ON c.call_id = n.call_id
    WHERE c.event_kind = 'call' AND (NOT n.in_text OR has_capability(c.capabilities, 'executes'))
),
untrusted AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id
),
asked AS (
    SELECT r.call_id, r.path, min(r.session_id) AS session_id, min(r.agent) AS agent, min(r.server) AS server, min(r.tool) AS tool,
           min(r.time) AS time, min(r.outcome) AS outcome,
           greatest(1, max(r.grade) - CASE WHEN count(q.session_id) > 0 OR (max(r.grade) = 2 AND NOT coalesce(bool_or(u.since < r.time), false) AND NOT bool_or(a.session_id IS NOT NULL)) THEN 1 ELSE 0 END) AS grade, count(q.session_id) > 0 AS asked
    FROM read r
    LEFT JOIN untrusted u ON u.session_id = r.session_id
    LEFT JOIN (SELECT DISTINCT session_id FROM prompts) a ON a.session_id = r.session_id
    LEFT JOIN prompts q ON q.session_id = r.session_id AND q.time <= r.time
         AND strpos(q.text, nullif(regexp_replace(rtrim(r.path, '/\'), '^.*[/\\]', ''), '')) > 0
    GROUP BY r.call_id, r.path
),
per_call AS (
    SELECT call_id, min(session_id) AS session_id, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(time) AS time,
           max(grade) AS grade, array_agg(path) AS paths, array_agg(path) FILTER (WHERE NOT asked) AS unasked,
           bool_or(outcome IN ('success', 'unknown', 'no_response')) AS worked
    FROM asked GROUP BY call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE WHEN max(grade) = 3 OR coalesce(array_length(array_distinct(flatten(array_agg(unasked) FILTER (WHERE unasked IS NOT NULL)))), 0) >= $harvest
            THEN 'high'
            WHEN max(grade) = 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, coalesce(tool, 'resources/read'))) || CASE WHEN bool_or(worked) THEN ' read ' ELSE ' tried to read ' END
           || array_to_string(array_slice(array_sort(array_distinct(flatten(array_agg(paths)))), 1, 5), ', ') AS message,
       array_sort(array_distinct(flatten(array_agg(paths)))) AS paths
FROM per_call
GROUP BY session_id
