-- id = "database_mapped"
-- title = "Database searched for its tables, users and rights"
-- level = "low"
-- status = "test"
-- description = """
--   In one session queries went to the catalogue of a database (information_schema, pg_catalog, sqlite_master, SHOW TABLES, …): how
--   somebody begins who does not know the database and wants to.
--   high: the catalogue of users and passwords was read (pg_shadow, pg_authid, mysql.user, sys.sql_logins, …). medium: rights, roles and settings were asked
--   for as well as tables, or columns were searched by names such as password. low: the catalogue was asked, and
--   min_tables and more questions were about tables in all.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp10", "owasp.asi02", "owasp.asi03", "atlas.AML.T0085.001", "atlas.AML.T0036", "attack.T1213.006", "attack.T1087", "attack.T1069"]
-- falsepositives = ["developers' and analysts' agents, which look at a schema before they query it (low)"]
-- window = "24h"
-- needs = ["arguments"]
-- helps = ["argument_sizes"]
-- params = { min_tables = 12, max_bytes = 8192 }
WITH tools AS (
    SELECT tool, regexp_like(tool, 'describe|schema|list_?tables|get_?table', 'i') AS described,
           regexp_like(tool, 'query|sql|select|statement|exec|run|shell|bash|command|describe|schema|table', 'i') AS takes_queries
    FROM (SELECT DISTINCT tool FROM calls WHERE event_kind = 'call' AND method = 'tools/call' AND tool IS NOT NULL)
),
asked AS (
    -- The conditions on arguments name a column of tools, so that they are tried on calls of these tools only.
    SELECT c.call_id, c.session_id, c.agent, c.server, c.tool, c.time, c.arguments_hash, t.described, lower(replace(replace(c.arguments, '\n', ' '), '\t', ' ')) AS sql
    FROM (SELECT * FROM tools WHERE takes_queries) t
    JOIN calls c ON c.tool = t.tool
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.arguments_bytes <= $max_bytes AND c.outcome = 'success'
      AND (t.described
           OR CASE WHEN t.takes_queries
                   THEN regexp_like(c.arguments, 'information_schema|pg_|mysql|sys\.|sqlite_|show |dba_|all_tab|user_tab|@@|_privilege|current_setting|listcollections|getcollectionnames|passwordhash|authentication_string|column_name', 'i') END)
),
told AS (
    SELECT call_id, session_id, agent, server, tool, time, arguments_hash,
           regexp_like(sql, 'pg_shadow|pg_authid|pg_user_mapping|mysql[."`]+user|sys\.sql_logins|dba_users|sys\.user\$|master\.\.syslogins|passwordhash|authentication_string') AS passwords,
           regexp_like(sql, 'pg_roles|pg_auth_members|role_table_grants|table_privileges|user_privileges|show\s+grants|has_\w+_privilege|sys\.database_principals|dba_role_privs|current_setting|pg_settings|show\s+variables|@@version|is_superuser|sp_configure') AS rights,
           regexp_like(sql, 'information_schema|pg_catalog|pg_tables|pg_class|sqlite_(master|schema)|show\s+(full\s+)?(tables|databases|schemas|columns)|sys\.(tables|columns|objects|databases)|all_tab(le)?s|user_tables|listcollections|db\.getcollectionnames') AS tables,
           regexp_like(sql, 'column_name\s+(i?like|~\*?|in|=)[^;]{0,60}(pass|secret|token|ssn|card|salary|iban)') AS columns,
           described
    FROM asked
),
summed AS (
    SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen,
           bool_or(passwords) AS passwords, bool_or(rights) AS rights, bool_or(tables) AS tables, bool_or(columns) AS columns,
           count(DISTINCT arguments_hash) AS queries,
           array_slice(array_agg(call_id ORDER BY passwords DESC, rights DESC, columns DESC, time, call_id), 1, 30) AS call_ids
    FROM told
    WHERE passwords OR rights OR tables OR columns OR described
    GROUP BY session_id
)
SELECT session_id, agent, server, first_seen, last_seen, call_ids,
       CASE WHEN passwords THEN 'high' WHEN (rights AND tables) OR columns THEN 'medium' ELSE 'low' END AS level,
       CAST(queries AS VARCHAR) || ' queries mapped the database' || CASE WHEN passwords THEN ', also its users and their passwords' WHEN rights AND tables THEN ', also roles and rights' WHEN columns THEN ', also columns for secrets' ELSE '' END AS message,
       queries
FROM summed
WHERE passwords OR (rights AND tables) OR columns OR (tables AND queries >= $min_tables)
