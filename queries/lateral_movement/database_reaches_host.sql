-- id = "database_reaches_host"
-- title = "Statement makes a database server run programs or open files"
-- level = "high"
-- status = "test"
-- description = """
--   A statement leaves the database: it runs a command of the server's system (xp_cmdshell, COPY … PROGRAM, sp_OACreate, sys_exec, scheduler jobs, untrusted languages, loaded extensions) or reads and
--   writes its files (pg_read_file, lo_import and lo_export, LOAD_FILE, INTO OUTFILE, UTL_FILE, OPENROWSET BULK).
--   high: it runs programs. medium: it opens files. One level less when it failed, or when the user spoke of it. Looking whether such a thing is switched on is none.
--   """
-- tags = ["owasp.mcp05", "owasp.mcp02", "owasp.asi05", "owasp.asi02", "atlas.AML.T0050", "attack.T1059", "attack.T1505.001", "attack.T1005"]
-- falsepositives = ["administrators who import and export files on the server itself (medium)"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH stated AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, sql,
           regexp_like(sql, '\b(exec(ute)?\s+)?(master\W+)?(dbo\W+)?xp_cmdshell\b\s*(''|@|N''|\\"|,\s*1|''\s*,\s*1)|\bsp_configure\s+N?\W*(xp_cmdshell|Ole Automation Procedures)\W*,\s*1|\bsp_OACreate\b|\bcopy\b.{1,600}?\b(to|from)\s+program\b|\bsys_(exec|eval)\s*\(|\bDBMS_SCHEDULER\b.{0,200}EXECUTABLE|\bload_extension\s*\(|\blanguage\s+\W*(plpython[23]?u|plperlu|pltclu|plsh)\b'
                          || '|\bcreate\s+extension\s+(if\s+not\s+exists\s+)?\W*(plpython[23]?u|plperlu|plsh)\b|\bcreate\s+function\b.{0,200}\bsoname\b|\bDBMS_JAVA\b.{0,100}\bexec|\bcreate\s+(alias|assembly)\b.{0,300}(Runtime|Process)', 'is') AS runs
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, 
                 -- Without what is only searched for.
                 regexp_replace(replace(replace(arguments, '\n', ' '), '\t', ' '), '\b(ilike|like|name\s*=|proname\s*=|lanname\s*=|extname\s*=)\s*N?''[^'']*(xp_cmdshell|Ole Automation|load_file|plpython|pg_read_file|lo_import|load_extension)[^'']*''?', '', 'gi') AS sql
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled', 'protocol_error') AND arguments_bytes <= $max_bytes
            AND (regexp_like(tool, 'query|sql|statement|execute|(^|_)exec', 'i') OR regexp_like(arguments, '"(sql|query|statement|stmt)"\s*:')
                 OR (has_capability(capabilities, 'executes') AND regexp_like(arguments, 'psql|mysql|mariadb|sqlcmd|sqlplus|sqlite3|mssql|osql')))
            AND regexp_like(arguments, 'xp_cmdshell|Ole Automation|sp_OACreate|program|sys_(exec|eval)|DBMS_|load_extension|plpython|plperlu|pltclu|plsh|soname|create\s+(alias|assembly)|pg_(read|write|ls)_|lo_(im|ex)port|load_file|outfile|dumpfile|UTL_FILE|openrowset', 'i'))
    WHERE regexp_like(sql, '\bxp_cmdshell\b|Ole Automation|\bsp_OACreate\b|\bcopy\b.{1,600}?\b(to|from)\s+program\b|\bsys_(exec|eval)\s*\(|\bDBMS_(SCHEDULER|JAVA)\b|\bload_extension\s*\(|\blanguage\s+\W*(plpython[23]?u|plperlu|pltclu|plsh)\b|\bcreate\s+extension\s.{0,40}(plpython[23]?u|plperlu|plsh)\b|\bsoname\b|\bcreate\s+(alias|assembly)\b'
          || '|\bpg_(read(_binary)?_file|write_file|ls_dir|read_server_files)\s*\(|\blo_(im|ex)port\s*\(|\bload_file\s*\(|\binto\s+(out|dump)file\b|\bUTL_FILE\b|\bopenrowset\s*\(\s*bulk\b', 'is')
      -- Written about: unless it is what the whole statement begins with.
      AND NOT (regexp_like(tool, 'search|docs|wiki|fetch|issue|comment|page|message', 'i')
               AND NOT regexp_like(sql, '"(sql|query|statement|stmt)"\s*:\s*"\s*(exec(ute)?\s|copy\s|select\s[^"]*\(|create\s)', 'i'))
),
graded AS (
    SELECT s.call_id, min(s.session_id) AS session_id, min(s.agent) AS agent, min(s.server) AS server, min(s.tool) AS tool, min(s.time) AS time, bool_or(s.runs) AS runs,
           regexp_replace(min(s.sql), '^.*?((exec\S*\s+|select\s+)?\S*(xp_cmdshell|sp_configure|sp_OACreate|copy\s|sys_exec|sys_eval|DBMS_|load_extension|language\s|create\s+(extension|function|alias|assembly)|pg_read|pg_ls|pg_write|lo_import|lo_export|load_file|into\s+(out|dump)file|UTL_FILE|openrowset).{0,120}).*$', '\1', 'is') AS what,
           CASE WHEN bool_or(s.runs) THEN 3 ELSE 2 END - CASE WHEN min(s.outcome) NOT IN ('success', 'unknown', 'no_response') OR count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM stated s
    LEFT JOIN prompts q ON q.session_id = s.session_id AND q.time <= s.time
         AND regexp_like(q.text, 'xp_cmdshell|pg_read_file|outfile|\b(plpython\w*|extensions?|(import|export|load|read|write)\w* .{0,40}\b(files?|csv|large objects?|disk)|copy .{0,30}program)\b', 'i')
    GROUP BY s.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(runs) THEN ' had the database server run a program: ' ELSE ' had the database server open a file: ' END || left(min(what), 160) AS message,
       array_sort(array_agg(DISTINCT left(what, 300))) AS statements
FROM graded
GROUP BY session_id
