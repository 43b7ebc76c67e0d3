-- id = "remote_host_reached"
-- title = "Command logs in to another machine, or runs something there"
-- level = "medium"
-- status = "stable"
-- description = """
--   A command goes on to another machine: ssh, scp, sftp and rsync, WinRM, PsExec, WMI, run-command services of clouds.
--   high: with a password in the command, or three and more new hosts in one session. medium: a host that the agent had not reached within the window. low: the user named the host,
--   it lies in the domain of the user's own address, or the login failed. Code hosts, the own machine and hosts that were reached before are left out. Hosts without a dot count only behind user@,
--   and for scp and rsync only what stands before a colon is a host.
--   """
-- tags = ["owasp.mcp05", "owasp.mcp01", "owasp.asi05", "owasp.asi03", "atlas.AML.T0112.000", "attack.T1021.004", "attack.T1021.006", "attack.T1552"]
-- falsepositives = ["deployments and administration by an agent (once for each host and window)"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts", "users"]
-- window = "14d"
-- params = { max_bytes = 65536, many = 3 }
WITH hit AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, registrable_domain(lower(split_part(mailbox, '@', 2))) AS own_domain,
           -- For scp and rsync, what stands before a colon is a host, and all else is a file.
           lower(coalesce(nullif(regexp_replace(arguments, '^.*?\b(scp|rsync)\s(?:[^|;&]*?[\s"''=\\])??(?:(?:rsync|scp|sftp)://)?([\w.-]+@([A-Za-z0-9.-]+)|(([A-Za-z0-9-]+\.)+[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*|(\d{1,3}\.){3}\d{1,3})):.*$', '\3\4', 's'), arguments),
                          regexp_replace(arguments, '^.*?\b(ssh|sftp|mosh|autossh|winrs|evil-winrm|(?i:Enter-PSSession|New-PSSession|Invoke-Command)|psexec\w*|plink|wmic)(\.exe)?\s(?:[^|;&]*?[\s\"''=:\\])??([\w.-]+@([A-Za-z0-9.-]+)|((?i:-(?:ComputerName|HostName))\s+|-r:|/node:|-i\s+|\\\\\\\\)?(([A-Za-z0-9-]+\.)+[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*|(\d{1,3}\.){3}\d{1,3}))[:\s"''\\/;|&].*$', '\4\6', 's'))) AS host,
           regexp_like(arguments, '\bsshpass\s+-\w*p|\[secret:password|-(p|Password|pw)\s+\S+[^|;&]*\b(psexec|winrs|plink)|\bplink\s[^|;&]*-pw\s|\bpsexec\S*\s[^|;&]*-p\s+\S', 'i') AS with_password
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, coalesce(user_email, CASE WHEN strpos(user_id, '@') > 0 THEN user_id END) AS mailbox, command_text(arguments) AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes AND outcome NOT IN ('denied', 'cancelled', 'protocol_error'))
    WHERE regexp_like(arguments, '(["`;&|(]|\\n|\bsudo|\btimeout\s+\S+|\bsshpass\s[^|;&"]*?|\b(ba|z|da|k)?sh\s+-\w*c\s+[''\\"]*|\b(cmd|powershell|pwsh)(\.exe)?\s+[-/](c|Command)\s+[''\\"]*)\s*(/usr/bin/)?(ssh|scp|sftp|rsync|mosh|autossh|winrs|evil-winrm|(?i:Enter-PSSession|New-PSSession|Invoke-Command)|psexec\w*|plink|wmic)(\.exe)?\s[^|;&]*?([\w.-]+@[A-Za-z0-9.-]+|(?i:-(ComputerName|HostName))\s|-r:|/node:|\\\\\\\\[A-Za-z0-9]|\s([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+[:\s"''\\])')
),
hosts AS (
    SELECT * FROM hit
    WHERE regexp_like(host, '^[a-z0-9.-]{1,253}$') AND NOT regexp_like(host, '^(localhost|127\..*|::1|github\.com|gitlab\.com|bitbucket\.org|ssh\.dev\.azure\.com|codeberg\.org|\d+\.\d+|[\w-]+\.(sh|py|txt|md|json|log|pub|pem|key|tar|gz|zip|conf|ya?ml|sql))$')
),
turns AS (
    SELECT *, row_number() OVER (PARTITION BY agent, host ORDER BY time, call_id) AS turn, first_value(session_id) OVER (PARTITION BY agent, host ORDER BY time, call_id) AS first_session FROM hosts
),
graded AS (
    SELECT t.call_id, min(t.session_id) AS session_id, min(t.agent) AS agent, min(t.server) AS server, min(t.tool) AS tool, min(t.time) AS time, min(t.host) AS host, bool_or(t.with_password) AS with_password,
           count(q.session_id) > 0 OR coalesce(bool_and(registrable_domain(t.host) = t.own_domain), false) OR min(t.outcome) NOT IN ('success', 'unknown', 'no_response', 'timeout') AS excused
    FROM turns t
    LEFT JOIN prompts q ON q.session_id = t.session_id AND q.time <= t.time AND (strpos(lower(q.text), t.host) > 0
         -- Within the own network people say the first part of a name.
         OR (is_internal_address(t.host) AND length(split_part(t.host, '.', 1)) >= 4 AND NOT regexp_like(t.host, '^[0-9.]+$')
             AND strpos(' ' || regexp_replace(lower(q.text), '[^a-z0-9-]+', ' ', 'g') || ' ', ' ' || split_part(t.host, '.', 1) || ' ') > 0))
    WHERE t.session_id = t.first_session OR t.with_password
    GROUP BY t.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_slice(array_agg(call_id ORDER BY time, call_id), 1, 50) AS call_ids,
       CASE WHEN bool_or(with_password) OR count(DISTINCT host) FILTER (WHERE NOT excused) >= $many THEN 'high' WHEN bool_and(excused) THEN 'low' ELSE 'medium' END AS level,
       min(concat_ws('/', server, tool)) || ' went on to ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT host)), 1, 4), ', ') || CASE WHEN bool_or(with_password) THEN ' with a password in the command' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT host)) AS hosts
FROM graded
GROUP BY session_id
