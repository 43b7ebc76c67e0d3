-- id = "files_encrypted_in_place"
-- title = "Files were replaced by copies with another ending, or packed with a password and removed"
-- level = "high"
-- status = "test"
-- description = """
--   What ransomware does, by an agent's tools: many files are written beside their originals under the same name with one ending more, and
--   the originals are removed; or a command packs or encrypts a tree with a password and removes what it packed.
--   high: both halves. medium: many files with one new ending of no known kind, none removed yet. Backups (.bak, .orig, .gz and the like) are left out.
--   Works on paths alone. An agent that overwrites files under their old names is not seen.
--   """
-- tags = ["owasp.mcp05", "owasp.asi02", "owasp.asi10", "atlas.AML.T0101", "attack.T1486"]
-- falsepositives = ["encrypting secrets for a repository (sops, git-crypt) with removal of the plain files"]
-- needs = ["argument_sizes", "arguments"]
-- window = "4h"
-- params = { min_files = 5, max_bytes = 65536 }
WITH touched AS (
    SELECT o.session_id, o.call_id, o.value AS file, c.agent, c.server, c.time, has_capability(c.capabilities, 'destructive') AND NOT has_capability(c.capabilities, 'executes') AS removes,
           regexp_replace(o.value, '\.[A-Za-z0-9_-]{2,12}$', '') AS stem, lower(regexp_replace(o.value, '^.*(\.[A-Za-z0-9_-]{2,12})$', '\1')) AS ending
    FROM observables o
    JOIN calls c ON c.call_id = o.call_id
    WHERE o.type = 'file_path' AND o.origin = 'argument' AND regexp_like(o.path, '(path|file|name|source|dest\w*|target|uri|from|to)[^/]*$', 'i')
      AND c.event_kind = 'call' AND c.outcome IN ('success', 'unknown') AND array_has_any(c.capabilities, make_array('writes', 'destructive'))
      AND NOT has_capability(c.capabilities, 'executes')
),
doubled AS (                     -- a.txt.locked, and a.txt is named in the session too
    SELECT n.session_id, n.ending, n.call_id, n.time, n.agent, n.server, o.call_id AS old_call, o.time AS old_time, o.removes
    FROM touched n
    JOIN touched o ON o.session_id = n.session_id AND o.file = n.stem
    WHERE n.stem <> n.file AND regexp_like(n.stem, '\.[A-Za-z0-9]{1,8}$')
      AND NOT regexp_like(n.ending, '^\.(bak|backup|orig|old|tmp|gz|bz2|xz|zst|zip|br|map|d|md5|sha256|sha1|sig|asc|txt|md|json|ya?ml|html?|test|spec|min|js|ts|py|rs|go|java|lock|log|part|diff|patch|rej|in|j2|tpl|template|example|sample|dist|meta|swp|new|snap)$')
),
by_tools AS (
    SELECT session_id, min(agent) AS agent, min(server) AS server, ending AS how, array_distinct(array_concat(array_agg(call_id), array_agg(old_call))) AS call_ids,
           min(least(time, old_time)) AS first_seen, max(greatest(time, old_time)) AS last_seen, count(DISTINCT call_id) AS files,
           CASE WHEN count(DISTINCT old_call) FILTER (WHERE removes) >= $min_files THEN 3 ELSE 2 END AS grade
    FROM doubled
    GROUP BY session_id, ending
    HAVING count(DISTINCT call_id) >= $min_files
),
by_command AS (
    SELECT session_id, agent, server, regexp_replace(arguments, '^.*?\b((7z|zip|rar|gpg|openssl|age|ccrypt|tar)\b[^|;&"]*).*$', '\1', 'is') AS how, make_array(call_id) AS call_ids, time AS first_seen, time AS last_seen,
           CAST(NULL AS BIGINT) AS files, 3 AS grade
    FROM (SELECT call_id, session_id, agent, server, time, command_text(arguments) AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
            AND outcome IN ('success', 'unknown', 'no_response'))
    WHERE regexp_like(arguments, '\b(7z\s+a\s[^|;&"]*-p\S+[^|;&"]*-sdel|zip\s[^|;&"]*-\w*m\w*\s[^|;&"]*(-P|-e|--password)|zip\s[^|;&"]*(-P|-e|--password)[^|;&"]*\s-\w*m|rar\s+[am]\s[^|;&"]*-df[^|;&"]*-h?p|ccrypt\s+(-e|-r)|'
          || '(gpg|openssl\s+enc|age)\s[^|;"]*(-c|--symmetric|-e|-r|--encrypt|-aes\S*)\b[^"]*(;|&&|\bdo\b|-exec)[^"]*\b(rm|shred|unlink)\b|(for|find|xargs)\b[^"]*\b(gpg|openssl\s+enc|age)\s[^"]*\b(rm|shred|unlink|mv)\b)')
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
       array_slice(array_sort(array_distinct(flatten(array_agg(call_ids)))), 1, 100) AS call_ids, CASE max(grade) WHEN 3 THEN 'high' ELSE 'medium' END AS level,
       'files were replaced by encrypted or renamed ones: ' || left(min(how), 120) AS message, max(files) AS files
FROM (SELECT * FROM by_tools UNION ALL SELECT * FROM by_command)
GROUP BY session_id
