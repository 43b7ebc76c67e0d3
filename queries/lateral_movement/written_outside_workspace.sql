-- id = "written_outside_workspace"
-- title = "Agent wrote or deleted files outside the folder that it works in"
-- level = "medium"
-- status = "stable"
-- description = """
--   The log names the agent's working folder, and a file tool or a redirection wrote, moved or deleted at an absolute path that lies neither in it nor in a temporary folder.
--   high: a system folder (/etc, /usr, /bin, /boot, /lib, System32, /Library). medium: another place of the machine, and the agent had not written in that folder within the window. low: the
--   user named the path, or a sibling folder of the same project tree.
--   Start-up files, agents' configurations and keys have rules of their own. Logs without a working folder are not judged.
--   """
-- tags = ["owasp.mcp05", "owasp.mcp02", "owasp.asi02", "owasp.asi05", "atlas.AML.T0105", "attack.T1565.001", "attack.T1083"]
-- falsepositives = ["agents that look after several checkouts (once for each folder and window)"]
-- needs = ["arguments"]
-- helps = ["prompts"]
-- window = "14d"
WITH paths AS (
    SELECT call_id, value AS file, path FROM observables WHERE origin = 'argument' AND type = 'file_path' AND regexp_like(value, '^(/|~|\$HOME|[A-Za-z]:[\\/])')
),
command AS (                     -- as written and, in front, as a shell reads it: a list as one line, words without the quotes and escapes within them
    SELECT call_id, command_text(arguments) AS text
    FROM calls
    WHERE cwd IS NOT NULL AND event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response') AND has_capability(capabilities, 'executes')
),
written AS (
    SELECT c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, p.file, rtrim(c.cwd, '/\') AS cwd, regexp_replace(p.file, '[/\\][^/\\]*$', '') AS folder
    FROM calls c
    JOIN paths p ON p.call_id = c.call_id
    LEFT JOIN command m ON m.call_id = c.call_id
    WHERE c.cwd IS NOT NULL AND length(c.cwd) > 1 AND c.event_kind = 'call' AND c.method = 'tools/call' AND c.outcome IN ('success', 'unknown', 'no_response')
      AND CASE WHEN has_capability(c.capabilities, 'executes')
               -- The file is a sign, so that one pattern does for all. What is copied is only read: of cp, ln and install the last argument counts.
               THEN regexp_like(replace(replace(m.text, replace(p.file, '\', '\\'), chr(1)), p.file, chr(1)),
                                '(>>?\s*|\btee\s+(-\w+\s+)*|\bof=|\b(mv|rm|rmdir|unlink|truncate|touch|shred|mkdir)\s[^|;&"]*|\bsed\s+(-\w+\s+)*(-i|--in-place)[^|;&"]*|\b(curl|wget)\s[^|;&"]*-\w*[oO]\s*|-(OutFile|Destination)\s+|\b(cp|ln|install|rsync|scp)\s[^|;&"]*-t\s*)[''"\\]{0,3}\x01([''"\\\s;&|)]|$)'
                                || '|\b(cp|ln|install|rsync|scp)\s[^|;&"]*\s[''"\\]{0,3}\x01[''"\\]{0,3}\s*($|["\];&|)\\])'
                                || '|(?i:\b(Set-Content|Add-Content|Out-File|New-Item|Remove-Item|Clear-Content|Move-Item|del|erase|rd)\s[^|;&"]*|\b(Copy-Item|copy|xcopy|robocopy)\s[^|;&"]*\s)[''"\\]{0,3}\x01([''"\\\s;&|)]|$)')
               ELSE array_has_any(c.capabilities, make_array('writes', 'destructive')) AND NOT has_capability(c.capabilities, 'egress') AND regexp_like(p.path, '(path|file|file_?name|uri|target|destination|dest|to|dir\w*|folder)(/\d+)?$', 'i') END
),
outside AS (
    SELECT * FROM written
    WHERE NOT starts_with(file, cwd || '/') AND NOT starts_with(file, cwd || '\') AND file <> cwd AND NOT starts_with(file, '/tmp/') AND NOT starts_with(file, '/private/tmp/') AND NOT starts_with(file, '/var/folders/') AND NOT starts_with(file, '/dev/')
      AND NOT regexp_like(file, '[/\\](Temp|tmp|\.cache|cache|node_modules|\.cargo|\.npm|\.m2|\.rustup|go/pkg)[/\\]|^(~|\$HOME)[/\\]\.(bash|zsh|profile|claude|cursor|ssh|config/(autostart|systemd))', 'i')
),
turns AS (
    SELECT *, row_number() OVER (PARTITION BY agent, folder ORDER BY time, call_id) AS turn, first_value(session_id) OVER (PARTITION BY agent, folder ORDER BY time, call_id) AS first_session,
           starts_with(file, regexp_replace(cwd, '[/\\][^/\\]*$', '') || '/') AND length(regexp_replace(cwd, '[^/\\]', '', 'g')) >= 3 AS sibling,
           regexp_like(file, '^(/(etc|usr|bin|sbin|boot|lib\w*|opt|var/lib|Library|System)/|[A-Za-z]:[\\/]+(Windows|Program Files))', 'i') AS system
    FROM outside
),
graded AS (
    SELECT t.call_id, t.file, min(t.session_id) AS session_id, min(t.agent) AS agent, min(t.server) AS server, min(t.tool) AS tool, min(t.time) AS time, min(t.cwd) AS cwd,
           CASE WHEN count(q.session_id) > 0 THEN 1 WHEN bool_or(t.system) THEN 3 WHEN bool_or(t.sibling) THEN 1 ELSE 2 END AS grade
    FROM turns t
    LEFT JOIN prompts q ON q.session_id = t.session_id AND q.time <= t.time AND (strpos(q.text, t.file) > 0 OR (length(t.folder) > 3 AND strpos(q.text, t.folder) > 0))
    WHERE t.session_id = t.first_session
    GROUP BY t.call_id, t.file
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_slice(array_sort(array_agg(DISTINCT call_id)), 1, 50) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' wrote or deleted outside ' || min(cwd) || ': ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT file)), 1, 3), ', ') AS message,
       array_slice(array_sort(array_agg(DISTINCT file)), 1, 50) AS files
FROM graded
GROUP BY session_id
