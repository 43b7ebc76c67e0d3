-- id = "ssh_key_added"
-- title = "Agent added an SSH key or other standing access for somebody"
-- level = "high"
-- status = "stable"
-- description = """
--   A call added a key that lets its owner come back: a line in authorized_keys, a deploy or account key at a code host, an access key or
--   service account key of a cloud, a personal access token.
--   high: authorized_keys, or a key that stands in the arguments and came with nothing that the user said. medium: a key or token made by
--   the provider. low: the attempt failed, or one that the provider made took the place of another, which was taken away in the same session (rotation). One level less when the user spoke of keys or tokens.
--   Making a key pair on the own machine, listing and deleting keys are no findings. Works without payloads by the tool's name.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp01", "owasp.asi03", "atlas.AML.T0053", "attack.T1098.004", "attack.T1098.001", "attack.T1136"]
-- falsepositives = ["provisioning agents", "deploy keys that a pipeline rotates"]
-- needs = []
-- helps = ["argument_sizes", "arguments", "prompts"]
-- window = "1h"
WITH added AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           coalesce(regexp_like(arguments, 'authorized_keys'), false) AS authorized,
           coalesce(regexp_like(arguments, '\b(ssh-(rsa|ed25519|dss)|ecdsa-sha2-nistp\d+|sk-ssh-ed25519@openssh\.com) AAAA'), false) AS key_given
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, capabilities, CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled'))
    WHERE (regexp_like(tool, '(add|create|upload|register|generate|issue|new|put|import)_?\w*?(ssh|deploy|gpg|public|access|api|service_?account|personal_?access|app)_?(key|token|credential|password)s?$', 'i')
           OR (has_capability(capabilities, 'writes') AND NOT has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '"\w*(path|file|file_?name|uri|target|destination)"\s*:\s*"([^"]*[/\\])?authorized_keys2?"', 'i'))
           OR (has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '(>>?\s*|\btee\s+(-a\s+)?|\b(cp|mv|install)\s[^|;&]*\s|\bsed\s+-i[^|;&]*\s)[''"\\]{0,2}[^\s''"|;&]*authorized_keys|\bssh-copy-id\b|ssh-import-id\b|\bopen\(\s*[^,()]*authorized_keys2?[^,()]*,\s*[^,()]*[aw]\b|\b(appendFile|writeFile)(Sync)?\([^,()]*authorized_keys|(?i:Add-Content|Set-Content|Out-File)\s[^|;&]*authorized_keys'
                   || '|\bgh\s+(ssh-key|repo\s+deploy-key)\s+add\b|\baws\s+iam\s+create-(access-key|login-profile|service-specific-credential)\b|\baws\s+ec2\s+import-key-pair\b'
                   || '|\bgh\s+api\s[^|;&]*\b(user/(gpg_|ssh_signing_)?keys|repos/[^/\s]+/[^/\s]+/keys)\b[^|;&]*\s(-f|-F|--field|--raw-field|--input)\b|\bcurl\s[^|;&]*/(user/keys|repos/[^\s"]+/keys|users?/[^\s"/]+/(ssh_)?keys|deploy_keys)\b[^|;&]*\s(-d|--data\S*|--json|-F)\b|\bcurl\s[^|;&]*\s(-d|--data\S*|--json|-F)\b[^|;&]*/(user/keys|repos/[^\s"]+/keys|deploy_keys)\b'
                   || '|\bgcloud\s+iam\s+service-accounts\s+keys\s+create\b|\baz\s+ad\s+(sp|app)\s+credential\s+reset\b')))
),
rotated AS (                     -- an old key goes when the new one is there
    SELECT DISTINCT a.session_id
    FROM added a JOIN calls c ON c.session_id = a.session_id AND (c.server IS NOT DISTINCT FROM a.server) AND c.time > a.time
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome IN ('success', 'unknown')
      AND (regexp_like(c.tool, '(delete|remove|revoke|disable|deactivate|expire|rotate)\w*?(key|token|credential)s?$', 'i')
           OR (c.arguments_bytes <= 4096 AND regexp_like(c.arguments, '\biam\s+(delete-access-key|update-access-key\b[^|;&"]*Inactive)|service-accounts\s+keys\s+(delete|disable)|\bad\s+(sp|app)\s+credential\s+delete')))
),
graded AS (
    SELECT a.call_id, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.server) AS server, min(a.tool) AS tool, min(a.time) AS time,
           bool_or(a.authorized) AS authorized, bool_or(a.key_given) AS key_given,
           CASE WHEN min(a.outcome) NOT IN ('success', 'unknown', 'no_response') THEN 1
                WHEN bool_or(a.authorized OR a.key_given) THEN 3 WHEN bool_or(r.session_id IS NOT NULL) THEN 1 ELSE 2 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM added a
    LEFT JOIN rotated r ON r.session_id = a.session_id
    LEFT JOIN prompts q ON q.session_id = a.session_id AND q.time <= a.time
         AND regexp_like(q.text, '\b((ssh|deploy|access|api|public|gpg|aws|iam|gcp|azure|private|signing|service account)[ -]?keys?|(rotat\w+|renew\w*|generat\w+|creat\w+) (\w+ ){0,4}keys?|authorized_keys|tokens?|credentials?|log ?in)\b', 'i')
    GROUP BY a.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(authorized) THEN ' wrote to authorized_keys' WHEN bool_or(key_given) THEN ' registered a public key' ELSE ' made a key or token' END AS message,
       count(*) AS keys
FROM graded
WHERE grade > 0
GROUP BY session_id
