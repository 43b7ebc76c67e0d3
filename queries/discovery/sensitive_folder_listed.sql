-- id = "sensitive_folder_listed"
-- title = "Folders listed in which credentials or system files lie"
-- level = "low"
-- status = "test"
-- description = """
--   A tool that lists or searches files was pointed at a home folder's hidden folders (.ssh, .aws, .kube, .gnupg, browser profiles), at /etc, /root, /proc, /var/log or at the root of the file
--   system: a look for what is worth reading.
--   high: a file from such a folder was read afterwards in the session and it held a secret. medium: at least several such folders, or one that holds nothing but credentials. low:
--   one of the others. Commands of a shell and paths that the user's prompt names are left out.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp01", "owasp.asi02", "atlas.AML.T0037", "attack.T1083", "attack.T1552.001"]
-- falsepositives = ["an agent that looks after the machine"]
-- window = "24h"
-- needs = ["arguments"]
-- helps = ["prompts", "results"]
-- params = { several = 3 }
WITH listed AS (
    SELECT o.call_id, o.session_id, o.server, o.tool, o.time, o.value AS path, regexp_replace(lower(o.value), '[/\\]+$', '') AS folder,
           regexp_like(o.value, '(^|[/\\])\.(ssh|aws|azure|gcloud|kube|gnupg|docker|config/gcloud|password-store|mozilla|config/google-chrome)[/\\]*$|[/\\](Keychains|Login Data|wallets?)[/\\]*$', 'i') AS credentials
    FROM observables o
    WHERE o.origin = 'argument' AND o.type = 'file_path' AND regexp_like(o.tool, 'list|dir|tree|search|find|glob|ls|walk|browse', 'i')
      AND regexp_like(o.value, '^/(etc|root|proc|sys|var/log|var/run|boot|home|Users)?[/\\]*$|^/(etc|root|proc|var/log)/|^[A-Za-z]:[/\\]+(Windows([/\\]System32)?|Users)?[/\\]*$|(^|[/\\])\.(ssh|aws|azure|gcloud|kube|gnupg|docker|password-store|mozilla)[/\\]*$|[/\\](Keychains|Login Data|wallets?)[/\\]*$', 'i')
),
called AS (
    SELECT l.*, c.agent FROM listed l JOIN calls c ON c.call_id = l.call_id
    WHERE c.outcome = 'success' AND c.event_kind = 'call' AND NOT has_capability(c.capabilities, 'executes') AND NOT array_has_any(c.capabilities, make_array('egress', 'reads_untrusted'))
),
asked AS (
    SELECT k.call_id FROM called k JOIN prompts q ON q.session_id = k.session_id WHERE q.time <= k.time AND length(k.folder) > 1 AND strpos(lower(q.text), k.folder) > 0 GROUP BY k.call_id
),
unasked AS (
    SELECT k.* FROM called k LEFT JOIN asked a ON a.call_id = k.call_id WHERE a.call_id IS NULL
),
opened AS (
    SELECT u.session_id, min(r.call_id) AS call_id, max(r.time) AS time
    FROM unasked u
    JOIN observables r ON r.session_id = u.session_id
    JOIN observables s ON s.call_id = r.call_id
    WHERE r.origin = 'argument' AND r.type = 'file_path' AND r.time > u.time AND length(u.folder) > 1 AND starts_with(lower(r.value), u.folder) AND lower(r.value) <> u.folder
      AND s.origin = 'result' AND s.type = 'secret'
    GROUP BY u.session_id
)
SELECT u.session_id, min(u.agent) AS agent, CASE WHEN count(DISTINCT u.server) = 1 THEN min(u.server) END AS server, min(u.time) AS first_seen, greatest(max(u.time), max(o.time)) AS last_seen,
       array_slice(CASE WHEN max(o.call_id) IS NULL THEN array_agg(DISTINCT u.call_id ORDER BY u.call_id) ELSE array_append(array_agg(DISTINCT u.call_id ORDER BY u.call_id), max(o.call_id)) END, 1, 40) AS call_ids,
       CASE WHEN max(o.call_id) IS NOT NULL THEN 'high' WHEN count(DISTINCT u.folder) >= $several OR bool_or(u.credentials) THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', min(u.server), min(u.tool)) || ' listed ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT u.path)), 1, 5), ', ')
           || CASE WHEN max(o.call_id) IS NOT NULL THEN '; then a file there was read that held a secret' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT u.path)) AS folders
FROM unasked u LEFT JOIN opened o ON o.session_id = u.session_id
GROUP BY u.session_id
