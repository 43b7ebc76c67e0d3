-- id = "database_mapped"
-- title = "Database searched for its tables, users and rights"
-- level = "low"
-- status = "test"
-- description = """
--   In one session queries went to the catalogue of a database (information_schema, pg_catalog, sqlite_master, SHOW TABLES, …) or many tables were described one by one: how
--   somebody begins who does not know the database and wants to.
--   high: the catalogue of users and passwords was read (pg_shadow, pg_authid, mysql.user, sys.sql_logins, …). medium: rights, roles and settings were asked
--   for as well as tables, or columns were searched by names such as password. low: at least min_tables different catalogues or descriptions.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp10", "owasp.asi02", "owasp.asi03", "atlas.AML.T0085.001", "atlas.AML.T0036", "attack.T1213.006", "attack.T1087", "attack.T1069"]
-- falsepositives = ["developers' and analysts' agents, which look at a schema before they query it (low)"]
-- window = "24h"
-- needs = ["arguments"]
-- helps = ["argument_sizes"]
-- params = { min_tables = 12, max_bytes = 8192 }
WITH asked AS (
    SELECT call_id, session_id, agent, server, tool, time, arguments_hash, lower(replace(replace(arguments, '\n', ' '), '\t', ' ')) AS sql
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND arguments_bytes <= $max_bytes AND outcome = 'success'
      AND (has_capability(capabilities, 'executes') OR regexp_like(tool, 'query|sql|select|statement|execute|describe|schema|table', 'i'))
),
told AS (
    SELECT call_id, session_id, agent, server, tool, time, arguments_hash,
           regexp_like(sql, 'pg_shadow|pg_authid|pg_user_mapping|mysql[."`]+user|sys\.sql_logins|dba_users|sys\.user\$|master\.\.syslogins|passwordhash|authentication_string') AS passwords,
           regexp_like(sql, 'pg_roles|pg_auth_members|role_table_grants|table_privileges|user_privileges|show\s+grants|has_\w+_privilege|sys\.database_principals|dba_role_privs|current_setting|pg_settings|show\s+variables|@@version|is_superuser|sp_configure') AS rights,
           regexp_like(sql, 'information_schema|pg_catalog|pg_tables|pg_class|sqlite_(master|schema)|show\s+(full\s+)?(tables|databases|schemas|columns)|sys\.(tables|columns|objects|databases)|all_tab(le)?s|user_tables|listcollections|db\.getcollectionnames') AS tables,
           regexp_like(sql, 'column_name\s+(i?like|~\*?|in|=)[^;]{0,60}(pass|secret|token|ssn|card|salary|iban)') AS columns,
           regexp_like(tool, 'describe|schema|list_?tables|get_?table', 'i') AS described
    FROM asked
    WHERE regexp_like(sql, 'information_schema|pg_|mysql|sys\.|sqlite_|show\s|dba_|all_tab|user_tables|@@|has_\w+_privilege|current_setting|listcollections|getcollectionnames|passwordhash|authentication_string')
       OR regexp_like(tool, 'describe|schema|list_?tables|get_?table', 'i')
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
WHERE passwords OR (rights AND tables) OR columns OR queries >= $min_tables
