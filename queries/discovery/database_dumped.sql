-- id = "database_dumped"
-- title = "Database dumped: whole tables, or a copy of all of it"
-- level = "medium"
-- status = "test"
-- description = """
--   A query or a command took a whole table or database: pg_dump, mysqldump, COPY … TO, INTO OUTFILE, BACKUP, .dump, or SELECT * without a condition or limit from table after table.
--   high: the copy went to a program, an address or a folder that others see (COPY TO PROGRAM, a pipe to curl, /tmp, /var/www), or a whole table was read and data was sent out afterwards. medium: a dump, or
--   min_tables whole tables, or one with min_bytes of results. low: COPY of one table into a file, or a dump that the user spoke of. A dump of the schema without rows is left out. One finding per session.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0085.001", "atlas.AML.T0086", "attack.T1213.006", "attack.T1005", "attack.T1074"]
-- falsepositives = ["backups that are meant to be made by an agent", "small tables of constants"]
-- window = "24h"
-- needs = ["arguments"]
-- helps = ["argument_sizes", "prompts", "result_sizes"]
-- params = { min_tables = 4, min_bytes = 1000000, max_bytes = 8192 }
WITH tools AS (
    SELECT tool, regexp_like(tool, 'query|sql|select|statement|exec|run|shell|bash|terminal|command|dump|backup', 'i') AS takes_queries
    FROM (SELECT DISTINCT tool FROM calls WHERE event_kind = 'call' AND method = 'tools/call' AND tool IS NOT NULL)
),
asked AS (
    -- The conditions on arguments name a column of tools, so that they are tried on calls of these tools only.
    SELECT c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, c.result_bytes, -- A dump of the schema alone holds no rows.
           lower(regexp_replace(replace(replace(c.arguments, '\n', ' '), '\t', ' '),
                                '\b(pg_dump\s([^|;&]*\s)?(--schema-only|-s)|mysqldump\s([^|;&]*\s)?(--no-data|-d))([\s"\\][^|;&]*|$)', ' ', 'g')) AS sql
    FROM (SELECT * FROM tools WHERE takes_queries) t
    JOIN calls c ON c.tool = t.tool
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.arguments_bytes <= $max_bytes AND c.outcome = 'success'
      AND CASE WHEN t.takes_queries THEN regexp_like(c.arguments, 'select +\*|_dump|sqldump|mongodump|mongoexport|copy |outfile|dumpfile|backup +database|\.dump|bcp |expdp |unload|export +data', 'i') END
),
taken AS (
    SELECT *, regexp_match(sql, 'select\s+\*\s+from\s+["`\[]?([\w.]+)["`\]]?\s*(;|"|\\n|$|order\s+by)')[1] AS whole_table,
           regexp_like(sql, '\b(pg_dump|pg_dumpall|mysqldump|mongodump|mongoexport|expdp|sqlite3\s[^|]*\.dump)\b|backup\s+database|into\s+(out|dump)file|\bunload\s*\(|\bexport\s+data\s+options\s*\(|\bbcp\s.*\b(out|queryout)\b') AS dumped,
           regexp_like(sql, '\bcopy\s+(\(.{3,300}\)|["`\w.]+(\s*\([^)]*\))?)\s+to\s') AS copied,
           regexp_like(sql, 'to\s+program|dump\w*[^|;]{0,200}[|>]\s*(curl|nc|ncat|wget|ssh|aws|gsutil|rclone|/tmp/|/var/www|/dev/tcp)|(to|outfile)\s+[''\\"]+(/tmp|/var/www|/srv/www|/usr/share/nginx|//|\\\\\\\\|https?:|s3:)|unload\s*\(.{0,400}s3:') AS away
    FROM asked
),
sent AS (
    SELECT session_id, max(time) AS sent_at FROM calls
    WHERE has_capability(capabilities, 'egress') AND NOT array_has_any(capabilities, make_array('executes', 'reads_untrusted')) AND outcome = 'success'
      AND arguments_bytes >= 1024 AND event_kind = 'call'
    GROUP BY session_id
),
summed AS (
    SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen,
           count(DISTINCT whole_table) AS tables, max(result_bytes) FILTER (WHERE whole_table IS NOT NULL) AS largest, bool_or(dumped) AS dumped, bool_or(copied) AS copied, bool_or(away) AS away,
           array_agg(DISTINCT whole_table) FILTER (WHERE whole_table IS NOT NULL) AS names, array_slice(array_agg(call_id ORDER BY away DESC, dumped DESC, time, call_id), 1, 40) AS call_ids
    FROM taken WHERE whole_table IS NOT NULL OR dumped OR copied OR away
    GROUP BY session_id
)
SELECT t.session_id, t.agent, t.server, t.first_seen, greatest(t.last_seen, s.sent_at) AS last_seen, t.call_ids,
       CASE WHEN NOT t.away AND t.dumped AND q.asked AND NOT coalesce(s.sent_at > t.first_seen, false) THEN 'low'
            WHEN t.away OR (s.sent_at > t.first_seen AND (t.dumped OR t.copied OR t.tables >= $min_tables OR t.largest >= $min_bytes)) THEN 'high'
            WHEN t.dumped OR t.tables >= $min_tables OR t.largest >= $min_bytes THEN 'medium' ELSE 'low' END AS level,
       CASE WHEN t.dumped THEN 'The database was dumped' WHEN t.copied THEN 'A table was copied out' ELSE CAST(t.tables AS VARCHAR) || ' whole tables were read: ' || array_to_string(array_slice(array_sort(t.names), 1, 5), ', ') END
           || CASE WHEN t.away THEN ', to where others can take it' WHEN s.sent_at > t.first_seen THEN ', and data was sent out' ELSE '' END AS message,
       t.tables, t.largest AS largest_result_bytes, s.sent_at
FROM summed t LEFT JOIN sent s ON s.session_id = t.session_id
LEFT JOIN (SELECT session_id, bool_or(regexp_like(text, '\b(dump\w*|back ?ups?|backing up|restor\w+|clon\w+|migrat\w+|pg_dump|mysqldump|mongodump|snapshots?)\b', 'i')) AS asked
           FROM prompts GROUP BY session_id) q ON q.session_id = t.session_id
WHERE t.away OR t.dumped OR t.copied OR t.tables >= $min_tables OR t.largest >= $min_bytes
