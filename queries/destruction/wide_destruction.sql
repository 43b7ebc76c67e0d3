-- id = "wide_destruction"
-- title = "Command or statement destroys a whole tree, database or environment"
-- level = "high"
-- status = "stable"
-- description = """
--   A command or statement that cannot be taken back and whose reach is a whole thing: recursive deletion of a root, home or parent folder or a
--   bare wildcard, disks and file systems, a database or schema, all indices of a search engine, a key that other data is encrypted with, a table without a condition, a cluster's namespace, an infrastructure; by command, by statement, or by a tool whose name says so.
--   high: it worked. medium: it failed or was cut off; or a tool for it removed a repository, project or collection, or a statement changed every row.
--   One level less when the user named the means or the thing, wrote in another language than English, of which this cannot be told; and one when the target, its server or
--   database is called test, tmp, scratch, staging, sandbox, preview or dev; and one when an argument dry_run is set. Where the tool's schema offers that argument,
--   the call only says what it would do, and is left out. Whether somebody approved it is another question: destructive_without_approval. Build folders, caches, temporary folders and containers' volumes by name are left out,
--   and so are find with a name, age or size, a bucket's objects of one pattern (--include), and an infrastructure's single resources (-target).
--   A line of Python, Perl, Ruby, Node or Go that removes such a folder counts; what a program deletes in a file of its own is not seen.
--   """
-- tags = ["owasp.mcp05", "owasp.asi02", "owasp.asi05", "atlas.AML.T0101", "attack.T1485", "attack.T1561"]
-- falsepositives = ["throw-away test databases and environments"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts", "definitions"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH written AS (
    -- What is aimed at single resources is taken out.
    SELECT *, CASE WHEN strpos(spelled, '-target') > 0 OR strpos(spelled, '--include') > 0
                   THEN regexp_replace(spelled, '\b(terraform|tofu)\s[^|;&"]*-target\b[^|;&"]*|\baws\s+s3\s+rm\s[^|;&"]*--include\s+[''\\]*[^\s*''\\"][^|;&"]*', '', 'g') ELSE spelled END AS text
    -- So are commands that only say what they would do, each by itself: a comment that speaks of it, or another command, excuses nothing.
    FROM (SELECT *, CASE WHEN strpos(arguments, '--dry-run') > 0
                         THEN regexp_replace(command_text(arguments), '\b(kubectl|oc|helm|aws|gsutil|gcloud|az|terraform|tofu|pulumi|git|rsync|docker|podman|make|atlas|prisma|flyway|liquibase|flyctl|heroku)\s[^|;&"#(`]*--dry-run\b[^|;&"#(`]*', '', 'g')
                         ELSE command_text(arguments) END AS spelled
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled', 'protocol_error')
            AND arguments_bytes <= $max_bytes AND array_has_any(capabilities, make_array('executes', 'destructive')))
),
hit AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           regexp_replace(text, '^.*?(\brm\s+(-[\w-]+\s+)+\S*|\b(shutil\.rmtree|remove_tree|rm_rf|rmSync|rimraf|RemoveAll)\s*\([^)]*|\b(ls|echo|find)\s[^|;&]*\|\s*xargs\s[^|;&"]*|\bfind\s+\S+[^|;&]*(-delete|-exec\w*\s+(sudo\s+)?[\w/]*(rm|shred|sh\s+-c)\b|\|\s*xargs\s[^|;&"]*\b(rm|shred)\b)|\bmkfs[^\s|;&]*|\bdd\s+[^|;&]*of=/dev/\w+|\bshred\s[^|;&]*|\bwipefs\s[^|;&]*|\b(drop|truncate)\s+(table|database|schema)\s+(if\s+exists\s+)?[^\s;"\\]+|\bdelete\s+from\s+[^\s;"\\]+|\bterraform\s[^|;&"\\]*|\btofu\s[^|;&"\\]*|\bpulumi\s+destroy|\bkubectl\s+delete\s[^|;&"\\]*|\bhelm\s+uninstall\s[^|;&"\\]*|\baws\s+s3\s+r[mb]\s[^|;&"\\]*|\bgsutil\s[^|;&"\\]*|\bgcloud\s+projects\s+delete|\baz\s+group\s+delete[^|;&"\\]*|\bRemove-Item\s[^|;&"\\]*|\bformat\s+[a-z]:|\b(rd|rmdir)\s+/s[^|;&"]*|\bFLUSH(ALL|DB)|\bdropDatabase|\bcurl\s[^|;&"]*DELETE[^|;&"]*|\baws\s+kms\s[^|;&"\\]*|\bdocker\s+system\s+prune[^|;&"\\]*|\bdeleteMany\(\{\s*\}\)|\bupdate\s+[\w.]+\s+set\s+[^\"]*|\baws\s+rds\s+delete-\S+[^|;&"\\]*).*$', '\1', 'is') AS what,
           3 AS reach, arguments
    FROM written
    WHERE regexp_like(text, '\brm\s+(-[\w-]+\s+)*-\w*[rR]\w*\s+(-[\w-]+\s+)*(--\s+)?[''"\\]{0,2}(/|~/?|\$HOME(/\*?)?|\$\{HOME\}(/\*?)?|\.\.?|/\*|\*|\./\*|~/\*|/(bin|boot|etc|home|lib|opt|root|srv|usr|var|Users|data|mnt)(/[\w.-]+)?/?\*?)[''"\\]{0,2}\s*($|["\s;&|\\)`])'
          || '|\brm\s+[^|;&"]*--no-preserve-root|\bfind\s+(-[HLP]\s+)*(/|~/?|\$HOME/?|\$\{HOME\}/?|/(etc|home|opt|srv|usr|var|data)\S*)(\s+/\S+)*\s+'
          -- Tests that narrow nothing: a kind of file, the same disk, what may be written, or all but a name.
          || '((-(type|maxdepth|mindepth)\s+\S+|-(mount|xdev|depth|follow|writable|readable|executable|noleaf|print\w*)|(!|\\+!|-not)\s+-i?(name|path|wholename)\s+\S+)\s+)*'
          || '(-delete\b|-exec(dir)?\s+(sudo\s+)?(/usr)?(/bin/)?(rm|shred|unlink)\b|-exec(dir)?\s+(/bin/)?(ba)?sh\s+-c\s+\S*rm\b|\|\s*(sudo\s+)?xargs\s[^|;&"]*\b(rm|shred|unlink)\b)'
          -- By a language, and what lists a whole folder as the names to remove.
          || '|\b(shutil\.rmtree|remove_tree|rm_rf|rm_r|rmSync|rimraf(\.sync)?|RemoveAll|deltree)\s*\(\s*[''\\"]*(/|~/?|/(bin|boot|etc|home|lib|opt|root|srv|usr|var|Users|data|mnt)(/[\w.-]+)?/?\*?)[''\\"]+\s*[,)]|\b(ls|echo|find)\s+(-\S+\s+)*(/|~/?|/(etc|home|opt|srv|usr|var|Users|data|mnt)/?)\*?\s*\|\s*(sudo\s+)?xargs\s[^|;&"]*\b(rm\s+-\w*r|shred)'
          || '|\bmkfs(\.\w+)?\s+(-\S+\s+)*/dev/|\bdd\s+[^|;&"]*of=/dev/(sd|nvme|vd|hd|disk|mmcblk)|\b(shred|wipefs)\s[^|;&"]*/dev/'
          || '|\bdrop\s+(database|schema)\s+(if\s+exists\s+)?[^\s;"]+|\btruncate\s+(table\s+)?[\w."\\`]+\s*(cascade|restart|;|"|$)|\bdelete\s+from\s+[\w.\\"`]+\s*(;|"|\\n|$|where\s+(1\s*=\s*1|true))'
          || '|\b(terraform|tofu)\s+(-\S+\s+)*(destroy|apply\s+[^|;&"]*-destroy)[^|;&"]*-auto-approve|\bpulumi\s+destroy[^|;&"]*(-y|--yes)'
          || '|\bkubectl\s+delete\s+(ns|namespaces?|[^|;&"]*--all\b|[^|;&"]*--all-namespaces|pvc?|crds?)|\baws\s+s3\s+(rb\s+s3://\S+\s+[^|;&"]*--force|rm\s+s3://[\w.-]+/?\s+[^|;&"]*--recursive)|\bgsutil\s+(-m\s+)?rm\s+-r\s+gs://[\w.-]+/?["\s*]'
          || '|\bgcloud\s+projects\s+delete|\baz\s+group\s+delete|\bRemove-Item\s[^|;&"]*-Recurse[^|;&"]*\s[''"]?([A-Z]:\\\\?(Users|Windows|inetpub)?|~|\$HOME|\$env:USERPROFILE)\\*[''"*]?\s*($|["\s;&|-])|\bformat\s+[a-z]:\s*/|\b(rd|rmdir)\s+/s\s+(/q\s+)?[a-z]:\\\\?["\s]'
          || '|\baws\s+(rds|docdb|neptune)\s+delete-db-(instance|cluster)\b[^|;&"]*--skip-final-snapshot|\bRemove-Item\s+(-(Recurse|Force)\s+){2}[''"\\]*[A-Z]:\\+(Users|inetpub|ProgramData|Data)(\\+[\w .-]+){0,2}\\*[''*]*\s*($|[";&|])'
          || '|\bcurl\s[^|;&"]*(-X\s*|--request[=\s]+)[''\\]*DELETE[^|;&"]*https?://[^\s/"]+/(_all|\*|[\w.-]*\*)[\s''"\\?]|\bcurl\s[^|;&"]*https?://[^\s/"]+/(_all|\*|[\w.-]*\*)[''\\]*\s[^|;&"]*(-X\s*|--request[=\s]+)[''\\]*DELETE|\b_delete_by_query\b[^|;]*match_all'
          || '|\baws\s+kms\s+(schedule-key-deletion|disable-key)\b|\bgcloud\s+kms\s+keys\s+versions\s+destroy|\baz\s+keyvault\s+(key\s+)?(delete|purge)\b'
          || '|\bFLUSH(ALL|DB)\b|\bdropDatabase\s*\(|\bdeleteMany\s*\(\s*\{\s*\}\s*\)', 'i')
      AND NOT command_mentions(arguments)
    UNION ALL                    -- a tool whose own work it is, and a change of every row
    SELECT call_id, session_id, agent, server, tool, time, outcome, tool || ' ' || left(arguments, 200), CASE WHEN wide OR by_flush THEN 3 ELSE 2 END, arguments
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, arguments,
                 regexp_like(tool, '(database|namespace|bucket|cluster|schema)s?$', 'i')
                     OR regexp_like(arguments, '"(kind|resource_?type)"\s*:\s*"(namespaces?|ns|persistentvolumes?|pv)"|"(filter|query|where|selector)"\s*:\s*\{\s*\}', 'i') AS wide,
                 regexp_like(tool, '(delete|drop|remove|destroy|purge|wipe)[_.-]?(\w*[_.-])?(database|db|namespace|bucket|repository|repo|cluster|collection|schema|project)s?$', 'i')
                     AND NOT regexp_like(tool, 'from|_to_|member|user|label|access|item|file|vote|star|watch|comment|subscri|favou?rite|bookmark', 'i') AS by_name,
                 regexp_like(tool, 'delete|drop|remove|destroy|purge|wipe', 'i')
                     AND regexp_like(arguments, '"(kind|resource_?type)"\s*:\s*"(namespaces?|ns|persistentvolumes?|pv|customresourcedefinitions?|crd)"', 'i') AS by_kind,
                 regexp_like(tool, '(delete|remove|purge|wipe)[_.-]?(many|all|documents|records|rows|entries|items|objects)$', 'i')
                     AND regexp_like(arguments, '"(filter|query|where|selector)"\s*:\s*(\{\s*\}|"\s*(\{\s*\})?\s*")') AS by_filter,
                 regexp_like(arguments, '("\w*(sql|query|statement)"\s*:\s*"|\b(psql|mysql|mariadb|sqlite3)\s[^|&]*[''"]\s*)\s*update\s+[\w.`]+\s+set\s+[\w.`]+\s*=', 'i')
                     AND NOT regexp_like(arguments, '\bupdate\s+[\w.`]+\s+set\s([^"\\]|\\.)*\b(where|limit|join|from)\b', 'i') AS by_update,
                 regexp_like(arguments, '"(command|cmd|commands)"\s*:\s*\[?\s*"\s*flush(all|db)\b', 'i')
                     OR (regexp_like(arguments, '"(method|verb)"\s*:\s*"DELETE"', 'i') AND regexp_like(arguments, '"(url|uri|path|endpoint)"\s*:\s*"([^"?]*/)?(_all|\*|[\w.-]*\*)["?]', 'i')) AS by_flush
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled', 'protocol_error')
            AND arguments_bytes <= $max_bytes AND (array_has_any(capabilities, make_array('executes', 'destructive', 'writes')) OR regexp_like(arguments, '"(flush|delete")', 'i'))
            AND (regexp_like(tool, 'delete|drop|remove|destroy|purge|wipe', 'i') OR regexp_like(arguments, 'update\s|flush|"delete"', 'i')))
    WHERE by_name OR by_kind OR by_filter OR by_update OR by_flush
),
offered AS (                     -- tools that only say what they would do if they are asked to
    SELECT DISTINCT server, tool
    FROM tool_definitions
    WHERE json_contains(input_schema, 'properties', 'dry_run') OR json_contains(input_schema, 'properties', 'dryRun')
),
asked AS (
    SELECT h.*
    FROM (SELECT *, coalesce(json_get_bool(arguments, 'dry_run'), json_get_bool(arguments, 'dryRun'), false) AS dry FROM hit) h
    LEFT JOIN offered o ON o.server = h.server AND o.tool = h.tool
    WHERE NOT (h.dry AND o.tool IS NOT NULL)
),
graded AS (
    SELECT h.call_id, min(h.session_id) AS session_id, min(h.agent) AS agent, min(h.server) AS server, min(h.tool) AS tool, min(h.time) AS time, min(h.what) AS what,
           min(h.outcome) IN ('success', 'unknown', 'no_response') AS worked,
           max(h.reach) - CASE WHEN min(h.outcome) IN ('success', 'unknown', 'no_response') THEN 0 ELSE 1 END
           -- Asked for, or a thing to be thrown away by its name or by the folder it stands in.
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END
           - CASE WHEN bool_and(regexp_like(concat_ws(' ', h.server, h.what), '(^|[^a-zA-Z])(tests?|tmp|temp|scratch|staging|stg|sandbox|preview|ephemeral)([^a-zA-Z]|$)|(^|[^a-zA-Z/])dev(elopment)?([^a-zA-Z/]|$)', 'i')
                -- So is the database, cluster or environment that it is aimed at.
                OR regexp_like(h.arguments, '("(db|database|db_?name|schema|env|environment|stage|workspace|connection|connection_?name|cluster|context|namespace|project|instance|profile)"\s*:\s*"'
                                            || '|\s-[dnh]\s*|--(dbname|database|namespace|context|host|profile|env|environment|workspace|cluster)[=\s]+|\b(psql|mysql|mariadb|mongosh|dropdb)\s+)'
                                            || '[''\\"]{0,2}([^\s"|;&]*[^a-zA-Z\s"|;&/])?(tests?|scratch|staging|stg|sandbox|preview|ephemeral|dev|development)([^a-zA-Z]|$)', 'i')
                OR regexp_like(h.arguments, '\bcd\s+\S*\b(build|dist|target|tmp|out)/?[\w.-]*\s*(&&|;)\s*rm\s|\bcd\s+([^\s;&|"]*[^a-zA-Z\s;&|"])?(tests?|scratch|staging|stg|sandbox|preview|ephemeral|dev)([^a-zA-Z\s][^\s;&|"]*)?\s*(&&|;)[^"]*\b(terraform|tofu|pulumi)\s')) THEN 1 ELSE 0 END
           -- A table that is only there to be filled again.
           - CASE WHEN bool_and(regexp_like(h.arguments, '\b(truncate|drop|delete\s+from)\s+(table\s+)?(if\s+exists\s+)?[\w.\\"`]*(^|[^a-zA-Z])(tmp|temp|staging|stg|scratch)[\d_]*([\s;"\\`'',)]|$)', 'i') AND NOT regexp_like(h.arguments, ';\s*\w', 'i')) THEN 1 ELSE 0 END AS grade,
           CASE WHEN bool_or(h.dry) THEN 1 ELSE 0 END AS dry
    FROM asked h
    LEFT JOIN prompts q ON q.session_id = h.session_id AND q.time <= h.time
         AND (is_other_language(q.text)
              OR regexp_like(q.text, '\b(destroy|tear ?down|wipe|drop|truncate|rm -r\w*|format|flush|purge|clean|free|reset the (database|cluster|environment)|(delete|remove) (all|every\w*|(\w+ ){0,3}(database|namespace|bucket|cluster|environment|table|repo\w*|project|schema|collection)s?))\b', 'i')
              OR regexp_like(q.text, '\b(test|testing|staging|sandbox|scratch|dev|development|throw-?away)\s+(\w+\s+)?(databases?|db|env\w*|clusters?|schemas?|namespaces?|servers?|instances?|stacks?|machines?|box|workspaces?|systems?|tables?|data|buckets?)\b'
                                     || '|\b(on|in|of|from)\s+(the\s+)?(test|staging|sandbox|dev)\b', 'i'))
    GROUP BY h.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(greatest(1, grade - dry)) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(worked) THEN ' destroyed: ' ELSE ' tried to destroy: ' END
           || array_to_string(array_slice(array_sort(array_agg(DISTINCT left(what, 120))), 1, 3), '; ') AS message,
       array_sort(array_agg(DISTINCT left(what, 300))) AS statements
FROM graded
WHERE grade > 0
GROUP BY session_id
