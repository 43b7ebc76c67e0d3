-- id = "host_surveyed"
-- title = "Machine surveyed with a series of commands, or a network scanned"
-- level = "medium"
-- status = "test"
-- description = """
--   In ten minutes of one session commands asked for who the user is, what system it is, which network, processes, other users, rights and credentials there are: the first
--   minutes of an intruder.
--   high: at least many kinds of questions, or min_kinds and one of them for rights or credentials after untrusted content was read in the session. medium: min_kinds. Kinds count, not
--   commands: listing files and looking at versions of tools are ordinary work and are no kind. medium as well: a scanner was aimed at a whole network. One level less for a survey when the user spoke of an incident, an inventory, an audit or a diagnosis.
--   """
-- tags = ["owasp.mcp05", "owasp.asi05", "owasp.asi02", "atlas.AML.T0037", "atlas.AML.T0089", "attack.T1082", "attack.T1033", "attack.T1016", "attack.T1057", "attack.T1087", "attack.T1046"]
-- falsepositives = ["an inventory of the own network", "an agent that helps with a broken machine"]
-- window = "1h"
-- needs = ["arguments"]
-- helps = ["prompts"]
-- params = { min_kinds = 4, many = 6 }
WITH command AS (
    SELECT call_id, session_id, agent, server, time,
           command_text(arguments) AS arguments
    FROM calls
    WHERE has_capability(capabilities, 'executes') AND event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response') AND arguments_bytes < 4096
),
kind AS (
    SELECT call_id, session_id, agent, server, time,
           make_array(
               CASE WHEN regexp_like(arguments, '(^|[;&|"''(\s/])(whoami|id|who|w|logname|quser)(\.exe)?(\s*["''|;&)\\]|\s+-\w+|$)|(?i:\bquery\s+user\b|\$env:USERNAME|WindowsIdentity\]::GetCurrent)') THEN 'user' END,
               CASE WHEN regexp_like(arguments, '\b(uname\s+-[a-z]*a|hostnamectl|lsb_release|systeminfo|sw_vers)\b|(?i:\bGet-ComputerInfo\b|Win32_OperatingSystem|\bwmic\s+(os|computersystem|qfe)\b)|/etc/(os-release|issue)|/proc/version') THEN 'system' END,
               CASE WHEN regexp_like(arguments, '\b(ifconfig|ipconfig|ip\s+(a|addr|route|r)\b|arp\s+-a|netstat|ss\s+-\w*[tlnp]|route\s+print|lsof\s+-i)|/etc/(hosts|resolv\.conf)|nmap\s|(?i:\bGet-Net(IP\w+|TCPConnection|Neighbor|Route|Adapter)\b|\bnet\s+(view|share|use)\b|\bnltest\b)') THEN 'network' END,
               CASE WHEN regexp_like(arguments, '\b(ps\s+(aux|-ef)|tasklist|systemctl\s+list|Get-Process|Get-Service|pstree|wmic\s+(process|service))\b') THEN 'processes' END,
               CASE WHEN regexp_like(arguments, '/etc/(passwd|group)|\bgetent\s+passwd|(?i:\bnet1?\s+(user|group|localgroup|accounts)|\bGet-Local(User|Group)|\bGet-AD(User|Group|Computer)|\bdsquery\s)|\blast(log)?\s|dscl\s') THEN 'users' END,
               CASE WHEN regexp_like(arguments, '\bsudo\s+-l|/etc/sudoers|-perm\s+-?[/u]?[+=]?[0-9su]*[4s]000|getcap\s+-r|(?i:whoami(\.exe)?\s+/(priv|groups|all))') THEN 'rights' END,
               CASE WHEN regexp_like(arguments, '/etc/shadow|\.ssh/|\.aws/|\.kube/config|(^|[;&|"\s])(env|printenv|set)\s*["|;&]|\.netrc|\.git-credentials|(?i:\bcmdkey\s+/list|\bvaultcmd\b|\b(dir|gci|ls|Get-ChildItem)\s+env:|\\\.?azure\\|reg\s+query\s+[^|;&]*(Winlogon|\\SAM\b))') THEN 'credentials' END,
               CASE WHEN regexp_like(arguments, 'crontab\s+-l|/etc/cron|docker\s+(ps|info)|kubectl\s+(get|auth)|mount\b|df\s+-h|/proc/1/cgroup|\.dockerenv|(?i:\bschtasks\s+/query|\bGet-(ScheduledTask|PSDrive|MpComputerStatus|MpPreference)\b)') THEN 'surroundings' END) AS kinds
    FROM command
    WHERE regexp_like(arguments, 'whoami|\bid\b|\bw(ho)?\b|uname|hostnamectl|lsb_release|systeminfo|sw_vers|ifconfig|ipconfig|\bip\b|arp|netstat|\bss\b|route|lsof|/etc/|/proc/|nmap|\bps\b|tasklist|systemctl|Get-Process|pstree|getent|\bnet\b|\blast|dscl|sudo|-perm|getcap|\.ssh|\.aws|\.kube|env|\bset\b|netrc|crontab|docker|kubectl|mount|\bdf\b|Get-|(?i:wmic|quser|query|nltest|dsquery|cmdkey|vaultcmd|schtasks|Win32_|GetCurrent|USERNAME)')
),
each AS (
    SELECT session_id, kind, date_bin(INTERVAL '10 minutes', time) AS slot, min(agent) AS agent, min(server) AS server, min(time) AS time, min(call_id) AS call_id
    FROM (SELECT *, unnest(kinds) AS kind FROM kind)
    WHERE kind IS NOT NULL
    GROUP BY session_id, kind, date_bin(INTERVAL '10 minutes', time)
),
burst AS (
    SELECT *, array_distinct(array_agg(kind) OVER near) AS kinds_near, first_value(time) OVER near AS start
    FROM each
    WINDOW near AS (PARTITION BY session_id ORDER BY time RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW)
),
best AS (
    SELECT session_id, start, time, kinds_near, row_number() OVER (PARTITION BY session_id ORDER BY array_length(kinds_near) DESC, time) AS nth
    FROM burst WHERE array_length(kinds_near) >= $min_kinds
),
survey AS (
    SELECT b.session_id, min(e.agent) AS agent, CASE WHEN count(DISTINCT e.server) = 1 THEN min(e.server) END AS server, min(e.time) AS first_seen, max(e.time) AS last_seen,
           array_agg(DISTINCT e.kind ORDER BY e.kind) AS kinds, array_agg(DISTINCT e.call_id ORDER BY e.call_id) AS call_ids
    FROM best b JOIN each e ON e.session_id = b.session_id
    WHERE b.nth = 1 AND e.time >= b.start AND e.time <= b.time
    GROUP BY b.session_id
),
scan AS (
    SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids
    FROM command
    WHERE regexp_like(arguments, '(["`;&|(]|\\n)\s*(sudo\s+)?(nmap|masscan|zmap|rustscan|fping|arp-scan|netdiscover|nbtscan)\s[^|;&"]*(\d+\.\d+\.\d+\.\d+(/\d+|-\d+)|\d+\.\d+\.\d+\.\*|\s-iL\s|--localnet|[0-9a-f]:+/\d+)')
    GROUP BY session_id
),
tainted AS (
    SELECT session_id, min(time) AS untrusted_at FROM calls
    WHERE has_capability(capabilities, 'reads_untrusted') AND outcome = 'success' AND event_kind = 'call' GROUP BY session_id
)
SELECT s.session_id, s.agent, s.server, s.first_seen, s.last_seen, array_slice(s.call_ids, 1, 30) AS call_ids,
       CASE CASE WHEN array_length(s.kinds) >= $many OR (array_has_any(s.kinds, make_array('rights', 'credentials')) AND t.untrusted_at < s.last_seen) THEN 3 ELSE 2 END
            - CASE WHEN q.asked THEN 1 ELSE 0 END WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       'Commands asked for ' || array_to_string(s.kinds, ', ') || ' within minutes' AS message,
       s.kinds
FROM survey s LEFT JOIN tainted t ON t.session_id = s.session_id
LEFT JOIN (SELECT session_id, bool_or(regexp_like(text, '\b(incident|forensic\w*|volatile data|inventory|audit\w*|harden\w*|health ?check|diagnos\w+|troubleshoot\w*|system (info\w*|report|overview))\b', 'i')) AS asked
           FROM prompts GROUP BY session_id) q ON q.session_id = s.session_id
UNION ALL
SELECT session_id, agent, server, first_seen, last_seen, array_slice(call_ids, 1, 30) AS call_ids, 'medium' AS level, 'A whole network was scanned' AS message, make_array('scan') AS kinds
FROM scan WHERE session_id NOT IN (SELECT session_id FROM survey)
