-- id = "environment_dumped"
-- title = "Agent listed the environment variables or searched the machine for secrets"
-- level = "medium"
-- status = "stable"
-- description = """
--   A command prints all environment variables, reads another process's environment, asks whether variables with the names of keys are set, greps files
--   for the names of secrets, or asks a store of secrets for its content.
--   high: the result held a secret, the output of the same command goes to the network, or the operating system's own store of credentials (LSASS, SAM, NTDS, tickets) or a browser's store of logins and cookies is copied.
--   medium: a whole environment, a process's environment, a recursive search, a store of secrets. low: the command failed, a single variable, a secret that goes from its store straight
--   into the header or the variable of the program that needs it, or the user asked for it. What a log says of failed passwords is no secret. One level less when the user wrote in another
--   language than English, of which this cannot be told. `env | grep WORD` counts if WORD may stand in a secret's name.
--   """
-- tags = ["owasp.mcp01", "owasp.asi03", "atlas.AML.T0055", "atlas.AML.T0098", "attack.T1552.001", "attack.T1082", "attack.T1555"]
-- falsepositives = ["debugging of a build or deployment"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts", "results"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH hit AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           regexp_replace(arguments, '^.*?(\b(printenv|env|set|export\s+-p|declare\s+-[xp]+|(Get-ChildItem|gci|dir|ls|Get-Item)\s+(-Path\s+)?\S{0,3}env:|\S*GetEnvironmentVariables|os\.environ|process\.env|ENV\.(to_h|each)|/proc/[^\s/]+/environ|security\s+(dump-keychain|find-\S+)|pass\s+show|secret-tool|cmdkey|(grep|rg|ag|findstr|Select-String)\s[^|;&"]*|find\s[^|;&"]*|gh\s+auth\s+token|gcloud\s+auth\s+\S+|aws\s+(secretsmanager|ssm|configure)\s\S+|az\s+\S+\s+\S+|kubectl\s+get\s+secrets?|vault\s+\S+|op\s+\S+|docker\s+inspect)\b?[^;&"]{0,80}).*$', '\1', 'is') AS what,
           regexp_like(arguments, '\b(printenv|env|set|export\s+-p|declare\s+-[xp]+|os\.environ|process\.env|environ|env:)\b[^"]*(\||>|\$\()[^"]*\b(curl|wget|nc|ncat|Invoke-WebRequest|iwr|http)\b|\b(curl|wget|nc)\b[^"]*(\$\(|`|<\()\s*(printenv|env|set|cat\s+/proc)\b'
               -- What a store of secrets holds, as a body, or by a pipe; in a header it is used.
               || '|\bcurl\s[^|;&"]*(-d|-F|-T|--data[\w-]*|--form\S*|--json|https?://[^\s"]*)[=\s]*[^\s"|;&$]*\$\(\s*(op\s|vault\s|aws\s+(secretsmanager|ssm)|security\s+find|gcloud\s+(secrets|auth)|az\s+keyvault|kubectl\s+get\s+secret|secret-tool\s|pass\s+show)|\b(op\s+(read|item)|vault\s+(kv\s+get|read)|aws\s+(secretsmanager|ssm)\s+get|security\s+(dump|find)-|gcloud\s+secrets|az\s+keyvault\s+secret\s+show|kubectl\s+get\s+secrets?)\b[^|;&"]*(\|\s*(base64|gzip|jq|tr|head|xxd)\b[^|;&"]*)*\|\s*(curl|nc|ncat|wget)\b', 'i') AS sends,
           -- Straight from the store into a header or into the variable of a program; and nowhere else.
           regexp_like(arguments, '\$\(\s*(gcloud\s+auth|gh\s+auth\s+token|az\s+account|op\s+(read|item)|vault\s|aws\s+(secretsmanager|ssm)|security\s+find|secret-tool\s)|\b(op|vault|gh)\s[^|;&"]*>\s*/dev/null')
               AND NOT regexp_like(regexp_replace(arguments, '(authorization|x-[\w-]+|[\w-]*(token|key))\s*:\s*(bearer|token|basic|apikey)?\s*\$\([^()]*\)|(^|["\s;&|(])[A-Z_][A-Z0-9_]*=[''\\]*\$\([^()]*\)[''\\]*\s+[\w./~-]+\s|\b(op\s+(read|item)|vault\s+(kv\s+get|read)|gh\s+auth\s+token)[^|;&"]*>\s*/dev/null', ' ', 'gi'),
                                   '\b(gcloud\s+auth\s+(application-default\s+)?print-access-token|gh\s+auth\s+token|az\s+account\s+get-access-token|op\s+(read|item\s+get)|vault\s+(kv\s+get|read)|aws\s+(secretsmanager\s+(get|batch)|ssm\s+get)|security\s+find-|secret-tool\s)') AS in_place,
           regexp_like(arguments, '(Google[/\\]+Chrome|Chromium|BraveSoftware|Microsoft.{1,2}Edge|google-chrome|\.mozilla|Firefox[/\\]+Profiles)[^|;&"]*(Login.{0,3}Data|Cookies|logins\.json|key4\.db|Web.{0,3}Data)|\bcomsvcs(\.dll)?\b[^|;&"]*MiniDump|\bprocdump\S*\s[^|;&"]*lsass|\breg(\.exe)?\s+save\s+[''\\"]*(HKLM|HKEY_LOCAL_MACHINE)\\+(SAM|SECURITY)\b|\bntdsutil\b[^|;&]*\b(ifm|ntds)\b|\bntds\.dit\b|\b(mimikatz|sekurlsa|lsadump|pypykatz|nanodump|lsassy)\b|\b(impacket-)?(secretsdump|GetUserSPNs|GetNPUsers)(\.py)?\s|\bRubeus(\.exe)?\s|\bcp\s[^|;&"]*/etc/shadow\b', 'i') AS dumps,
           regexp_like(arguments, '\b(printenv|echo|Write-Output|Write-Host)\s+[''\\"]*(\$env:|%)?\$?\{?[A-Z_]*(KEY|TOKEN|SECRET|PASS)[A-Z_]*\}?|\[\s*-[nz]\s+[^\]]*\$\{?[A-Z_]*(KEY|TOKEN|SECRET|PASS)') AS single
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, command_text(arguments) AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
            AND outcome NOT IN ('denied', 'cancelled', 'protocol_error'))
    WHERE
      -- The environment searched for one word that is no secret's is no dump.
          -- What a log says of passwords that failed is no search for one.
          regexp_like(CASE WHEN regexp_like(arguments, '\b(failed|failure|invalid|incorrect|wrong|accepted|bad|changed|expired|reset)\s+password', 'i')
                           THEN regexp_replace(arguments, '\b(failed|failure|invalid|incorrect|wrong|accepted|bad|changed|expired|reset)\s+password', '', 'gi')
                           WHEN regexp_like(arguments, 'grep') AND NOT regexp_like(arguments, 'key|token|secret|pass|pwd|cred|auth|aws|cert|private|grep\s+(-\w+\s+)*[''"\\]*[.^=*]*[''"\\]*\s*("|$|[|;&])|grep\s+(-\w+\s+)*-\w*v', 'i')
                           THEN regexp_replace(arguments, '\b(env|printenv|set)\s*\|\s*[ef]?grep\s[^|;&"]*', '', 'g') ELSE arguments END,
                      '\bcomsvcs(\.dll)?\b[^|;&"]*(?i:MiniDump)|(?i:(Google[/\\]+Chrome|Chromium|BraveSoftware|Microsoft.{1,2}Edge|google-chrome|\.mozilla|Firefox[/\\]+Profiles)[^|;&"]*(Login.{0,3}Data|Cookies|logins\.json|key4\.db|Web.{0,3}Data))|(?i:\bprocdump\S*\s[^|;&"]*lsass|\breg(\.exe)?\s+save\s+[''\\"]*(HKLM|HKEY_LOCAL_MACHINE)\\+(SAM|SECURITY)\b|\bntdsutil\b[^|;&]*\b(ifm|ntds)\b|\b(mimikatz|sekurlsa|lsadump|pypykatz|nanodump|lsassy)\b|\b(impacket-)?(secretsdump|GetUserSPNs|GetNPUsers)(\.py)?\s|\bRubeus(\.exe)?\s)|["''\s;&|(`](printenv|export\s+-p|declare\s+-(x|p|xp))\s*(["'']|$|\||;|&|>|\)|`|\\n)|(:\s*\[?\s*"|[`;&|(]|\\n|\b(ba|z|da|k)?sh\s+-\w*c\s+[''\\"]*|\bcmd(\.exe)?\s+/c\s+[''\\"]*)\s*(sudo\s+)?(/usr/bin/)?(env|set)[''\\]*\s*("\s*([}\]]|,\s*"\w+"\s*:)|\||;|&&|>|\)|`|\\n)|\bprintenv\s+[A-Z_]*(KEY|TOKEN|SECRET|PASS)|\becho\s+\\?"?\$\{?[A-Z_]*(API_KEY|TOKEN|SECRET|PASSWORD)|\[\s*-[nz]\s+[^\]]*\$\{?[A-Z_]*(KEY|TOKEN|SECRET|PASS)'
          || '|(?i:\b(Get-ChildItem|gci|dir|ls|Get-Item)\s+(-Path\s+)?[''\\"]*env:\\*(\w*[*]|["''\s|;)]|$))|\bGetEnvironmentVariables\(|\b(echo|Write-Output|Write-Host)\s+[''\\"]*(\$env:|%)\w*(API_?KEY|TOKEN|SECRET|PASSWORD)|\bprint\((dict\()?os\.environ(\.(copy|items)\(\))?\s*[),]|json\.dumps\((dict\()?os\.environ(\.copy\(\))?\s*[),]|console\.log\((JSON\.stringify\()?process\.env\s*\)|JSON\.stringify\(\s*process\.env\s*[,)]|\b(docker|podman|nerdctl)\s+(container\s+)?inspect\b[^|;&]*\{\{[^}]*\.Env\b|/proc/(\d+|self|\*|1)/environ|\bps\s+\S*e\S*ww|\bENV\.(to_h|each)'
          || '|\bsecurity\s+(dump-keychain|find-(generic|internet)-password)|\bcmdkey\s+/list|\bsecret-tool\s+(search|lookup)|\bgh\s+auth\s+token|\bgcloud\s+auth\s+(application-default\s+)?print-access-token|\baws\s+(secretsmanager\s+(get-secret-value|batch-get-secret-value)|ssm\s+get-parameters?[^|;&"]*--with-decryption|configure\s+export-credentials)|\bgcloud\s+secrets\s+versions\s+access\b|\bSSH_AUTH_SOCK=[''\\"]*(\$\(\s*(ls|find)\b|[^\s;&|]*\*)|\baz\s+(account\s+get-access-token|keyvault\s+secret\s+show)|\bkubectl\s+get\s+secrets?\s[^|;&"]*-o\s*(yaml|json)|\bvault\s+(kv\s+get|read)|\bop\s+(read|item\s+get)'
          || '|\b(grep|rg|ag|git\s+grep|findstr|Select-String)\s[^|;"]*(password|passwd|secret|api[_-]?key|apikey|access[_-]?token|private[_-]?key|AKIA|ghp_|BEGIN\s\S*\s?PRIVATE)[^|;"]*(\s(/|~|\$HOME|\.\s|\.$|\.\.|/home|/etc|/srv|/opt)|-\w*r|-\w*R)|\bfind\s+(/|~|\$HOME|/home|/etc)\S*\s[^|;"]*-name\s+\S*(\.env|id_rsa|\.pem|credentials|\.key|\.kdbx|wallet|\.npmrc|\.netrc|kubeconfig)')
),
answered AS (
    SELECT h.*, s.call_id IS NOT NULL AS got_secret
    FROM hit h LEFT JOIN (SELECT DISTINCT call_id FROM observables WHERE type = 'secret' AND origin = 'result') s ON s.call_id = h.call_id
),
graded AS (
    SELECT a.call_id, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.server) AS server, min(a.tool) AS tool, min(a.time) AS time, min(a.what) AS what,
           bool_or(a.got_secret) AS got_secret, bool_or(a.sends) AS sends,
           CASE WHEN bool_or(a.sends) THEN 3
                WHEN min(a.outcome) NOT IN ('success', 'unknown', 'no_response') THEN 1
                ELSE CASE WHEN bool_or(a.got_secret OR a.dumps) THEN 3 WHEN bool_or(a.single OR a.in_place) THEN 1 ELSE 2 END
                     - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END END AS grade
    FROM answered a
    LEFT JOIN prompts q ON q.session_id = a.session_id AND q.time <= a.time
         AND (regexp_like(q.text, '\b(env(ironment)?( var\w*)?|secrets?|credentials?|api[ _-]?keys?|tokens?|passwords?|key ?chain|vault|pen(etration)?[ -]?test\w*|red[ -]team\w*)\b', 'i')
              -- No word of English: it may speak of it.
              OR is_other_language(q.text))
    GROUP BY a.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' looked for secrets on the machine: ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT left(what, 100))), 1, 3), '; ')
           || CASE WHEN bool_or(sends) THEN ', and sent the output away' WHEN bool_or(got_secret) THEN ', and got some' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT left(what, 200))) AS commands
FROM graded
WHERE grade > 0
GROUP BY session_id
