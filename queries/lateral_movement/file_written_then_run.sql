-- id = "file_written_then_run"
-- title = "File that the agent wrote or fetched was made executable and run"
-- level = "medium"
-- status = "stable"
-- description = """
--   A program or script was written by a file tool, or fetched from the network, and a command ran it later in the session.
--   high: it was fetched (download to a file, then run). medium: it lies in a temporary or hidden folder. low: other scripts, which
--   coding agents write and run all day, only where the log shows that it was made executable first. One level less when the user spoke of running or installing.
--   Interpreters that take the file from standard input, and files that a build makes, are not followed.
--   """
-- tags = ["owasp.mcp05", "owasp.asi05", "atlas.AML.T0050", "atlas.AML.T0011.002", "attack.T1059", "attack.T1105", "attack.T1222"]
-- falsepositives = ["installing a program on the user's request, where the log holds no prompts"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "24h"
-- params = { max_bytes = 65536 }
WITH command AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           command_text(arguments) AS text
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
      AND outcome NOT IN ('denied', 'cancelled', 'protocol_error')
),
maker AS (                       -- a download, a chmod, or a file tool where programs do not belong
    SELECT call_id, 'url' AS named_by,
           -- The file has the name that it has at its source.
           regexp_like(text, '\bwget\s|\bcurl\s([^|;&]*\s)?-\w*O\b', 'i') AS fetched, false AS made_executable
    FROM command
    WHERE outcome IN ('success', 'unknown', 'no_response') AND regexp_like(text, '\bwget\s|\bcurl\s([^|;&]*\s)?-\w*O\b', 'i')
    UNION ALL
    SELECT call_id, 'file_path',
           regexp_like(text, '\b(curl|wget|iwr|irm|Invoke-WebRequest|Invoke-RestMethod)\s[^|;&"]*(-[a-z]{0,6}O\s*|--output(-document)?[= -]|-OutF\w*\s+|\s>\s*)|\bStart-BitsTransfer\b|\bbitsadmin\b[^|;&]*/(transfer|addfile)|\bcertutil\b[^|;&]*-urlcache|\bDownloadFile\(', 'i'),
           regexp_like(text, '\bchmod\s+(-\w+\s+)*(\+x|[0-7]*[1357][0-7]{0,2}\s|[uagoa]*\+\w*x)')
    FROM command
    WHERE outcome IN ('success', 'unknown', 'no_response') AND regexp_like(text, 'curl|wget|iwr|irm|Invoke-|chmod|BitsTransfer|bitsadmin|certutil|DownloadFile', 'i')
    UNION ALL
    SELECT call_id, 'odd_path', false, false
    FROM calls
    WHERE event_kind = 'call' AND outcome IN ('success', 'unknown', 'no_response') AND has_capability(capabilities, 'writes') AND NOT has_capability(capabilities, 'executes')
),
written AS (
    SELECT o.session_id, o.call_id, o.time, regexp_replace(regexp_replace(o.value, '[?#].*$', ''), '^.*[/\\]', '') AS base, m.fetched, m.made_executable
    FROM observables o
    JOIN maker m ON m.call_id = o.call_id
    WHERE o.origin = 'argument' AND (o.type = m.named_by OR (m.named_by = 'odd_path' AND o.type = 'file_path' AND regexp_like(o.value, '^(/tmp/|/var/tmp/|/dev/shm/)|/\.[^/]+|\\(Temp|AppData|Public)\\', 'i')))
),
ran AS (                         -- what stands where a program stands, in the commands that name such a file: its name is a sign, so that one pattern does for all
    SELECT n.call_id AS run_id, n.session_id, n.agent, n.server, n.tool, n.time, w.base, w.call_id AS source_id, w.time AS source_time, w.fetched, w.made_executable,
           regexp_match(replace(n.text, w.base, chr(1)),
                        '(?:["`;&|(]|\\n|\b(?:sudo|nohup|exec|setsid|env|time)\b|\s-\w*c\s|/c\s|\bStart-Process\s(?:-FilePath\s)?)[\s''\\"]*'
                        || '(?:(?:(?:ba|z|da|k|fi)?sh|python[\d.]*|node|perl|ruby|php|source|\.|pwsh|powershell|cmd|call|rundll32|wscript|cscript|mshta)(?:\.exe)?(?:\s+[-/]\w+(?:\s+(?:Bypass|Unrestricted|Hidden))?)*\s+)*[''\\"]*'
                        || '((?:\.{1,2}[/\\]+|~/|\$HOME/|\$env:\w+[/\\]+|%\w+%[/\\]+|[A-Za-z]:[/\\]+|/)[\w./\\+-]*)?\x01(?:[\s"''`;&|)\\]|$)') AS found,
           -- An interpreter takes a bare name, and the shell one that was made executable only with its folder.
           regexp_like(replace(n.text, w.base, chr(1)), '\b((ba|z|da|k|fi)?sh|python[\d.]*|node|perl|ruby|php|source|pwsh|powershell|cmd|Start-Process|rundll32|wscript|cscript)(\.exe)?(\s+[-/]\w+(\s+(Bypass|Unrestricted|Hidden))?)*\s+[''\\"]*\x01', 'i') AS interpreted
    FROM (SELECT * FROM written WHERE length(base) BETWEEN 1 AND 200) w
    JOIN command n ON n.session_id = w.session_id AND w.time < n.time AND w.call_id <> n.call_id AND strpos(n.text, w.base) > 0
),
pairs AS (
    SELECT *, coalesce(found[1], '') || base AS program, regexp_like(coalesce(found[1], ''), '^(/tmp/|/var/tmp/|/dev/shm/)|/\.[^/.]|\\(Temp|AppData|Public)\\|TEMP|TMP', 'i') AS odd_place
    FROM ran
    WHERE found IS NOT NULL AND (found[1] <> '' OR interpreted OR regexp_like(base, '\.(exe|bat|cmd|ps1|com|scr|msi)$', 'i'))
),
judged AS (
    SELECT run_id, min(session_id) AS session_id, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(time) AS time, min(program) AS program, min(source_id) AS source_id, min(source_time) AS source_time,
           bool_or(fetched) AS fetched, bool_or(made_executable) AS made_executable, bool_or(odd_place) AS odd_place
    FROM pairs GROUP BY run_id
),
graded AS (
    SELECT j.run_id, min(j.session_id) AS session_id, min(j.agent) AS agent, min(j.server) AS server, min(j.tool) AS tool, min(j.time) AS time, min(j.program) AS program, min(j.source_id) AS source_id, min(j.source_time) AS source_time,
           bool_or(j.fetched) AS fetched,
           CASE WHEN bool_or(j.fetched) THEN 3 WHEN bool_or(j.odd_place) THEN 2 WHEN bool_or(j.made_executable) THEN 1 ELSE 0 END - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM judged j
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.time AND regexp_like(q.text, '\b(run|execute|install|start|download|set ?up|script|launch|test)\b', 'i')
    GROUP BY j.run_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(program) AS program, bool_or(fetched) AS fetched
    FROM (SELECT *, unnest(make_array(named_struct('id', source_id, 'at', source_time), named_struct('id', run_id, 'at', time))) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' ran ' || min(program) || CASE WHEN bool_or(fetched) THEN ', which had been fetched from the network' ELSE ', which the agent had written' END AS message,
       array_sort(array_agg(DISTINCT program)) AS programs
FROM evidence
GROUP BY session_id
