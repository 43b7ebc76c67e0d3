-- id = "backups_or_logs_deleted"
-- title = "Backups, snapshots or logs were deleted or switched off"
-- level = "high"
-- status = "stable"
-- description = """
--   A call removed what would let somebody recover or find out: backups, snapshots, shadow copies, recycle bins, versions of objects, system and audit
--   logs, shell history, trails and log groups of clouds, or the agent's own transcripts.
--   high: it worked. medium: a tool with such a name worked and the log does not show on what; or one or two snapshots of a cloud or file system were deleted by their names, nothing else of the kind in that session, and nothing untrusted
--   was read before: cleaning up looks like this. low: the attempt failed, or a backup program removes all but what it is told to keep.
--   One level less when the user spoke of them, or wrote in another language than English, of which this cannot be told. Log files of builds inside a project, rotation and reading are left out.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "owasp.asi02", "atlas.AML.T0101", "attack.T1490", "attack.T1070", "attack.T1562.008"]
-- falsepositives = ["clean-up of old snapshots on the user's request, where the log holds no prompts"]
-- needs = []
-- helps = ["argument_sizes", "arguments", "durations", "prompts"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH hit AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, has_capability(capabilities, 'executes') AS command, text AS arguments,
           arguments IS NULL OR arguments_bytes <= 2 AS unlogged,
           -- What is to be kept is said, and nothing else is removed: rotation.
           coalesce(regexp_like(text, '\b((restic|rustic)\s+(-\S+([= ][^-\s]\S*)?\s+)*forget|borg\s+prune|kopia\s+snapshot\s+expire)\b[^|;&"]*--keep-[\w-]+[=\s]+[''\\]*[1-9]', 'i')
                    AND NOT regexp_like(text, '\b(rm|shred|unlink|truncate|vssadmin|wbadmin|wevtutil|history\s+-c|auditctl|aws|gcloud|az|zfs|btrfs|velero|borg\s+delete)\b', 'i'), false) AS rotates
    FROM (SELECT *, CASE WHEN arguments_bytes <= $max_bytes THEN command_text(arguments) ELSE arguments END AS text
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled'))
    WHERE (regexp_like(tool, '(^|[_.-])(delete|remove|purge|clear|disable|deactivate|stop|drop|wipe|erase|truncate|empty)[_.-]?\w*?(backup|snapshot|recovery_?point|audit|trail|log_?(group|stream|sink|file|s)?|logging|trash|recycle|version|history)s?$|^(delete|remove|purge|clear|disable|deactivate|stop|wipe|erase|empty)\w*(Backup|Snapshot|Audit|Trail|Log|Logging|Trash|History)s?$', 'i')
           OR (array_has_any(capabilities, make_array('executes', 'destructive')) AND arguments_bytes <= $max_bytes
               AND regexp_like(text, '\b(vssadmin(\.exe)?\s+delete\s+shadows|wbadmin\s+delete|bcdedit\b[^|;&"]*recoveryenabled\s+no|wmic\s+shadowcopy\s+delete|Win32_ShadowCopy\b[^"]{0,80}(\.Delete|Remove-(Cim|Wmi)\w*)|tmutil\s+(delete|disable)'
                   || '|wevtutil\s+(cl|clear-log)|Clear-EventLog|history\s+-c|auditctl\s+-(e\s*0|D))\b'
                   -- Next to nothing is left. To keep weeks or many megabytes is rotation.
                   || '|\bjournalctl\s+[^|;&"]*--vacuum-(time[=\s]+[''\\]*(0\w*|\d+\s*(us|ms|s|sec\w*|m|min\w*|h|hr|hours?))|size[=\s]+[''\\]*(0\w*|\d+[KB]?|[1-9]M)|files[=\s]+[01])([^.\w]|$)'
                   || '|\b(rm|shred|unlink|truncate|Remove-Item|del)\s[^|;&"]*(/var/log(/|\b)|/var/backups|\.(bash|zsh|python|psql|mysql)_history|auth\.log|audit\.log|\.claude/projects|\.codex/sessions|/var/spool/audit)|(^|[;&|"\s])>\s*(/var/log/\S+|~/\.(bash|zsh)_history)|\bln\s+-sf?\s+/dev/null\s+\S*(history|\.log)'
                   || '|\baws\s+(cloudtrail\s+(delete-trail|stop-logging|put-event-selectors\b[^|;&]*(IncludeManagementEvents\W{1,6}false|WriteOnly|ReadOnly\b)|update-trail\b[^|;&"]*--no-(is-multi-region|include-global|enable-log))|configservice\s+(stop-configuration-recorder|delete-\S+)|guardduty\s+(update-detector\b[^|;&"]*--no-enable|stop-monitoring-members|create-filter\b[^|;&]*ARCHIVE)|securityhub\s+disable-|macie2\s+disable-|ec2\s+delete-flow-logs|logs\s+delete-log-(group|stream)|(ec2|rds)\s+delete-\w*-?snapshot|backup\s+delete-\S+|guardduty\s+delete-detector|s3api\s+put-bucket-versioning[^|;&"]*Suspended|s3api\s+put-bucket-lifecycle\S*\s[^|;&]*(backup|snapshot|archive|audit|trail|log)[^|;&]*Expiration\S{0,8}\s*:\s*\{[^}]*Days\S{0,8}\s*:\s*[1-7]\b)'
                   || '|\bgcloud\s+(logging\s+(sinks|logs|buckets)\s+delete|compute\s+snapshots\s+delete|sql\s+backups\s+delete)|\baz\s+(snapshot\s+delete|backup\s+protection\s+disable|monitor\s+diagnostic-settings\s+delete)|\b(zfs|btrfs)\s+(destroy\s+\S+@|subvolume\s+delete)|\b(restic|rustic)\s+(-\S+([= ][^-\s]\S*)?\s+)*forget\b[^|;&"]*--prune|\bborg\s+(delete|prune)\b|\bvelero\s+backup\s+delete', 'i')))
),
judged AS (
    SELECT *, coalesce(regexp_replace(CASE WHEN command THEN arguments END, '^.*?(\b(vssadmin|wbadmin|bcdedit|wmic|tmutil|wevtutil|Clear-EventLog|journalctl|history\s+-c|auditctl|rm|shred|unlink|truncate|Remove-Item|del|ln\s+-s|aws|gcloud|az|zfs|btrfs|restic|borg|velero)\b[^|;&"]*|>\s*(/var/log|~/)[^|;&"]*).*$', '\1', 'is'), tool) AS what
    FROM hit
    WHERE NOT (NOT command AND regexp_like(tool, 'catalog|dialog|blog|changelog|backlog|version$|conversation', 'i') AND NOT regexp_like(tool, 'backup|snapshot|audit|trail', 'i'))
),
few AS (                         -- all that was removed in a session is one or two snapshots, each by its name
    SELECT j.session_id
    FROM judged j
    LEFT JOIN (SELECT session_id, min(coalesce(time_end, time)) AS since FROM calls
               WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted') GROUP BY session_id) u
           ON u.session_id = j.session_id AND u.since < j.time
    GROUP BY j.session_id
    HAVING count(DISTINCT j.call_id) <= 2 AND count(u.session_id) = 0
       AND bool_and(CASE WHEN j.command OR strpos(j.arguments, ' ') > 0
                         THEN regexp_count(j.arguments, 'delete-(db-|db-cluster-)?snapshot|snapshots?\s+delete|(zfs\s+destroy|subvolume\s+delete)\s', 1, 'i') BETWEEN 1 AND 2
                              AND NOT regexp_like(j.arguments, 'zfs\s+destroy\s[^|;&"]*-\w*r|[*`]|\$\(|\$\{?\w|\b(xargs|for|while|parallel|cloudtrail|delete-trail|stop-logging|vssadmin|wbadmin|shred|rm|wevtutil)\b|;|&&|\|', 'i')
                         ELSE regexp_like(j.tool, 'snapshot$', 'i') END)
),
graded AS (
    SELECT j.call_id, min(j.session_id) AS session_id, min(j.agent) AS agent, min(j.server) AS server, min(j.tool) AS tool, min(j.time) AS time, min(j.what) AS what,
           CASE WHEN min(j.outcome) NOT IN ('success', 'unknown', 'no_response') OR bool_or(j.rotates) THEN 1 WHEN bool_or(j.unlogged) OR (bool_or(f.session_id IS NOT NULL) AND count(q.session_id) = 0) THEN 2 ELSE 3 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM judged j
    LEFT JOIN few f ON f.session_id = j.session_id
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.time
         AND (regexp_like(q.text, '\b(backups?|snapshots?|logs?|logging|histor(y|ies)|trash|recycle|versions|trail|audit|disk space|clean ?up)\b', 'i')
              -- No word of English: it may speak of it.
              OR is_other_language(q.text))
    GROUP BY j.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' removed backups, snapshots or logs: ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT left(what, 120))), 1, 3), '; ') AS message,
       array_sort(array_agg(DISTINCT left(what, 300))) AS commands
FROM graded
WHERE grade > 0
GROUP BY session_id
