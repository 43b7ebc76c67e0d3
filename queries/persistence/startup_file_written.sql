-- id = "startup_file_written"
-- title = "Agent wrote a file that a machine or shell runs by itself"
-- level = "high"
-- status = "stable"
-- description = """
--   A tool wrote where something is run without anybody asking: shell profiles, cron folders, systemd and launchd units, autostart and
--   Startup folders, rc scripts, the dynamic linker's preload list, sudoers, PAM, /usr/local/bin.
--   high: such a place of the user or the machine. medium: a unit or profile inside a project or container tree, or a command that
--   registers one (crontab, schtasks, systemctl enable, launchctl load, Run keys of the registry).
--   low: the attempt failed; or all that goes into a shell profile is a search path, a tool's folder or its own hook (eval "$(starship init zsh)"). One level less when the user named the means, the unit or spoke of when, two when
--   the user named the file, or it is a unit whose line is seen, and what is written fetches nothing; one less as well for a crontab or a systemd unit whose line is seen and fetches, decodes and hides nothing, where the log holds no request and nothing untrusted was read before. Settings of systemd's own daemons (journald.conf and the like) run nothing and are left out.
--   Needs arguments, no results. Where a command's text is not in the log, nothing is seen.
--   """
-- tags = ["owasp.mcp05", "owasp.asi05", "owasp.asi02", "atlas.AML.T0112.000", "attack.T1546.004", "attack.T1547", "attack.T1543", "attack.T1053"]
-- falsepositives = ["agents that set up machines", "installing a service on the user's request, where the log holds no prompts"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["durations", "prompts"]
-- window = "1h"
-- params = { max_bytes = 262144 }
WITH written AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, has_capability(capabilities, 'executes') AS command, CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments,
           -- What is written may stand in a here-document.
           replace(replace(arguments, '\n', chr(10)), '\t', chr(9)) AS written
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled')
      AND arguments_bytes <= $max_bytes AND array_has_any(capabilities, make_array('writes', 'executes'))
      AND regexp_like(arguments, '\.(bashrc|zshrc|zshenv|zprofile|bash_profile|bash_login|profile|config/fish)\b|/etc/(cron|systemd|init\.d|rc\.local|profile|ld\.so|sudoers|pam\.d|environment|xdg)'
                                 || '|/var/spool/cron|systemd/(user|system)|LaunchAgents|LaunchDaemons|autostart|Start Menu|crontab|schtasks|systemctl|launchctl'
                                 || '|CurrentVersion|/usr/local/s?bin/|Microsoft\.PowerShell_profile', 'i')
),
placed AS (
    SELECT *, CASE WHEN command
           THEN coalesce(nullif(regexp_replace(arguments, '^.*?(>>?\s*|\btee\s+(-a\s+)?|\b(cp|mv|ln|install|rsync|curl|wget)\s[^|;&]*\s|\bsed\s+-i[^|;&]*\s)[''"\\]{0,2}'
                   || '([^\s''"|;&]*((/|~/|\$HOME/)\.(bashrc|zshrc|zshenv|zprofile|bash_profile|bash_login|profile)\b|\.config/(fish/|systemd/user/|autostart/)[^\s''"|;&\\]*'
                   || '|/etc/(cron|systemd/(system|user)(-(environment-)?generators)?/|systemd/[^\s''"|;&\\]*\.(service|timer|socket|path|mount)\b|init\.d|rc\.local|profile|ld\.so\.preload|sudoers|pam\.d|xdg/autostart)[^\s''"|;&\\]*|/var/spool/cron[^\s''"|;&\\]*'
                   || '|LaunchAgents/[^\s''"|;&\\]*|LaunchDaemons/[^\s''"|;&\\]*|/usr/local/s?bin/[^\s''"|;&\\]*)).*$', '\4', 's'), arguments),
                   nullif(regexp_replace(arguments, '^.*?\b(crontab\s+(-u\s+\S+\s+)?(-[^lr\s]|[^-\s\\"''|;&])|schtasks(\.exe)?\s+/create|systemctl\s+(--user\s+)?(enable|link)\b|launchctl\s+(load|bootstrap)\b'
                   || '|(reg(\.exe)?\s+add|(New|Set)-ItemProperty|sp)\s[^|;&]*CurrentVersion[\\/]+Run\w*).*$', '\1', 'si'), arguments),
                   CASE WHEN regexp_like(arguments, '\|\s*crontab\s+-') THEN 'crontab' END)
           ELSE nullif(regexp_replace(arguments, '^.*?"\w*(path|file|file_?name|uri|target|destination|dest)"\s*:\s*"'
                   || '([^"]*((^|[/\\"])\.(bashrc|zshrc|zshenv|zprofile|bash_profile|bash_login|profile)|\.config/(fish|systemd/user|autostart)/[^"]+'
                   || '|/etc/(cron|systemd/(system|user)(-(environment-)?generators)?/|systemd/[^"]*\.(service|timer|socket|path|mount)|init\.d/|rc\.local|profile|ld\.so\.preload|sudoers|pam\.d|environment|xdg/autostart)[^"]*|/var/spool/cron[^"]*|systemd/(system|user)/[^"]+\.(service|timer)'
                   || '|Launch(Agents|Daemons)/[^"]+|Start Menu[\\/]+Programs[\\/]+Startup[^"]*|/usr/local/s?bin/[^"]+|Microsoft\.PowerShell_profile\.ps1))".*$', '\2', 'si'), arguments)
           END AS place
    FROM written
),
untrusted AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id
),
judged AS (
    SELECT *,
           regexp_like(written, '\b(curl|wget|nc|ncat|socat|iwr|irm|base64|xxd|openssl|python\d?\s+-c|perl\s+-e|node\s+-e|nohup|setsid|mkfifo)\b|/dev/(tcp|udp)/|/tmp/|/var/tmp/|/dev/shm/|https?://|PROMPT_COMMAND|LD_PRELOAD|BASH_ENV|NOPASSWD|/\.[\w-]+/\.|\$\(\s*(echo|printf|cat)\b|([*\d]\s+|ExecStart=)\S*/\.[\w-]+/', 'i') AS odd,
           starts_with(place, 'crontab') AND regexp_like(written, '([*/\d,-]+\s+){5}[\w~$/.]')
               OR regexp_like(place, 'systemd/\S*\.(service|timer)\b') AND regexp_like(written, 'ExecStart=[-@:+!]*(/(usr|opt|srv|home|var/(lib|www))/)[\w./-]+') AND NOT regexp_like(written, 'ExecStart\w*=\S*(/bin/)?(ba|z|da)?sh\s') AS seen,
           -- Each line that goes into a profile sets a search path or a tool's folder, or is the hook that tools ask for.
           regexp_count(written, '>>?\s*[''"\\]{0,2}[^\s''"|;&]*\.(bashrc|zshrc|zshenv|zprofile|bash_profile|bash_login|profile)\b')
               = regexp_count(written, '\becho\s+[''"\\]*((export\s+)?([A-Z]+_(HOME|DIR|ROOT|PATH)|PATH|GOPATH|EDITOR|VISUAL|LANG)=[''"\\]*[\w$:/.~{}-]+|eval\s+[''"\\]*\$\([\w./~$-]+\s+(init|hook|shellenv|env|activate|completions?)\b[\w\s./=-]*\)|(source|\.)\s+[''"\\]*(<\([\w-]+\s+completions?\s+\w+\)|(~|\$HOME)/\.(cargo|nvm|sdkman|asdf|local|config|deno|bun|fzf)[\w./-]*))[''"\\]*\s*>>\s*[''"\\]{0,2}[^\s''"|;&]*\.(bashrc|zshrc|zshenv|zprofile|bash_profile|bash_login|profile)\b')
               AND regexp_like(written, '>>\s*[''"\\]{0,2}[^\s''"|;&]*\.(bashrc|zshrc|zshenv|zprofile|bash_profile|bash_login|profile)\b') AND command AS plain
           ,
           -- The program whose unit is switched on.
           lower(regexp_match(arguments, '\bsystemctl\s+(?:--\S+\s+)*enable\s+(?:--\S+\s+)*([\w@-]{3,})')[1]) AS unit
    FROM placed
    WHERE place IS NOT NULL
),
graded AS (
    SELECT p.call_id, min(p.session_id) AS session_id, min(p.agent) AS agent, min(p.server) AS server, min(p.tool) AS tool, min(p.time) AS time,
           min(p.place) AS place,
           CASE WHEN min(p.outcome) NOT IN ('success', 'unknown', 'no_response') OR bool_or(p.plain AND NOT p.odd) THEN 1
                WHEN regexp_like(min(p.place), '^(crontab|schtasks|systemctl|launchctl|reg|New-Item)', 'i') THEN 2
                WHEN regexp_like(min(p.place), '^([''"\\]*)(~|\$HOME|/root|/home/[^/]+|/Users/[^/]+)[/\\]+(\.|Library)|^/(etc|var|usr|Library)/|^[A-Za-z]:') THEN 3
                ELSE 2 END
           - CASE WHEN count(q.session_id) = 0 THEN CASE WHEN bool_and(p.seen AND NOT p.odd) AND NOT coalesce(bool_or(u.since < p.time), false) AND NOT bool_or(a.session_id IS NOT NULL) THEN 1 ELSE 0 END
                  -- The user named the file itself, and what is written neither fetches nor hides anything.
                  WHEN bool_or(strpos(lower(q.text), ltrim(lower(regexp_replace(p.place, '^.*[/\\]', '')), '.')) > 0)
                       AND NOT bool_or(regexp_like(p.written, '\b(curl|wget|nc|ncat|iwr|irm|base64|eval|xxd|python\d?\s+-c|perl\s+-e)\b|/dev/tcp|/tmp/|/var/tmp/|/dev/shm/|https?://', 'i')) THEN 2
                  WHEN bool_and(p.seen AND NOT p.odd) THEN 2
                  ELSE 1 END AS grade
    FROM judged p
    LEFT JOIN untrusted u ON u.session_id = p.session_id
    LEFT JOIN (SELECT DISTINCT session_id FROM prompts) a ON a.session_id = p.session_id
    LEFT JOIN prompts q ON q.session_id = p.session_id AND q.time <= p.time
         AND (strpos(lower(q.text), lower(regexp_replace(p.place, '^.*[/\\.]', ''))) > 0
              OR (NOT p.odd AND strpos(lower(q.text), p.unit) > 0)
              -- The name of the unit.
              OR (strpos(p.place, 'systemd/') > 0 AND NOT p.odd AND strpos(lower(q.text), nullif(lower(regexp_replace(p.place, '^.*/([\w-]{3,})\.\w+\W*$|^.*$', '\1', 's')), '')) > 0)
              OR regexp_like(q.text, '\b(cron(tab)?|systemd|launchd|autostart|startup|at boot|at login|service|profile|schedule[ds]?|(every|each) (night|day|hour|week|month|morning|evening|minute|\d+ \w+)|nightly|daily|hourly|weekly|monthly)\b', 'i'))
    GROUP BY p.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' wrote what is run by itself: '
           || array_to_string(array_slice(array_sort(array_agg(DISTINCT left(place, 200))), 1, 3), ', ') AS message,
       array_sort(array_agg(DISTINCT left(place, 300))) AS places
FROM graded
WHERE grade > 0
GROUP BY session_id
