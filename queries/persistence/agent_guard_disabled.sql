-- id = "agent_guard_disabled"
-- title = "An agent was started or set up without its approvals or sandbox"
-- level = "high"
-- status = "stable"
-- description = """
--   A command started an agent with a switch that takes away approvals or the sandbox, or switched off the guard of the agent's own
--   machine: security tools, the firewall, SELinux, the log of commands.
--   high: an agent was started unguarded by another agent, or a guard of the machine was stopped. low: the command failed or the user asked for it.
--   Standing configuration with the same effect is agent_config_written. A flag that is only mentioned (echo, grep, help, a commit message) does not count.
--   """
-- tags = ["owasp.mcp02", "owasp.asi09", "owasp.asi10", "atlas.AML.T0081", "atlas.AML.T0107", "attack.T1562.001", "attack.T1562.004"]
-- falsepositives = ["CI images that start agents unguarded inside a container"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH started AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           regexp_like(arguments, 'dangerously|--yolo|--full-auto|approval-mode|--allow-all|--trust-all|permission-mode|--ask-for-approval|skip-permissions', 'i') AS other_agent,
           regexp_replace(arguments, '^.*?((--dangerously-[\w-]+|--yolo|--full-auto|--approval-mode[= ]\\?["'']?yolo|--allow-all-tools|--allow-all-paths|--trust-all-tools|--permission-mode[= ]\\?["'']?bypassPermissions|(--ask-for-approval|-a)[= ]never|--sandbox[= ]danger-full-access'
                          || '|setenforce\s+0|ufw\s+disable|iptables\s+-F|systemctl\s+(--\S+\s+)*(stop|disable|mask)\s+(--\S+\s+)*\S+|Set-MpPreference[^"|;]*|netsh\s+advfirewall\s+set\s+\w+\s+state\s+off|spctl\s+--master-disable|csrutil\s+disable|unset\s+HISTFILE|set\s+\+o\s+history)).*$', '\1', 's') AS what
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, arguments AS raw,
                 -- A command that asks for its help does nothing; one in a comment or a text beside it does not either.
                 CASE WHEN strpos(arguments, '--help') > 0
                      THEN regexp_replace(command_text(arguments), '\b[\w.-]+\s([^|;&"#(`''\\]*\s)?--help\b[^|;&"#(`''\\]*', '', 'g')
                      ELSE command_text(arguments) END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes')
            AND arguments_bytes <= $max_bytes AND outcome NOT IN ('denied', 'cancelled'))
    WHERE regexp_like(arguments, '\b(claude|codex|gemini|qwen|copilot|aider|opencode|goose|amp|q\s+chat|cursor-agent|kiro|crush)\b[^|;&]*(--dangerously-skip-permissions|--dangerously-bypass-approvals-and-sandbox|--yolo\b|--full-auto\b|--approval-mode[= ]\\?["'']?yolo|--allow-all-tools|--allow-all-paths|--trust-all-tools|--permission-mode[= ]\\?["'']?bypassPermissions|--sandbox[= ]danger-full-access|(--ask-for-approval|-a)[= ]never)'
                                 || '|\b(setenforce\s+0|ufw\s+disable|iptables\s+-F|csrutil\s+disable|spctl\s+--master-disable|netsh\s+advfirewall\s+set\s+\w+\s+state\s+off)\b|Set-MpPreference\b[^"|;]*-Disable\w+\s+(\$true|1)|\bunset\s+HISTFILE\b|\bset\s+\+o\s+history\b'
                                 || '|\bsystemctl\s+(--\S+\s+)*(stop|disable|mask)\s+(--\S+\s+)*(auditd|falco\S*|osquery\S*|crowdstrike\S*|falcon-sensor|clamav\S*|apparmor|firewalld|ufw|fail2ban|rsyslog|systemd-journald|wazuh\S*|sysmon\S*|mdatp|elastic-agent|filebeat|auditbeat)')
      AND NOT command_mentions(raw)
),
graded AS (
    SELECT s.call_id, min(s.session_id) AS session_id, min(s.agent) AS agent, min(s.server) AS server, min(s.tool) AS tool, min(s.time) AS time, min(s.what) AS what,
           bool_or(s.other_agent) AS other_agent,
           CASE WHEN min(s.outcome) NOT IN ('success', 'unknown', 'no_response', 'timeout') OR count(q.session_id) > 0 THEN 1 ELSE 3 END AS grade
    FROM started s
    LEFT JOIN prompts q ON q.session_id = s.session_id AND q.time <= s.time
         AND regexp_like(q.text, 'yolo|dangerously|bypass|full.?auto|without (asking|approval|permission)|skip.permissions|no sandbox|firewall|selinux|audit|defender|antivirus|switch .* off|disable|stop', 'i')
    GROUP BY s.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(other_agent) THEN ' started an agent without its guards: ' ELSE ' switched a guard off: ' END
           || left(min(what), 120) AS message,
       array_sort(array_agg(DISTINCT left(what, 200))) AS switches
FROM graded
GROUP BY session_id
